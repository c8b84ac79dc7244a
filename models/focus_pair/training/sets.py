"""Evaluation sets: which fields, through which microscopes, none of them seen by training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.focus_pair.training.draws import DELTA_DOF, Conditions, draw_sensor
from microscoped.models.focus_pair.training.fields import FAMILIES, RGB_WAVELENGTHS_UM, Field, draw_specimen, with_dyes
from microscoped.models.focus_pair.training.regions import regions
from microscoped.simulators.specimens import EOSIN, HAEMATOXYLIN, CellParameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.training.fields import SpecimenParameters

TILES = (1, 2)
"""Tiles along the height and the width of an evaluated field."""
Z_UM = 10.0
MOST_DOF = 11.5
POSITIONS = 41
COUNTERSTAINS = {"dab": HAEMATOXYLIN, "giemsa": EOSIN, "methyl_green": EOSIN, "fast_red": HAEMATOXYLIN}
BASE_SEED = 7_000_000
"""Evaluation draws come from seeds of their own: no training seed reaches so far."""


@dataclass(frozen=True, slots=True)
class Slide:
    """One specimen on one microscope, and how its pairs are taken.

    Parameters
    ----------
    field
        Its first field; the others differ in their seed.
    conditions
        Of every pair, but for defocus and noise.
    noise
        ``shot`` (shot and read noise), or ``row``: rows of the sensor have an error of their own, too.
    jpeg_quality
        ``None``, or the quality that frames are compressed with.
    light
        Part of the light: 1, or less for few photons.
    known
        Whether the microscope's character is known.
    """

    field: Field
    conditions: Conditions
    noise: str = "shot"
    jpeg_quality: int | None = None
    light: float = 1.0
    known: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A set of slides, each with several fields.

    Parameters
    ----------
    name
        For example ``E0``.
    about
        What it tests, in a few words.
    specimens, fields
        How many slides, and fields of each.
    number
        Distinguishes its seeds from those of all others.
    make
        Draws a slide.
    """

    name: str
    about: str
    specimens: int
    fields: int
    number: int
    make: Callable[[np.random.Generator], Slide]

    def slide(self, specimen: int) -> Slide:
        """Return a slide."""
        return self.make(np.random.default_rng((BASE_SEED, self.number, specimen)))

    def field(self, specimen: int, field: int) -> Field:
        """Return a field of a slide."""
        return replace(self.slide(specimen).field, seed=BASE_SEED + self.number * 100_000 + specimen * 100 + field)

    def first_um(self, specimen: int, field: int) -> NDArray[np.float64]:
        """Return the defocus of the first images: evenly spaced, each moved a little off the grid.

        Over ±10 µm, or ±11.5 depths of field where that is less.
        """
        rng = np.random.default_rng((BASE_SEED, self.number, specimen, field))
        reach = min(Z_UM, MOST_DOF * self.slide(specimen).field.dof_um)
        spacing = 2.0 * reach / (POSITIONS - 1)
        grid = np.linspace(-reach, reach, POSITIONS) + rng.uniform(-0.5, 0.5, POSITIONS) * spacing
        return np.asarray(np.clip(grid, -reach, reach))


def _optics(rng: np.random.Generator, family: str) -> dict[str, object]:
    """Draw a microscope as training does, but with the objective of most slide scanners, 20×/0.75."""
    held_out = regions().optics
    abbe = family == "cells" or rng.uniform() < 0.5
    coherence = float(rng.uniform(0.3, 0.9))
    while held_out.holds_coherence(coherence):
        coherence = float(rng.uniform(0.3, 0.9))
    colour = family != "cells" and rng.uniform() < 0.25
    return {
        "na": 0.75,
        "wavelengths_um": RGB_WAVELENGTHS_UM if colour else (float(rng.uniform(0.5, 0.6)),),
        "image_formation": "abbe" if abbe else "incoherent",
        "coherence": coherence,
        "spherical_waves": float(rng.uniform(-1.0, 1.0) * rng.uniform()),
        "coma_waves": float(rng.uniform(0.0, 0.15)),
        "coma_angle_rad": float(rng.uniform(0.0, 2.0 * np.pi)),
        "sampling": float(rng.uniform(0.95, 1.05)),
    }


def _slide(rng: np.random.Generator, family: str, specimen: SpecimenParameters, **changes: object) -> Slide:
    optics = {**_optics(rng, family), **changes}
    field = Field(family=family, specimen=specimen, seed=0, tiles=TILES, **optics)  # type: ignore[arg-type]
    conditions = Conditions.draw(rng, len(field.wavelengths_um), 1, DELTA_DOF)
    conditions = replace(conditions, sensor=draw_sensor(rng), transform=0, roll=(0, 0), reverse_colours=False)
    return Slide(field, conditions)


def _stained_family(rng: np.random.Generator) -> str:
    return str(rng.choice(["tissue", "smear"], p=[2 / 3, 1 / 3]))


def seen_stains(rng: np.random.Generator) -> Slide:
    """Draw a stained slide from the training distribution."""
    family = _stained_family(rng)
    return _slide(rng, family, draw_specimen(family, rng))


