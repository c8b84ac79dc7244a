"""Cells from frame to frame, their growth and their motion.

Each frame's cells are linked to those of the frames before by linear assignment (K. Jaqaman et al., Nature Methods 5,
695 (2008)) with the cost of TrackMate: the squared distance, enlarged by the difference of dry mass (J.-Y. Tinevez et
al., Methods 115, 80 (2017)). The assignment is SciPy's; frames come one at a time, as they do from a camera.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special

from microscoped.models.cells._assignment import assign, near_pairs
from microscoped.models.cells.errors import SettingsError, TimeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.cells.measures import CellTable

SECONDS_PER_HOUR: Final = 3600.0
LEAST_FOR_DRIFT: Final = 30
"""Links from which their median displacement is taken for the stage's."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What may be one cell.

    Parameters
    ----------
    reach_um
        Greatest distance from one frame to the next, the motion that all cells share taken off; √n times as much after
        n frames. Below half of the distance between neighbours, else they are taken for each other.
    gap_frames
        Frames in a row in which a cell may be missed.
    mass_weight
        Weight of the difference of dry mass.
    most_mass_change
        Greatest difference of dry masses over their sum. Beyond it the cell has divided: both daughters are new.
    most_points
        Latest points that are kept of a cell, for its growth and motion.

    Raises
    ------
    SettingsError
        One is impossible. The message names it.
    """

    reach_um: float = 15.0
    gap_frames: int = 2
    mass_weight: float = 3.0
    most_mass_change: float = 0.25
    most_points: int = 256

    def __post_init__(self) -> None:
        if not (math.isfinite(self.reach_um) and self.reach_um > 0):
            raise SettingsError(f"reach_um {self.reach_um}: must be a positive number")
        if self.gap_frames < 0:
            raise SettingsError(f"gap_frames {self.gap_frames}: must not be negative")
        if not self.mass_weight >= 0:
            raise SettingsError(f"mass_weight {self.mass_weight}: must not be negative")
        if not 0 < self.most_mass_change <= 1:
            raise SettingsError(f"most_mass_change {self.most_mass_change}: must be above 0, and 1 at most")
        if self.most_points < 2:
            raise SettingsError(f"most_points {self.most_points}: must be 2 at least")


@dataclass(frozen=True, slots=True)
class Motion:
    """What a linked cell did.

    Parameters
    ----------
    track
        Its number, as in `CellTable.track`.
    points
        Frames in which it was seen, of those kept.
    duration_h
        From the first of them to the last.
    growth_per_h
        Slope of ln(dry mass) over time; ``None`` with fewer than three masses. 0.035 doubles it in 20 h.
    growth_half_width_per_h
        Half of its 90 % interval, from the scatter round the line.
    speed_um_per_h
        Length of its path over the duration; with an error of the places of σ it is at least 1.8 σ per frame interval.
    displacement_um
        From its first place to its last, the motion that all cells share taken off.
    """

    track: int
    points: int
    duration_h: float
    growth_per_h: float | None
    growth_half_width_per_h: float | None
    speed_um_per_h: float
    displacement_um: float


@dataclass(slots=True)
class _Track:
    number: int
    times_s: deque[float]
    places_um: deque[tuple[float, float]]
    masses_pg: deque[float]
    unseen: int = 0


@dataclass(slots=True)
class Linker:
    """Links the cells of a series of frames of one place. Not for several threads.

    Parameters
    ----------
    settings
        What may be one cell.
    """

    settings: LinkSettings = field(default_factory=LinkSettings)
    _tracks: list[_Track] = field(default_factory=list, init=False)
    _count: int = field(default=0, init=False)
    _time_s: float | None = field(default=None, init=False)
    _drift_um: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2), init=False)

    @property
    def drift_um(self) -> tuple[float, float]:
        """How far (rows, columns) all cells have moved together since the first frame: the stage, not the cells."""
        return float(self._drift_um[0]), float(self._drift_um[1])

    def link(self, table: CellTable, time_s: float) -> CellTable:
        """Add a frame.

        Parameters
        ----------
        table
            Its cells.
        time_s
            When it was exposed, on a clock that all frames share.

        Returns
        -------
        The table with each cell's number: that of its track, or a new one. A number is never used again.

        Raises
        ------
        TimeError
            The frame is not later than the one before.
        """
        if not math.isfinite(time_s) or (self._time_s is not None and time_s <= self._time_s):
            raise TimeError(f"time_s {time_s}: must be later than that of the frame before, {self._time_s}")
        self._time_s = time_s
        places = table.places_um
        owners, rows = self._pairs(places - self._drift_um, table.dry_mass_pg)
        self._drift_um = self._drift_um + self._shared(places - self._drift_um, owners, rows)
        places = places - self._drift_um
        numbers = np.full(len(table), -1, np.int64)
        for one in self._tracks:
            one.unseen += 1
        for owner, row in zip(owners, rows, strict=True):
            numbers[row] = self._seen(self._tracks[owner], time_s, places[row], table.dry_mass_pg[row])
        self._tracks = [one for one in self._tracks if one.unseen <= self.settings.gap_frames]
        for row in np.flatnonzero(numbers < 0):
            most = self.settings.most_points
            started = _Track(self._count, deque(maxlen=most), deque(maxlen=most), deque(maxlen=most))
            self._count += 1
            self._tracks.append(started)
            numbers[row] = self._seen(started, time_s, places[row], table.dry_mass_pg[row])
        return table.with_tracks(numbers)

    def motions(self) -> list[Motion]:
        """Return what the cells did that were seen twice at least and are not lost, by their numbers."""
        found = [_motion(one) for one in self._tracks if len(one.times_s) > 1]
        return sorted(found, key=lambda one: one.track)

    def _pairs(
        self, places: NDArray[np.float64], masses: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which track each linked row belongs to."""
        settings = self.settings
        last = np.array([one.places_um[-1] for one in self._tracks]).reshape(-1, 2)
        reach = settings.reach_um * np.sqrt(np.array([one.unseen + 1.0 for one in self._tracks]))
        track, row, distance = near_pairs(last, places, settings.reach_um * math.sqrt(settings.gap_frames + 1.0))
        before = np.array([one.masses_pg[-1] for one in self._tracks])[track] if len(track) else np.zeros(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            change = np.abs(masses[row] - before) / (masses[row] + before)
        change = np.where(np.isfinite(change), change, 0.0)
        kept = (distance <= reach[track]) & (change <= settings.most_mass_change)
        track, row, distance, change = track[kept], row[kept], distance[kept], change[kept]
        penalty = 1.0 + settings.mass_weight * change
        alone = 0.5 * settings.reach_um**2 * (settings.gap_frames + 1.0) * (1.0 + settings.mass_weight) ** 2
        made = assign(track, row, (distance * penalty) ** 2, alone)
        return track[made], row[made]

    def _shared(
        self, places: NDArray[np.float64], owners: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the motion since the last frame that all cells share."""
        steps = [
            places[row] - self._tracks[owner].places_um[-1]
            for owner, row in zip(owners, rows, strict=True)
            if self._tracks[owner].unseen == 0
        ]
        return np.median(steps, axis=0) if len(steps) >= LEAST_FOR_DRIFT else np.zeros(2)

    def _seen(self, track: _Track, time_s: float, place: NDArray[np.float64], mass: float) -> int:
        track.times_s.append(time_s)
        track.places_um.append((float(place[0]), float(place[1])))
        track.masses_pg.append(float(mass))
        track.unseen = 0
        return track.number


def _motion(track: _Track) -> Motion:
    hours = np.array(track.times_s) / SECONDS_PER_HOUR
    places = np.array(track.places_um)
    duration = float(hours[-1] - hours[0])
    growth, half_width = _growth(hours, np.array(track.masses_pg))
    return Motion(
        track=track.number,
        points=len(hours),
        duration_h=duration,
        growth_per_h=growth,
        growth_half_width_per_h=half_width,
        speed_um_per_h=float(np.hypot(*np.diff(places, axis=0).T).sum()) / duration,
        displacement_um=float(np.hypot(*(places[-1] - places[0]))),
    )


def _growth(hours: NDArray[np.float64], masses: NDArray[np.float64]) -> tuple[float | None, float | None]:
    known = np.isfinite(masses) & (masses > 0)
    count = int(known.sum())
    if count < 3:
        return None, None
    time, logs = hours[known] - hours[known].mean(), np.log(masses[known])
    spread = float((time**2).sum())
    slope = float((time * logs).sum()) / spread
    rest = logs - logs.mean() - slope * time
    error = math.sqrt(float((rest**2).sum()) / (count - 2) / spread)
    return slope, float(special.stdtrit(count - 2, 0.95)) * error


__all__ = ["LinkSettings", "Linker", "Motion"]
