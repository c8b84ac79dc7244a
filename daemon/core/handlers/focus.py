"""``focus.run``: pairs and search of `microscoped.daemon.focus`, closed over stage, camera and engines.

The excursions of ``focus.hold`` and the focus events of ``acquire.run`` are such runs, too: then the task holds the
run, and sees itself what came of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.arbiter import Claim, Rank
from microscoped.daemon.core.handlers import focus_pair
from microscoped.daemon.core.handlers.camera import keep, submit_snap
from microscoped.daemon.core.handlers.stage import resting_place, submit_move, take_stage
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.core.state import AcquireWork, FocusWork, HoldWork, Outcome
from microscoped.daemon.focus import (
    PairResult,
    Probe,
    ReadPair,
    Sample,
    SearchResult,
    SearchSettings,
    TakeShot,
    propose,
    propose_pair,
)
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
    """Begin to focus around the present position."""
    work = plan(turn, ask.params, fallback=True)
    task = turn.new_id()
    take_stage(turn, Claim(task, ask.to.op, Rank.FOCUS_RUN))
    turn.reply(ask.to, Accepted(task=task))
    turn.begin_task(ask, task, work)
    go_on(turn, turn.state.tasks[task], work, ask.not_after_ns)


def plan(turn: Turn, params: FocusRunParams, *, fallback: bool) -> FocusWork:
    """Return a run that has not begun yet.

    Raises
    ------
    RefusedError
        It cannot begin: the stage's position or direction is unknown, or the parameters do not fit.
    """
    start_um = resting_place(turn)
    defaults = turn.state.settings.focus
    search = _search_settings(turn, params, start_um)
    options = _options(params, defaults)
    offset_um = _offset_um(defaults, params.channel)
    pair, why, warnings = focus_pair.choose(turn, params.method, params.channel, search)
    range_um = params.range_um or defaults.range_um
    if search.high_um - search.low_um < 2 * range_um * (1 - 1e-9):
        warnings = (*warnings, f"the limits cut the search to {search.low_um:g} … {search.high_um:g} µm")
    if turn.state.camera.settings.auto_exposure:
        detail = "auto_exposure is on: scores of unlike exposures hardly compare; switch it off with camera.set"
        warnings = (*warnings, detail)
    return FocusWork(
        search=search,
        options=options,
        start_um=start_um,
        offset_um=offset_um,
        began_ns=turn.now.mono_ns,
        method="pair" if pair else "search",
        why=why,
        pair=pair,
        fallback=fallback,
        warnings=warnings,
    )


def run_of(task: Task) -> FocusWork:
    """The run of a task: of its own, or a part of a ``focus.hold`` or an ``acquire.run``."""
    work = task.work.run if isinstance(task.work, HoldWork | AcquireWork) else task.work
    assert isinstance(work, FocusWork)  # noqa: S101 - only tasks with a run come here; narrows the type
    return work


def command_ended(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """Go on after a move or a snap."""
    work = run_of(task)
    if ended.error is not None:
        # Stage or camera are in fault, or the move was refused: stay, and say where.
        if work.outcome is not None:
            detail = f"{ended.error.detail} (while returning to the start, {work.start_um:g} µm)"
            _end(turn, task, work, Outcome("failed", work.outcome.result, ErrorBody.of(ended.error.code, detail)))
        elif isinstance(task.work, HoldWork | AcquireWork) and turn.state.mode is not Mode.FAULT:
            # A camera that fails once ends neither a hold nor an acquisition: it goes on in its plane.
            come_home(turn, task, work, Outcome("failed", _report(turn, work, None), ended.error))
        else:
            _end(turn, task, work, Outcome("failed", _report(turn, work, None), ended.error))
    elif isinstance(ended.value, Arrival):
        arrival = ended.value
        work = replace(work, moves=work.moves + arrival.moves, travel_um=work.travel_um + arrival.travel_um)
        if work.outcome is not None:
            _end(turn, task, work, replace(work.outcome, result=_with_costs(turn, work)))
            return
        _change(turn, task, replace(work, phase="snapping"))
        submit_snap(turn, task.id)
    elif isinstance(ended.value, str):
        _snapped(turn, task, work, ended.value)


def measured(turn: Turn, task: Task, ended: MeasureEnded) -> None:
    """Go on after a measurement."""
    work = run_of(task)
    frame = turn.state.frame(ended.frame)
    pair = work.pair
    if pair is not None and work.method == "pair":
        if ended.values is not None and frame is not None:
            work = replace(work, pair=focus_pair.with_reading(pair, ended.values))
            _tell(turn, task, work, {"z_um": frame.z_um, "defocus_um": ended.values["defocus_um"]})
        else:
            detail = ended.error.detail if ended.error else f"frame {ended.frame} was dropped"
            work = replace(work, pair=replace(pair, error=detail))
        go_on(turn, task, work)
        return
    if ended.error is not None or ended.values is None or frame is None:
        error = ended.error or ErrorBody.of(ErrorCode.FAULT_ENGINE, f"frame {ended.frame} was dropped before its score")
        come_home(turn, task, work, Outcome("failed", _report(turn, work, None), error))
        return
    score, spread = ended.values["score"], ended.values["error"]
    assert isinstance(score, float)  # noqa: S101 - the engine's own contract; narrows the type
    assert isinstance(spread, float)  # noqa: S101 - as above
    sample = Sample(frame.z_um, score, spread)
    work = replace(work, samples=(*work.samples, sample))
    _tell(turn, task, work, {"z_um": sample.z_um, "score": sample.score})
    go_on(turn, task, work)


def cancel(turn: Turn, task: Task, why: str) -> None:
    """End a run early: the stage returns to its start."""
    work = run_of(task)
    if work.outcome is None:
        error = ErrorBody.of(ErrorCode.CANCELLED, f"{why}; the stage returns to its start")
        turn.drop_pending(task.id)
        come_home(turn, task, work, Outcome("cancelled", _report(turn, work, None), error))


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


def go_on(turn: Turn, task: Task, work: FocusWork, not_after_ns: int | None = None) -> None:
    """Ask pairs or search what to do, and do it; the first step of a run must begin before `not_after_ns`."""
    if work.pair is not None and work.method == "pair":
        step = propose_pair(work.pair.policy, work.pair.history)
        if work.pair.error:
            _without_pairs(turn, task, work, work.pair.error)
        elif isinstance(step, TakeShot):
            _visit(turn, task, work, step.z_um, not_after_ns)
        elif isinstance(step, ReadPair):
            _change(turn, task, replace(work, phase="measuring", frame=work.pair.frames[step.second]))
            focus_pair.ask(turn, task.id, work.pair, step)
        else:
            focus_pair.note_checks(turn, step.checks, work.pair.policy.dof_um)
            if step.focused and step.z_um is not None:
                _settle(turn, task, work, step.z_um, _report(turn, work, step))
            else:
                _without_pairs(turn, task, work, step.reason)
        return
    found = propose(work.search, work.samples)
    if isinstance(found, Probe):
        _change(turn, task, replace(work, phase="moving", targets=work.targets + 1))
        submit_move(turn, task.id, found.z_um, Origin.AUTOMATIC, not_after_ns)
    elif found.focused:
        _settle(turn, task, work, found.z_um, _report(turn, work, found))
    else:
        _give_up(turn, task, work, found)


def _visit(turn: Turn, task: Task, work: FocusWork, z_um: float, not_after_ns: int | None) -> None:
    """Take an image at `z_um`; where the stage is there already, without a move."""
    if _is_here(turn, z_um):
        _change(turn, task, replace(work, phase="snapping"))
        submit_snap(turn, task.id, not_after_ns)
    else:
        _change(turn, task, replace(work, phase="moving", targets=work.targets + 1))
        submit_move(turn, task.id, z_um, Origin.AUTOMATIC, not_after_ns)


def _without_pairs(turn: Turn, task: Task, work: FocusWork, reason: str) -> None:
    """Search, where that is allowed, because pairs have not settled it."""
    if work.fallback:
        go_on(turn, task, replace(work, method="search", why=f"pairs did not settle it: {reason}"))
    else:
        _give_up(turn, task, work, None, reason)


def _give_up(turn: Turn, task: Task, work: FocusWork, found: SearchResult | None, reason: str = "") -> None:
    """There is no focus: return to the start."""
    told = found.reason if found else reason
    report = {**_report(turn, work, found), "reason": told}
    error = ErrorBody.of(ErrorCode.NOT_FOCUSED, f"{told}; the stage returns to {work.start_um:g} µm")
    come_home(turn, task, work, Outcome("failed", report, error))


def _settle(turn: Turn, task: Task, work: FocusWork, focus_um: float, report: dict[str, JsonValue]) -> None:
    """There is a focus: go there, with the channel's offset."""
    target_um = focus_um + work.offset_um
    try:
        check_target(turn.state.settings.motion, target_um)
    except MotionRefusedError as refusal:
        error = ErrorBody.of(refusal.code, f"{refusal} (focus at {focus_um:g} µm, offset {work.offset_um:g} µm)")
        come_home(turn, task, work, Outcome("failed", report, error))
        return
    done = Outcome("done", {**report, "z_um": target_um})
    if _is_here(turn, target_um):
        _end(turn, task, work, done)
    else:
        _go(turn, task, work, target_um, done)


