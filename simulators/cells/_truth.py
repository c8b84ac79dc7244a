"""What is true of a cell: measured on the map of this cell alone, without noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from microscoped.simulators.cells._shape import CellKind
    from microscoped.simulators.optics import FloatArray

REFRACTIVE_INCREMENT_UM3_PER_PG = 0.18
"""Optical volume of a picogram of dry matter (Barer 1952; Allier 2022, §2.1)."""
AREA_ABOVE_NM = 5.0
"""A cell's area is where its optical path difference is above this."""


@dataclass(frozen=True, slots=True)
class CellMeasures:
    """The quantities of Allier 2022, §2.3, of the map of one cell.

    Parameters
    ----------
    row_px, column_px
        Centroid of mass; 0 is the middle of the first pixel.
    dry_mass_pg
        Integral of the optical path difference over the area, divided by the refractive increment.
    area_um2
        Where the optical path difference is above 5 nm.
    max_opd_nm
        The greatest optical path difference of a pixel.
    length_um
        Four times the root of the greater second moment of the area, the major axis of the ellipse with equal
        moments; a pixel counts as a square, as in scikit-image.
    """

    row_px: float
    column_px: float
    dry_mass_pg: float
    area_um2: float
    max_opd_nm: float
    length_um: float


@dataclass(frozen=True, slots=True)
class CellTruth:
    """What is true of a cell in a field; its values are those of the whole cell, also where the frame cuts it.

    Parameters
    ----------
    row_um, column_um
        Centroid of mass in the frame; 0 is the middle of the first pixel.
    dry_mass_pg, area_um2, max_opd_nm, length_um
        See `CellMeasures`.
    kind
        What the cell is doing.
    touching
        Whether its area meets another cell's, by an edge or a corner of a pixel at least.
    border
        Whether its area meets the frame's edge or is cut by it.
    """

    row_um: float
    column_um: float
    dry_mass_pg: float
    area_um2: float
    max_opd_nm: float
    length_um: float
    kind: CellKind
    touching: bool
    border: bool


def measure(opd_nm: FloatArray, pixel_um: float) -> CellMeasures:
    """Measure the map of one cell.

    Parameters
    ----------
    opd_nm
        Optical path difference of the cell alone, shape (rows, columns).
    pixel_um
        Size of its pixels.

    Raises
    ------
    ValueError
        Nothing is above 5 nm.
    """
    inside = opd_nm > AREA_ABOVE_NM
    down, across = np.arange(opd_nm.shape[0], dtype=float), np.arange(opd_nm.shape[1], dtype=float)
    by_row, by_column = inside.sum(axis=1), inside.sum(axis=0)
    count = int(by_row.sum())
    if not count:
        raise ValueError(f"no optical path difference above {AREA_ABOVE_NM} nm: there is no cell to measure")
    row, column = float(by_row @ down) / count, float(by_column @ across) / count
    down_around, across_around = down - row, across - column
    rows2 = float(by_row @ (down_around * down_around)) / count + 1.0 / 12.0
    columns2 = float(by_column @ (across_around * across_around)) / count + 1.0 / 12.0
    mixed = float(down_around @ (inside @ across_around)) / count
    greatest = 0.5 * (rows2 + columns2) + math.hypot(0.5 * (rows2 - columns2), mixed)
    heights_by_row = opd_nm.sum(axis=1, dtype=float)
    total = float(heights_by_row.sum())
    return CellMeasures(
        row_px=float(heights_by_row @ down) / total,
        column_px=float(opd_nm.sum(axis=0, dtype=float) @ across) / total,
        dry_mass_pg=total * 1e-3 * pixel_um**2 / REFRACTIVE_INCREMENT_UM3_PER_PG,
        area_um2=count * pixel_um**2,
        max_opd_nm=float(opd_nm.max()),
        length_um=4.0 * math.sqrt(greatest) * pixel_um,
    )


__all__ = ["AREA_ABOVE_NM", "REFRACTIVE_INCREMENT_UM3_PER_PG", "CellMeasures", "CellTruth", "measure"]
