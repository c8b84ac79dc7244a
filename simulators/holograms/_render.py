"""The field of a specimen, each body by the model that it needs: thin elements, Mie's series, or slices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.simulators.holograms._bodies import Sphere
from microscoped.simulators.holograms._mie import mie_body_field, mie_field
from microscoped.simulators.holograms._multislice import multislice_body_field, multislice_field
from microscoped.simulators.holograms._thin import MARGIN_UM, thin_body_field, thin_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.simulators.holograms._bodies import Body
    from microscoped.simulators.holograms._field import ObjectField
    from microscoped.simulators.holograms._optics import OffAxisOptics
    from microscoped.simulators.holograms._specimen import PlacedBody

STRONG_INDEX_STEP = 0.15
"""From this difference to the medium on a body bends rays so much that it is no thin element: beads, not cells."""


def is_strong(body: Body, optics: OffAxisOptics) -> bool:
    """Return whether a body bends light too much for a thin element."""
    return abs(body.index - optics.medium_index) >= STRONG_INDEX_STEP


def specimen_field(
    bodies: Sequence[PlacedBody],
    optics: OffAxisOptics,
    shape_px: tuple[int, int],
    margin_um: float = MARGIN_UM,
) -> ObjectField:
    """Return the field of a frame: cells by `thin_field`, beads by `mie_field`, their scattered waves added.

    A body that is strong and no ball is computed by `multislice_field`.

    Parameters
    ----------
    bodies
        What lies in the field.
    optics
        The microscope.
    shape_px
        Of the frame.
    margin_um
        Round the frame.
    """
    strong = [placed for placed in bodies if is_strong(placed.body, optics)]
    balls = [placed for placed in strong if isinstance(placed.body, Sphere)]
    solids = [placed for placed in strong if not isinstance(placed.body, Sphere)]
    field = thin_field([p for p in bodies if not is_strong(p.body, optics)], optics, shape_px, margin_um)
    scattered = field.scattered
    if balls:
        scattered = scattered + mie_field(balls, optics, shape_px, margin_um).scattered
    if solids:
        scattered = scattered + multislice_field(solids, optics, shape_px, margin_um).scattered
    return replace(field, scattered=scattered)


def body_field(body: Body, optics: OffAxisOptics, period_um: float) -> ObjectField:
    """Return the field of one body alone at z = 0 in the middle of a square period; a bead by Mie's series.

    Parameters
    ----------
    body
        What it is of; its middle is at (0, 0).
    optics
        The microscope.
    period_um
        Side of the square.
    """
    if not is_strong(body, optics):
        return thin_body_field(body, optics, period_um)
    if isinstance(body, Sphere):
        return mie_body_field(body, optics, period_um)
    return multislice_body_field(body, optics, period_um)


__all__ = ["body_field", "is_strong", "specimen_field"]
