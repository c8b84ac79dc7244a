"""Propagation of band-limited fields by the angular spectrum, kernels cached.

``U(z) = F⁻¹{ F(U) · exp(i·z·rate) }`` with the rate of `HologramOptics.axial_rate` (J. W. Goodman, Introduction to
Fourier Optics, §3.10). The axial phase is left out, so a background of 1 stays 1. A series of equidistant planes needs
one kernel: each spectrum is the one before times the kernel of one step.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.hologram.arrays import SCIPY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.field import Field
    from microscoped.models.hologram.optics import HologramOptics


@functools.lru_cache(maxsize=16)
def rates(
    shape: tuple[int, int], pixel: tuple[float, float], optics: HologramOptics, arrays: ArrayBackend = SCIPY
) -> Any:  # noqa: ANN401 - an array of the library
    """Return the axial rate of each frequency in rad per ``optics.distance_unit``, float32; not to be changed.

    Parameters
    ----------
    shape, pixel
        Samples, and their size, along rows and columns.
    """
    fy, fx = (np.fft.fftfreq(size, step) for size, step in zip(shape, pixel, strict=True))
    return arrays.asarray(optics.axial_rate(fy[:, None] ** 2 + fx[None, :] ** 2).astype(np.float32))


@functools.lru_cache(maxsize=16)
def kernel(
    shape: tuple[int, int],
    pixel: tuple[float, float],
    optics: HologramOptics,
    distance: float,
    arrays: ArrayBackend = SCIPY,
) -> Any:  # noqa: ANN401
    """Return what a spectrum is multiplied by to travel a distance, complex64; not to be changed."""
    return arrays.cis(rates(shape, pixel, optics, arrays) * distance)


@functools.lru_cache(maxsize=16)
def kernels(
    shape: tuple[int, int],
    pixel: tuple[float, float],
    optics: HologramOptics,
    step: float,
    count: int,
    arrays: ArrayBackend = SCIPY,
) -> Any:  # noqa: ANN401
    """Return the kernels of 0, 1, … count − 1 steps, shape (count, 1, rows, columns), complex64; not to be changed."""
    steps = arrays.asarray(np.arange(count, dtype=np.float32) * np.float32(step))
    return arrays.cis(rates(shape, pixel, optics, arrays) * steps.reshape(count, 1, 1, 1))


def spectrum(values: NDArray[np.complex64], arrays: ArrayBackend = SCIPY) -> Any:  # noqa: ANN401
    """Return the spectrum over the last two axes."""
    return arrays.fft(arrays.fft(arrays.asarray(values), axis=-1), axis=-2)


def propagate(field: Field, distance: float, arrays: ArrayBackend = SCIPY) -> Field:
    """Return the field of another plane.

    Parameters
    ----------
    field
        On the band-limited grid. What leaves on one side enters on the other.
    distance
        In ``optics.distance_unit``, object-side, positive downstream.
    """
    # Distances are seldom the same twice: their kernels would only drive others out of the cache.
    turned = spectrum(field.values, arrays) * arrays.cis(
        rates(field.shape, field.pixel, field.optics, arrays) * distance
    )
    values = arrays.to_numpy(arrays.ifft(arrays.ifft(turned, axis=-2), axis=-1))
    return field.at(values, field.z + distance)


def propagate_each(
    crops: NDArray[np.complex64], distances: NDArray[np.float32], field: Field, arrays: ArrayBackend = SCIPY
) -> NDArray[np.complex64]:
    """Return crops of a field, each propagated by its own distance.

    Parameters
    ----------
    crops
        Shape (crops, rows, columns).
    distances
        Shape (crops,), in ``optics.distance_unit``.
    field
        What the crops are of: its sampling and optics.
    """
    shape = crops.shape[1], crops.shape[2]
    angle = rates(shape, field.pixel, field.optics, arrays)
    turned = spectrum(crops, arrays) * arrays.cis(
        angle * arrays.asarray(distances.astype(np.float32)).reshape(len(crops), 1, 1)
    )
    values: NDArray[np.complex64] = arrays.to_numpy(arrays.ifft(arrays.ifft(turned, axis=-2), axis=-1))
    return values


def tapered(values: NDArray[np.complex64], rows: int, columns: int) -> NDArray[np.complex64]:
    """Return a field whose borders run out to the background, 1, so that nothing jumps where it repeats.

    Parameters
    ----------
    values
        Normalised, shape (…, height, width).
    rows, columns
        Width of the borders.
    """
    return np.asarray((values - 1) * _taper(values.shape[-2], values.shape[-1], rows, columns) + np.float32(1))


@functools.lru_cache(maxsize=16)
def _taper(height: int, width: int, rows: int, columns: int) -> NDArray[np.float32]:
    edges = []
    for size, border in ((height, rows), (width, columns)):
        distance = np.minimum(np.arange(size), np.arange(size)[::-1])
        edges.append(0.5 - 0.5 * np.cos(np.pi * np.minimum((distance + 0.5) / max(border, 1), 1.0)))
    return np.asarray(edges[0][:, None] * edges[1][None, :], np.float32)


__all__ = ["kernel", "kernels", "propagate", "propagate_each", "rates", "spectrum", "tapered"]
