"""What the hardware says, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.effects import ClearTimer, Exit, HaltStage, Offer, PublishFrame
from microscoped.daemon.core.handlers import (
    acquire,
    calibrate,
    calibrate_hologram,
    camera,
    cells,
    focus,
    hold,
    hold_hologram,
    rules,
    session,
    stage,
)
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.core.state import (
    AcquireWork,
    CalibrateHologramWork,
    CalibrateWork,
    CameraView,
    EngineView,
    FocusWork,
    HoldWork,
    MoveWork,
    Outcome,
    SnapWork,
    StageView,
)
from microscoped.daemon.protocol import AlarmCode
from microscoped.daemon.protocol.events import FrameData, frame_topic
from microscoped.daemon.protocol.ops import FrameResult, PositionResult, StateResult
from microscoped.drivers.motion import Arrival, XYArrival
from microscoped.drivers.protocols import CameraSettings, FocusDirection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import CommandEnded, HardwareOpened, Input, PositionSeen
    from microscoped.daemon.core.state import Pending
    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.protocol import ErrorBody

CAMERA_FAULTS = ("fault.camera", "fault.frame_timeout")
SAME_PLACE = 5
"""A stage that comes back within so many arrival tolerances of where it was left has not been moved."""
MOST_OFFERED = 8
"""Frames that an engine was offered and has not done with: one is measured, one waits."""
HARDWARE_FAULTS = ("fault.stage", "fault.stage_not_arrived", "fault.hardware_silent", "fault.connection", "fault")


def hardware_heard(turn: Turn, heard: Input) -> None:
    """Handle an input that comes from the hardware."""
    match heard:
        case heard_of.HardwareOpened():
            _opened(turn, heard)
        case heard_of.CommandEnded():
            _command_ended(turn, heard)
        case heard_of.FrameAdmitted():
            _frame(turn, heard.frame, heard.command)
        case heard_of.PositionSeen():
            _position_seen(turn, heard)
        case heard_of.StreamDied():
            turn.set(camera=replace(turn.state.camera, streaming=False))
            note_fault(turn, heard.error)
            turn.publish_state()
        case heard_of.StageLost():
            note_fault(turn, heard.error)
        case heard_of.StopReturned():
            session.stop_returned(turn, heard)
        case heard_of.HardwareLost():
            _lost(turn, heard.error)
        case heard_of.HardwareClosed():
            turn.do(ClearTimer(session.CLOSE_TIMER))
            turn.do(Exit(0))


def note_fault(turn: Turn, error: ErrorBody) -> None:
    """Raise an alarm for a fault and enter the mode that it means; other errors are the asker's own business."""
    if turn.state.mode is Mode.CLOSING:
        return
    if error.code in CAMERA_FAULTS:
        turn.alarm(AlarmCode(error.code), error.detail, error.data)
        if turn.state.mode in (Mode.IDLE, Mode.ACTIVE):
            turn.enter(Mode.DEGRADED, error.detail)
    elif error.code in HARDWARE_FAULTS:
        turn.alarm(AlarmCode(error.code), error.detail, error.data)
        turn.enter(Mode.FAULT, error.detail)


def _opened(turn: Turn, heard: HardwareOpened) -> None:
    settings = turn.state.settings
    if settings.motion.focus_direction is FocusDirection.UNKNOWN:
        # The configuration does not say; the driver may. The hardware thread decides in the same way.
        settings = replace(settings, motion=replace(settings.motion, focus_direction=heard.focus_direction))
    turn.set(
        settings=settings,
        hardware_open=True,
        description=dict(heard.description),
        stage=StageView(
            heard.stage_name, heard.z_um, focus_direction=settings.motion.focus_direction, xy_um=heard.xy_um
        ),
        presets=heard.presets,
        camera=CameraView(
            info=heard.camera, info_binning=heard.settings.binning or 1, settings=heard.settings, fps=settings.fps
        ),
    )
    expected_um = settings.expected_z_um
    if turn.state.mode is Mode.STARTING:
        turn.enter(Mode.IDLE)
        if (
            expected_um is not None
            and abs(heard.z_um - expected_um) > SAME_PLACE * settings.motion.arrival_tolerance_um
        ):
            reason = f"the stage is at {heard.z_um:g} µm, and was left at {expected_um:g}: somebody moved it meanwhile"
            turn.enter(Mode.SAFE, reason)
            turn.alarm(AlarmCode.STAGE_MOVED, reason, {"z_um": heard.z_um, "from_um": expected_um})
    turn.publish_state()
    if turn.state.mode is Mode.SAFE:
        # What a former life of the daemon set in motion ends here; and the driver layer, too, refuses to move.
        turn.do(HaltStage())
    else:
        camera.stream_at_start(turn)


def _position_seen(turn: Turn, heard: PositionSeen) -> None:
    before_um = turn.state.stage.z_um
    session.note_position(turn, heard.z_um)
    if heard.moved:
        hold.see_moved(turn)
        detail = f"the stage is at {heard.z_um:g} µm (it was at {before_um:g}) though nobody here moved it"
        turn.alarm(AlarmCode.STAGE_MOVED, detail, {"z_um": heard.z_um, "from_um": before_um})


