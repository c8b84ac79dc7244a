"""Cells from frame to frame, their growth and their motion.

Each frame's cells are linked to those of the frames before by linear assignment (K. Jaqaman et al., Nature Methods 5,
695 (2008)) with the cost of TrackMate: the squared distance, enlarged by the difference of dry mass (J.-Y. Tinevez et
al., Methods 115, 80 (2017)). The assignment is SciPy's; frames come one at a time, as they do from a camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from microscoped.models.cells._assignment import assign, near_pairs
from microscoped.models.cells._tracks import Tracks
from microscoped.models.cells.errors import SettingsError, TimeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.cells.measures import CellTable

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
class Linker:
    """Links the cells of a series of frames of one place. Not for several threads.

    Parameters
    ----------
    settings
        What may be one cell.
    """

    settings: LinkSettings = field(default_factory=LinkSettings)
    _tracks: Tracks = field(init=False)
    _count: int = field(default=0, init=False)
    _time_s: float | None = field(default=None, init=False)
    _drift_um: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2), init=False)

    def __post_init__(self) -> None:
        self._tracks = Tracks(self.settings.most_points)

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
        numbers[rows] = self._tracks.numbers[owners]
        self._tracks.seen(owners, time_s, places[rows], table.dry_mass_pg[rows])
        self._tracks.forget(self.settings.gap_frames)
        new = np.flatnonzero(numbers < 0)
        numbers[new] = self._count + np.arange(len(new))
        self._count += len(new)
        self._tracks.begin(numbers[new], time_s, places[new], table.dry_mass_pg[new])
        return table.with_tracks(numbers)

    def motions(self) -> list[Motion]:
        """Return what the cells did that were seen twice at least and are not lost, by their numbers."""
        columns = [column.tolist() for column in self._tracks.summary()]
        return [
            Motion(track, points, duration, _known(growth), _known(half), speed, away)
            for track, points, duration, growth, half, speed, away in zip(*columns, strict=True)
        ]

    def _pairs(
        self, places: NDArray[np.float64], masses: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which track each linked row belongs to."""
        settings = self.settings
        reach = settings.reach_um * np.sqrt(self._tracks.unseen + 1.0)
        farthest = settings.reach_um * math.sqrt(settings.gap_frames + 1.0)
        track, row, distance = near_pairs(self._tracks.last_um, places, farthest)
        before = self._tracks.last_pg[track]
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
        near = self._tracks.unseen[owners] == 0
        steps = (places[rows] - self._tracks.last_um[owners])[near]
        return np.median(steps, axis=0) if len(steps) >= LEAST_FOR_DRIFT else np.zeros(2)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


__all__ = ["LinkSettings", "Linker", "Motion"]
