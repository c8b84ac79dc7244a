"""What the loop hears: a closed union of plain frozen data, without pixels, so that a life of the daemon is a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydantic import JsonValue

from microscoped.daemon.protocol import ErrorBody, Request, Scope
from microscoped.daemon.protocol.events import FrameData, PartData
from microscoped.drivers.motion import Arrival, XYArrival
from microscoped.drivers.protocols import CameraInfo, CameraSettings, FocusDirection


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of an input: its number in the life of the loop, monotonic nanoseconds, and UTC (ISO 8601)."""

    number: int
    mono_ns: int
    utc: str


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks, and where a reply goes.

    Parameters
    ----------
    routing
        The routing id that ZeroMQ gave the client.
    delimited
        Whether it sent an empty delimiter frame.
    user, scope
        Whose key it proved to have, and what that user may do now; nobody and ``control`` where no keys are used.
        ``None``: the key was revoked.
    """

    routing: bytes
    delimited: bool = False
    user: str = ""
    scope: Scope | None = Scope.CONTROL

    @property
    def keyed(self) -> bool:
        """Whether it proved to have a key."""
        return bool(self.user)


@dataclass(frozen=True, slots=True)
class StartedSafe:
    """The first input of a daemon that was started again after a crash; `reason` says what happened, for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A well-formed request."""

    peer: Peer
    request: Request


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A control message that could not be read; `cause` is its id where one could be found."""

    peer: Peer
    cause: str | None
    error: ErrorBody


@dataclass(frozen=True, slots=True)
class HardwareOpened:
    """The microscope is open; `xy_um` and `presets` where it has a stage in the plane, and groups of presets."""

    camera: CameraInfo
    settings: CameraSettings
    stage_name: str
    z_um: float
    focus_direction: FocusDirection
    description: Mapping[str, str]
    xy_um: tuple[float, float] | None = None
    presets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HardwareLost:
    """The microscope could not be opened, or its thread ended though nobody asked."""

    error: ErrorBody


@dataclass(frozen=True, slots=True)
class HardwareClosed:
    """The microscope is closed, as was asked."""


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """A hardware command ended: with its value (a frame is named by its id), or with an error."""

    command: str
    value: Arrival | XYArrival | CameraSettings | float | str | None = None
    error: ErrorBody | None = None


@dataclass(frozen=True, slots=True)
class FrameAdmitted:
    """A frame is in hand; its pixels are kept under its id until `Forget`. `command` is the `Snap` that took it."""

    frame: FrameData
    command: str | None = None


@dataclass(frozen=True, slots=True)
class StreamDied:
    """The stream ended by itself."""

    error: ErrorBody


@dataclass(frozen=True, slots=True)
class PositionSeen:
    """What the resting stage reads back; `moved` where nobody here moved it."""

    z_um: float
    moved: bool


@dataclass(frozen=True, slots=True)
class StageLost:
    """The resting stage did not answer."""

    error: ErrorBody


@dataclass(frozen=True, slots=True)
class StopReturned:
    """The driver's own stop was called, and returned; `error` where it cannot halt a move."""

    issued_ns: int
    returned_ns: int
    error: ErrorBody | None