def _lost(turn: Turn, error: ErrorBody) -> None:
    """The microscope is gone for good: it never opened, or its thread died."""
    was_open = turn.state.hardware_open
    for task in [task for task in turn.state.tasks.values() if not task.ended]:
        turn.end_task(task, Outcome("failed", error=error))
    turn.set(hardware_open=False, camera=replace(turn.state.camera, streaming=False))
    note_fault(turn, error)
    if not was_open or turn.state.mode is Mode.CLOSING:
        turn.do(Exit(1))


def _command_ended(turn: Turn, ended: CommandEnded) -> None:
    pending = turn.settle(ended.command)
    match ended.value:
        case Arrival(z_um=z_um):
            session.note_position(turn, z_um)
        case XYArrival(xy_um=xy_um):
            turn.set(stage=replace(turn.state.stage, xy_um=xy_um))
        case CameraSettings() as settings if pending is None:
            turn.set(camera=replace(turn.state.camera, settings=settings))
    if ended.error is not None:
        note_fault(turn, ended.error)
        rules.command_failed(turn, ended.command, ended.error)
    if pending is None:
        return  # it is a step of an acquisition, or whoever waited for it has ended since
    if pending.task is None:
        _answer(turn, pending, ended)
        return
    task = turn.state.tasks[pending.task]
    match task.work:
        case MoveWork():
            stage.advance(turn, task, ended)
        case SnapWork():
            camera.advance(turn, task, ended)
        case FocusWork() | AcquireWork():
            focus.command_ended(turn, task, ended)
        case HoldWork():
            hold.command_ended(turn, task, ended)
        case CalibrateWork():
            calibrate.command_ended(turn, task, ended)
        case CalibrateHologramWork():
            calibrate_hologram.command_ended(turn, task, ended)


def _answer(turn: Turn, pending: Pending, ended: CommandEnded) -> None:
    """A command without a task has ended: note what it says, and answer the request that waits for it."""
    if isinstance(ended.value, float):
        session.note_position(turn, ended.value)
    if pending.op.startswith("camera."):
        camera.command_ended(turn, pending, ended)
    elif pending.reply is None:
        return
    elif ended.error is not None:
        turn.refuse(pending.reply, ended.error)
    elif pending.op == "resume":
        session.allow_motion(turn)
        turn.reply(pending.reply, StateResult(state=turn.state.mode))
    elif isinstance(ended.value, float):
        turn.reply(pending.reply, PositionResult(z_um=ended.value, moving=turn.state.stage.moving))


def _frame(turn: Turn, frame: FrameData, command: str | None) -> None:
    view = turn.state.camera
    turn.set(
        camera=replace(
            view, frames=view.frames + 1, lost=view.lost + frame.lost_before, newest_ns=frame.exposure_start_ns
        )
    )
    frame = hold.see_frame(turn, frame)
    if frame.streamed:
        camera.add_streamed(turn, frame)
    else:
        camera.add_snap(turn, frame)
    if turn.state.mode is Mode.DEGRADED:
        turn.enter(Mode.IDLE)
    topic = frame_topic(frame.camera)
    pending = turn.state.pending.get(command) if command else None
    task = frame.acquired.task if frame.acquired is not None else pending.task if pending is not None else None
    known = turn.state.tasks.get(task) if task is not None else None
    causes = (known.id, known.cause) if known is not None else ()
    message = turn.publish(topic, frame, causes)
    turn.do(PublishFrame(topic, message, frame.frame))
    for engine in turn.state.settings.engines:
        if engine != cells.ENGINE or cells.due(turn, frame):
            _offer(turn, engine, frame)
    for wait in turn.state.frame_waits:
        turn.reply(wait.reply, FrameResult(frame=frame.model_dump(mode="json")), frame.frame)
        turn.do(ClearTimer(wait.timer))
    turn.set(frame_waits=())
    acquire.admitted(turn, frame)
    rules.framed(turn, frame, task, message)


def _offer(turn: Turn, engine: str, frame: FrameData) -> None:
    """Offer a frame to an engine; the header may be forgotten before it has measured it."""
    view = turn.state.engines.get(engine, EngineView())
    offered = (*view.offered, (frame.frame, frame.exposure_start_ns))[-MOST_OFFERED:]
    turn.set(engines={**turn.state.engines, engine: replace(view, offered=offered)})
    turn.do(Offer(engine, frame.frame, _offered_with(turn, engine, frame)))


def _offered_with(turn: Turn, engine: str, frame: FrameData) -> Mapping[str, JsonValue]:
    """What an engine must know of a frame."""
    if engine == hold_hologram.ENGINE:
        return hold_hologram.options_of(turn)
    if engine == cells.ENGINE:
        return cells.options_of(turn, frame)
    return {"bit_depth": frame.bit_depth}


__all__ = ["hardware_heard", "note_fault"]
