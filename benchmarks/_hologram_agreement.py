"""How two measures of the same cells agree: the line through them, with bootstrap intervals over fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DRAWS = 5000
PERCENT = (2.5, 97.5)
FAR_UM = 1.0
"""Differences beyond this are counted as wrong minima."""


@dataclass(frozen=True)
class Pair:
    """One cell, measured twice.

    Parameters
    ----------
    field
        Number of the specimen that it is of: cells of one are resampled together.
    reference_um, found_um
        What the reference and what the method under test say; ``None`` where one abstained.
    """

    field: int
    reference_um: float | None
    found_um: float | None


def agreement(pairs: Sequence[Pair], *, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """Return slope and intercept of found on reference by least squares, and how far the two lie apart.

    Intervals are those of 95 % of bootstrap samples. Whole fields are drawn, because cells of one field share their
    instrument, its noise, and their distance.

    Parameters
    ----------
    pairs
        Those without either value are counted and left out.
    seed, draws
        Of the bootstrap.
    """
    both = [(pair.field, pair.reference_um, pair.found_um) for pair in pairs if _both(pair)]
    counted = {
        "cells": len(pairs),
        "both": len(both),
        "reference_abstained": sum(pair.reference_um is None for pair in pairs),
        "abstained": sum(pair.found_um is None for pair in pairs),
    }
    if len({field for field, _, _ in both}) < 2:
        return {**counted, "reason": "cells of two fields at least are needed"}
    fields, x, y = (np.array(column, float) for column in zip(*both, strict=True))
    away = y - x
    slope, intercept = line(x, y)
    slopes, intercepts = resampled(fields, x, y, np.random.default_rng(seed), draws)
    return {
        **counted,
        "fields": int(np.unique(fields).size),
        "slope": slope,
        "slope_interval": np.nanpercentile(slopes, PERCENT).tolist(),
        "intercept_um": intercept,
        "intercept_interval_um": np.nanpercentile(intercepts, PERCENT).tolist(),
        "r2_identity": float(1.0 - np.square(away).sum() / np.square(x - x.mean()).sum()),
        "mean_um": float(away.mean()),
        "median_um": float(np.median(np.abs(away))),
        "p95_um": float(np.percentile(np.abs(away), 95)),
        "max_um": float(np.abs(away).max()),
        "far": int((np.abs(away) > FAR_UM).sum()),
        "reference_mean_um": float(x.mean()),
        "reference_sd_um": float(x.std()),
    }


def line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and intercept of y on x by least squares."""
    slope, intercept = _lines(_sums(np.zeros(len(x)), x, y).sum(axis=0)[None])
    return float(slope[0]), float(intercept[0])


def resampled(
    groups: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    rng: np.random.Generator,
    draws: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slopes and intercepts of samples in which each group is drawn as a whole, with replacement.

    Parameters
    ----------
    groups
        Which group each point is of, shape (points,).
    x, y
        The points.
    rng, draws
        Where samples come from, and how many.
    """
    sums = _sums(groups, x, y)
    count = len(sums)
    times = rng.multinomial(count, np.full(count, 1.0 / count), size=draws)
    return _lines(times @ sums)


def _both(pair: Pair) -> bool:
    return pair.reference_um is not None and pair.found_um is not None


def _sums(groups: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return number, Σx, Σy, Σx² and Σxy of each group, shape (groups, 5): all that a line needs."""
    _, index = np.unique(groups, return_inverse=True)
    columns = (np.ones_like(x), x, y, x * x, x * y)
    return np.stack([np.bincount(index, weights=column) for column in columns], axis=1)


def _lines(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count, x, y, xx, xy = sums.T
    scatter = count * xx - x * x
    slope = np.where(scatter > 0, (count * xy - x * y) / np.where(scatter > 0, scatter, 1.0), np.nan)
    return slope, (y - slope * x) / count


__all__ = ["Pair", "agreement", "line", "resampled"]
