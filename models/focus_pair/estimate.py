"""From what the network says of each tile to one estimate for the field: value, interval, or an abstention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Choice = Literal["nearest", "upper", "lower"]

CONTENT_FLOOR = 0.003
"""Least contrast (standard deviation over mean, on a scale of 4 λ/NA) that a tile must have to count."""
COARSE = 4
"""Samples along each side of the blocks on which contrast is judged."""
MIN_ERROR_DOF = 0.02
"""Least expected error that a tile is weighted by."""
MODE_GAP_DOF = 2.0
"""Least distance between two groups of tiles that are told apart as two planes."""
MODE_SHARE = 0.25
"""Least part of the weight that each of two planes must have."""
PLANE_TILES = 6
"""Tiles from which on a tilt is fitted."""
INTERVAL_FACTOR = 1.82
"""Half the width of the 90 % interval over the expected error, fixed on stains that are neither trained nor tested on
(``models evaluate focus_pair``)."""


@dataclass(frozen=True, slots=True)
class EstimateSettings:
    """How tiles become an estimate.

    Parameters
    ----------
    interval_factor
        Half the width of the 90 % interval over the expected error: `INTERVAL_FACTOR`, or fixed on the user's own
        microscope.
    abstain_above_dof
        Expected error of a field, in depths of field, above which there is no estimate.
    choose
        Which of two planes is reported first: the one nearest to the second image, or the upper or lower one.
    """

    interval_factor: float = INTERVAL_FACTOR
    abstain_above_dof: float = 2.5
    choose: Choice = "nearest"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The defocus of the second image; lengths in depths of field.

    Parameters
    ----------
    defocus_dof
        The estimate, ``None`` where it abstains.
    interval_dof
        90 % interval around it.
    expected_error_dof
        What the interval is made from.
    reason
        Why it abstains, or an empty text.
    modes_dof
        One or two planes; the first is ``defocus_dof``.
    spread_dof
        Median absolute deviation of the tiles, scaled to a standard deviation.
    tiles, tiles_used
        Tiles that were read, and those with content.
    tilt_dof
        Change of the defocus across the field, along x and along y; ``None`` where it cannot be told.
    """

    defocus_dof: float | None
    interval_dof: tuple[float, float] | None
    expected_error_dof: float
    reason: str
    modes_dof: tuple[float, ...]
    spread_dof: float
    tiles: int
    tiles_used: int
    tilt_dof: tuple[float, float] | None


