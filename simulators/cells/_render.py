"""A cell on a grid of pixels: integrated over each pixel, at any angle and place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.cells._pose import Pose
    from microscoped.simulators.cells._shape import CellShape
    from microscoped.simulators.optics import FloatArray

_Value = TypeVar("_Value", bound=np.generic)

SAMPLE_UM = 0.84
"""The map is sampled at least so finely, and at least twice a pixel, and averaged over each pixel."""


def oriented(cells: NDArray[_Value], orientation: int) -> NDArray[_Value]:
    """Return a view of a map: transposed (4), then upside down (2), then left to right (1); orientation is 0 … 7."""
    if orientation & 4:
        cells = cells.T
    if orientation & 2:
        cells = cells[::-1]
    if orientation & 1:
        cells = cells[:, ::-1]
    return cells


def render(
    shape: CellShape,
    pose: Pose,
    centre_px: tuple[float, float],
    shape_px: tuple[int, int],
    pixel_um: float,
) -> FloatArray:
    """Return the map of a cell, averaged over each pixel.

    Parameters
    ----------
    shape, pose
        The cell and how it lies.
    centre_px
        Its origin (row, column); 0 is the middle of the first pixel.
    shape_px
        Of the map.
    pixel_um
        Size of its pixels.

    Returns
    -------
    Optical path difference in nanometres, shape ``shape_px``.
    """
    samples = max(2, math.ceil(pixel_um / SAMPLE_UM))
    down, across = (
        (((np.arange(n * samples) + 0.5) / samples - 0.5 - centre) * pixel_um).astype(np.float32)
        for n, centre in zip(shape_px, centre_px, strict=True)
    )
    fine = shape.opd_nm(down, across, pose)
    rows, columns = shape_px
    # Sums over slices are several times faster than a mean over two short axes.
    halved = fine[:, 0::samples].copy()
    for k in range(1, samples):
        halved += fine[:, k::samples]
    coarse = halved[0::samples].copy()
    for k in range(1, samples):
        coarse += halved[k::samples]
    coarse *= np.float32(1.0 / samples**2)
    return np.asarray(coarse.reshape(rows, columns), np.float32)


__all__ = ["oriented", "render"]
