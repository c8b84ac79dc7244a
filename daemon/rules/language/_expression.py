"""A parsed expression, and what must be kept of measurements for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.rules.language._calls import Series
    from microscoped.daemon.rules.language._catalogue import TableKind
    from microscoped.daemon.rules.language._nodes import Condition


@dataclass(frozen=True, slots=True)
class Reads:
    """What is read of measurements.

    Parameters
    ----------
    values
        Paths, by engine.
    columns
        Names of columns, by table.
    tables
        The kinds of those tables.
    series
        Windows of the past, by key.
    ages_ns
        For each engine whose age is compared: with what.
    """

    values: Mapping[str, frozenset[str]]
    columns: Mapping[str, frozenset[str]]
    tables: Mapping[str, TableKind]
    series: Mapping[str, Series]
    ages_ns: tuple[tuple[str, int], ...]

    @property
    def engines(self) -> frozenset[str]:
        """Those whose measurements are read; of those whose age only is compared it is not the content that counts."""
        sampled = {series.engine for series in self.series.values()}
        return frozenset(self.values) | {table.engine for table in self.tables.values()} | sampled

    @property
    def anything(self) -> bool:
        """Whether anything is read at all."""
        return bool(self.engines or self.ages_ns)


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition.

    Parameters
    ----------
    source
        As it was written.
    condition
        What it means.
    reads
        What it reads.
    """

    source: str
    condition: Condition
    reads: Reads

    @property
    def text(self) -> str:
        """The same in its plain form: without needless spaces and parentheses."""
        return self.condition.text


def together(parts: list[Reads]) -> Reads:
    """Return what several expressions read."""
    values: dict[str, frozenset[str]] = {}
    columns: dict[str, frozenset[str]] = {}
    tables: dict[str, TableKind] = {}
    series: dict[str, Series] = {}
    for part in parts:
        for engine, paths in part.values.items():
            values[engine] = values.get(engine, frozenset()) | paths
        for table, names in part.columns.items():
            columns[table] = columns.get(table, frozenset()) | names
        tables |= part.tables
        series |= part.series
    ages = dict.fromkeys(age for part in parts for age in part.ages_ns)
    return Reads(values, columns, tables, series, tuple(ages))


__all__ = ["Expression", "Reads", "together"]
