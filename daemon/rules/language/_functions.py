"""The functions of expressions: what stands between their parentheses, and what comes of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from microscoped.daemon.rules.language._calls import (
    AnyRow,
    CountRows,
    CountWindow,
    Known,
    Series,
    TrackWindow,
    Window,
)
from microscoped.daemon.rules.language._conditions import Marked
from microscoped.daemon.rules.language._nodes import Age, Magnitude, Number, Value
from microscoped.daemon.rules.language._operands import Within, nanoseconds, suggestion
from microscoped.daemon.rules.language._tokens import TokenKind
from microscoped.daemon.rules.language._units import PLAIN, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microscoped.daemon.rules.language._calls import OfWindow
    from microscoped.daemon.rules.language._catalogue import TableKind
    from microscoped.daemon.rules.language._nodes import Condition, Numeric
    from microscoped.daemon.rules.language._operands import Operand
    from microscoped.daemon.rules.language._parser import Parser
    from microscoped.daemon.rules.language._tokens import Token

LEAST_WINDOW_NS: Final = 10_000_000
MOST_WINDOW_NS: Final = 24 * 3600 * 1_000_000_000


def _window(parser: Parser, name: Token) -> Numeric:
    """``mean(x, over 60 s)`` and its like; within a table that of each cell."""
    with _Sampling(parser, name) as within:
        operand = parser.operand(0)
        of = parser.number(operand, f"{name.text}(…)")
        part = _part(parser) if name.text == "quantile" else 0.5
        over_ns, over = _over(parser, name)
    if of.constant:
        parser.refuse_type(f"{of.text} never changes; {name.text} needs a measurement", operand.at)
    unit = of.unit.per(SECOND) if name.text == "rate" else of.unit
    middle = f", {part:g}" if name.text == "quantile" else ""
    text = f"{name.text}({of.text}{middle}, over {over})"
    kind = cast("OfWindow", name.text)
    if within.columns:
        _engine(parser, within, operand)
        return TrackWindow(kind, _track_series(parser, name, of, over_ns, over), unit, text)
    series = parser.keep(Series(f"{of.text} over {over}", _engine(parser, within, operand), of, over_ns))
    return Window(kind, series, part, unit, text)


def _track_series(parser: Parser, name: Token, of: Numeric, over_ns: int, over: str) -> Series:
    """The windows of the cells of the table that the parser is in."""
    table, kind = parser.within.table, parser.within.kind
    assert table is not None  # noqa: S101 - a column was read; narrows the type
    assert kind is not None  # noqa: S101 - as above
    if kind.track is None:
        parser.refuse_type(
            f"cells of {table} are not followed from frame to frame, so {name.text} of a column has no past; compare "
            "the column itself",
            name.at,
        )
    if name.text == "quantile":
        parser.refuse_type("a cell's past has no quantiles; use median, min or max", name.at)
    parser.columns[table].add(kind.track)
    key = f"{table}: {of.text} over {over}"
    return parser.keep(Series(key, kind.engine, of, over_ns, table, kind.track))


def _count(parser: Parser, name: Token) -> Numeric:
    """``count(cells, condition)`` in a table, ``count(condition, over 60 s)`` in time."""
    if parser.token.text in parser.catalogue.tables:
        table, engine, predicate, text = _of_table(parser, name)
        return CountRows(engine, table, predicate, text, share=False, unit=PLAIN)
    with _Sampling(parser, name) as within:
        operand = parser.operand(0)
        of = parser.condition(operand, "count(…, over …)")
        over_ns, over = _over(parser, name)
    if within.columns:
        parser.refuse_type("a cell's past is not counted; use mean, min, max, rate or change of a column", name.at)
    series = parser.keep(Series(f"{of.text} over {over}", _engine(parser, within, operand), of, over_ns))
    return CountWindow(series, PLAIN, f"count({of.text}, over {over})")


def _any(parser: Parser, name: Token) -> Condition:
    table, engine, predicate, text = _of_table(parser, name)
    return AnyRow(engine, table, predicate, text)


def _share(parser: Parser, name: Token) -> Numeric:
    table, engine, predicate, text = _of_table(parser, name)
    return CountRows(engine, table, predicate, text, share=True, unit=PLAIN)


def _of_table(parser: Parser, name: Token) -> tuple[str, str, Condition, str]:
    """Parse a table and a condition on its rows; return the table, its engine, the condition, and all as text."""
    if parser.within.table is not None:
        parser.refuse_type(f"{name.text} of a table cannot stand within another table; join two of them", name.at)
    token, tables = parser.take(), parser.catalogue.tables
    kind: TableKind | None = tables.get(token.text)
    if kind is None:
        near = suggestion(token.text, tables) or f": one of {', '.join(tables)}"
        parser.refuse_name(f"{name.text} needs a table first, found {token}{near}", token.at)
    parser.expect(",", f"after the table of {name.text}")
    with parser.inside(Within(token.text, kind, parser.within.window)) as within:
        operand = parser.operand(0)
        predicate = parser.condition(operand, name.text)
    _close(parser, name)
    if not within.columns:
        parser.refuse_type(
            f"{predicate.text} reads no column of {token.text}: it is the same for all rows; name one, such as "
            f"{next(iter(kind.columns))}",
            operand.at,
        )
    return token.text, kind.engine, predicate, f"{name.text}({token.text}, {predicate.text})"


def _age(parser: Parser, name: Token) -> Numeric:
    if parser.within.window or parser.within.table is not None:
        parser.refuse_type("age stands neither in windows nor in tables; write it beside them", name.at)
    token = parser.take()
    engines = parser.catalogue.engines
    if token.text not in engines:
        near = suggestion(token.text, engines) or f": one of {', '.join(sorted(engines))}"
        parser.refuse_name(f"age needs an engine, found {token}{near}", token.at)
    _close(parser, name)
    return Age(token.text, SECOND, f"age({token.text})")


def _known(parser: Parser, name: Token) -> Condition:
    operand = parser.operand(0)
    if not isinstance(operand.node, Value | Marked):
        parser.refuse_type(
            f"known needs the name of a measurement, such as hologram.z_um; found {operand.node.text}", operand.at
        )
    _close(parser, name)
    return Known(operand.node, f"known({operand.node.text})")


def _abs(parser: Parser, name: Token) -> Numeric:
    of = parser.number(parser.operand(0), "abs")
    _close(parser, name)
    if isinstance(of, Number):
        return Number(abs(of.value), of.unit, f"abs({of.text})")
    return Magnitude(of, of.unit, f"abs({of.text})")


# --- what stands between parentheses ----------------------------------------------------------------------------------


class _Sampling:
    """Parse what a window is of: within the present table, and within no other window."""

    def __init__(self, parser: Parser, name: Token) -> None:
        if parser.within.window:
            parser.refuse_type(f"{name.text} stands within another window: windows do not nest", name.at)
        self._inside = parser.inside(Within(parser.within.table, parser.within.kind, window=True))

    def __enter__(self) -> Within:
        return self._inside.__enter__()

    def __exit__(self, *args: object) -> None:
        self._inside.__exit__(None, None, None)


def _over(parser: Parser, name: Token) -> tuple[int, str]:
    """Parse ``, over 60 s)``; return it in nanoseconds and as text."""
    example = f"{name.text}(…, over 60 s)"
    if parser.token.text == ")":
        parser.refuse_syntax(f"{name.text} needs a window of time: {example}")
    parser.expect(",", f"before 'over' in {example}")
    parser.expect("over", f"and a time in {example}")
    at = parser.token.at
    if parser.token.kind is not TokenKind.NUMBER:
        parser.refuse_syntax(f"expected a time such as 60 s after 'over', found {parser.token}")
    operand = parser.operand(0)
    if not isinstance(operand.node, Number) or not operand.node.unit.alike(SECOND):
        parser.refuse_type(f"a window is a time: {operand.node.text} is none; write over 60 s, over 5 min", at)
    over_ns = nanoseconds(operand.node)
    if not LEAST_WINDOW_NS <= over_ns <= MOST_WINDOW_NS:
        parser.refuse_bound(f"over {operand.node.text}: a window lasts from 10 ms to 24 h", at)
    _close(parser, name)
    return over_ns, f"{over_ns * 1e-9:.10g} s"


def _part(parser: Parser) -> float:
    """Parse the part of a quantile."""
    parser.expect(",", "and the part in quantile(…, 0.9, over 60 s)")
    at = parser.token.at
    if parser.token.kind is not TokenKind.NUMBER:
        parser.refuse_syntax(f"expected the part of the quantile, such as 0.9, found {parser.token}")
    found = parser.operand(0).node
    if not isinstance(found, Number) or not found.unit.plain or not 0.0 <= found.value <= 1.0:
        parser.refuse_type(f"the part of a quantile lies from 0 to 1; {found.text} does not: write 0.9", at)
    return found.value


def _engine(parser: Parser, within: Within, operand: Operand) -> str:
    """The one engine that a window's samples come from."""
    if len(within.engines) == 1:
        return next(iter(within.engines))
    if not within.engines:
        parser.refuse_type(f"{operand.node.text} reads no measurement; a window needs one", operand.at)
    parser.refuse_type(
        f"{operand.node.text} reads {' and '.join(sorted(within.engines))}, which measure at different times; give "
        "each its own window",
        operand.at,
    )


def _close(parser: Parser, name: Token) -> None:
    parser.expect(")", f"to close {name.text}(")


FUNCTIONS: Final[Mapping[str, Callable[[Parser, Token], Numeric | Condition]]] = MappingProxyType(
    {
        **dict.fromkeys(("mean", "median", "min", "max", "quantile", "rate", "change"), _window),
        "count": _count,
        "any": _any,
        "share": _share,
        "age": _age,
        "known": _known,
        "abs": _abs,
    }
)
"""By name."""

__all__ = ["FUNCTIONS", "LEAST_WINDOW_NS", "MOST_WINDOW_NS"]
