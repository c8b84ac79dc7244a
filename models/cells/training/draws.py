"""Simulated images of cells with the maps that a network is to make of them.

Cells are rendered once, in libraries, and laid out in fields once; each draw is a window of a field, turned or
mirrored, with noise and background of its own. Training and evaluation take cells from seeds of their own, so that no
cell is in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from microscoped.models.cells.heatmaps import DISC_RADIUS_UM, centre_map, disc_maps
from microscoped.models.cells.inputs import CENTRE_RADIUS_UM, PIXEL_UM, UNIT_NM
from microscoped.models.cells.measures import CellTable
from microscoped.models.cells.quantities import TYPICAL, Quantity
from microscoped.simulators.cells import CellField, CellLibrary, Degradation, PopulationParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Images = Literal["clean", "degraded", "lensfree"]
"""Maps with little noise; with noise and background as in Allier 2022, Figure 4; fast lens-free reconstructions."""

MATCHED: Final = (183, 255, 364, 527)
"""Densities of the populations of Allier 2022, Table 1, in cells per square millimetre."""
DENSITIES: Final = (20.0, 600.0)
"""In training each population is laid out at any density."""
EMPTY_SHARE: Final = 0.04
"""Part of the images without any cell."""
WIDE_SHARE: Final = 0.3
"""Part of the images that show the wide population."""
CUT_SHARE: Final = 0.25
"""Part of the images that end before the network's square does, as small frames do."""
FIELD_PX: Final = 512
CLEAN_NOISE_NM: Final = (0.5, 3.0)
OFFSET_NM: Final = 5.0
"""Greatest common offset of degraded images."""
BORDER_WEIGHT: Final = 0.25
"""Of a cell that the frame cuts, against one that is seen whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Images and what a network is to make of them; all of the first length.

    Parameters
    ----------
    images
        Shape (n, 1, rows, columns).
    centres
        Cones, or with discs nothing: shape (n, rows / stride, columns / stride).
    quantities
        Over the typical ones, shape (n, quantities, rows / stride, columns / stride).
    weights
        Of a pixel's quantities in the loss, shape as centres.
    """

    images: NDArray[np.float32]
    centres: NDArray[np.float32]
    quantities: NDArray[np.float32]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """An image before noise, and its cells.

    Parameters
    ----------
    opd_nm
        Shape (side, side).
    places_px
        Centroids (row, column), shape (cells, 2).
    values
        Quantities over typical ones, shape (cells, quantities).
    half_px
        Half of the cells' lengths, shape (cells,).
    """

    opd_nm: NDArray[np.float16]
    places_px: NDArray[np.float64]
    values: NDArray[np.float32]
    half_px: NDArray[np.float64]

    @classmethod
    def of(cls, opd_nm: NDArray[np.floating], truth: CellTable, quantities: Sequence[Quantity]) -> Field:
        """Return the field of a map and of the table that a perfect measurement of it would give."""
        return cls(
            opd_nm.astype(np.float16),
            truth.places_px,
            np.stack([truth.column(q) / TYPICAL[q] for q in quantities], axis=1).astype(np.float32),
            0.5 * truth.column(Quantity.LENGTH) / truth.pixel_um,
        )


