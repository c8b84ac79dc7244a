"""Words and signs of an expression."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from typing import Final

from microscoped.daemon.rules.errors import BoundRuleError, SyntaxRuleError

MOST_CHARACTERS: Final = 2_000
"""Of an expression."""


class TokenKind(enum.Enum):
    """What a token is."""

    NUMBER = "a number"
    NAME = "a name"
    WORD = "a word"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a sign, and where it begins."""

    kind: TokenKind
    text: str
    at: int

    def __str__(self) -> str:
        return "the end of the expression" if self.kind is TokenKind.END else f"'{self.text}'"


WORDS: Final = frozenset({"and", "or", "not", "true", "false", "over"})
_PATTERN: Final = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_µμ][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
    r"|(?P<sign><=|>=|==|!=|[-+*/(),<>%])"
)
_INSTEAD: Final = {
    "=": "one compares with '=='",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not'",
    "^": "there are no powers; multiply",
    "≤": "write '<='",
    "≥": "write '>='",
    "≠": "write '!='",
    "×": "write '*'",
    "·": "write '*'",
    "−": "write '-'",
    '"': "there is no text in expressions",
    "'": "there is no text in expressions",
    "[": "there are no lists in expressions",
    ";": "an expression is one condition; join them with 'and'",
    ".": "a number begins and ends with a digit, such as 0.5",
    "#": "there are no comments in expressions",
}


def tokens(source: str) -> list[Token]:
    """Return the tokens of an expression, the end among them.

    Raises
    ------
    SyntaxRuleError
        A sign is not of the language.
    BoundRuleError
        It is too long.
    """
    if len(source) > MOST_CHARACTERS:
        raise BoundRuleError(
            f"{len(source)} characters: an expression has {MOST_CHARACTERS} at most; split it into two rules",
            source,
            MOST_CHARACTERS,
        )
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _PATTERN.match(source, at)
        if match is None:
            sign = source[at]
            instead = _INSTEAD.get(sign, "take it out")
            raise SyntaxRuleError(f"'{sign}' is not a sign of expressions: {instead}", source, at)
        text = match.group()
        if match.lastgroup == "number":
            if not math.isfinite(float(text)):
                raise SyntaxRuleError(f"{text} is too large for a number; write a smaller one", source, at)
            found.append(Token(TokenKind.NUMBER, text, at))
        elif match.lastgroup == "name":
            kind = TokenKind.WORD if text in WORDS else TokenKind.NAME
            found.append(Token(kind, text.replace("µ", "u").replace("μ", "u"), at))
        elif match.lastgroup == "sign":
            found.append(Token(TokenKind.SIGN, text, at))
        at = match.end()
    return [*found, Token(TokenKind.END, "", len(source))]


__all__ = ["MOST_CHARACTERS", "WORDS", "Token", "TokenKind", "tokens"]