def _is_here(turn: Turn, z_um: float) -> bool:
    here = turn.state.stage.z_um
    return here is not None and abs(here - z_um) <= turn.state.settings.motion.arrival_tolerance_um


def _snapped(turn: Turn, task: Task, work: FocusWork, frame: str) -> None:
    """Have the frame measured; a frame that was exposed while the stage moved never counts."""
    found = keep(turn, frame)
    if found is None or found.moving:
        submit_snap(turn, task.id)
        return
    work = replace(work, images=work.images + 1, frame=frame)
    if work.pair is not None and work.method == "pair":
        pair = focus_pair.with_shot(work.pair, frame, found.z_um, found.exposure_ms)
        work = replace(work, pair=pair)
        _change(turn, task, work)
        go_on(turn, task, work)
        return
    _change(turn, task, replace(work, phase="measuring"))
    turn.measure(ENGINE, frame, {**work.options, "bit_depth": found.bit_depth}, task=task.id)


def come_home(turn: Turn, task: Task, work: FocusWork, outcome: Outcome) -> None:
    """Return to the start, then end."""
    _go(turn, task, work, work.start_um, outcome)


def _go(turn: Turn, task: Task, work: FocusWork, z_um: float, outcome: Outcome) -> None:
    _change(turn, task, replace(work, phase="homing", targets=work.targets + 1, outcome=outcome))
    submit_move(turn, task.id, z_um, Origin.AUTOMATIC)


