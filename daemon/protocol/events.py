"""The contents of events, one model a topic, and how topics are named.

Topics end with a dot, so that a subscription by prefix never catches a longer name by accident.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from microscoped.daemon.protocol.alarms import AlarmCode
from microscoped.daemon.protocol.envelope import Message
from microscoped.daemon.protocol.errors import ErrorBody

STATE_TOPIC = "v1.state."
ALARM_TOPIC = "v1.alarm."
HEARTBEAT_TOPIC = "v1.heartbeat."


def frame_topic(camera: str) -> str:
    """Topic of a camera's frames."""
    return f"v1.frame.{camera}."


def measure_topic(engine: str) -> str:
    """Topic of an engine's measurements."""
    return f"v1.measure.{engine}."


def task_topic(task: str) -> str:
    """Topic of one task."""
    return f"v1.task.{task}."


class StateData(Message):
    """``v1.state.``: the daemon's state, why, where the stage is, and who holds its lease."""

    state: str
    reason: str
    z_um: float | None
    moving: bool
    streaming: bool
    lease: str | None = None


class FrameData(Message):
    """``v1.frame.<camera>.``, the header on ``frames``, and the result of ``frame.get``.

    Parameters
    ----------
    frame
        Id of the frame.
    camera
        The camera's label.
    shape, dtype, encoding
        Of the pixels: rows, columns and, for colour, 3 (red, green, blue); little-endian, rows first.
    bit_depth
        Significant bits of a pixel.
    exposure_start_ns, exposure_start_error_ns
        On the daemon's monotonic clock (``mono_ns``).
    exposure_ms
        Exposure time.
    z_um, z_source, moving
        The stage during the exposure: ``readback`` at rest, ``interpolated`` in motion.
    number, lost_before
        Number within its stream, and frames lost just before it.
    streamed
        Whether it belongs to a stream.
    """

    frame: str
    camera: str
    shape: list[int]
    dtype: str
    bit_depth: int
    encoding: Literal["raw"] = "raw"
    exposure_start_ns: int
    exposure_start_error_ns: int
    exposure_ms: float
    z_um: float
    z_source: Literal["readback", "interpolated", "commanded"]
    moving: bool
    number: int
    lost_before: int
    streamed: bool


class MeasureData(Message):
    """``v1.measure.<engine>.``: what an engine says of one frame, or that it skipped it for a newer one."""

    engine: str
    frame: str
    skipped: bool = False
    values: dict[str, JsonValue] = {}
    z_um: float | None = None
    latency_ms: float | None = None


class TaskData(Message):
    """``v1.task.<task>.``: a task's state, progress, and at its end its result or error."""

    task: str
    op: str
    state: Literal["accepted", "running", "done", "failed", "cancelled", "preempted"]
    progress: dict[str, JsonValue] = {}
    result: dict[str, JsonValue] | None = None
    error: ErrorBody | None = None


class AlarmData(Message):
    """``v1.alarm.``: something needs a person, or no longer does (`cleared`)."""

    code: AlarmCode
    cleared: bool = False
    detail: str
    data: dict[str, JsonValue] = {}


class HeartbeatData(Message):
    """``v1.heartbeat.``, each second.

    Parameters
    ----------
    state, uptime_s
        The daemon's state, and seconds since it began.
    frame_age_ms
        Age of the newest frame; ``null`` where none came yet.
    z_um
        Where the stage is.
    loop_lag_ms
        ``p50``, ``p99`` and ``max``: from an input's arrival to its handling, over the last second.
    queues
        Depths of the queues.
    engines
        For each engine: frames measured and skipped, latency ``p50`` and ``p99`` in ms.
    frames, lost
        Frames taken, and lost by the camera or its driver, in this session.
    """

    state: str
    uptime_s: float
    frame_age_ms: float | None
    z_um: float | None
    loop_lag_ms: dict[str, float]
    queues: dict[str, int]
    engines: dict[str, JsonValue]
    frames: int
    lost: int


__all__ = [
    "ALARM_TOPIC",
    "HEARTBEAT_TOPIC",
    "STATE_TOPIC",
    "AlarmData",
    "FrameData",
    "HeartbeatData",
    "MeasureData",
    "StateData",
    "TaskData",
    "frame_topic",
    "measure_topic",
    "task_topic",
]
