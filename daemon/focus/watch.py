"""Whether the checks of pairs still speak for the calibration that they were read with: a pure function of the checks.

An accepted calibration promises that most 90 % intervals hold the truth, and that errors are small and go to both
sides. Each check shows how far a second pair found the focus from where the first one had sent the stage. Of the newest
`WINDOW` checks is asked

- that half of them lie within one depth of field, and 70 % within what the intervals promise, once there are `WINDOW`;
- that not so few keep that promise that even the worst calibration that is ever accepted (80 %) would come to it by
  chance less than once in a thousand times (binomial test), from `FEWEST` on;
- that they do not lean to one side, be it upwards or short of the focus: that their mean is not surely (one-sided t
  test, 1 %) more than the mean error of the worst calibration that is accepted, from `FEWEST` on.

What both pairs of a run read wrongly by the same amount, no check can see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.daemon.focus.pair import PairCheck

WINDOW = 20
"""Checks that are remembered."""
FEWEST = 8
"""Checks that are needed before any rule can speak against the engine."""
MOST_MEDIAN_DOF = 1.0
LEAST_COVERED = 0.70
"""Least part of `WINDOW` checks that must keep what the intervals promise."""
WORST_COVERED, COVERED_CHANCE = 0.80, 1e-3
"""Least part of its intervals that an accepted calibration has shown to hold, and how rarely it must look worse."""
MOST_MEAN_DOF = 0.5
"""Largest mean error of an accepted calibration."""
T_CRITICAL = (2.998, 2.896, 2.821, 2.764, 2.718, 2.681, 2.650, 2.624, 2.602, 2.583, 2.567, 2.552, 2.539)
"""What Student's t exceeds on one side in 1 %, for `FEWEST` − 1 … `WINDOW` − 1 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class WatchFigures:
    """What the newest checks say.

    Parameters
    ----------
    checks
        How many there are.
    median_um
        Median of the distances that they found.
    coverage
        Part that keeps what the intervals promise.
    above_um, short_um
        Means of how far above the place to which the stage was sent the focus was found, and how far beyond it.
    """

    checks: int
    median_um: float
    coverage: float
    above_um: float
    short_um: float


def watch_figures(checks: Sequence[PairCheck]) -> WatchFigures:
    """Return the figures of at least one check."""
    return WatchFigures(
        checks=len(checks),
        median_um=median(abs(check.residual_um) for check in checks),
        coverage=sum(check.covered for check in checks) / len(checks),
        above_um=fmean(check.residual_um for check in checks),
        short_um=fmean(check.short_um for check in checks),
    )


def mistrusted(checks: Sequence[PairCheck], dof_um: float) -> str:
    """Return in words what speaks against the engine; empty where nothing does.

    Parameters
    ----------
    checks
        The newest ones, at most `WINDOW`.
    dof_um
        Depth of field.
    """
    count = len(checks)
    if count < FEWEST:
        return ""
    told = watch_figures(checks)
    of = f"of the last {count} pairs the next one found the focus"
    if count >= WINDOW and told.median_um > MOST_MEDIAN_DOF * dof_um:
        return f"{of} {told.median_um:.3g} µm away (median)"
    kept = round(told.coverage * count)
    if (count >= WINDOW and told.coverage < LEAST_COVERED) or _chance(kept, count) < COVERED_CHANCE:
        return f"{of} in {told.coverage:.0%} as near as the 90 % intervals promise"
    for values, where in (
        ([check.residual_um for check in checks], "above" if told.above_um > 0 else "below"),
        ([check.short_um for check in checks], "beyond" if told.short_um > 0 else "short of"),
    ):
        if _surely(values) > MOST_MEAN_DOF * dof_um:
            return f"{of} {abs(fmean(values)):.3g} µm {where} the place to which the stage was sent, on average"
    return ""


def _chance(kept: int, count: int) -> float:
    """Return how likely at most so many of so many intervals hold where `WORST_COVERED` do."""
    return sum(math.comb(count, k) * WORST_COVERED**k * (1.0 - WORST_COVERED) ** (count - k) for k in range(kept + 1))


def _surely(values: Sequence[float]) -> float:
    """Return how far from 0 the mean of what such values are drawn from surely lies."""
    critical = T_CRITICAL[min(len(values), WINDOW) - FEWEST]
    return abs(fmean(values)) - critical * stdev(values) / math.sqrt(len(values))


__all__ = ["FEWEST", "WINDOW", "WatchFigures", "mistrusted", "watch_figures"]
