"""Acquisitions: one task each, with the claim of the stage. What a sequence means is known to the runner alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.arbiter import Claim, Rank
from microscoped.daemon.core.effects import (
    AnswerFocus,
    CancelAcquisition,
    CheckSequence,
    InjectEvents,
    InjectSequence,
    StartAcquisition,
    SteerAcquisition,
)
from microscoped.daemon.core.handlers import camera, focus, record, stage
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.core.state import AcquireWork, AcquisitionView, Outcome, Pending
from microscoped.daemon.core.turn import task_data
from microscoped.daemon.protocol import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import (
    Accepted,
    AcquireCheckParams,
    AcquireCheckResult,
    AcquireInjectParams,
    AcquireInjectResult,
    AcquireRunParams,
    AcquireTaskParams,
    TaskResult,
)
from microscoped.daemon.protocol.params import FocusRunParams
from microscoped.drivers.commands import Configure, StartStream, StopStream
from microscoped.drivers.protocols import CameraSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import (
        AcquisitionEnded,
        AcquisitionProgressed,
        FocusWanted,
        InjectionEnded,
        SequenceChecked,
    )
    from microscoped.daemon.core.state import FocusWork, Task
    from microscoped.daemon.core.turn import Ask, Turn
    from microscoped.daemon.protocol.events import FrameData

OP = "acquire.run"
MOST_WAITING = 16
"""Sequences and injections that may wait to be read."""
FEWEST_IMAGES = 8
"""A search with fewer images is not begun."""
PAIR_IMAGES = 10
"""Most images of a focus run before it begins to search."""


# --- ops --------------------------------------------------------------------------------------------------------------


def check(turn: Turn, ask: Ask) -> None:
    """Have a sequence read; the answer follows."""
    params: AcquireCheckParams = ask.params
    z_um = stage.resting_place(turn)
    request = _await(turn, ask)
    turn.do(CheckSequence(request, params.sequence, _light_ms(params), z_um, _pixel_size_um(turn)))


def run(turn: Turn, ask: Ask) -> None:
    """Begin an acquisition."""
    task = begin(turn, ask, ask.params, Rank.ACQUISITION, OP)
    turn.reply(ask.to, Accepted(task=task))


def begin(turn: Turn, ask: Ask, params: AcquireRunParams, rank: Rank, claimant: str) -> str:
    """Begin an acquisition with the claim of `rank`; return its task. The stream ends, and comes back after it.

    Raises
    ------
    RefusedError
        Another one has not ended, the stage belongs to somebody, or where it is is unknown.
    """
    held = turn.state.acquisition
    if held is not None:
        detail = f"an acquisition (task {held.task}) has not ended; wait for its end, or cancel it"
        raise RefusedError(ErrorCode.BUSY, detail, {"holder": OP, "task": held.task})
    z_um = stage.resting_place(turn)
    task = turn.new_id()
    stage.take_stage(turn, Claim(task, claimant, rank))
    view = turn.state.camera
    turn.set(acquisition=AcquisitionView(task, view.streaming, view.settings.exposure_ms))
    turn.begin_task(ask, task, AcquireWork())
    if view.streaming:
        own_time_s = 1 + camera.snap_time_s(turn)
        turn.submit(lambda command: StopStream(id=command), op="camera.stop", own_time_s=own_time_s)
    turn.do(
        StartAcquisition(
            task,
            params.sequence,
            _light_ms(params),
            z_um,
            _pixel_size_um(turn),
            params.focus_failure,
            params.hold_open,
        )
    )
    return task


def inject(turn: Turn, ask: Ask) -> None:
    """Add events to an acquisition; the answer follows when they are read."""
    params: AcquireInjectParams = ask.params
    _under_way(turn, params.task)
    turn.do(InjectEvents(_await(turn, ask), params.task, params.events, params.after))


def inject_sequence(
    turn: Turn, batch: str, sequence: Mapping[str, JsonValue], light_ms: float | None, name: str, frames: Sequence[str]
) -> str:
    """Add a sequence to the acquisition under way, where the newest of some frames was taken; return its task.

    Parameters
    ----------
    batch
        Its name; `InjectionEnded` bears it.
    sequence, light_ms
        An MDASequence as plain data; what it may give at most.
    name
        Of the place.
    frames
        Names of frames.

    Raises
    ------
    RefusedError
        No acquisition is under way, or none of the frames is one of it that is still kept.
    """
    held = turn.state.acquisition
    if held is None:
        raise RefusedError(ErrorCode.NOT_FOUND, "no acquisition is under way to add to; acquire.run begins one")
    task = _under_way(turn, held.task).id
    kept = [frame for frame in map(turn.state.frame, frames) if frame is not None]
    own = [frame for frame in kept if frame.acquired is not None and frame.acquired.task == task]
    if not own:
        raise RefusedError(ErrorCode.GONE, f"no frame of the acquisition {task} that led to this is kept any more")
    frame = max(own, key=lambda frame: frame.exposure_start_ns)
    xy_um = frame.acquired.xy_um if frame.acquired is not None else None
    turn.do(InjectSequence(batch, task, sequence, light_ms, name, xy_um, frame.z_um))
    return task


def pause(turn: Turn, ask: Ask) -> None:
    """Begin no further event until `resume`."""
    _steer(turn, ask, "pause")


def resume(turn: Turn, ask: Ask) -> None:
    """Go on after a pause."""
    _steer(turn, ask, "resume")


def finish(turn: Turn, ask: Ask) -> None:
    """End after what waits now."""
    _steer(turn, ask, "finish")


def cancel(turn: Turn, task: Task, why: str) -> None:
    """End an acquisition soon: a move under way halts, and an exposure under way is awaited for a moment only."""
    work = _work(task)
    if work.ending:
        return
    turn.drop_pending(task.id)
    if work.request:
        _answer(turn, task.id, work.request, why)
    ending = replace(task, work=replace(work, ending=why, run=None, request=""))
    turn.change_task(replace(ending, progress={**ending.progress, "phase": "cancelling"}))
    turn.publish_task(turn.state.tasks[task.id])
    _tell_to_end(turn, why)


# --- what they hear ---------------------------------------------------------------------------------------------------


def checked(turn: Turn, heard: SequenceChecked) -> None:
    """Answer ``acquire.check``."""
    pending = turn.settle(heard.request)
    if pending is None or pending.reply is None:
        return
    if heard.estimate is not None:
        turn.reply(pending.reply, AcquireCheckResult.model_validate(heard.estimate))
    elif heard.error is not None:
        turn.refuse(pending.reply, heard.error)


def injected(turn: Turn, heard: InjectionEnded) -> None:
    """Answer ``acquire.inject``."""
    pending = turn.settle(heard.request)
    if pending is None or pending.reply is None:
        return
    if heard.batch is not None:
        turn.reply(pending.reply, AcquireInjectResult(batch=heard.batch, frames=heard.frames))
    elif heard.error is not None:
        turn.refuse(pending.reply, heard.error)


def admitted(turn: Turn, frame: FrameData) -> None:
    """Count a frame of an acquisition."""
    task = turn.state.tasks.get(frame.acquired.task) if frame.acquired is not None else None
    if task is not None and isinstance(task.work, AcquireWork):
        turn.change_task(replace(task, work=replace(task.work, frames=task.work.frames + 1)))


def frames_not_stored(turn: Turn, why: str) -> None:
    """Take note that the recording has lost frames: an acquisition under way will not be complete."""
    held = turn.state.acquisition
    task = turn.state.tasks.get(held.task) if held is not None else None
    if task is not None and isinstance(task.work, AcquireWork) and not task.work.not_stored:
        turn.change_task(replace(task, work=replace(task.work, not_stored=why)))


def progressed(turn: Turn, heard: AcquisitionProgressed) -> None:
    """Publish how far an acquisition is."""
    task = turn.state.tasks.get(heard.task)
    if task is not None and isinstance(task.work, AcquireWork):
        turn.change_task(replace(task, progress=heard.progress))
        turn.publish_task(turn.state.tasks[task.id])


def focus_wanted(turn: Turn, heard: FocusWanted) -> None:
    """Begin a focus run as a part of an acquisition, under its claim."""
    task = turn.state.tasks.get(heard.task)
    if task is None or not isinstance(task.work, AcquireWork):
        return  # it has ended since, and is being told so
    if task.work.ending:
        _answer(turn, task.id, heard.request, task.work.ending)
        return
    before = turn.state, len(turn.effects)
    try:
        wanted = _within_light(turn, focus.plan(turn, FocusRunParams(), fallback=True), heard.light_ms)
        turn.change_task(replace(task, work=replace(task.work, run=wanted, request=heard.request)))
        focus.go_on(turn, turn.state.tasks[task.id], wanted)
    except RefusedError as refusal:
        turn.state = before[0]
        del turn.effects[before[1] :]
        _answer(turn, task.id, heard.request, refusal.body.detail)


def ended(turn: Turn, heard: AcquisitionEnded) -> None:
    """End the task, unless that has ended before, report, and leave the camera as it was."""
    held = turn.state.acquisition
    if held is None or held.task != heard.task:
        return
    turn.set(acquisition=None)
    task = turn.state.tasks.get(heard.task)
    if task is not None and isinstance(task.work, AcquireWork):
        turn.change_task(replace(task, progress=heard.progress))
        turn.end_task(turn.state.tasks[task.id], _outcome(turn, task.work, heard))
    elif task is not None and task.result is None:
        # Something else has ended it: what had been taken is told when the runner knows it.
        turn.change_task(replace(task, progress=heard.progress, result=_report(turn, heard)))
        turn.publish_task(turn.state.tasks[task.id])
    if not turn.state.hardware_open or turn.state.mode is Mode.CLOSING:
        return
    own_time_s = 1 + camera.snap_time_s(turn)
    if held.exposure_ms is not None and held.exposure_ms != turn.state.camera.settings.exposure_ms:
        change = CameraSettings(exposure_ms=held.exposure_ms)
        turn.submit(
            lambda command: Configure(id=command, change=change),
            op="camera.set",
            own_time_s=own_time_s,
        )
    if held.streamed and not turn.state.camera.streaming:
        turn.submit(lambda command: StartStream(id=command), op="camera.start", own_time_s=own_time_s)


def tend(turn: Turn) -> None:
    """Pass on a focus run that has ended; and have an acquisition end whose task was ended by something else."""
    held = turn.state.acquisition
    task = turn.state.tasks.get(held.task) if held is not None else None
    if held is None:
        return
    if task is None or not isinstance(task.work, AcquireWork):
        _tell_to_end(turn, task.error.detail if task is not None and task.error is not None else "its task has ended")
        return
    work = task.work
    if work.run is not None and work.run.phase == "ended":
        done = work.run.outcome
        turn.change_task(replace(task, work=replace(work, run=None, request="")))
        turn.set(stage=replace(turn.state.stage, moving=False))
        why = "" if done is not None and done.state == "done" else "it ended without a report"
        _answer(turn, task.id, work.request, done.error.detail if done and done.error else why, work.run)


# --- inside -----------------------------------------------------------------------------------------------------------


def _work(task: Task) -> AcquireWork:
    assert isinstance(task.work, AcquireWork)  # noqa: S101 - only such tasks come here; narrows the type
    return task.work


def _light_ms(params: AcquireCheckParams) -> float | None:
    return None if params.light_ms is None else float(params.light_ms)


def _pixel_size_um(turn: Turn) -> float | None:
    return camera.pixel_size_um(turn, turn.state.settings.pixel_size_um)


def _await(turn: Turn, ask: Ask) -> str:
    """Remember a request that is answered once something was read.

    Raises
    ------
    RefusedError
        The microscope is not open, or too many wait.
    """
    if not turn.state.hardware_open:
        raise RefusedError(ErrorCode.NOT_READY, f"the microscope is not open: {turn.state.reason}")
    waiting = sum(pending.op in ("acquire.check", "acquire.inject") for pending in turn.state.pending.values())
    if waiting >= MOST_WAITING:
        raise RefusedError(ErrorCode.BUSY, f"{waiting} sequences wait to be read already; try again later")
    request = turn.new_id()
    turn.expect(request, Pending(op=ask.to.op, due_ns=turn.now.mono_ns, reply=ask.to))
    return request


def _under_way(turn: Turn, task: str) -> Task:
    """The acquisition of a task.

    Raises
    ------
    RefusedError
        There is none, or it is being cancelled.
    """
    found = turn.state.tasks.get(task)
    if found is None or found.op != OP:
        raise RefusedError(ErrorCode.NOT_FOUND, f"no acquisition has the task {task!r}; acquire.run begins one")
    if not isinstance(found.work, AcquireWork) or found.work.ending:
        raise RefusedError(ErrorCode.GONE, f"the acquisition {task} has ended; begin another one")
    return found


def _steer(turn: Turn, ask: Ask, how: Literal["pause", "resume", "finish"]) -> None:
    params: AcquireTaskParams = ask.params
    task = _under_way(turn, params.task)
    turn.do(SteerAcquisition(task.id, how))
    turn.reply(ask.to, TaskResult(task=task_data(task).model_dump(mode="json")))


def _tell_to_end(turn: Turn, why: str) -> None:
    held = turn.state.acquisition
    if held is not None and not held.cancelled:
        turn.set(acquisition=replace(held, cancelled=True))
        turn.do(CancelAcquisition(held.task, why))


def _within_light(turn: Turn, wanted: FocusWork, light_ms: float | None) -> FocusWork:
    """Bound the images of a run by the light that is left.

    Raises
    ------
    RefusedError
        Code ``limit.light``: too little is left.
    """
    exposure_ms = turn.state.camera.settings.exposure_ms or 0.0
    if light_ms is None or exposure_ms == 0.0:
        return wanted
    images = int(light_ms // exposure_ms) - (PAIR_IMAGES if wanted.pair is not None else 0)
    if images >= wanted.search.max_images:
        return wanted
    if images < FEWEST_IMAGES:
        detail = f"{light_ms:g} ms of light are left, too little for a search with exposures of {exposure_ms:g} ms"
        raise RefusedError(ErrorCode.LIMIT_LIGHT, detail)
    return replace(wanted, search=replace(wanted.search, max_images=images))


def _answer(turn: Turn, task: str, request: str, why: str, done: FocusWork | None = None) -> None:
    """Answer who waits for the focus; `why` there is none, empty where there is."""
    images = done.images if done is not None else 0
    light_ms = images * (turn.state.camera.settings.exposure_ms or 0.0)
    z_um = stage.known_position(turn)
    turn.do(AnswerFocus(task, request, not why, z_um, why, light_ms, images))


def _report(turn: Turn, heard: AcquisitionEnded) -> dict[str, JsonValue] | None:
    """What the runner reports, and where the frames are recorded."""
    recording = record.under_way(turn)
    folder = recording.folder if recording is not None and recording.pixels else None
    return None if heard.result is None else {**heard.result, "recording": folder}


def _outcome(turn: Turn, work: AcquireWork, heard: AcquisitionEnded) -> Outcome:
    """Judge the end: what the acquisition says of itself, and whether all its frames came and were stored."""
    result = _report(turn, heard)
    error = heard.error
    if error is None and result is not None:
        frames = result["frames"]
        if frames != work.frames:
            detail = f"{frames} frames were taken, and {work.frames} came; do not trust the places of the others"
            error = ErrorBody.of(ErrorCode.FAULT_FRAMES_MISSING, detail)
        elif work.not_stored:
            detail = f"all frames were taken, but the recording lacks some: {work.not_stored}"
            error = ErrorBody.of(ErrorCode.FAULT_FRAMES_MISSING, detail)
    if error is None:
        return Outcome("done", result)
    return Outcome("cancelled" if error.code is ErrorCode.CANCELLED else "failed", result, error)


__all__ = [
    "OP",
    "admitted",
    "begin",
    "cancel",
    "check",
    "checked",
    "ended",
    "finish",
    "focus_wanted",
    "frames_not_stored",
    "inject",
    "inject_sequence",
    "injected",
    "pause",
    "progressed",
    "resume",
    "run",
    "tend",
]
