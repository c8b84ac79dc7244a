"""``calibrate.run`` of holograms: how their distances follow the stage.

The reducer says where the stage goes and what each hologram is for; the engine ``hologram_calibration`` keeps what they
hold and judges. Phases: where a background is taken ``waiting`` for ``calibrate.next``, ``changing``, ``background``,
and again ``waiting`` and ``changing``; then ``stepping``, ``judging`` and ``homing``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from microscoped.daemon.core.arbiter import Claim, Rank
from microscoped.daemon.core.effects import Measure
from microscoped.daemon.core.handlers import calibrate_hologram_report as report
from microscoped.daemon.core.handlers.camera import keep, submit_snap
from microscoped.daemon.core.handlers.stage import known_position, submit_move, take_stage
from microscoped.daemon.core.state import CalibrateHologramWork, Outcome
from microscoped.daemon.protocol import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import Accepted, CalibrateRunParams, Empty
from microscoped.drivers.commands import StepField
from microscoped.drivers.motion import Arrival
from microscoped.drivers.safety import Origin

if TYPE_CHECKING:
    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import CommandEnded, MeasureEnded
    from microscoped.daemon.core.state import Task
    from microscoped.daemon.core.turn import Ask, Turn

    Action: TypeAlias = Literal["background", "step", "finish"]

ENGINE = "hologram_calibration"
STEP_FIELD_S = 30.0
LOST_IN_A_ROW = 5
"""Visits without a distance, at the very beginning, after which there is nothing to be calibrated."""


def run(turn: Turn, ask: Ask) -> None:
    """Begin a calibration where the stage is."""
    params: CalibrateRunParams = ask.params
    work = report.work_of(turn, params, known_position(turn))
    if params.background == "ask":
        work = replace(work, phase="waiting", wanted="empty", field=1)
    task = turn.new_id()
    take_stage(turn, Claim(task, ask.to.op, Rank.FOCUS_RUN))
    turn.reply(ask.to, Accepted(task=task))
    turn.begin_task(ask, task, work)
    plan = report.plan_facts(turn, work)
    plan |= report.progress(turn, work) if work.phase == "waiting" else {}
    turn.change_task(replace(turn.state.tasks[task], progress=plan))
    turn.publish_task(turn.state.tasks[task])
    if work.phase == "waiting":
        return
    if work.background_file is not None:
        _change(turn, task, replace(work, phase="background"))
        submit_snap(turn, task)
    else:
        _next_leg(turn, task, work)


def next_place(turn: Turn, ask: Ask, task: Task) -> None:
    """Go on: somebody has moved the slide, or a simulated microscope is told to show another field.

    Raises
    ------
    RefusedError
        Code ``not_ready``: it does not wait.
    """
    work = _work(task)
    if work.phase != "waiting":
        raise RefusedError(ErrorCode.NOT_READY, f"the calibration does not wait for another place: it is {work.phase}")
    _change(turn, task.id, replace(work, phase="changing"))
    turn.submit(
        lambda command: StepField(id=command, not_after_ns=ask.not_after_ns),
        op="calibrate.next",
        own_time_s=STEP_FIELD_S,
        task=task.id,
    )
    turn.reply(ask.to, Empty())


def command_ended(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """Go on after a move, a snap, or a change of place."""
    work = _work(task)
    if ended.error is not None:
        # Stage or camera are in fault, or the move was refused: stay, and say where.
        result = work.outcome.result if work.outcome is not None else report.costs(turn, work)
        turn.end_task(task, Outcome("failed", result, ended.error))
    elif isinstance(ended.value, Arrival):
        arrival = ended.value
        work = replace(work, moves=work.moves + arrival.moves, travel_um=work.travel_um + arrival.travel_um)
        _arrived(turn, task, work)
    elif isinstance(ended.value, str):
        _snapped(turn, task, work, ended.value)
    elif work.phase == "changing" and work.wanted == "empty":
        _change(turn, task.id, replace(work, phase="background"))
        submit_snap(turn, task.id)
    elif work.phase == "changing":
        _next_leg(turn, task.id, replace(work, phase="stepping", wanted=None))


def measured(turn: Turn, task: Task, ended: MeasureEnded) -> None:
    """Go on after the engine's answer."""
    work = _work(task)
    if ended.error is not None or ended.values is None:
        error = ended.error or ErrorBody.of(ErrorCode.FAULT_ENGINE, f"{ENGINE} has said nothing")
        _come_home(turn, task.id, work, Outcome("failed", report.costs(turn, work), error))
        return
    values = dict(ended.values)
    match work.phase:
        case "background":
            _background_taken(turn, task.id, work, values)
        case "stepping":
            _stepped(turn, task.id, work, values)
        case _:
            _judged(turn, task.id, work, values)


def cancel(turn: Turn, task: Task, why: str) -> None:
    """End a calibration early: the stage returns to where it was at its start."""
    work = _work(task)
    if work.outcome is None:
        error = ErrorBody.of(ErrorCode.CANCELLED, f"{why}; the stage returns to its start")
        turn.drop_pending(task.id)
        _come_home(turn, task.id, work, Outcome("cancelled", report.costs(turn, work), error))


# --- the background -------------------------------------------------------------------------------------------------


def _wait(turn: Turn, task: str, work: CalibrateHologramWork, wanted: Literal["empty", "specimen"], doing: str) -> None:
    """Wait until somebody has moved the slide."""
    work = replace(work, phase="waiting", wanted=wanted, field=work.field + 1, doing=doing)
    _tell(turn, task, work)


