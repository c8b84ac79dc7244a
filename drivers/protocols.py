"""What a camera, a focus stage and a microscope *are*.

The Micro-Manager backend and every simulator satisfy these Protocols and pass the same contract tests
(``tests/contract``). Unless a method says otherwise, it is called from one thread only: the hardware thread.

Times are nanoseconds of one monotonic clock (`Clock`, by default ``time.perf_counter_ns``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from types import TracebackType

Clock: TypeAlias = Callable[[], int]
"""Returns monotonic nanoseconds."""

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""Shape (height, width), or (height, width, 3) in the order red, green, blue."""


class FocusDirection(StrEnum):
    """Where a rising stage coordinate moves the focus."""

    TOWARD_SAMPLE = "toward_sample"
    AWAY = "away"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One image as it came from a camera.

    Parameters
    ----------
    pixels
        The image. It belongs to the receiver: the camera never writes to it again.
    number
        0, 1, 2 … within one sequence; a jump means that frames were lost before they reached us. 0 for a snap.
    exposure_start_ns
        Estimated start of the exposure.
    exposure_start_error_ns
        The exposure began at ``exposure_start_ns ± exposure_start_error_ns``.
    exposure_ms
        Exposure time.
    metadata
        What the driver said beside the image.
    """

    pixels: Pixels
    number: int
    exposure_start_ns: int
    exposure_start_error_ns: int
    exposure_ms: float
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def earliest_start_ns(self) -> int:
        """The earliest moment at which this exposure can have begun."""
        return self.exposure_start_ns - self.exposure_start_error_ns


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Settings of a camera: read back, or to be changed.

    ``None`` means *this camera has no such setting* when read, and *leave it alone* when written.

    Parameters
    ----------
    exposure_ms
        Exposure time.
    binning
        Pixels binned along each axis.
    roi
        Region of interest (x, y, width, height) in unbinned camera pixels as the driver counts them.
    gain
        Gain in the driver's own unit.
    auto_exposure, auto_gain, auto_white_balance
        Whether the camera adjusts these by itself.
    """

    exposure_ms: float | None = None
    binning: int | None = None
    roi: tuple[int, int, int, int] | None = None
    gain: float | None = None
    auto_exposure: bool | None = None
    auto_gain: bool | None = None
    auto_white_balance: bool | None = None


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """Facts about a camera as it is set now.

    Parameters
    ----------
    name
        The device's label.
    height_px, width_px
        Size of a frame.
    channels
        1 (monochrome) or 3 (colour, red-green-blue).
    dtype
        ``"uint8"`` or ``"uint16"``.
    bit_depth
        Significant bits of a pixel.
    pixel_size_um
        Micrometres in the specimen per pixel where the driver knows it.
    """

    name: str
    height_px: int
    width_px: int
    channels: int
    dtype: str
    bit_depth: int
    pixel_size_um: float | None = None


class Camera(Protocol):
    """A camera that takes single frames and sequences of frames."""

    @property
    def name(self) -> str:
        """The device's label."""
        ...

    def info(self) -> CameraInfo:
        """Facts about the camera as it is set now."""
        ...

    def settings(self) -> CameraSettings:
        """All settings, read back from the device."""
        ...

    def configure(self, change: CameraSettings) -> CameraSettings:
        """Change the settings that are not ``None`` and return all of them, read back.

        Raises
        ------
        SettingError
            The camera has no such setting, or the value is out of range; nothing was changed.
        CameraError
            The device refused, or a change other than the exposure was asked for while a sequence runs.
        """
        ...

    def snap(self) -> CameraFrame:
        """Take one frame and return it; blocks for the exposure. Not while a sequence runs.

        Raises
        ------
        CameraError
            The device failed.
        """
        ...

    def start(self, n_frames: int | None = None) -> None:
        """Begin a sequence of ``n_frames``, or an endless one; returns at once.

        Raises
        ------
        CameraError
            A sequence runs already, or the device refused.
        """
        ...

    def take(self) -> CameraFrame | None:
        """Return the oldest frame of the sequence not yet taken, or ``None`` if there is none yet. Never waits.

        Raises
        ------
        CameraError
            The device failed.
        """
        ...

    def is_running(self) -> bool:
        """Whether a sequence runs: false after its last frame, after `stop`, and when the camera died."""
        ...

    def stop(self) -> None:
        """End the sequence; frames not taken are dropped. May wait for the exposure in progress. Idempotent."""
        ...


class FocusStage(Protocol):
    """A motorised z axis."""

    @property
    def name(self) -> str:
        """The device's label."""
        ...

    def focus_direction(self) -> FocusDirection:
        """Where a rising coordinate moves the focus, as far as the driver knows."""
        ...

    def position_um(self) -> float:
        """The position that the stage reads back, in its own coordinate.

        Raises
        ------
        StageError
            The device failed.
        """
        ...

    def move_to(self, z_um: float) -> None:
        """Command a move; may return before arrival.

        Raises
        ------
        StageError
            The device refused. Limits are not its business: the safety layer has checked them before.
        """
        ...

    def is_busy(self) -> bool:
        """Whether the stage says that it moves. Stages are known to lie: arrival is judged by read-back.

        Raises
        ------
        StageError
            The device failed.
        """
        ...

    def stop(self) -> None:
        """Halt where the stage is. The one method that any thread may call, at any time.

        Raises
        ------
        StageError
            The device failed or cannot halt a move.
        """
        ...


class Microscope(Protocol):
    """A camera and a focus stage that are opened and closed together.

    Hardware opens in ``__enter__`` and closes in ``__exit__``, both on the hardware thread.
    """

    @property
    def camera(self) -> Camera:
        """The camera; only while open."""
        ...

    @property
    def stage(self) -> FocusStage:
        """The focus stage; only while open."""
        ...

    def describe(self) -> Mapping[str, str]:
        """What this is, for people: driver, versions, configuration file, specimen. Only while open."""
        ...

    def __enter__(self) -> Self:
        """Open the hardware.

        Raises
        ------
        ConnectionFailedError
            With the cause and the remedy in its message.
        """
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the hardware; never raises for a device that is already gone."""
        ...


@runtime_checkable
class FieldStepper(Protocol):
    """What a microscope may offer beside: to show another field of the specimen, without a person moving the slide."""

    def step_field(self) -> bool:
        """Show the next field, the first again after the last; return whether there is more than one.

        On the hardware thread, while the microscope is open.
        """
        ...


__all__ = [
    "Camera",
    "CameraFrame",
    "CameraInfo",
    "CameraSettings",
    "Clock",
    "FieldStepper",
    "FocusDirection",
    "FocusStage",
    "Microscope",
    "Pixels",
]
