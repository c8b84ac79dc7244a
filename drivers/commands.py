"""What the hardware thread is asked to do, and what it says back. Plain frozen data; nothing here touches a device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.drivers.errors import DriverError
    from microscoped.drivers.motion import Arrival, XYArrival
    from microscoped.drivers.protocols import CameraFrame, CameraInfo, CameraSettings, FocusDirection
    from microscoped.drivers.safety import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to the hardware.

    Parameters
    ----------
    id
        Returned with the result.
    not_after_ns
        A command that has not begun by then is never executed.
    """

    id: str
    not_after_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTo(Command):
    """Move the stage to `z_um`; results in an `Arrival`.

    A `direct` move arrives as it comes, without the final approach from the configured side: it shows the play.
    """

    z_um: float
    origin: Origin
    direct: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snap(Command):
    """Take one frame whose exposure began after the last arrival; results in its `StampedFrame`.

    While the camera streams, this is the first frame of the stream that qualifies.
    """


FrameRate: TypeAlias = float | Literal["free"]
"""Exposures of a stream per second; ``free``: as many as the camera makes by itself, one right after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure(Command):
    """Change camera settings, and the frame rate of streams where one is given; results in the settings read back."""

    change: CameraSettings
    fps: FrameRate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStream(Command):
    """Begin to stream frames at the rate that is set; results in ``None``. Streaming already: nothing changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStream(Command):
    """End the stream; results in ``None``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPosition(Command):
    """Ask the stage where it is; results in z in µm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepField(Command):
    """Show another field of the specimen; results in 1.0, or in 0.0 where that is a person's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveXY(Command):
    """Move the stage in the plane to (`x_um`, `y_um`); results in an `XYArrival`.

    It shares a lane with `MoveTo`: the focus stage never moves meanwhile.
    """

    x_um: float
    y_um: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectPreset(Command):
    """Have the devices of a preset take its settings, and wait for them; results in ``None``."""

    group: str
    preset: str


@dataclass(frozen=True, slots=True)
class StampedFrame:
    """A frame with its place in the session and in z.

    Parameters
    ----------
    serial
        1, 2, 3 … within one life of the hardware thread.
    frame
        The camera's frame.
    z_um
        The stage's coordinate during the exposure.
    z_source
        ``readback`` (the stage rested), ``interpolated`` (between read-backs of a move).
    moving
        Whether the stage moved, or had not settled, during any part of the exposure.
    lost_before
        Frames of this stream that the camera or its driver lost just before this one.
    streamed
        Whether the frame belongs to a stream.
    in_hand_ns
        When the pixels were ours.
    """

    serial: int
    frame: CameraFrame
    z_um: float
    z_source: str
    moving: bool
    lost_before: int
    streamed: bool
    in_hand_ns: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The microscope is open; `xy_um` and `presets` where it has a stage in the plane, and groups of presets."""

    camera: CameraInfo
    settings: CameraSettings
    stage_name: str
    z_um: float
    focus_direction: FocusDirection
    description: Mapping[str, str] = field(default_factory=dict)
    xy_um: tuple[float, float] | None = None
    presets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """The microscope could not be opened; the thread has ended."""

    error: DriverError


@dataclass(frozen=True, slots=True)
class Result:
    """A command ended: with its value, or with an error."""

    command: Command
    value: Arrival | XYArrival | StampedFrame | CameraSettings | float | None = None
    error: DriverError | None = None


@dataclass(frozen=True, slots=True)
class FrameTaken:
    """A frame came: from the stream, or because of a `Snap`, whose id is `command`."""

    frame: StampedFrame
    command: str | None = None


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream ended by itself: the camera failed, or its sequence stopped running."""

    error: DriverError


@dataclass(frozen=True, slots=True)
class PositionRead:
    """What the resting stage reads back, asked now and then; `moved` where nobody here moved it."""

    z_um: float
    moved: bool


@dataclass(frozen=True, slots=True)
class StageFailed:
    """The resting stage did not answer."""

    error: DriverError


@dataclass(frozen=True, slots=True)
class StopDone:
    """The stop lane called ``stage.stop()``.

    Parameters
    ----------
    issued_ns, returned_ns
        When the call began and ended.
    error
        Where the stage could not halt: no further step is commanded, but the one under way runs out.
    """

    issued_ns: int
    returned_ns: int
    error: DriverError | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The hardware is closed and its thread ends; `crash` is the trace of a fault in our own code."""

    crash: str | None = None


HardwareEvent: TypeAlias = (
    Opened | OpenFailed | Result | FrameTaken | StreamEnded | PositionRead | StageFailed | StopDone | Closed
)

__all__ = [
    "Closed",
    "Command",
    "Configure",
    "FrameRate",
    "FrameTaken",
    "HardwareEvent",
    "MoveTo",
    "MoveXY",
    "OpenFailed",
    "Opened",
    "PositionRead",
    "ReadPosition",
    "Result",
    "SelectPreset",
    "Snap",
    "StageFailed",
    "StampedFrame",
    "StartStream",
    "StepField",
    "StopDone",
    "StopStream",
    "StreamEnded",
]
