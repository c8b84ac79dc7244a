"""Sequences and events of useq-schema as plain data; useq itself is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from pydantic import JsonValue


@runtime_checkable
class Dumps(Protocol):
    """What ``useq.MDASequence`` and ``useq.MDAEvent`` have in common here."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return it as plain data."""
        ...


Plain: TypeAlias = "Mapping[str, JsonValue] | Dumps"
"""An object of useq, or the same as a mapping."""


def plain(content: Plain) -> dict[str, JsonValue]:
    """Return a sequence or an event as JSON.

    Raises
    ------
    TypeError
        It is neither an object of useq nor a mapping.
    """
    if isinstance(content, Mapping):
        return dict(content)
    if isinstance(content, Dumps):
        return content.model_dump(mode="json")
    raise TypeError(f"{type(content).__name__}: give an object of useq, or a mapping with its fields")


__all__ = ["Plain", "plain"]
