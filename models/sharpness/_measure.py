"""From a frame to a brightness-normalised sharpness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from microscoped.models.sharpness._metrics import METRICS, MIN_SIDE_PX, MetricName, Plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour: TypeAlias = Literal["sum", "red", "green", "blue"]

_COLOUR_INDEX: dict[Colour, int] = {"red": 0, "green": 1, "blue": 2}
_LARGEST_PX = 2**21
"""Frames with more pixels are binned 2 × 2 until they have no more: 2048² is scored as 1024²."""
_SMALLEST_SCORE = 1e-12


@dataclass(frozen=True, slots=True)
class SharpnessSettings:
    """What to measure, and where.

    Parameters
    ----------
    metric
        ``"band"`` (default; see `band_power`), ``"vollath"`` or ``"variance"``.
    roi
        Region of interest (x, y, width, height) in pixels of the frame; the whole frame where None.
    binning
        Pixels averaged along each axis before the score: coarser structure, less noise. None: 1 up to 2 million
        pixels, above that the least power of two that keeps the frame below it.
    colour
        Which part of a colour frame counts: one channel, or the sum of the three. Monochrome frames ignore it.
    dark_level
        Grey level of an unexposed pixel, taken off the mean brightness before the score is normalised by it.
    bit_depth
        Significant bits of a pixel, for counting saturated ones; those of the dtype where None.

    Raises
    ------
    ValueError
        Where a figure is out of range.
    """

    metric: MetricName = "band"
    roi: tuple[int, int, int, int] | None = None
    binning: int | None = None
    colour: Colour = "sum"
    dark_level: float = 0.0
    bit_depth: int | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric is {self.metric!r}, but must be one of {', '.join(METRICS)}")
        if self.colour != "sum" and self.colour not in _COLOUR_INDEX:
            raise ValueError(f"colour is {self.colour!r}, but must be sum, red, green or blue")
        if self.binning is not None and self.binning < 1:
            raise ValueError(f"binning is {self.binning}, but must be at least 1")
        if self.bit_depth is not None and not 1 <= self.bit_depth <= 16:
            raise ValueError(f"bit_depth is {self.bit_depth}, but must lie between 1 and 16")
        if self.roi is not None and (min(self.roi[:2]) < 0 or min(self.roi[2:]) < MIN_SIDE_PX):
            raise ValueError(
                f"roi is {self.roi}, but x and y must not be negative and both sides at least {MIN_SIDE_PX} px"
            )


@dataclass(frozen=True, slots=True)
class Sharpness:
    """How sharp a frame is.

    Parameters
    ----------
    score
        Contrast power over mean brightness squared: dimensionless, positive. Only scores of one field with the same
        settings compare.
    error
        Standard error of `score` from pixel noise.
    mean
        Mean grey level of the measured region, `dark_level` included.
    saturated_fraction
        Share of pixels at the highest grey level (0–1).
    """

    score: float
    error: float
    mean: float
    saturated_fraction: float


def measure_sharpness(pixels: NDArray[Any], settings: SharpnessSettings | None = None) -> Sharpness:
    """Measure the sharpness of one frame.

    Parameters
    ----------
    pixels
        Shape (height, width), or (height, width, 3) in the order red, green, blue; unsigned integers.
    settings
        The defaults where None.

    Raises
    ------
    ValueError
        Where the pixels are not such a frame, the region lies outside it, or too few pixels remain.
    """
    settings = settings or SharpnessSettings()
    region = _region(pixels, settings)
    full_scale = 2**settings.bit_depth - 1 if settings.bit_depth is not None else int(np.iinfo(region.dtype).max)
    saturated = float(np.count_nonzero(region >= full_scale)) / region.size
    plane = _binned(_monochrome(region), settings.binning)
    if min(plane.shape) < MIN_SIDE_PX:
        raise ValueError(f"{plane.shape[1]} × {plane.shape[0]} px are left to score, but {MIN_SIDE_PX} are needed")
    mean = float(plane.mean(dtype=np.float64))
    brightness = mean - settings.dark_level
    if brightness <= 0:
        return Sharpness(_SMALLEST_SCORE, 0.0, mean, saturated)
    power = METRICS[settings.metric](plane)
    return Sharpness(max(power.value / brightness**2, _SMALLEST_SCORE), power.error / brightness**2, mean, saturated)


def _region(pixels: NDArray[Any], settings: SharpnessSettings) -> NDArray[Any]:
    """Return the part of the frame, and the colour, that is to be measured."""
    if pixels.dtype.kind != "u":
        raise ValueError(f"pixels are {pixels.dtype}, but must be unsigned integers")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"a frame has shape (height, width) or (height, width, 3), not {pixels.shape}")
    if settings.roi is not None:
        x, y, width, height = settings.roi
        if x + width > pixels.shape[1] or y + height > pixels.shape[0]:
            raise ValueError(f"roi {settings.roi} leaves the frame of {pixels.shape[1]} × {pixels.shape[0]} px")
        pixels = pixels[y : y + height, x : x + width]
    if pixels.ndim == 3 and settings.colour != "sum":
        pixels = pixels[..., _COLOUR_INDEX[settings.colour]]
    return pixels


def _monochrome(region: NDArray[Any]) -> Plane:
    """Return the region as single precision, colours averaged."""
    if region.ndim == 2:
        return region.astype(np.float32)
    total: Plane = np.einsum("ijk->ij", region, dtype=np.float32, casting="unsafe")
    total *= np.float32(1.0 / 3.0)
    return total


def _binned(plane: Plane, binning: int | None) -> Plane:
    """Average blocks of `binning` × `binning` pixels; the remainder at the far edges is dropped."""
    if binning is None:
        binning = 1
        while plane.size > _LARGEST_PX * binning**2:
            binning *= 2
    if binning == 1:
        return plane
    height, width = (side - side % binning for side in plane.shape)
    total = np.zeros((height // binning, width // binning), np.float32)
    for row in range(binning):
        for column in range(binning):
            total += plane[row:height:binning, column:width:binning]
    total /= np.float32(binning**2)
    return total


__all__ = ["Colour", "Sharpness", "SharpnessSettings", "measure_sharpness"]
