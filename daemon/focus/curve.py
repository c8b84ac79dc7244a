"""What a curve of scores over z says: peaks, dips, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter
from statistics import fmean
from typing import TYPE_CHECKING

from microscoped.daemon.focus._types import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Dip:
    """A valley between two higher places.

    Parameters
    ----------
    index
        Its lowest sample.
    lower, upper
        Scores of the lower and of the higher shoulder: the highest places before the curve falls below the dip again,
        or ends.
    depth
        How far the dip lies below the lower shoulder.
    """

    index: int
    lower: float
    upper: float
    depth: float


def ordered(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return the samples by rising z, those of one z merged into their mean."""
    by_z = sorted(samples, key=attrgetter("z_um"))
    return tuple(_merged(tuple(group)) for _, group in groupby(by_z, key=attrgetter("z_um")))


def _merged(samples: tuple[Sample, ...]) -> Sample:
    if len(samples) == 1:
        return samples[0]
    error = math.hypot(*(sample.error for sample in samples)) / len(samples)
    return Sample(samples[0].z_um, fmean(sample.score for sample in samples), error)


def top(curve: Sequence[Sample]) -> int:
    """Return the index of the highest score, the middle one of neighbours that share it."""
    first = last = max(range(len(curve)), key=lambda index: curve[index].score)
    while last + 1 < len(curve) and curve[last + 1].score == curve[first].score:
        last += 1
    return (first + last) // 2


def prominence(curve: Sequence[Sample], index: int) -> float:
    """Return how far the scores fall on both sides of `index`, the highest sample; 0 at the ends of the curve."""
    left, right = curve[:index], curve[index + 1 :]
    if not left or not right:
        return 0.0
    return curve[index].score - max(min(sample.score for sample in side) for side in (left, right))


def deepest_dip(curve: Sequence[Sample]) -> Dip | None:
    """Return the valley that lies deepest below its lower shoulder; None where the curve has no valley."""
    dips = [dip for index in range(1, len(curve) - 1) if (dip := _dip(curve, index)) is not None]
    return max(dips, key=attrgetter("depth"), default=None)


def _dip(curve: Sequence[Sample], index: int) -> Dip | None:
    score = curve[index].score
    left, right = _shoulder(curve[:index][::-1], score), _shoulder(curve[index + 1 :], score)
    lower, upper = sorted((left, right))
    return Dip(index, lower, upper, lower - score) if lower > score else None


def _shoulder(outward: Sequence[Sample], floor: float) -> float:
    """Return the highest score before the curve falls below `floor`."""
    highest = floor
    for sample in outward:
        if sample.score < floor:
            break
        highest = max(highest, sample.score)
    return highest


def scatter(curve: Sequence[Sample], index: int) -> float:
    """Return the standard deviation of the scores about a curve that rises to `index` and falls after it.

    The best such curve is two monotone regressions, by pooling adjacent violators (Barlow et al., *Statistical
    Inference under Order Restrictions*, Wiley, 1972, §1.2). It follows noise in part; the degrees of freedom of a
    parabola are taken off.
    """
    scores = [sample.score for sample in curve]
    fit = [*_rising(scores[: index + 1]), *_rising(scores[:index:-1])[::-1]]
    squares = math.fsum((score - value) ** 2 for score, value in zip(scores, fit, strict=True))
    return math.sqrt(squares / max(1, len(scores) - 3))


def _rising(values: Sequence[float]) -> list[float]:
    """Return the least-squares fit that never falls."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            before, weight = blocks.pop()
            mean, count = (before * weight + mean * count) / (weight + count), weight + count
        blocks.append((mean, count))
    return [mean for mean, count in blocks for _ in range(count)]


def typical_error(curve: Sequence[Sample]) -> float:
    """Return the root mean square of the standard errors."""
    return math.sqrt(fmean(sample.error**2 for sample in curve))


def midpoints(curve: Sequence[Sample]) -> list[float]:
    """Return the positions half-way between neighbours."""
    return [0.5 * (one.z_um + other.z_um) for one, other in pairwise(curve)]


__all__ = [
    "Dip",
    "deepest_dip",
    "midpoints",
    "ordered",
    "prominence",
    "scatter",
    "top",
    "typical_error",
]
