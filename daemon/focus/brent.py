"""Minimum of a function of one variable in a bracket, one evaluation at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator

GOLDEN = 0.381966011250105
"""(3 − √5) / 2: the share of a segment at which golden section puts its next point."""

Point: TypeAlias = tuple[float, float]
"""Position and value."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """Three evaluated points, the middle one no higher than the others."""

    left: Point
    middle: Point
    right: Point


def brent(bracket: Bracket, tolerance: float) -> Generator[float, Point]:
    """Narrow a bracket: yield where to evaluate, receive where that was done and the value.

    Parabolic steps through the three best points, golden-section steps where those do not shrink fast enough. Ends when
    the minimum is within about twice `tolerance` of the best point. The points of the bracket are used from the start,
    so that the first step is already parabolic.

    Source: Brent, *Algorithms for Minimization without Derivatives* (Prentice-Hall, 1973), chapter 5.
    """
    low, high = bracket.left[0], bracket.right[0]
    best = bracket.middle
    second, third = sorted((bracket.left, bracket.right), key=lambda point: point[1])
    step = before_last = high - low
    while True:
        middle = 0.5 * (low + high)
        if abs(best[0] - middle) <= 2.0 * tolerance - 0.5 * (high - low):
            return
        parabolic = _vertex_step(best, second, third)
        target = best[0] + parabolic if parabolic is not None else best[0]
        if parabolic is not None and abs(parabolic) < 0.5 * abs(before_last) and low < target < high:
            before_last, step = step, parabolic
            if min(target - low, high - target) < 2.0 * tolerance:
                step = tolerance if middle >= best[0] else -tolerance
        else:
            before_last = (high if best[0] < middle else low) - best[0]
            step = GOLDEN * before_last
        if abs(step) < tolerance:
            step = tolerance if step > 0 else -tolerance
        asked = min(max(best[0] + step, low), high)
        new = yield asked
        if not low < new[0] < high or new[0] == best[0]:
            # The stage did not go where it was sent: this point narrows nothing. Take the step as done.
            new = (asked, new[1])
            if not low < asked < high:
                return
        if new[1] <= best[1]:
            low, high = (best[0], high) if new[0] > best[0] else (low, best[0])
            best, second, third = new, best, second
        else:
            low, high = (new[0], high) if new[0] < best[0] else (low, new[0])
            if new[1] <= second[1]:
                second, third = new, second
            elif new[1] <= third[1]:
                third = new


def _vertex_step(best: Point, second: Point, third: Point) -> float | None:
    """Return the way from `best` to the lowest point of the parabola through three points, None where it has none."""
    to_second, to_third = second[0] - best[0], third[0] - best[0]
    rise_second, rise_third = second[1] - best[1], third[1] - best[1]
    numerator = to_third**2 * rise_second - to_second**2 * rise_third
    denominator = to_third * rise_second - to_second * rise_third
    if denominator == 0.0:
        return None
    return 0.5 * numerator / denominator


__all__ = ["GOLDEN", "Bracket", "Point", "brent"]
