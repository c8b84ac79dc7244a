"""From an off-axis hologram to its complex field: the carrier is found, its band is cut out and moved to zero.

A hologram ``|O + R|²`` of a tilted reference R holds O·R* in a band round the reference's spatial frequency, and the
conjugate opposite of it (E. Cuche, P. Marquet, C. Depeursinge, Applied Optics 39, 4070 (2000)). The band's radius is
the objective's NA/λ.

Which of the two is O and which its conjugate cannot be seen in one hologram. `Side.PLUS` reads the band whose carrier
has ``fx + fy/2 > 0``, a rule whose border lies along none of the usual directions; `Side.MINUS` the other one. With the
wrong side cells have negative phase, and distances the wrong sign: `microscoped.models.hologram.phase.denser_side`
tells from the phase of cells, stage steps tell surely.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from scipy import ndimage

from microscoped.models.hologram._frames import check_light, fast_even, fast_even_below, monochrome
from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.errors import (
    FrameChangedError,
    NoSidebandError,
    OpticsError,
    SidebandOutsideError,
    SidebandOverlapError,
)
from microscoped.models.hologram.field import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.optics import HologramOptics

LOWEST_CARRIER = 0.04
"""Least frequency of a carrier in cycles per pixel, where the aperture is unknown: below lies the zero order."""
ISOLATION_LEAST = 25.0
"""How far a carrier's power must stand out from that of other directions at the same frequency."""
NYQUIST_SLACK = 0.1
"""Part of the band's radius that may lie beyond Nyquist; what lies there is lost."""
OVERLAP_LEAST = 1.05
"""Least carrier frequency in radii of the band: nearer, the band holds the zero order's peak."""
NARROWEST = 8.0
"""Least radius of a band in bins of the frame's spectrum: a narrower one holds no picture."""
LAG = 8
"""Samples over which the phase's advance is measured for the carrier's fraction."""


class Side(enum.IntEnum):
    """Which of the two sidebands is read."""

    PLUS = 1
    """The one whose carrier has fx + fy/2 > 0."""
    MINUS = -1
    """The opposite one."""


@dataclass(frozen=True, slots=True)
class Sideband:
    """Where the band of a hologram lies.

    Parameters
    ----------
    carrier
        Along rows (fy) and columns (fx), in cycles per camera pixel: the mean advance of the fringes' phase.
    radius
        Of the band in cycles per camera pixel.
    side
        Which sideband the carrier is of.
    isolation
        Power at the carrier over that of other directions at the same frequency.
    """

    carrier: tuple[float, float]
    radius: float
    side: Side
    isolation: float


