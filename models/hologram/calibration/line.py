"""How the distance of a specimen follows the stage: a robust straight line (Jaferzadeh 2019, Fig. 4e, f).

Each cell has its own distance, so each has its own offset; all share the slope and a slow drift. Readings are weighted
by Tukey's biweight: a cell that was searched into the wrong minimum here or there does not count. The error of the
slope is the jackknife's over places of the stage, because what goes wrong at one place goes wrong for all cells there,
and over cells, because light that is scattered elsewhere bends each cell's own line; and never less than `SHARED`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FEWEST_PLACES = 5
"""Places of the stage with readings, below which there is no line."""
FEWEST_OF_A_CELL = 3
"""Places at which a cell must have been read, to count."""
MOST_CELLS = 24
"""Those with the most readings are taken: more make the line hardly better known."""
CONFIDENCE = 0.90
"""Of the interval of the slope."""
REACH = 4.685
"""Tukey's constant: readings further off, in standard deviations, do not count."""
SHARED = 0.003
"""Least half width of the interval over the slope: what fringes and speckle do to all cells alike."""
SINGLE = 0.01
"""The same where there is only one cell, and no other one to compare it with."""
ROUNDS, ROUNDS_WITHOUT = 20, 6
"""Of fitting and weighing: with all readings, and for the error with some of them left out."""
LONG_BASE = 0.25
"""Least part of the whole way that lies between two places whose slope is taken for a beginning."""
COLLINEAR = 0.98
"""Correlation of stage and time from which on drift cannot be told from the slope."""
COUNTS = 0.05
"""Weight below which a reading is an outlier."""


@dataclass(frozen=True, slots=True)
class DistanceReading:
    """The distance of one cell at one visit of one place.

    Parameters
    ----------
    stage_um
        Where the stage was.
    t_s
        When.
    place, visit, cell
        Numbers of the place, of this visit to it, and of the cell.
    distance_um
        Its distance.
    reverse
        Whether the stage had come from the other side than usual: such visits show its play and are no part of the
        line.
    """

    stage_um: float
    t_s: float
    place: int
    visit: int
    cell: int
    distance_um: float
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class PlaceFigures:
    """What was seen at one place of the stage.

    Parameters
    ----------
    stage_um
        Where it is.
    distance_um
        Mean distance there, of a cell whose offset is the median one.
    residual_um
        How far it lies above the line.
    visits
        How often it was visited with success.
    """

    stage_um: float
    distance_um: float
    residual_um: float
    visits: int


