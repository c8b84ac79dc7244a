"""How well a table agrees with the truth, over fields.

Cells are paired within 10 µm by the assignment that makes the most pairs and, of those, has the least sum of distances.
A quantity's figures are of the pairs: R² about the identity, not of a fitted line; slope and intercept of the truth on
the prediction, so that 1 and 0 mean that a prediction may be believed as it stands; the error's robust standard
deviation 1.4826·median|e − median e| (Allier 2022, eq. 6). R² rises with the population's own spread, so that is told,
too. Intervals are of 90 %, from resampling whole fields: cells of one field are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from microscoped.models.cells._assignment import assign, near_pairs
from microscoped.models.cells.errors import SettingsError
from microscoped.models.cells.quantities import Quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.models.cells.measures import CellTable

PAIRING_UM: Final = 10.0
NORMAL_MAD: Final = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A score, and the 90 % interval that resampled fields give it; the interval is NaN with fewer than two fields."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """Which cells were found.

    Parameters
    ----------
    true, found, paired
        Cells that count: in truth, in the tables, in both.
    precision, recall, f1
        NaN where nothing was found, or there was nothing to find.
    """

    true: int
    found: int
    paired: int
    precision: Figure
    recall: Figure
    f1: Figure


@dataclass(frozen=True, slots=True)
class QuantityScore:
    """How well a quantity was measured, in its own unit.

    Parameters
    ----------
    count
        Pairs in which it was measured.
    mean, sd
        Of the truth.
    r2
        About the identity: 1 − ∑(p − t)² / ∑(t − mean t)².
    correlation2
        Square of the correlation, what a fitted line explains: the paper's r².
    slope, intercept
        Of the truth on the prediction.
    error_mad, bias
        Robust standard deviation and median of p − t.
    covered
        Share of pairs whose truth lies in the prediction's 90 % interval; NaN where none is given.
    """

    count: int
    mean: float
    sd: float
    r2: Figure
    correlation2: Figure
    slope: Figure
    intercept: Figure
    error_mad: Figure
    bias: Figure
    covered: Figure


@dataclass(frozen=True, slots=True)
class Scores:
    """Detection, and each quantity."""

    detection: DetectionScore
    quantities: Mapping[Quantity, QuantityScore]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which rows of two tables are one cell.

    Parameters
    ----------
    true, found
        Rows of the truth and of the measurement, pair by pair.
    counted
        Whether a pair counts.
    missed, false
        Rows without a partner that count: of the truth, of the measurement.
    """

    true: NDArray[np.int64]
    found: NDArray[np.int64]
    counted: NDArray[np.bool_]
    missed: NDArray[np.int64]
    false: NDArray[np.int64]


def pair_cells(truth: CellTable, found: CellTable, reach_um: float = PAIRING_UM, *, border: bool = False) -> Pairing:
    """Pair the cells of a table with the true ones.

    Parameters
    ----------
    truth, found
        Of one field.
    reach_um
        Greatest distance of a pair.
    border
        Whether cells at the border count. Where they do not, they are paired all the same, so that whoever finds them
        is not blamed for it, and cells found without a partner count unless they are at the border themselves.
    """
    if not reach_um > 0:
        raise SettingsError(f"reach_um {reach_um}: must be positive")
    first, second, distance = near_pairs(truth.places_um, found.places_um, reach_um)
    # A price that no sum of distances reaches makes as many pairs as there can be.
    made = assign(first, second, distance, reach_um * (min(len(truth), len(found)) + 1))
    one, other = first[made], second[made]
    missed = np.setdiff1d(np.arange(len(truth)), one)
    false = np.setdiff1d(np.arange(len(found)), other)
    if border:
        return Pairing(one, other, np.ones(len(one), bool), missed, false)
    return Pairing(one, other, ~truth.border[one], missed[~truth.border[missed]], false[~found.border[false]])


