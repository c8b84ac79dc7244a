"""How much a rule may still do within the hour that ends now."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from microscoped.daemon.rules.state import Charge, RuleView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.daemon.rules.series import Slot

HOUR_NS: Final = 3_600_000_000_000


def trim(view: RuleView, now_ns: int) -> RuleView:
    """Return what a rule has spent, without what lies an hour back."""
    oldest = now_ns - HOUR_NS
    firings = tuple(time for time in view.firings_ns if time > oldest)
    charges = tuple(charge for charge in view.charges if charge.ended_ns is None or charge.ended_ns > oldest)
    if len(firings) == len(view.firings_ns) and len(charges) == len(view.charges):
        return view
    return replace(view, firings_ns=firings, charges=charges)


def spend(view: RuleView, *, number: int, now_ns: int, counted: bool, dose_ms: float) -> RuleView:
    """Return what a rule has spent after firing."""
    return replace(
        view,
        fired_ns=now_ns,
        firings_ns=(*view.firings_ns, now_ns) if counted else (),
        charges=(*view.charges, Charge(number, dose_ms)) if dose_ms > 0.0 else view.charges,
    )


def firings_left_ns(view: RuleView, per_h: int | None) -> int | None:
    """Return when a rule may fire again where it has fired as often as it may; ``None`` where it may fire now."""
    if per_h is None or len(view.firings_ns) < per_h:
        return None
    return view.firings_ns[-per_h] + HOUR_NS


def light_left_ns(
    charges: Sequence[Charge], light: Sequence[Slot], wanted_ms: float, limit_ms: float
) -> tuple[float, int | None]:
    """Return how much light is left, and when there will be as much as is wanted.

    Parameters
    ----------
    charges
        Of rules, within the last hour; those of actions that go on stay until these end.
    light
        Others' light within the last hour.
    wanted_ms, limit_ms
        How much is wanted, and how much may be given within an hour.

    Returns
    -------
    free_ms, retry_ns
        ``None`` where no time can be told: an action must end first.
    """
    spent = [(charge.dose_ms, charge.ended_ns) for charge in charges]
    spent += [(slot.total, slot.at_ns) for slot in light]
    free = limit_ms - math.fsum(dose for dose, _ in spent)
    if free >= wanted_ms:
        return free, None
    left = [dose for dose, _ in spent]
    for dose, ended_ns in sorted((one for one in spent if one[1] is not None), key=lambda one: one[1] or 0):
        left.remove(dose)
        if limit_ms - math.fsum(left) >= wanted_ms:
            return free, (ended_ns or 0) + HOUR_NS
    return free, None


__all__ = ["HOUR_NS", "firings_left_ns", "light_left_ns", "spend", "trim"]
