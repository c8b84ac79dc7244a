"""Simulated pairs as the network reads them, for bringing it to int8 and judging the result; needs no torch.

Sections and unstained cells through many microscopes, monochrome and colour, bright and dark ground. Each field is one
tile of a specimen of its own, and gives several pairs. They stand for the range of what the network reads, not for how
often it reads what: nothing is learned from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microscoped.drivers.optics import Optics
from microscoped.models.focus_pair.inputs import pair_inputs
from microscoped.models.focus_pair.preprocess import TILE, WORKING_SAMPLING
from microscoped.simulators.rendering import BrightfieldSetup
from microscoped.simulators.sensor import SensorModel
from microscoped.simulators.specimens import CellParameters, TissueParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.inputs import PairInputs
    from microscoped.models.training import Progress

PAIRS_OF_FIELD = 4
SEED = 8_000_000
"""Fields come from seeds of their own, which neither training nor evaluation uses."""
USUAL_DELTA_DOF = 2.0
DELTA_DOF = (0.5, 4.0)
FIRST_DOF = (-11.5, 11.5)
SOURCE_POINTS = 7


def samples(count: int, seed: int, progress: Progress) -> Mapping[str, NDArray[np.generic]]:
    """Render pairs, and return the network's inputs; see `microscoped.models.runtimes.SampleMaker`.

    Returns
    -------
    inputs
        As ``inputs.PairInputs.arrays``, the images in half precision, as training has them.
    """
    fields = -(-count // PAIRS_OF_FIELD)
    drawn: list[PairInputs] = []
    for number in range(fields):
        drawn += _field(np.random.default_rng((SEED, seed, number)))
        progress.update(number + 1, fields)
    arrays = [pair.arrays for pair in drawn[:count]]
    made: dict[str, NDArray[np.generic]] = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
    made["images"] = made["images"].astype(np.float16)
    return made


def _field(rng: np.random.Generator) -> list[PairInputs]:
    """Draw a field, and take all its pairs with one camera."""
    setup, sensor = _setup(rng), SensorModel.draw(rng, bit_depth=int(rng.choice([8, 12])))
    first_dof = rng.uniform(*FIRST_DOF, PAIRS_OF_FIELD)
    usual = rng.uniform(size=PAIRS_OF_FIELD) < 0.5
    delta_dof = np.where(usual, USUAL_DELTA_DOF, rng.uniform(*DELTA_DOF, PAIRS_OF_FIELD))
    z_um = np.stack([first_dof, first_dof + delta_dof], axis=1) * setup.optics.dof_um
    light = setup.light(z_um)
    if rng.uniform() < 0.2:
        light = np.maximum(1.0 - light, 0.0) + np.float32(rng.uniform(0.02, 0.3))
    light *= sensor.fixed_pattern(light.shape[1:], int(rng.integers(2**31)))
    frames = [_exposed(image, sensor, rng) for image in light]
    return [pair_inputs(frames[2 * k], frames[2 * k + 1], float(delta_dof[k]), 1) for k in range(PAIRS_OF_FIELD)]


def _setup(rng: np.random.Generator) -> BrightfieldSetup:
    """Draw a specimen and a microscope whose camera samples at the working grid."""
    tissue = rng.uniform() < 0.75
    na, wavelength_um = float(rng.uniform(0.35, 0.9)), float(rng.uniform(0.5, 0.6))
    dof_um = wavelength_um / na**2
    red, blue = rng.uniform(-0.6, 0.6, 2) * dof_um
    side = TILE * WORKING_SAMPLING
    return BrightfieldSetup(
        specimen=TissueParameters.draw(rng) if tissue else CellParameters.draw(rng),
        specimen_seed=int(rng.integers(2**31)),
        optics=Optics(na, wavelength_um * 1e3, 1.0, wavelength_um / na / WORKING_SAMPLING),
        shape_px=(side, side),
        colour=tissue and rng.uniform() < 0.3,
        coherence=float(rng.uniform(0.3, 0.9)),
        n_source_points=SOURCE_POINTS,
        spherical_waves=float(rng.uniform(-1.0, 1.0) * rng.uniform()),
        coma_waves=float(rng.uniform(0.0, 0.15)),
        coma_angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        chromatic_shift_um=(float(red), float(blue)),
    )


def _exposed(light: NDArray[np.float32], sensor: SensorModel, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a frame without its offset, shape (1 or 3, rows, columns)."""
    flicker, gain = sensor.wander(rng)
    electrons = light * np.float32(sensor.clear_electrons(sensor.nominal_exposure_ms) * flicker)
    digits = sensor.digits(sensor.noisy_electrons(electrons, rng), gain).astype(np.float32)
    above = np.maximum(digits - np.float32(sensor.offset), np.float32(0.0))
    return above[None] if above.ndim == 2 else np.moveaxis(above, 2, 0)


__all__ = ["samples"]
