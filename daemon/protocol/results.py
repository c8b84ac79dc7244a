"""What the ops answer, and what their tasks report. Schema and documents are made from the docstrings."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from microscoped.daemon.protocol.envelope import Event, Message
from microscoped.daemon.protocol.events import FrameData, TaskData
from microscoped.daemon.protocol.instrument import (
    CameraFacts,
    CameraSettingsData,
    CameraStatus,
    CellsFacts,
    EngineStatus,
    FocusFacts,
    HologramFacts,
    OpticsFacts,
    RecordingStatus,
    RuleStatus,
    StageFacts,
    StageStatus,
)


class Accepted(Message):
    """Long work began: progress and end come on ``v1.task.<task>.``, or from ``task.get``.

    Parameters
    ----------
    task
        Id of the task.
    state
        What has become of the request.
    """

    task: str
    state: Literal["accepted"] = "accepted"


class DryRun(Message):
    """Result of a request with ``dry_run``: it would have been accepted; nothing was done.

    Parameters
    ----------
    dry_run
        That it was one.
    plan
        What would be done, where the op tells: of ``calibrate.run`` depth of field, distance of the two images, number
        of images, exposure in all, and range; of holograms depth of field, range, steps and visits.
    """

    dry_run: Literal[True] = True
    plan: dict[str, JsonValue] = {}


class PingResult(Message):
    """Result of ``ping``.

    Parameters
    ----------
    session
        Changes when the daemon restarts.
    state
        State of the daemon.
    uptime_s
        Seconds since the session began.
    """

    session: str
    state: str
    uptime_s: float


class HelloResult(Message):
    """Result of ``hello``: all that a client needs to know first.

    Parameters
    ----------
    software, protocol
        Versions.
    session
        Changes when the daemon restarts.
    ops
        Names of all ops.
    endpoints
        Where ``control``, ``events`` and ``frames`` are bound.
    limits
        Sizes that a client must keep to, in bytes.
    scopes
        What this client may do.
    """

    software: str
    protocol: str
    session: str
    ops: list[str]
    endpoints: dict[str, str]
    limits: dict[str, int]
    scopes: list[str]


class StatusResult(Message):
    """Result of ``status``.

    Parameters
    ----------
    state, reason
        State of the daemon, and why.
    uptime_s
        Seconds since the daemon began.
    stage
        Where the stage is.
    camera
        What the camera does.
    tasks
        Tasks that have not ended.
    engines
        What each engine has done, by its name.
    recording
        The recording, or how the last one of this session ended; ``null`` where there was none.
    """

    state: str
    reason: str
    uptime_s: float
    stage: StageStatus
    camera: CameraStatus
    tasks: list[TaskData]
    engines: dict[str, EngineStatus]
    recording: RecordingStatus | None = None


class DescribeResult(Message):
    """Result of ``describe``: what this microscope is, and what is not known about it.

    Parameters
    ----------
    microscope
        What the driver says of itself: its versions, devices, configuration file, or its specimen.
    optics
        Aperture, wavelength, pixel size, depth of field and so on.
    stage
        The stage, and the rules of its motion.
    camera
        Facts about the camera, and its settings; ``null`` until the microscope is open.
    focus
        What ``focus.run`` does where the request does not say.
    hologram, no_hologram
        What the engine of holograms works with, or why there is none.
    cells, no_cells
        What the engine of cells works with, or why there is none.
    presets
        Groups of presets that the driver knows, and the presets of each: what a channel of a sequence may be.
    """

    microscope: dict[str, str]
    optics: OpticsFacts
    stage: StageFacts
    camera: CameraFacts | None
    focus: FocusFacts
    hologram: HologramFacts | None = None
    no_hologram: str = ""
    cells: CellsFacts | None = None
    no_cells: str = ""
    presets: dict[str, list[str]] = {}


class TopicValue(Message):
    """The last event of one topic.

    Parameters
    ----------
    topic, seq
        Which topic, and the event's number there.
    data
        The event's content.
    """

    topic: str
    seq: int
    data: dict[str, JsonValue]


class SnapshotResult(Message):
    """Result of ``snapshot``.

    Parameters
    ----------
    session
        Changes when the daemon restarts.
    topics
        Last value and number of each topic; discard events at or below that number.
    """

    session: str
    topics: list[TopicValue]


class EventsSinceResult(Message):
    """Result of ``events.since``.

    Parameters
    ----------
    events
        The events missed, oldest first, as they were published.
    more
        Whether there are more: ask again from the last one.
    """

    events: list[Event]
    more: bool


class LeaseResult(Message):
    """Result of ``stage.lease``.

    Parameters
    ----------
    token
        Put it into the field ``lease`` of each request that moves.
    ttl_s
        The lease ends so long after this request, unless it is renewed.
    """

    token: str
    ttl_s: float


class StateResult(Message):
    """Result of ``resume`` and ``shutdown``.

    Parameters
    ----------
    state
        The state entered.
    """

    state: str


class StopResult(Message):
    """Result of ``stop``.

    Parameters
    ----------
    state
        ``stopped``, or ``stopping`` where the stage's driver has not returned yet: an alarm follows if it never does.
    issue_ms
        From receipt to the call of the driver's own stop.
    cancelled
        Tasks that ended because of it.
    detail
        What the driver said, where it cannot halt a move.
    """

    state: Literal["stopped", "stopping"]
    issue_ms: float | None = None
    cancelled: list[str] = []
    detail: str = ""


class PositionResult(Message):
    """Result of ``stage.position``.

    Parameters
    ----------
    z_um, z_source
        Where the stage is, read from it now.
    moving
        Whether it moves.
    """

    z_um: float
    moving: bool
    z_source: Literal["readback"] = "readback"


class CameraResult(Message):
    """Result of the camera's ops.

    Parameters
    ----------
    settings
        Its settings, read back.
    streaming
        Whether it streams.
    fps
        Exposures of a stream per second; ``null``: as many as the camera makes by itself.
    """

    settings: CameraSettingsData
    streaming: bool
    fps: float | None = None


class FrameResult(Message):
    """Result of ``frame.get``; the pixels follow as one binary frame, rows first, little-endian.

    Parameters
    ----------
    frame
        The frame's header.
    """

    frame: FrameData


class AcquireCheckResult(Message):
    """Result of ``acquire.check``: what a sequence will cost. One that is not valid is refused, with all its problems.

    Parameters
    ----------
    frames
        Exactly so many, if none is skipped.
    focus_events
        About so many.
    duration_s
        About so long: stages and presets may take longer.
    light_ms
        Exposure time, without that of focusing.
    disk_bytes
        Pixels without compression.
    warnings
        What a person should know before it begins.
    """

    frames: int
    focus_events: int
    duration_s: float
    light_ms: float
    disk_bytes: int
    warnings: list[str]


class AcquireInjectResult(Message):
    """Result of ``acquire.inject``: the events were taken over.

    Parameters
    ----------
    batch
        The name that their frames bear.
    frames
        How many there are.
    """

    batch: str
    frames: int


class RecordResult(Message):
    """Result of ``record.start`` and ``record.stop``.

    The answer comes when the recording's folder is made, or when the recording is on the disk as a whole. A disk that
    takes longer than 5 s is not waited for: then the state says ``starting`` or ``ending``.

    Parameters
    ----------
    recording
        The recording.
    """

    recording: RecordingStatus


class RulesResult(Message):
    """Result of ``rules.set``, ``rules.list`` and ``rules.clear``: the rules as they are now.

    Parameters
    ----------
    rules
        All rules, in the order in which they are looked at.
    dose_ms_per_h
        As in ``rules.set``.
    """

    rules: list[RuleStatus]
    dose_ms_per_h: float | None = None


class TaskResult(Message):
    """Result of ``task.get`` and ``task.cancel``, and of ops that change a task under way.

    Parameters
    ----------
    task
        The task as it is now.
    """

    task: TaskData


class TaskListResult(Message):
    """Result of ``task.list``.

    Parameters
    ----------
    tasks
        Tasks under way, and the latest that ended.
    """

    tasks: list[TaskData]


__all__ = [
    "Accepted",
    "AcquireCheckResult",
    "AcquireInjectResult",
    "CameraResult",
    "DescribeResult",
    "DryRun",
    "EventsSinceResult",
    "FrameResult",
    "HelloResult",
    "LeaseResult",
    "PingResult",
    "PositionResult",
    "RecordResult",
    "RulesResult",
    "SnapshotResult",
    "StateResult",
    "StatusResult",
    "StopResult",
    "TaskListResult",
    "TaskResult",
    "TopicValue",
]
