"""The contents of events, one model a topic, and how topics are named.

Topics end with a dot, so that a subscription by prefix never catches a longer name by accident.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from microscoped.daemon.protocol.alarms import AlarmCode
from microscoped.daemon.protocol.envelope import Message
from microscoped.daemon.protocol.errors import ErrorBody
from microscoped.daemon.protocol.instrument import RecordingStatus

STATE_TOPIC = "v1.state."
ALARM_TOPIC = "v1.alarm."
LOG_TOPIC = "v1.log."
HEARTBEAT_TOPIC = "v1.heartbeat."


def frame_topic(camera: str) -> str:
    """Topic of a camera's frames."""
    return f"v1.frame.{camera}."


def measure_topic(engine: str) -> str:
    """Topic of an engine's measurements."""
    return f"v1.measure.{engine}."


def decision_topic(rule: str) -> str:
    """Topic of a rule's decisions."""
    return f"v1.decision.{rule}."


def task_topic(task: str) -> str:
    """Topic of one task."""
    return f"v1.task.{task}."


class StateData(Message):
    """``v1.state.``, whenever one of these changes.

    Parameters
    ----------
    state, reason
        The daemon's state, and why.
    z_um, moving
        Where the stage is, as it was last read, and whether it moves.
    streaming
        Whether the camera streams.
    lease
        Who holds the stage's lease; ``null`` for nobody.
    recording
        Folder of the recording under way; ``null`` where none is.
    """

    state: str
    reason: str
    z_um: float | None
    moving: bool
    streaming: bool
    lease: str | None = None
    recording: str | None = None


class AcquiredData(Message):
    """What an acquisition says of one of its frames.

    Parameters
    ----------
    task
        The acquisition.
    number
        0, 1, 2 … in the order of exposure within it.
    batch
        ``plan``, or the injection that the event came with: an index is unique within its batch only.
    index
        Place in the plan: number along each axis (``t p g c z``).
    group, channel
        Group and preset that were selected; ``null`` for the light as it was.
    position
        Name of the position; empty where it has none.
    xy_um
        Where the stage in the plane is; ``null`` where there is none.
    late_s
        How much later than planned the event was begun.
    focused
        Whether the last focus event of this position found its focus; ``null`` where there was none.
    notes
        The event's own ``metadata``.
    """

    task: str
    number: int
    batch: str
    index: dict[str, int]
    group: str | None = None
    channel: str | None = None
    position: str = ""
    xy_um: tuple[float, float] | None = None
    late_s: float = 0.0
    focused: bool | None = None
    notes: dict[str, JsonValue] = {}


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
    off_plane
        Whether it was exposed away from the plane that ``focus.hold`` keeps: in motion, or further from it than twice
        the tolerance of the focus.
    acquired
        Which frame of an acquisition it is; ``null`` for any other.
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
    off_plane: bool = False
    acquired: AcquiredData | None = None


class PartData(Message):
    """A binary part of a measurement: one frame after the JSON frame, on ``frames``.

    Parameters
    ----------
    name
        What it is.
    content_type
        How it is to be read: ``application/vnd.apache.arrow.stream`` is a table as an Arrow IPC stream.
    size_bytes
        Its length.
    """

    name: str
    content_type: str
    size_bytes: int


class MeasureData(Message):
    """``v1.measure.<engine>.``: what an engine says of one frame, or that it skipped it for a newer one.

    The same event goes over the socket ``frames`` with its binary parts, where it has such.

    Parameters
    ----------
    engine, frame
        Which engine, and which frame.
    skipped
        Whether a newer frame came before it had begun this one; then it measured nothing.
    values
        What it measured, each with its unit in its name; ``error`` is the uncertainty of ``score``. Of ``hologram``:
        ``z_um`` (middle of the specimen) and ``z_min_contrast_um`` (plane of its least amplitude contrast, in which its
        phase is measured), medians over the cells, micrometres in the medium from the plane in focus, positive along
        the light; ``half_width_um`` of their 90 % interval, ``depth_spread_um``, and ``reason`` where there is no
        distance; the same, place, phase and dry mass of each of ``cells``; and how well the ``background`` fits. Where
        the scale is unknown, distances end in ``_px2_per_wavelength``. Of ``cells``: ``count``, ``density_per_mm2``,
        the distributions of ``dry_mass_pg``, ``area_um2``, ``max_opd_nm`` and ``length_um`` over the cells that do not
        reach the border, under ``tracks`` how many were found again, how they grow and how they move, and as ``cells``
        those columns of the table that are configured.
    z_um
        Where the stage was during the exposure.
    latency_ms
        From the frame's arrival to the end of the measurement.
    parts
        Its binary parts, each with ``name``, ``content_type`` and ``size_bytes``, in the order in which they follow the
        JSON frame on ``frames``. Of ``cells``: ``cells``, a row for each cell, and ``motions``, a row for each cell
        that was found again.
    """

    engine: str
    frame: str
    skipped: bool = False
    values: dict[str, JsonValue] = {}
    z_um: float | None = None
    latency_ms: float | None = None
    parts: list[PartData] = []


