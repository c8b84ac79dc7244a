"""What a sequence is checked against: the microscope as it is, and what may be spent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from microscoped.drivers.safety import XYMotionSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.drivers.safety import MotionSettings


@dataclass(frozen=True, slots=True)
class Instrument:
    """The microscope as it is when the sequence is read.

    Parameters
    ----------
    motion, z_um
        The rules of the focus stage, and where it is: relative stacks lie round this where a position names no z.
    frame_shape_px, bytes_per_pixel
        A frame: (height, width), and its bytes per pixel with all colours.
    exposure_ms
        What the camera is set to: an event without exposure means this.
    pixel_size_um
        Size of a pixel of the frames in the specimen; ``None`` where nobody knows.
    xy, xy_um
        The rules of the stage in the plane, and where it is; ``None`` where there is none.
    presets
        Groups and their presets: what a channel may be.
    can_focus
        Whether focus events can be carried out.
    """

    motion: MotionSettings
    z_um: float
    frame_shape_px: tuple[int, int]
    bytes_per_pixel: int
    exposure_ms: float
    pixel_size_um: float | None = None
    xy: XYMotionSettings = field(default_factory=XYMotionSettings)
    xy_um: tuple[float, float] | None = None
    presets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    can_focus: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What one acquisition may be.

    Parameters
    ----------
    max_frames, max_exposure_ms, max_duration_s
        The most of each.
    light_ms
        Exposure time that it may spend; infinite without a limit.
    disk_bytes
        What it may write; infinite where nothing is stored.
    step_s
        What an event takes beside its exposure, for the estimate of the duration.
    focus_s, focus_light_ms
        What a focus event takes, for the estimates.
    """

    max_frames: int = 100_000
    max_exposure_ms: float = 10_000.0
    max_duration_s: float = 14 * 86_400.0
    light_ms: float = math.inf
    disk_bytes: float = math.inf
    step_s: float = 0.02
    focus_s: float = 3.0
    focus_light_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a sequence will cost.

    Parameters
    ----------
    frames
        Exactly so many, if none is skipped.
    focus_events
        About so many.
    duration_s
        About so long: stages and presets may take longer.
    light_ms
        Exposure time, with `Limits.focus_light_ms` for each focus event.
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
    warnings: tuple[str, ...] = ()


__all__ = ["Estimate", "Instrument", "Limits"]
