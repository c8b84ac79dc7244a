"""What the engines say, and the heartbeat."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.effects import PublishParts
from microscoped.daemon.core.handlers import (
    calibrate,
    calibrate_hologram,
    cells,
    focus,
    hold,
    hold_hologram,
    record,
    rules,
    session,
)
from microscoped.daemon.core.state import (
    AcquireWork,
    CalibrateHologramWork,
    CalibrateWork,
    EngineView,
    FocusWork,
    HoldWork,
)
from microscoped.daemon.core.watchdogs import watch_over
from microscoped.daemon.protocol import AlarmCode
from microscoped.daemon.protocol.events import HEARTBEAT_TOPIC, HeartbeatData, MeasureData, measure_topic

if TYPE_CHECKING:
    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import FrameSkipped, HeartbeatDue, MeasureEnded
    from microscoped.daemon.core.turn import Turn


def measure_ended(turn: Turn, ended: MeasureEnded) -> None:
    """Publish a measurement, and hand it to the task that waits for it."""
    engine = turn.state.engines.get(ended.engine, EngineView())
    _change(
        turn,
        ended.engine,
        replace(engine, measured=engine.measured + 1, latencies_ms=(*engine.latencies_ms, ended.latency_ms)),
    )
    frame = turn.state.frame(ended.frame)
    if ended.values is not None:
        data = MeasureData(
            engine=ended.engine,
            frame=ended.frame,
            z_um=frame.z_um if frame else None,
            latency_ms=ended.latency_ms,
            parts=list(ended.parts),
        )
        topic = measure_topic(ended.engine)
        message = turn.publish(topic, data, (*ended.earlier, ended.frame), {"values": dict(ended.values)})
        if ended.parts:
            turn.do(PublishParts(topic, message))
        _note_failure(turn, ended, failing=False, detail=f"{ended.engine} measures again")
        if ended.engine == hold_hologram.ENGINE:
            _note_background(turn, ended.values.get("background"))
        elif ended.engine == cells.ENGINE:
            _note_background(turn, cells.background_of(ended.values))
        if ended.request is None and frame is not None:
            if ended.engine == focus.ENGINE:
                hold.see_score(turn, frame, ended.values["score"])
            elif ended.engine == hold_hologram.ENGINE:
                hold.see_distance(turn, frame, ended.values)
        if ended.request is None:
            rules.measured(turn, ended.engine, ended.frame, message)
    elif ended.error is not None and ended.request is None:
        _note_failure(turn, ended, failing=True, detail=ended.error.detail)
    if ended.request is None:
        _settle_offer(turn, ended.engine, ended.frame)
        return
    pending = turn.settle(ended.request)
    if pending is not None and pending.task is not None:
        task = turn.state.tasks[pending.task]
        if isinstance(task.work, FocusWork | AcquireWork):
            focus.measured(turn, task, ended)
        elif isinstance(task.work, HoldWork):
            hold.measured(turn, task, ended)
        elif isinstance(task.work, CalibrateWork):
            calibrate.measured(turn, task, ended)
        elif isinstance(task.work, CalibrateHologramWork):
            calibrate_hologram.measured(turn, task, ended)


def frame_skipped(turn: Turn, heard: FrameSkipped) -> None:
    """Count and publish a frame that an engine never began."""
    engine = turn.state.engines.get(heard.engine, EngineView())
    _change(turn, heard.engine, replace(engine, skipped=engine.skipped + 1))
    _settle_offer(turn, heard.engine, heard.frame)
    data = MeasureData(engine=heard.engine, frame=heard.frame, skipped=True)
    turn.publish(measure_topic(heard.engine), data, (heard.frame,))


def heartbeat(turn: Turn, heard: HeartbeatDue) -> None:
    """Publish ``v1.heartbeat.``, and look after what should go on by itself."""
    watch_over(turn, heard)
    record.note_progress(turn, heard)
    state = turn.state
    turn.publish(
        HEARTBEAT_TOPIC,
        HeartbeatData(
            state=state.mode,
            uptime_s=session.uptime_s(turn),
            frame_age_ms=session.frame_age_ms(turn),
            z_um=state.stage.z_um,
            loop_lag_ms=dict(heard.loop_lag_ms),
            queues=dict(heard.queues),
            engines={
                name: {
                    "measured": engine.measured,
                    "skipped": engine.skipped,
                    "latency_ms_p50": _quantile(engine.latencies_ms, 0.5),
                    "latency_ms_p99": _quantile(engine.latencies_ms, 0.99),
                }
                for name, engine in state.engines.items()
            },
            frames=state.camera.frames,
            lost=state.camera.lost,
            recorded_seq=heard.recorded_seq,
            durable_seq=heard.durable_seq,
            unrecorded=heard.unrecorded,
            recording=record.status_of(record.under_way(turn)),
        ),
    )
    turn.set(engines={name: replace(engine, latencies_ms=()) for name, engine in state.engines.items()})


def _note_failure(turn: Turn, ended: MeasureEnded, *, failing: bool, detail: str) -> None:
    """Raise an alarm when an engine begins to fail; it is over when none does any more."""
    engine = turn.state.engines[ended.engine]
    if engine.failing != failing:
        _change(turn, ended.engine, replace(engine, failing=failing))
    broken = any(engine.failing for engine in turn.state.engines.values())
    turn.watch(AlarmCode.FAULT_ENGINE, broken=broken, detail=detail)


def _note_background(turn: Turn, background: JsonValue) -> None:
    """Raise an alarm when the background hologram does not fit the frames any more."""
    if isinstance(background, dict):
        stale, why = bool(background.get("stale")), str(background.get("why") or "")
        data = {name: background.get(name) for name in ("kind", "taken", "carrier_moved_px", "residual_rad")}
        detail = why if stale else "the background fits the frames again"
        turn.watch(AlarmCode.HOLOGRAM_BACKGROUND, broken=stale, detail=detail, data=data)


def _change(turn: Turn, name: str, engine: EngineView) -> None:
    turn.set(engines={**turn.state.engines, name: engine})


def _settle_offer(turn: Turn, name: str, frame: str) -> None:
    """Forget when a frame was exposed that an engine has done with."""
    engine = turn.state.engines[name]
    _change(turn, name, replace(engine, offered=tuple(one for one in engine.offered if one[0] != frame)))


def _quantile(values: tuple[float, ...], part: float) -> float | None:
    """The value below which `part` of the values lie, by nearest rank; ``None`` of none."""
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


__all__ = ["frame_skipped", "heartbeat", "measure_ended"]
