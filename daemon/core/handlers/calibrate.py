"""``calibrate.run``: whether focus from pairs may be trusted on this microscope.

The reducer says where the stage goes and what each image is for; the engine ``focus_calibration`` keeps what the images
hold and judges. Phases: ``searching`` and ``sweeping`` in each field, ``stage`` in the first, ``fitting`` after two
thirds of them, ``moving`` and ``correcting`` in the others; between fields ``parking``, ``waiting`` for
``calibrate.next``, ``stepping``; at last ``judging`` and ``homing``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from microscoped.daemon.core.arbiter import Claim, Rank
from microscoped.daemon.core.effects import Measure
from microscoped.daemon.core.handlers import calibrate_hologram, focus
from microscoped.daemon.core.handlers import calibrate_report as report
from microscoped.daemon.core.handlers.camera import keep, submit_snap
from microscoped.daemon.core.handlers.stage import known_position, submit_move, take_stage
from microscoped.daemon.core.state import CalibrateHologramWork, CalibrateWork, Outcome, PairWatch
from microscoped.daemon.focus import Probe, Sample, propose
from microscoped.daemon.protocol import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import Accepted, CalibrateNextParams, CalibrateRunParams, Empty, FocusRunParams
from microscoped.drivers.commands import StepField
from microscoped.drivers.motion import Arrival
from microscoped.drivers.safety import Origin

if TYPE_CHECKING:
    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import CommandEnded, MeasureEnded
    from microscoped.daemon.core.state import Task
    from microscoped.daemon.core.turn import Ask, Turn
    from microscoped.daemon.core.works import CalibrateAction, CalibratePhase

ENGINE = "focus_calibration"
VISITS = ("rest", "return", "reverse")
STEP_FIELD_S = 30.0


def run(turn: Turn, ask: Ask) -> None:
    """Begin a calibration where the stage is."""
    params: CalibrateRunParams = ask.params
    if params.what == "hologram":
        calibrate_hologram.run(turn, ask)
        return
    work = report.work_of(turn, params, known_position(turn))
    task = turn.new_id()
    take_stage(turn, Claim(task, ask.to.op, Rank.FOCUS_RUN))
    turn.reply(ask.to, Accepted(task=task))
    turn.begin_task(ask, task, work)
    turn.change_task(replace(turn.state.tasks[task], progress=report.plan_facts(turn, work)))
    turn.publish_task(turn.state.tasks[task])
    _search_field(turn, task, work)


def next_field(turn: Turn, ask: Ask) -> None:
    """Go on in the next field: somebody has moved the slide, or a simulated microscope is told to show another."""
    params: CalibrateNextParams = ask.params
    task = turn.state.tasks.get(params.task)
    if task is not None and isinstance(task.work, CalibrateHologramWork):
        calibrate_hologram.next_place(turn, ask, task)
        return
    if task is None or not isinstance(task.work, CalibrateWork):
        raise RefusedError(ErrorCode.NOT_FOUND, f"no calibration {params.task!r} is under way; status lists the tasks")
    if task.work.phase != "waiting":
        raise RefusedError(
            ErrorCode.NOT_READY, f"the calibration does not wait for another field yet: it is {task.work.phase}"
        )
    _change(turn, task.id, replace(task.work, phase="stepping"))
    turn.submit(
        lambda command: StepField(id=command, not_after_ns=ask.not_after_ns),
        op="calibrate.next",
        own_time_s=STEP_FIELD_S,
        task=task.id,
    )
    turn.reply(ask.to, Empty())


def command_ended(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """Go on after a move, a snap, or a change of field."""
    work = _work(task)
    if ended.error is not None:
        # Stage or camera are in fault, or the move was refused: stay, and say where.
        result = work.outcome.result if work.outcome is not None else report.costs(turn, work)
        turn.end_task(task, Outcome("failed", result, ended.error))
    elif isinstance(ended.value, Arrival):
        arrival = ended.value
        work = replace(work, moves=work.moves + arrival.moves, travel_um=work.travel_um + arrival.travel_um)
        _arrived(turn, task, work, arrival.z_um)
    elif isinstance(ended.value, str):
        _snapped(turn, task, work, ended.value)
    elif work.phase == "stepping":
        _search_field(turn, task.id, replace(work, field=work.field + 1))


def measured(turn: Turn, task: Task, ended: MeasureEnded) -> None:
    """Go on after an engine's answer."""
    work = _work(task)
    frame = turn.state.frame(ended.frame)
    if ended.error is not None or ended.values is None or frame is None:
        error = ended.error or ErrorBody.of(ErrorCode.FAULT_ENGINE, f"frame {ended.frame} was dropped too early")
        _come_home(turn, task.id, work, Outcome("failed", report.costs(turn, work), error))
        return
    values = dict(ended.values)
    match work.awaits:
        case "score":
            score, spread = cast("float", values["score"]), cast("float", values["error"])
            work = replace(work, samples=(*work.samples, Sample(frame.z_um, score, spread)))
            _tell(turn, task.id, work)
            _search_on(turn, task.id, work)
        case "sweep" | "visit":
            work = replace(work, legs=work.legs[1:], swept=True)
            _tell(turn, task.id, work)
            if work.legs:
                _next_leg(turn, task.id, work)
            else:
                _analyse(turn, task.id, work, "field" if work.awaits == "sweep" else "stage")
        case "field":
            _field_judged(turn, task.id, work, values)
        case "stage":
            faults = cast("list[str]", values["faults"])
            if faults:
                _finish(turn, task.id, replace(work, reasons=tuple(faults)))
            else:
                _field_done(turn, task.id, work)
        case "fit":
            before, work = work.doing, replace(work, doing=cast("str", values["doing"]), fitted=bool(values["done"]))
            if work.doing != before:
                _tell(turn, task.id, work)
            if work.fitted:
                _park(turn, task.id, work)
            else:
                _analyse(turn, task.id, work, "fit")
        case "pair":
            _pair_read(turn, task.id, work, frame.z_um, cast("float | None", values["defocus_um"]))
        case "finish":
            _judged(turn, task.id, work, values)