@dataclass(frozen=True, slots=True)
class Line:
    """Distance over stage.

    Parameters
    ----------
    slope
        µm of distance per µm of stage; its sign says which way distances run.
    half_width
        Half of the slope's 90 % interval.
    offset_um
        Median distance of the cells where the stage is at 0, at the middle of the time.
    drift_um_s
        How fast distances rise while the stage rests; 0 where that cannot be told.
    repeatability_um
        Standard deviation of the mean distance between visits of the same place.
    linearity_um, worst_um
        Root mean square, and the greatest, of the residuals of places.
    play_um
        How far the stage is off, in its own µm, after coming from the other side; ``None`` where that was not tried.
    cells, readings, outliers
        Cells that count, their readings, and how many of these lie too far off the line to count.
    places
        Each place.
    """

    slope: float
    half_width: float
    offset_um: float
    drift_um_s: float
    repeatability_um: float
    linearity_um: float
    worst_um: float
    play_um: float | None
    cells: int
    readings: int
    outliers: int
    places: tuple[PlaceFigures, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Readings as columns; shape (readings,) each."""

    stage: NDArray[np.float64]
    time: NDArray[np.float64]
    distance: NDArray[np.float64]
    place: NDArray[np.intp]
    visit: NDArray[np.intp]
    cell: NDArray[np.intp]

    @classmethod
    def of(cls, readings: Sequence[DistanceReading]) -> _Table:
        names = ("stage_um", "t_s", "distance_um", "place", "visit", "cell")
        columns = [np.array([getattr(one, name) for one in readings]) for name in names]
        return cls(
            *(column.astype(float) for column in columns[:3]), *(column.astype(np.intp) for column in columns[3:])
        )

    def where(self, chosen: NDArray[np.bool_]) -> _Table:
        return _Table(*(getattr(self, name)[chosen] for name in _Table.__slots__))

    def centred(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values less the weighted mean of their cell."""
        return values - self.means(values, weights)[self.cell]

    def means(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted mean of each cell."""
        count = int(self.cell.max()) + 1
        total = np.bincount(self.cell, weights, count)
        return np.asarray(np.bincount(self.cell, weights * values, count) / np.maximum(total, 1e-12))


def fit_line(readings: Sequence[DistanceReading], floor_um: float) -> Line | str:
    """Fit the line.

    Parameters
    ----------
    readings
        All of them, in any order; those of visits in reverse are only looked at for play.
    floor_um
        Least standard deviation that readings are thought to have: a table without noise has no outliers.

    Returns
    -------
    line
        Or in words why there is none: too few places, or a stage that did not move.
    """
    forward = [one for one in readings if not one.reverse]
    seen: dict[int, set[int]] = defaultdict(set)
    for one in forward:
        seen[one.cell].add(one.place)
    often = sorted((c for c in seen if len(seen[c]) >= FEWEST_OF_A_CELL), key=lambda c: (-len(seen[c]), c))
    kept = {cell: number for number, cell in enumerate(often[:MOST_CELLS])}
    forward = [one for one in forward if one.cell in kept]
    places = sorted({one.place for one in forward})
    if len(places) < FEWEST_PLACES:
        return (
            f"distances at {len(places)} places of the stage, at least {FEWEST_PLACES} are needed for a line; look "
            "whether there are cells, and fringes, over the whole range"
        )
    table = _numbered(forward, kept)
    if np.ptp(table.stage) <= 0:
        return f"the stage reads {table.stage[0]:g} µm at all {len(places)} places: it does not move"
    slope, drift, weights = _robust(table, floor_um)
    total = np.where(weights > 0, weights, 0.0)
    level = table.means(table.distance - slope * table.stage - drift * table.time, total)
    rest = table.distance - level[table.cell] - slope * table.stage - drift * table.time
    middle_s = 0.5 * (float(table.time.min()) + float(table.time.max()))
    trusted = np.bincount(table.cell, total) > COUNTS
    offset = float(np.median(level[trusted])) + drift * middle_s
    chosen = trusted[table.cell]
    figures, repeatability = _places(table.where(chosen), rest[chosen], slope, offset)
    residuals = np.array([one.residual_um for one in figures])
    reverse = [one for one in readings if one.reverse and one.cell in kept]
    return Line(
        slope=slope,
        half_width=_half_width(table, weights, floor_um),
        offset_um=offset,
        drift_um_s=drift,
        repeatability_um=repeatability,
        linearity_um=float(np.sqrt(np.mean(residuals**2))),
        worst_um=float(np.abs(residuals).max()),
        play_um=_play(reverse, kept, level, slope, drift),
        cells=len(kept),
        readings=len(forward),
        outliers=int(np.count_nonzero(weights < COUNTS)),
        places=figures,
    )


def _numbered(readings: Sequence[DistanceReading], kept: dict[int, int]) -> _Table:
    """Return the table, its cells numbered without gaps."""
    table = _Table.of(readings)
    cell = np.array([kept[one.cell] for one in readings], np.intp)
    return _Table(table.stage, table.time, table.distance, table.place, table.visit, cell)


def _robust(table: _Table, floor_um: float) -> tuple[float, float, NDArray[np.float64]]:
    """Return slope, drift and the weight of each reading."""
    rest = table.distance - _first_slope(table) * table.stage
    for cell in range(int(table.cell.max()) + 1):
        rest[table.cell == cell] -= np.median(rest[table.cell == cell])
    return _reweighted(table, _weights(rest, floor_um), floor_um, ROUNDS)


def _reweighted(
    table: _Table, weights: NDArray[np.float64], floor_um: float, rounds: int
) -> tuple[float, float, NDArray[np.float64]]:
    """Fit and weigh by turns; return slope, drift and weights."""
    with_time = _tells_drift(table)
    slope, drift = 0.0, 0.0
    for _ in range(rounds):
        slope, drift = _solved(table, weights, with_time)
        rest = table.centred(table.distance - slope * table.stage - drift * table.time, weights)
        updated = _weights(rest, floor_um)
        settled = float(np.abs(updated - weights).max()) < 1e-4
        weights = updated
        if settled:
            break
    return slope, drift, weights


def _first_slope(table: _Table) -> float:
    """Return the median slope between places far apart, of all cells (Theil and Sen)."""
    places, place = np.unique(table.place, return_inverse=True)
    shape = int(table.cell.max()) + 1, len(places)
    key = table.cell * len(places) + place
    count = np.bincount(key, minlength=shape[0] * shape[1])
    stage, distance = (
        (np.bincount(key, values, len(count)) / np.maximum(count, 1)).reshape(shape)
        for values in (table.stage, table.distance)
    )
    first, second = np.triu_indices(len(places), 1)
    away = stage[:, second] - stage[:, first]
    known = (count.reshape(shape) > 0)[:, first] & (count.reshape(shape) > 0)[:, second]
    far = known & (np.abs(away) >= LONG_BASE * float(np.ptp(table.stage)))
    slopes = (distance[:, second] - distance[:, first])[far] / away[far]
    return float(np.median(slopes)) if slopes.size else 0.0


def _weights(rest: NDArray[np.float64], floor_um: float) -> NDArray[np.float64]:
    scale = max(1.4826 * float(np.median(np.abs(rest))), floor_um)
    return np.asarray(np.square(np.maximum(1.0 - np.square(rest / (REACH * scale)), 0.0)))


def _tells_drift(table: _Table) -> bool:
    """Whether stage and time vary so differently that drift can be told from the slope."""
    even = np.ones(table.stage.size)
    stage, time = table.centred(table.stage, even), table.centred(table.time, even)
    product = float(np.sqrt(np.sum(stage**2) * np.sum(time**2)))
    return product > 0 and abs(float(np.sum(stage * time))) < COLLINEAR * product


def _solved(table: _Table, weights: NDArray[np.float64], with_time: bool) -> tuple[float, float]:
    """Return slope and drift by weighted least squares, each cell with its own offset."""
    columns = [table.centred(table.stage, weights)]
    if with_time:
        columns.append(table.centred(table.time, weights))
    root = np.sqrt(weights)
    target = table.centred(table.distance, weights) * root
    design = np.stack(columns, axis=1) * root[:, None]
    found = np.linalg.lstsq(design.T @ design, design.T @ target, rcond=None)[0]
    return float(found[0]), float(found[1]) if with_time else 0.0


def _half_width(table: _Table, weights: NDArray[np.float64], floor_um: float) -> float:
    """Return half of the slope's interval, from what it is with each place, and each cell, left out in turn."""
    cells = np.unique(table.cell[weights > COUNTS])
    shared = abs(_solved(table, weights, _tells_drift(table))[0]) * (SHARED if len(cells) > 1 else SINGLE)
    halves = [shared]
    for column, values in ((table.place, np.unique(table.place)), (table.cell, cells)):
        count = len(values)
        if count > 1:
            rests = [column != value for value in values]
            without = [_reweighted(table.where(rest), weights[rest], floor_um, ROUNDS_WITHOUT) for rest in rests]
            slopes = np.array([slope for slope, _, _ in without])
            error = float(np.sqrt((count - 1) / count * np.sum((slopes - slopes.mean()) ** 2)))
            halves.append(error * float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)))
    return float(np.linalg.norm(halves))


