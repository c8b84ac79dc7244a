"""The excursions of a ``focus.hold`` by holograms: pure `propose_distance`, closed over stage, camera and the engine.

The stage is moved only where it is known how far and which way distances go with it. What is sent to the stage goes the
way of all automatic moves; an excursion without success returns to where it began.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.handlers.camera import keep, pixel_size_um, submit_snap
from microscoped.daemon.core.handlers.stage import resting_place, submit_move
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.core.state import DistanceWork, HoldWork, Outcome
from microscoped.daemon.focus import (
    Correct,
    DistancePolicy,
    DistanceReading,
    DistanceResult,
    ReadDistance,
    propose_distance,
)
from microscoped.daemon.protocol import ErrorBody, ErrorCode, RefusedError
from microscoped.drivers.errors import MotionRefusedError
from microscoped.drivers.motion import Arrival
from microscoped.drivers.safety import Origin, check_automatic, check_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import CommandEnded, MeasureEnded
    from microscoped.daemon.core.state import HologramDefaults, Task
    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.protocol.ops import FocusHoldParams

ENGINE = "hologram"
DISTANCE, REASON = "z_min_contrast_um", "reason"
"""What the engine says of a field: its distance from the plane in focus, and why there is none."""


def known(turn: Turn) -> HologramDefaults:
    """Return what is known of holograms.

    Raises
    ------
    RefusedError
        Code ``not_ready``: there is no such engine, or its distances have no scale.
    """
    defaults = turn.state.settings.hologram
    if defaults is None:
        raise RefusedError(ErrorCode.NOT_READY, f"holograms are not read: {turn.state.settings.no_hologram}")
    if not defaults.scale_known or pixel_size_um(turn, defaults.pixel_size_um) is None:
        missing = "optics.pixel_size_um" if defaults.scale_known else "optics.wavelength_nm"
        raise RefusedError(ErrorCode.NOT_READY, f"distances of holograms have no scale: set {missing}")
    return defaults


def check(turn: Turn, params: FocusHoldParams) -> HologramDefaults:
    """Return what is known of holograms, where a hold by them can begin.

    Raises
    ------
    RefusedError
        It cannot: nothing reads distances, the stage's scale or its sign is unknown, or a parameter does not suit.
    """
    defaults = known(turn)
    given = {"score_drop": params.score_drop, "channel": params.channel}
    given |= {"method": None if params.method == "auto" else params.method}
    if defaults.refocus == "numerical":
        given |= {"distance_um": params.distance_um}
    unsuited = [name for name, value in given.items() if value is not None]
    if unsuited:
        raise RefusedError(
            ErrorCode.INVALID,
            f"{', '.join(unsuited)}: says nothing to a hold by holograms "
            f"(engines.hologram.refocus: {defaults.refocus}); leave it out",
        )
    if defaults.refocus == "stage":
        policy(turn, None)
    return defaults


def policy(turn: Turn, wanted_um: float | None) -> DistancePolicy:
    """Return what bounds an excursion that begins now.

    Raises
    ------
    RefusedError
        It may not begin: the stage's scale or sign is unknown, or its rules of motion are against it.
    """
    defaults, motion = known(turn), turn.state.settings.motion
    if defaults.stage_per_focus is None or defaults.sign is None:
        raise RefusedError(
            ErrorCode.NOT_READY,
            "how far the stage must go for a micrometre of distance, and which way, is unknown: run 'microscoped "
            "calibrate hologram', or set engines.hologram.stage_per_focus, or engines.hologram.refocus to numerical "
            f"({defaults.why_not})",
        )
    binning = turn.state.camera.settings.binning or 1
    if defaults.calibrated and defaults.binning not in (None, binning):
        raise RefusedError(
            ErrorCode.NOT_READY,
            f"the calibration of holograms is for binning {defaults.binning}, not for {binning}; set it with "
            "camera.set, or calibrate again",
        )
    start_um, range_um = resting_place(turn), turn.state.settings.focus.range_um
    try:
        check_target(motion, start_um)
        check_automatic(motion, defaults.tolerance_um)
    except MotionRefusedError as error:
        raise RefusedError(error.code, str(error), {"from_um": start_um}) from None
    low_um, high_um = motion.limits_um or (start_um, start_um)
    return DistancePolicy(
        wanted_um=wanted_um,
        tolerance_um=defaults.tolerance_um,
        stage_per_distance=defaults.sign * defaults.stage_per_focus,
        low_um=max(low_um, start_um - range_um),
        high_um=min(high_um, start_um + range_um),
    )


def plan(turn: Turn, work: HoldWork) -> DistanceWork:
    """Return an excursion that has not begun yet.

    Raises
    ------
    RefusedError
        As `policy`.
    """
    return DistanceWork(policy(turn, work.distance_um), resting_place(turn), turn.now.mono_ns)


def go_on(turn: Turn, task: Task, run: DistanceWork) -> None:
    """Ask what to do, and do it."""
    step = propose_distance(run.policy, run.readings)
    match step:
        case ReadDistance():
            _change(turn, task, replace(run, phase="snapping"))
            submit_snap(turn, task.id)
        case Correct():
            _change(turn, task, replace(run, phase="moving", targets=run.targets + 1))
            submit_move(turn, task.id, step.z_um, Origin.AUTOMATIC)
        case DistanceResult(held=True):
            _end(turn, task, run, Outcome("done", _report(turn, run, step)))
        case DistanceResult():
            error = ErrorBody.of(ErrorCode.NOT_FOCUSED, f"{step.reason}; the stage returns to {run.start_um:g} µm")
            _come_home(turn, task, run, Outcome("failed", _report(turn, run, step), error))


def command_ended(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """Go on after a move or a snap."""
    run = _run(task)
    if ended.error is not None:
        if run.outcome is not None:
            detail = f"{ended.error.detail} (while returning to the start, {run.start_um:g} µm)"
            error = ErrorBody.of(ended.error.code, detail)
            _end(turn, task, run, Outcome("failed", run.outcome.result, error))
        elif turn.state.mode is Mode.FAULT:
            _end(turn, task, run, Outcome("failed", _report(turn, run), ended.error))
        else:
            # A camera that fails once, or a move that is refused, does not end a hold.
            _come_home(turn, task, run, Outcome("failed", _report(turn, run), ended.error))
    elif isinstance(ended.value, Arrival):
        arrival = ended.value
        run = replace(run, moves=run.moves + arrival.moves, travel_um=run.travel_um + arrival.travel_um)
        if run.outcome is not None:
            _end(turn, task, run, replace(run.outcome, result={**(run.outcome.result or {}), **_costs(turn, run)}))
            return
        _change(turn, task, replace(run, phase="snapping"))
        submit_snap(turn, task.id)
    elif isinstance(ended.value, str):
        _snapped(turn, task, run, ended.value)


def measured(turn: Turn, task: Task, ended: MeasureEnded) -> None:
    """Go on after a measurement."""
    run = _run(task)
    frame = turn.state.frame(ended.frame)
    if ended.values is None or frame is None:
        why = ended.error.detail if ended.error else f"frame {ended.frame} was dropped before it was measured"
        reading = DistanceReading(turn.state.stage.z_um or 0.0, None, why)
    else:
        reading = DistanceReading(frame.z_um, *distance_of(ended.values))
    run = replace(run, readings=(*run.readings, reading))
    _change(turn, task, run)
    go_on(turn, task, run)


def distance_of(values: Mapping[str, JsonValue]) -> tuple[float | None, str]:
    """Return the distance of a field, and why there is none."""
    found, reason = values.get(DISTANCE), values.get(REASON)
    return (
        float(found) if isinstance(found, int | float) else None,
        reason if isinstance(reason, str) else "",
    )


def cancel(turn: Turn, task: Task, why: str) -> None:
    """End an excursion early: the stage returns to its start."""
    run = _run(task)
    if run.outcome is None:
        error = ErrorBody.of(ErrorCode.CANCELLED, f"{why}; the stage returns to its start")
        turn.drop_pending(task.id)
        _come_home(turn, task, run, Outcome("cancelled", _report(turn, run), error))


def _snapped(turn: Turn, task: Task, run: DistanceWork, frame: str) -> None:
    """Have the hologram measured; one that was exposed while the stage moved never counts."""
    found = keep(turn, frame)
    if found is None or found.moving:
        submit_snap(turn, task.id)
        return
    _change(turn, task, replace(run, phase="measuring", images=run.images + 1, frame=frame))
    turn.measure(ENGINE, frame, options_of(turn), task=task.id)


def options_of(turn: Turn) -> dict[str, JsonValue]:
    """What the engine must know of a frame."""
    defaults = turn.state.settings.hologram
    size_um = pixel_size_um(turn, defaults.pixel_size_um if defaults else None)
    return {} if size_um is None else {"pixel_size_um": size_um}


def _come_home(turn: Turn, task: Task, run: DistanceWork, outcome: Outcome) -> None:
    """Return to the start where the stage has left it, then end."""
    here_um = turn.state.stage.z_um
    away = here_um is None or abs(here_um - run.start_um) > turn.state.settings.motion.arrival_tolerance_um
    if run.phase in ("snapping", "measuring") and not away:
        _end(turn, task, run, outcome)
        return
    _change(turn, task, replace(run, phase="homing", targets=run.targets + 1, outcome=outcome))
    submit_move(turn, task.id, run.start_um, Origin.AUTOMATIC)


def _end(turn: Turn, task: Task, run: DistanceWork, outcome: Outcome) -> None:
    """Leave the outcome to the hold."""
    turn.drop_pending(task.id)
    _change(turn, task, replace(run, phase="ended", outcome=outcome))


def _change(turn: Turn, task: Task, run: DistanceWork) -> None:
    """Put the excursion in its place."""
    now = turn.state.tasks[task.id]
    assert isinstance(now.work, HoldWork)  # noqa: S101 - only holds come here; narrows the type
    turn.change_task(replace(now, work=replace(now.work, run=run)))


def _run(task: Task) -> DistanceWork:
    assert isinstance(task.work, HoldWork)  # noqa: S101 - as above
    assert isinstance(task.work.run, DistanceWork)  # noqa: S101 - as above
    return task.work.run


def _report(turn: Turn, run: DistanceWork, result: DistanceResult | None = None) -> dict[str, JsonValue]:
    """What an excursion has found and what it has cost."""
    last = run.readings[-1] if run.readings else None
    return {
        "held": result is not None and result.held,
        "distance_um": last.distance_um if last else None,
        "wanted_um": result.wanted_um if result else run.policy.wanted_um,
        "reason": result.reason if result else "",
        "readings": [{"z_um": reading.z_um, "distance_um": reading.distance_um} for reading in run.readings],
        "start_um": run.start_um,
        **_costs(turn, run),
    }


def _costs(turn: Turn, run: DistanceWork) -> dict[str, JsonValue]:
    return {
        "z_um": turn.state.stage.z_um,
        "images": run.images,
        "targets": run.targets,
        "moves": run.moves,
        "travel_um": run.travel_um,
        "duration_ms": (turn.now.mono_ns - run.began_ns) / 1e6,
    }


__all__ = [
    "ENGINE",
    "cancel",
    "check",
    "command_ended",
    "distance_of",
    "go_on",
    "measured",
    "options_of",
    "plan",
]
