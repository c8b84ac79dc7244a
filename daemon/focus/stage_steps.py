"""Where a calibration of holograms goes: places over a range, each visited from one side; pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microscoped.daemon.focus._types import Approach  # noqa: TC001 - the journal reads this type at run time

REVERSES = 3
"""Visits of the middle place from the other side: they show play."""
LEAST_RANGE = 0.5
"""Part of the range that must lie inside the limits."""
FEWEST_STEPS = 5

StepUse: TypeAlias = Literal["pass", "step", "reverse"]
"""What the stage goes somewhere for; nothing is exposed where it only passes."""


@dataclass(frozen=True, slots=True)
class StepLeg:
    """One move, and what is done where it ends.

    Parameters
    ----------
    z_um
        Where to.
    use
        What for.
    place, visit
        Number of the place, from below, and of this visit to it.
    direct
        Whether the stage goes there straight, without arriving from the side of the approach: that shows its play.
    """

    z_um: float
    use: StepUse
    place: int = 0
    visit: int = 0
    direct: bool = False


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The places, and the order in which they are visited.

    Parameters
    ----------
    start_um, range_um
        Where the stage is, and how far it shall go to either side.
    limits_um
        Lowest and highest coordinate allowed.
    approach
        How z changes on arrival.
    overshoot_um
        Room that an arrival from the right side takes below (above) the first place.
    steps, visits
        How many places, and how often each is visited.
    longest_um
        Longest single move; ``None`` for no bound.
    exposure_ms
        Of each image.

    Raises
    ------
    ValueError
        The limits leave less than half of the range, or steps are longer than a move may be.
    """

    start_um: float
    range_um: float
    limits_um: tuple[float, float]
    approach: Approach
    overshoot_um: float
    steps: int
    visits: int
    longest_um: float | None
    exposure_ms: float

    def __post_init__(self) -> None:
        low, high = self.span_um
        if self.steps < FEWEST_STEPS:
            raise ValueError(f"steps {self.steps}: at least {FEWEST_STEPS} are needed for a line")
        if high - low < LEAST_RANGE * 2 * self.range_um:
            raise ValueError(
                f"range_um {self.range_um:g}: stage.limits_um leave {max(0.0, high - low):.3g} µm of the "
                f"{2 * self.range_um:g} µm around {self.start_um:g} µm; begin elsewhere, or take a smaller range"
            )
        if self.longest_um is not None and self.step_um > self.longest_um:
            raise ValueError(
                f"steps {self.steps}: they are {self.step_um:.3g} µm long, and while stage.focus_direction is unknown "
                f"no move may exceed {self.longest_um:g} µm; take more steps or a smaller range, or declare it"
            )

    @property
    def side(self) -> int:
        """+1 where the stage arrives rising, else −1."""
        return 1 if self.approach == "increasing" else -1

    @property
    def span_um(self) -> tuple[float, float]:
        """Lowest and highest place: the range as far as the limits, and an arrival from the right side, allow."""
        low, high = self.start_um - self.range_um, self.start_um + self.range_um
        bottom, top = self.limits_um
        if self.side > 0:
            bottom += self.overshoot_um
        else:
            top -= self.overshoot_um
        return max(low, bottom), min(high, top)

    @property
    def step_um(self) -> float:
        """Distance of neighbouring places."""
        low, high = self.span_um
        return (high - low) / (self.steps - 1)

    @property
    def images(self) -> int:
        """Images of all visits."""
        return self.steps * self.visits + REVERSES

    @property
    def places_um(self) -> tuple[float, ...]:
        """The places, rising."""
        low, _ = self.span_um
        return tuple(low + k * self.step_um for k in range(self.steps))

    def legs(self) -> tuple[StepLeg, ...]:
        """Return all moves, in order: every visit arrives from the side of the approach, but the last ones."""
        places = list(enumerate(self.places_um))
        if self.side < 0:
            places.reverse()
        legs: list[StepLeg] = []
        at = self.start_um
        for visit in range(self.visits):
            for place, z_um in places:
                legs += [*self.passes(at, z_um), StepLeg(z_um, "step", place, visit)]
                at = z_um
        place, middle = places[len(places) // 2]
        _, end = places[-1]
        for number in range(REVERSES):
            legs += [*self.passes(at, end), StepLeg(end, "pass")]
            legs += [*self.passes(end, middle, direct=True)]
            legs.append(StepLeg(middle, "reverse", place, self.visits + number, direct=True))
            at = middle
        return tuple(legs)

    def passes(self, from_um: float, to_um: float, *, direct: bool = False) -> tuple[StepLeg, ...]:
        """Return the moves before the last one on the way to a place, where one move would be too long."""
        if self.longest_um is None:
            return ()
        hops = math.ceil(abs(to_um - from_um) / self.longest_um - 1e-9)
        between = (from_um + (to_um - from_um) * k / hops for k in range(1, hops))
        return tuple(StepLeg(z_um, "pass", direct=direct) for z_um in between)

    def home(self, from_um: float) -> tuple[StepLeg, ...]:
        """Return the way back to where the stage began.

        Parameters
        ----------
        from_um
            Where it rested last: it may have left there when a move was ended early, and goes there first where moves
            are bounded.
        """
        first = () if self.longest_um is None else (StepLeg(from_um, "pass"),)
        return (*first, *self.passes(from_um, self.start_um), StepLeg(self.start_um, "pass"))


__all__ = ["FEWEST_STEPS", "REVERSES", "StepLeg", "StepPlan", "StepUse"]
