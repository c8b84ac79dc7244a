"""The latest points of all cells that are followed, as arrays: what they did is computed for all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECONDS_PER_HOUR: Final = 3600.0


class Summary(NamedTuple):
    """What cells did that were seen twice at least, a value each; NaN where it is not known. See `Motion`."""

    numbers: NDArray[np.int64]
    points: NDArray[np.int64]
    duration_h: NDArray[np.float64]
    growth_per_h: NDArray[np.float64]
    growth_half_width_per_h: NDArray[np.float64]
    speed_um_per_h: NDArray[np.float64]
    displacement_um: NDArray[np.float64]


class Tracks:
    """The cells that are followed, a row each; of each the latest points, the newest last.

    Parameters
    ----------
    most_points
        That are kept of a cell.
    """

    def __init__(self, most_points: int) -> None:
        self.numbers = np.zeros(0, np.int64)
        self.unseen = np.zeros(0, np.int64)
        # Time in s, row and column in µm, mass in pg; NaN where there is no point.
        self._points = np.full((0, 4, most_points), np.nan)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def last_um(self) -> NDArray[np.float64]:
        """Where each was seen last, shape (tracks, 2)."""
        return self._points[:, 1:3, -1]

    @property
    def last_pg(self) -> NDArray[np.float64]:
        """Its mass then, shape (tracks,)."""
        return self._points[:, 3, -1]

    def seen(
        self, which: NDArray[np.int64], time_s: float, places: NDArray[np.float64], masses: NDArray[np.float64]
    ) -> None:
        """Add a frame, in which some were seen."""
        self.unseen += 1
        self.unseen[which] = 0
        moved = self._points[which]
        moved[:, :, :-1] = moved[:, :, 1:]
        moved[:, :, -1] = _points(time_s, places, masses)
        self._points[which] = moved

    def begin(
        self, numbers: NDArray[np.int64], time_s: float, places: NDArray[np.float64], masses: NDArray[np.float64]
    ) -> None:
        """Add cells that were not followed before."""
        new = np.full((len(numbers), *self._points.shape[1:]), np.nan)
        new[:, :, -1] = _points(time_s, places, masses)
        self._points = np.concatenate([self._points, new])
        self.numbers = np.concatenate([self.numbers, numbers])
        self.unseen = np.concatenate([self.unseen, np.zeros(len(numbers), np.int64)])

    def forget(self, unseen: int) -> None:
        """Drop those that were not seen in more than so many frames."""
        kept = self.unseen <= unseen
        if not kept.all():
            self._points, self.numbers, self.unseen = self._points[kept], self.numbers[kept], self.unseen[kept]

    def summary(self) -> Summary:
        """Return what they did, by their numbers."""
        times = self._points[:, 0]
        count = np.isfinite(times).sum(axis=1)
        chosen = np.flatnonzero(count > 1)
        chosen = chosen[np.argsort(self.numbers[chosen], kind="stable")]
        count = count[chosen]
        # Columns before the oldest point of all hold nothing.
        points = self._points[chosen, :, self._points.shape[2] - int(count.max(initial=1)) :]
        hours, rows, columns, masses = (points[:, k] for k in range(4))
        hours = hours / SECONDS_PER_HOUR
        first = np.arange(len(chosen)), hours.shape[1] - count
        duration = hours[:, -1] - hours[first]
        path = np.nansum(np.hypot(np.diff(rows, axis=1), np.diff(columns, axis=1)), axis=1)
        away = np.hypot(rows[:, -1] - rows[first], columns[:, -1] - columns[first])
        return Summary(self.numbers[chosen], count, duration, *_growth(hours, masses), path / duration, away)


def _points(time_s: float, places: NDArray[np.float64], masses: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.full(len(places), time_s), places, masses])


def _growth(hours: NDArray[np.float64], masses: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope of ln(mass) over time and half of its 90 % interval, of each row; NaN below three masses."""
    known = masses > 0
    count = known.sum(axis=1)
    least = np.maximum(count, 1)[:, None]
    logs = np.log(masses, where=known, out=np.zeros_like(masses))
    time = np.where(known, hours, 0.0)
    time = np.where(known, time - time.sum(axis=1, keepdims=True) / least, 0.0)
    logs = np.where(known, logs - logs.sum(axis=1, keepdims=True) / least, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (time * time).sum(axis=1)
        slope = (time * logs).sum(axis=1) / spread
        rest = logs - slope[:, None] * time
        error = np.sqrt((rest * rest).sum(axis=1) / (count - 2) / spread)
    enough = count >= 3
    half = special.stdtrit(np.maximum(count - 2, 1), 0.95) * error
    return np.where(enough, slope, np.nan), np.where(enough, half, np.nan)


__all__ = ["SECONDS_PER_HOUR", "Summary", "Tracks"]