def _background_taken(turn: Turn, task: str, work: CalibrateHologramWork, values: dict[str, JsonValue]) -> None:
    """Go back to the specimen; where the background cannot be used, another is asked for."""
    reason = str(values["reason"])
    if reason and work.background_file is not None:
        error = ErrorBody.of(ErrorCode.INVALID, reason)
        _come_home(turn, task, work, Outcome("failed", report.costs(turn, work), error))
    elif reason:
        _wait(turn, task, work, "empty", reason)
    elif work.background_file is not None:
        _next_leg(turn, task, replace(work, phase="stepping"))
    else:
        warning = str(values["warning"])
        _wait(turn, task, work, "specimen", f"the background is taken{': ' if warning else ''}{warning}")


# --- the places -----------------------------------------------------------------------------------------------------


def _stepped(turn: Turn, task: str, work: CalibrateHologramWork, values: dict[str, JsonValue]) -> None:
    """A hologram was measured: go to the next place, or have it judged."""
    distance = values["distance_um"]
    known = isinstance(distance, int | float)
    doing = f"{distance:.2f} µm, {values['cells']} cells" if known else f"no distance: {values['reason']}"
    never = work.distance_um is None and not known
    work = replace(
        work,
        legs=work.legs[1:],
        begun=True,
        done=work.done + 1,
        distance_um=float(cast("float", distance)) if known else work.distance_um,
        doing=doing,
    )
    if values["stale"]:
        work = replace(work, reasons=(f"{values['stale']}: take the background again",))
    elif never and work.done >= LOST_IN_A_ROW:
        reason = f"none of the first {work.done} holograms has a distance; the last says: {values['reason']}"
        work = replace(work, reasons=(reason,))
    _tell(turn, task, work)
    if work.reasons or not work.legs:
        _ask(turn, task, replace(work, phase="judging", legs=()))
    else:
        _next_leg(turn, task, work)


def _next_leg(turn: Turn, task: str, work: CalibrateHologramWork) -> None:
    leg = work.legs[0]
    _change(turn, task, work)
    submit_move(turn, task, leg.z_um, Origin.AUTOMATIC, direct=leg.direct)


def _arrived(turn: Turn, task: Task, work: CalibrateHologramWork) -> None:
    if work.legs[0].use != "pass":
        _change(turn, task.id, work)
        submit_snap(turn, task.id)
    elif len(work.legs) > 1:
        _next_leg(turn, task.id, replace(work, legs=work.legs[1:]))
    elif work.outcome is not None:
        result = {**(work.outcome.result or {}), **report.costs(turn, work)}
        turn.end_task(task, replace(work.outcome, result=result))


def _snapped(turn: Turn, task: Task, work: CalibrateHologramWork, frame: str) -> None:
    """Have the hologram looked at; one that was exposed while the stage moved never counts."""
    found = keep(turn, frame)
    if found is None or found.moving:
        submit_snap(turn, task.id)
        return
    _ask(turn, task.id, replace(work, images=work.images + 1, frame=frame))


def _ask(turn: Turn, task: str, work: CalibrateHologramWork) -> None:
    """Have the engine do its part with the newest frame; a new one is taken where that is gone."""
    _change(turn, task, work)
    frame = turn.state.frame(work.frame or "")
    if frame is None:
        submit_snap(turn, task)
        return
    action: Action = "background" if work.phase == "background" else "step" if work.phase == "stepping" else "finish"
    turn.measure(ENGINE, frame.frame, report.options_of(turn, task, work, action, frame), task=task)


# --- the end --------------------------------------------------------------------------------------------------------


def _judged(turn: Turn, task: str, work: CalibrateHologramWork, values: dict[str, JsonValue]) -> None:
    """The verdict is there; an accepted calibration holds from now on."""
    settings = turn.state.settings
    result = report.verdict(turn, work, values)
    if result["accepted"] and settings.hologram is not None:
        learned = replace(
            settings.hologram,
            side=-1 if result["side"] == "minus" else 1,
            calibrated=True,
            why_not="",
            binning=work.binning,
            sign=-1 if result["sign"] == -1 else 1,
            stage_per_focus=cast("float", result["stage_per_focus"]),
            offset_um=cast("float", result["offset_um"]),
            repeatability_um=cast("float", result["repeatability_um"]),
        )
        turn.set(settings=replace(settings, hologram=learned))
    _go_home(turn, task, work, Outcome("done", result))


def _come_home(turn: Turn, task: str, work: CalibrateHologramWork, outcome: Outcome) -> None:
    """Have the engine forget what it keeps, return to the start, then end."""
    if turn.state.frame(work.frame or "") is not None:
        turn.do(Measure(turn.new_id(), ENGINE, work.frame or "", {"action": "drop"}))  # nobody waits for its answer
    _go_home(turn, task, work, outcome)


def _go_home(turn: Turn, task: str, work: CalibrateHologramWork, outcome: Outcome) -> None:
    here_um = turn.state.stage.z_um
    legs = work.plan.home(work.plan.start_um if here_um is None else here_um)
    _next_leg(turn, task, replace(work, phase="homing", legs=legs, outcome=outcome))


def _work(task: Task) -> CalibrateHologramWork:
    assert isinstance(task.work, CalibrateHologramWork)  # noqa: S101 - only such tasks come here; narrows the type
    return task.work


def _change(turn: Turn, task: str, work: CalibrateHologramWork) -> None:
    turn.change_task(replace(turn.state.tasks[task], work=work))


def _tell(turn: Turn, task: str, work: CalibrateHologramWork) -> None:
    """Publish how far it is."""
    told = replace(turn.state.tasks[task], work=work, progress=report.progress(turn, work))
    turn.change_task(told)
    turn.publish_task(told)


__all__ = ["ENGINE", "cancel", "command_ended", "measured", "next_place", "run"]
