"""Rendered holograms with their truth: the frames that every method is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.hologram import HologramOptics
from microscoped.simulators.holograms import BodiesParameters, HologramScene, HologramSetup, OffAxisOptics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.holograms import HologramTruth

SCENE_OPTICS = OffAxisOptics()
OPTICS = HologramOptics(
    wavelength_um=SCENE_OPTICS.wavelength_um,
    pixel_size_um=SCENE_OPTICS.pixel_um,
    na=SCENE_OPTICS.na,
    medium_index=SCENE_OPTICS.medium_index,
    magnification=SCENE_OPTICS.magnification,
)
"""What every method is told of the instrument."""
REACH_UM = 12.0
"""Planes of the cells are drawn evenly from ± this."""
EXPOSURE_MS = 10.0


@dataclass(frozen=True, eq=False)
class Instrument:
    """One microscope before one specimen.

    Parameters
    ----------
    number
        Which one.
    background
        A hologram of it without specimen, uint8, shape (rows, columns).
    """

    number: int
    background: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shown:
    """One hologram.

    Parameters
    ----------
    instrument
        What took it.
    frame
        uint8, shape (rows, columns).
    z_um
        Distance of the middle of the specimen's layer from the recording plane, positive downstream.
    truths
        What is true of each cell.
    """

    instrument: Instrument
    frame: NDArray[np.uint8]
    z_um: float
    truths: tuple[HologramTruth, ...]


def frames(specimens: int, positions: int, *, spread_um: float, seed: int) -> list[Shown]:
    """Render holograms of red cells, 8 bit, 1024², each specimen before an instrument of its own.

    Reference wave, fringe contrast, curvature, speckle, parasitic wave and dust are drawn as those of
    `HologramSetup.draw` are; 6 to 25 cells lie in a layer.

    Parameters
    ----------
    specimens, positions
        How many fields, and at how many distances each is recorded.
    spread_um
        Half of the layer's thickness: 0 puts the middles of all cells into one plane.
    seed
        Which of all such sets.
    """
    rng = np.random.default_rng((5, seed))
    found: list[Shown] = []
    for number in range(specimens):
        bodies = BodiesParameters(count=int(rng.integers(6, 26)), z_um=(-spread_um, spread_um))
        scene = HologramScene(HologramSetup.draw(rng, bodies), seed=number)
        instrument = Instrument(number, _grey(scene.background(EXPOSURE_MS, shot=1)))
        for shot, z_um in enumerate(rng.uniform(-REACH_UM, REACH_UM, positions)):
            focus_um = -float(z_um)
            frame = _grey(scene.expose(focus_um, EXPOSURE_MS, shot=shot + 2))
            found.append(Shown(instrument, frame, float(z_um), scene.truths(focus_um)))
    return found


def _grey(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.asarray(frame, np.uint8)


__all__ = ["EXPOSURE_MS", "OPTICS", "REACH_UM", "SCENE_OPTICS", "Instrument", "Shown", "frames"]
