"""What an expression is made of, with its types settled: numbers with units, and conditions.

Numbers are intervals: a known one has equal bounds, an unknown one infinite ones, and of a count that is not complete
at least the least is known. Conditions are true, false or unknown (S. C. Kleene's strong logic of three values): what
follows from what is known holds whatever the unknown turns out to be. Within tables the same is done for all rows at
once, with NaN for an unknown number and ½ for an unknown truth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from microscoped.daemon.rules.look import UNBOUNDED
from microscoped.daemon.rules.state import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from microscoped.daemon.rules.language._units import Unit
    from microscoped.daemon.rules.look import Bounds, Look, Rows

Reals: TypeAlias = "NDArray[np.float64]"
HALF: Final = 0.5
"""Of rows: it is not known whether the condition holds."""
SHOWN_ROWS: Final = 8


class Node(ABC):
    """A part of an expression; `text` is how it is written."""

    __slots__ = ()
    text: str

    def parts(self) -> tuple[Node, ...]:
        """The parts that it is made of."""
        return ()

    def causes(self, look: Look) -> list[Cause]:
        """Return the values that it rests on."""
        return [cause for part in self.parts() for cause in part.causes(look)]

    def doubts(self, look: Look) -> list[str]:
        """Return why it is not known, as far as it is not."""
        return [doubt for part in self.parts() for doubt in part.doubts(look)]


class Numeric(Node):
    """A number."""

    __slots__ = ()
    unit: Unit

    @property
    def constant(self) -> bool:
        """Whether it is made of numbers that are written out."""
        return False

    @abstractmethod
    def bounds(self, look: Look) -> Bounds:
        """Return what it can be."""

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return what it is in each row; NaN where that is not known."""
        low, high = self.bounds(look)
        return np.full(rows.count, low if low == high else math.nan)


class Condition(Node):
    """Something that holds or does not."""

    __slots__ = ()

    @abstractmethod
    def truth(self, look: Look) -> bool | None:
        """Return whether it holds; ``None`` where that is not known."""

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return whether it holds in each row: 1, 0, or ½ where that is not known."""
        holds = self.truth(look)
        return np.full(rows.count, HALF if holds is None else float(holds))


# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number(Numeric):
    """A number that is written out."""

    value: float
    unit: Unit
    text: str

    @property
    def constant(self) -> bool:
        """Always."""
        return True

    def bounds(self, look: Look) -> Bounds:
        """Return itself."""
        return (self.value, self.value)


@dataclass(frozen=True, slots=True)
class Value(Numeric):
    """A number of an engine's newest measurement."""

    engine: str
    path: str
    unit: Unit
    text: str

    def bounds(self, look: Look) -> Bounds:
        """Return it, where it was measured lately."""
        value = look.value(self.engine, self.path)
        return UNBOUNDED if value is None else (value, value)

    def causes(self, look: Look) -> list[Cause]:
        """Return itself."""
        return [cause_of(self.text, self.bounds(look), str(self.unit), self.engine, look)]

    def doubts(self, look: Look) -> list[str]:
        """Say why it is not known."""
        if look.value(self.engine, self.path) is not None:
            return []
        return [missing(self.engine, look) or f"{self.path} was not measured in the newest measurement"]


@dataclass(frozen=True, slots=True)
class Column(Numeric):
    """A number of each row of a table."""

    name: str
    unit: Unit
    text: str

    def bounds(self, look: Look) -> Bounds:
        """Unknown: a column has no single value."""
        return UNBOUNDED

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return the column."""
        return rows.column(self.name)


@dataclass(frozen=True, slots=True)
class Age(Numeric):
    """Seconds since the exposure of the frame that an engine measured last."""

    engine: str
    unit: Unit
    text: str

    def bounds(self, look: Look) -> Bounds:
        """Return it; at least the time since the rules watch, where nothing was measured."""
        return look.age_s(self.engine)

    def causes(self, look: Look) -> list[Cause]:
        """Return itself."""
        return [cause_of(self.text, self.bounds(look), str(self.unit), self.engine, look)]


@dataclass(frozen=True, slots=True)
class Negative(Numeric):
    """A number with the other sign."""

    of: Numeric
    unit: Unit
    text: str

    @property
    def constant(self) -> bool:
        """Whether its part is."""
        return self.of.constant

    def parts(self) -> tuple[Node, ...]:
        """Its part."""
        return (self.of,)

    def bounds(self, look: Look) -> Bounds:
        """Return it."""
        low, high = self.of.bounds(look)
        return (-high, -low)

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return it in each row."""
        return -self.of.of_rows(look, rows)


