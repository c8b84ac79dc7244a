"""What the distance network reads of a cell: one function, used by training and at run time.

Jaferzadeh 2019 (§2.3) feeds the amplitude of the filtered hologram. Beyond the paper the field's real and imaginary
parts stand beside it: a cell in focus has no amplitude contrast, but it has phase.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal

from microscoped.models.hologram.cells import crops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.cells import Cell
    from microscoped.models.hologram.field import Field

CROP = 64
"""Side of a cell's square in samples."""
SAMPLING = 2.132
"""Samples per λ/NA; 2 hold the band."""
SAMPLING_TOLERANCE = 0.035
"""Relative deviation of a field's sampling up to which it is read as it is; training varies it as far."""
RING = 6
"""Width in samples of the crop's border whose mean phase is taken as the background's."""
CHANNELS = ("amplitude - 1", "real part - 1", "imaginary part")


def crop_inputs(values: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return the network's input for squares of a normalised field.

    Each square's phase is turned so that the mean over its border is real; its gain is left alone, because a cell in
    focus has no contrast of its own to be scaled by.

    Parameters
    ----------
    values
        Shape (cells, 64, 64), 1 in amplitude where there is no specimen, `SAMPLING` samples per λ/NA.

    Returns
    -------
    Shape (cells, 3, 64, 64): `CHANNELS`.

    Raises
    ------
    ValueError
        The squares have another shape.
    """
    if values.shape[1:] != (CROP, CROP):
        raise ValueError(f"values {values.shape}: squares of {CROP} × {CROP} samples are needed")
    inner = values[:, RING:-RING, RING:-RING]
    border = values.sum(axis=(1, 2)) - inner.sum(axis=(1, 2))
    turn = np.conj(border) / np.maximum(np.abs(border), np.float32(1e-12))
    turned = values * turn[:, None, None].astype(np.complex64)
    made = np.empty((values.shape[0], len(CHANNELS), CROP, CROP), np.float32)
    np.abs(turned, out=made[:, 0])
    made[:, 1], made[:, 2] = turned.real, turned.imag
    made[:, :2] -= np.float32(1.0)
    return made


def cell_inputs(field: Field, cells: Sequence[Cell]) -> tuple[NDArray[np.float32], float]:
    """Return the network's input for cells of a field of any sampling, and the unit of its distances.

    Parameters
    ----------
    field
        Normalised, of the recording plane.
    cells
        At least one.

    Returns
    -------
    crops
        As `crop_inputs`.
    scale
        Depths of field that the network's unit is for them (`distance_scale`).
    """
    sizes = [round(n * size * field.radius * SAMPLING) for n, size in zip(field.shape, field.pixel, strict=True)]
    off = [abs(1.0 / (size * field.radius * SAMPLING) - 1.0) for size in field.pixel]
    if max(off) <= SAMPLING_TOLERANCE:
        return crop_inputs(crops(field, cells, CROP)), distance_scale(field.pixel, field.radius)
    values = field.values
    for axis, size in enumerate(sizes):
        values = np.asarray(scipy.signal.resample(values, size, axis=axis), np.complex64)
    scale = [new / n for n, new in zip(field.shape, sizes, strict=True)]
    moved = [replace(cell, row=cell.row * scale[0], column=cell.column * scale[1]) for cell in cells]
    pixel = (field.pixel[0] / scale[0], field.pixel[1] / scale[1])
    return crop_inputs(crops(field.at(values), moved, CROP)), distance_scale(pixel, field.radius)


def distance_scale(pixel: tuple[float, float], radius: float) -> float:
    """Return how many depths of field the network's unit is for crops of this sampling.

    A crop looks the same where z·λ/(n·pixel²) is the same. So the network tells depths of field of crops of `SAMPLING`
    exactly, and those of coarser crops are larger as the square of their samples.

    Parameters
    ----------
    pixel
        Size of a sample along rows and columns.
    radius
        NA/λ in cycles per unit of ``pixel``.
    """
    return pixel[0] * pixel[1] * (radius * SAMPLING) ** 2


__all__ = ["CHANNELS", "CROP", "SAMPLING", "SAMPLING_TOLERANCE", "cell_inputs", "crop_inputs", "distance_scale"]
