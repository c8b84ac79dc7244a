"""A reconstructed complex field: what every later step reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.optics import HologramOptics

SAMPLED = 8192
"""About so many samples are enough for a background's phase."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A complex field on the band-limited grid.

    Denser places have greater phase, and light runs towards positive distances: a plane at z holds
    ``Σ spectrum · exp(i·z·rate)`` (`microscoped.models.hologram.optics.HologramOptics.axial_rate`).

    Parameters
    ----------
    values
        Shape (rows, columns), complex64. 1 where there is no specimen, once it was normalised.
    pixel
        Size of a sample along rows and columns, in ``optics.length_unit``. The two differ a little where the frame was
        not square.
    radius
        NA/λ, radius of the band in cycles per ``optics.length_unit``.
    optics
        What is known of the instrument.
    z
        The plane of this field, in ``optics.distance_unit`` from the recording plane, object-side.
    first
        Where its first sample lies in the frame, (row, column) in camera pixels: frames are cut to a size that is fast
        to transform.
    saturated
        Where the camera was at its greatest value, in samples of this field (row, column), shape (pixels, 2); ``None``
        where that is unknown.
    """

    values: NDArray[np.complex64]
    pixel: tuple[float, float]
    radius: float
    optics: HologramOptics
    z: float = 0.0
    first: tuple[float, float] = (0.0, 0.0)
    saturated: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def dof(self) -> float:
        """Depth of field nλ/NA² in ``optics.distance_unit``."""
        return self.optics.dof(self.radius)

    def frame_position(self, row: float, column: float) -> tuple[float, float]:
        """Return where a sample lies in the frame, in camera pixels (row, column)."""
        scale = [size / self.optics.pixel for size in self.pixel]
        return self.first[0] + row * scale[0], self.first[1] + column * scale[1]

    def saturated_share(self, box: tuple[int, int, int, int]) -> float:
        """Return what part of the camera's pixels in a box of samples was at the greatest value.

        Parameters
        ----------
        box
            First row and column, and those after the last.
        """
        if self.saturated is None or not len(self.saturated):
            return 0.0
        rows, columns = self.saturated.T
        inside = (rows >= box[0]) & (rows < box[2]) & (columns >= box[1]) & (columns < box[3])
        sample = self.pixel[0] * self.pixel[1] / self.optics.pixel**2
        return float(inside.sum()) / max(1.0, (box[2] - box[0]) * (box[3] - box[1]) * sample)

    def at(self, values: NDArray[np.complex64], z: float | None = None) -> Field:
        """Return this field with other values, and of another plane."""
        return replace(self, values=values, z=self.z if z is None else z)

    def samples(self, length: float, axis: int = 1) -> int:
        """Return how many samples along an axis a length spans, rounded."""
        return round(length / self.pixel[axis])


def normalised(values: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Return the field divided by its mean power and its background's phase, so that the background is 1.

    The gain is the field's own root mean square, never a deviation: a phase specimen has no amplitude contrast in
    focus, and its power is that of the empty field. The background's phase is the most frequent one.

    Parameters
    ----------
    values
        Shape (rows, columns); tilt and curvature removed.
    """
    power = float(np.vdot(values, values).real) / values.size
    factor = np.exp(-1j * background_phase(values)) / np.sqrt(max(power, 1e-30))
    return np.asarray(values * np.complex64(factor))


def background_phase(values: NDArray[np.complex64]) -> float:
    """Return the most frequent phase in rad: the fullest of 48 bins, and the mean direction round it."""
    every = max(1, round(math.sqrt(values.size / SAMPLED)))
    phase = np.angle(values[::every, ::every]).ravel()
    counts, _ = np.histogram(phase, bins=48, range=(-np.pi, np.pi))
    smooth = counts + np.roll(counts, 1) + np.roll(counts, -1)
    mode = (int(np.argmax(smooth)) + 0.5) * (2.0 * np.pi / 48) - np.pi
    for _ in range(3):
        turned = np.mod(phase - np.float32(mode) + np.float32(np.pi), np.float32(2.0 * np.pi)) - np.float32(np.pi)
        near = np.abs(turned) < 0.5
        mode += float(turned[near].mean()) if near.any() else 0.0
    return float(np.angle(np.exp(1j * mode)))


__all__ = ["Field", "background_phase", "normalised"]
