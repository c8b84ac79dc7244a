"""Amplitude statistics of many planes at once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.hologram.propagation import kernel, kernels, rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.optics import HologramOptics

SAMPLES_AT_ONCE = 1 << 17
"""Samples that are propagated in one go: 1 MB in single precision, what a processor's cache holds."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a field that is scored, and into how many tiles it is cut.

    Parameters
    ----------
    first, size
        First row and column; rows and columns.
    tiles
        Tiles along rows and along columns.
    """

    first: tuple[int, int]
    size: tuple[int, int]
    tiles: int


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Sums over tiles, for each plane and each field.

    Parameters
    ----------
    samples
        Of each tile, shape (tiles,).
    deviation, squared
        Sums of a − 1 and (a − 1)², where a is the amplitude, shape (planes, fields, tiles).
    real
        Sums of the field's real part.
    """

    samples: NDArray[np.float64]
    deviation: NDArray[np.float64]
    squared: NDArray[np.float64]
    real: NDArray[np.float64]

    def of_tiles(self, chosen: NDArray[np.bool_]) -> Curves:
        """Return these curves of some tiles only, a mask of shape (tiles,)."""
        return Curves(
            self.samples[chosen], self.deviation[..., chosen], self.squared[..., chosen], self.real[..., chosen]
        )

    def variance(self) -> NDArray[np.float64]:
        """Return the variance of the amplitude over the window, shape (planes, fields)."""
        count = self.samples.sum()
        return np.asarray(self.squared.sum(axis=2) / count - (self.deviation.sum(axis=2) / count) ** 2, np.float64)

    def variance_without(self) -> NDArray[np.float64]:
        """Return the variance with each tile left out in turn, shape (planes, fields, tiles)."""
        # With one tile alone nothing is left: it then differs from no other, too.
        count = np.maximum(self.samples.sum() - self.samples, 1.0)
        squared = (self.squared.sum(axis=2, keepdims=True) - self.squared) / count
        return np.asarray(squared - ((self.deviation.sum(axis=2, keepdims=True) - self.deviation) / count) ** 2)

    def tile_power(self) -> NDArray[np.float64]:
        """Return the mean |U − 1|² of each tile, shape (planes, fields, tiles): what differs from the background."""
        power = self.squared + 2.0 * self.deviation + 2.0 * self.samples - 2.0 * self.real
        return np.asarray(np.maximum(power, 0.0) / self.samples)

    def power(self) -> NDArray[np.float64]:
        """Return the mean |U − 1|² over the window, shape (planes, fields)."""
        return np.asarray((self.tile_power() * self.samples).sum(axis=2) / self.samples.sum())


def scan(
    spectra: Any,  # noqa: ANN401 - an array of the library
    starts: NDArray[np.float32],
    step: float,
    planes: int,
    pixel: tuple[float, float],
    optics: HologramOptics,
    window: Window,
    arrays: ArrayBackend,
) -> Curves:
    """Propagate fields to equidistant planes and sum up their amplitudes.

    Only the rows of the window are transformed along columns. Planes are propagated in groups that fit the processor's
    cache; from group to group a spectrum is multiplied by one kernel.

    Parameters
    ----------
    spectra
        Shape (fields, rows, columns), complex64; kept.
    starts
        First distance of each field, shape (fields,).
    step, planes
        Distance of planes, and how many.
    pixel, optics
        Sampling, and what is known of the instrument.
    """
    fields, height, width = (int(size) for size in spectra.shape)
    shape = height, width
    current = spectra
    if starts.any():
        angle = rates(shape, pixel, optics, arrays) * arrays.asarray(starts.astype(np.float32)).reshape(fields, 1, 1)
        current = spectra * arrays.cis(angle)
    elif planes <= 1 or fields * height * width > SAMPLES_AT_ONCE // 2:
        current = spectra * 1.0
    together = int(min(planes, max(1, SAMPLES_AT_ONCE // (fields * height * width))))
    jump = kernel(shape, pixel, optics, step * together, arrays)
    stack = kernels(shape, pixel, optics, step, together, arrays) if together > 1 else None
    rows = slice(window.first[0], window.first[0] + window.size[0])
    columns = slice(window.first[1], window.first[1] + window.size[1])
    down, across = (_tiling(size, window.tiles) for size in window.size)
    down_on, across_on = arrays.asarray(down.T.copy()), arrays.asarray(across)
    sums: list[list[Any]] = [[], [], []]
    done = 0
    while done < planes:
        count = min(together, planes - done)
        block = current[None] if stack is None else stack[:count] * current
        done += count
        current = current * jump if done < planes else current
        part = arrays.ifft(block, axis=-2)[..., rows, :]
        part = arrays.ifft(part, axis=-1)[..., columns]
        deviation = abs(part) - 1.0
        for kept, values in zip(sums, (deviation, deviation * deviation, part.real), strict=True):
            kept.append(down_on @ values @ across_on)
    whole = [
        np.asarray(arrays.to_numpy(arrays.concatenate(kept, axis=0)), np.float64).reshape(planes, fields, -1)
        for kept in sums
    ]
    samples = np.outer(down.sum(axis=0), across.sum(axis=0)).ravel().astype(np.float64)
    return Curves(samples, *whole)


@functools.lru_cache(maxsize=32)
def _tiling(size: int, tiles: int) -> NDArray[np.float32]:
    """Return which tile each sample belongs to, shape (size, tiles) of 0 and 1."""
    belongs = np.arange(size) * tiles // size
    return np.asarray(belongs[:, None] == np.arange(tiles)[None, :], np.float32)


__all__ = ["SAMPLES_AT_ONCE", "Curves", "Window", "scan"]
