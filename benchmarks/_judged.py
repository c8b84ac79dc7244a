"""Targets: what a figure is held against, and how tables and verdicts are printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console


def judged(what: str, found: float | None, limit: float, *, least: bool = True, strict: bool = False) -> dict[str, Any]:
    """Return a target with what was found.

    Parameters
    ----------
    what
        In words.
    found
        The figure; ``None`` where there is none, NaN where it could not be computed and so misses.
    limit
        What it is held against.
    least
        Whether the limit is the least that is wanted, or else the most.
    strict
        Whether it must be above the limit.
    """
    if found is None or math.isnan(found):
        met = None if found is None else False
    elif strict:
        met = found > limit
    else:
        met = found >= limit if least else found <= limit
    return {"what": what, "found": found, "limit": limit, "least": least, "met": met}


def missed(targets: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a target is missed, or none could be judged."""
    told = [target["met"] for target in targets if target["met"] is not None]
    return not told or not all(told)


def print_targets(targets: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print each target with its figure and verdict."""
    for target in targets:
        sign = ">=" if target["least"] else "<="
        value = "not measured" if target["found"] is None else f"{target['found']:.4g}"
        verdict = {None: "", True: "met", False: "MISSED"}[target["met"]]
        console.print(f"{target['what']:72} {value:>12}   {sign} {target['limit']:<8g} {verdict}", markup=False)


def table_of(title: str, columns: Iterable[str], caption: str = "") -> Table:
    """Return an empty table; its first column is of words, the others of numbers."""
    table = Table(title=title, title_justify="left", caption=caption or None, caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


__all__ = ["judged", "missed", "print_targets", "table_of"]
