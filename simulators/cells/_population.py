"""Populations of adherent cells: those of Allier 2022, Table 1, by their moments, and a wide one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from microscoped.simulators.cells._draw import draw_rounded, draw_spread
from microscoped.simulators.cells._fit import Targets
from microscoped.simulators.cells._truth import REFRACTIVE_INCREMENT_UM3_PER_PG

if TYPE_CHECKING:
    import numpy as np

    from microscoped.simulators.cells._shape import CellShape

CUT = 2.5
"""Normal distributions are cut so many standard deviations from the mean, and widened to keep their own."""
WIDENED = 1.0 / 0.95463
"""Over the standard deviation of a normal distribution cut at 2.5 of its own."""
LEAST_ELONGATION = 1.06
GREATEST_ELONGATION = 3.5
LEAST = 0.2
"""A spread cell has at least so much of the mean area and of the mean height."""
DOME_FULLNESS = 0.555
"""Mean over greatest optical path difference of rounded cells, as they come out."""
DAUGHTER_AREA, DAUGHTER_HEIGHT = 0.7, 0.9
"""Of a daughter cell, relative to other rounded cells."""


class Moments(NamedTuple):
    """Mean and standard deviation."""

    mean: float
    sd: float

    @property
    def square(self) -> float:
        """Mean of the square."""
        return self.mean**2 + self.sd**2


ROUND_AREA_UM2, ROUND_MAX_OPD_NM = Moments(330.0, 40.0), Moments(130.0, 15.0)
"""Of rounded cells as a lens-free microscope shows them: few, and far from as tall as they are."""


class TableRow(NamedTuple):
    """A population of Allier 2022, Table 1: moments of the cells' measures."""

    area_um2: Moments
    dry_mass_pg: Moments
    max_opd_nm: Moments
    length_um: Moments


TABLE_1 = {
    183: TableRow(Moments(584.8, 157.9), Moments(184.9, 44.7), Moments(79.4, 20.8), Moments(40.4, 11.2)),
    255: TableRow(Moments(641.3, 175.5), Moments(194.9, 49.7), Moments(75.5, 17.0), Moments(42.3, 11.5)),
    364: TableRow(Moments(673.7, 175.9), Moments(209.0, 55.3), Moments(76.8, 16.5), Moments(42.9, 11.2)),
    527: TableRow(Moments(655.0, 166.4), Moments(203.4, 55.8), Moments(74.7, 15.9), Moments(40.0, 9.4)),
}
"""The four populations of mouse fibroblasts, by their density in cells per square millimetre."""


