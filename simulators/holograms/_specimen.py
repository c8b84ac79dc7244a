"""Where bodies stand in a field, what they are drawn from, and what is true of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.holograms._draw import draw_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.simulators.holograms._bodies import Body, BodyKind
    from microscoped.simulators.holograms._optics import OffAxisOptics

ATTEMPTS = 200
"""So often a place is sought for one body before it is left out."""


@dataclass(frozen=True, slots=True)
class PlacedBody:
    """A body and where its middle is.

    Parameters
    ----------
    body
        What it is.
    x_um, y_um
        From the middle of the pixel in row 0, column 0: ``x_um = column·pixel_um``, ``y_um = row·pixel_um``.
    z_um
        Distance of its geometric middle plane from the recording plane, positive downstream.
    """

    body: Body
    x_um: float
    y_um: float
    z_um: float


@dataclass(frozen=True, slots=True)
class HologramTruth:
    """What is true of one body in one hologram.

    Parameters
    ----------
    kind
        What it is.
    x_um, y_um
        Of its middle, from the middle of the pixel in row 0, column 0.
    z_um
        Distance of its geometric middle plane from the recording plane, positive downstream, on the specimen's side.
    radius_um
        How far it reaches sideways, at most.
    height_um
        Longest way of the light through it.
    volume_um3
        Its volume.
    opd_um3
        Integral of its optical path difference over its area, (n − n_medium)·volume: over the refractive increment,
        its dry mass.
    """

    kind: BodyKind
    x_um: float
    y_um: float
    z_um: float
    radius_um: float
    height_um: float
    volume_um3: float
    opd_um3: float

    @classmethod
    def of(cls, placed: PlacedBody, medium_index: float, focus_um: float = 0.0) -> HologramTruth:
        """Return the truth of a body whose recording plane has moved ``focus_um`` downstream."""
        body = placed.body
        steps = np.linspace(-body.radius_um, body.radius_um, 81, dtype=np.float32)
        return cls(
            kind=body.kind,
            x_um=placed.x_um,
            y_um=placed.y_um,
            z_um=placed.z_um - focus_um,
            radius_um=body.radius_um,
            height_um=float(body.chord(steps[None, :], steps[:, None]).max()),
            volume_um3=body.volume_um3,
            opd_um3=(body.index - medium_index) * body.volume_um3,
        )


@dataclass(frozen=True, slots=True)
class BodiesParameters:
    """Which bodies lie in a field.

    Parameters
    ----------
    kinds
        Each body is one of these, by equal chance.
    count
        How many are sought a place for.
    z_um
        Distances of their middle planes are drawn evenly from this range.
    clearance_um
        Least distance between two middles, sideways.
    border_um
        So far their middles stay inside the frame; negative lets them lie beyond its border.
    """

    kinds: tuple[BodyKind, ...] = ("red_cell",)
    count: int = 16
    z_um: tuple[float, float] = (-3.0, 3.0)
    clearance_um: float = 11.0
    border_um: float = -4.0

    def __post_init__(self) -> None:
        if not self.kinds or self.count < 0:
            raise ValueError("kinds must name at least one, and count not be negative")
        if not self.z_um[0] <= self.z_um[1]:
            raise ValueError(f"z_um {self.z_um} must rise")

    @classmethod
    def draw(cls, rng: np.random.Generator, kinds: tuple[BodyKind, ...] = ("red_cell",)) -> BodiesParameters:
        """Return random parameters: sparse and dense fields, flat and deep ones, up to 15 µm out of focus."""
        middle, spread = float(rng.uniform(-12.0, 12.0)), float(rng.uniform(0.0, 3.0))
        return cls(
            kinds=kinds,
            count=int(rng.integers(6, 40)),
            z_um=(middle - spread, middle + spread),
            clearance_um=float(rng.uniform(9.5, 14.0)),
        )


def place_bodies(
    parameters: BodiesParameters, shape_px: tuple[int, int], optics: OffAxisOptics, seed: int
) -> tuple[PlacedBody, ...]:
    """Return bodies at random places, none nearer to another than the clearance.

    Parameters
    ----------
    parameters
        Which ones.
    shape_px
        Of the frame, (height, width).
    optics
        For the size of a pixel.
    seed
        Which of all such fields.
    """
    rng = np.random.default_rng(seed)
    height, width = (size * optics.pixel_um for size in shape_px)
    border = parameters.border_um
    placed: list[PlacedBody] = []
    for _ in range(parameters.count):
        body = draw_body(parameters.kinds[int(rng.integers(len(parameters.kinds)))], rng)
        z = float(rng.uniform(*parameters.z_um))
        for _ in range(ATTEMPTS):
            x, y = float(rng.uniform(border, width - border)), float(rng.uniform(border, height - border))
            if all(math.hypot(x - p.x_um, y - p.y_um) >= parameters.clearance_um for p in placed):
                placed.append(PlacedBody(body, x, y, z))
                break
    return tuple(placed)


def truths(bodies: Sequence[PlacedBody], medium_index: float, focus_um: float = 0.0) -> tuple[HologramTruth, ...]:
    """Return what is true of each body when the recording plane has moved ``focus_um`` downstream."""
    return tuple(HologramTruth.of(placed, medium_index, focus_um) for placed in bodies)


__all__ = ["BodiesParameters", "HologramTruth", "PlacedBody", "place_bodies", "truths"]
