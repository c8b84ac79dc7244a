"""One look at what is known: the values that expressions read, at one moment and no older than a rule allows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from microscoped.daemon.rules.series import OF_NUMBERS, counted, covered, numbers_within, quantile
from microscoped.daemon.rules.tracks import Tracks, of_cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.daemon.rules.series import Slot
    from microscoped.daemon.rules.state import Latest, RulesState

Bounds: TypeAlias = tuple[float, float]
"""The least and the greatest that a number can be: equal where it is known, infinite where nothing is."""
UNBOUNDED: Final[Bounds] = (-math.inf, math.inf)
NS_PER_S: Final = 1e9
"""Times are divided by it: that is exact where a factor of 1e-9 is not."""
NO_PAST: Final = Tracks()


class Rows:
    """A table's columns as arrays: NaN where something was not measured.

    Parameters
    ----------
    columns
        As in `Latest`.
    """

    def __init__(self, columns: Mapping[str, Sequence[float | None]]) -> None:
        self._columns = columns
        self._arrays: dict[str, NDArray[np.float64]] = {}
        self.count = len(next(iter(columns.values()), ()))

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column, shape (rows,)."""
        found = self._arrays.get(name)
        if found is None:
            found = self._arrays[name] = np.array(self._columns[name], np.float64)
        return found


class Memory:
    """What looks have computed of tables and of the past of cells, for those that come after. Used by one thread.

    It holds nothing but values of pure functions, each with what it was computed of: a look finds the same with any
    memory. Many looks come between two measurements of cells.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Mapping[str, Sequence[float | None]], Rows]] = {}
        self._tracks: dict[tuple[str, str], tuple[Tracks, int, NDArray[np.float64], NDArray[np.float64]]] = {}

    def rows(self, table: str, columns: Mapping[str, Sequence[float | None]]) -> Rows:
        """Return a table's columns as arrays."""
        kept = self._rows.get(table)
        if kept is None or kept[0] is not columns:
            kept = self._rows[table] = columns, Rows(columns)
        return kept[1]

    def of_tracks(
        self, name: str, series: str, past: Tracks, now_ns: int, over_ns: int, tracks: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return `of_cells`: it changes with the measurements that the window holds, not with the time itself."""
        first = sum(slot.at_ns <= now_ns - over_ns for slot in past.slots)
        kept = self._tracks.get((name, series))
        if kept is None or kept[0] is not past or kept[1] != first or kept[2] is not tracks:
            found = of_cells(name, past, now_ns, over_ns, tracks)
            kept = self._tracks[name, series] = past, first, tracks, found
        return kept[3]


class Look:
    """See the module's docstring. Used by one thread, within one step.

    Parameters
    ----------
    state
        What is known.
    now_ns
        The moment.
    max_age_ns
        What is older is not known; it may be changed between two expressions.
    memory
        Of the looks before; ``None``: nothing is known of any.
    """

    def __init__(self, state: RulesState, now_ns: int, max_age_ns: int, memory: Memory | None = None) -> None:
        self.now_ns = now_ns
        self.max_age_ns = max_age_ns
        self._state = state
        self._memory = memory if memory is not None else Memory()
        self._within: dict[str, Sequence[Slot]] = {}

    def latest(self, engine: str) -> Latest | None:
        """Return an engine's newest measurement, however old."""
        return self._state.latest.get(engine)

    def fresh(self, engine: str) -> Latest | None:
        """Return an engine's newest measurement where it is not too old."""
        found = self._state.latest.get(engine)
        return None if found is None or self.now_ns - found.at_ns > self.max_age_ns else found

    def value(self, engine: str, path: str) -> float | None:
        """Return a value; ``None`` where it is not known."""
        found = self.fresh(engine)
        return None if found is None else found.values.get(path)

    def rows(self, engine: str, table: str) -> Rows | None:
        """Return a table; ``None`` where it is not known."""
        found = self.fresh(engine)
        columns = None if found is None else found.tables.get(table)
        return None if columns is None else self._memory.rows(table, columns)

    def age_s(self, engine: str) -> Bounds:
        """Return how old an engine's newest measurement is; where there is none, at least as old as the watch."""
        found = self._state.latest.get(engine)
        if found is None:
            return ((self.now_ns - self._state.began_ns) / NS_PER_S, math.inf)
        age = (self.now_ns - found.at_ns) / NS_PER_S
        return (age, age)

    def window(self, series: str, over_ns: int) -> Sequence[Slot]:
        """Return the samples of a window."""
        if series not in self._within:
            numbers = self._state.numbers.get(series)
            self._within[series] = () if numbers is None else numbers_within(numbers.slots, self.now_ns, over_ns)
        return self._within[series]

    def of_window(self, name: str, series: str, over_ns: int, part: float) -> float | None:
        """Return what a function says of a window; ``None`` where its samples do not cover it."""
        slots = self.window(series, over_ns)
        return _said(name, slots, part) if covered(slots, over_ns) else None

    def counted(self, series: str, over_ns: int) -> Bounds:
        """Return how often a condition held within a window."""
        tallies = self._state.tallies.get(series)
        return (0.0, math.inf) if tallies is None else counted(tallies, self.now_ns, over_ns)

    def of_tracks(self, name: str, series: str, over_ns: int, tracks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a function says of the window of each cell, NaN where its samples do not cover it."""
        past = self._state.tracks.get(series, NO_PAST)
        return self._memory.of_tracks(name, series, past, self.now_ns, over_ns, tracks)


def _said(name: str, slots: Sequence[Slot], part: float) -> float:
    return quantile(slots, part) if name == "quantile" else OF_NUMBERS[name](slots)


__all__ = ["UNBOUNDED", "Bounds", "Look", "Memory", "Rows"]
