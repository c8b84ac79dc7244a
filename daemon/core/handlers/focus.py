"""``focus.run``: the search of `microscoped.daemon.focus`, closed over stage, camera and sharpness engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.arbiter import Claim, Rank
from microscoped.daemon.core.handlers.camera import keep, submit_snap
from microscoped.daemon.core.handlers.stage import known_position, submit_move, take_stage
from microscoped.daemon.core.state import FocusWork, Outcome
from microscoped.daemon.focus import Probe, Sample, SearchResult, SearchSettings, propose
from microscoped.daemon.protocol import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import Accepted, FocusRunParams
from microscoped.drivers.errors import MotionRefusedError
from microscoped.drivers.motion import Arrival
from microscoped.drivers.safety import Approach, Origin, check_automatic, check_target
from microscoped.models.sharpness import sharpness_settings

if TYPE_CHECKING:
    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import CommandEnded, MeasureEnded
    from microscoped.daemon.core.state import FocusDefaults, Task
    from microscoped.daemon.core.turn import Ask, Turn

ENGINE = "sharpness"


def run(turn: Turn, ask: Ask) -> None:
    """Begin a search around the present position."""
    params: FocusRunParams = ask.params
    start_um = known_position(turn)
    defaults = turn.state.settings.focus
    search = _search_settings(turn, params, start_um)
    warnings = []
    range_um = params.range_um or defaults.range_um
    if search.high_um - search.low_um < 2 * range_um * (1 - 1e-9):
        warnings.append(f"the limits cut the search to {search.low_um:g} … {search.high_um:g} µm")
    if turn.state.camera.settings.auto_exposure:
        warnings.append("auto_exposure is on: scores of unlike exposures hardly compare; switch it off with camera.set")
    task = turn.new_id()
    take_stage(turn, Claim(task, ask.to.op, Rank.FOCUS_RUN))
    turn.reply(ask.to, Accepted(task=task))
    work = FocusWork(
        search=search,
        options=_options(params, defaults),
        start_um=start_um,
        offset_um=_offset_um(defaults, params.channel),
        began_ns=turn.now.mono_ns,
        warnings=tuple(warnings),
    )
    turn.begin_task(ask, task, work)
    _next(turn, turn.state.tasks[task], work, ask.not_after_ns)


def command_ended(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """Go on after a move or a snap."""
    work = task.work
    assert isinstance(work, FocusWork)  # noqa: S101 - only focus tasks come here; narrows the type
    if ended.error is not None:
        # Stage or camera are in fault, or the move was refused: stay, and say where.
        if work.outcome is not None:
            detail = f"{ended.error.detail} (while returning to the start, {work.start_um:g} µm)"
            turn.end_task(task, Outcome("failed", work.outcome.result, ErrorBody.of(ended.error.code, detail)))
        else:
            turn.end_task(task, Outcome("failed", _report(turn, work, None), ended.error))
    elif isinstance(ended.value, Arrival):
        arrival = ended.value
        work = replace(work, moves=work.moves + arrival.moves, travel_um=work.travel_um + arrival.travel_um)
        if work.outcome is not None:
            turn.end_task(task, replace(work.outcome, result=_with_costs(turn, work)))
            return
        _change(turn, task, replace(work, phase="snapping"))
        submit_snap(turn, task.id)
    elif isinstance(ended.value, str):
        _snapped(turn, task, work, ended.value)


def measured(turn: Turn, task: Task, ended: MeasureEnded) -> None:
    """Go on after a measurement."""
    work = task.work
    assert isinstance(work, FocusWork)  # noqa: S101 - only focus tasks come here; narrows the type
    frame = turn.state.frame(ended.frame)
    if ended.error is not None or ended.values is None or frame is None:
        error = ended.error or ErrorBody.of(ErrorCode.FAULT_ENGINE, f"frame {ended.frame} was dropped before its score")
        _come_home(turn, task, work, Outcome("failed", _report(turn, work, None), error))
        return
    score, spread = ended.values["score"], ended.values["error"]
    assert isinstance(score, float)  # noqa: S101 - the engine's own contract; narrows the type
    assert isinstance(spread, float)  # noqa: S101 - as above
    sample = Sample(frame.z_um, score, spread)
    work = replace(work, samples=(*work.samples, sample))
    progress: dict[str, JsonValue] = {"images": work.images, "z_um": sample.z_um, "score": sample.score}
    task = replace(task, progress=progress, work=work)
    turn.change_task(task)
    turn.publish_task(task)
    _next(turn, task, work)


def cancel(turn: Turn, task: Task, why: str) -> None:
    """End a search early: the stage returns to its start."""
    work = task.work
    assert isinstance(work, FocusWork)  # noqa: S101 - only focus tasks come here; narrows the type
    if work.outcome is None:
        error = ErrorBody.of(ErrorCode.CANCELLED, f"{why}; the stage returns to its start")
        turn.drop_pending(task.id)
        _come_home(turn, task, work, Outcome("cancelled", _report(turn, work, None), error))


def _search_settings(turn: Turn, params: FocusRunParams, start_um: float) -> SearchSettings:
    """Merge request and configuration, and keep the search within the limits.

    Raises
    ------
    RefusedError
        The start lies outside the limits, the direction is unknown, or the settings do not fit together.
    """
    motion, defaults = turn.state.settings.motion, turn.state.settings.focus
    range_um = params.range_um or defaults.range_um
    try:
        check_target(motion, start_um)
        low_um, high_um = motion.limits_um or (start_um, start_um)
        low_um, high_um = max(low_um, start_um - range_um), min(high_um, start_um + range_um)
        check_automatic(motion, high_um - low_um)
    except MotionRefusedError as error:
        raise RefusedError(error.code, str(error), {"from_um": start_um, "range_um": range_um}) from None
    side = motion.approach_side or Approach.INCREASING
    try:
        return SearchSettings(
            center_um=start_um,
            low_um=low_um,
            high_um=high_um,
            tolerance_um=params.tolerance_um or defaults.tolerance_um,
            coarse_step_um=defaults.coarse_step_um,
            extremum=params.extremum or defaults.extremum,
            approach=side.value,
            max_images=defaults.max_images,
        )
    except ValueError as error:
        raise RefusedError(ErrorCode.INVALID, str(error)) from None


def _options(params: FocusRunParams, defaults: FocusDefaults) -> dict[str, JsonValue]:
    """What the sharpness engine is told.

    Raises
    ------
    RefusedError
        It would not understand.
    """
    options: dict[str, JsonValue] = {"metric": params.metric or defaults.metric}
    roi = params.roi or defaults.roi
    if roi is not None:
        options["roi"] = list(roi)
    try:
        sharpness_settings(options)
    except ValueError as error:
        raise RefusedError(ErrorCode.INVALID, f"params.{error}") from None
    return options


def _offset_um(defaults: FocusDefaults, channel: str | None) -> float:
    if channel is None:
        return 0.0
    if channel not in defaults.offsets_um:
        known = ", ".join(sorted(defaults.offsets_um)) or "none"
        raise RefusedError(
            ErrorCode.INVALID, f"channel {channel!r} has no offset in focus.offsets_um (configured: {known})"
        )
    return defaults.offsets_um[channel]


def _next(turn: Turn, task: Task, work: FocusWork, not_after_ns: int | None = None) -> None:
    """Ask the search what to do, and do it; its first step must begin before `not_after_ns`."""
    step = propose(work.search, work.samples)
    if isinstance(step, Probe):
        _change(turn, task, replace(work, phase="moving"))
        submit_move(turn, task.id, step.z_um, Origin.AUTOMATIC, not_after_ns)
        return
    report = _report(turn, work, step)
    if not step.focused:
        error = ErrorBody.of(ErrorCode.NOT_FOCUSED, f"{step.reason}; the stage returns to {work.start_um:g} µm")
        _come_home(turn, task, work, Outcome("failed", report, error))
        return
    target_um = step.z_um + work.offset_um
    try:
        check_target(turn.state.settings.motion, target_um)
    except MotionRefusedError as refusal:
        error = ErrorBody.of(refusal.code, f"{refusal} (focus at {step.z_um:g} µm, offset {work.offset_um:g} µm)")
        _come_home(turn, task, work, Outcome("failed", report, error))
        return
    done = Outcome("done", {**report, "z_um": target_um})
    here = turn.state.stage.z_um
    if here is not None and abs(here - target_um) <= turn.state.settings.motion.arrival_tolerance_um:
        turn.end_task(task, done)
    else:
        _go(turn, task, work, target_um, done)


def _snapped(turn: Turn, task: Task, work: FocusWork, frame: str) -> None:
    """Have the frame scored; a frame that was exposed while the stage moved never counts."""
    found = keep(turn, frame)
    if found is None or found.moving:
        submit_snap(turn, task.id)
        return
    _change(turn, task, replace(work, phase="measuring", images=work.images + 1, frame=frame))
    turn.measure(ENGINE, frame, {**work.options, "bit_depth": found.bit_depth}, task=task.id)


def _come_home(turn: Turn, task: Task, work: FocusWork, outcome: Outcome) -> None:
    """Return to the start, then end."""
    _go(turn, task, work, work.start_um, outcome)


def _go(turn: Turn, task: Task, work: FocusWork, z_um: float, outcome: Outcome) -> None:
    _change(turn, task, replace(work, phase="homing", outcome=outcome))
    submit_move(turn, task.id, z_um, Origin.AUTOMATIC)


def _change(turn: Turn, task: Task, work: FocusWork) -> None:
    turn.change_task(replace(turn.state.tasks[task.id], work=work))


def _report(turn: Turn, work: FocusWork, result: SearchResult | None) -> dict[str, JsonValue]:
    """What a run has found and what it has cost."""
    curve = result.curve if result else tuple(sorted(work.samples, key=lambda sample: sample.z_um))
    return {
        "method": "search",
        "focused": result is not None and result.focused,
        "z_um": turn.state.stage.z_um,
        "focus_z_um": result.z_um if result and result.focused else None,
        "start_um": work.start_um,
        "offset_um": work.offset_um,
        "extremum": result.extremum if result else None,
        "prominence": result.prominence if result else None,
        "noise": result.noise if result else None,
        "reason": result.reason if result else "",
        "curve": [[sample.z_um, sample.score] for sample in curve],
        "searched_um": [work.search.low_um, work.search.high_um],
        "warnings": list(work.warnings),
        **_costs(turn, work),
    }


def _with_costs(turn: Turn, work: FocusWork) -> dict[str, JsonValue]:
    """The outcome's report, with where the stage is and what it has cost now that it has come to rest."""
    report = dict(work.outcome.result or {}) if work.outcome else {}
    return {**report, **_costs(turn, work), "z_um": turn.state.stage.z_um}


def _costs(turn: Turn, work: FocusWork) -> dict[str, JsonValue]:
    return {
        "images": work.images,
        "moves": work.moves,
        "travel_um": work.travel_um,
        "duration_ms": (turn.now.mono_ns - work.began_ns) / 1e6,
    }
