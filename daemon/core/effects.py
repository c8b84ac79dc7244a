"""What the loop does about it: a closed union of plain frozen data, carried out by the runner in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import Peer
    from microscoped.drivers.commands import Command


@dataclass(frozen=True, slots=True)
class SendReply:
    """Send a reply; `frame` is the id of a frame whose pixels follow it."""

    peer: Peer
    message: Mapping[str, JsonValue]
    frame: str | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish an event on ``events``."""

    topic: str
    message: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class PublishFrame:
    """Publish a frame with its pixels on ``frames``, if anybody listens."""

    topic: str
    message: Mapping[str, JsonValue]
    frame: str


@dataclass(frozen=True, slots=True)
class PublishParts:
    """Publish a measurement with its binary parts on ``frames``, if anybody listens: those of the input in hand."""

    topic: str
    message: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand a command to the hardware thread; a `CommandEnded` follows."""

    command: Command


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """End a hardware command early; its `CommandEnded` still follows."""

    command: str


@dataclass(frozen=True, slots=True)
class HaltStage:
    """Let the stop lane halt the stage, and disable motion; a `StopReturned` follows."""


@dataclass(frozen=True, slots=True)
class AllowMotion:
    """Enable motion again."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Offer a frame to an engine, which takes the newest when it is free; `MeasureEnded` or `FrameSkipped` follows.

    Parameters
    ----------
    engine, frame
        Which engine, and which frame.
    options
        What the engine must know of this frame.
    """

    engine: str
    frame: str
    options: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Measure:
    """Have an engine measure this very frame, before all that is offered; a `MeasureEnded` follows.

    Parameters
    ----------
    request
        Returned with the result.
    engine, frame
        Which engine, and which frame.
    options
        What the engine must know of this frame, and settings that differ from the configured ones.
    earlier
        Frames that belong to the measurement and were exposed before, in that order.
    """

    request: str
    engine: str
    frame: str
    options: Mapping[str, JsonValue]
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a frame's pixels."""

    frame: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Have `TimerFired` at a monotonic time; a timer of that name is replaced."""

    timer: str
    due_ns: int


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """Forget a timer."""

    timer: str


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record every input after this one; `RecordingBegan` or `RecordingEnded` follows.

    Parameters
    ----------
    name
        Of the recording's own folder, which must not exist.
    pixels
        Whether frames are recorded.
    pixel_size_um
        Side of a pixel of the frames in the specimen, binning included; ``None`` where nobody knows.
    """

    name: str
    pixels: bool
    pixel_size_um: float | None


@dataclass(frozen=True, slots=True)
class StopRecording:
    """End the recording; `RecordingEnded` follows."""

    reason: str


@dataclass(frozen=True, slots=True)
class CheckSequence:
    """Read a sequence; `SequenceChecked` follows.

    Parameters
    ----------
    request
        Returned with the answer.
    sequence, light_ms
        As in ``acquire.check``.
    z_um
        Where the stage is: relative planes lie round this.
    pixel_size_um
        Side of a pixel of the frames in the specimen, binning included; ``None`` where nobody knows.
    """

    request: str
    sequence: Mapping[str, JsonValue]
    light_ms: float | None
    z_um: float
    pixel_size_um: float | None


@dataclass(frozen=True, slots=True)
class StartAcquisition:
    """Read a sequence and acquire it; `AcquisitionProgressed` and one `AcquisitionEnded` follow.

    Parameters
    ----------
    task
        The task that it belongs to.
    focus_failure, hold_open
        As in ``acquire.run``.
    sequence, light_ms, z_um, pixel_size_um
        As in `CheckSequence`.
    """

    task: str
    sequence: Mapping[str, JsonValue]
    light_ms: float | None
    z_um: float
    pixel_size_um: float | None
    focus_failure: Literal["skip", "keep", "end"]
    hold_open: bool


@dataclass(frozen=True, slots=True)
class SteerAcquisition:
    """Pause an acquisition, have it go on, or have it end after what waits now."""

    task: str
    how: Literal["pause", "resume", "finish"]


@dataclass(frozen=True, slots=True)
class InjectEvents:
    """Add events to an acquisition; `InjectionEnded` follows.

    Parameters
    ----------
    request
        Returned with the answer.
    task, events, after
        As in ``acquire.inject``.
    """

    request: str
    task: str
    events: Sequence[Mapping[str, JsonValue]]
    after: Literal["now", "end"]


@dataclass(frozen=True, slots=True)
class InjectSequence:
    """Add a sequence to an acquisition, for now; `InjectionEnded` follows.

    Parameters
    ----------
    request
        Returned with the answer, and the name of the batch.
    task
        The acquisition.
    sequence, light_ms
        An MDASequence as plain data; what it may give, ``None`` without a bound of its own.
    name, xy_um, z_um
        Where, unless it has positions of its own: the position's name and place, ``None`` without a stage in the plane.
    """

    request: str
    task: str
    sequence: Mapping[str, JsonValue]
    light_ms: float | None
    name: str
    xy_um: tuple[float, float] | None
    z_um: float


@dataclass(frozen=True, slots=True)
class AnswerFocus:
    """Tell an acquisition what became of the focus that it wanted.

    Parameters
    ----------
    task, request
        As in `FocusWanted`.
    found, z_um, reason
        Whether the stage rests in focus, where it rests, and why there is no focus.
    light_ms, images
        What it has cost.
    """

    task: str
    request: str
    found: bool
    z_um: float
    reason: str
    light_ms: float
    images: int


@dataclass(frozen=True, slots=True)
class CancelAcquisition:
    """End an acquisition soon: its `AcquisitionEnded` still follows."""

    task: str
    reason: str


@dataclass(frozen=True, slots=True)
class CloseHardware:
    """Close the microscope; `HardwareClosed` follows."""


@dataclass(frozen=True, slots=True)
class Exit:
    """End the loop with this exit code."""

    code: int


Effect: TypeAlias = (
    SendReply
    | Publish
    | PublishFrame
    | PublishParts
    | Submit
    | CancelCommand
    | HaltStage
    | AllowMotion
    | Offer
    | Measure
    | Forget
    | SetTimer
    | ClearTimer
    | StartRecording
    | StopRecording
    | CheckSequence
    | StartAcquisition
    | SteerAcquisition
    | InjectEvents
    | InjectSequence
    | AnswerFocus
    | CancelAcquisition
    | CloseHardware
    | Exit
)

__all__ = [
    "AllowMotion",
    "AnswerFocus",
    "CancelAcquisition",
    "CancelCommand",
    "CheckSequence",
    "ClearTimer",
    "CloseHardware",
    "Effect",
    "Exit",
    "Forget",
    "HaltStage",
    "InjectEvents",
    "InjectSequence",
    "Measure",
    "Offer",
    "Publish",
    "PublishFrame",
    "PublishParts",
    "SendReply",
    "SetTimer",
    "StartAcquisition",
    "StartRecording",
    "SteerAcquisition",
    "StopRecording",
    "Submit",
]
