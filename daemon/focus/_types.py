"""What goes into a focus search and what comes out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Approach: TypeAlias = Literal["increasing", "decreasing"]
"""How z changes on the way to a probe that needs no overshoot against backlash."""

Extremum: TypeAlias = Literal["max", "min"]
"""Whether focus is where the contrast is greatest or, for phase specimens, where it dips between two maxima."""

ExtremumChoice: TypeAlias = Extremum | Literal["auto"]
"""What may be asked for: one of the two, or whichever the curve shows."""

MIN_IMAGES = 8


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """One search.

    Parameters
    ----------
    center_um
        z at the start, in the driver's own coordinate.
    low_um, high_um
        Interval that is searched; the caller has intersected it with the limits of motion. No probe lies outside.
    tolerance_um
        Error of z that is good enough.
    coarse_step_um
        Largest distance between neighbouring probes of the first scan, at which the peak must still show: three times
        the depth of field n·λ/NA² is safe. It is widened where `max_images` would not do.
    extremum
        Focus as the ``"max"`` or ``"min"`` of contrast, or ``"auto"``: decided by the curve, after a finer scan.
    approach
        The scans run in this direction, so that they need no overshoot.
    max_images
        The search ends after this many samples.
    min_prominence
        How far the score must fall on both sides of focus (or rise, for a dip), relative to the peak.

    Raises
    ------
    ValueError
        Where a figure makes no sense.
    """

    center_um: float
    low_um: float
    high_um: float
    tolerance_um: float
    coarse_step_um: float
    extremum: ExtremumChoice = "max"
    approach: Approach = "increasing"
    max_images: int = 40
    min_prominence: float = 0.1

    def __post_init__(self) -> None:
        figures = (self.center_um, self.low_um, self.high_um, self.tolerance_um, self.coarse_step_um)
        if not all(map(math.isfinite, figures)):
            raise ValueError("all positions and distances must be finite")
        if not self.low_um <= self.center_um <= self.high_um or self.low_um == self.high_um:
            raise ValueError(
                f"center_um {self.center_um} must lie in [{self.low_um}, {self.high_um}], which is not empty"
            )
        if self.tolerance_um <= 0 or self.coarse_step_um <= 0:
            raise ValueError("tolerance_um and coarse_step_um must be positive")
        if self.max_images < MIN_IMAGES:
            raise ValueError(f"max_images is {self.max_images}, but a search needs at least {MIN_IMAGES}")
        if not 0 < self.min_prominence < 1:
            raise ValueError(f"min_prominence is {self.min_prominence}, but must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the search.

    Parameters
    ----------
    z_um
        Where it was taken, read back from the stage.
    score
        Its sharpness: positive.
    error
        Standard error of the score; 0 where unknown.
    """

    z_um: float
    score: float
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The next image to take."""

    z_um: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The end of a search.

    Parameters
    ----------
    focused
        Whether focus was found.
    z_um
        Where it is. Found: the last sample was taken there. Not found: the start.
    extremum
        Which kind of focus was found.
    prominence
        How far the score falls on both sides of focus (or rises, for a dip), relative to the peak (0–1).
    noise
        Scatter of the scores about a smooth curve, on the same scale.
    reason
        Why there is no focus; empty where there is.
    curve
        All samples by rising z.
    """

    focused: bool
    z_um: float
    extremum: Extremum | None
    prominence: float
    noise: float
    reason: str
    curve: tuple[Sample, ...]


__all__ = ["MIN_IMAGES", "Approach", "Extremum", "ExtremumChoice", "Probe", "Sample", "SearchResult", "SearchSettings"]
