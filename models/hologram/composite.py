"""One picture in which every cell is in focus (Jaferzadeh 2019, Fig. 9), and how deep each lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.cells import CellSettings, crops
from microscoped.models.hologram.distance import crop_side
from microscoped.models.hologram.propagation import propagate, propagate_each, tapered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.cells import Cell
    from microscoped.models.hologram.field import Field


class Located(Protocol):
    """What knows in which plane a cell is sharp: a `Distance`, a `CellMeasurement`."""

    @property
    def z_min_contrast(self) -> float | None:
        """Plane of least amplitude contrast, in the field's distance unit; ``None`` where it is unknown."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """Cells of one field, each at its own distance.

    Parameters
    ----------
    field
        Complex; round the cells it is that of one common plane, ``field.z``.
    depth
        Distance of the cell that a sample belongs to, in ``optics.distance_unit``; NaN outside of cells. Shape
        (rows, columns).
    owner
        Index of that cell, −1 outside. Shape (rows, columns).
    """

    field: Field
    depth: NDArray[np.float32]
    owner: NDArray[np.int32]


def compose(
    field: Field,
    cells: Sequence[Cell],
    distances: Sequence[Located],
    common: float | None = None,
    settings: CellSettings = CellSettings(),  # noqa: B008 - frozen
    arrays: ArrayBackend = SCIPY,
) -> Composite:
    """Bring each cell into focus, in one picture.

    The field is propagated to a common plane, and the square round each cell the rest of the way. Where two squares
    meet, a sample belongs to the nearer cell.

    Parameters
    ----------
    field
        Normalised.
    cells, distances
        As found; a cell without a distance stays in the common plane.
    common
        The plane between cells; ``None`` for the median of the cells' distances, or the field's own plane.
    """
    known = [k for k, distance in enumerate(distances) if distance.z_min_contrast is not None]
    depths = np.array([distances[k].z_min_contrast for k in known], np.float32)
    if common is None:
        common = float(np.median(depths)) if known else field.z
    plane = propagate(field, common - field.z, arrays)
    values = plane.values.copy()
    depth = np.full(field.shape, np.nan, np.float32)
    owner = np.full(field.shape, -1, np.int32)
    if known:
        side = crop_side(field, settings)
        border = max(2, side // 10)
        chosen = [cells[k] for k in known]
        squares = tapered(crops(plane, chosen, side), border, border)
        focused = propagate_each(squares, depths - np.float32(common), field, arrays)
        nearest = np.full(field.shape, np.inf, np.float32)
        for k, cell, square, z in zip(known, chosen, focused, depths, strict=True):
            _paste(values, depth, owner, nearest, k, cell, square, float(z))
    return Composite(plane.at(values), depth, owner)


def _paste(
    values: NDArray[np.complex64],
    depth: NDArray[np.float32],
    owner: NDArray[np.int32],
    nearest: NDArray[np.float32],
    index: int,
    cell: Cell,
    square: NDArray[np.complex64],
    z: float,
) -> None:
    """Write what a cell's square holds of its box, where no other cell is nearer."""
    side = square.shape[0]
    top, left = round(cell.row) - side // 2, round(cell.column) - side // 2
    first, start, last, stop = cell.box
    first, start = max(first, top), max(start, left)
    last, stop = min(last, top + side), min(stop, left + side)
    box = slice(first, last), slice(start, stop)
    rows, columns = np.arange(first, last, dtype=np.float32), np.arange(start, stop, dtype=np.float32)
    away = np.hypot(rows[:, None] - np.float32(cell.row), columns[None, :] - np.float32(cell.column))
    mine = away < nearest[box]
    nearest[box] = np.where(mine, away, nearest[box])
    values[box] = np.where(mine, square[first - top : last - top, start - left : stop - left], values[box])
    depth[box] = np.where(mine, np.float32(z), depth[box])
    owner[box] = np.where(mine, np.int32(index), owner[box])


__all__ = ["Composite", "Located", "compose"]
