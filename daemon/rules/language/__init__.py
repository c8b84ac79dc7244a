"""The language of rules: conditions over measurements, parsed and typed, never executed as code (``docs/rules.md``)."""

from microscoped.daemon.rules.language._band import release
from microscoped.daemon.rules.language._calls import Series
from microscoped.daemon.rules.language._catalogue import FLAG, STANDARD, Catalogue, Flag, Kind, TableKind
from microscoped.daemon.rules.language._expression import Expression, Reads, together
from microscoped.daemon.rules.language._functions import FUNCTIONS
from microscoped.daemon.rules.language._nodes import Condition, Numeric
from microscoped.daemon.rules.language._parser import MOST_DEPTH, MOST_PARTS, parse
from microscoped.daemon.rules.language._tokens import MOST_CHARACTERS
from microscoped.daemon.rules.language._units import PLAIN, UNITS, Unit

__all__ = [
    "FLAG",
    "FUNCTIONS",
    "MOST_CHARACTERS",
    "MOST_DEPTH",
    "MOST_PARTS",
    "PLAIN",
    "STANDARD",
    "UNITS",
    "Catalogue",
    "Condition",
    "Expression",
    "Flag",
    "Kind",
    "Numeric",
    "Reads",
    "Series",
    "TableKind",
    "Unit",
    "parse",
    "release",
    "together",
]
