"""What the loop does about it: a closed union of plain frozen data, carried out by the runner in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    | CloseHardware
    | Exit
)

__all__ = [
    "AllowMotion",
    "CancelCommand",
    "ClearTimer",
    "CloseHardware",
    "Effect",
    "Exit",
    "Forget",
    "HaltStage",
    "Measure",
    "Offer",
    "Publish",
    "PublishFrame",
    "PublishParts",
    "SendReply",
    "SetTimer",
    "StartRecording",
    "StopRecording",
    "Submit",
]