def cancel(turn: Turn, task: Task, why: str) -> None:
    """End a calibration early: the stage returns to where it was at its start."""
    work = _work(task)
    if work.outcome is None:
        error = ErrorBody.of(ErrorCode.CANCELLED, f"{why}; the stage returns to its start")
        turn.drop_pending(task.id)
        _come_home(turn, task.id, work, Outcome("cancelled", report.costs(turn, work), error))


# --- one field ------------------------------------------------------------------------------------------------------


def _search_field(turn: Turn, task: str, work: CalibrateWork) -> None:
    """Begin with a field: search its focus from where the stage is."""
    wanted = FocusRunParams(method="search", range_um=work.range_um, extremum=work.extremum)
    try:
        planned = focus.plan(turn, wanted, fallback=False)
    except RefusedError as refusal:
        _come_home(turn, task, work, Outcome("failed", report.costs(turn, work), refusal.body))
        return
    work = replace(
        work, phase="searching", search=planned.search, options=planned.options, samples=(), frames=(), doing=""
    )
    if work.field > 1:  # in the first one the plan was just told
        _tell(turn, task, work)
    _search_on(turn, task, work)


def _search_on(turn: Turn, task: str, work: CalibrateWork) -> None:
    assert work.search is not None  # noqa: S101 - set where a field begins; narrows the type
    step = propose(work.search, work.samples)
    if isinstance(step, Probe):
        _move(turn, task, work, step.z_um)
    elif not step.focused:
        _reject_field(turn, task, work, f"the search finds no focus: {step.reason}")
    else:
        legs = work.plan.sweep(step.z_um)
        if not legs:
            _reject_field(
                turn, task, work, f"the focus at {step.z_um:g} µm is too near to a limit for a sweep (stage.limits_um)"
            )
            return
        work = replace(work, phase="sweeping", focus_um=step.z_um, found=step.extremum, legs=legs)
        _next_leg(turn, task, work)


def _field_judged(turn: Turn, task: str, work: CalibrateWork, values: dict[str, JsonValue]) -> None:
    """The sweep of a field was looked at."""
    focus_um, flank_um = values["focus_um"], values["flank_um"]
    if not isinstance(focus_um, int | float):
        _reject_field(turn, task, replace(work, known=(*work.known, work.field)), str(values["reason"]))
        return
    first = work.accepted == 0
    known = (*work.known, work.field)
    work = replace(work, accepted=work.accepted + 1, focus_um=float(focus_um), known=known)
    _tell(turn, task, work)
    if not first:
        _field_done(turn, task, work)
    elif isinstance(flank_um, int | float):
        _next_leg(turn, task, replace(work, phase="stage", legs=work.plan.visits(float(flank_um))))
    else:
        detail = "the scores of the first field have no steep flank on which the stage could be watched"
        _finish(turn, task, replace(work, reasons=(detail,)))


