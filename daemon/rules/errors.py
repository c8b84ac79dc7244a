"""What can be wrong with a rule: where it is, with which value, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class RulesError(ValueError):
    """A rule cannot be used; the base of all errors here."""

    code: ClassVar[str] = "rules"


class ExpressionError(RulesError):
    """An expression is refused; the message ends with its line and a caret below the place.

    Parameters
    ----------
    detail
        What is wrong, with which value, and what to write instead.
    source
        The whole expression.
    at
        Where, as an offset in `source`.

    Attributes
    ----------
    line, column
        Of the place, both from 1.
    picture
        That line, and below it a caret.
    """

    code: ClassVar[str] = "rules.expression"

    def __init__(self, detail: str, source: str, at: int) -> None:
        at = min(at, len(source))
        begin = source.rfind("\n", 0, at) + 1
        text = source[begin:].split("\n", 1)[0]
        self.detail = detail
        self.line = source.count("\n", 0, at) + 1
        self.column = at - begin + 1
        shown, caret = _excerpt(text, self.column - 1)
        self.picture = f"{shown}\n{caret}"
        super().__init__(f"line {self.line}, column {self.column}: {detail}\n{self.picture}")


class SyntaxRuleError(ExpressionError):
    """An expression is not of the language: a word or a sign stands where it cannot."""

    code: ClassVar[str] = "rules.syntax"


class NameRuleError(ExpressionError):
    """An expression names a measurement, a function, a table or a unit that does not exist."""

    code: ClassVar[str] = "rules.name"


class TypeRuleError(ExpressionError):
    """An expression mixes what does not go together: numbers and conditions, or unlike units."""

    code: ClassVar[str] = "rules.type"


class BoundRuleError(ExpressionError):
    """An expression is too long, too deep, or looks too far back."""

    code: ClassVar[str] = "rules.bound"


class BadRulesError(RulesError):
    """Rules are refused; the message has one paragraph for each thing that is wrong.

    Parameters
    ----------
    problems
        All that was found.
    """

    code: ClassVar[str] = "rules.refused"

    def __init__(self, problems: Sequence[RuleProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class RuleProblem:
    """One thing that is wrong with rules.

    Parameters
    ----------
    place
        Which field, such as ``rules.burst.when``.
    detail
        What is wrong, with which value, and what to write instead.
    error
        The expression's error, where the field is an expression.
    """

    def __init__(self, place: str, detail: str, error: ExpressionError | None = None) -> None:
        self.place = place
        self.detail = detail
        self.line = error.line if error else None
        self.column = error.column if error else None
        self.picture = error.picture if error else None
        self.code = error.code if error else "rules.field"

    def __str__(self) -> str:
        if self.picture is None:
            return f"{self.place}: {self.detail}"
        indented = "\n".join(f"    {line}" for line in self.picture.split("\n"))
        return f"{self.place}, line {self.line}, column {self.column}: {self.detail}\n{indented}"


class OrderError(RulesError):
    """Measurements that rules are tried on do not follow each other in time."""

    code: ClassVar[str] = "rules.order"


SHOWN = 100
"""Most characters of a line in a picture."""


def _excerpt(text: str, at: int) -> tuple[str, str]:
    """Return the part of a line round a place, and a line with a caret below that place."""
    begin = max(0, at - SHOWN // 2) if len(text) > SHOWN else 0
    shown = text[begin : begin + SHOWN]
    blank = "".join("\t" if sign == "\t" else " " for sign in shown[: at - begin])
    return shown, f"{blank}^"


__all__ = [
    "BadRulesError",
    "BoundRuleError",
    "ExpressionError",
    "NameRuleError",
    "OrderError",
    "RuleProblem",
    "RulesError",
    "SyntaxRuleError",
    "TypeRuleError",
]