@dataclass(frozen=True, slots=True)
class MeasureEnded:
    """An engine measured a frame.

    Parameters
    ----------
    engine, frame
        Which engine, and which frame.
    request
        Id of the `Measure` effect; ``None`` for a frame that was merely offered.
    values
        What it measured, or ``None`` with an `error`.
    latency_ms
        From offering to result.
    earlier
        Frames that belong to the measurement and were exposed before, in that order.
    parts
        Its binary parts; they themselves stay behind, as pixels do.
    """

    engine: str
    frame: str
    request: str | None
    values: Mapping[str, JsonValue] | None
    latency_ms: float
    error: ErrorBody | None = None
    earlier: tuple[str, ...] = ()
    parts: tuple[PartData, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameSkipped:
    """A newer frame overwrote this one before the engine began it."""

    engine: str
    frame: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that was set is due."""

    timer: str


@dataclass(frozen=True, slots=True)
class RecordingProgress:
    """How far a recording is; see `RecordingStatus`."""

    recorded_seq: int
    waiting: int
    frames: int
    skipped: int


@dataclass(frozen=True, slots=True)
class HeartbeatDue:
    """A second has passed; what the runner measured of itself in it.

    Parameters
    ----------
    loop_lag_ms, queues
        See `HeartbeatData`.
    hardware_silent_ms
        Since the hardware thread last came back from a driver.
    recorded_seq, durable_seq, unrecorded
        How far the journal is; ``None`` where none is kept.
    disk_free_mb
        What is left on its disk, in megabytes; ``None`` where that is not known.
    recording
        How far the recording is; ``None`` where none is made.
    """

    loop_lag_ms: Mapping[str, float]
    queues: Mapping[str, int]
    hardware_silent_ms: float = 0.0
    recorded_seq: int | None = None
    durable_seq: int | None = None
    unrecorded: int = 0
    disk_free_mb: float | None = None
    recording: RecordingProgress | None = None


@dataclass(frozen=True, slots=True)
class JournalEnded:
    """The journal could not be written any more, and has ended; the daemon goes on without it."""

    detail: str
    data: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class RecordingBegan:
    """The folder of a recording is made; what came since the request is in it."""

    folder: str


@dataclass(frozen=True, slots=True)
class FramesLeftOut:
    """From this frame on frames are not recorded, until the disk keeps up again; the loop goes on."""

    frame: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """A recording has ended.

    Parameters
    ----------
    folder, detail
        Which one, and why.
    failed
        Whether it ended though nobody asked: an alarm.
    last
        Number of the last input in it; all to there are on the disk.
    frames, skipped
        Frames in it, and frames that came and are not.
    """

    folder: str
    detail: str
    failed: bool
    last: int
    frames: int
    skipped: int


@dataclass(frozen=True, slots=True)
class SequenceChecked:
    """A sequence was read for ``acquire.check``: with what it will cost (see `AcquireCheckResult`), or an error."""

    request: str
    estimate: Mapping[str, JsonValue] | None = None
    error: ErrorBody | None = None


@dataclass(frozen=True, slots=True)
class AcquisitionProgressed:
    """How far an acquisition is, as its task tells it."""

    task: str
    progress: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class FocusWanted:
    """An acquisition wants the focus; an `AnswerFocus` must follow.

    Parameters
    ----------
    task, request
        Which acquisition; returned with the answer.
    light_ms
        Exposure time that it may spend; ``None`` without limit.
    """

    task: str
    request: str
    light_ms: float | None = None


@dataclass(frozen=True, slots=True)
class AcquisitionEnded:
    """An acquisition has ended: nothing more will come from it.

    Parameters
    ----------
    task
        Which one.
    progress
        How far it came, as its task tells it.
    result
        See `AcquireOutcome`; ``None`` where it never began.
    error
        Why it is not complete; ``None`` where every frame was taken, or skipped with a reason.
    """

    task: str
    progress: Mapping[str, JsonValue]
    result: Mapping[str, JsonValue] | None = None
    error: ErrorBody | None = None


@dataclass(frozen=True, slots=True)
class InjectionEnded:
    """Events were added to an acquisition under the name of a batch, with so many frames; or an error says why not."""

    request: str
    batch: str | None = None
    error: ErrorBody | None = None
    frames: int = 0


@dataclass(frozen=True, slots=True)
class LogWritten:
    """A warning or an error was written to the log.

    Parameters
    ----------
    level, logger, message
        How bad, who wrote it, and what; the message has a bounded length.
    dropped
        Entries before this one that came too fast to be heard.
    """

    level: Literal["warning", "error", "critical"]
    logger: str
    message: str
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class KeyRevoked:
    """A user's key was revoked, or its file cannot be used any more."""

    user: str


@dataclass(frozen=True, slots=True)
class ShutdownWanted:
    """The process was asked to end, by a signal or by its parent."""

    reason: str


Input: TypeAlias = (
    StartedSafe
    | RequestReceived
    | RequestRefused
    | HardwareOpened
    | HardwareLost
    | HardwareClosed
    | CommandEnded
    | FrameAdmitted
    | StreamDied
    | PositionSeen
    | StageLost
    | StopReturned
    | MeasureEnded
    | FrameSkipped
    | TimerFired
    | HeartbeatDue
    | JournalEnded
    | RecordingBegan
    | FramesLeftOut
    | RecordingEnded
    | SequenceChecked
    | AcquisitionProgressed
    | FocusWanted
    | AcquisitionEnded
    | InjectionEnded
    | LogWritten
    | KeyRevoked
    | ShutdownWanted
)

__all__ = [
    "AcquisitionEnded",
    "AcquisitionProgressed",
    "CommandEnded",
    "FocusWanted",
    "FrameAdmitted",
    "FrameSkipped",
    "FramesLeftOut",
    "HardwareClosed",
    "HardwareLost",
    "HardwareOpened",
    "HeartbeatDue",
    "InjectionEnded",
    "Input",
    "JournalEnded",
    "KeyRevoked",
    "LogWritten",
    "MeasureEnded",
    "Now",
    "Peer",
    "PositionSeen",
    "RecordingBegan",
    "RecordingEnded",
    "RecordingProgress",
    "RequestReceived",
    "RequestRefused",
    "SequenceChecked",
    "ShutdownWanted",
    "StageLost",
    "StartedSafe",
    "StopReturned",
    "StreamDied",
    "TimerFired",
]