def _reject_field(turn: Turn, task: str, work: CalibrateWork, reason: str) -> None:
    work = replace(work, rejected=(*work.rejected, (work.field, reason)), doing=f"field {work.field}: {reason}")
    _tell(turn, task, work)
    if len(work.rejected) > work.plan.rejections:
        several = f"{len(work.rejected)} of {work.field} fields were rejected; the last: {reason}"
        _finish(turn, task, replace(work, reasons=(several,)))
    else:
        _park(turn, task, work)


def _field_done(turn: Turn, task: str, work: CalibrateWork) -> None:
    """Go on after a field with a focus is complete."""
    if work.accepted > work.plan.fit_fields:
        _begin_move(turn, task, replace(work, move=0))
    elif work.accepted == work.plan.fit_fields and not work.fitted:
        _analyse(turn, task, work, "fit")
    else:
        _park(turn, task, work)


def _park(turn: Turn, task: str, work: CalibrateWork) -> None:
    """Wait for the next field near the last focus, where its own should be."""
    home_um = work.start_um if work.focus_um is None else work.focus_um
    _move(turn, task, replace(work, phase="parking", legs=()), home_um)


# --- closed loop ----------------------------------------------------------------------------------------------------


def _begin_move(turn: Turn, task: str, work: CalibrateWork) -> None:
    assert work.focus_um is not None  # noqa: S101 - this field has one; narrows the type
    legs = work.plan.pair(work.focus_um, work.move)
    _next_leg(turn, task, replace(work, phase="moving", legs=legs, frames=()))


def _pair_read(turn: Turn, task: str, work: CalibrateWork, z_um: float, defocus_um: float | None) -> None:
    """Go where the pair says that the focus is."""
    work = replace(work, legs=())
    if defocus_um is None:
        _move_done(turn, task, replace(work, residuals_um=(*work.residuals_um, None)))
        return
    target_um = work.plan.target_um(z_um, defocus_um)
    if target_um is None:
        # It would have left the limits, so the stage stays; how far off it would have ended counts.
        assert work.focus_um is not None  # noqa: S101 - as above
        residual_um = z_um - defocus_um - work.focus_um
        _move_done(turn, task, replace(work, residuals_um=(*work.residuals_um, residual_um)))
    else:
        _move(turn, task, replace(work, phase="correcting"), target_um)


def _move_done(turn: Turn, task: str, work: CalibrateWork) -> None:
    work = replace(work, move=work.move + 1, frames=())
    _tell(turn, task, work)
    if work.move < work.plan.moves_per_field:
        _begin_move(turn, task, work)
    elif work.accepted < work.plan.fields:
        _park(turn, task, work)
    else:
        _finish(turn, task, work)


# --- stage, camera, engine ------------------------------------------------------------------------------------------


def _arrived(turn: Turn, task: Task, work: CalibrateWork, z_um: float) -> None:
    if work.outcome is not None:
        result = {**(work.outcome.result or {}), **report.costs(turn, work)}
        turn.end_task(task, replace(work.outcome, result=result))
        return
    match work.phase:
        case "parking":
            work = replace(work, phase="waiting")
            _change(turn, task.id, work)
            _tell(turn, task.id, work)
        case "correcting":
            assert work.focus_um is not None  # noqa: S101 - as above
            _move_done(turn, task.id, replace(work, residuals_um=(*work.residuals_um, z_um - work.focus_um)))
        case _ if work.legs and work.legs[0].use == "pass":
            _next_leg(turn, task.id, replace(work, legs=work.legs[1:]))
        case _:
            _change(turn, task.id, work)
            submit_snap(turn, task.id)


def _snapped(turn: Turn, task: Task, work: CalibrateWork, frame: str) -> None:
    """Have the frame looked at; one that was exposed while the stage moved never counts."""
    found = keep(turn, frame)
    if found is None or found.moving:
        submit_snap(turn, task.id)
        return
    leg = work.legs[0] if work.legs and work.phase in ("sweeping", "stage", "moving") else None
    work = replace(work, images=work.images + 1, frames=(*(work.frames if leg and leg.use == "pair" else ()), frame))
    if leg is None and work.phase != "searching":
        _analyse(turn, task.id, work, work.awaits)  # the frame that it was about was forgotten meanwhile
    elif leg is None:
        options: dict[str, JsonValue] = {**work.options, "bit_depth": found.bit_depth}
        _change(turn, task.id, replace(work, awaits="score"))
        turn.measure(focus.ENGINE, frame, options, task=task.id)
    elif leg.use == "first":
        _next_leg(turn, task.id, replace(work, legs=work.legs[1:]))
    else:
        action: CalibrateAction = "visit" if leg.use in VISITS else "pair" if leg.use == "pair" else "sweep"
        _analyse(turn, task.id, work, action)


