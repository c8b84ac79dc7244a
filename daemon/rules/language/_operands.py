"""What the parser has in hand: parts of an expression, and where it is."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from microscoped.daemon.rules.language._conditions import Both, Compare, Either
from microscoped.daemon.rules.language._nodes import Arithmetic, Condition, Number, Numeric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microscoped.daemon.rules.language._catalogue import TableKind


@dataclass(frozen=True, slots=True)
class Operand:
    """A part of the expression, and where it begins."""

    node: Numeric | Condition
    at: int


@dataclass(slots=True)
class Within:
    """What the parser is inside of, and what was read there.

    Parameters
    ----------
    table, kind
        The table whose rows are looked at, if any.
    window
        Whether it is a window of time.
    engines
        Whose measurements were read.
    columns
        Names of the columns that were read.
    """

    table: str | None = None
    kind: TableKind | None = None
    window: bool = False
    engines: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)


def nanoseconds(number: Number) -> int:
    """Return a time; a mere number is one in seconds."""
    return round(number.value * number.unit.factor * 1e9)


def wrapped(node: Numeric | Condition, beside: type | None = None) -> str:
    """Return a part as it is written within a larger one, in parentheses where it might else be read otherwise.

    Parameters
    ----------
    node
        The part.
    beside
        What it is the left part of.
    """
    if isinstance(node, Both | Either) and not isinstance(node, beside or ()):
        return f"({node.text})"
    if (
        isinstance(node, Arithmetic)
        and beside is not Compare
        and not (beside is Arithmetic and node.sign in ("*", "/"))
    ):
        return f"({node.text})"
    return node.text


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what may have been meant, as the end of a sentence; nothing where no name is near."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


__all__ = ["Operand", "Within", "nanoseconds", "suggestion", "wrapped"]