def _with_stain(rng: np.random.Generator, region: str) -> Slide:
    stains = regions().stains[region]
    family = _stained_family(rng)
    name = str(rng.choice([name for name, _ in stains.vectors]))
    counter = np.array(COUNTERSTAINS[name]) * rng.uniform(0.85, 1.15, 3)
    dyes = [stains.draw(name, rng), (float(counter[0]), float(counter[1]), float(counter[2]))]
    if rng.uniform() < 0.5:
        dyes.reverse()
    return _slide(rng, family, with_dyes(draw_specimen(family, rng), (dyes[0], dyes[1])))


def unseen_stains(rng: np.random.Generator) -> Slide:
    """Draw a slide whose dye training never saw: DAB or Giemsa."""
    return _with_stain(rng, "E1")


def calibration_stains(rng: np.random.Generator) -> Slide:
    """Draw a slide of the stains that fix the interval."""
    return _with_stain(rng, "calibration")


def unstained(rng: np.random.Generator) -> Slide:
    """Draw unstained cells."""
    return _slide(rng, "cells", CellParameters.draw(rng))


def _changed(**changes: object) -> Callable[[np.random.Generator], Slide]:
    def make(rng: np.random.Generator) -> Slide:
        family = _stained_family(rng)
        return _slide(rng, family, draw_specimen(family, rng), **changes)

    return make


def _ranged(name: str, low: float, high: float, **changes: object) -> Callable[[np.random.Generator], Slide]:
    def make(rng: np.random.Generator) -> Slide:
        family = _stained_family(rng)
        value = float(rng.uniform(low, high)) * (float(rng.choice([-1, 1])) if name == "spherical_waves" else 1.0)
        return _slide(rng, family, draw_specimen(family, rng), **{name: value}, **changes)

    return make


def _filaments(rng: np.random.Generator) -> Slide:
    return _slide(rng, "filaments", FAMILIES["filaments"].draw(rng))


def _recorded(**changes: object) -> Callable[[np.random.Generator], Slide]:
    return _with(seen_stains, **changes)


def _with(make: Callable[[np.random.Generator], Slide], **changes: object) -> Callable[[np.random.Generator], Slide]:
    def changed(rng: np.random.Generator) -> Slide:
        return replace(make(rng), **changes)  # type: ignore[arg-type]

    return changed


SETS = (
    EvaluationSet("E0", "unseen specimens", 40, 12, 0, seen_stains),
    EvaluationSet("E1", "unseen stains: DAB and Giemsa", 40, 12, 1, unseen_stains),
    EvaluationSet("E0-known", "E0, the microscope's character known", 40, 12, 0, _with(seen_stains, known=True)),
    EvaluationSet("E1-known", "E1, the microscope's character known", 40, 12, 1, _with(unseen_stains, known=True)),
    EvaluationSet("calibration", "a third set of stains, which fixes the interval", 40, 3, 2, calibration_stains),
    EvaluationSet("unstained", "unstained cells", 16, 3, 3, unstained),
    EvaluationSet("E2-low-na", "NA 0.25 … 0.35", 16, 3, 4, _ranged("na", 0.25, 0.35)),
    EvaluationSet("E2-high-na", "NA 0.9 … 0.95", 16, 3, 5, _ranged("na", 0.9, 0.95)),
    EvaluationSet("E2-spherical", "W040 of ±1 … ±1.5 waves", 16, 3, 6, _ranged("spherical_waves", 1.0, 1.5)),
    EvaluationSet(
        "E2-coherence", "Abbe, S 0.5 … 0.6", 16, 3, 7, _ranged("coherence", 0.5, 0.6, image_formation="abbe")
    ),
    EvaluationSet("E2-stokseth", "Stokseth's approximation", 16, 3, 8, _changed(image_formation="stokseth")),
    EvaluationSet("E2-filaments", "an unseen kind of specimen", 16, 3, 9, _filaments),
    EvaluationSet("E2-row-noise", "an unseen kind of noise", 16, 3, 10, _recorded(noise="row")),
    EvaluationSet("jpeg-95", "JPEG of quality 95", 16, 3, 11, _recorded(jpeg_quality=95)),
    EvaluationSet("jpeg-80", "JPEG of quality 80", 16, 3, 11, _recorded(jpeg_quality=80)),
    EvaluationSet("jpeg-50", "JPEG of quality 50", 16, 3, 11, _recorded(jpeg_quality=50)),
    EvaluationSet("light-30", "30 % of the light", 16, 3, 11, _recorded(light=0.3)),
    EvaluationSet("light-10", "10 % of the light", 16, 3, 11, _recorded(light=0.1)),
)
"""All sets. Those of one number show the same fields."""


def evaluation_set(name: str) -> EvaluationSet:
    """Return a set by its name.

    Raises
    ------
    ValueError
        There is no such set.
    """
    for found in SETS:
        if found.name == name:
            return found
    raise ValueError(f"split {name!r}: there are {', '.join(known.name for known in SETS)}")


__all__ = ["SETS", "EvaluationSet", "Slide", "calibration_stains", "evaluation_set", "seen_stains", "unseen_stains"]
