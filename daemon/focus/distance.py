"""Keeping a distance that holograms tell: one says how far off the stage is, a move corrects, another one checks it.

Pure: what to do next follows from what was read so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

MOVES_MOST = 3
"""Corrections within one excursion; with the right scale one is enough."""
LEFT_MOST = 0.7
"""Part of an error that a move may leave; more, and the scale or its sign is wrong."""
NOISE = 2.0
"""Errors below so many tolerances say nothing about the scale."""


@dataclass(frozen=True, slots=True)
class DistancePolicy:
    """What bounds an excursion. Distances are micrometres in the medium, positive along the light.

    Parameters
    ----------
    wanted_um
        The distance that is kept; ``None`` for the first one that is read.
    tolerance_um
        How near it must be.
    stage_per_distance
        Micrometres of stage that raise the distance by one, with its sign.
    low_um, high_um
        Where the stage may go.
    """

    wanted_um: float | None
    tolerance_um: float
    stage_per_distance: float
    low_um: float
    high_um: float

    def __post_init__(self) -> None:
        if not self.tolerance_um > 0 or self.stage_per_distance == 0:
            raise ValueError(
                f"tolerance_um {self.tolerance_um} must be positive, and stage_per_distance "
                f"{self.stage_per_distance} not 0"
            )


@dataclass(frozen=True, slots=True)
class DistanceReading:
    """What one hologram says.

    Parameters
    ----------
    z_um
        Where the stage was.
    distance_um
        The distance of the field; ``None`` where there is none.
    reason
        Why there is none.
    """

    z_um: float
    distance_um: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReadDistance:
    """Take a hologram where the stage is."""


@dataclass(frozen=True, slots=True)
class Correct:
    """Go to `z_um`, and take another hologram there."""

    z_um: float


@dataclass(frozen=True, slots=True)
class DistanceResult:
    """The end.

    Parameters
    ----------
    held
        Whether the specimen is at the wanted distance.
    distance_um, wanted_um
        The last one that was read, and the one that is kept; ``None`` where there is none.
    reason
        Why it is not held.
    """

    held: bool
    distance_um: float | None
    wanted_um: float | None
    reason: str = ""


DistanceStep: TypeAlias = ReadDistance | Correct | DistanceResult


def propose_distance(policy: DistancePolicy, readings: tuple[DistanceReading, ...]) -> DistanceStep:
    """Say what to do next.

    Parameters
    ----------
    policy
        What bounds the excursion.
    readings
        What was read so far: first where it began, then after each move.
    """
    if not readings:
        return ReadDistance()
    last = readings[-1]
    if last.distance_um is None:
        return DistanceResult(False, None, policy.wanted_um, f"a hologram has no distance: {last.reason or 'unknown'}")
    wanted_um = policy.wanted_um if policy.wanted_um is not None else readings[0].distance_um
    assert wanted_um is not None  # noqa: S101 - without the first distance it would have ended there; narrows the type
    error_um = last.distance_um - wanted_um
    if abs(error_um) <= policy.tolerance_um:
        return DistanceResult(True, last.distance_um, wanted_um)
    lost = DistanceResult(False, last.distance_um, wanted_um, _doubt(policy, wanted_um, readings, error_um))
    if lost.reason:
        return lost
    target_um = last.z_um - error_um * policy.stage_per_distance
    if not policy.low_um <= target_um <= policy.high_um:
        reason = (
            f"the specimen is {error_um:+.3g} µm off, for which the stage would have to go to {target_um:.4g} µm, "
            f"beyond {policy.low_um:g} … {policy.high_um:g} (stage.limits_um, focus.range_um)"
        )
        return DistanceResult(False, last.distance_um, wanted_um, reason)
    return Correct(target_um)


def _doubt(policy: DistancePolicy, wanted_um: float, readings: tuple[DistanceReading, ...], error_um: float) -> str:
    """Why no further move should be made; empty where one may."""
    if len(readings) < 2:
        return ""
    before_um = (readings[-2].distance_um or 0.0) - wanted_um
    moved_um = readings[-1].z_um - readings[-2].z_um
    if abs(error_um) > max(LEFT_MOST * abs(before_um), NOISE * policy.tolerance_um):
        return (
            f"a move of {moved_um:+.3g} µm has brought the error of the distance from {before_um:+.3g} to "
            f"{error_um:+.3g} µm: the scale of the stage or its sign is wrong, or the specimen itself moves; run "
            "'microscoped calibrate hologram'"
        )
    if len(readings) > MOVES_MOST:
        return f"after {MOVES_MOST} moves the distance is still {error_um:+.3g} µm off"
    return ""


__all__ = [
    "MOVES_MOST",
    "Correct",
    "DistancePolicy",
    "DistanceReading",
    "DistanceResult",
    "DistanceStep",
    "ReadDistance",
    "propose_distance",
]