class Stream:
    """Endless draws: windows of fields that were laid out once, turned and mirrored.

    Parameters
    ----------
    fields
        Which they are, all of one size.
    stride
        Pixels of the image on one of the maps; 1 with discs, else cones and quantities round them.
    discs
        Whether the maps are the paper's.
    images
        What is seen of the fields.
    """

    def __init__(self, fields: Sequence[Field], stride: int, *, discs: bool, images: Images) -> None:
        self._fields, self._stride, self._discs, self._images = fields, stride, discs, images

    def draw(self, rng: np.random.Generator, count: int, side_px: int) -> Draw:
        """Draw square images."""
        parts = [self._one(rng, side_px) for _ in range(count)]
        images, centres, quantities, weights = (np.stack(part) for part in zip(*parts, strict=True))
        return Draw(images[:, None], centres, quantities, weights)

    def _one(self, rng: np.random.Generator, side_px: int) -> tuple[NDArray[np.float32], ...]:
        field = self._fields[int(rng.integers(len(self._fields)))]
        top, left = (int(first) for first in rng.integers(0, len(field.opd_nm) - side_px + 1, 2))
        opd_nm = field.opd_nm[top : top + side_px, left : left + side_px].astype(np.float32)
        places = field.places_px - (top, left)
        symmetry = int(rng.integers(8))
        if symmetry & 4:
            opd_nm, places = opd_nm.T, places[:, ::-1]
        if symmetry & 2:
            opd_nm, places = opd_nm[::-1], np.stack([side_px - 1 - places[:, 0], places[:, 1]], axis=1)
        if symmetry & 1:
            opd_nm, places = opd_nm[:, ::-1], np.stack([places[:, 0], side_px - 1 - places[:, 1]], axis=1)
        ends = np.array([side_px, side_px])
        if rng.uniform() < CUT_SHARE:
            ends = rng.integers(side_px // 3, side_px + 1, 2)
        image = np.zeros((side_px, side_px), np.float32)
        seen = np.ascontiguousarray(opd_nm[: ends[0], : ends[1]])
        image[: ends[0], : ends[1]] = degrade(seen, rng, self._images) * np.float32(1.0 / UNIT_NM)
        kept = ((places >= -0.5) & (places < ends - 0.5)).all(axis=1)
        places = places[kept]
        half = field.half_px[kept, None]
        cut = ((places - half < 0) | (places + half > ends - 1)).any(axis=1)
        return image, *self._maps(places, field.values[kept], np.where(cut, BORDER_WEIGHT, 1.0), side_px)

    def _maps(
        self, places_px: NDArray[np.float64], values: NDArray[np.float32], weights: NDArray[np.float64], side_px: int
    ) -> tuple[NDArray[np.float32], ...]:
        # The middle of a pixel of the maps lies between the middles of those of the image that it covers.
        places = (places_px - 0.5 * (self._stride - 1)) / self._stride
        shape, pixel_um = (side_px // self._stride, side_px // self._stride), self._stride * PIXEL_UM
        if self._discs:
            discs = disc_maps(places, values, shape, pixel_um, DISC_RADIUS_UM)
            return np.zeros(shape, np.float32), discs, np.ones(shape, np.float32)
        centres = centre_map(places, shape, pixel_um, CENTRE_RADIUS_UM)
        columns = np.concatenate([values, weights[:, None]], axis=1)
        drawn = disc_maps(places, columns, shape, pixel_um, CENTRE_RADIUS_UM)
        return centres, drawn[:-1], drawn[-1] * centres


def simulated_fields(seed: int, cells: int, count: int, quantities: Sequence[Quantity]) -> list[Field]:
    """Lay out fields of cells of all populations.

    Parameters
    ----------
    seed
        Of cells and fields.
    cells
        Rendered of each population.
    count
        Of fields.
    quantities
        What is measured, in order.
    """
    matched = [PopulationParameters.matched(density) for density in MATCHED]
    libraries = [
        CellLibrary(parameters, PIXEL_UM, cells, seed + k)
        for k, parameters in enumerate([*matched, PopulationParameters.wide()])
    ]
    rng = np.random.default_rng((seed, 3))
    return [_lay_out(libraries, quantities, rng) for _ in range(count)]


def _lay_out(libraries: Sequence[CellLibrary], quantities: Sequence[Quantity], rng: np.random.Generator) -> Field:
    wide = rng.uniform() < WIDE_SHARE
    library = libraries[-1] if wide else libraries[int(rng.integers(len(libraries) - 1))]
    density = 0.0 if rng.uniform() < EMPTY_SHARE else float(rng.uniform(*DENSITIES))
    parameters = replace(library.parameters, density_per_mm2=(density, density))
    shape = (FIELD_PX, FIELD_PX)
    field = CellField(parameters, shape, PIXEL_UM, int(rng.integers(1 << 31)), source=library)
    return Field.of(field.opd_nm, CellTable.of_truths(field.truths, shape, PIXEL_UM), quantities)


def degrade(opd_nm: NDArray[np.float32], rng: np.random.Generator, images: Images) -> NDArray[np.float32]:
    """Return an image as a training sees it."""
    if images == "lensfree":
        return opd_nm
    if images == "clean":
        return Degradation(noise_nm=float(rng.uniform(*CLEAN_NOISE_NM))).apply(opd_nm, rng)
    offset = np.float32(rng.uniform(-OFFSET_NM, OFFSET_NM))
    return Degradation.draw(rng).apply(opd_nm, rng) + offset


__all__ = ["MATCHED", "Draw", "Field", "Images", "Stream", "degrade", "simulated_fields"]
