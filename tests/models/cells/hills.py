"""Hand-made cells: Gaussian hills, whose mass, area and length above a threshold are known in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.cells import CellTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ABOVE_NM = 5.0


@dataclass(frozen=True)
class Hill:
    """A cell of Gaussian profile; widths along and across its axis, which is turned by the angle."""

    row_um: float
    column_um: float
    max_opd_nm: float = 80.0
    along_um: float = 6.0
    across_um: float = 4.0
    angle: float = 0.0
    touching: bool = False
    border: bool = False

    @property
    def dry_mass_pg(self) -> float:
        return 2 * math.pi * self.along_um * self.across_um * (self.max_opd_nm - ABOVE_NM) * 1e-3 / 0.18

    @property
    def area_um2(self) -> float:
        return 2 * math.pi * self.along_um * self.across_um * math.log(self.max_opd_nm / ABOVE_NM)

    @property
    def length_um(self) -> float:
        return 2 * self.along_um * math.sqrt(2 * math.log(self.max_opd_nm / ABOVE_NM))


def draw(hills: Sequence[Hill], shape: tuple[int, int], pixel_um: float) -> NDArray[np.float32]:
    """Return the optical path difference; each hill alone ends where it falls below the threshold."""
    down, across = np.mgrid[: shape[0], : shape[1]] * pixel_um
    image = np.zeros(shape)
    for hill in hills:
        y, x = down - hill.row_um, across - hill.column_um
        along = math.cos(hill.angle) * y + math.sin(hill.angle) * x
        beside = -math.sin(hill.angle) * y + math.cos(hill.angle) * x
        height = hill.max_opd_nm * np.exp(-0.5 * ((along / hill.along_um) ** 2 + (beside / hill.across_um) ** 2))
        image += np.where(height > ABOVE_NM, height, 0.0)
    return image.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Field:
    hills: tuple[Hill, ...]
    shape: tuple[int, int]
    pixel_um: float

    @property
    def opd_nm(self) -> NDArray[np.float32]:
        return draw(self.hills, self.shape, self.pixel_um)

    @property
    def truth(self) -> CellTable:
        return CellTable.of_truths(self.hills, self.shape, self.pixel_um)


def lattice(shape: tuple[int, int], pixel_um: float, seed: int = 0, spacing_um: float = 50.0) -> Field:
    """Cells on a jittered lattice, none at the border."""
    rng = np.random.default_rng(seed)
    counts = [int(side * pixel_um // spacing_um) for side in shape]
    hills = [
        Hill(
            (i + 0.5) * spacing_um + rng.uniform(-5, 5),
            (k + 0.5) * spacing_um + rng.uniform(-5, 5),
            rng.uniform(50, 110),
            rng.uniform(5, 8),
            rng.uniform(3.5, 5),
            rng.uniform(0, math.pi),
        )
        for i in range(counts[0])
        for k in range(counts[1])
    ]
    return Field(tuple(hills), shape, pixel_um)


def random_places(shape: tuple[int, int], count: int, apart_px: float, seed: int = 0) -> NDArray[np.float64]:
    """Return places in the frame, none nearer to another than a distance."""
    rng = np.random.default_rng(seed)
    places: list[NDArray[np.float64]] = []
    while len(places) < count:
        place = rng.uniform((0, 0), (shape[0] - 1, shape[1] - 1))
        if not places or np.hypot(*(np.array(places) - place).T).min() > apart_px:
            places.append(place)
    return np.array(places)
