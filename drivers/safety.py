"""The rules of motion: which moves are refused, and by which way points the others go.

Pure functions on frozen settings. The daemon asks them for an early answer to a client; `microscoped.drivers.motion`,
the only code that moves a stage, asks them again for every move, whoever wants it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from microscoped.drivers.errors import (
    DirectionUnknownError,
    LimitHighError,
    LimitLowError,
    LimitsUnsetError,
    LimitXYError,
    StepLimitError,
)
from microscoped.drivers.protocols import FocusDirection


class Origin(StrEnum):
    """Who wants a move."""

    CLIENT = "client"
    """A person's script: held to the step limit."""
    AUTOMATIC = "automatic"
    """The daemon itself (focus, rule, acquisition): longer moves are split, and none is long while the direction is
    unknown."""


class Approach(StrEnum):
    """From which side a stage arrives, as the sense in which its coordinate changes at last."""

    INCREASING = "increasing"
    DECREASING = "decreasing"

    @property
    def sign(self) -> int:
        """+1 or −1."""
        return 1 if self is Approach.INCREASING else -1


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """All that decides how a stage may move.

    Parameters
    ----------
    limits_um
        Lowest and highest coordinate, or ``None``: then nothing moves.
    max_step_um
        The longest step that a client may command; automatic moves are split into such steps.
    focus_direction
        Where a rising coordinate moves the focus.
    approach
        Side of the final approach. ``None``: toward the sample if the direction is known, else arrive as it comes.
    overshoot_um
        How far beyond the target a move from the other side goes before it turns (larger than the backlash).
    unknown_direction_step_um
        The longest automatic move while the direction is unknown.
    arrival_tolerance_um
        How near to the target the read-back must be.
    settle_ms
        How long the stage rests after arrival before an exposure counts.
    timeout_s
        How long one commanded move may take.
    """

    limits_um: tuple[float, float] | None
    max_step_um: float = 100.0
    focus_direction: FocusDirection = FocusDirection.UNKNOWN
    approach: Approach | None = None
    overshoot_um: float = 0.0
    unknown_direction_step_um: float = 0.0
    arrival_tolerance_um: float = 0.1
    settle_ms: float = 0.0
    timeout_s: float = 10.0

    @property
    def approach_side(self) -> Approach | None:
        """The configured side, else the one that arrives toward the sample, else ``None``."""
        if self.approach is not None:
            return self.approach
        return {FocusDirection.TOWARD_SAMPLE: Approach.INCREASING, FocusDirection.AWAY: Approach.DECREASING}.get(
            self.focus_direction
        )


@dataclass(frozen=True, slots=True)
class XYMotionSettings:
    """All that decides how a stage in the plane may move.

    Parameters
    ----------
    limits_x_um, limits_y_um
        Lowest and highest coordinate of each axis, or ``None``: then it does not move.
    arrival_tolerance_um
        How near to the target the read-back of each axis must be.
    settle_ms
        How long the stage rests after arrival before an exposure counts.
    timeout_s
        How long one move may take.
    """

    limits_x_um: tuple[float, float] | None = None
    limits_y_um: tuple[float, float] | None = None
    arrival_tolerance_um: float = 1.0
    settle_ms: float = 0.0
    timeout_s: float = 30.0


def check_xy_target(settings: XYMotionSettings, target_um: tuple[float, float]) -> None:
    """Refuse a target (x, y) outside the limits of the plane.

    Raises
    ------
    LimitsUnsetError, LimitXYError
        With the axis, the target, the limit and the remedy.
    """
    limits = {"x": settings.limits_x_um, "y": settings.limits_y_um}
    for (axis, limit), value_um in zip(limits.items(), target_um, strict=True):
        if limit is None:
            raise LimitsUnsetError(
                f"no limits of {axis} are configured, so the stage does not move in the plane; set "
                f"stage.limits_{axis}_um in the configuration"
            )
        low, high = limit
        if not (math.isfinite(value_um) and low <= value_um <= high):
            raise LimitXYError(
                f"target {axis} = {value_um:g} µm is outside the limits of {low:g} to {high:g} µm "
                f"(stage.limits_{axis}_um)"
            )


