"""The stained sections that methods of focusing are compared on, and those to calibrate by.

All are drawn from seeds, not chosen by what methods do on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from _peers import SCORES
from _scope import camera_of

from microscoped.drivers.optics import Optics
from microscoped.simulators.brightfield import BrightfieldScene
from microscoped.simulators.rendering import BrightfieldSetup
from microscoped.simulators.specimens import TissueParameters

if TYPE_CHECKING:
    from pathlib import Path

OPTICS = Optics(na=0.75, wavelength_nm=540.0, immersion_index=1.0, pixel_size_um=0.325)
"""20×/0.75 with camera pixels of 6.5 µm."""
COHERENCE = 0.7
RENDERED_UM = (-16.0, 16.0)
BASE_SEED = 31_000_000
"""Specimens come from seeds of their own: no training or evaluation seed reaches so far."""
STAINS = {
    "H&E": ((0.650, 0.704, 0.286), (0.093, 0.954, 0.283)),
    "H-DAB": ((0.650, 0.704, 0.286), (0.268, 0.570, 0.776)),
    "Masson": ((0.800, 0.591, 0.105), (0.100, 0.737, 0.668)),
    "Giemsa": ((0.835, 0.514, 0.196), (0.093, 0.954, 0.283)),
}
"""Absorbances in red, green and blue, from the colour-deconvolution tables of scikit-image (Ruifrok and Johnston 2001;
G. Landini)."""
STAIN_ORDER = ("H&E", "H-DAB", "H&E", "Giemsa", "H&E", "Masson")
"""Of specimens 0, 1, 2 …; then again. Even numbers are seen in monochrome, odd ones in colour."""
CALIBRATION_SEED = 32_000_000
"""Slides for calibrating come from other seeds than those of the runs."""
CALIBRATION_RENDERED_UM = (-13.0, 13.0)
"""Sweeps reach ±10 depths of field (9.6 µm), searches ±8 from the focus of the field before."""
MOST_OFFSET_DOF = 2.0
"""How far the specimen's middle lies higher or lower in one field of a slide than in another, at most."""


@dataclass(frozen=True)
class Slide:
    """A specimen before its camera.

    Parameters
    ----------
    name
        Stain and camera.
    scene
        What the camera sees.
    sharpest_um
        Where each score has its maximum without noise: how far focus by sharpness lies from the specimen's middle.
    """

    name: str
    scene: BrightfieldScene
    sharpest_um: dict[str, float]


@dataclass(frozen=True)
class Field:
    """One field of a slide for calibrating.

    Parameters
    ----------
    scene
        What the camera sees.
    offset_um
        Optical position of the specimen's middle.
    """

    scene: BrightfieldScene
    offset_um: float


def make_slide(number: int, side_px: int, folder: Path | None, *, colour: bool | None = None) -> Slide:
    """Render a specimen, or read it from the cache.

    Parameters
    ----------
    number
        Which specimen.
    side_px
        Side of the camera's image.
    folder
        Cache; each specimen has its own folder in it.
    colour
        In red, green and blue; by default every other one.
    """
    stain = STAIN_ORDER[number % len(STAIN_ORDER)]
    in_colour = number % 2 == 1 if colour is None else colour
    section = TissueParameters.draw(np.random.default_rng((BASE_SEED, number)))
    specimen = replace(section, absorbance=STAINS[stain])
    setup = _setup(specimen, BASE_SEED + number, side_px, RENDERED_UM, colour=in_colour)
    name = f"{stain}, {camera_of(colour=in_colour)}"
    kept = None if folder is None else folder / f"focus-{number}"
    scene = BrightfieldScene(setup, seed=number, cache=kept)
    return Slide(name, scene, {name: _sharpest_um(scene, name) for name in SCORES})


def calibration_field(number: int, side_px: int, folder: Path | None, *, colour: bool, slides: int = 1) -> Field:
    """Render a field of the slides for calibrating, or read it from the cache, where each has a folder of its own.

    Both cameras see the same fields.

    Parameters
    ----------
    number
        Which field: 1, 2 …
    side_px, folder
        As in `make_slide`.
    colour
        Which camera.
    slides
        How many slides take turns: the first one is stained as specimen 0, the second as specimen 1 …
    """
    slide = (number - 1) % slides
    section = TissueParameters.draw(np.random.default_rng((CALIBRATION_SEED, slide)))
    specimen = replace(section, absorbance=STAINS[STAIN_ORDER[slide % len(STAIN_ORDER)]])
    setup = _setup(specimen, CALIBRATION_SEED + number, side_px, CALIBRATION_RENDERED_UM, colour=colour)
    kept = None if folder is None else folder / f"focus-calibration-{camera_of(colour=colour)}-{number}"
    offset_dof = float(np.random.default_rng((CALIBRATION_SEED, number)).uniform(-MOST_OFFSET_DOF, MOST_OFFSET_DOF))
    scene = BrightfieldScene(setup, seed=CALIBRATION_SEED, cache=kept)
    return Field(scene, offset_dof * OPTICS.dof_um)


def _setup(
    specimen: TissueParameters, seed: int, side_px: int, rendered_um: tuple[float, float], *, colour: bool
) -> BrightfieldSetup:
    return BrightfieldSetup(
        specimen=specimen,
        specimen_seed=seed,
        optics=OPTICS,
        shape_px=(side_px, side_px),
        colour=colour,
        coherence=COHERENCE,
        z_range_um=rendered_um,
    )


def _sharpest_um(scene: BrightfieldScene, score: str) -> float:
    z = np.arange(-2.0, 2.01, 0.2)
    values = np.array([SCORES[score](scene.light(float(at))) for at in z])
    best = int(np.clip(np.argmax(values), 1, z.size - 2))
    curvature, slope, _ = np.polyfit(z[best - 1 : best + 2] - z[best], values[best - 1 : best + 2], 2)
    return float(z[best] - 0.5 * slope / curvature) if curvature < 0 else float(z[best])
