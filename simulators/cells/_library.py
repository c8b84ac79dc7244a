"""Cut-outs of cells, rendered once and placed many times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import ndimage

from microscoped.simulators.cells._pose import Pose
from microscoped.simulators.cells._render import oriented, render
from microscoped.simulators.cells._truth import AREA_ABOVE_NM, CellMeasures, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.cells._population import PopulationParameters
    from microscoped.simulators.cells._shape import CellShape
    from microscoped.simulators.optics import FloatArray

ORIENTATIONS = 8
"""A cut-out can be laid in so many ways without interpolation: turned by quarters, and mirrored."""


@dataclass(frozen=True, slots=True)
class CutOut:
    """A rendered cell with what is true of it. Arrays are never written to.

    Parameters
    ----------
    shape, pose
        The cell and how it lies.
    centre_px
        Its origin in the cut-out (row, column).
    opd_nm
        Its map, shape (rows, columns); nothing at the borders.
    area
        Where it is above 5 nm.
    halo
        The area with all pixels next to it.
    measures
        What is true of it.
    """

    shape: CellShape
    pose: Pose
    centre_px: tuple[float, float]
    opd_nm: FloatArray
    area: NDArray[np.bool_]
    halo: NDArray[np.bool_]
    measures: CellMeasures

    @classmethod
    def of(cls, shape: CellShape, pixel_um: float, rng: np.random.Generator) -> CutOut:
        """Render a cell at a random angle and place between the pixels."""
        pose = Pose.turned(float(rng.uniform(0.0, 2.0 * math.pi)))
        sizes = [2 * math.ceil(reach / pixel_um + 0.5) + 1 for reach in pose.reach_um(shape.reach_um)]
        offset = rng.uniform(-0.5, 0.5, 2)
        centre = (sizes[0] - 1) / 2.0 + float(offset[0]), (sizes[1] - 1) / 2.0 + float(offset[1])
        whole = render(shape, pose, centre, (sizes[0], sizes[1]), pixel_um)
        rows, columns = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
        top, left = max(int(rows[0]) - 2, 0), max(int(columns[0]) - 2, 0)
        opd_nm = np.ascontiguousarray(whole[top : rows[-1] + 3, left : columns[-1] + 3])
        area = opd_nm > AREA_ABOVE_NM
        halo = ndimage.binary_dilation(area, np.ones((3, 3), bool))
        return cls(shape, pose, (centre[0] - top, centre[1] - left), opd_nm, area, halo, measure(opd_nm, pixel_um))

    def oriented(self, orientation: int) -> CutOut:
        """Return it turned by quarters or mirrored, as views; what is true of it stays."""
        rows, columns = self.opd_nm.shape
        places = (self.centre_px, (self.measures.row_px, self.measures.column_px))
        moved = []
        for row, column in places:
            height, width = rows, columns
            if orientation & 4:
                row, column, height, width = column, row, width, height
            if orientation & 2:
                row = height - 1 - row
            if orientation & 1:
                column = width - 1 - column
            moved.append((row, column))
        m = self.measures
        return CutOut(
            self.shape,
            self.pose.oriented(orientation),
            moved[0],
            oriented(self.opd_nm, orientation),
            oriented(self.area, orientation),
            oriented(self.halo, orientation),
            CellMeasures(*moved[1], m.dry_mass_pg, m.area_um2, m.max_opd_nm, m.length_um),
        )


class CellSource(Protocol):
    """Where a field takes its cells from."""

    @property
    def pixel_um(self) -> float:
        """Pixels of the cut-outs."""
        ...

    def take(self, rng: np.random.Generator) -> CutOut:
        """Return a random cell of the population."""
        ...

    def take_daughter(self, rng: np.random.Generator) -> CutOut:
        """Return a random daughter cell."""
        ...


class FreshCells:
    """Cells drawn anew each time; no two fields share one. Immutable; any thread."""

    def __init__(self, parameters: PopulationParameters, pixel_um: float) -> None:
        self.parameters = parameters
        self.pixel_um = pixel_um

    def take(self, rng: np.random.Generator) -> CutOut:
        """Return a random cell of the population."""
        return CutOut.of(self.parameters.draw(rng), self.pixel_um, rng)

    def take_daughter(self, rng: np.random.Generator) -> CutOut:
        """Return a random daughter cell."""
        return CutOut.of(self.parameters.draw_daughter(rng), self.pixel_um, rng)


class CellLibrary:
    """Cells drawn and rendered once, of which fields take some, turned and mirrored. Immutable; any thread.

    To evaluate on cells that no training has seen, take a library of another seed, or none.

    Parameters
    ----------
    parameters
        The population.
    pixel_um
        Size of the fields' pixels.
    count
        Number of cells.
    seed
        Which cells.
    """

    def __init__(
        self, parameters: PopulationParameters, pixel_um: float = 1.67, count: int = 1024, seed: int = 0
    ) -> None:
        if count < 1:
            raise ValueError(f"count is {count}, but a library needs at least one cell")
        rng = np.random.default_rng((seed, 31))
        fresh = FreshCells(parameters, pixel_um)
        self.parameters = parameters
        self.pixel_um = pixel_um
        self.cells = tuple(fresh.take(rng) for _ in range(count))
        daughters = tuple(cell for cell in self.cells if cell.shape.kind == "dividing")
        self._daughters = daughters or (fresh.take_daughter(rng),)

    def take(self, rng: np.random.Generator) -> CutOut:
        """Return a random cell of the library."""
        return self._turned(self.cells, rng)

    def take_daughter(self, rng: np.random.Generator) -> CutOut:
        """Return a random daughter cell of the library."""
        return self._turned(self._daughters, rng)

    @staticmethod
    def _turned(cells: tuple[CutOut, ...], rng: np.random.Generator) -> CutOut:
        choice = int(rng.integers(len(cells) * ORIENTATIONS))
        return cells[choice // ORIENTATIONS].oriented(choice % ORIENTATIONS)


__all__ = ["CellLibrary", "CellSource", "CutOut", "FreshCells"]
