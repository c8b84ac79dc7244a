"""The past of single cells: one column of a table, as it was in a few measurements within a window.

The window is divided into slots of equal length; of each the last measurement is kept. All cells are looked at at once,
and sums go slot by slot, so that every machine finds the same.
"""
# ruff: noqa: TC003 - the journal reads these types at run time

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from microscoped.daemon.rules.series import LEAST_COVERED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Reals: TypeAlias = NDArray[np.float64]

MOST_TRACK_SLOTS: Final = 16
"""Of a window."""


class TrackSlot(NamedTuple):
    """The cells of one measurement.

    Parameters
    ----------
    at_ns
        When it was made.
    tracks, values
        Numbers of the cells, rising, and what was measured of each: little-endian numbers of double precision.
    """

    at_ns: int
    tracks: bytes
    values: bytes


@dataclass(frozen=True, slots=True)
class Tracks:
    """The past of cells, the oldest first."""

    slots: tuple[TrackSlot, ...] = ()


def add_cells(past: Tracks, at_ns: int, tracks: Reals, values: Reals, over_ns: int) -> Tracks:
    """Return the past of cells with another measurement, which is the newest.

    Parameters
    ----------
    past, over_ns
        What is kept, and the window.
    at_ns
        When the measurement was made.
    tracks, values
        Numbers of the cells and what was measured of each, shape (cells,); negative numbers and NaN are left out.
    """
    width = max(1, over_ns // MOST_TRACK_SLOTS)
    kept = [slot for slot in past.slots if slot.at_ns > at_ns - over_ns]
    if kept and kept[-1].at_ns // width == at_ns // width:
        kept.pop()
    there = np.flatnonzero((tracks >= 0.0) & np.isfinite(values))
    order = there[np.argsort(tracks[there], kind="stable")]
    return Tracks((*kept, TrackSlot(at_ns, _packed(tracks[order]), _packed(values[order]))))


def _packed(values: Reals) -> bytes:
    return values.astype("<f8").tobytes()


def of_cells(name: str, past: Tracks, now_ns: int, over_ns: int, tracks: Reals) -> Reals:
    """Return what a function says of the past of cells.

    Parameters
    ----------
    name
        One of `OF_CELLS`.
    past, now_ns, over_ns
        What is kept, and the window.
    tracks
        Numbers of the cells, shape (cells,); those with a negative number or NaN are not followed.

    Returns
    -------
    values
        Shape (cells,); NaN where less than half of the window is covered.
    """
    slots = [slot for slot in past.slots if slot.at_ns > now_ns - over_ns]
    if not slots:
        return np.full(len(tracks), np.nan)
    times = np.array([(slot.at_ns - slots[0].at_ns) / 1e9 for slot in slots])
    order = np.argsort(tracks, kind="stable")
    values = _side_by_side(slots, tracks[order])
    known = np.isfinite(values)
    first, last = known.argmax(axis=0), len(slots) - 1 - known[::-1].argmax(axis=0)
    covered = known.any(axis=0) & (times[last] - times[first] >= LEAST_COVERED * over_ns / 1e9)
    with np.errstate(all="ignore"):
        found = OF_CELLS[name](values, known, times)
    told = np.full(len(tracks), np.nan)
    told[order] = np.where(covered & np.isfinite(found), found, np.nan)
    return told


def _side_by_side(slots: Sequence[TrackSlot], tracks: Reals) -> Reals:
    """The values of measurements for cells in their rising order, shape (slots, cells); NaN where there is none."""
    own = _packed(tracks)
    if all(slot.tracks == own for slot in slots):
        return np.frombuffer(b"".join([slot.values for slot in slots]), "<f8").reshape(len(slots), len(tracks))
    return np.stack([_aligned(slot, tracks) for slot in slots])


def _aligned(slot: TrackSlot, tracks: Reals) -> Reals:
    """The values of one measurement for other cells, in their rising order; NaN for those that it does not have."""
    if not slot.tracks:
        return np.full(len(tracks), np.nan)
    have, values = np.frombuffer(slot.tracks, "<f8"), np.frombuffer(slot.values, "<f8")
    at = np.minimum(np.searchsorted(have, tracks), len(have) - 1)
    return np.where(have[at] == tracks, values[at], np.nan)


def _total(rows: Reals) -> Reals:
    """The sum over slots, in their order."""
    total = np.zeros(rows.shape[1])
    for row in rows:
        total = total + row
    return total


def _mean(values: Reals, known: NDArray[np.bool_], times: Reals) -> Reals:
    found: Reals = _total(np.where(known, values, 0.0)) / known.sum(axis=0)
    return found


def _median(values: Reals, known: NDArray[np.bool_], times: Reals) -> Reals:
    ordered, count = np.sort(values, axis=0), np.maximum(known.sum(axis=0), 1)
    middle = [np.take_along_axis(ordered, at[None], axis=0)[0] for at in ((count - 1) // 2, count // 2)]
    found: Reals = 0.5 * (middle[0] + middle[1])
    return found


def _least(values: Reals, known: NDArray[np.bool_], times: Reals) -> Reals:
    found: Reals = np.where(known, values, np.inf).min(axis=0)
    return found


def _greatest(values: Reals, known: NDArray[np.bool_], times: Reals) -> Reals:
    found: Reals = np.where(known, values, -np.inf).max(axis=0)
    return found


def _change(values: Reals, known: NDArray[np.bool_], times: Reals) -> Reals:
    cells = np.arange(values.shape[1])
    found: Reals = values[len(values) - 1 - known[::-1].argmax(axis=0), cells] - values[known.argmax(axis=0), cells]
    return found


def _rate(values: Reals, known: NDArray[np.bool_], times: Reals) -> Reals:
    """Slope per second of the straight line that fits best (least squares)."""
    count = known.sum(axis=0)
    since = np.where(known, times[:, None], 0.0)
    from_middle = np.where(known, since - _total(since) / count, 0.0)
    found: Reals = _total(from_middle * np.where(known, values, 0.0)) / _total(from_middle**2)
    return found


OF_CELLS: Final[Mapping[str, Callable[[Reals, NDArray[np.bool_], Reals], Reals]]] = {
    "mean": _mean,
    "median": _median,
    "min": _least,
    "max": _greatest,
    "rate": _rate,
    "change": _change,
}
"""What is said of a cell's past, by its name in expressions."""

__all__ = ["MOST_TRACK_SLOTS", "OF_CELLS", "TrackSlot", "Tracks", "add_cells", "of_cells"]
