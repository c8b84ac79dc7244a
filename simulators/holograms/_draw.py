"""Random bodies by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.simulators.holograms._bodies import Echinocyte, RedCell, Sphere
from microscoped.simulators.holograms._irregular import Irregular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from microscoped.simulators.holograms._bodies import Body, BodyKind

DRAWS: Mapping[BodyKind, Callable[[np.random.Generator], Body]] = {
    "red_cell": RedCell.draw,
    "irregular": Irregular.draw,
    "echinocyte": Echinocyte.draw,
    "spherocyte": Sphere.draw_spherocyte,
    "bead": Sphere.draw_bead,
}


def draw_body(kind: BodyKind, rng: np.random.Generator) -> Body:
    """Return a random body of a kind."""
    return DRAWS[kind](rng)


__all__ = ["draw_body"]
