"""What was measured within a window of time, in bounded memory.

A window is divided into slots of equal length. Samples of one slot are put together: their number, sum, extremes and
last value stay exact; which of them came first is forgotten. Where samples come more slowly than slots pass, each has
its own, and nothing is forgotten. Sums are those of `math.fsum`, so that every machine finds the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST_SLOTS: Final = 256
"""Of a window."""
LEAST_COVERED: Final = 0.5
"""Part of a window that samples must span, that it says something."""


class Slot(NamedTuple):
    """Numbers of one slot.

    Parameters
    ----------
    at_ns
        When the last of them was measured.
    n, total, low, high, last
        How many, their sum, their extremes, and the last.
    """

    at_ns: int
    n: int
    total: float
    low: float
    high: float
    last: float


class Tally(NamedTuple):
    """How often a condition held in one slot.

    Parameters
    ----------
    at_ns
        When it was last looked at.
    true, unknown
        How often it held, and how often that was not known.
    """

    at_ns: int
    true: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers within a window, the oldest first."""

    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True)
class Tallies:
    """How often a condition held within a window, the oldest first; it was looked at from `began_ns` on."""

    began_ns: int
    slots: tuple[Tally, ...] = ()


def add_number(slots: tuple[Slot, ...], at_ns: int, value: float, over_ns: int) -> tuple[Slot, ...]:
    """Return the slots of a window with another number, which is the newest."""
    width = max(1, over_ns // MOST_SLOTS)
    new = Slot(at_ns, 1, value, value, value, value)
    if slots and slots[-1].at_ns // width == at_ns // width:
        old = slots[-1]
        new = Slot(at_ns, old.n + 1, old.total + value, min(old.low, value), max(old.high, value), value)
        return (*slots[_first_after(slots, at_ns - over_ns) : -1], new)
    return (*slots[_first_after(slots, at_ns - over_ns) :], new)


def add_tally(slots: tuple[Tally, ...], at_ns: int, holds: bool | None, over_ns: int) -> tuple[Tally, ...]:
    """Return the slots of a window with another look at the condition; ``None`` where it is not known."""
    width = max(1, over_ns // MOST_SLOTS)
    new = Tally(at_ns, int(holds is True), int(holds is None))
    if slots and slots[-1].at_ns // width == at_ns // width:
        old = slots[-1]
        new = Tally(at_ns, old.true + new.true, old.unknown + new.unknown)
        return (*slots[_first_after(slots, at_ns - over_ns) : -1], new)
    return (*slots[_first_after(slots, at_ns - over_ns) :], new)


def _first_after(slots: Sequence[Slot] | Sequence[Tally], oldest_ns: int) -> int:
    """Number of the first slot after a time; few are before it, so they are looked at one by one."""
    at = 0
    while at < len(slots) and slots[at].at_ns <= oldest_ns:
        at += 1
    return at


def numbers_within(slots: Sequence[Slot], now_ns: int, over_ns: int) -> Sequence[Slot]:
    """Return the slots of the last `over_ns`."""
    return slots[_first_after(slots, now_ns - over_ns) :]


def covered(slots: Sequence[Slot], over_ns: int) -> bool:
    """Whether samples span enough of a window, that it says something."""
    return bool(slots) and slots[-1].at_ns - slots[0].at_ns >= LEAST_COVERED * over_ns


def counted(tallies: Tallies, now_ns: int, over_ns: int) -> tuple[float, float]:
    """Return the least and the greatest number of times that a condition can have held within a window."""
    begin = now_ns - over_ns
    slots = tallies.slots[_first_after(tallies.slots, begin) :]
    true = sum(slot.true for slot in slots)
    if tallies.began_ns > begin:
        return float(true), math.inf
    return float(true), float(true + sum(slot.unknown for slot in slots))


def mean(slots: Sequence[Slot]) -> float:
    """Arithmetic mean of all samples."""
    return math.fsum(slot.total for slot in slots) / sum(slot.n for slot in slots)


def least(slots: Sequence[Slot]) -> float:
    """The least of all samples."""
    return min(slot.low for slot in slots)


def greatest(slots: Sequence[Slot]) -> float:
    """The greatest of all samples."""
    return max(slot.high for slot in slots)


def change(slots: Sequence[Slot]) -> float:
    """The last sample less the mean of the first slot, which is the first sample where a slot has one."""
    return slots[-1].last - slots[0].total / slots[0].n


def rate(slots: Sequence[Slot]) -> float:
    """Slope per second of the straight line that fits the means of the slots best (least squares)."""
    first = slots[0].at_ns
    times = [(slot.at_ns - first) * 1e-9 for slot in slots]
    means = [slot.total / slot.n for slot in slots]
    middle, level = math.fsum(times) / len(times), math.fsum(means) / len(means)
    spread = math.fsum((time - middle) ** 2 for time in times)
    return math.fsum((time - middle) * (value - level) for time, value in zip(times, means, strict=True)) / spread


def quantile(slots: Sequence[Slot], part: float) -> float:
    """The value below which `part` of the slots' means lie, interpolated linearly (type 7 of Hyndman and Fan 1996)."""
    values = sorted(slot.total / slot.n for slot in slots)
    place = part * (len(values) - 1)
    below = min(int(place), len(values) - 1)
    above = min(below + 1, len(values) - 1)
    return values[below] + (place - below) * (values[above] - values[below])


def median(slots: Sequence[Slot]) -> float:
    """The value in the middle of the slots' means."""
    return quantile(slots, 0.5)


OF_NUMBERS: Final[Mapping[str, Callable[[Sequence[Slot]], float]]] = {
    "mean": mean,
    "median": median,
    "min": least,
    "max": greatest,
    "rate": rate,
    "change": change,
}
"""What is said of a window, by its name in expressions."""

__all__ = [
    "LEAST_COVERED",
    "MOST_SLOTS",
    "OF_NUMBERS",
    "Numbers",
    "Slot",
    "Tallies",
    "Tally",
    "add_number",
    "add_tally",
    "counted",
    "covered",
    "numbers_within",
    "quantile",
]
