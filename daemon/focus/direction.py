"""Which way the plane in focus goes along the light."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from typing import Literal


def light_sign(direction: FocusDirection) -> Literal[-1, 0, 1]:
    """Return +1 where the plane in focus moves along the light as ``z_um`` rises, −1 where it moves against it.

    Transmitted light comes from the side away from the objective, so it runs through the specimen toward the objective.
    The plane in focus keeps its distance to the objective. Where a rising coordinate brings objective and sample
    together (``toward_sample``), the plane in focus goes deeper into the sample, away from the objective: against the
    light. Where it takes them apart (``away``), the plane follows the objective: along the light. Whether objective or
    table moves, and whether the stand is upright or inverted, makes no difference.

    Parameters
    ----------
    direction
        Where a rising coordinate moves the focus.

    Returns
    -------
    sign
        0 where the direction is unknown.
    """
    match direction:
        case FocusDirection.TOWARD_SAMPLE:
            return -1
        case FocusDirection.AWAY:
            return 1
        case _:
            return 0


__all__ = ["light_sign"]