@dataclass(frozen=True, slots=True)
class PopulationParameters:
    """What cells lie on the dish.

    Area and height of spread cells are normally distributed and correlated (a cell that spreads grows flat); fullness
    is normal; elongation above nearly that of a disc has a gamma distribution.

    Parameters
    ----------
    density_per_mm2
        Least and greatest density of cells; a field has one between.
    area_um2, max_opd_nm
        Of spread cells.
    area_opd_correlation
        Between the two.
    fullness
        Mean over greatest optical path difference of a spread cell.
    elongation
        Length over the diameter of the circle of equal area, of spread cells.
    round_share, dividing_share
        Part of the cells that are rounded; that are one of two daughters still touching.
    round_area_um2, round_max_opd_nm
        Of rounded cells; those of daughters are 0.7 and 0.9 times as great.
    neighbours
        Part of the cells that are set against another, as far as there is room.
    debris_per_mm2
        Least and greatest density of debris.

    Raises
    ------
    ValueError
        A density or share is out of its range.
    """

    density_per_mm2: tuple[float, float]
    area_um2: Moments
    max_opd_nm: Moments
    area_opd_correlation: float
    fullness: Moments
    elongation: Moments
    round_share: float = 0.01
    dividing_share: float = 0.006
    round_area_um2: Moments = ROUND_AREA_UM2
    round_max_opd_nm: Moments = ROUND_MAX_OPD_NM
    neighbours: float = 0.2
    debris_per_mm2: tuple[float, float] = (10.0, 30.0)

    def __post_init__(self) -> None:
        for name in ("density_per_mm2", "debris_per_mm2"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} is ({low}, {high}), but must rise from 0 or more")
        if min(self.round_share, self.dividing_share) < 0 or self.round_share + self.dividing_share > 1:
            raise ValueError(
                f"round_share {self.round_share} and dividing_share {self.dividing_share} must be shares of the cells"
            )
        if not 0 <= self.neighbours <= 1 or not -1 < self.area_opd_correlation < 1:
            raise ValueError(
                f"neighbours {self.neighbours} must lie in 0 … 1, "
                f"area_opd_correlation {self.area_opd_correlation} between −1 and 1"
            )

    @classmethod
    def matched(cls, density_per_mm2: int = 255) -> PopulationParameters:
        """Return a population whose cells have the moments of Allier 2022, Table 1, rounded cells included.

        Parameters
        ----------
        density_per_mm2
            183, 255, 364 or 527.

        Raises
        ------
        ValueError
            The table has no such density.
        """
        if density_per_mm2 not in TABLE_1:
            raise ValueError(f"density_per_mm2 is {density_per_mm2}, but must be one of {sorted(TABLE_1)}")
        return _solved(float(density_per_mm2), TABLE_1[density_per_mm2])

    @classmethod
    def wide(cls) -> PopulationParameters:
        """Return a population for training: all densities, from flat cells to tall mitotic ones that wrap the phase."""
        return cls(
            density_per_mm2=(30.0, 560.0),
            area_um2=Moments(680.0, 230.0),
            max_opd_nm=Moments(85.0, 26.0),
            area_opd_correlation=-0.35,
            fullness=Moments(0.68, 0.06),
            elongation=Moments(1.5, 0.4),
            round_share=0.05,
            dividing_share=0.03,
            round_area_um2=Moments(320.0, 70.0),
            round_max_opd_nm=Moments(300.0, 90.0),
            neighbours=0.35,
            debris_per_mm2=(0.0, 120.0),
        )

    def draw(self, rng: np.random.Generator) -> CellShape:
        """Return a random cell; a daughter comes without its sister."""
        chance = float(rng.uniform())
        if chance < self.round_share:
            area, height = _normal(rng, self.round_area_um2), _normal(rng, self.round_max_opd_nm)
            return draw_rounded(rng, _dome(rng, area, height), "round")
        if chance < self.round_share + self.dividing_share:
            return self.draw_daughter(rng)
        first, second = _deviate(rng), _deviate(rng)
        rho = self.area_opd_correlation
        area = self.area_um2.mean + self.area_um2.sd * first
        height = self.max_opd_nm.mean + self.max_opd_nm.sd * (rho * first + math.sqrt(1.0 - rho * rho) * second)
        above = self.elongation.mean - LEAST_ELONGATION
        stretch = float(rng.gamma((above / self.elongation.sd) ** 2, self.elongation.sd**2 / above))
        area = max(area, LEAST * self.area_um2.mean)
        diameter = math.sqrt(4.0 * area / math.pi)
        targets = Targets(
            area_um2=area,
            length_um=diameter * min(LEAST_ELONGATION + stretch, GREATEST_ELONGATION),
            max_opd_nm=max(height, LEAST * self.max_opd_nm.mean),
            fullness=_normal(rng, self.fullness),
        )
        return draw_spread(rng, targets)

    def draw_daughter(self, rng: np.random.Generator) -> CellShape:
        """Return a random cell that has just divided, without its sister."""
        area, height = _normal(rng, self.round_area_um2), _normal(rng, self.round_max_opd_nm)
        return draw_rounded(rng, _dome(rng, area * DAUGHTER_AREA, height * DAUGHTER_HEIGHT), "dividing")


def draw_mitotic(rng: np.random.Generator, area_um2: float, dry_mass_pg: float) -> CellShape:
    """Return a random cell in mitosis of a given area and, nearly, a given dry mass."""
    height = 1e3 * REFRACTIVE_INCREMENT_UM3_PER_PG * dry_mass_pg / (DOME_FULLNESS * area_um2)
    return draw_rounded(rng, _dome(rng, area_um2, height), "round")


