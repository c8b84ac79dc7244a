"""What a microscope needs so that pairs can be trusted on it: nothing, a line, or a linear head of its own.

Each rung is judged on fields that it was not fitted to, by leaving out one field after another. A head is fitted only
where no line passes: all fields are of one slide, and with its hundreds of weights it learns the slide along with the
microscope, which serves no other slide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from microscoped.models.focus_pair.calibration.bars import Bars, shortfalls
from microscoped.models.focus_pair.calibration.figures import (
    Field,
    Figures,
    PairReading,
    Told,
    figures_of,
    joined,
    told_of,
)
from microscoped.models.focus_pair.correction import Correction
from microscoped.models.focus_pair.estimate import CONTENT_FLOOR, EstimateSettings

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

Rung = Literal["nothing", "line", "head", "deep"]
SIGNS = (1, -1)
LEAST_FIELDS = 2
SLOPES = (0.4, 2.5)
"""A line steeper or flatter than this is no correction."""
SIGN_MARGIN = 0.7
"""What the stage is said to do is believed unless the error the other way is less than this part of it: a thin specimen
looks nearly alike on both sides of the focus."""
WORTHWHILE = 0.9
"""Where no rung passes, the next one is taken if its error is less than this part of that of the one before."""
HUBER_DOF = 0.5
"""Residuals beyond it weigh less in the line's fit."""
LINE_ROUNDS = 20
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Ridge strengths that are tried, for features brought to unit variance."""
TINY = 1e-6
"""What keeps the equations solvable where nothing varies."""
INTERVAL_PART = 0.90
INTERVAL_RANGE = (0.2, 10.0)
"""What the factor of the interval may be."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What was fitted.

    Parameters
    ----------
    rung
        What it took.
    sign
        +1 where the plane in focus moves along the light as ``z_um`` rises, −1 where it moves against it.
    correction
        Of the network's answers.
    interval_factor
        Half the width of the 90 % interval over the expected error.
    figures
        On fields left out in turn.
    passed
        Whether these figures pass; if not, it is the best rung.
    """

    rung: Rung
    sign: int
    correction: Correction
    interval_factor: float
    figures: Figures
    passed: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Products of a field's tiles, so that a ridge fit to any fields is a sum and a solution.

    Parameters
    ----------
    gram
        Of the rows: features, what was read, and a constant.
    targets
        Of the rows with what is true.
    """

    gram: NDArray[np.float64]
    targets: NDArray[np.float64]


def fit(
    fields: Sequence[Field], settings: EstimateSettings, configured_sign: int, bars: Bars | None = None
) -> Generator[str, None, Fit]:
    """Climb the ladder; yields between pieces of work what it has just done, so that a thread may do other things.

    Parameters
    ----------
    fields
        At least `LEAST_FIELDS`, each with pairs read with either sign.
    settings
        How tiles become an estimate.
    configured_sign
        What the stage is said to do; 0 where nobody knows.
    bars
        What must be reached.

    Raises
    ------
    ValueError
        Too few fields.
    """
    if len(fields) < LEAST_FIELDS:
        raise ValueError(f"{len(fields)} fields: {LEAST_FIELDS} or more are needed to leave one out")
    bars = bars or Bars()
    sign = configured_sign or _better_sign(fields, settings)
    tries = [_judged("nothing", fields, sign, Correction(), [Correction()] * len(fields), settings, bars)]
    yield summary(tries[-1])
    lines = []
    for which in SIGNS:
        left_out = [_line(_others(fields, k), which, settings) for k in range(len(fields))]
        lines.append(_judged("line", fields, which, _line(fields, which, settings), left_out, settings, bars))
    tries.append(_preferred(lines, configured_sign))
    yield summary(tries[-1])
    return (yield from _with_head(tries, fields, settings, bars))


def fit_signed(
    fields: Sequence[Field], sign: int, settings: EstimateSettings, bars: Bars | None = None
) -> Generator[str, None, Fit]:
    """Climb the ladder where the sign is known; as `fit`.

    Parameters
    ----------
    fields, settings, bars
        As in `fit`.
    sign
        With which pairs are read.
    """
    bars = bars or Bars()
    plain, line = Correction(), _line(fields, sign, settings)
    left_out = [_line(_others(fields, k), sign, settings) for k in range(len(fields))]
    tries = [
        _judged("nothing", fields, sign, plain, [plain] * len(fields), settings, bars),
        _judged("line", fields, sign, line, left_out, settings, bars),
    ]
    yield summary(tries[-1])
    return (yield from _with_head(tries, fields, settings, bars))


