"""Ops on the camera and its frames."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.effects import SetTimer
from microscoped.daemon.core.state import (
    AcquireWork,
    CalibrateHologramWork,
    CalibrateWork,
    FocusWork,
    FrameWait,
    HoldWork,
    Outcome,
    SnapWork,
)
from microscoped.daemon.protocol import ErrorCode, RefusedError
from microscoped.daemon.protocol.instrument import CameraSettingsData
from microscoped.daemon.protocol.ops import Accepted, CameraResult, CameraSetParams, FrameGetParams, FrameResult
from microscoped.drivers.commands import Configure, Snap, StartStream, StopStream
from microscoped.drivers.protocols import CameraSettings

if TYPE_CHECKING:
    from microscoped.daemon.core.inputs import CommandEnded
    from microscoped.daemon.core.state import Pending, Task
    from microscoped.daemon.core.turn import Ask, Turn
    from microscoped.daemon.protocol.events import FrameData
    from microscoped.drivers.commands import FrameRate


def snap(turn: Turn, ask: Ask) -> None:
    """Take one frame."""
    check_free(turn, by="acquire.")
    task = turn.new_id()
    submit_snap(turn, task, ask.not_after_ns)
    turn.reply(ask.to, Accepted(task=task))
    turn.begin_task(ask, task, SnapWork())


def submit_snap(turn: Turn, task: str, not_after_ns: int | None = None) -> None:
    """Have one frame taken for a task."""
    turn.submit(
        lambda command: Snap(id=command, not_after_ns=not_after_ns),
        op="snap",
        own_time_s=snap_time_s(turn),
        task=task,
    )


def snap_time_s(turn: Turn) -> float:
    """How long a snap may take: twice its exposure, for the one in progress, and the allowance."""
    exposure_ms = turn.state.camera.settings.exposure_ms or 0.0
    return 2 * exposure_ms / 1000 + turn.state.settings.frame_allowance_s


def advance(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """End a snap."""
    if ended.error is not None:
        turn.end_task(task, Outcome("failed", error=ended.error))
    elif isinstance(ended.value, str):
        turn.end_task(task, Outcome("done", result={"frame": ended.value}))


def keep(turn: Turn, frame: str) -> FrameData | None:
    """Keep a streamed frame as long as a snapped one; return its header, or ``None`` if it is gone."""
    found = turn.state.frame(frame)
    if found is not None and all(kept.frame != frame for kept in turn.state.snaps):
        add_snap(turn, found)
    return found


def pixel_size_um(turn: Turn, configured_um: float | None) -> float | None:
    """Size of a pixel of the frames in the specimen, binning included; ``None`` where nobody knows.

    Parameters
    ----------
    configured_um
        Of an unbinned pixel; ``None``: what the driver says.
    """
    camera = turn.state.camera
    binning = camera.settings.binning or 1
    if configured_um is not None:
        return configured_um * binning
    known_um = camera.info.pixel_size_um if camera.info else None
    return None if known_um is None else known_um * binning / camera.info_binning


def add_snap(turn: Turn, frame: FrameData) -> None:
    """Keep a single frame, and forget the oldest one beyond what is kept."""
    frames = (*turn.state.snaps, frame)
    kept = frames[-turn.state.settings.snaps :]
    old = frames[: len(frames) - len(kept)]
    needed = _needed(turn)
    turn.set(snaps=(*(frame for frame in old if frame.frame in needed), *kept))
    turn.forget_frames([frame.frame for frame in old])


def _needed(turn: Turn) -> frozenset[str]:
    """Frames of pairs that may still be read: they outlast whatever else is snapped meanwhile."""
    works = [task.work for task in turn.state.tasks.values()]
    runs = [work.run if isinstance(work, HoldWork | AcquireWork) else work for work in works]
    pairs = (run.pair.frames for run in runs if isinstance(run, FocusWork) and run.pair is not None)
    calibrations = (work.frames for work in works if isinstance(work, CalibrateWork))
    holograms = (work.frame for work in works if isinstance(work, CalibrateHologramWork))
    several = frozenset(frame for frames in (*pairs, *calibrations) for frame in frames)
    return several | frozenset(frame for frame in holograms if frame is not None)


def add_streamed(turn: Turn, frame: FrameData) -> None:
    """Keep a frame of the stream, and forget the oldest one beyond what is kept."""
    frames = (*turn.state.ring, frame)
    kept = frames[-turn.state.settings.ring :]
    turn.set(ring=kept)
    turn.forget_frames([old.frame for old in frames[: len(frames) - len(kept)]])


def configure(turn: Turn, ask: Ask) -> None:
    """Change camera settings."""
    params: CameraSetParams = ask.params
    change = CameraSettings(**params.model_dump(exclude={"fps"}))
    if change != CameraSettings():
        check_free(turn)
    submit_change(turn, change, params.fps, ask)


def submit_change(turn: Turn, change: CameraSettings, fps: FrameRate | None, ask: Ask | None = None) -> str:
    """Have camera settings, the frame rate, or both changed; return the command."""
    command = turn.submit(
        lambda name: Configure(id=name, change=change, fps=fps, not_after_ns=ask.not_after_ns if ask else None),
        op="camera.set",
        own_time_s=1 + snap_time_s(turn),
        reply=ask.to if ask else None,
    )
    turn.expect(command, replace(turn.state.pending[command], fps=fps))
    return command


def fps_reached(turn: Turn) -> float | None:
    """Exposures per second of the frames of the stream that are kept, lost ones included; ``None``: too few."""
    since_ns = turn.state.camera.streaming_since_ns
    frames = [frame for frame in turn.state.ring if frame.exposure_start_ns >= since_ns]
    if len(frames) < 2 or frames[-1].exposure_start_ns <= frames[0].exposure_start_ns:
        return None
    made = sum(1 + frame.lost_before for frame in frames[1:])
    return made * 1e9 / (frames[-1].exposure_start_ns - frames[0].exposure_start_ns)


def check_free(turn: Turn, *, by: str | tuple[str, ...] = ("focus.", "acquire.")) -> None:
    """See that nobody needs the camera's settings as they are; its frame rate may change at any time.

    Raises
    ------
    RefusedError
        Code ``busy``: somebody focuses or acquires.
    """
    if turn.state.claim is not None and turn.state.claim.op.startswith(by):
        raise RefusedError(
            ErrorCode.BUSY,
            f"{turn.state.claim.op} (task {turn.state.claim.task}) needs the camera as it is; wait or cancel it",
            {"holder": turn.state.claim.op, "task": turn.state.claim.task},
        )


def stream_at_start(turn: Turn) -> None:
    """Begin to stream, if the configuration says so."""
    if turn.state.settings.stream_at_start and not turn.state.camera.streaming:
        turn.submit(lambda command: StartStream(id=command), op="camera.start", own_time_s=5)


def start(turn: Turn, ask: Ask) -> None:
    """Begin to stream."""
    check_free(turn, by="acquire.")
    turn.submit(
        lambda command: StartStream(id=command, not_after_ns=ask.not_after_ns),
        op="camera.start",
        own_time_s=1 + snap_time_s(turn),
        reply=ask.to,
    )


def stop(turn: Turn, ask: Ask) -> None:
    """End the stream."""
    turn.submit(
        lambda command: StopStream(id=command, not_after_ns=ask.not_after_ns),
        op="camera.stop",
        own_time_s=1 + snap_time_s(turn),
        reply=ask.to,
    )


def command_ended(turn: Turn, pending: Pending, ended: CommandEnded) -> None:
    """Take note of what a camera command has changed, and answer its request."""
    camera, op, reply = turn.state.camera, pending.op, pending.reply
    if ended.error is None:
        if isinstance(ended.value, CameraSettings):
            camera = replace(camera, settings=ended.value)
            if pending.fps is not None:
                fps = None if pending.fps == "free" else pending.fps
                camera = replace(camera, fps=fps, streaming_since_ns=turn.now.mono_ns)
        elif op in ("camera.start", "camera.stop"):
            camera = replace(camera, streaming=op == "camera.start", streaming_since_ns=turn.now.mono_ns)
        if camera != turn.state.camera:
            turn.set(camera=camera)
            turn.publish_state()
    if reply is None:
        return
    if ended.error is not None:
        turn.refuse(reply, ended.error)
    else:
        settings = CameraSettingsData(**asdict(camera.settings))
        turn.reply(reply, CameraResult(settings=settings, streaming=camera.streaming, fps=camera.fps))


def get_frame(turn: Turn, ask: Ask) -> None:
    """Answer with a frame and its pixels, or wait for the next one."""
    params: FrameGetParams = ask.params
    state = turn.state
    if params.frame is not None and params.newer_than is not None:
        raise RefusedError(ErrorCode.INVALID, "give frame or newer_than, not both")
    if params.frame is not None:
        found = state.frame(params.frame)
        if found is None:
            detail = (
                f"frame {params.frame!r} is not kept (the last {state.settings.ring} of a stream and the last "
                f"{state.settings.snaps} single ones are)"
            )
            raise RefusedError(ErrorCode.GONE, detail)
    else:
        found = state.newest_frame()
        if found is not None and found.frame == params.newer_than:
            found = None
    if found is not None:
        turn.reply(ask.to, FrameResult(frame=found.model_dump(mode="json")), found.frame)
    elif params.wait_ms > 0:
        timer = f"frame.{turn.new_id()}"
        turn.set(frame_waits=(*state.frame_waits, FrameWait(timer, ask.to)))
        turn.do(SetTimer(timer, turn.now.mono_ns + int(params.wait_ms * 1e6)))
    else:
        raise RefusedError(ErrorCode.NOT_READY, "there is no newer frame yet; snap one, or start the stream")


def frame_wait_over(turn: Turn, timer: str) -> None:
    """Tell a client that no frame came while it waited."""
    for wait in turn.state.frame_waits:
        if wait.timer == timer:
            turn.refuse(
                wait.reply,
                RefusedError(ErrorCode.NOT_READY, "no newer frame came while this request waited").body,
            )
    turn.set(frame_waits=tuple(wait for wait in turn.state.frame_waits if wait.timer != timer))
