"""Several methods by turns in one process, and what their times and errors come to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TAIL = 95.0
"""Percentile that is told beside the median."""


@dataclass(frozen=True)
class Job:
    """Something that is timed.

    Parameters
    ----------
    name
        What it is called.
    run
        Does it; given the number of the round.
    every
        It takes part in each so-manieth round.
    """

    name: str
    run: Callable[[int], Any]
    every: int = 1


@dataclass(frozen=True)
class Turn:
    """One time that a job had its turn.

    Parameters
    ----------
    round
        In which round.
    seconds
        How long it took, by the wall clock.
    busy_s
        Processor time of all threads of this process meanwhile: what other programs do is not in it.
    value
        What it returned.
    """

    round: int
    seconds: float
    busy_s: float
    value: Any


def interleaved(
    jobs: Sequence[Job],
    rounds: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    processor: Callable[[], float] = time.process_time,
    said: Callable[[int], None] = lambda _round: None,
) -> dict[str, list[Turn]]:
    """Let jobs take turns; in every other round in reverse order, so that none always follows the same other one.

    Parameters
    ----------
    jobs
        Each with a name of its own; to be run once before, so that nothing is planned or compiled in a turn.
    rounds
        How many.
    clock, processor
        Wall and processor time, in seconds.
    said
        Is told of each round when it is over.

    Returns
    -------
    The turns of each job, by name, in order.
    """
    turns: dict[str, list[Turn]] = {job.name: [] for job in jobs}
    for number in range(rounds):
        due = [job for job in jobs if number % job.every == 0]
        for job in due if number % 2 == 0 else reversed(due):
            busy, began = processor(), clock()
            value = job.run(number)
            ended = clock()
            turns[job.name].append(Turn(number, ended - began, processor() - busy, value))
        said(number)
    return turns


def spread_ms(turns: Sequence[Turn]) -> dict[str, float]:
    """Return number, mean, standard deviation, median and 95th percentile of times, and the median busy one, in ms."""
    times = 1e3 * np.array([turn.seconds for turn in turns])
    return {
        "n": int(times.size),
        "mean": float(times.mean()),
        "sd": float(times.std(ddof=1)) if times.size > 1 else float("nan"),
        "median": float(np.median(times)),
        "p95": float(np.percentile(times, TAIL)),
        "busy": 1e3 * float(np.median([turn.busy_s for turn in turns])),
    }


def ratio(slower: Sequence[Turn], faster: Sequence[Turn]) -> dict[str, float]:
    """Return how many times longer one job takes than another.

    Returns
    -------
    ``paired``: median over the rounds in which both had a turn, each round's time over the other's; ``n`` such rounds.
    ``means``: ratio of the means over those rounds. ``busy``: as ``paired``, of processor times.
    """
    other = {turn.round: turn for turn in faster}
    pairs = [(turn, other[turn.round]) for turn in slower if turn.round in other]
    if not pairs:
        return {"n": 0, **dict.fromkeys(("paired", "means", "busy"), float("nan"))}
    wall = np.array([(one.seconds, two.seconds) for one, two in pairs])
    busy = np.array([(one.busy_s, max(two.busy_s, 1e-9)) for one, two in pairs])
    return {
        "n": len(pairs),
        "paired": float(np.median(wall[:, 0] / wall[:, 1])),
        "means": float(wall[:, 0].mean() / wall[:, 1].mean()),
        "busy": float(np.median(busy[:, 0] / busy[:, 1])),
    }


def errors_um(found: Sequence[float | None], truth: Sequence[float]) -> dict[str, float]:
    """Return what distances are worth: the number without answer, and median, p95, greatest and mean of the errors.

    Parameters
    ----------
    found, truth
        In µm; ``None`` where there was no answer. Such have no error, and are counted.
    """
    away = np.array([z - true for z, true in zip(found, truth, strict=True) if z is not None], float)
    answered = {"n": len(found), "unanswered": len(found) - int(away.size)}
    if not away.size:
        return {**answered, **dict.fromkeys(("median", "p95", "max", "bias"), float("nan"))}
    size = np.abs(away)
    return {
        **answered,
        "median": float(np.median(size)),
        "p95": float(np.percentile(size, TAIL)),
        "max": float(size.max()),
        "bias": float(away.mean()),
    }


__all__ = ["Job", "Turn", "errors_um", "interleaved", "ratio", "spread_ms"]
