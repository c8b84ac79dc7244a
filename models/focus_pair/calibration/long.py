"""Long pairs, with which a focus is checked: what the network needs to be trusted on them, and whether it is enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from microscoped.models.focus_pair.calibration.bars import Bars, shortfalls
from microscoped.models.focus_pair.calibration.figures import Field, Figures, figures_of, told_of
from microscoped.models.focus_pair.calibration.fit import LEAST_FIELDS, Fit, fit_signed
from microscoped.models.focus_pair.correction import Correction, LongCorrection
from microscoped.models.focus_pair.estimate import INTERVAL_FACTOR, EstimateSettings

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

MOST_DOF = 3.5
"""Farthest from the focus that the second image of a long pair may lie: a network is not taught what lies beyond."""
NO_LONG_PAIRS = "the sweeps hold no long pairs, because stage.limits_um cuts off their ends; widen the limits"


@dataclass(frozen=True, slots=True, eq=False)
class LongVerdict:
    """What became of long pairs.

    Parameters
    ----------
    fit
        What was fitted.
    before, after
        Figures of the judging fields without and with it.
    reasons
        What speaks against it.
    """

    fit: Fit
    before: Figures
    after: Figures
    reasons: tuple[str, ...]

    @property
    def correction(self) -> LongCorrection:
        """What the engine corrects long pairs with."""
        return LongCorrection(self.fit.correction, self.fit.interval_factor)


def long_of(fields: Sequence[Field]) -> list[Field]:
    """Return fields that hold their long pairs alone; those without any are left out."""
    found = []
    for one in fields:
        near = {
            sign: tuple(reading for reading in readings if abs(one.truth_dof(reading, sign)) <= MOST_DOF)
            for sign, readings in one.long.items()
        }
        if near and all(near.values()):
            found.append(replace(one, readings=near))
    return found


def fit_long(
    fields: Sequence[Field], sign: int, settings: EstimateSettings, bars: Bars | None = None
) -> Generator[str, None, Fit | None]:
    """Climb the ladder for long pairs; yields as `fit` does.

    Returns
    -------
    ``None`` where fewer than `LEAST_FIELDS` fields hold any: the limits of the stage cut off the ends of their sweeps.

    Parameters
    ----------
    fields
        Those that are fitted to.
    sign
        That of the short pairs.
    settings, bars
        As in `fit`.
    """
    long = long_of(fields)
    if len(long) < LEAST_FIELDS:
        return None
    climbing = fit_signed(long, sign, replace(settings, interval_factor=INTERVAL_FACTOR), (bars or Bars()).of_long)
    while True:
        try:
            doing = next(climbing)
        except StopIteration as end:
            found: Fit = end.value
            return found
        yield f"long pairs, {doing}"


def then_long(
    ladder: Generator[str, None, Fit], fields: Sequence[Field], settings: EstimateSettings, bars: Bars
) -> Generator[str, None, tuple[Fit, Fit | None]]:
    """Fit to short pairs, then to long ones; parameters as in `fit_long`."""
    found = yield from ladder
    return found, (yield from fit_long(fields, found.sign, settings, bars))


def judge_long(fit: Fit, fields: Sequence[Field], settings: EstimateSettings, bars: Bars) -> LongVerdict | None:
    """Judge a fit to long pairs by other fields; ``None`` where these hold none."""
    long = long_of(fields)
    if not long:
        return None
    plain = replace(settings, interval_factor=INTERVAL_FACTOR)
    before = figures_of(told_of(long, fit.sign, Correction(), plain))
    fitted = replace(settings, interval_factor=fit.interval_factor)
    after = figures_of(told_of(long, fit.sign, fit.correction, fitted))
    reasons = tuple(f"long pairs: {reason}" for reason in shortfalls(after, bars.of_long))
    return LongVerdict(fit, before, after, reasons)


__all__ = ["NO_LONG_PAIRS", "LongVerdict", "fit_long", "judge_long", "long_of", "then_long"]
