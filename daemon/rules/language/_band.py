"""Hysteresis by a band: the condition is over when the value is back by so much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microscoped.daemon.rules.errors import TypeRuleError
from microscoped.daemon.rules.language._conditions import Compare
from microscoped.daemon.rules.language._expression import Expression
from microscoped.daemon.rules.language._nodes import Age, Arithmetic, Number, in_unit
from microscoped.daemon.rules.language._parser import Parser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.rules.language._catalogue import Catalogue
    from microscoped.daemon.rules.language._conditions import Sign

_BACK: Final[Mapping[str, tuple[Sign, str]]] = {
    ">": ("<=", "-"),
    ">=": ("<", "-"),
    "<": (">=", "+"),
    "<=": (">", "+"),
}
"""By the condition's sign: that of its end, and where the band lies."""


def release(expression: Expression, band: str | float, catalogue: Catalogue) -> Expression:
    """Return the condition under which another one, a single comparison, is over by more than a band.

    Parameters
    ----------
    expression
        Such as ``cells.count > 100``.
    band
        A number, with or without its unit: with 10, it is over where ``cells.count <= 100 - 10``.

    Raises
    ------
    ExpressionError
        The band is no positive number of the right kind; or the expression is no single comparison of numbers by size.
    """
    source = f"{band:g}" if isinstance(band, float | int) else band
    parser = Parser(source, catalogue)
    found = parser.operand(0).node
    if parser.token.text:
        parser.refuse_syntax(f"a band is one number, such as 10 or 10 pg; found {parser.token} behind it")
    compare = expression.condition
    if not isinstance(compare, Compare) or compare.sign not in _BACK or isinstance(compare.left, Age):
        raise TypeRuleError(
            f"a band needs a single comparison of a measurement by <, <=, > or >=; this is {compare.text}: use until",
            expression.source,
            0,
        )
    if not isinstance(found, Number) or found.value <= 0.0:
        parser.refuse_type(f"a band is a number above 0, such as 10 or 10 pg; {found.text} is none", 0)
    unit = compare.left.unit
    if not found.unit.plain and not found.unit.alike(unit):
        parser.refuse_type(
            f"the band is in {found.unit}, what is compared in {'mere numbers' if unit.plain else unit}", 0
        )
    sign, side = _BACK[compare.sign]
    width = in_unit(found, unit)
    end = Arithmetic(side, compare.right, width, unit, f"{compare.right.text} {side} {width.text}")
    text = f"{compare.left.text} {sign} {end.text}"
    return Expression(text, Compare(sign, compare.left, end, text), expression.reads)


__all__ = ["release"]
