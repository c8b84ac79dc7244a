"""Where the cells of a field are.

Found on the variance of the field's gradient. Its amplitude alone vanishes in focus for cells without absorption, so it
is never looked at by itself; the gradient of the complex field is the phase's gradient in focus, and stays where the
cell is when out of focus. A slowly varying background does not disturb it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from microscoped.models.hologram.errors import OpticsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.field import Field

TYPICAL_DIAMETER = 9.0
"""Diameter of a cell in units of λ/NA where none is given: a red cell's 8 µm at 666 nm and NA 0.75."""
LEAST_CONTRAST = 0.09
"""Least root mean square of the gradient over a cell, in rad per λ/2NA, weighted by a Gaussian."""
NOISE_FACTOR = 1.7
"""How far a cell's contrast must stand above that of the quieter part of the field."""
MARGIN = 4
"""Blocks at each border whose gradient is not used: the band's cut rings there where the field does not repeat."""
SMOOTHING = 0.28
"""Width of the Gaussian in diameters: wide enough for the gradient along a cell's edge to meet in its middle."""
PEAK_REACH = 0.4
"""Half of the side of the square in which a cell's peak is the greatest, in diameters."""
NEAREST = 0.7
"""Distance of centres in diameters below which two peaks are one cell."""


@dataclass(frozen=True, slots=True)
class CellSettings:
    """What counts as a cell.

    Parameters
    ----------
    diameter
        Of typical cells, in ``optics.length_unit``; ``None`` for `TYPICAL_DIAMETER`.
    least_contrast
        Least root mean square gradient of the phase in rad per λ/2NA.
    most
        Most cells; those of the most contrast are kept.

    Raises
    ------
    OpticsError
        The diameter is not positive.
    """

    diameter: float | None = None
    least_contrast: float = LEAST_CONTRAST
    most: int = 200

    def __post_init__(self) -> None:
        if self.diameter is not None and not (self.diameter > 0 and math.isfinite(self.diameter)):
            raise OpticsError(f"diameter {self.diameter}: must be a positive number; leave it out where it is unknown")

    def diameter_in(self, field: Field) -> float:
        """Return the diameter in ``optics.length_unit``."""
        return self.diameter if self.diameter is not None else TYPICAL_DIAMETER / field.radius


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a field.

    Parameters
    ----------
    row, column
        Its centre in samples of the field.
    box
        First row and column, and those after the last, of a square of 1.5 diameters round it, cut to the field.
    contrast
        Root mean square gradient of the phase in rad per λ/2NA.
    border
        Whether the square reaches beyond the field: its distance and mass are then not to be relied on.
    """

    row: float
    column: float
    box: tuple[int, int, int, int]
    contrast: float
    border: bool


def gradient_power(field: Field) -> NDArray[np.float32]:
    """Return the mean square of the field's gradient in blocks of 2 × 2 samples, in rad² per (λ/2NA)².

    Parameters
    ----------
    field
        Normalised.
    """
    values = field.values
    rows, columns = (n // 2 * 2 for n in values.shape)
    steps = [1.0 / (2.0 * field.radius * size) for size in field.pixel]
    down = values[2:rows:2, :columns:2] - values[: rows - 2 : 2, :columns:2]
    across = values[:rows:2, 2:columns:2] - values[:rows:2, : columns - 2 : 2]
    power = np.zeros((rows // 2, columns // 2), np.float32)
    power[:-1] += _squared(down) * np.float32((steps[0] / 2.0) ** 2)
    power[:, :-1] += _squared(across) * np.float32((steps[1] / 2.0) ** 2)
    inner = power[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.pad(inner, MARGIN, mode="edge")


def _squared(values: NDArray[np.complex64]) -> NDArray[np.float32]:
    return np.asarray(values.real**2 + values.imag**2)


def find_cells(field: Field, settings: CellSettings = CellSettings()) -> list[Cell]:
    """Find the cells of a field, those of the most contrast first.

    Parameters
    ----------
    field
        Normalised, in focus or some depths of field away.
    """
    diameter = settings.diameter_in(field)
    power = gradient_power(field)
    sigma = [SMOOTHING * diameter / (2.0 * size) for size in field.pixel]
    smooth = ndimage.gaussian_filter(power, sigma, mode="nearest", truncate=3.0)
    reach = [max(3, round(PEAK_REACH * diameter / (2.0 * size)) * 2 + 1) for size in field.pixel]
    quiet = float(np.percentile(smooth, 10))
    least = max(settings.least_contrast**2, NOISE_FACTOR**2 * quiet) if _uneven(smooth) else settings.least_contrast**2
    peaks = (smooth == ndimage.maximum_filter(smooth, reach, mode="nearest")) & (smooth > least)
    found = [(float(smooth[row, column]), int(row), int(column)) for row, column in np.argwhere(peaks)]
    found.sort(reverse=True)
    cells: list[Cell] = []
    for place in found:
        cell = _cell(field, power, place, diameter)
        # A cell's gradient may have several peaks: they have one centre.
        away = [
            math.hypot((cell.row - c.row) * field.pixel[0], (cell.column - c.column) * field.pixel[1]) for c in cells
        ]
        if min(away, default=math.inf) > NEAREST * diameter:
            cells.append(cell)
        if len(cells) == settings.most:
            break
    return cells


def _uneven(smooth: NDArray[np.float32]) -> bool:
    """Whether part of the field is quiet: one full of cells has no place to take the noise from."""
    return float(smooth.max()) > 4.0 * float(np.percentile(smooth, 10))


def _cell(field: Field, power: NDArray[np.float32], place: tuple[float, int, int], diameter: float) -> Cell:
    contrast, row, column = place
    half = [max(1, round(0.5 * diameter / (2.0 * size))) for size in field.pixel]
    centre_row, centre_column = float(row), float(column)
    for _ in range(2):
        top, left = max(0, round(centre_row) - half[0]), max(0, round(centre_column) - half[1])
        part = power[top : round(centre_row) + half[0] + 1, left : round(centre_column) + half[1] + 1]
        total = float(part.sum())
        if total <= 0:
            break
        centre_row = top + float((part.sum(axis=1) * np.arange(part.shape[0])).sum()) / total
        centre_column = left + float((part.sum(axis=0) * np.arange(part.shape[1])).sum()) / total
    # A block's gradient lies a sample after its first corner.
    rows, columns = 2.0 * centre_row + 1.0, 2.0 * centre_column + 1.0
    side = [round(0.75 * diameter / size) for size in field.pixel]
    ends = (
        round(rows) - side[0],
        round(columns) - side[1],
        round(rows) + side[0],
        round(columns) + side[1],
    )
    height, width = field.shape
    box = max(0, ends[0]), max(0, ends[1]), min(height, ends[2]), min(width, ends[3])
    return Cell(rows, columns, box, float(np.sqrt(contrast)), box != ends)


def crops(field: Field, cells: Sequence[Cell], side: int = 64) -> NDArray[np.complex64]:
    """Cut a square round each cell; what lies beyond the field is background, 1.

    Parameters
    ----------
    field
        Normalised.
    side
        Of the squares in samples.

    Returns
    -------
    Shape (cells, side, side). Sample side/2 is the one nearest to the cell's centre.
    """
    result = np.ones((len(cells), side, side), np.complex64)
    height, width = field.shape
    for cut, cell in zip(result, cells, strict=True):
        top, left = round(cell.row) - side // 2, round(cell.column) - side // 2
        first, start = max(0, top), max(0, left)
        last, stop = min(height, top + side), min(width, left + side)
        if last > first and stop > start:
            cut[first - top : last - top, start - left : stop - left] = field.values[first:last, start:stop]
    return result


__all__ = ["Cell", "CellSettings", "crops", "find_cells", "gradient_power"]
