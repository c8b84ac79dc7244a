"""Which events were caught at the fast rate, what that cost, and how other ways of spending the same light do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from _experiment_dish import FAST_S, MITOSIS, SLOW_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _experiment_dish import Run

BEFORE_S, AFTER_S = 600.0, 300.0
"""An event is caught where the fast rate was on from so long before a division until so long after it."""
MOST_GAP_S = 1.5 * FAST_S
"""The longest time between two exposures at the fast rate: a focus run may come between."""
WARM_UP_S = 3600.0
"""Events before that are not counted: the rules look back over 40 minutes."""
BOOTSTRAPS = 2000
Z95 = 1.959964


@dataclass(frozen=True)
class Score:
    """How a policy did on one dish.

    Parameters
    ----------
    caught, events
        Events that were caught, and all that count.
    exposures
        All of them, those for focusing included.
    gaps_s
        For each event the longest time without an exposure.
    """

    caught: int
    events: int
    exposures: int
    gaps_s: tuple[float, ...]


def counted(run: Run) -> list[float]:
    """Return the times of the events that count."""
    return [
        one.at_s
        for one in run.events
        if one.inside and one.at_s >= WARM_UP_S and one.at_s + AFTER_S + FAST_S <= run.seconds
    ]


def longest_gap_s(exposures_s: Sequence[float], begin_s: float, end_s: float) -> float:
    """Return the longest time without an exposure that reaches into a span of time."""
    times = np.sort(np.asarray(exposures_s, float))
    first, last = np.searchsorted(times, begin_s, "right") - 1, np.searchsorted(times, end_s, "left")
    before = times[first] if first >= 0 else -math.inf
    after = times[last] if last < times.size else math.inf
    return float(np.diff([before, *times[first + 1 : last], after]).max())


def score(exposures_s: Sequence[float], exposures: int, events_s: Sequence[float]) -> Score:
    """Judge the exposures of a policy."""
    gaps = tuple(longest_gap_s(exposures_s, at - BEFORE_S, at + AFTER_S) for at in events_s)
    return Score(sum(gap <= MOST_GAP_S for gap in gaps), len(gaps), exposures, gaps)


def false_bursts(run: Run) -> int:
    """Return how many bursts began where no cell was about to divide, or had just divided."""
    lead_s = 60.0 * (MITOSIS.rounding_min + MITOSIS.round_min)
    tail_s = 60.0 * MITOSIS.spreading_min
    return sum(
        not any(one.seen and one.at_s - lead_s <= begin_s <= one.at_s + tail_s for one in run.events)
        for begin_s, _ in run.bursts_s
    )


def evenly(run: Run) -> list[float]:
    """The same dose, one exposure after the other at one distance."""
    return list((np.arange(len(run.exposures_s)) + 0.5) * run.seconds / len(run.exposures_s))


def randomly(run: Run) -> list[float]:
    """The same dose, each exposure at a random time."""
    return sorted(np.random.default_rng((run.seed, 11)).uniform(0.0, run.seconds, len(run.exposures_s)))


def periodic_bursts(run: Run) -> list[float]:
    """As many bursts as the rules made, all equally long, at one distance; the slow rate between."""
    if not run.bursts_s:
        return _with_bursts(run, [])
    length_s = sum(end - begin for begin, end in run.bursts_s) / len(run.bursts_s)
    middles = (np.arange(len(run.bursts_s)) + 0.5) * run.seconds / len(run.bursts_s)
    return _with_bursts(run, [(float(at) - length_s / 2, float(at) + length_s / 2) for at in middles])


def random_trigger(run: Run) -> list[float]:
    """The rules' own bursts, each at a random time; the slow rate between. None overlaps another."""
    rng = np.random.default_rng((run.seed, 13))
    lengths = rng.permutation([end - begin for begin, end in run.bursts_s])
    free_s = run.seconds - float(lengths.sum())
    starts = (
        np.sort(rng.uniform(0.0, free_s, lengths.size))
        + np.concatenate([[0.0], np.cumsum(lengths)[:-1]])[: lengths.size]
    )
    return _with_bursts(run, [(float(a), float(a + b)) for a, b in zip(starts, lengths, strict=True)])


def _with_bursts(run: Run, bursts_s: Sequence[tuple[float, float]]) -> list[float]:
    times: list[float] = []
    at_s = 0.0
    for begin_s, end_s in [*bursts_s, (run.seconds, run.seconds)]:
        times.extend(np.arange(at_s, begin_s, SLOW_S))
        times.extend(np.arange(max(begin_s, 0.0), min(end_s, run.seconds), FAST_S))
        at_s = end_s
    return times


OTHERS: dict[str, Callable[[Run], list[float]]] = {
    "periodic": evenly,
    "random": randomly,
    "periodic bursts": periodic_bursts,
    "random trigger": random_trigger,
}
"""Ways of spending the dose of the rules without looking."""


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); the whole range where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, Z95 * Z95
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(values: Sequence[float], over: Sequence[float] | None = None) -> tuple[float, float, float]:
    """Return a mean over dishes, or a ratio of two sums, with its 95 % interval by drawing dishes anew."""
    above, below = np.asarray(values, float), np.ones(len(values)) if over is None else np.asarray(over, float)
    draws = np.random.default_rng(5).integers(0, len(above), (BOOTSTRAPS, len(above)))
    low, high = np.percentile(above[draws].sum(axis=1) / below[draws].sum(axis=1), (2.5, 97.5))
    return float(above.sum() / below.sum()), float(low), float(high)
