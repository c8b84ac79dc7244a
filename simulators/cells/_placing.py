"""Where cells lie: beside each other, touching at times, seldom upon each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.cells._debris import Grain, draw_cluster

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.cells._library import CellSource, CutOut
    from microscoped.simulators.cells._population import PopulationParameters

TRIES = 24
"""Places tried for a cell; where none is free, the one with least overlap is taken."""
NEIGHBOUR_TRIES = 10
MOST_OVERLAP = 0.02
"""Part of its area that a cell may share with others and still lie freely."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A cut-out and where it lies: row and column of its first pixel, in the frame."""

    cell: CutOut
    top: int
    left: int


class Dish:
    """The ground on which cells are set: the frame with a margin round it.

    Parameters
    ----------
    shape_px
        Of the frame.
    margin_px
        Pixels beyond it on each side.
    """

    def __init__(self, shape_px: tuple[int, int], margin_px: int) -> None:
        self.margin_px = margin_px
        self.shape_px = shape_px[0] + 2 * margin_px, shape_px[1] + 2 * margin_px
        self._layers: NDArray[np.uint8] = np.zeros(self.shape_px, np.uint8)
        self.placed: list[Placed] = []

    def populate(
        self, parameters: PopulationParameters, source: CellSource, rng: np.random.Generator
    ) -> tuple[Grain, ...]:
        """Set cells of one density, drawn between the population's limits, and debris; return the debris."""
        area_mm2 = self.shape_px[0] * self.shape_px[1] * (source.pixel_um * 1e-3) ** 2
        wanted = int(rng.poisson(float(rng.uniform(*parameters.density_per_mm2)) * area_mm2))
        while len(self.placed) < wanted:
            cell = source.take(rng)
            if cell.shape.kind == "dividing":
                # Two are set at once, and so half as often.
                if rng.uniform() < 0.5:
                    self._set(cell, self._free(cell, rng))
                    sister = source.take_daughter(rng)
                    self._set(sister, self._beside(sister, len(self.placed) - 1, rng) or self._free(sister, rng))
                continue
            place = None
            if self.placed and rng.uniform() < parameters.neighbours:
                place = self._beside(cell, int(rng.integers(len(self.placed))), rng)
            self._set(cell, place or self._free(cell, rng))
        return self._debris(float(rng.uniform(*parameters.debris_per_mm2)) * area_mm2, source.pixel_um, rng)

    def touching(self, placed: Placed) -> bool:
        """Return whether a cell that was set touches another."""
        ground, part = self._window(placed.cell, placed.top + self.margin_px, placed.left + self.margin_px)
        around = self._layers[ground][placed.cell.halo[part]]
        own = int(np.count_nonzero(placed.cell.area[part]))
        return int(around.sum(dtype=np.int64)) > own

    def _window(self, cell: CutOut, top: int, left: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        ground, part = [], []
        for first, size, limit in zip((top, left), cell.opd_nm.shape, self.shape_px, strict=True):
            low, high = max(first, 0), min(first + size, limit)
            ground.append(slice(low, max(high, low)))
            part.append(slice(low - first, max(high, low) - first))
        return (ground[0], ground[1]), (part[0], part[1])

    def _overlap(self, cell: CutOut, place: tuple[int, int]) -> float:
        ground, part = self._window(cell, *place)
        shared = np.count_nonzero(self._layers[ground][cell.area[part]])
        return float(shared) / max(int(np.count_nonzero(cell.area)), 1)

    def _free(self, cell: CutOut, rng: np.random.Generator) -> tuple[int, int]:
        """Return a random place in the dish that is free, or the one with least overlap of some."""
        best, least = (0, 0), math.inf
        for _ in range(TRIES):
            place = (
                int(rng.integers(self.shape_px[0])) - round(cell.centre_px[0]),
                int(rng.integers(self.shape_px[1])) - round(cell.centre_px[1]),
            )
            overlap = self._overlap(cell, place)
            if overlap < least:
                best, least = place, overlap
            if overlap <= MOST_OVERLAP:
                break
        return best

    def _beside(self, cell: CutOut, index: int, rng: np.random.Generator) -> tuple[int, int] | None:
        """Return a place where a cell touches another that was set before, or None where none was found."""
        other = self.placed[index]
        pixel_um = math.sqrt(cell.measures.area_um2 / max(int(np.count_nonzero(cell.area)), 1))
        radii = sum(math.sqrt(c.measures.area_um2 / math.pi) for c in (cell, other.cell)) / pixel_um
        for _ in range(NEIGHBOUR_TRIES):
            angle, away = float(rng.uniform(0.0, 2.0 * math.pi)), radii * float(rng.uniform(0.85, 1.15))
            place = (
                round(other.top + self.margin_px + other.cell.measures.row_px + away * math.sin(angle))
                - round(cell.measures.row_px),
                round(other.left + self.margin_px + other.cell.measures.column_px + away * math.cos(angle))
                - round(cell.measures.column_px),
            )
            ground, part = self._window(cell, *place)
            if self._overlap(cell, place) <= MOST_OVERLAP and self._layers[ground][cell.halo[part]].any():
                return place
        return None

    def _set(self, cell: CutOut, place: tuple[int, int]) -> None:
        ground, part = self._window(cell, *place)
        self._layers[ground] += cell.area[part]
        self.placed.append(Placed(cell, place[0] - self.margin_px, place[1] - self.margin_px))

    def _debris(self, expected: float, pixel_um: float, rng: np.random.Generator) -> tuple[Grain, ...]:
        grains: list[Grain] = []
        for _ in range(int(rng.poisson(expected))):
            row, column = (int(rng.integers(n)) for n in self.shape_px)
            near = self._layers[max(row - 5, 0) : row + 6, max(column - 5, 0) : column + 6]
            if not near.any():
                place = (row - self.margin_px) * pixel_um, (column - self.margin_px) * pixel_um
                grains.extend(draw_cluster(rng, *place))
        return tuple(grains)


__all__ = ["Dish", "Placed"]
