"""What a calibration must reach to be accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from scipy.special import bdtrc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.models.focus_pair.calibration.figures import Figures

COVERED_AT_LEAST = 0.70
"""Least part of the 90 % intervals of long pairs that hold the truth: with less, the watch would suspend pairs soon."""

BY_CHANCE = 0.05
"""Probability below which chance does not explain too many intervals that hold the truth."""


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars. Lengths in depths of field, the rest parts of 1.

    Parameters
    ----------
    mean_dof, p95_dof
        Of the absolute error.
    wrong_sign
        Of pairs beyond one depth of field.
    coverage
        Least and largest part of the 90 % intervals that hold the truth. The largest is exceeded only where so few
        pairs would hardly show it by chance: of 37 pairs all may lie inside.
    abstained
        Largest part of pairs, and of moves, without an answer.
    moves, moves_within, move_dof
        Real moves by one pair each, which part of them must end within `move_dof` of the focus.
    agreement_dof
        How far two metrics may differ on the focus of a field.
    drift_dof
        Largest drift during one pair.
    sweep_drift_dof
        Largest drift during one sweep: beyond it the focus that a sweep finds is not where the pairs were taken.
    """

    mean_dof: float = 0.5
    p95_dof: float = 1.0
    wrong_sign: float = 0.01
    coverage: tuple[float, float] = (0.80, 0.97)
    abstained: float = 0.10
    moves: int = 20
    moves_within: float = 0.95
    move_dof: float = 1.0
    agreement_dof: float = 0.5
    drift_dof: float = 0.5
    sweep_drift_dof: float = 1.0

    @property
    def of_long(self) -> Bars:
        """What long pairs must reach, which check a focus and do not find it.

        Twice the error will do, but it must be known as well as the watch over the checks asks for. A check that tells
        nothing costs one pair more and no error.
        """
        return replace(
            self,
            mean_dof=2 * self.mean_dof,
            p95_dof=2 * self.p95_dof,
            wrong_sign=5 * self.wrong_sign,
            coverage=(COVERED_AT_LEAST, 1.0),
            abstained=3 * self.abstained,
        )


class Moves(BaseModel):
    """What became of real moves by one pair each.

    Parameters
    ----------
    moves, told
        How many were tried, and how many pairs were answered.
    within
        Part of the answered ones that ended within the bar.
    mean_dof, worst_dof
        Distance from the focus at the end, in depths of field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    moves: int
    told: int
    within: float | None = None
    mean_dof: float | None = None
    worst_dof: float | None = None


def moves_of(residuals_dof: Sequence[float | None], bars: Bars) -> Moves:
    """Return the figures of moves; `residuals_dof` are the distances from the focus, ``None`` without an answer."""
    told = [abs(value) for value in residuals_dof if value is not None]
    if not told:
        return Moves(moves=len(residuals_dof), told=0)
    return Moves(
        moves=len(residuals_dof),
        told=len(told),
        within=sum(value <= bars.move_dof for value in told) / len(told),
        mean_dof=sum(told) / len(told),
        worst_dof=max(told),
    )


def shortfalls(figures: Figures, bars: Bars) -> list[str]:
    """Return what figures fail in; nothing where they pass."""
    if figures.mean_dof is None or figures.p95_dof is None or figures.coverage is None:
        return [f"none of {figures.pairs} pairs was answered"]
    low, high = bars.coverage
    wrong = figures.wrong_sign or 0.0
    checks = (
        (figures.mean_dof > bars.mean_dof, f"mean error {figures.mean_dof:.2f} DoF (at most {bars.mean_dof:g})"),
        (
            figures.p95_dof > bars.p95_dof,
            f"95 % of the errors lie below {figures.p95_dof:.2f} DoF (at most {bars.p95_dof:g})",
        ),
        (wrong > bars.wrong_sign, f"wrong sign in {wrong:.1%} of the pairs (at most {bars.wrong_sign:.0%})"),
        (
            figures.coverage < low or _surely_above(high, figures.coverage, figures.told),
            f"the 90 % interval holds the truth in {figures.coverage:.1%} of {figures.told} pairs "
            f"(must be {low:.0%} … {high:.0%})",
        ),
        (
            figures.abstained > bars.abstained,
            f"no answer to {figures.abstained:.0%} of the pairs (at most {bars.abstained:.0%})",
        ),
    )
    return [reason for failed, reason in checks if failed]


def _surely_above(bar: float, part: float, pairs: int) -> bool:
    """Tell whether so large a part of so many pairs would hardly come about by chance, were the bar the truth."""
    return bool(bdtrc(round(part * pairs) - 1, pairs, bar) < BY_CHANCE)


def move_shortfalls(moves: Moves, bars: Bars) -> list[str]:
    """Return what moves fail in."""
    if moves.moves < bars.moves:
        return [f"only {moves.moves} of {bars.moves} moves could be tried"]
    if moves.within is None:
        return [f"none of {moves.moves} moves: no pair was answered"]
    reasons = []
    if moves.within < bars.moves_within:
        reasons.append(
            f"{moves.within:.0%} of {moves.told} moves ended within {bars.move_dof:g} DoF of the focus "
            f"(at least {bars.moves_within:.0%})"
        )
    unanswered = 1.0 - moves.told / moves.moves
    if unanswered > bars.abstained:
        reasons.append(f"no answer before {unanswered:.0%} of the moves (at most {bars.abstained:.0%})")
    return reasons


__all__ = ["Bars", "Moves", "move_shortfalls", "moves_of", "shortfalls"]
