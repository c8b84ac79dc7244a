"""A field of adherent cells with everything that is true of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.cells._debris import Grain, add_grain
from microscoped.simulators.cells._library import CellSource, FreshCells
from microscoped.simulators.cells._placing import Dish, Placed
from microscoped.simulators.cells._render import render
from microscoped.simulators.cells._truth import CellTruth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.cells._population import PopulationParameters
    from microscoped.simulators.optics import FloatArray

MARGIN_UM = 60.0
"""Cells are set so far beyond the frame, which the longest reach into it."""
BLOCK_UM = 2.0
"""Round a cell, on another grid, for the blur of its pixels."""


class CellField:
    """Adherent cells on a dish, as a clean map of the optical path difference. Immutable; any thread.

    Where cells overlap, their path differences add. Truths are those of each cell alone, on the field's pixels.

    Parameters
    ----------
    parameters
        Which cells.
    shape_px
        Of the frame (rows, columns).
    pixel_um
        Size of a pixel; 1.67 µm in Allier 2022.
    seed
        Which of all such fields.
    source
        Where the cells come from: a `CellLibrary` for many fields fast; cells drawn for this field alone by default.
    margin_um
        Cells are set so far beyond the frame.

    Raises
    ------
    ValueError
        The source's pixels are of another size, or a size is not positive.
    """

    def __init__(
        self,
        parameters: PopulationParameters,
        shape_px: tuple[int, int] = (512, 512),
        pixel_um: float = 1.67,
        seed: int = 0,
        *,
        source: CellSource | None = None,
        margin_um: float = MARGIN_UM,
    ) -> None:
        if min(shape_px) < 1 or pixel_um <= 0 or margin_um < 0:
            raise ValueError(f"shape_px {shape_px} and pixel_um {pixel_um} must be positive, margin_um not negative")
        source = FreshCells(parameters, pixel_um) if source is None else source
        if source.pixel_um != pixel_um:
            raise ValueError(f"the source's pixels are of {source.pixel_um} µm, the field's of {pixel_um} µm")
        rng = np.random.default_rng((seed, 32))
        dish = Dish(shape_px, math.ceil(margin_um / pixel_um))
        self.parameters = parameters
        self.shape_px = shape_px
        self.pixel_um = pixel_um
        self.margin_um = margin_um
        self.grains: tuple[Grain, ...] = dish.populate(parameters, source, rng)
        self.opd_nm: FloatArray = np.zeros(shape_px, np.float32)
        truths: list[CellTruth] = []
        outside: list[CellTruth] = []
        listed: list[Placed] = []
        rest: list[Placed] = []
        for placed in dish.placed:
            window = _window(placed, shape_px)
            if window is None:
                rest.append(placed)
                continue
            frame, part = window
            self.opd_nm[frame] += placed.cell.opd_nm[part]
            truth = _truth(placed, shape_px, pixel_um, touching=dish.touching(placed))
            if truth is None:
                rest.append(placed)
                continue
            within = all(
                -0.5 <= place / pixel_um < n - 0.5
                for place, n in zip((truth.row_um, truth.column_um), shape_px, strict=True)
            )
            (truths if within else outside).append(truth)
            (listed if within else rest).append(placed)
        for grain in self.grains:
            add_grain(grain, self.opd_nm, pixel_um, (0.0, 0.0))
        self.truths: tuple[CellTruth, ...] = tuple(truths)
        """Of the cells whose centroid lies in the frame."""
        self.outside: tuple[CellTruth, ...] = tuple(outside)
        """Of those that reach into the frame, but whose centroid lies outside."""
        self._listed: tuple[Placed, ...] = tuple(listed)
        self._rest: tuple[Placed, ...] = tuple(rest)

    def labels(self) -> NDArray[np.int32]:
        """Return which cell's area each pixel is in: its number in ``truths`` + 1, 0 for none; shape ``shape_px``.

        Where two overlap, it is the one with the greater path difference there. Cells of ``outside`` are left out.
        """
        labels = np.zeros(self.shape_px, np.int32)
        greatest = np.zeros(self.shape_px, np.float32)
        for number, placed in enumerate(self._listed, start=1):
            window = _window(placed, self.shape_px)
            if window is None:
                continue
            frame, part = window
            opd_nm = placed.cell.opd_nm[part]
            mine = placed.cell.area[part] & (opd_nm > greatest[frame])
            labels[frame][mine] = number
            greatest[frame][mine] = opd_nm[mine]
        return labels

    def alone(self, number: int) -> FloatArray:
        """Return the map of one cell of ``truths``, without all others; shape ``shape_px``."""
        placed = self._listed[number]
        opd_nm = np.zeros(self.shape_px, np.float32)
        window = _window(placed, self.shape_px)
        if window is not None:
            opd_nm[window[0]] = placed.cell.opd_nm[window[1]]
        return opd_nm

    def render(
        self, pixel_um: float, shape_px: tuple[int, int], origin_um: tuple[float, float]
    ) -> tuple[FloatArray, FloatArray]:
        """Render the same cells and debris on any grid, from their shapes; slow.

        Parameters
        ----------
        pixel_um
            Size of the grid's pixels.
        shape_px
            Of the grid (rows, columns).
        origin_um
            Place (row, column) of the middle of its first pixel; (0, 0) is the middle of the frame's first pixel.

        Returns
        -------
        Cells and debris, each in nanometres, shape ``shape_px``.
        """
        cells, debris = np.zeros(shape_px, np.float32), np.zeros(shape_px, np.float32)
        for placed in (*self._listed, *self._rest):
            cell = placed.cell
            reaches = cell.pose.reach_um(cell.shape.reach_um)
            spans, centre = [], []
            places = (placed.top + cell.centre_px[0]) * self.pixel_um, (placed.left + cell.centre_px[1]) * self.pixel_um
            for place, reach, origin, size in zip(places, reaches, origin_um, shape_px, strict=True):
                first = max(math.floor((place - reach - BLOCK_UM - origin) / pixel_um), 0)
                last = min(math.ceil((place + reach + BLOCK_UM - origin) / pixel_um) + 1, size)
                spans.append(slice(first, max(first, last)))
                centre.append((place - origin) / pixel_um - first)
            rows, columns = (span.stop - span.start for span in spans)
            if rows and columns:
                block = render(cell.shape, cell.pose, (centre[0], centre[1]), (rows, columns), pixel_um)
                cells[spans[0], spans[1]] += block
        for grain in self.grains:
            add_grain(grain, debris, pixel_um, origin_um)
        return cells, debris


def _window(placed: Placed, shape_px: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return where a cut-out lies in the frame and which part of it does, or None where nothing does."""
    frame, part = [], []
    for first, size, limit in zip((placed.top, placed.left), placed.cell.opd_nm.shape, shape_px, strict=True):
        low, high = max(first, 0), min(first + size, limit)
        if low >= high:
            return None
        frame.append(slice(low, high))
        part.append(slice(low - first, high - first))
    return (frame[0], frame[1]), (part[0], part[1])


def _truth(placed: Placed, shape_px: tuple[int, int], pixel_um: float, *, touching: bool) -> CellTruth | None:
    """Return what is true of a cell, or None where its area does not reach into the frame."""
    cell, m = placed.cell, placed.cell.measures
    border = False
    rows, columns = cell.opd_nm.shape
    if placed.top < 1 or placed.left < 1 or placed.top + rows >= shape_px[0] or placed.left + columns >= shape_px[1]:
        row, column = np.nonzero(cell.area)
        row, column = row + placed.top, column + placed.left
        in_frame = (row >= 0) & (row < shape_px[0]) & (column >= 0) & (column < shape_px[1])
        if not in_frame.any():
            return None
        inner = (row > 0) & (row < shape_px[0] - 1) & (column > 0) & (column < shape_px[1] - 1)
        border = not bool(inner.all())
    return CellTruth(
        row_um=(placed.top + m.row_px) * pixel_um,
        column_um=(placed.left + m.column_px) * pixel_um,
        dry_mass_pg=m.dry_mass_pg,
        area_um2=m.area_um2,
        max_opd_nm=m.max_opd_nm,
        length_um=m.length_um,
        kind=cell.shape.kind,
        touching=touching,
        border=border,
    )


__all__ = ["CellField"]
