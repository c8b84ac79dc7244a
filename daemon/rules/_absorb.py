"""What is kept of a measurement: the values and columns that rules read, and samples of their windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from microscoped.daemon.rules.language import Numeric
from microscoped.daemon.rules.look import Look
from microscoped.daemon.rules.series import Numbers, Tallies, add_number, add_tally
from microscoped.daemon.rules.state import Latest
from microscoped.daemon.rules.tracks import Tracks, add_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from microscoped.daemon.rules.language import Reads, Series
    from microscoped.daemon.rules.program import Program
    from microscoped.daemon.rules.state import Measurement, RulesState

MOST_ROWS: Final = 4_096
"""Rows of a table that are looked at; a longer one is not known."""
EXACT: Final = 2**53
"""Whole numbers below it are floats."""
ANY_AGE_NS: Final = 2**63
"""Older than anything."""


def absorb(program: Program, state: RulesState, measured: Measurement, now_ns: int) -> RulesState:
    """Return what is known after a measurement; one that is no newer than its engine's newest is left out.

    No frame was exposed later than now, whatever its estimate says.
    """
    reads, engine, at_ns = program.reads, measured.engine, min(measured.at_ns, now_ns)
    if engine not in reads.engines and not any(of == engine for of, _ in reads.ages_ns):
        return state
    before = state.latest.get(engine)
    if before is not None and at_ns <= before.at_ns:
        return replace(state, late=state.late + 1)
    state = replace(state, latest={**state.latest, engine: _latest(reads, measured, at_ns)})
    look = Look(state, at_ns, ANY_AGE_NS, program.memory)
    numbers, tallies, tracks = dict(state.numbers), dict(state.tallies), dict(state.tracks)
    for key, series in reads.series.items():
        if series.engine != engine:
            continue
        if series.table is not None:
            tracks[key] = _with_cells(tracks.get(key, Tracks()), series, look)
        elif isinstance(series.of, Numeric):
            low, high = series.of.bounds(look)
            if low == high:
                slots = numbers.get(key, Numbers()).slots
                numbers[key] = Numbers(add_number(slots, at_ns, low, series.over_ns))
        else:
            old = tallies.get(key, Tallies(state.began_ns))
            holds = series.of.truth(look)
            tallies[key] = replace(old, slots=add_tally(old.slots, at_ns, holds, series.over_ns))
    return replace(state, numbers=numbers, tallies=tallies, tracks=tracks)


def _latest(reads: Reads, measured: Measurement, at_ns: int) -> Latest:
    values = {path: _number(_found(measured.values, path)) for path in sorted(reads.values.get(measured.engine, ()))}
    tables: dict[str, Mapping[str, tuple[float | None, ...]]] = {}
    too_long: list[str] = []
    for name, kind in sorted(reads.tables.items()):
        if kind.engine != measured.engine:
            continue
        table = measured.values.get(kind.key)
        if _length(table) > MOST_ROWS:
            too_long.append(name)
            continue
        columns = _columns(table, sorted(reads.columns[name]))
        if columns is not None:
            tables[name] = columns
    return Latest(measured.id, measured.frame, at_ns, values, tables, tuple(too_long))


def _found(values: Mapping[str, JsonValue], path: str) -> JsonValue:
    """The value of a path; its first part is the engine."""
    here: JsonValue | Mapping[str, JsonValue] = values
    for part in path.split(".")[1:]:
        if not isinstance(here, Mapping):
            return None
        here = here.get(part)
    return None if isinstance(here, Mapping) else here


def _number(value: JsonValue) -> float | None:
    """A number or a truth value as a number; ``None`` for all that is none, or not finite."""
    if type(value) is float:
        return value if -math.inf < value < math.inf else None
    if not isinstance(value, float | int):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _length(table: JsonValue) -> int:
    if isinstance(table, list):
        return len(table)
    if isinstance(table, Mapping):
        return max((len(column) for column in table.values() if isinstance(column, list)), default=0)
    return 0


def _columns(table: JsonValue, names: Sequence[str]) -> Mapping[str, tuple[float | None, ...]] | None:
    """Columns of a list of rows, or of a mapping of columns; ``None`` where there is no such table.

    What a row does not have was not measured in it. Columns of a mapping must be equally long.
    """
    if isinstance(table, list):
        rows = [row if isinstance(row, Mapping) else {} for row in table]
        return {name: _numbers([row.get(name) for row in rows]) for name in names}
    if not isinstance(table, Mapping):
        return None
    found: dict[str, tuple[float | None, ...]] = {}
    for name in names:
        column = table.get(name)
        if not isinstance(column, list):
            return None
        found[name] = _numbers(column)
    return found if len({len(column) for column in found.values()}) == 1 else None


def _numbers(column: Sequence[JsonValue]) -> tuple[float | None, ...]:
    """A column as `_number` of each of its values; at once where all are of one kind, and numbers."""
    kinds = set(map(type, column))
    if kinds == {float} and all(map(math.isfinite, column)):  # type: ignore[arg-type] # floats
        return tuple(column)  # type: ignore[arg-type] # as above
    if kinds in ({bool}, {int}) and max(column) < EXACT and min(column) > -EXACT:  # type: ignore[type-var, operator]
        return tuple(map(float, column))  # type: ignore[arg-type] # as above
    return tuple([_number(value) for value in column])


def _with_cells(past: Tracks, series: Series, look: Look) -> Tracks:
    """The past of cells with what is sampled of each, where the table is known."""
    rows = look.rows(series.engine, series.table or "")
    if rows is None or not isinstance(series.of, Numeric):
        return past
    return add_cells(past, look.now_ns, rows.column(series.track or ""), series.of.of_rows(look, rows), series.over_ns)


__all__ = ["MOST_ROWS", "absorb"]
