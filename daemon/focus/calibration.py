"""Where a calibration of focus from pairs goes, and when it has seen enough: pure functions of what came so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microscoped.daemon.focus._types import Approach  # noqa: TC001 - the journal reads this type at run time

SWEEP_DOF = 10.0
"""Sweeps reach so far to either side of the focus."""
SWEEP_STEP_DOF = 0.5
MOVES = 20
MOVES_DOF = 8.0
"""Closed-loop moves begin so far to either side of the focus at most."""
FIT_PART = 2 / 3
FEWEST_FIELDS = 3
FARTHEST_FROM_FLANK_DOF = 3.0
"""How far the stage goes away between two visits of the flank; more than any play that it can tell."""
RESTS, RETURNS, REVERSES = 5, 6, 3
"""Images at rest, after a return from the side of the approach, and after one from the other side."""
LEAST_SWEEP = 0.6
"""Part of a sweep that must lie inside the limits."""

Use: TypeAlias = Literal["pass", "sweep", "rest", "return", "reverse", "first", "pair"]
"""What a place is visited for; nothing is exposed where the stage only passes."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One move, and what is done where it ends.

    Parameters
    ----------
    z_um
        Where to.
    use
        What for.
    direct
        Whether the stage goes there straight, without arriving from the side of the approach: that shows its play.
    begins
        Whether it is the first of a sweep.
    """

    z_um: float
    use: Use
    direct: bool = False
    begins: bool = False


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """One calibration.

    Parameters
    ----------
    dof_um, delta_um
        Depth of field, and the distance between the two images of a pair.
    low_um, high_um
        Limits of the stage.
    approach
        How z changes on arrival.
    fields
        How many fields with a focus are wanted.
    search_images
        Most images of one search.
    exposure_ms
        Of each image.

    Raises
    ------
    ValueError
        Too few fields, or limits that leave no room for a sweep.
    """

    dof_um: float
    delta_um: float
    low_um: float
    high_um: float
    approach: Approach
    fields: int
    search_images: int
    exposure_ms: float

    def __post_init__(self) -> None:
        if self.fields < FEWEST_FIELDS:
            raise ValueError(f"fields {self.fields}: {FEWEST_FIELDS} or more are needed, to fit to and to judge by")
        if self.high_um - self.low_um < 2 * SWEEP_DOF * self.dof_um:
            raise ValueError(
                f"a sweep takes {2 * SWEEP_DOF * self.dof_um:.3g} µm (±{SWEEP_DOF:g} depths of field), but "
                f"stage.limits_um leaves {self.high_um - self.low_um:g} µm; widen them"
            )

    @property
    def side(self) -> int:
        """+1 where the stage arrives rising, else −1."""
        return 1 if self.approach == "increasing" else -1

    @property
    def apart(self) -> int:
        """Steps of a sweep from the first to the second image of a pair."""
        return max(1, round(self.delta_um / (SWEEP_STEP_DOF * self.dof_um)))

    @property
    def fit_fields(self) -> int:
        """Fields that the correction is fitted to; the others judge it."""
        return min(self.fields - 1, max(2, round(self.fields * FIT_PART)))

    @property
    def judge_fields(self) -> int:
        """Fields that judge the correction."""
        return self.fields - self.fit_fields

    @property
    def moves_per_field(self) -> int:
        """Closed-loop moves in each judging field."""
        return math.ceil(MOVES / self.judge_fields)

    @property
    def rejections(self) -> int:
        """Fields without a focus that are put up with."""
        return max(2, self.fields // 2)

    @property
    def sweep_images(self) -> int:
        """Images of one sweep."""
        return 2 * round(SWEEP_DOF * self.dof_um / self._step_um) + 1

    @property
    def images_most(self) -> int:
        """Images in all, at most, without fields that are rejected."""
        per_field = self.search_images + self.sweep_images
        stage = RESTS + RETURNS + REVERSES
        return self.fields * per_field + stage + 2 * self.moves_per_field * self.judge_fields

    @property
    def dose_ms_most(self) -> float:
        """Exposure in all, at most, without fields that are rejected."""
        return self.images_most * self.exposure_ms

    @property
    def _step_um(self) -> float:
        return self.delta_um / self.apart

    def role(self, accepted: int) -> Literal["fit", "judge"]:
        """Return what the next field is for, after so many with a focus."""
        return "fit" if accepted < self.fit_fields else "judge"

    def sweep(self, focus_um: float) -> tuple[Leg, ...]:
        """Return the sweep about a focus, one-sided; empty where the limits cut off too much of it."""
        half = round(SWEEP_DOF * self.dof_um / self._step_um)
        places = [focus_um + self.side * k * self._step_um for k in range(-half, half + 1)]
        inside = [z for z in places if self.low_um <= z <= self.high_um]
        if len(inside) < LEAST_SWEEP * len(places):
            return ()
        return tuple(Leg(z, "sweep", begins=k == 0) for k, z in enumerate(inside))

    def visits(self, flank_um: float) -> tuple[Leg, ...]:
        """Return the visits to a flank that show what the stage does."""
        away_um = FARTHEST_FROM_FLANK_DOF * self.dof_um
        before, beyond = (self._inside(flank_um + way * self.side * away_um) for way in (-1, 1))
        legs = [Leg(before, "pass"), Leg(flank_um, "rest"), *(Leg(flank_um, "rest") for _ in range(RESTS - 1))]
        for _ in range(RETURNS):
            legs += [Leg(before, "pass"), Leg(flank_um, "return")]
        for _ in range(REVERSES):
            legs += [Leg(beyond, "pass"), Leg(flank_um, "reverse", direct=True)]
        return tuple(legs)

    def pair(self, focus_um: float, number: int) -> tuple[Leg, Leg]:
        """Return the two images before closed-loop move `number` (0, 1, …) of a field, spread evenly about the focus.

        Neighbours in time are not neighbours in z, so that nothing that changes with time looks like defocus.
        """
        count = self.moves_per_field
        turn = (number * _step_of(count)) % count
        second_um = focus_um + ((turn + 0.5) / count * 2 - 1) * MOVES_DOF * self.dof_um
        first_um = second_um - self.side * self.delta_um
        if not self.low_um <= first_um <= self.high_um or not self.low_um <= second_um <= self.high_um:
            second_um = self._inside(second_um, self.delta_um)
            first_um = second_um - self.side * self.delta_um
        return Leg(first_um, "first"), Leg(second_um, "pair")

    def target_um(self, z_um: float, defocus_um: float) -> float | None:
        """Return where a pair at `z_um` sends the stage; ``None`` where that is outside the limits."""
        target = z_um - defocus_um
        return target if self.low_um <= target <= self.high_um else None

    def _inside(self, z_um: float, margin_um: float = 0.0) -> float:
        return min(max(z_um, self.low_um + margin_um), self.high_um - margin_um)


def _step_of(count: int) -> int:
    """Return a step that visits all of `count` places and goes far each time."""
    step = max(1, round(count * 0.382))
    while math.gcd(step, count) != 1:
        step += 1
    return step


__all__ = ["FEWEST_FIELDS", "MOVES", "SWEEP_DOF", "SWEEP_STEP_DOF", "CalibrationPlan", "Leg", "Use"]
