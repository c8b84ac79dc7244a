"""Evaluation sets: bodies that no training has seen, in crops and in whole holograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.hologram.cells import Cell, find_cells
from microscoped.models.hologram.reconstruction import Reconstructor
from microscoped.models.hologram.training.draws import OPTICS, RANGE_UM, as_field, contrast_offsets_um, sample_um
from microscoped.simulators.holograms import (
    BodiesParameters,
    CropParameters,
    CropSource,
    HologramScene,
    HologramSetup,
    body_field,
    draw_body,
    multislice_body_field,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from numpy.typing import NDArray

    from microscoped.models.hologram.field import Field
    from microscoped.simulators.holograms import Body, BodyKind, ObjectField, OffAxisOptics

SEED = 9_000_000
"""Bodies come from seeds of their own."""
SIDE = 96
"""Side of an evaluated crop in samples: more than the network and the search cut out of it."""
AT_ONCE = 64
"""Crops that are measured together."""
FRAME_PX = (1024, 1024)
PAIRED_UM = 3.0
"""A found cell is that of the true body whose middle is at most so far, sideways."""
EXPOSURE_MS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Cells of one field, and what is true of them; arrays of shape (cells,).

    Parameters
    ----------
    field, cells
        As the network and the search take them.
    body
        Number of the body: crops of one body are not independent.
    z_um
        Of its middle.
    offset_um
        From there to the plane of least contrast; NaN where it is unknown.
    neighbour_um, speckle
        Distance of the nearest neighbour, infinite without one; root mean square speckle, NaN where it is unknown.
    missed
        True bodies that no cell was found for.
    """

    field: Field
    cells: list[Cell]
    body: NDArray[np.int64]
    z_um: NDArray[np.float64]
    offset_um: NDArray[np.float64]
    neighbour_um: NDArray[np.float64]
    speckle: NDArray[np.float64]
    missed: int = 0


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One set.

    Parameters
    ----------
    name
        As in the report.
    kind
        Of its bodies.
    bodies, crops
        How many bodies, and crops of them.
    number
        Sets of unlike numbers share no body.
    z_um
        Where they lie.
    render
        Makes a body's field.
    frames
        Whole holograms instead of crops: so many, filtered with a background hologram, cells found in them.
    """

    name: str
    kind: BodyKind
    bodies: int
    crops: int
    number: int
    z_um: tuple[float, float] = RANGE_UM
    render: Callable[[Body, OffAxisOptics, float], ObjectField] = body_field
    frames: int = 0

    def fields(self, part: float = 1.0) -> Iterator[Truth]:
        """Yield all that is to be measured, or a part of it."""
        return self._frames(part) if self.frames else self._crops(part)

    def _crops(self, part: float) -> Iterator[Truth]:
        rng = np.random.default_rng((SEED, self.number))
        bodies = [draw_body(self.kind, rng) for _ in range(max(4, round(part * self.bodies)))]
        source = CropSource(bodies, OPTICS, pixel_um=sample_um(), size_px=SIDE, period_px=160, render=self.render)
        offsets = contrast_offsets_um(source)
        parameters = CropParameters(z_um=self.z_um)
        for _ in range(max(1, round(part * self.crops / AT_ONCE))):
            crops = source.draw(rng, AT_ONCE, parameters)
            # One below the other; none of what is cut out of a crop reaches into the next.
            field = as_field(crops.values.reshape(-1, SIDE).astype(np.complex64), source.pixel_um)
            cells = [
                Cell(SIDE * (k + 0.5), SIDE / 2, (SIDE * k, 0, SIDE * (k + 1), SIDE), 1.0, False)
                for k in range(AT_ONCE)
            ]
            yield Truth(
                field,
                cells,
                crops.body.astype(np.int64),
                crops.z_um.astype(np.float64),
                offsets[crops.body].astype(np.float64),
                crops.neighbour_um.astype(np.float64),
                crops.speckle.astype(np.float64),
            )

    def _frames(self, part: float) -> Iterator[Truth]:
        for number in range(max(1, round(part * self.frames))):
            setup = HologramSetup.draw(
                np.random.default_rng((SEED, self.number, number)),
                BodiesParameters(kinds=(self.kind,), z_um=self.z_um),
            )
            scene = HologramScene(setup, seed=number)
            known = as_field(np.ones((1, 1), np.complex64), 1.0).optics
            background = scene.background(EXPOSURE_MS, shot=2)
            frame = scene.expose(0.0, EXPOSURE_MS, shot=1)
            field = Reconstructor.prepare(frame, known, background=background)(frame)
            yield _paired(field, find_cells(field), scene, number)


def _paired(field: Field, found: list[Cell], scene: HologramScene, number: int) -> Truth:
    """Return found cells with the bodies that they are of; cells of none, and bodies at the border, are left out."""
    truths = scene.truths()
    places = np.array([[truth.y_um, truth.x_um] for truth in truths])
    cells, body = [], []
    for cell in found:
        here = np.array([cell.row * field.pixel[0], cell.column * field.pixel[1]])
        away = np.hypot(*(places - here).T)
        nearest = int(np.argmin(away))
        if away[nearest] <= PAIRED_UM and not cell.border and nearest not in body:
            cells.append(cell)
            body.append(nearest)
    chosen = np.array(body, np.int64)
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + np.where(np.eye(len(truths)), np.inf, 0.0)
    z = np.array([truth.z_um for truth in truths])
    unknown = np.full(chosen.size, np.nan)
    return Truth(
        field,
        cells,
        number * 1000 + chosen,
        z[chosen],
        unknown,
        apart.min(axis=1)[chosen],
        unknown,
        len(truths) - len(cells),
    )


SETS = (
    EvaluationSet("calibration", "red_cell", 0, 0, 0, frames=40),
    EvaluationSet("calibration_beads", "bead", 0, 0, 7, frames=40),
    EvaluationSet("red_cells", "red_cell", 400, 6400, 1),
    EvaluationSet("beads", "bead", 100, 3200, 2),
    EvaluationSet("spherocytes", "spherocyte", 40, 1920, 3, render=multislice_body_field),
    EvaluationSet("echinocytes", "echinocyte", 40, 1920, 4, render=multislice_body_field),
    EvaluationSet("frames", "red_cell", 0, 0, 5, frames=40),
    EvaluationSet("focus", "red_cell", 200, 1280, 6, z_um=(-0.25, 0.25)),
)
"""The first two fix the factor of the interval, for networks of cells and of beads alone, and are not scored."""


def calibration_set(kinds: Collection[str]) -> EvaluationSet:
    """Return the set that fixes the interval of a network which was trained on these kinds of bodies."""
    return evaluation_set("calibration_beads" if set(kinds) == {"bead"} else "calibration")


def evaluation_set(name: str) -> EvaluationSet:
    """Return a set.

    Raises
    ------
    ValueError
        There is none of this name.
    """
    for known in SETS:
        if known.name == name:
            return known
    raise ValueError(f"split {name!r}: there are {', '.join(known.name for known in SETS)}")


__all__ = ["SETS", "EvaluationSet", "Truth", "calibration_set", "evaluation_set"]
