"""Where the frames of an acquisition go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.drivers.protocols import Pixels


@dataclass(frozen=True, slots=True)
class EventRecord:
    """What was wanted of one frame.

    Parameters
    ----------
    batch
        ``plan``, or the id of the injection that the event came with: an index is unique within its batch only.
    index
        Place in the sequence: axis (``t p g c z``) → number.
    channel
        Group and preset, or ``None`` for the light as it was.
    position
        Name of the position; empty where it has none.
    x_um, y_um, z_um
        Where; ``None``: wherever the stage was. With the correction that focusing found.
    exposure_ms
        For how long; ``None``: as it was set.
    planned_s
        When at the earliest, since the start of the batch or the last reset of its clock; ``None``: at once.
    notes
        The sequence's own metadata of the event.
    """

    batch: str
    index: Mapping[str, int]
    channel: tuple[str, str] | None = None
    position: str = ""
    x_um: float | None = None
    y_um: float | None = None
    z_um: float | None = None
    exposure_ms: float | None = None
    planned_s: float | None = None
    notes: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exposure:
    """A frame that is being exposed.

    Parameters
    ----------
    number
        0, 1, 2 … in the order of exposure within the acquisition.
    event
        What is wanted.
    xy_um
        Read-back of the stage in the plane; ``None`` where there is none.
    late_s
        How much later than planned it was begun.
    focused
        Whether the last focus event of this position found its focus; ``None`` where there was none.
    """

    number: int
    event: EventRecord
    xy_um: tuple[float, float] | None
    late_s: float
    focused: bool | None


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What belongs to one frame.

    Parameters
    ----------
    number, event, xy_um, late_s, focused
        As in `Exposure`.
    frame
        Id of the frame in the session (``frame-17``).
    exposure_start_ns, exposure_start_error_ns
        When the exposure began: monotonic nanoseconds, ± the error.
    exposure_ms
        Exposure time, read back.
    z_um
        Read-back of the focus stage.
    metadata
        What the driver said beside the image.
    """

    number: int
    event: EventRecord
    frame: str
    exposure_start_ns: int
    exposure_start_error_ns: int
    exposure_ms: float
    xy_um: tuple[float, float] | None
    z_um: float
    late_s: float
    focused: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SkipRecord:
    """A frame that was wanted and will not come, with the reason."""

    event: EventRecord
    reason: str


EndState = Literal["completed", "cancelled", "failed"]


class FrameSink(Protocol):
    """Takes the frames over; called on the acquisition's thread, in this order: frames and skips, then one close.

    It hands them to another thread and returns at once. What it raises ends the acquisition as failed.
    """

    def frame(self, image: Pixels, record: FrameRecord) -> None:
        """Take over a frame; the pixels are never written to again."""
        ...

    def skip(self, record: SkipRecord) -> None:
        """Note that a frame will not come, so that what follows keeps its place."""
        ...

    def close(self) -> int:
        """End; return how many frames were taken over for good. The number is compared with what was sent."""
        ...


class CountingSink:
    """Keeps nothing and counts: where frames are only published. Satisfies `FrameSink`."""

    def __init__(self) -> None:
        self.frames = 0
        self.skips = 0

    def frame(self, image: Pixels, record: FrameRecord) -> None:
        """Count it."""
        del image, record
        self.frames += 1

    def skip(self, record: SkipRecord) -> None:
        """Count it."""
        del record
        self.skips += 1

    def close(self) -> int:
        """Return the count."""
        return self.frames


__all__ = ["CountingSink", "EndState", "EventRecord", "Exposure", "FrameRecord", "FrameSink", "SkipRecord"]