def _change(turn: Turn, task: Task, work: FocusWork) -> None:
    """Put the run in its place."""
    now = turn.state.tasks[task.id]
    whole = replace(now.work, run=work) if isinstance(now.work, HoldWork | AcquireWork) else work
    turn.change_task(replace(now, work=whole))


def _tell(turn: Turn, task: Task, work: FocusWork, progress: dict[str, JsonValue]) -> None:
    """Publish how far a run is; one that is a part of something else is told of at its end."""
    _change(turn, task, work)
    now = turn.state.tasks[task.id]
    if not isinstance(now.work, HoldWork | AcquireWork):
        told = replace(now, progress={"images": work.images, "method": work.method, **progress})
        turn.change_task(told)
        turn.publish_task(told)


def _end(turn: Turn, task: Task, work: FocusWork, outcome: Outcome) -> None:
    """End the task; or leave the outcome to the task that the run is a part of."""
    now = turn.state.tasks[task.id]
    if isinstance(now.work, HoldWork | AcquireWork):
        turn.drop_pending(task.id)
        _change(turn, task, replace(work, phase="ended", outcome=outcome))
    else:
        turn.end_task(now, outcome)


def _report(turn: Turn, work: FocusWork, result: SearchResult | PairResult | None) -> dict[str, JsonValue]:
    """What a run has found and what it has cost."""
    found = result if isinstance(result, SearchResult) else None
    curve = found.curve if found else tuple(sorted(work.samples, key=lambda sample: sample.z_um))
    return {
        "method": work.method,
        "why": work.why,
        "focused": result is not None and result.focused,
        "z_um": turn.state.stage.z_um,
        "focus_z_um": result.z_um if result and result.focused else None,
        "start_um": work.start_um,
        "offset_um": work.offset_um,
        "extremum": found.extremum if found else None,
        "prominence": found.prominence if found else None,
        "noise": found.noise if found else None,
        "reason": result.reason if result else "",
        "curve": [[sample.z_um, sample.score] for sample in curve],
        "searched_um": [work.search.low_um, work.search.high_um],
        **focus_pair.report(work.pair),
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
        "targets": work.targets,
        "moves": work.moves,
        "travel_um": work.travel_um,
        "duration_ms": (turn.now.mono_ns - work.began_ns) / 1e6,
    }
