"""From the text of an expression to a condition: a Pratt parser that settles types as it goes.

V. R. Pratt, Top down operator precedence (POPL 1973). Names, kinds and units are checked where they stand, so every
error has its place.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn, cast

from microscoped.daemon.rules.errors import (
    BoundRuleError,
    NameRuleError,
    SyntaxRuleError,
    TypeRuleError,
)
from microscoped.daemon.rules.language._catalogue import STANDARD, Flag
from microscoped.daemon.rules.language._conditions import Always, Both, Compare, Either, Marked, MarkedRow, Neither
from microscoped.daemon.rules.language._expression import Expression, Reads
from microscoped.daemon.rules.language._functions import FUNCTIONS
from microscoped.daemon.rules.language._nodes import (
    Age,
    Arithmetic,
    Column,
    Condition,
    Negative,
    Number,
    Numeric,
    Value,
    in_unit,
)
from microscoped.daemon.rules.language._operands import Operand, Within, nanoseconds, suggestion, wrapped
from microscoped.daemon.rules.language._tokens import Token, TokenKind, tokens
from microscoped.daemon.rules.language._units import PLAIN, UNITS, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from microscoped.daemon.rules.language._calls import Series
    from microscoped.daemon.rules.language._catalogue import Catalogue, TableKind
    from microscoped.daemon.rules.language._conditions import Sign

MOST_DEPTH: Final = 32
"""Of nesting."""
MOST_PARTS: Final = 200
"""Numbers, names and signs of an expression."""
COMPARES: Final = frozenset({"<", "<=", ">", ">=", "==", "!="})
POWERS: Final[Mapping[str, int]] = {
    **{"or": 1, "and": 2},
    **dict.fromkeys(COMPARES, 4),
    **{"+": 5, "-": 5, "*": 6, "/": 6},
}
NOT_POWER: Final = 3
SIGN_POWER: Final = 7


class Parser:
    """Parses one expression."""

    def __init__(self, source: str, catalogue: Catalogue) -> None:
        self.source = source
        self.catalogue = catalogue
        self.within = Within()
        self.series: dict[str, Series] = {}
        self.values: defaultdict[str, set[str]] = defaultdict(set)
        self.columns: defaultdict[str, set[str]] = defaultdict(set)
        self.ages: dict[tuple[str, int], None] = {}
        self._tokens = tokens(source)
        self._next = 0
        self._depth = 0
        if len(self._tokens) > MOST_PARTS + 1:
            raise BoundRuleError(
                f"{len(self._tokens) - 1} words and signs: an expression has {MOST_PARTS} at most; split it into two "
                "rules",
                source,
                self._tokens[MOST_PARTS].at,
            )

    # --- tokens -------------------------------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        """The next token."""
        return self._tokens[self._next]

    def ended(self) -> bool:
        """Return whether there is none."""
        return self.token.kind is TokenKind.END

    @property
    def following(self) -> Token:
        """The one after it."""
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Return the next token and go on."""
        found = self.token
        if found.kind is not TokenKind.END:
            self._next += 1
        return found

    def expect(self, sign: str, after: str) -> Token:
        """Take a sign or word that must stand here."""
        if self.token.text != sign:
            self.refuse_syntax(f"expected '{sign}' {after}, found {self.token}")
        return self.take()

    # --- errors -------------------------------------------------------------------------------------------------------

    def refuse_syntax(self, detail: str, at: int | None = None) -> NoReturn:
        """Refuse a word or sign."""
        raise SyntaxRuleError(detail, self.source, self.token.at if at is None else at)

    def refuse_name(self, detail: str, at: int) -> NoReturn:
        """Refuse a name."""
        raise NameRuleError(detail, self.source, at)

    def refuse_type(self, detail: str, at: int) -> NoReturn:
        """Refuse what does not go together."""
        raise TypeRuleError(detail, self.source, at)

    def refuse_bound(self, detail: str, at: int) -> NoReturn:
        """Refuse what is too much."""
        raise BoundRuleError(detail, self.source, at)

    # --- the grammar --------------------------------------------------------------------------------------------------

    def whole(self) -> Expression:
        """Parse all of it."""
        if self.ended():
            self.refuse_syntax("the expression is empty; write a condition, such as cells.count > 100")
        found = self.operand(0)
        if not self.ended():
            self.refuse_syntax(f"expected 'and', 'or' or the end, found {self.token}; {_more(self.token)}")
        condition = self.condition(found, "a rule")
        reads = Reads(
            values={engine: frozenset(paths) for engine, paths in self.values.items()},
            columns={table: frozenset(names) for table, names in self.columns.items()},
            tables={name: self.catalogue.tables[name] for name in self.columns},
            series=dict(self.series),
            ages_ns=tuple(self.ages),
        )
        if not reads.anything:
            self.refuse_type(
                f"{condition.text} never changes: it reads no measurement; compare one, such as cells.count > 100",
                found.at,
            )
        return Expression(self.source, condition, reads)

    def operand(self, power: int) -> Operand:
        """Parse what binds more strongly than `power`."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            self.refuse_bound(f"nested more than {MOST_DEPTH} deep; split the rule into two", self.token.at)
        left = self._prefix()
        while (mine := POWERS.get(self.token.text, 0)) > power:
            sign = self.take()
            right = self.operand(mine)
            left = self._joined(sign, left, right)
            if mine == POWERS["<"] and self.token.text in COMPARES:
                self.refuse_syntax(f"comparisons are not chained: write a {sign.text} b and b {self.token.text} c")
        self._depth -= 1
        return left

    def _prefix(self) -> Operand:
        token = self.take()
        match token.kind, token.text:
            case TokenKind.NUMBER, _:
                return Operand(self._number(token), token.at)
            case TokenKind.WORD, "true" | "false":
                return Operand(Always(token.text == "true", token.text), token.at)
            case TokenKind.WORD, "not":
                of = self.condition(self.operand(NOT_POWER), "'not'")
                return Operand(Neither(of, f"not {wrapped(of)}"), token.at)
            case TokenKind.SIGN, "-":
                found = self.operand(SIGN_POWER)
                number = self.number(found, "'-'")
                if isinstance(number, Number):
                    negative: Numeric = Number(-number.value, number.unit, f"-{number.text}")
                else:
                    negative = Negative(number, number.unit, f"-{wrapped(number)}")
                return Operand(negative, token.at)
            case TokenKind.SIGN, "(":
                found = self.operand(0)
                self.expect(")", "to close the parenthesis")
                return Operand(found.node, token.at)
            case TokenKind.NAME, _:
                return Operand(self._named(token), token.at)
        self.refuse_syntax(f"expected a measurement, a number or a condition, found {token}", token.at)

    def _joined(self, sign: Token, left: Operand, right: Operand) -> Operand:
        if sign.text in ("and", "or"):
            one, other = self.condition(left, f"'{sign.text}'"), self.condition(right, f"'{sign.text}'")
            kind = Both if sign.text == "and" else Either
            return Operand(kind(one, other, f"{wrapped(one, kind)} {sign.text} {wrapped(other)}"), left.at)
        if sign.text in COMPARES:
            return Operand(self._compared(sign, left, right), left.at)
        first, second = self.number(left, f"'{sign.text}'"), self.number(right, f"'{sign.text}'")
        if sign.text in ("+", "-"):
            first, second = self._same_unit(sign, first, second)
            unit = first.unit
        elif sign.text == "*":
            unit = first.unit.times(second.unit)
        else:
            unit = first.unit.per(second.unit)
            if isinstance(second, Number) and second.value == 0.0:
                self.refuse_type("a division by 0 has no value; divide by another number", right.at)
        text = f"{wrapped(first, Arithmetic)} {sign.text} {wrapped(second)}"
        found = Arithmetic(sign.text, first, second, unit, text)
        return Operand(self._folded(found, sign) if found.constant else found, left.at)

    def _folded(self, found: Arithmetic, sign: Token) -> Number:
        value = found.written()
        if value is None:
            self.refuse_type(f"{found.text} has no value; write numbers that have", sign.at)
        return Number(value, found.unit, f"({found.text})")

    def _compared(self, sign: Token, left: Operand, right: Operand) -> Condition:
        for one, other in ((left, right), (right, left)):
            if isinstance(one.node, Condition):
                if isinstance(other.node, Condition):
                    self.refuse_type(
                        f"conditions are not compared: write {left.node.text}, or not {left.node.text}, by itself",
                        sign.at,
                    )
                self.refuse_type(
                    f"{one.node.text} is a condition and {other.node.text} a number: they cannot be compared", sign.at
                )
        first, second = cast("Numeric", left.node), cast("Numeric", right.node)
        if isinstance(first, Age) or isinstance(second, Age):
            self._age_compared(sign, first, second)
        elif first.constant and second.constant:
            self.refuse_type(
                f"{first.text} {sign.text} {second.text} is always the same; put a measurement on one side", left.at
            )
        first, second = self._same_unit(sign, first, second)
        text = f"{wrapped(first, Compare)} {sign.text} {wrapped(second, Compare)}"
        return Compare(cast("Sign", sign.text), first, second, text)

    def _age_compared(self, sign: Token, first: Numeric, second: Numeric) -> None:
        age, other = (first, second) if isinstance(first, Age) else (second, first)
        assert isinstance(age, Age)  # noqa: S101 - one of the two is; narrows the type
        if not isinstance(other, Number) or sign.text in ("==", "!="):
            self.refuse_type(
                f"an age is compared with a time that is written out, by < or >: {age.text} > 5 s", sign.at
            )
        if other.unit.alike(age.unit) or other.unit.plain:
            self.ages[age.engine, nanoseconds(other)] = None

    def _same_unit(self, sign: Token, first: Numeric, second: Numeric) -> tuple[Numeric, Numeric]:
        """Return two numbers in the unit of the first; a mere number that is written out takes on the other's."""
        if first.unit.plain and first.constant and not second.unit.plain:
            return in_unit(first, second.unit), second
        if second.unit.plain and second.constant:
            return first, in_unit(second, first.unit)
        if not first.unit.alike(second.unit):
            self.refuse_type(
                f"{first.text} is {_in_words(first.unit)} and {second.text} {_in_words(second.unit)}: '{sign.text}' "
                "needs the same kind of unit on both sides",
                sign.at,
            )
        return first, in_unit(second, first.unit)

    # --- numbers and names --------------------------------------------------------------------------------------------

    def _number(self, token: Token) -> Number:
        value, text, unit = float(token.text), token.text, PLAIN
        if self.token.text == "%":
            self.take()
            return Number(value / 100.0, PLAIN, f"{text} %")
        if self.token.kind is TokenKind.NAME:
            unit, written = self._unit(self.take())
            text = f"{text} {written}"
        if self.token.text == "/" and self.following.text in UNITS and self._after_following() != "(":
            self.take()
            below, written = self._unit(self.take())
            unit, text = unit.per(below), f"{text}/{written}"
        return Number(value, unit, text)

    def _after_following(self) -> str:
        return self._tokens[min(self._next + 2, len(self._tokens) - 1)].text

    def _unit(self, token: Token) -> tuple[Unit, str]:
        found = UNITS.get(token.text)
        if found is None:
            near = suggestion(token.text, UNITS)
            self.refuse_name(
                f"'{token.text}' behind a number is no unit{near or ', one of ' + ', '.join(UNITS)}", token.at
            )
        return found, token.text

    def _named(self, token: Token) -> Numeric | Condition:
        name, kind = token.text, self.within.kind
        if self.token.text == "(":
            function = FUNCTIONS.get(name)
            if function is None:
                near = suggestion(name, FUNCTIONS).removesuffix("?")
                listed = ", ".join(sorted(FUNCTIONS))
                self.refuse_name(f"there is no function '{name}'{near}; there are {listed}", token.at)
            self.take()
            return function(self, token)
        if kind is not None and name in kind.columns:
            return self._column(name, kind)
        found = self.catalogue.values.get(name)
        if found is None:
            self._refuse_unknown(token)
        engine = name.partition(".")[0]
        self.values[engine].add(name)
        self.within.engines.add(engine)
        return Marked(engine, name, name) if isinstance(found, Flag) else Value(engine, name, found, name)

    def _column(self, name: str, kind: TableKind) -> Numeric | Condition:
        assert self.within.table is not None  # noqa: S101 - it has this kind; narrows the type
        self.within.columns.add(name)
        self.within.engines.add(kind.engine)
        self.columns[self.within.table].add(name)
        found = kind.columns[name]
        return MarkedRow(name, name) if isinstance(found, Flag) else Column(name, found, name)

    def _refuse_unknown(self, token: Token) -> NoReturn:
        name, values, tables = token.text, self.catalogue.values, self.catalogue.tables
        if self.within.kind is not None:
            rest = name.removeprefix(f"{self.within.table}.")
            if rest in self.within.kind.columns:
                self.refuse_name(f"'{name}': a column is written without its table here: {rest}", token.at)
            near = suggestion(name, [*self.within.kind.columns, *values])
            listed = ", ".join(sorted(self.within.kind.columns))
            self.refuse_name(f"'{name}' is no column of {self.within.table}{near or ', one of ' + listed}", token.at)
        if name in FUNCTIONS:
            self.refuse_syntax(f"'{name}' is a function: expected '(' after it", self.token.at)
        if name in tables:
            column = next(iter(tables[name].columns))
            self.refuse_type(f"'{name}' is a table: ask it something, such as any({name}, {column} > 0)", token.at)
        if name in UNITS:
            self.refuse_name(f"'{name}' is a unit: it stands behind a number, such as 5 {name}", token.at)
        below = [path.removeprefix(f"{name}.") for path in values if path.startswith(f"{name}.")]
        if below:
            self.refuse_name(
                f"'{name}' has parts: {', '.join(sorted(below))}; name one, such as {name}.{below[0]}", token.at
            )
        for table, kind in tables.items():
            if name.removeprefix(f"{table}.") in kind.columns:
                column = name.removeprefix(f"{table}.")
                self.refuse_name(
                    f"'{name}': {column} is a column of the table {table}: write any({table}, {column} …) or "
                    f"count({table}, {column} …)",
                    token.at,
                )
        near = suggestion(name, [*values, *tables])
        self.refuse_name(
            f"nothing is measured under the name '{name}'{near or '; docs/rules.md lists what is'}", token.at
        )

    # --- for functions ------------------------------------------------------------------------------------------------

    def number(self, operand: Operand, of: str) -> Numeric:
        """Return an operand that must be a number."""
        if not isinstance(operand.node, Numeric):
            self.refuse_type(f"{of} needs a number; {operand.node.text} is a condition", operand.at)
        if isinstance(operand.node, Age):
            self.refuse_type(
                f"{operand.node.text} can only be compared with a time: {operand.node.text} > 5 s", operand.at
            )
        return operand.node

    def condition(self, operand: Operand, of: str) -> Condition:
        """Return an operand that must be a condition."""
        if not isinstance(operand.node, Condition):
            self.refuse_type(
                f"{of} needs a condition; {operand.node.text} is a number: compare it, such as {operand.node.text} > 1",
                operand.at,
            )
        return operand.node

    @contextmanager
    def inside(self, within: Within) -> Iterator[Within]:
        """Parse something inside of a window or a table."""
        around = self.within
        self.within = within
        yield within
        self.within = around
        around.engines |= within.engines
        if not (within.table and not around.table):
            around.columns |= within.columns

    def keep(self, series: Series) -> Series:
        """Remember that a window is needed."""
        return self.series.setdefault(series.key, series)


def _in_words(unit: Unit) -> str:
    return "a mere number" if unit.plain else f"in {unit}"


def _more(token: Token) -> str:
    """What to do about something that stands where the expression could end."""
    if token.kind is TokenKind.SIGN and token.text == ")":
        return "a ')' has no '('"
    if token.text == "over":
        return "'over' stands only in functions of windows, such as mean(cells.count, over 60 s)"
    return "join two conditions with 'and' or 'or'"


def parse(source: str, catalogue: Catalogue = STANDARD) -> Expression:
    """Parse a condition.

    Parameters
    ----------
    source
        As a person wrote it.
    catalogue
        What it may name.

    Raises
    ------
    ExpressionError
        It is refused; the error says where and why.
    """
    return Parser(source, catalogue).whole()


__all__ = ["MOST_DEPTH", "MOST_PARTS", "Parser", "parse"]