def zero_shot(fields: Sequence[Field], settings: EstimateSettings, sign: int) -> Figures:
    """Return the figures without any correction."""
    return figures_of(told_of(fields, sign, Correction(), settings))


def _better_sign(fields: Sequence[Field], settings: EstimateSettings) -> int:
    return min(SIGNS, key=lambda sign: _or_worst(zero_shot(fields, settings, sign).mean_dof))


def _with_head(
    tries: list[Fit], fields: Sequence[Field], settings: EstimateSettings, bars: Bars
) -> Generator[str, None, Fit]:
    """Return the better of what passes; where nothing does, try a head, with the sign of the last try."""
    if not any(one.passed for one in tries):
        tries.append((yield from _head(fields, tries[-1].sign, settings, bars)))
    return best_of(tries)


def best_of(tries: Sequence[Fit]) -> Fit:
    """Return the best rung, of those that pass if any does; a higher one must be clearly better than those below."""
    tries = [one for one in tries if one.passed] or tries
    best = tries[0]
    for one in tries[1:]:
        best = one if _error(one) < WORTHWHILE * _error(best) else best
    return best


def _preferred(lines: Sequence[Fit], configured_sign: int) -> Fit:
    """Return the better line; the stage is said to run the other way only where that is clearly better."""
    best = min(lines, key=_error)
    said = next((line for line in lines if line.sign == configured_sign), best)
    return best if _error(best) < SIGN_MARGIN * _error(said) else said


def _or_worst(value: float | None) -> float:
    return float("inf") if value is None else value


def _error(one: Fit) -> float:
    return _or_worst(one.figures.mean_dof)


def _others(fields: Sequence[Field], k: int) -> list[Field]:
    return [*fields[:k], *fields[k + 1 :]]


def summary(one: Fit) -> str:
    """Return what is worth telling of a rung."""
    mean = one.figures.mean_dof
    return f"{one.rung}: mean error {'unknown' if mean is None else f'{mean:.2f} DoF'}"


def _judged(
    rung: Rung,
    fields: Sequence[Field],
    sign: int,
    correction: Correction,
    left_out: Sequence[Correction],
    settings: EstimateSettings,
    bars: Bars,
) -> Fit:
    """Judge a correction by those that were fitted to all fields but one."""
    told = [told_of([field], sign, other, settings) for field, other in zip(fields, left_out, strict=True)]
    return judged(rung, told, sign, correction, settings, bars)


def judged(
    rung: Rung, said: Sequence[Told], sign: int, correction: Correction, settings: EstimateSettings, bars: Bars
) -> Fit:
    """Judge what was said of fields by something that was fitted without them.

    Parameters
    ----------
    rung, sign, correction
        As in `Fit`.
    said
        Of each field, with the intervals of `settings`.
    settings, bars
        As in `fit`.
    """
    told = joined(said)
    factor = _interval_factor(told, settings.interval_factor)
    told = replace(told, half=told.half * (factor / settings.interval_factor))
    figures = figures_of(told)
    return Fit(rung, sign, correction, factor, figures, not shortfalls(figures, bars))


def _interval_factor(told: Told, present: float) -> float:
    """Return the factor with which 90 % of the intervals hold the truth."""
    answered = np.isfinite(told.value) & (told.half > 0)
    if not answered.any():
        return present
    ratios = np.abs(told.value - told.truth)[answered] / told.half[answered]
    low, high = INTERVAL_RANGE
    return float(np.clip(present * np.quantile(ratios, INTERVAL_PART), low, high))


def _behind(reading: PairReading) -> float:
    """Where the frame lies that the network read, as seen from the second frame (see `Correction.apply`)."""
    return reading.delta_dof if reading.delta_dof < 0 else 0.0


