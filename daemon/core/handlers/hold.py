"""``focus.hold``: short focus runs between the frames of a stream, by a policy, whenever nobody else needs the stage.

An excursion is a run of `microscoped.daemon.core.handlers.focus`, or by holograms of ``hold_hologram``, that belongs to
the task of the hold. Between excursions the stage is free. `tend` is called at the end of every step: it begins what is
due and can begin. Holograms that are refocused numerically need no excursions: the hold only says in which distance.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from microscoped.daemon.core.arbiter import Claim, Rank
from microscoped.daemon.core.effects import ClearTimer, SetTimer
from microscoped.daemon.core.handlers import focus, hold_hologram
from microscoped.daemon.core.handlers.stage import known_position
from microscoped.daemon.core.modes import TABLE, Mode
from microscoped.daemon.core.state import DistanceWork, FocusWork, HoldWork, Outcome
from microscoped.daemon.core.turn import task_data
from microscoped.daemon.protocol import AlarmCode, ErrorBody, ErrorCode, OpClass, RefusedError
from microscoped.daemon.protocol.ops import Accepted, FocusRunParams, TaskResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import CommandEnded, MeasureEnded
    from microscoped.daemon.core.state import State, Task
    from microscoped.daemon.core.turn import Ask, Turn
    from microscoped.daemon.protocol.events import FrameData
    from microscoped.daemon.protocol.ops import FocusHoldParams

ROUND_TIMER, LIMIT_TIMER = "hold.round", "hold.limit"
MINUTE_NS = 60_000_000_000
LOST_AFTER = 3
"""So many excursions in a row without focus are an alarm."""
SCORES = 5
"""So many scores are compared, by their median."""
DISTANCES = 3
"""So many distances of holograms are compared, by their median."""
LOST_FRAMES = 10
"""So many holograms in a row without distance are an alarm where they are refocused numerically."""


def hold(turn: Turn, ask: Ask) -> None:
    """Begin to keep the focus."""
    params: FocusHoldParams = ask.params
    numerical = _check(turn, params)
    task = turn.new_id()
    turn.reply(ask.to, Accepted(task=task))
    now_ns = turn.now.mono_ns
    token = turn.state.lease.token if ask.leased and turn.state.lease else None
    work = HoldWork(params, token, now_ns, now_ns, due="", numerical=numerical)
    if not numerical:
        wanted_um = None if params.distance_um is None else float(params.distance_um)
        work = replace(work, due="it begins", plane_um=known_position(turn), distance_um=wanted_um)
    turn.begin_task(ask, task, work)


def _check(turn: Turn, params: FocusHoldParams) -> bool:
    """Refuse what cannot work; return whether holograms are refocused numerically.

    Raises
    ------
    RefusedError
        No policy is given, there is a hold already, scores or distances are not measured, or no run could begin.
    """
    held = _held(turn.state)
    if held is not None:
        data: dict[str, JsonValue] = {"holder": held.op, "task": held.id}
        raise RefusedError(ErrorCode.BUSY, f"focus.hold runs already (task {held.id}); release it first", data)
    if params.source == "hologram":
        return hold_hologram.check(turn, params).refocus == "numerical"
    if params.distance_um is not None:
        raise RefusedError(ErrorCode.INVALID, "distance_um is for a hold by holograms: add source 'hologram'")
    if params.every_frames is None and params.every_s is None and params.score_drop is None:
        raise RefusedError(ErrorCode.INVALID, "say when to focus: every_frames, every_s or score_drop")
    if params.score_drop is not None and focus.ENGINE not in turn.state.settings.engines:
        raise RefusedError(
            ErrorCode.INVALID,
            "score_drop needs the sharpness of every frame: set engines.sharpness.enabled in the configuration",
        )
    focus.plan(turn, _run_params(params), fallback=False)
    return False


def release(turn: Turn, ask: Ask) -> None:
    """End the hold; an excursion under way returns first."""
    task = _held(turn.state)
    if task is None:
        raise RefusedError(ErrorCode.NOT_FOUND, "there is no focus.hold to release")
    _wind_up(turn, task, Outcome("done"))
    turn.reply(ask.to, TaskResult(task=task_data(turn.state.tasks[task.id]).model_dump(mode="json")))


def cancel(turn: Turn, task: Task, why: str) -> None:
    """End the hold early; an excursion under way returns first."""
    _wind_up(turn, task, Outcome("cancelled", error=ErrorBody.of(ErrorCode.CANCELLED, why)))


def _wind_up(turn: Turn, task: Task, ending: Outcome) -> None:
    work = _work(task)
    if work.ending is not None:
        return
    turn.change_task(replace(task, work=replace(work, ending=ending)))
    if work.run is None:
        _finish(turn, turn.state.tasks[task.id], ending)
    elif work.run.outcome is None:
        end = hold_hologram.cancel if isinstance(work.run, DistanceWork) else focus.cancel
        end(turn, turn.state.tasks[task.id], "the hold ends")


# --- what it sees ----------------------------------------------------------------------------------------------------


def see_frame(turn: Turn, frame: FrameData) -> FrameData:
    """Mark a frame that was exposed off the plane, and count the others."""
    task = _held(turn.state)
    if task is None:
        return frame
    work = _work(task)
    reach_um = 2 * turn.state.settings.focus.tolerance_um
    if work.plane_um is not None and (frame.moving or abs(frame.z_um - work.plane_um) > reach_um):
        return frame.model_copy(update={"off_plane": True})
    if frame.streamed and work.run is None and frame.exposure_start_ns >= work.since_ns:
        work = replace(work, frames=work.frames + 1)
        if work.params.every_frames is not None and work.frames >= work.params.every_frames:
            work = _due(work, f"{work.frames} frames have passed")
        turn.change_task(replace(task, work=work))
    return frame


def see_score(turn: Turn, frame: FrameData, score: JsonValue) -> None:
    """Compare the score of a frame in the plane with those right after the last excursion."""
    task = _held(turn.state)
    if task is None or not isinstance(score, float):
        return
    work = _work(task)
    drop = work.params.score_drop
    if drop is None or work.run is not None or frame.off_plane or frame.exposure_start_ns < work.since_ns:
        return
    work = replace(work, scores=(*work.scores, score)[-SCORES:])
    if len(work.scores) == SCORES:
        now = median(work.scores)
        if work.reference is None:
            work = replace(work, reference=now)
        else:
            falls = turn.state.settings.focus.extremum != "min"
            lost = (work.reference - now if falls else now - work.reference) / max(abs(work.reference), 1e-12)
            if lost >= drop:
                work = _due(work, f"the score has {'fallen' if falls else 'risen'} by {lost:.0%}")
    turn.change_task(replace(task, work=work))


def see_distance(turn: Turn, frame: FrameData, values: Mapping[str, JsonValue]) -> None:
    """Compare the distance that a hologram says with the one that is kept; or follow it."""
    task = _held(turn.state)
    known = turn.state.settings.hologram
    if task is None or known is None or _work(task).params.source != "hologram":
        return
    work = _work(task)
    distance_um, reason = hold_hologram.distance_of(values)
    if work.run is not None or frame.moving or frame.exposure_start_ns < work.since_ns:
        return
    if distance_um is None:
        if work.numerical:
            _without_distance(turn, task, work, reason)
        return
    work = replace(work, scores=(*work.scores, distance_um)[-DISTANCES:])
    now_um = median(work.scores)
    if work.numerical:
        _follow(turn, task, work, now_um, known.tolerance_um)
        return
    if len(work.scores) == DISTANCES and work.distance_um is not None:
        error_um = now_um - work.distance_um
        if abs(error_um) > known.tolerance_um:
            work = _due(work, f"the specimen is {error_um:+.3g} µm off")
    turn.change_task(replace(task, work=work))


def _follow(turn: Turn, task: Task, work: HoldWork, distance_um: float, tolerance_um: float) -> None:
    """Note in which distance holograms are refocused now; say so where that has changed."""
    turn.watch(AlarmCode.FOCUS_LOST, broken=False, detail="holograms have a distance again")
    work = replace(work, failed_in_row=0)
    if work.distance_um is None or abs(distance_um - work.distance_um) > tolerance_um:
        work = replace(work, distance_um=distance_um, rounds=work.rounds + 1)
        _tell(turn, task, work)
    else:
        turn.change_task(replace(task, work=work))


def _without_distance(turn: Turn, task: Task, work: HoldWork, reason: str) -> None:
    """Count a hologram without distance; several in a row are an alarm."""
    row = work.failed_in_row + 1
    work = replace(work, failed_in_row=row, failed=work.failed + (row == LOST_FRAMES))
    turn.change_task(replace(task, work=work))
    if row == LOST_FRAMES:
        detail = f"{row} holograms in a row have no distance: {reason or 'unknown'}"
        turn.watch(AlarmCode.FOCUS_LOST, broken=True, detail=detail)
        _tell(turn, turn.state.tasks[task.id], work)


def see_moved(turn: Turn) -> None:
    """Somebody moved the stage by hand."""
    task = _held(turn.state)
    if task is not None:
        work = _work(task)
        turn.change_task(replace(task, work=_due(replace(work, plane_um=None), "the stage was moved by hand")))


def timer_fired(turn: Turn, timer: str) -> None:
    """The time between two excursions is over. At the end of the minute's limit `tend` does what there is to do."""
    task = _held(turn.state)
    if task is not None and timer == ROUND_TIMER:
        work = _work(task)
        if work.run is None:
            turn.change_task(replace(task, work=_due(work, "it is time")))