def score(
    fields: Sequence[tuple[CellTable, CellTable]],
    *,
    reach_um: float = PAIRING_UM,
    border: bool = False,
    resamples: int = 500,
    seed: int = 0,
) -> Scores:
    """Score tables.

    Parameters
    ----------
    fields
        Truth and measurement of each.
    reach_um, border
        See `pair_cells`.
    resamples
        How often fields are drawn anew, with replacement, for the intervals.
    seed
        Of these draws.

    Raises
    ------
    SettingsError
        There is no field.
    """
    if not fields:
        raise SettingsError("fields: none; give one field at least")
    pairings = [pair_cells(truth, found, reach_um, border=border) for truth, found in fields]
    counts = np.array([(one.counted.sum(), len(one.missed), len(one.false)) for one in pairings], np.float64)
    draws = np.random.default_rng(seed).integers(0, len(fields), (resamples if len(fields) > 1 else 0, len(fields)))
    sums = [counts[draw].sum(axis=0) for draw in draws]
    total = counts.sum(axis=0)
    paired, missed, false = (int(one) for one in total)
    detection = DetectionScore(
        true=paired + missed,
        found=paired + false,
        paired=paired,
        precision=_figure(_precision(total), [_precision(one) for one in sums]),
        recall=_figure(_recall(total), [_recall(one) for one in sums]),
        f1=_figure(_f1(total), [_f1(one) for one in sums]),
    )
    return Scores(detection, {quantity: _quantity(quantity, fields, pairings, draws) for quantity in Quantity})


def _precision(counts: NDArray[np.float64]) -> float:
    return _ratio(counts[0], counts[0] + counts[2])


def _recall(counts: NDArray[np.float64]) -> float:
    return _ratio(counts[0], counts[0] + counts[1])


def _f1(counts: NDArray[np.float64]) -> float:
    return _ratio(2.0 * counts[0], 2.0 * counts[0] + counts[1] + counts[2])


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _figure(value: float, resampled: Sequence[float]) -> Figure:
    known = [one for one in resampled if one == one]
    low, high = np.percentile(known, (5, 95)) if known else (np.nan, np.nan)
    return Figure(value, float(low), float(high))


def _quantity(
    quantity: Quantity,
    fields: Sequence[tuple[CellTable, CellTable]],
    pairings: Sequence[Pairing],
    draws: NDArray[np.int64],
) -> QuantityScore:
    samples = []
    for (truth, found), pairing in zip(fields, pairings, strict=True):
        one, other = pairing.true[pairing.counted], pairing.found[pairing.counted]
        rows = np.stack(
            [truth.column(quantity)[one], found.column(quantity)[other], found.half_widths(quantity)[other]]
        )
        samples.append(rows[:, np.isfinite(rows[:2]).all(axis=0)])
    everything = np.concatenate(samples, axis=1)
    redrawn = [np.concatenate([samples[k] for k in draw], axis=1) for draw in draws]
    figures = {
        name: _figure(statistic(everything), [statistic(one) for one in redrawn])
        for name, statistic in STATISTICS.items()
    }
    true = everything[0]
    mean, sd = (float(true.mean()), float(true.std())) if true.size else (float("nan"), float("nan"))
    return QuantityScore(count=true.size, mean=mean, sd=sd, **figures)


def _r2(rows: NDArray[np.float64]) -> float:
    true, found, _ = rows
    return 1.0 - _ratio(((found - true) ** 2).sum(), ((true - true.mean()) ** 2).sum()) if true.size > 1 else np.nan


def _covariances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cov(rows[:2], ddof=0) if rows.shape[1] > 1 else np.zeros((2, 2))


def _correlation2(rows: NDArray[np.float64]) -> float:
    spread = _covariances(rows)
    return _ratio(spread[0, 1] ** 2, spread[0, 0] * spread[1, 1])


def _slope(rows: NDArray[np.float64]) -> float:
    spread = _covariances(rows)
    return _ratio(spread[0, 1], spread[1, 1])


def _intercept(rows: NDArray[np.float64]) -> float:
    return float(rows[0].mean() - _slope(rows) * rows[1].mean()) if rows.size else np.nan


def _error_mad(rows: NDArray[np.float64]) -> float:
    error = rows[1] - rows[0]
    return NORMAL_MAD * float(np.median(np.abs(error - np.median(error)))) if error.size else np.nan


def _bias(rows: NDArray[np.float64]) -> float:
    return float(np.median(rows[1] - rows[0])) if rows.size else np.nan


def _covered(rows: NDArray[np.float64]) -> float:
    known = rows[:, np.isfinite(rows[2])]
    return _ratio(float((np.abs(known[1] - known[0]) <= known[2]).sum()), known.shape[1])


STATISTICS: Final[Mapping[str, Callable[[NDArray[Any]], float]]] = {
    "r2": _r2,
    "correlation2": _correlation2,
    "slope": _slope,
    "intercept": _intercept,
    "error_mad": _error_mad,
    "bias": _bias,
    "covered": _covered,
}

__all__ = ["DetectionScore", "Figure", "Pairing", "QuantityScore", "Scores", "pair_cells", "score"]