def coarsened(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average blocks of 4 × 4 samples, over which noise averages out; what is left over at the far borders is cut."""
    channels, rows, columns = plane.shape
    blocks = plane[:, : rows // COARSE * COARSE, : columns // COARSE * COARSE]
    blocks = blocks.reshape(channels, rows // COARSE, COARSE, columns // COARSE, COARSE)
    return np.asarray(blocks.sum(axis=2).sum(axis=3) / np.float32(COARSE**2), np.float32)


def content(coarse: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the contrast of tiles without their slope.

    Parameters
    ----------
    coarse
        From `coarsened`, relative to the frame's mean, shape (..., channels, rows, columns).

    Returns
    -------
    Shape (...).
    """
    flat = coarse - coarse.mean(axis=(-2, -1), keepdims=True)
    y = np.linspace(-1.0, 1.0, coarse.shape[-2], dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, coarse.shape[-1], dtype=np.float32)[None, :]
    for ramp in (y, x):
        flat -= np.mean(flat * ramp, axis=(-2, -1), keepdims=True) / np.mean(ramp**2) * ramp
    return np.asarray(np.sqrt(np.mean(flat**2, axis=(-3, -2, -1))), np.float64)


def weighted_median(values: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """Return the value at which half of the weight lies on either side."""
    order = np.argsort(values)
    heap = np.cumsum(weights[order])
    reached = int(np.searchsorted(heap, 0.5 * heap[-1]))
    upper = values[order[min(reached, values.size - 1)]]
    if np.isclose(heap[reached], 0.5 * heap[-1]) and reached + 1 < values.size:
        return float(0.5 * (upper + values[order[reached + 1]]))
    return float(upper)


def estimate(
    defocus_dof: NDArray[np.floating],
    expected_error_dof: NDArray[np.floating],
    contents: NDArray[np.floating],
    places: Sequence[tuple[float, float]],
    settings: EstimateSettings | None = None,
) -> Estimate:
    """Combine tiles: the median over those with content (Dastidar 2020, §3.1), each weighted by its expected precision.

    Parameters
    ----------
    defocus_dof, expected_error_dof
        From the network, shape (tiles,).
    contents
        From `content`, shape (tiles,).
    places
        Centres (x, y) of the tiles as parts of the field, −0.5 … 0.5.
    settings
        Factors and limits.
    """
    s = settings or EstimateSettings()
    used = contents >= CONTENT_FLOOR
    tiles = int(used.size)
    if not used.any():
        return _abstention("empty", float("inf"), 0.0, tiles, 0)
    values, errors = defocus_dof[used].astype(float), expected_error_dof[used].astype(float)
    weights = 1.0 / np.maximum(errors, MIN_ERROR_DOF)
    groups = _groups(values, weights)
    ranked = sorted((weighted_median(values[g], weights[g]), k) for k, g in enumerate(groups))
    if s.choose == "nearest":
        ranked.sort(key=lambda mode: abs(mode[0]))
    elif s.choose == "upper":
        ranked.reverse()
    centre, chosen = ranked[0]
    members = groups[chosen]
    spread = 1.4826 * weighted_median(np.abs(values[members] - centre), weights[members])
    error = float(np.hypot(weighted_median(errors[members], weights[members]), spread))
    if error > s.abstain_above_dof:
        return _abstention("uncertain", error, spread, tiles, int(used.sum()))
    half = s.interval_factor * error
    where = [place for place, is_used in zip(places, used, strict=True) if is_used]
    return Estimate(
        defocus_dof=centre,
        interval_dof=(centre - half, centre + half),
        expected_error_dof=error,
        reason="",
        modes_dof=tuple(value for value, _ in ranked),
        spread_dof=spread,
        tiles=tiles,
        tiles_used=int(used.sum()),
        tilt_dof=_tilt(np.array([where[k] for k in members]), values[members], weights[members]),
    )


def _abstention(reason: str, error: float, spread: float, tiles: int, used: int) -> Estimate:
    return Estimate(None, None, error, reason, (), spread, tiles, used, None)


def _groups(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Split tiles at their widest gap, if that makes two planes; return the indices of one or two groups."""
    order = np.argsort(values)
    if values.size >= 4:
        gaps = np.diff(values[order])
        cut = int(np.argmax(gaps)) + 1
        below, above = order[:cut], order[cut:]
        share = weights[below].sum() / weights.sum()
        widest = max(np.std(values[below]), np.std(values[above]))
        if gaps[cut - 1] >= max(MODE_GAP_DOF, 3.0 * widest) and MODE_SHARE <= share <= 1.0 - MODE_SHARE:
            return [below, above]
    return [order]


def _tilt(
    places: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Fit a plane by weighted least squares; return its rise across the field along x and y."""
    if len(values) < PLANE_TILES or np.ptp(places[:, 0]) == 0 or np.ptp(places[:, 1]) == 0:
        return None
    design = np.column_stack([np.ones(len(values)), places]) * weights[:, None]
    plane, _, rank, _ = np.linalg.lstsq(design, values * weights)
    return (float(plane[1]), float(plane[2])) if rank == 3 else None


__all__ = [
    "COARSE",
    "CONTENT_FLOOR",
    "INTERVAL_FACTOR",
    "MIN_ERROR_DOF",
    "Choice",
    "Estimate",
    "EstimateSettings",
    "coarsened",
    "content",
    "estimate",
    "weighted_median",
]
