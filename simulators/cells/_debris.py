"""Debris: grains far smaller than a cell, alone or in clusters, that are no cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from microscoped.simulators.optics import FloatArray

MOST_IN_CLUSTER = 4
REACH = 3.0
"""In radii; beyond it nothing is left of a grain."""


class Grain(NamedTuple):
    """A grain with the profile height·exp(−(r/radius)²); its middle as of `CellTruth`."""

    row_um: float
    column_um: float
    radius_um: float
    height_nm: float


def draw_cluster(rng: np.random.Generator, row_um: float, column_um: float) -> tuple[Grain, ...]:
    """Return 1 … 4 grains of 0.6 … 1.8 µm and 10 … 100 nm near a place."""
    count = 1 + int(rng.binomial(MOST_IN_CLUSTER - 1, 0.2))
    grains = []
    for k in range(count):
        away = rng.normal(0.0, 1.8, 2) if k else np.zeros(2)
        radius, height = float(rng.uniform(0.6, 1.8)), float(np.clip(rng.lognormal(math.log(30.0), 0.6), 10.0, 100.0))
        grains.append(Grain(row_um + float(away[0]), column_um + float(away[1]), radius, height))
    return tuple(grains)


def add_grain(grain: Grain, opd_nm: FloatArray, pixel_um: float, origin_um: tuple[float, float]) -> None:
    """Add a grain to a map, sampled at half pixels and averaged.

    Parameters
    ----------
    grain
        What to add.
    opd_nm
        The map, shape (rows, columns); changed.
    pixel_um
        Size of its pixels.
    origin_um
        Place (row, column) of the middle of its first pixel.
    """
    profiles, windows = [], []
    for place, origin, size in zip((grain.row_um, grain.column_um), origin_um, opd_nm.shape, strict=True):
        middle = (place - origin) / pixel_um
        reach = REACH * grain.radius_um / pixel_um
        first, last = max(math.floor(middle - reach), 0), min(math.ceil(middle + reach) + 1, size)
        if first >= last:
            return
        halves = (np.arange(first, last)[:, None] + np.array([-0.25, 0.25]) - middle) * (pixel_um / grain.radius_um)
        # The profile is a product of one over the rows and one over the columns.
        profiles.append(np.exp(-(halves**2)).mean(axis=1).astype(np.float32))
        windows.append(slice(first, last))
    opd_nm[windows[0], windows[1]] += np.float32(grain.height_nm) * profiles[0][:, None] * profiles[1]


__all__ = ["Grain", "add_grain", "draw_cluster"]