def _dome(rng: np.random.Generator, area: float, height: float) -> Targets:
    length = math.sqrt(4.0 * area / math.pi) * float(rng.uniform(LEAST_ELONGATION, 1.2))
    return Targets(area, length, height, DOME_FULLNESS)


def _solved(density: float, row: TableRow) -> PopulationParameters:
    """Return the population whose cells, rounded ones included, have the moments of a row of the table."""
    fullness_cv, round_share, dividing_share = 0.045, 0.01, 0.006
    round_area, round_height = ROUND_AREA_UM2, ROUND_MAX_OPD_NM
    domes = (
        (round_share, round_area, round_height),
        (
            dividing_share,
            Moments(round_area.mean * DAUGHTER_AREA, round_area.sd * DAUGHTER_AREA),
            Moments(round_height.mean * DAUGHTER_HEIGHT, round_height.sd * DAUGHTER_HEIGHT),
        ),
    )
    area = _without(row.area_um2, [(share, a) for share, a, _ in domes])
    height = _without(row.max_opd_nm, [(share, h) for share, _, h in domes])
    mass = _without(row.dry_mass_pg, [(share, _product(a, h, DOME_FULLNESS / 180.0)) for share, a, h in domes])
    length = _without(
        row.length_um, [(share, Moments(1.13 * math.sqrt(4.0 * a.mean / math.pi), 1.5)) for share, a, _ in domes]
    )
    # Mass = fullness·area·height/180. With fullness independent and (area, height) normal, the relative mean square of
    # the mass gives a quadratic equation for their covariance c:
    # (E[A²]E[H²] + 4·A·H·c + 2c²) / (A·H + c)² = (1 + cv(mass)²)/(1 + cv(fullness)²).
    ratio = mass.square / mass.mean**2 / (1.0 + fullness_cv**2)
    middle = area.mean * height.mean
    a = 2.0 - ratio
    b = (4.0 - 2.0 * ratio) * middle
    c = area.square * height.square - ratio * middle**2
    covariance = (-b + math.sqrt(b * b - 4.0 * a * c)) / (2.0 * a)
    fullness = 180.0 * mass.mean / (middle + covariance)
    # Length = elongation·√(4·area/π), independent; the mean root of a normal area to the fourth order.
    cv2 = (area.sd / area.mean) ** 2
    diameter = math.sqrt(4.0 * area.mean / math.pi) * (1.0 - cv2 / 8.0 - 15.0 * cv2**2 / 128.0)
    elongation = length.mean / diameter
    elongation2 = length.square / (4.0 * area.mean / math.pi)
    return PopulationParameters(
        density_per_mm2=(density, density),
        area_um2=area,
        max_opd_nm=height,
        area_opd_correlation=covariance / (area.sd * height.sd),
        fullness=Moments(fullness, fullness_cv * fullness),
        elongation=Moments(elongation, math.sqrt(elongation2 - elongation**2)),
        round_share=round_share,
        dividing_share=dividing_share,
        round_area_um2=round_area,
        round_max_opd_nm=round_height,
    )


def _without(total: Moments, parts: list[tuple[float, Moments]]) -> Moments:
    """Return the moments of what is left of a mixture without some of its parts."""
    left = 1.0 - sum(share for share, _ in parts)
    mean = (total.mean - sum(share * part.mean for share, part in parts)) / left
    square = (total.square - sum(share * part.square for share, part in parts)) / left
    return Moments(mean, math.sqrt(square - mean**2))


def _product(first: Moments, second: Moments, factor: float) -> Moments:
    """Return the moments of the product of two independent quantities, times a factor."""
    mean = first.mean * second.mean
    return Moments(factor * mean, factor * math.sqrt(first.square * second.square - mean**2))


def _deviate(rng: np.random.Generator) -> float:
    """Return a normal deviate cut at ± 2.5, widened to a standard deviation of 1."""
    while True:
        value = float(rng.standard_normal())
        if abs(value) <= CUT:
            return value * WIDENED


def _normal(rng: np.random.Generator, moments: Moments) -> float:
    return moments.mean + moments.sd * _deviate(rng)


__all__ = ["TABLE_1", "Moments", "PopulationParameters", "TableRow", "draw_mitotic"]
