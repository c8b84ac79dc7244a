"""The stained sections that methods of focusing are compared on: drawn from seeds, not chosen by what they do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from _peers import SCORES

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
    setup = BrightfieldSetup(
        specimen=replace(section, absorbance=STAINS[stain]),
        specimen_seed=BASE_SEED + number,
        optics=OPTICS,
        shape_px=(side_px, side_px),
        colour=in_colour,
        coherence=COHERENCE,
        z_range_um=RENDERED_UM,
    )
    name = f"{stain}, {'colour' if in_colour else 'monochrome'}"
    kept = None if folder is None else folder / f"focus-{number}"
    scene = BrightfieldScene(setup, seed=number, cache=kept)
    return Slide(name, scene, {name: _sharpest_um(scene, name) for name in SCORES})


def _sharpest_um(scene: BrightfieldScene, score: str) -> float:
    z = np.arange(-2.0, 2.01, 0.2)
    values = np.array([SCORES[score](scene.light(float(at))) for at in z])
    best = int(np.clip(np.argmax(values), 1, z.size - 2))
    curvature, slope, _ = np.polyfit(z[best - 1 : best + 2] - z[best], values[best - 1 : best + 2], 2)
    return float(z[best] - 0.5 * slope / curvature) if curvature < 0 else float(z[best])