def _line(fields: Sequence[Field], sign: int, settings: EstimateSettings) -> Correction:
    """Fit a straight line through what was read and what is true, with Huber's weights."""
    rows = []
    for field in fields:
        for reading in field.readings[sign]:
            found = reading.estimate(Correction(), settings)
            if found.defocus_dof is not None:
                behind = _behind(reading)
                rows.append((found.defocus_dof - behind, field.truth_dof(reading, sign) - behind))
    if len(rows) < 3:
        return Correction()
    read, true = np.array(rows, float).T
    weights = np.ones(read.size)
    slope, offset = 1.0, 0.0
    for _ in range(LINE_ROUNDS):
        design = np.column_stack([read, np.ones(read.size)]) * np.sqrt(weights)[:, None]
        (slope, offset), *_ = np.linalg.lstsq(design, true * np.sqrt(weights))
        residuals = np.abs(true - slope * read - offset)
        weights = np.minimum(1.0, HUBER_DOF / np.maximum(residuals, 1e-6))
    if not SLOPES[0] <= slope <= SLOPES[1]:
        return Correction()
    return Correction(slope=float(slope), offset_dof=float(offset))


def _head(fields: Sequence[Field], sign: int, settings: EstimateSettings, bars: Bars) -> Generator[str, None, Fit]:
    """Fit a line together with a ridge head on the features; its strength by leaving out one field after another."""
    sums = []
    for field in fields:
        sums.append(_sums_of(field, sign))
        yield f"head: products of field {field.number}"
    left_out: dict[float, list[Correction]] = {strength: [] for strength in RIDGES}
    for k, field in enumerate(fields):
        for strength in RIDGES:
            left_out[strength].append(_ridge([*sums[:k], *sums[k + 1 :]], strength))
        yield f"head: without field {field.number}"
    judged = []
    for strength in RIDGES:
        correction = _ridge(sums, strength)
        judged.append(_judged("head", fields, sign, correction, left_out[strength], settings, bars))
        yield f"strength {strength:g}, {summary(judged[-1])}"
    return min(judged, key=_error)


def _sums_of(field: Field, sign: int) -> _Sums:
    gram: NDArray[np.float64] | None = None
    targets: NDArray[np.float64] | None = None
    for reading in field.readings[sign]:
        used = reading.contents >= CONTENT_FLOOR
        behind = _behind(reading)
        rows = np.column_stack(
            [reading.features[used].astype(float), reading.defocus_dof[used] - behind, np.ones(int(used.sum()))]
        )
        truth = np.full(len(rows), field.truth_dof(reading, sign) - behind)
        gram = rows.T @ rows if gram is None else gram + rows.T @ rows
        targets = rows.T @ truth if targets is None else targets + rows.T @ truth
    if gram is None or targets is None:
        raise ValueError(f"field {field.number} has no pairs")
    return _Sums(gram, targets)


def _ridge(sums: Sequence[_Sums], strength: float) -> Correction:
    """Solve for slope, constant and head in closed form; features are centred and brought to unit variance for it.

    Minimises Σ(truth − slope·read − w·x − b)² / n + strength · |w|² over n tiles, x being such features (Hoerl and
    Kennard, Technometrics 12:55, 1970). The line is not held back.
    """
    gram = np.sum([part.gram for part in sums], axis=0)
    targets = np.sum([part.targets for part in sums], axis=0)
    count = max(gram[-1, -1], 1.0)
    means, mean_truth = gram[:-1, -1] / count, targets[-1] / count
    covariance = gram[:-1, :-1] / count - np.outer(means, means)
    scales = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    scales = np.where(scales > 1e-6, scales, np.inf)
    correlation = covariance / np.outer(scales, scales)
    held_back = np.full(means.size, strength)
    held_back[-1] = TINY
    correlation[np.diag_indices_from(correlation)] += held_back
    weights = np.linalg.solve(correlation, (targets[:-1] / count - means * mean_truth) / scales) / scales
    constant = mean_truth - float(weights @ means)
    return Correction(slope=float(weights[-1]), head=np.append(weights[:-1], constant).astype(np.float32))


__all__ = [
    "LEAST_FIELDS",
    "RIDGES",
    "SIGNS",
    "Fit",
    "Rung",
    "best_of",
    "fit",
    "fit_signed",
    "judged",
    "summary",
    "zero_shot",
]
