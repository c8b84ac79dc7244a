"""Cells of given size: stretched, raised and steepened until they measure what they shall."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.cells._pose import Pose
from microscoped.simulators.cells._render import render
from microscoped.simulators.cells._truth import (
    AREA_ABOVE_NM,
    REFRACTIVE_INCREMENT_UM3_PER_PG,
    CellMeasures,
    measure,
)

if TYPE_CHECKING:
    from microscoped.simulators.cells._shape import CellShape

PIXEL_UM = 1.67
"""Pixels on which a cell shall measure what it shall: those of Allier 2022, §2.1."""
STEPS = 5
STRETCH = (0.6, 1.6)
EDGE_UM = (0.7, 15.0)


@dataclass(frozen=True, slots=True)
class Targets:
    """What a cell shall measure.

    Parameters
    ----------
    area_um2, length_um, max_opd_nm
        See `CellMeasures`.
    fullness
        Mean optical path difference over the greatest; domes, whose form fixes it, take what comes.
    """

    area_um2: float
    length_um: float
    max_opd_nm: float
    fullness: float


def fitted(shape: CellShape, targets: Targets) -> CellShape:
    """Return a cell whose measures are near to the targets, mostly to 1 %."""
    for _ in range(STEPS):
        measures, lies_along = _measured(shape)
        longer = _between(targets.length_um / measures.length_um, *STRETCH)
        shorter = _between(targets.area_um2 / measures.area_um2 / longer, *STRETCH)
        along, across = (longer, shorter) if lies_along else (shorter, longer)
        edge = shape.edge_um
        if shape.dome == 1.0:
            volume = 1e3 * REFRACTIVE_INCREMENT_UM3_PER_PG * measures.dry_mass_pg
            lacking = 1.0 - volume / (measures.area_um2 * measures.max_opd_nm)
            edge *= _between((1.0 - targets.fullness) / max(lacking, 0.02), 0.5, 2.0) ** 1.5
        else:
            edge *= math.sqrt(along * across)
        nucleus_share, lamellae = shape.nucleus_share, shape.lamellae
        if edge < EDGE_UM[0]:
            # The steepest wall is not enough: the cell must be flatter on top, and its sheets thicker.
            nucleus_share *= 0.5
            lamellae = tuple((sheet, min(1.4 * height, 0.7 * shape.height_nm)) for sheet, height in lamellae)
        shape = replace(
            shape,
            height_nm=shape.height_nm * targets.max_opd_nm / measures.max_opd_nm,
            edge_um=_between(edge, *EDGE_UM),
            nucleus_share=nucleus_share,
            lamellae=lamellae,
        ).scaled(along, across)
    # The height last, alone: it bears on the mass as well and is met at once.
    return replace(shape, height_nm=shape.height_nm * targets.max_opd_nm / _measured(shape)[0].max_opd_nm)


def _measured(shape: CellShape) -> tuple[CellMeasures, bool]:
    """Return what a cell measures, and whether it is longer along its own x than along y."""
    across, down = shape.reach_um
    rows, columns = (2 * math.ceil(reach / PIXEL_UM) + 1 for reach in (down, across))
    centre = (rows - 1) / 2.0, (columns - 1) / 2.0
    opd_nm = render(shape, Pose(), centre, (rows, columns), PIXEL_UM)
    inside = opd_nm > AREA_ABOVE_NM
    spread = [
        float(inside.sum(axis=1 - axis) @ (np.arange(n) - middle) ** 2)
        for axis, (n, middle) in enumerate(zip((rows, columns), centre, strict=True))
    ]
    return measure(opd_nm, PIXEL_UM), spread[1] >= spread[0]


def _between(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


__all__ = ["Targets", "fitted"]