class SidebandFilter:
    """Cuts one band out of frames of one shape.

    Rows are transformed as real values, then only those columns that hold the band, and only the band is transformed
    back: on 1024 × 1024 pixels less than half of the work of a full complex transform and its inverse. All is single
    precision. A frame is first cut to sizes whose transforms are fast, at most a few pixels smaller.

    Parameters
    ----------
    shape
        Height and width of the frames.
    sideband
        From `find_sideband`.
    optics
        What is known of the instrument.
    arrays
        Where the transforms run.
    """

    def __init__(
        self, shape: tuple[int, int], sideband: Sideband, optics: HologramOptics, arrays: ArrayBackend = SCIPY
    ) -> None:
        self.shape = shape
        self.sideband = sideband
        self.optics = optics
        self._arrays = arrays
        height, width = (fast_even_below(size) for size in shape)
        self._top, self._left = (shape[0] - height) // 2, (shape[1] - width) // 2
        self._size = height, width
        # The band in the right half-plane is the one that a real transform holds; the other is its conjugate.
        self._conjugate = sideband.carrier[1] < 0
        carrier = tuple(-f if self._conjugate else f for f in sideband.carrier)
        bins = carrier[0] * height, carrier[1] * width
        middle = round(bins[0]), round(bins[1])
        self.grid = tuple(fast_even(2 * math.ceil(sideband.radius * size) + 2) for size in (height, width))
        self._first = middle[0] - self.grid[0] // 2, middle[1] - self.grid[1] // 2
        self._segments = _column_segments(self._first[1], self.grid[1], width)
        fraction = bins[0] - middle[0], bins[1] - middle[1]
        offsets = [np.arange(n) - n // 2 for n in self.grid]
        lines = [(offset - part) / size for offset, part, size in zip(offsets, fraction, self._size, strict=True)]
        mask = lines[0][:, None] ** 2 + lines[1][None, :] ** 2 <= sideband.radius**2
        for axis, f in enumerate(carrier):
            beyond = np.abs(lines[axis] + f) > 0.5
            mask[(beyond, slice(None)) if axis == 0 else (slice(None), beyond)] = False
        self._mask = arrays.asarray(mask.astype(np.float32))
        # The inverse of a band that starts at its edge needs a sign that alternates; the carrier's fraction is a ramp.
        ramps = [
            np.exp(-2j * np.pi * (n / 2 + part) * np.arange(n) / n) for n, part in zip(self.grid, fraction, strict=True)
        ]
        gain = self.grid[0] * self.grid[1] / (height * width)
        self._ramp: NDArray[np.complex64] = (gain * ramps[0][:, None] * ramps[1][None, :]).astype(np.complex64)
        if self._conjugate:
            self._ramp = np.conj(self._ramp)
        self._factor: Any = arrays.asarray(self._ramp)

    @property
    def pixel(self) -> tuple[float, float]:
        """Size of a sample of the field along rows and columns, in ``optics.length_unit``."""
        unit = self.optics.pixel
        return unit * self._size[0] / self.grid[0], unit * self._size[1] / self.grid[1]

    @property
    def arrays(self) -> ArrayBackend:
        """Where the transforms run."""
        return self._arrays

    def multiplied(self, factor: NDArray[np.complex64]) -> SidebandFilter:
        """Return a filter whose fields are multiplied by a factor, at no further cost.

        Parameters
        ----------
        factor
            Shape of the field; for example one over a background.
        """
        other = SidebandFilter(self.shape, self.sideband, self.optics, self._arrays)
        other._factor = self._arrays.asarray((other._ramp * factor).astype(np.complex64))
        return other

    def __call__(self, frame: NDArray[np.generic]) -> Field:
        """Return the field of a frame on the band-limited grid, the carrier removed.

        Parameters
        ----------
        frame
            Of the shape that the filter was made for.

        Raises
        ------
        FrameChangedError
            The frame has another shape.
        FrameShapeError
            It is no monochrome frame of real numbers.
        """
        frame = monochrome(frame)
        if frame.shape != self.shape:
            raise FrameChangedError(
                f"frame shape {frame.shape}: the filter was made for {self.shape}; find the sideband again"
            )
        arrays, (height, width) = self._arrays, self._size
        cut = frame[self._top : self._top + height, self._left : self._left + width]
        rows = arrays.rfft(arrays.asarray(np.ascontiguousarray(cut, np.float32)), axis=1)
        parts = [
            arrays.conj(rows[:, columns]) if mirrored else rows[:, columns] for columns, mirrored in self._segments
        ]
        band = arrays.fft(parts[0] if len(parts) == 1 else arrays.concatenate(parts, axis=1), axis=0)
        start, stop = self._first[0] % height, self._first[0] % height + self.grid[0]
        parts = [band[start : min(stop, height)]]
        if stop > height:
            parts.append(band[: stop - height])
        band = parts[0] if len(parts) == 1 else arrays.concatenate(parts, axis=0)
        field = arrays.ifft(arrays.ifft(band * self._mask, axis=0), axis=1)
        if self._conjugate:
            field = arrays.conj(field)
        field = field * self._factor
        radius = self.sideband.radius / self.optics.pixel
        first = float(self._top), float(self._left)
        return Field(arrays.to_numpy(field), self.pixel, radius, self.optics, first=first)


def _column_segments(first: int, count: int, width: int) -> list[tuple[Any, bool]]:
    """Return where columns of a full spectrum lie in a real transform's: (columns, whether conjugated) in order."""
    columns = np.arange(first, first + count)
    segments: list[tuple[Any, bool]] = []
    for chosen, index, mirrored in (
        (columns < 0, -columns, True),
        ((columns >= 0) & (columns <= width // 2), columns, False),
        (columns > width // 2, width - columns, True),
    ):
        part = index[chosen]
        if part.size:
            segments.append(([int(k) for k in part] if mirrored else slice(int(part[0]), int(part[-1]) + 1), mirrored))
    return segments


def find_sideband(
    frame: NDArray[np.generic], optics: HologramOptics, *, side: Side = Side.PLUS, radius: float | None = None
) -> Sideband:
    """Find the carrier of a hologram and the radius of its band.

    Parameters
    ----------
    frame
        Shape (height, width), or (height, width, 3) with equal channels.
    optics
        The radius is NA·px/λ where all three are known.
    side
        Which of the two sidebands is read.
    radius
        In cycles per camera pixel: taken instead of the aperture's. Where neither is known it is measured: to where the
        power falls to the noise, at most half of the carrier's frequency; a third of it where there is nothing to see.

    Raises
    ------
    FrameShapeError, ConstantFrameError, SaturatedFrameError
        The frame can be no hologram.
    NoSidebandError
        There is no carrier.
    SidebandOverlapError, SidebandOutsideError
        The aperture's band does not fit between the zero order and what the pixels resolve.
    OpticsError
        The aperture's band is so narrow that it holds no picture.
    """
    frame = monochrome(frame)
    check_light(frame)
    height, width = (fast_even_below(size) for size in frame.shape)
    cut = frame[:height, :width].astype(np.float32)
    cut -= cut.mean()
    cut *= np.hanning(height).astype(np.float32)[:, None]
    cut *= np.hanning(width).astype(np.float32)[None, :]
    spectrum = scipy.fft.rfft2(cut)
    power = spectrum.real**2 + spectrum.imag**2
    fy = np.fft.fftfreq(height).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(width).astype(np.float32)[None, :]
    radius = radius if radius is not None else optics.band_radius
    lowest = max(LOWEST_CARRIER, 0.0 if radius is None else min(radius, 0.25))
    smooth = ndimage.uniform_filter(power, 5, mode=("wrap", "nearest"))
    peak, isolation = _peak(smooth, fy, fx, lowest)
    if isolation < ISOLATION_LEAST:
        raise NoSidebandError(
            f"frame: no carrier; the strongest fringes, at {math.hypot(*peak):.3f} cycles per pixel, stand out only "
            f"{isolation:.1f}-fold (at least {ISOLATION_LEAST:g}): this is no off-axis hologram; check that the "
            "reference beam is open and tilted, and wavelength_um, pixel_size_um and na"
        )
    measured = radius is None
    if radius is None:
        radius = _measured_radius(smooth, fy, fx, peak)
    carrier = _refined(frame, Sideband(peak, min(radius, 0.5 * math.hypot(*peak)), side, isolation), optics)
    sign = int(side) if carrier[1] + 0.5 * carrier[0] > 0 else -int(side)
    carrier = sign * carrier[0], sign * carrier[1]
    if measured:
        room = 0.5 - max(abs(f) for f in carrier)
        radius = max(min(radius, room / (1.0 - NYQUIST_SLACK)), NARROWEST / min(height, width))
    _check_room(carrier, radius, min(height, width), optics)
    return Sideband(carrier, radius, side, isolation)


def _peak(
    smooth: NDArray[np.float32], fy: NDArray[np.float32], fx: NDArray[np.float32], lowest: float
) -> tuple[tuple[float, float], float]:
    """Return the strongest frequency above ``lowest``, and its power over that of other directions there."""
    frequency = np.sqrt(fy**2 + fx**2)
    # A frame's edges leave a cross of power along the axes through zero; a carrier on it stands out nevertheless.
    row, column = np.unravel_index(int(np.argmax(np.where(frequency > lowest, smooth, 0.0))), smooth.shape)
    peak = float(fy[row, 0]), float(fx[0, column])
    here = math.hypot(*peak)
    ring = np.abs(frequency - here) < 0.1 * here
    away = np.minimum(np.hypot(fy - peak[0], fx - peak[1]), np.hypot(fy + peak[0], fx + peak[1])) > 0.5 * here
    others = smooth[ring & away]
    level = float(np.percentile(others, 90)) if others.size else 0.0
    return peak, float(smooth[row, column]) / max(level, 1e-20 * float(smooth.max()), 1e-30)


def _measured_radius(
    smooth: NDArray[np.float32], fy: NDArray[np.float32], fx: NDArray[np.float32], peak: tuple[float, float]
) -> float:
    """Return how far from the carrier, on the side away from zero, the power stands above the noise."""
    here = math.hypot(*peak)
    away = np.hypot(fy - peak[0], fx - peak[1])
    outward = ((fy - peak[0]) * peak[0] + (fx - peak[1]) * peak[1]) >= 0.0
    steps = 40
    bins = (away * (steps / (0.6 * here))).astype(np.intp)
    chosen = outward & (bins < steps)
    noise = 3.0 * float(np.percentile(smooth, 10))
    labels = bins[chosen]
    profile = ndimage.median(smooth[chosen], labels, np.arange(steps)) if labels.size else np.zeros(steps)
    below = np.flatnonzero((np.nan_to_num(profile) < noise) & (np.arange(steps) > 3))
    if not below.size:
        return here / 3.0
    return float(np.clip((below[0] + 0.5) * 0.6 * here / steps, here / 6.0, here / 2.0))


def _refined(frame: NDArray[np.generic], start: Sideband, optics: HologramOptics) -> tuple[float, float]:
    """Return the carrier to a fraction of a bin: the mean advance of the phase of the band's field."""
    carrier = start.carrier
    for _ in range(3):
        cut = SidebandFilter((frame.shape[0], frame.shape[1]), replace(start, carrier=carrier), optics)
        tilt = phase_advance(cut(frame).values)
        samples = [optics.pixel / size for size in cut.pixel]
        carrier = carrier[0] + tilt[0] * samples[0], carrier[1] + tilt[1] * samples[1]
        if max(abs(t) * n for t, n in zip(tilt, cut.grid, strict=True)) < 0.25:
            break
    return carrier


def phase_advance(values: NDArray[np.complex64]) -> tuple[float, float]:
    """Return the mean advance of the phase along rows and columns, in cycles per sample.

    From the autocorrelation at a lag of one sample, then of eight, over which noise is no longer correlated.

    Parameters
    ----------
    values
        A field, shape (rows, columns).
    """
    advances = []
    for axis in (0, 1):
        near = np.vdot(*_lagged(values, 1, axis))
        far = np.vdot(*_lagged(values, LAG, axis))
        first = float(np.angle(near))
        advances.append((first + float(np.angle(far * np.exp(-1j * LAG * first))) / LAG) / (2.0 * np.pi))
    return advances[0], advances[1]


def _lagged(values: NDArray[np.complex64], lag: int, axis: int) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    return (values[:-lag], values[lag:]) if axis == 0 else (values[:, :-lag], values[:, lag:])


def _check_room(carrier: tuple[float, float], radius: float, size: int, optics: HologramOptics) -> None:
    given = (
        f"na {optics.na}, wavelength_um {optics.wavelength_um} and pixel_size_um {optics.pixel_size_um} give a band of "
        f"radius {radius:.4f} cycles per pixel round a carrier at {math.hypot(*carrier):.4f}"
    )
    if math.hypot(*carrier) < OVERLAP_LEAST * radius:
        raise SidebandOverlapError(f"{given}, over the zero order: check the three values, or tilt the reference more")
    if radius * size < NARROWEST:
        raise OpticsError(
            f"{given}: {radius * size:.1f} bins of the frame's spectrum, at least {NARROWEST:g} are needed; check the "
            "three values, or give a larger frame"
        )
    excess = max(abs(f) for f in carrier) + radius - 0.5
    if excess > NYQUIST_SLACK * radius:
        raise SidebandOutsideError(
            f"{given}, {excess:.4f} beyond the 0.5 that the pixels resolve: check the three values, tilt the "
            "reference less, or use less binning"
        )


__all__ = [
    "ISOLATION_LEAST",
    "LOWEST_CARRIER",
    "NYQUIST_SLACK",
    "Side",
    "Sideband",
    "SidebandFilter",
    "find_sideband",
    "phase_advance",
]