def check_target(settings: MotionSettings, target_um: float) -> None:
    """Refuse a target outside the limits.

    Raises
    ------
    LimitsUnsetError, LimitHighError, LimitLowError
        With the target, the limit and the remedy.
    """
    if settings.limits_um is None:
        raise LimitsUnsetError("no z limits are configured, so nothing moves; set stage.limits_um in the configuration")
    low, high = settings.limits_um
    if not math.isfinite(target_um) or target_um > high:
        raise LimitHighError(f"target {target_um:g} µm is above the limit of {high:g} µm (stage.limits_um)")
    if target_um < low:
        raise LimitLowError(f"target {target_um:g} µm is below the limit of {low:g} µm (stage.limits_um)")


def check_move(settings: MotionSettings, start_um: float, target_um: float, origin: Origin) -> None:
    """Refuse a move that breaks a rule of motion.

    Parameters
    ----------
    start_um, target_um
        Where the stage is, and where it should go.
    origin
        Who wants it.

    Raises
    ------
    MotionRefusedError
        One of its subclasses, with the values and the remedy.
    """
    check_target(settings, target_um)
    step = abs(target_um - start_um)
    if origin is Origin.CLIENT and step > settings.max_step_um:
        raise StepLimitError(
            f"step of {step:g} µm (from {start_um:g} to {target_um:g}) is longer than stage.max_step_um = "
            f"{settings.max_step_um:g}; go in smaller steps or raise the setting"
        )
    if origin is Origin.AUTOMATIC:
        check_automatic(settings, step)


def check_automatic(settings: MotionSettings, longest_um: float) -> None:
    """Refuse automatic motion whose longest move is `longest_um` where the focus direction does not allow it.

    Raises
    ------
    DirectionUnknownError
        The direction is unknown, and no approach side is configured or the move is too long.
    """
    if settings.focus_direction is not FocusDirection.UNKNOWN:
        return
    remedy = "declare stage.focus_direction (toward_sample or away) in the configuration"
    if settings.approach is None:
        raise DirectionUnknownError(f"the focus direction is unknown and no approach side is configured; {remedy}")
    if longest_um > settings.unknown_direction_step_um:
        raise DirectionUnknownError(
            f"the focus direction is unknown: an automatic move of {longest_um:g} µm exceeds "
            f"{settings.unknown_direction_step_um:g} µm; {remedy}"
        )


def way_points(settings: MotionSettings, start_um: float, target_um: float) -> tuple[float, ...]:
    """Return the coordinates to command, in order; the last is the target.

    A move that would arrive from the wrong side first goes `overshoot_um` beyond the target (less where a limit is
    nearer). Each leg is split into equal steps no longer than `max_step_um`.
    """
    corners = [target_um]
    side = settings.approach_side
    if side is not None and settings.overshoot_um > 0 and (target_um - start_um) * side.sign < 0:
        turn = target_um - side.sign * settings.overshoot_um
        if settings.limits_um is not None:
            turn = min(max(turn, settings.limits_um[0]), settings.limits_um[1])
        if turn != target_um:
            corners.insert(0, turn)
    points: list[float] = []
    at = start_um
    for corner in corners:
        steps = max(1, math.ceil(abs(corner - at) / settings.max_step_um - 1e-9))
        points.extend(at + (corner - at) * k / steps for k in range(1, steps))
        points.append(corner)
        at = corner
    return tuple(points)


def arrives_by_approach(settings: MotionSettings, last_leg_um: float) -> bool:
    """Whether a last leg of signed length `last_leg_um` ends in the sense of the approach."""
    side = settings.approach_side
    return side is None or last_leg_um * side.sign >= 0


__all__ = [
    "Approach",
    "MotionSettings",
    "Origin",
    "XYMotionSettings",
    "arrives_by_approach",
    "check_automatic",
    "check_move",
    "check_target",
    "check_xy_target",
    "way_points",
]