class TaskData(Message):
    """``v1.task.<task>.``: a task's state, progress, and at its end its result or error.

    Parameters
    ----------
    task, op
        Id of the task, and the op that began it.
    state
        ``running``, then one of ``done``, ``failed``, ``cancelled``, ``preempted``.
    progress
        How far it is. Of ``focus.run``: ``images``, ``method``, and the last ``z_um`` with ``score`` or ``defocus_um``.
        Of ``focus.hold``: ``rounds`` and ``failed``, ``plane_um``, why an excursion is ``due`` and what it is
        ``blocked`` by, and what the ``last`` one reported; by holograms ``distance_um``, which is kept, or in which
        they are refocused.
        Of ``calibrate.run``: ``phase`` (in ``waiting`` it waits for ``calibrate.next``), ``field`` of ``fields``, how
        many were ``accepted`` and ``rejected``, ``images`` of at most ``images_most``, ``dose_ms``, what it is
        ``doing``; at its start the plan. Of holograms: ``what`` (``hologram``), ``phase``, which place of the
        slide is ``wanted`` (``empty`` or ``specimen``), ``done`` of ``visits_total``, and the last ``distance_um``.
        Of ``acquire.run``: ``phase`` (``preparing``, ``running``, ``pausing``, ``paused``, ``cancelling``, ``ended``),
        at its start the ``estimate`` (as ``acquire.check``), ``frames`` and ``skipped`` of ``expected``, ``index``,
        ``batch`` and ``position`` of the event under way, the last ``focus``, ``light_ms``, ``late_s``,
        ``injected_waiting``, ``elapsed_s``, and
        ``new_skips``: the frames that were skipped since the last progress, each with its place and the ``reason``.
    result
        What it reports at its end (see the op); a search that failed reports too.
    error
        Why it did not end as ``done``.
    """

    task: str
    op: str
    state: Literal["accepted", "running", "done", "failed", "cancelled", "preempted"]
    progress: dict[str, JsonValue] = {}
    result: dict[str, JsonValue] | None = None
    error: ErrorBody | None = None


class CauseData(Message):
    """A value that a decision rests on.

    Parameters
    ----------
    what
        Which, as it is written in expressions.
    low, high
        Bounds of the value: equal where it is exact, ``null`` where there is none. A truth value is 1 or 0.
    unit
        Of both.
    engine
        Which engine told it; ``frame`` is the frame's header.
    measurement, frame
        Ids of the event and of the frame that told it; ``null`` where none did.
    at_ns
        When that frame's exposure began, on the daemon's monotonic clock.
    rows
        Of a table: the first rows for which the condition holds.
    """

    what: str
    low: float | None
    high: float | None
    unit: str
    engine: str
    measurement: str | None = None
    frame: str | None = None
    at_ns: int | None = None
    rows: list[int] = []


class DecisionData(Message):
    """``v1.decision.<rule>.``: what a rule concludes. The event's ``causes`` are the measurements that led to it.

    A task that is begun because of it names the event's id among its causes.

    Parameters
    ----------
    rule
        Which rule.
    number
        Of the decision: 1, 2, 3 … over all rules of the session.
    kind
        ``fired``: the action is begun; ``refused``: it could not be begun (`number` is that of ``fired``);
        ``suppressed``: it would have fired, but for something in the way; ``unknown``: it cannot be told whether the
        condition holds; ``released``: what it fired for is over.
    why
        The same in words.
    values
        The values that settled the condition.
    action
        What is done; only where it fired.
    by
        Where it was suppressed: by what. ``hold``, ``unless``, ``priority``, ``cool_down``, ``budget``, ``dose`` or
        ``session_dose``.
    retry_ns
        When that may be over, on the daemon's monotonic clock.
    error
        Where it was refused: why.
    unsaid
        How often the same was concluded since the last time it was said.
    """

    rule: str
    number: int
    kind: Literal["fired", "refused", "suppressed", "unknown", "released"]
    why: str
    values: list[CauseData] = []
    action: dict[str, JsonValue] | None = None
    by: str | None = None
    retry_ns: int | None = None
    error: ErrorBody | None = None
    unsaid: int = 0


class AlarmData(Message):
    """``v1.alarm.``: something needs a person, or no longer does.

    Parameters
    ----------
    code
        What; cause and remedy of each are listed under *Alarms*.
    cleared
        Whether it is over.
    detail, data
        What happened, in words and in values.
    """

    code: AlarmCode
    cleared: bool = False
    detail: str
    data: dict[str, JsonValue] = {}


class LogData(Message):
    """``v1.log.``: a warning or an error that the daemon wrote to its log; alarms, which have a topic, are left out.

    At most 20 within a second are published; of a storm the rest is counted. The log file has all of them.

    Parameters
    ----------
    level
        How bad it is.
    logger
        Who wrote it.
    message
        The text, 1000 characters at most (a longer one ends with …); of a traceback the last line.
    dropped
        How many entries before this one, since the last that was published, were only counted.
    """

    level: Literal["warning", "error", "critical"]
    logger: str
    message: str
    dropped: int = 0


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
        Depths of the queues; ``engines.NAME`` is that of an engine with a process of its own, the frame in work
        counted.
    engines
        For each engine: frames measured and skipped, latency ``p50`` and ``p99`` in ms.
    frames, lost
        Frames taken, and lost by the camera or its driver, in this session.
    recorded_seq, durable_seq
        Numbers of the last inputs of the loop that the journal has handed to the operating system, and that are on the
        disk: nothing up to them is lost if the process dies, or if the power fails. ``null`` where no journal is kept.
    unrecorded
        Inputs that are missing because the journal has ended.
    recording
        The recording under way; ``null`` where none is.
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
    recorded_seq: int | None = None
    durable_seq: int | None = None
    unrecorded: int = 0
    recording: RecordingStatus | None = None


__all__ = [
    "ALARM_TOPIC",
    "HEARTBEAT_TOPIC",
    "LOG_TOPIC",
    "STATE_TOPIC",
    "AcquiredData",
    "AlarmData",
    "CauseData",
    "DecisionData",
    "FrameData",
    "HeartbeatData",
    "LogData",
    "MeasureData",
    "PartData",
    "StateData",
    "TaskData",
    "decision_topic",
    "frame_topic",
    "measure_topic",
    "task_topic",
]
