"""Conditions: comparisons, truth values of measurements, and what joins them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from microscoped.daemon.rules.language._nodes import HALF, Condition, cause_of, missing
from microscoped.daemon.rules.look import UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microscoped.daemon.rules.language._nodes import Node, Numeric, Reals
    from microscoped.daemon.rules.look import Look, Rows
    from microscoped.daemon.rules.state import Cause

Sign: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]


@dataclass(frozen=True, slots=True)
class Always(Condition):
    """``true`` or ``false``."""

    holds: bool
    text: str

    def truth(self, look: Look) -> bool | None:
        """Return itself."""
        return self.holds


@dataclass(frozen=True, slots=True)
class Marked(Condition):
    """A truth value of an engine's newest measurement."""

    engine: str
    path: str
    text: str

    def truth(self, look: Look) -> bool | None:
        """Return it, where it was measured lately."""
        value = look.value(self.engine, self.path)
        return None if value is None else value != 0.0

    def causes(self, look: Look) -> list[Cause]:
        """Return itself."""
        value = look.value(self.engine, self.path)
        return [cause_of(self.text, UNBOUNDED if value is None else (value, value), "", self.engine, look)]

    def doubts(self, look: Look) -> list[str]:
        """Say why it is not known."""
        if look.value(self.engine, self.path) is not None:
            return []
        return [missing(self.engine, look) or f"{self.path} was not measured in the newest measurement"]


@dataclass(frozen=True, slots=True)
class MarkedRow(Condition):
    """A truth value of each row of a table."""

    name: str
    text: str

    def truth(self, look: Look) -> bool | None:
        """Unknown: a column has no single value."""
        return None

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return the column."""
        found = rows.column(self.name)
        return np.where(np.isnan(found), HALF, (found != 0.0).astype(np.float64))


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """Two numbers of the same unit compared."""

    sign: Sign
    left: Numeric
    right: Numeric
    text: str

    def parts(self) -> tuple[Node, ...]:
        """Both."""
        return (self.left, self.right)

    def truth(self, look: Look) -> bool | None:
        """Return whether it holds of all that the two can be, or of nothing."""
        (a, b), (c, d) = self.left.bounds(look), self.right.bounds(look)
        match self.sign:
            case "<":
                return True if b < c else False if a >= d else None
            case "<=":
                return True if b <= c else False if a > d else None
            case ">":
                return True if a > d else False if b <= c else None
            case ">=":
                return True if a >= d else False if b < c else None
        same = True if a == b == c == d else False if b < c or d < a else None
        return same if self.sign == "==" or same is None else not same

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return whether it holds in each row."""
        left, right = self.left.of_rows(look, rows), self.right.of_rows(look, rows)
        holds: Reals = _COMPARES[self.sign](left, right).astype(np.float64)
        return np.where(np.isnan(left) | np.isnan(right), HALF, holds)


_COMPARES: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True, slots=True)
class Both(Condition):
    """``and``."""

    left: Condition
    right: Condition
    text: str

    def parts(self) -> tuple[Node, ...]:
        """Both."""
        return (self.left, self.right)

    def truth(self, look: Look) -> bool | None:
        """False where one of the two is, true where both are."""
        left = self.left.truth(look)
        if left is False:
            return False
        right = self.right.truth(look)
        return right if left or right is False else None

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return whether it holds in each row."""
        return np.minimum(self.left.of_rows(look, rows), self.right.of_rows(look, rows))

    def causes(self, look: Look) -> list[Cause]:
        """Return those of the parts that settle it."""
        return _deciding(self.left, self.right, self.truth(look), False, look)


@dataclass(frozen=True, slots=True)
class Either(Condition):
    """``or``."""

    left: Condition
    right: Condition
    text: str

    def parts(self) -> tuple[Node, ...]:
        """Both."""
        return (self.left, self.right)

    def truth(self, look: Look) -> bool | None:
        """True where one of the two is, false where both are."""
        left = self.left.truth(look)
        if left:
            return True
        right = self.right.truth(look)
        return right if left is False or right else None

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return whether it holds in each row."""
        return np.maximum(self.left.of_rows(look, rows), self.right.of_rows(look, rows))

    def causes(self, look: Look) -> list[Cause]:
        """Return those of the parts that settle it."""
        return _deciding(self.left, self.right, self.truth(look), True, look)


def _deciding(left: Condition, right: Condition, holds: bool | None, alone: bool, look: Look) -> list[Cause]:
    """The causes of those parts that settle the whole; one part with the truth value `alone` does."""
    settling = [part for part in (left, right) if holds is not alone or part.truth(look) is alone]
    return [cause for part in settling for cause in part.causes(look)]


@dataclass(frozen=True, slots=True)
class Neither(Condition):
    """``not``."""

    of: Condition
    text: str

    def parts(self) -> tuple[Node, ...]:
        """Its part."""
        return (self.of,)

    def truth(self, look: Look) -> bool | None:
        """Return the opposite."""
        holds = self.of.truth(look)
        return None if holds is None else not holds

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return the opposite in each row."""
        return 1.0 - self.of.of_rows(look, rows)


__all__ = ["Always", "Both", "Compare", "Either", "Marked", "MarkedRow", "Neither", "Sign"]