def _places(
    table: _Table, rest: NDArray[np.float64], slope: float, offset: float
) -> tuple[tuple[PlaceFigures, ...], float]:
    """Return what was seen at each place, and the standard deviation between visits of the same one.

    Of each visit the median over cells counts: a cell in a wrong minimum does not move it, a stage that came to another
    place does, however little the line heeds that visit.
    """
    figures: list[PlaceFigures] = []
    squares, freedom = 0.0, 0
    for place in np.unique(table.place):
        here = table.place == place
        seen = [float(np.median(rest[here & (table.visit == visit)])) for visit in np.unique(table.visit[here])]
        residual = float(np.mean(seen))
        squares += sum((one - residual) ** 2 for one in seen)
        freedom += len(seen) - 1
        stage = float(table.stage[here].mean())
        figures.append(PlaceFigures(stage, offset + slope * stage + residual, residual, len(seen)))
    return tuple(figures), float(np.sqrt(squares / freedom)) if freedom else 0.0


def _play(
    reverse: Sequence[DistanceReading], kept: dict[int, int], level: NDArray[np.float64], slope: float, drift: float
) -> float | None:
    """Return how far off the stage is after coming from the other side."""
    off: dict[int, list[float]] = defaultdict(list)
    for one in reverse:
        expected = level[kept[one.cell]] + slope * one.stage_um + drift * one.t_s
        off[one.visit].append(one.distance_um - float(expected))
    if not off or slope == 0:
        return None
    return abs(float(np.median([np.median(found) for found in off.values()])) / slope)


__all__ = ["CONFIDENCE", "FEWEST_PLACES", "DistanceReading", "Line", "PlaceFigures", "fit_line"]