def _next_leg(turn: Turn, task: str, work: CalibrateWork) -> None:
    """Go to the next place, or expose again where the stage rests there for it."""
    leg = work.legs[0]
    here_um = turn.state.stage.z_um
    resting = leg.use == "rest" and here_um is not None
    if resting and abs((here_um or 0.0) - leg.z_um) <= turn.state.settings.motion.arrival_tolerance_um:
        _change(turn, task, work)
        submit_snap(turn, task)
    else:
        _move(turn, task, work, leg.z_um, direct=leg.direct)


def _move(turn: Turn, task: str, work: CalibrateWork, z_um: float, *, direct: bool = False) -> None:
    _change(turn, task, work)
    submit_move(turn, task, z_um, Origin.AUTOMATIC, direct=direct)


def _analyse(turn: Turn, task: str, work: CalibrateWork, action: CalibrateAction) -> None:
    """Have the engine do its part with the newest frame; a new one is taken where that is gone."""
    phase: CalibratePhase = {"fit": "fitting", "finish": "judging"}.get(action, work.phase)  # type: ignore[assignment]
    work = replace(work, awaits=action, phase=phase)
    _change(turn, task, work)
    *earlier, newest = work.frames or ("",)
    frame = turn.state.frame(newest)
    if frame is None or any(turn.state.frame(one) is None for one in earlier):
        submit_snap(turn, task)
        return
    options = report.options_of(turn, task, work, action, frame)
    turn.measure(ENGINE, newest, options, task=task, earlier=earlier)


# --- the end --------------------------------------------------------------------------------------------------------


def _finish(turn: Turn, task: str, work: CalibrateWork) -> None:
    """Have the verdict written down; where no field was swept there is nothing to write."""
    if work.swept:
        _analyse(turn, task, replace(work, legs=()), "finish")
    else:
        _come_home(turn, task, work, Outcome("done", report.rejected_unseen(turn, work)))


def _judged(turn: Turn, task: str, work: CalibrateWork, values: dict[str, JsonValue]) -> None:
    """The verdict is there; an accepted calibration holds from now on."""
    settings = turn.state.settings
    pair = settings.focus.pair
    if values["accepted"] and pair is not None:
        learned = replace(
            pair,
            delta_um=work.plan.delta_um,
            calibrated=True,
            why_not="",
            channel=work.channel,
            binning=work.binning,
            approach=work.plan.approach,
            sign=-1 if values["sign"] == -1 else 1,
            tuned_sha256=cast("str | None", values["tuned_sha256"]),
        )
        turn.set(
            settings=replace(settings, focus=replace(settings.focus, pair=learned)),
            pair_watch=PairWatch(),
        )
    home_um = work.start_um if work.focus_um is None else work.focus_um
    _go(turn, task, work, home_um, Outcome("done", report.verdict(turn, work, values)))


def _come_home(turn: Turn, task: str, work: CalibrateWork, outcome: Outcome) -> None:
    """Have the engine forget what it keeps for fine-tuning, return to the start, then end."""
    newest = work.frames[-1] if work.frames else ""
    if work.deep and work.swept and turn.state.frame(newest) is not None:
        turn.do(Measure(turn.new_id(), ENGINE, newest, {"action": "drop"}))  # nobody waits for its answer
    _go(turn, task, work, work.start_um, outcome)


def _go(turn: Turn, task: str, work: CalibrateWork, z_um: float, outcome: Outcome) -> None:
    _move(turn, task, replace(work, phase="homing", legs=(), outcome=outcome), z_um)


def _work(task: Task) -> CalibrateWork:
    assert isinstance(task.work, CalibrateWork)  # noqa: S101 - only such tasks come here; narrows the type
    return task.work


def _change(turn: Turn, task: str, work: CalibrateWork) -> None:
    turn.change_task(replace(turn.state.tasks[task], work=work))


def _tell(turn: Turn, task: str, work: CalibrateWork) -> None:
    """Publish how far it is."""
    told = replace(turn.state.tasks[task], work=work, progress=report.progress(turn, work))
    turn.change_task(told)
    turn.publish_task(told)


__all__ = ["ENGINE", "cancel", "command_ended", "measured", "next_field", "run"]