@dataclass(frozen=True, slots=True)
class Magnitude(Numeric):
    """A number without its sign."""

    of: Numeric
    unit: Unit
    text: str

    @property
    def constant(self) -> bool:
        """Whether its part is."""
        return self.of.constant

    def parts(self) -> tuple[Node, ...]:
        """Its part."""
        return (self.of,)

    def bounds(self, look: Look) -> Bounds:
        """Return it."""
        low, high = self.of.bounds(look)
        return (max(low, -high, 0.0), max(abs(low), abs(high)))

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return it in each row."""
        return np.abs(self.of.of_rows(look, rows))


@dataclass(frozen=True, slots=True)
class Arithmetic(Numeric):
    """Two numbers put together; those of a sum or difference have the same unit."""

    sign: str
    left: Numeric
    right: Numeric
    unit: Unit
    text: str

    @property
    def constant(self) -> bool:
        """Whether its parts are."""
        return self.left.constant and self.right.constant

    def parts(self) -> tuple[Node, ...]:
        """Both."""
        return (self.left, self.right)

    def bounds(self, look: Look) -> Bounds:
        """Return what comes of all that the two can be; nothing is known of a quotient by what may be 0."""
        (a, b), (c, d) = self.left.bounds(look), self.right.bounds(look)
        if a == b and c == d:
            return _exact(self.sign, a, c)
        if self.sign == "+":
            return (a + c, b + d)
        if self.sign == "-":
            return (a - d, b - c)
        if self.sign == "/" and c <= 0.0 <= d:
            return UNBOUNDED
        found = [_corner(self.sign, left, right) for left in (a, b) for right in (c, d)]
        return UNBOUNDED if any(map(math.isnan, found)) else (min(found), max(found))

    def written(self) -> float | None:
        """Return its value where both parts are written out; ``None`` where it has none."""
        if not (isinstance(self.left, Number) and isinstance(self.right, Number)):
            return None
        low, high = _exact(self.sign, self.left.value, self.right.value)
        return low if low == high else None

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return it in each row."""
        left, right = self.left.of_rows(look, rows), self.right.of_rows(look, rows)
        with np.errstate(all="ignore"):
            found: Reals = _ARRAYS[self.sign](left, right)
        return np.where(np.isfinite(found), found, math.nan)

    def doubts(self, look: Look) -> list[str]:
        """Say what is not known of the parts, or that one cannot be divided by the other."""
        found = Node.doubts(self, look)
        if not found and self.bounds(look) == UNBOUNDED:
            return [f"{self.text} has no value: {self.right.text} may be 0, or the result is too large"]
        return found


def _exact(sign: str, left: float, right: float) -> Bounds:
    if sign == "/" and right == 0.0:
        return UNBOUNDED
    found = _FLOATS[sign](left, right)
    return (found, found) if math.isfinite(found) else UNBOUNDED


def _corner(sign: str, left: float, right: float) -> float:
    """One of the four values among which the bounds are; 0 times or over what has no bound is 0."""
    if sign == "*":
        return 0.0 if left == 0.0 or right == 0.0 else left * right
    return left / right if math.isfinite(left) or math.isfinite(right) else math.nan


_FLOATS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_ARRAYS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


# --- telling ----------------------------------------------------------------------------------------------------------


def cause_of(what: str, bounds: Bounds, unit: str, engine: str, look: Look) -> Cause:
    """Return a cause of an engine's newest measurement."""
    low, high = (bound if math.isfinite(bound) else None for bound in bounds)
    found = look.latest(engine)
    if found is None:
        return Cause(what, low, high, unit, engine)
    return Cause(what, low, high, unit, engine, found.id, found.frame, found.at_ns)


def missing(engine: str, look: Look) -> str | None:
    """Say why an engine's newest measurement cannot be used; ``None`` where it can."""
    if look.fresh(engine) is not None:
        return None
    found = look.latest(engine)
    if found is None:
        return f"{engine} has not measured anything yet"
    age, most = (look.now_ns - found.at_ns) * 1e-9, look.max_age_ns * 1e-9
    return f"the newest measurement of {engine} is {age:.3g} s old, more than max_age_s {most:g}"


def in_unit(node: Numeric, unit: Unit) -> Numeric:
    """Return a number in another unit of the same kind; a mere number that is written out takes it on."""
    if node.unit == unit:
        return node
    factor = 1.0 if node.unit.plain else node.unit.factor / unit.factor
    if isinstance(node, Number):
        return replace(node, value=node.value * factor, unit=unit)
    if factor == 1.0:
        return Arithmetic("*", node, Number(1.0, unit, "1"), unit, node.text)
    return Arithmetic("*", node, Number(factor, unit, f"{factor:g}"), unit, node.text)


__all__ = [
    "HALF",
    "SHOWN_ROWS",
    "Age",
    "Arithmetic",
    "Column",
    "Condition",
    "Magnitude",
    "Negative",
    "Node",
    "Number",
    "Numeric",
    "Reals",
    "Value",
    "cause_of",
    "in_unit",
    "missing",
]
