"""What a model's NumPy docstring says: a summary, and the meaning of each field."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

_SECTION = re.compile(r"\n\n?([A-Z][A-Za-z ]+)\n-{3,}\n")
_NAMES = re.compile(r"[a-z_0-9]+(, [a-z_0-9]+)*")


class UndocumentedFieldError(Exception):
    """A model of the protocol has a field that its docstring does not explain: add it under *Parameters*."""


def summary(model: type[BaseModel]) -> str:
    """Return what a model's docstring says before its first section, on one line."""
    return " ".join(_SECTION.split(inspect.getdoc(model) or "")[0].split())


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what each field of a model means.

    Raises
    ------
    UndocumentedFieldError
        A field is not explained, or something is explained that is no field.
    """
    parts = _SECTION.split(inspect.getdoc(model) or "")
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found: dict[str, str] = {}
    names: list[str] = []
    for line in sections.get("Parameters", "").splitlines():
        if line.startswith(" "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
        elif _NAMES.fullmatch(line):
            names = line.split(", ")
    unlike = set(found) ^ set(model.model_fields)
    if unlike:
        raise UndocumentedFieldError(f"{model.__name__}: {', '.join(sorted(unlike))}")
    return found


__all__ = ["UndocumentedFieldError", "meanings", "summary"]
