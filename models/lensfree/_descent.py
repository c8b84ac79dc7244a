"""Descent by limited-memory BFGS (D. C. Liu, J. Nocedal, Mathematical Programming 45, 503 (1989)).

One evaluation of loss and gradient is one iteration, those of a line search that found no less included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_STEP = 0.15
"""About the inverse of the data term's greatest curvature, 2·Σ(λ_ref/λ)² ≈ 6."""
ENOUGH = 1e-4
"""Part of the decrease that the slope promises."""
ROUNDING = 1e-6
"""Relative increase of a loss that is rounding in float32."""
SHORTER = 0.4
"""Factor of a step that led upwards."""


class Descent:
    """Goes down a function step by step. Used by one thread at a time.

    Parameters
    ----------
    function
        Returns loss and gradient.
    start
        Where to begin; kept. The function is evaluated there once.
    memory
        How many of the last steps the curvature is estimated from.
    """

    def __init__(self, function: Callable[[Any], tuple[float, Any]], start: Any, memory: int) -> None:  # noqa: ANN401
        self._function, self._memory = function, memory
        self.place = start
        self.loss, self._gradient = function(start)
        self._pairs: list[tuple[Any, Any, float]] = []
        self._direction: Any = None
        self._slope, self._length = 0.0, 1.0

    def restart(self, place: Any) -> None:  # noqa: ANN401
        """Go on from another place; one evaluation."""
        self.place = place
        self.loss, self._gradient = self._function(place)
        self._pairs, self._direction = [], None

    def step(self) -> bool:
        """Try one step, with one evaluation; return whether it was taken."""
        if self._direction is None:
            self._aim()
        there = self.place + self._direction * self._length
        loss, gradient = self._function(there)
        if not loss <= self.loss + ENOUGH * self._length * self._slope + ROUNDING * abs(self.loss):
            self._length *= SHORTER
            return False
        moved, turned = there - self.place, gradient - self._gradient
        product = _dot(moved, turned)
        if product > 0:
            self._pairs.append((moved, turned, product))
            del self._pairs[: -self._memory]
        self.place, self.loss, self._gradient, self._direction = there, loss, gradient, None
        return True

    def _aim(self) -> None:
        """Set direction, slope and length of the next step."""
        aim = self._gradient * -1.0
        parts = []
        for moved, turned, product in reversed(self._pairs):
            part = _dot(moved, aim) / product
            aim -= turned * part
            parts.append(part)
        if self._pairs:
            _, turned, product = self._pairs[-1]
            aim *= product / _dot(turned, turned)
        else:
            aim *= FIRST_STEP
        for (moved, turned, product), part in zip(self._pairs, reversed(parts), strict=True):
            aim += moved * (part - _dot(turned, aim) / product)
        self._direction, self._slope, self._length = aim, _dot(aim, self._gradient), 1.0


def _dot(first: Any, second: Any) -> float:  # noqa: ANN401
    return float((first * second).sum())


__all__ = ["Descent"]
