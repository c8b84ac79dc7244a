"""Functions of expressions: of windows of time, of tables, and of what is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from microscoped.daemon.rules.language._nodes import (
    HALF,
    SHOWN_ROWS,
    Condition,
    Node,
    Numeric,
    Value,
    cause_of,
    missing,
)
from microscoped.daemon.rules.look import UNBOUNDED
from microscoped.daemon.rules.state import Cause

if TYPE_CHECKING:
    from microscoped.daemon.rules.language._conditions import Marked
    from microscoped.daemon.rules.language._nodes import Reals
    from microscoped.daemon.rules.language._units import Unit
    from microscoped.daemon.rules.look import Bounds, Look, Rows

OfWindow: TypeAlias = Literal["mean", "median", "min", "max", "rate", "change", "quantile"]


@dataclass(frozen=True, slots=True)
class Series:
    """What must be kept of the past for a window.

    Parameters
    ----------
    key
        The same for windows that are of the same and equally long.
    engine
        Whose measurements give samples.
    of
        What is sampled: a number, a condition, or a number of each row.
    over_ns
        How long the window is.
    table
        Of whose rows; ``None`` for a series of the whole frame.
    track
        The column that tells which cell a row is.
    """

    key: str
    engine: str
    of: Numeric | Condition
    over_ns: int
    table: str | None = None
    track: str | None = None


@dataclass(frozen=True, slots=True)
class Window(Numeric):
    """What a function says of a number over a window of time."""

    name: OfWindow
    series: Series
    part: float
    unit: Unit
    text: str

    def bounds(self, look: Look) -> Bounds:
        """Return it, where samples came lately and cover the window."""
        if look.fresh(self.series.engine) is None:
            return UNBOUNDED
        found = look.of_window(self.name, self.series.key, self.series.over_ns, self.part)
        return UNBOUNDED if found is None or not math.isfinite(found) else (found, found)

    def causes(self, look: Look) -> list[Cause]:
        """Return itself."""
        return [cause_of(self.text, self.bounds(look), str(self.unit), self.series.engine, look)]

    def doubts(self, look: Look) -> list[str]:
        """Say why it is not known."""
        if self.bounds(look) != UNBOUNDED:
            return []
        slots = look.window(self.series.key, self.series.over_ns)
        spanned = (slots[-1].at_ns - slots[0].at_ns) * 1e-9 if slots else 0.0
        return [
            missing(self.series.engine, look)
            or f"{self.text}: its samples span {spanned:.3g} s, less than half of its window"
        ]


@dataclass(frozen=True, slots=True)
class CountWindow(Numeric):
    """How many measurements within a window a condition held in.

    What came before the rules began to watch, and what was unknown, may or may not be among them.
    """

    series: Series
    unit: Unit
    text: str

    def bounds(self, look: Look) -> Bounds:
        """Return the least and the greatest number."""
        if look.fresh(self.series.engine) is None:
            return UNBOUNDED
        return look.counted(self.series.key, self.series.over_ns)

    def causes(self, look: Look) -> list[Cause]:
        """Return itself."""
        return [cause_of(self.text, self.bounds(look), "", self.series.engine, look)]

    def doubts(self, look: Look) -> list[str]:
        """Say why it is not known exactly."""
        low, high = self.bounds(look)
        if low == high:
            return []
        most = f"at most {high:g}" if math.isfinite(high) else "not watched for the whole window yet"
        return [missing(self.series.engine, look) or f"{self.text} is {low:g} at least, {most}"]


@dataclass(frozen=True, slots=True)
class TrackWindow(Numeric):
    """What a function says, for each cell that is followed, of its numbers over a window of time."""

    name: OfWindow
    series: Series
    unit: Unit
    text: str

    def bounds(self, look: Look) -> Bounds:
        """Unknown: cells have no single value."""
        return UNBOUNDED

    def of_rows(self, look: Look, rows: Rows) -> Reals:
        """Return it in each row; NaN for cells that are not followed, or not for long enough."""
        track = rows.column(self.series.track or "")
        return look.of_tracks(self.name, self.series.key, self.series.over_ns, track)


@dataclass(frozen=True, slots=True)
class Known(Condition):
    """Whether a value is known; before its engine has measured anything nobody can tell."""

    of: Value | Marked
    text: str

    def truth(self, look: Look) -> bool | None:
        """Return it."""
        latest = look.latest(self.of.engine)
        if latest is None or self.of.path not in latest.values:
            return None
        return look.value(self.of.engine, self.of.path) is not None

    def doubts(self, look: Look) -> list[str]:
        """Say why it is not known."""
        return [] if self.truth(look) is not None else [missing(self.of.engine, look) or f"{self.text}: not yet"]

    def causes(self, look: Look) -> list[Cause]:
        """Return the value."""
        return self.of.causes(look)


@dataclass(frozen=True, slots=True)
class _OfTable(Node):
    """What functions of tables have in common."""

    engine: str
    table: str
    predicate: Condition
    text: str

    def parts(self) -> tuple[Node, ...]:
        """The condition."""
        return (self.predicate,)

    def counts(self, look: Look) -> tuple[int, int, int] | None:
        """Return in how many rows it holds, in how many that is not known, and how many there are."""
        rows = look.rows(self.engine, self.table)
        if rows is None:
            return None
        holds = self.predicate.of_rows(look, rows)
        return int(np.count_nonzero(holds == 1.0)), int(np.count_nonzero(holds == HALF)), rows.count

    def shown_rows(self, look: Look) -> tuple[int, ...]:
        """Return the first rows in which it holds."""
        rows = look.rows(self.engine, self.table)
        if rows is None:
            return ()
        found = np.flatnonzero(self.predicate.of_rows(look, rows) == 1.0)
        return tuple(found[:SHOWN_ROWS].tolist())

    def cause(self, look: Look, bounds: Bounds) -> list[Cause]:
        """Return itself with the first rows, and what the condition reads beside the table."""
        low, high = (bound if math.isfinite(bound) else None for bound in bounds)
        rows, found = self.shown_rows(look), look.latest(self.engine)
        mine = Cause(self.text, low, high, "", self.engine, rows=rows)
        if found is not None:
            mine = replace(mine, measurement=found.id, frame=found.frame, at_ns=found.at_ns)
        return [mine, *self.predicate.causes(look)]

    def reasons(self, look: Look) -> list[str]:
        """Say why the table, or rows of it, are not known."""
        counts = self.counts(look)
        if counts is not None:
            unknown = [f"{self.text}: in {counts[1]} of {counts[2]} rows it is not known"] if counts[1] else []
            return [*unknown, *self.predicate.doubts(look)]
        found = look.fresh(self.engine)
        if found is None:
            return [missing(self.engine, look) or ""]
        if self.table in found.too_long:
            return [f"the table {self.table} has more rows than rules look at"]
        return [f"the table {self.table} is not in the newest measurement, or has not all columns that rules read"]


@dataclass(frozen=True, slots=True)
class AnyRow(_OfTable, Condition):
    """Whether a condition holds in a row of a table."""

    def truth(self, look: Look) -> bool | None:
        """True where there is one, false where it is known that there is none."""
        counts = self.counts(look)
        if counts is None:
            return None
        return True if counts[0] else None if counts[1] else False

    def causes(self, look: Look) -> list[Cause]:
        """Return itself with the first rows."""
        holds = self.truth(look)
        return self.cause(look, UNBOUNDED if holds is None else (float(holds), float(holds)))

    def doubts(self, look: Look) -> list[str]:
        """Say why it is not known."""
        return self.reasons(look) if self.truth(look) is None else []


@dataclass(frozen=True, slots=True)
class CountRows(_OfTable, Numeric):
    """In how many rows of a table a condition holds, or in which part of them."""

    share: bool
    unit: Unit

    def bounds(self, look: Look) -> Bounds:
        """Return the least and the greatest number; there is no part of an empty table."""
        counts = self.counts(look)
        if counts is None or (self.share and not counts[2]):
            return UNBOUNDED
        true, unknown, rows = counts
        return (true / rows, (true + unknown) / rows) if self.share else (float(true), float(true + unknown))

    def causes(self, look: Look) -> list[Cause]:
        """Return itself with the first rows."""
        return self.cause(look, self.bounds(look))

    def doubts(self, look: Look) -> list[str]:
        """Say why it is not known exactly."""
        low, high = self.bounds(look)
        if low == high:
            return []
        counts = self.counts(look)
        return [f"{self.text}: there are no rows"] if counts is not None and not counts[2] else self.reasons(look)


__all__ = ["AnyRow", "CountRows", "CountWindow", "Known", "OfWindow", "Series", "TrackWindow", "Window"]
