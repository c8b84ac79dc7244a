"""Ops about the session itself: what there is, stop, resume, shutdown."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.effects import AllowMotion, ClearTimer, CloseHardware, HaltStage, SetTimer
from microscoped.daemon.core.handlers import camera, record
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.core.state import Outcome, StopWait
from microscoped.daemon.core.turn import KEPT_EVENTS, KEPT_TOPICS, task_data
from microscoped.daemon.protocol import OPS, VERSION, AlarmCode, ErrorBody, ErrorCode, RefusedError, Scope
from microscoped.daemon.protocol.instrument import (
    CameraFacts,
    CameraInfoData,
    CameraSettingsData,
    CameraStatus,
    CellsFacts,
    EngineStatus,
    FocusFacts,
    HologramFacts,
    OpticsFacts,
    StageFacts,
    StageStatus,
)
from microscoped.daemon.protocol.ops import (
    DescribeResult,
    EventsSinceParams,
    EventsSinceResult,
    HelloResult,
    PingResult,
    SnapshotParams,
    SnapshotResult,
    StateResult,
    StatusResult,
    StopResult,
    TopicValue,
)
from microscoped.drivers.commands import ReadPosition

if TYPE_CHECKING:
    from microscoped.daemon.core.inputs import StopReturned
    from microscoped.daemon.core.state import HologramDefaults
    from microscoped.daemon.core.turn import Ask, Turn

STOP_REPLY_TIMER = "stop.reply"
STOP_ALARM_TIMER = "stop.alarm"
CLOSE_TIMER = "close"
STOP_REPLY_NS = 50_000_000
"""How long the answer to ``stop`` waits for the driver before it says ``stopping``."""
STOP_ALARM_NS = 2_000_000_000
"""How long a driver may take to return from its stop before that is an alarm."""
EVENTS_AT_ONCE = 500
"""Most events in one answer to ``events.since``."""
CLOSE_NS = 10_000_000_000
"""How long the hardware may take to close before the daemon ends without it."""


def hello(turn: Turn, ask: Ask) -> None:
    """Answer with all that a client needs to know first."""
    settings = turn.state.settings
    turn.reply(
        ask.to,
        HelloResult(
            software=settings.software,
            protocol=VERSION,
            session=turn.state.session,
            ops=sorted(OPS),
            endpoints=dict(settings.endpoints),
            limits=dict(settings.size_limits),
            scopes=[scope for scope in Scope if ask.to.peer.scope and ask.to.peer.scope.includes(scope)],
        ),
    )


def ping(turn: Turn, ask: Ask) -> None:
    """Answer at once."""
    turn.reply(ask.to, PingResult(session=turn.state.session, state=turn.state.mode, uptime_s=uptime_s(turn)))


def status(turn: Turn, ask: Ask) -> None:
    """Answer with what is the case now."""
    state, camera_view = turn.state, turn.state.camera
    turn.reply(
        ask.to,
        StatusResult(
            state=state.mode,
            reason=state.reason,
            uptime_s=uptime_s(turn),
            stage=StageStatus(
                name=state.stage.name,
                z_um=state.stage.z_um,
                moving=state.stage.moving,
                focus_direction=state.stage.focus_direction.value,
                limits_um=state.settings.motion.limits_um,
                xy_um=state.stage.xy_um,
            ),
            camera=CameraStatus(
                info=CameraInfoData(**asdict(camera_view.info)) if camera_view.info else None,
                settings=CameraSettingsData(**asdict(camera_view.settings)),
                streaming=camera_view.streaming,
                fps=camera_view.fps,
                fps_reached=camera.fps_reached(turn),
                frames=camera_view.frames,
                lost=camera_view.lost,
                frame_age_ms=frame_age_ms(turn),
            ),
            tasks=[task_data(task).model_dump(mode="json") for task in state.tasks.values() if not task.ended],
            engines={
                name: EngineStatus(measured=engine.measured, skipped=engine.skipped)
                for name, engine in state.engines.items()
            },
            recording=record.status_of(state.recording),
        ),
    )


def describe(turn: Turn, ask: Ask) -> None:
    """Answer with what this microscope is, and what is unknown."""
    state = turn.state
    motion, optics, hologram = state.settings.motion, state.settings.optics, state.settings.hologram
    info, settings = state.camera.info, CameraSettingsData(**asdict(state.camera.settings))
    figures = OpticsFacts()
    if optics is not None:
        figures = OpticsFacts(**{name: getattr(optics, name) for name in OpticsFacts.model_fields})
    turn.reply(
        ask.to,
        DescribeResult(
            microscope=dict(state.description),
            optics=figures,
            stage=StageFacts(
                name=state.stage.name,
                limits_um=motion.limits_um,
                max_step_um=motion.max_step_um,
                focus_direction=motion.focus_direction.value,
                approach=motion.approach_side.value if motion.approach_side else None,
                overshoot_um=motion.overshoot_um,
                arrival_tolerance_um=motion.arrival_tolerance_um,
                settle_ms=motion.settle_ms,
                limits_x_um=state.settings.xy.limits_x_um,
                limits_y_um=state.settings.xy.limits_y_um,
            ),
            camera=CameraFacts(**asdict(info), settings=settings) if info else None,
            focus=FocusFacts(**asdict(state.settings.focus)),
            hologram=None if hologram is None else _hologram_facts(hologram),
            no_hologram=state.settings.no_hologram,
            cells=None if state.settings.cells is None else CellsFacts(**asdict(state.settings.cells)),
            no_cells=state.settings.no_cells,
            presets={group: list(names) for group, names in state.presets.items()},
        ),
    )


def _hologram_facts(known: HologramDefaults) -> HologramFacts:
    return HologramFacts(**{**asdict(known), "side": "plus" if known.side == 1 else "minus"})


def snapshot(turn: Turn, ask: Ask) -> None:
    """Answer with the last value of each topic."""
    params: SnapshotParams = ask.params
    wanted = tuple(params.topics) or ("",)
    turn.reply(
        ask.to,
        SnapshotResult(
            session=turn.state.session,
            topics=[
                TopicValue(topic=topic, seq=view.seq, data=dict(view.data))
                for topic, view in turn.state.topics.items()
                if topic.startswith(wanted)
            ],
        ),
    )


def events_since(turn: Turn, ask: Ask) -> None:
    """Answer with the events of a topic after a number, or say that they are gone."""
    params: EventsSinceParams = ask.params
    seen = turn.state.topics.get(params.topic)
    missed = [event for event in turn.state.history if event["topic"] == params.topic]
    newest = seen.seq if seen else (missed[-1]["seq"] if missed else 0)
    missed = [event for event in missed if isinstance(event["seq"], int) and event["seq"] > params.seq]
    if isinstance(newest, int) and params.seq > newest:
        raise RefusedError(ErrorCode.INVALID, f"seq {params.seq} lies ahead of {params.topic}, which is at {newest}")
    if params.seq != newest and (not missed or missed[0]["seq"] != params.seq + 1):
        kept = ", ".join(KEPT_TOPICS)
        raise RefusedError(
            ErrorCode.GONE,
            f"the events of {params.topic} after {params.seq} are not kept (kept: the last {KEPT_EVENTS} of {kept}); "
            "take a snapshot",
        )
    if missed and params.seq > 0:  # from 0 on asks who came late
        detail = f"a client asked for {len(missed)} events of {params.topic} that it had missed"
        turn.alarm(AlarmCode.SUBSCRIBER_GAP, detail, {"topic": params.topic, "after": params.seq})
    events = [dict(event) for event in missed[:EVENTS_AT_ONCE]]
    turn.reply(ask.to, EventsSinceResult(events=events, more=len(missed) > len(events)))


def stop(turn: Turn, ask: Ask) -> None:
    """Halt the stage; the answer follows when the driver has returned, or soon."""
    turn.do(HaltStage())
    cancelled = [task for task in turn.state.tasks.values() if not task.ended]
    for task in cancelled:
        error = ErrorBody.of(ErrorCode.CANCELLED, "stop was asked for; the hardware stays where it is")
        turn.end_task(task, Outcome("cancelled", error=error))
    if turn.state.mode in (Mode.IDLE, Mode.ACTIVE, Mode.DEGRADED, Mode.STARTING):
        turn.enter(Mode.STOPPED, "stop was asked for")
    wait = StopWait(ask.to, tuple(task.id for task in cancelled))
    turn.set(stop_waits=(*turn.state.stop_waits, wait))
    turn.do(SetTimer(STOP_REPLY_TIMER, turn.now.mono_ns + STOP_REPLY_NS))
    turn.do(SetTimer(STOP_ALARM_TIMER, turn.now.mono_ns + STOP_ALARM_NS))


def stop_returned(turn: Turn, heard: StopReturned) -> None:
    """Answer those who wait for ``stop``."""
    turn.do(ClearTimer(STOP_REPLY_TIMER))
    turn.do(ClearTimer(STOP_ALARM_TIMER))
    for wait in turn.state.stop_waits:
        turn.reply(
            wait.reply,
            StopResult(
                state="stopped",
                issue_ms=max(0.0, (heard.issued_ns - wait.reply.received_ns) / 1e6),
                cancelled=list(wait.cancelled),
                detail=heard.error.detail if heard.error else "",
            ),
        )
    turn.set(stop_waits=())
    if turn.state.hardware_open and turn.state.mode is not Mode.CLOSING:
        turn.submit(lambda command: ReadPosition(id=command), op="stop", own_time_s=1)


def stop_is_slow(turn: Turn) -> None:
    """Answer those who wait for ``stop`` although the driver has not returned."""
    for wait in turn.state.stop_waits:
        detail = "the stage's driver has not returned from its stop yet"
        turn.reply(wait.reply, StopResult(state="stopping", cancelled=list(wait.cancelled), detail=detail))
    turn.set(stop_waits=())


def stop_is_stuck(turn: Turn) -> None:
    """Raise an alarm: the driver does not return from its stop."""
    detail = (
        f"the stage's driver has not returned from its stop for {STOP_ALARM_NS / 1e9:g} s; the stage may still move: "
        "use the controller's own stop or its power switch"
    )
    turn.alarm(AlarmCode.STOP_STUCK, detail)


def resume(turn: Turn, ask: Ask) -> None:
    """Allow motion again; from a fault only once the stage answers."""
    mode = turn.state.mode
    if mode is Mode.FAULT:
        turn.submit(lambda command: ReadPosition(id=command), op="resume", own_time_s=1, reply=ask.to)
        return
    if mode in (Mode.STOPPED, Mode.SAFE):
        allow_motion(turn)
    if mode is Mode.SAFE and turn.state.hardware_open:
        camera.stream_at_start(turn)  # it waited, too: see start_safe
    turn.reply(ask.to, StateResult(state=turn.state.mode))


def start_safe(turn: Turn, reason: str) -> None:
    """Begin in SAFE, after a crash: until ``resume`` nothing moves, and the camera does not stream by itself.

    An exposure may open a shutter, and the camera's driver may be what crashed.
    """
    turn.enter(Mode.SAFE, reason)
    turn.alarm(AlarmCode.RESTARTED, reason)


def allow_motion(turn: Turn) -> None:
    """Enter IDLE, or STARTING where the microscope is not open yet."""
    turn.do(AllowMotion())
    if turn.state.hardware_open:
        turn.enter(Mode.IDLE)
    else:
        turn.enter(Mode.STARTING, "the microscope is being opened")


def shutdown(turn: Turn, ask: Ask) -> None:
    """Begin to close; the process ends when the hardware is closed."""
    close(turn, "shutdown was asked for")
    turn.reply(ask.to, StateResult(state=turn.state.mode))


def close(turn: Turn, reason: str) -> None:
    """Cancel all tasks, halt the stage, close the hardware."""
    if turn.state.mode is Mode.CLOSING:
        return
    for task in [task for task in turn.state.tasks.values() if not task.ended]:
        turn.end_task(task, Outcome("cancelled", error=ErrorBody.of(ErrorCode.CANCELLED, reason)))
    turn.enter(Mode.CLOSING, reason)
    turn.do(HaltStage())
    turn.do(CloseHardware())
    turn.do(SetTimer(CLOSE_TIMER, turn.now.mono_ns + CLOSE_NS))


def note_position(turn: Turn, z_um: float) -> None:
    """Remember where the stage is; say so where that is news."""
    if turn.state.stage.z_um != z_um:
        turn.set(stage=replace(turn.state.stage, z_um=z_um))
        turn.publish_state()


def uptime_s(turn: Turn) -> float:
    """Seconds since the session began."""
    return (turn.now.mono_ns - turn.state.began_ns) / 1e9


def frame_age_ms(turn: Turn) -> float | None:
    """Milliseconds since the newest frame's exposure began; ``None`` where none came yet."""
    newest_ns = turn.state.camera.newest_ns
    return None if newest_ns is None else (turn.now.mono_ns - newest_ns) / 1e6