def _due(work: HoldWork, why: str) -> HoldWork:
    return work if work.due or work.numerical else replace(work, due=why)


def command_ended(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """Go on with an excursion after a move or a snap."""
    go_on = hold_hologram.command_ended if isinstance(_work(task).run, DistanceWork) else focus.command_ended
    go_on(turn, task, ended)


def measured(turn: Turn, task: Task, ended: MeasureEnded) -> None:
    """Go on with an excursion after a measurement."""
    go_on = hold_hologram.measured if isinstance(_work(task).run, DistanceWork) else focus.measured
    go_on(turn, task, ended)


# --- excursions ------------------------------------------------------------------------------------------------------


def tend(turn: Turn) -> None:
    """Take note of an excursion that has ended, and begin the next one where it is due and nothing is against it."""
    task = _held(turn.state)
    if task is None:
        lost = AlarmCode.FOCUS_LOST
        if lost in turn.state.alarms:
            turn.watch(lost, broken=False, detail="the focus is not held any more")
        return
    work = _work(task)
    if work.run is not None and work.run.phase == "ended":
        _ended(turn, task, work)
    elif work.run is None and work.ending is not None:
        _finish(turn, task, work.ending)
    elif work.run is None and work.due:
        blocked, until_ns = _blocked(turn, work)
        if blocked != work.blocked:
            if until_ns is not None:
                turn.do(SetTimer(LIMIT_TIMER, until_ns))
            work = replace(work, blocked=blocked)
            _tell(turn, task, work)
        if not blocked:
            _begin(turn, turn.state.tasks[task.id], work)


def _blocked(turn: Turn, work: HoldWork) -> tuple[str, int | None]:
    """What is against an excursion just now, and until when where that is known; empty where nothing is."""
    state = turn.state
    if TABLE[state.mode][OpClass.MOVE] is not None:
        return f"the state is {state.mode}", None
    if state.claim is not None:
        return state.claim.op, None
    if state.lease is not None and state.lease.token != work.lease:
        return f"{state.lease.holder} holds the lease of the stage", None
    recent = [begun_ns for begun_ns in work.excursions_ns if begun_ns > turn.now.mono_ns - MINUTE_NS]
    most = state.settings.focus.hold_per_min
    if len(recent) >= most:
        detail = f"{most} excursions were made within a minute (focus.hold.max_per_min)"
        return detail, recent[-most] + MINUTE_NS
    return "", None


def _begin(turn: Turn, task: Task, work: HoldWork) -> None:
    now_ns = turn.now.mono_ns
    recent = tuple(begun_ns for begun_ns in work.excursions_ns if begun_ns > now_ns - MINUTE_NS)
    work = replace(work, excursions_ns=(*recent, now_ns), due="", plane_um=known_position(turn))
    turn.do(ClearTimer(ROUND_TIMER))
    run: FocusWork | DistanceWork
    try:
        if work.params.source == "hologram":
            run = hold_hologram.plan(turn, work)
        else:
            run = focus.plan(turn, _run_params(work.params), fallback=False)
    except RefusedError as refusal:
        turn.change_task(replace(task, work=work))
        _count(turn, turn.state.tasks[task.id], work, Outcome("failed", error=refusal.body))
        return
    turn.claim_stage(Claim(task.id, task.op, Rank.FOCUS_HOLD))
    turn.change_task(replace(task, work=replace(work, run=run)))
    if isinstance(run, DistanceWork):
        hold_hologram.go_on(turn, turn.state.tasks[task.id], run)
    else:
        focus.go_on(turn, turn.state.tasks[task.id], run)


def _ended(turn: Turn, task: Task, work: HoldWork) -> None:
    """Free the stage, and see what came of the excursion."""
    assert work.run is not None  # noqa: S101 - it has just ended; narrows the type
    outcome = work.run.outcome or Outcome("failed")
    turn.set(claim=None, stage=replace(turn.state.stage, moving=False))
    work = replace(work.without_run(), plane_um=turn.state.stage.z_um)
    if work.distance_um is None and outcome.state == "done" and outcome.result is not None:
        wanted_um = outcome.result.get("wanted_um")  # of the first hologram
        work = replace(work, distance_um=wanted_um if isinstance(wanted_um, float) else None)
    turn.change_task(replace(task, work=work))
    if work.ending is not None:
        _finish(turn, turn.state.tasks[task.id], work.ending)
    elif turn.state.mode is Mode.FAULT:
        _finish(turn, turn.state.tasks[task.id], Outcome("failed", error=outcome.error))
    else:
        _count(turn, turn.state.tasks[task.id], work, outcome)


def _count(turn: Turn, task: Task, work: HoldWork, outcome: Outcome) -> None:
    """Count an excursion, say what came of it, and begin to wait for the next."""
    failed = outcome.state != "done"
    row = work.failed_in_row + 1 if failed else 0
    why = outcome.error.detail if outcome.error else "the focus is found again"
    work = replace(
        work,
        rounds=work.rounds + 1,
        failed=work.failed + failed,
        failed_in_row=row,
        last=outcome.result if outcome.result is not None else work.last,
        since_ns=turn.now.mono_ns,
        frames=0,
        reference=None,
        scores=(),
    )
    if failed and work.params.every_s is None:
        # No frame or score in the plane can tell when to try again where there was no focus: time does.
        turn.do(SetTimer(ROUND_TIMER, turn.now.mono_ns + MINUTE_NS // turn.state.settings.focus.hold_per_min))
    elif work.params.every_s is not None:
        turn.do(SetTimer(ROUND_TIMER, turn.now.mono_ns + int(work.params.every_s * 1e9)))
    _tell(turn, task, work)
    if row >= LOST_AFTER or not failed:
        turn.watch(
            AlarmCode.FOCUS_LOST, broken=failed, detail=f"{row} excursions found no focus: {why}" if row else why
        )


def _finish(turn: Turn, task: Task, ending: Outcome) -> None:
    """End the task."""
    work = _work(task)
    for timer in (ROUND_TIMER, LIMIT_TIMER):
        turn.do(ClearTimer(timer))
    last = dict(work.last) if work.last is not None else None
    by_hologram = work.params.source == "hologram"
    result: dict[str, JsonValue] = {
        "source": work.params.source,
        "rounds": work.rounds,
        "failed": work.failed,
        "z_um": turn.state.stage.z_um,
        "plane_um": work.plane_um,
        "distance_um": work.distance_um,
        "last": None if by_hologram else last,
        "last_hologram": last if by_hologram else None,
        "images": work.images,
        "moves": work.moves,
        "travel_um": work.travel_um,
        "duration_ms": (turn.now.mono_ns - work.began_ns) / 1e6,
    }
    turn.end_task(task, replace(ending, result=result))


def _tell(turn: Turn, task: Task, work: HoldWork) -> None:
    """Publish how it goes."""
    progress: dict[str, JsonValue] = {
        "rounds": work.rounds,
        "failed": work.failed,
        "plane_um": work.plane_um,
        **({"distance_um": work.distance_um} if work.params.source == "hologram" else {}),
        "due": work.due,
        "blocked": work.blocked,
        "last": dict(work.last) if work.last is not None else None,
    }
    told = replace(task, work=work, progress=progress)
    turn.change_task(told)
    turn.publish_task(told)


def _held(state: State) -> Task | None:
    """The hold under way."""
    return next((task for task in state.tasks.values() if isinstance(task.work, HoldWork)), None)


def _work(task: Task) -> HoldWork:
    assert isinstance(task.work, HoldWork)  # noqa: S101 - only holds come here; narrows the type
    return task.work


def _run_params(params: FocusHoldParams) -> FocusRunParams:
    return FocusRunParams(method=params.method, channel=params.channel)


__all__ = [
    "cancel",
    "command_ended",
    "hold",
    "measured",
    "release",
    "see_distance",
    "see_frame",
    "see_moved",
    "see_score",
    "tend",
    "timer_fired",
]
