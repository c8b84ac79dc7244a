"""Draws: two noisy frames of a rendered stack at random defocus, as a camera on a real stage would take them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from microscoped.models.focus_pair.engine import DELTA_RANGE_DOF
from microscoped.models.focus_pair.inputs import PairInputs, pair_inputs
from microscoped.models.focus_pair.optics import COHERENCE_RANGE, SPHERICAL_RANGE_WAVES, Character
from microscoped.models.focus_pair.training.fields import Z_RANGE_DOF, plane_weights
from microscoped.models.focus_pair.training.shards import decode
from microscoped.simulators.sensor import NoiseBank, SensorModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.models.focus_pair.training.shards import Stack
    from microscoped.simulators.optics import FloatArray

DELTA_DOF = 2.0
"""Default distance of the two images of a pair, in depths of field."""
SHORT_DOF = (DELTA_RANGE_DOF[0], 4.0)
NEAR_DOF = 3.0
FIRST_RANGE_DOF = (-11.5, 11.5)
KNOWN_PART = 0.5
"""Part of the draws in which the condenser's aperture is known; and, apart from it, the spherical aberration."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How one pair is taken.

    Parameters
    ----------
    first_dof, delta_dof
        Defocus of the first image, and distance that the stage was told to go.
    delta_error
        True distance over commanded distance, minus 1.
    chromatic_dof
        Where each colour is in focus.
    mono_channel
        The colour that a monochrome camera sees; ``None`` for colour frames (and for stacks with one colour).
    reverse_colours
        Blue, green, red instead of red, green, blue.
    fluorescence, background
        Whether what absorbs shines instead, and the light that comes from elsewhere, relative to what a clear field
        gives in brightfield. For incoherent stacks only.
    creep
        How far the second image moved sideways, in samples of the working grid, along rows and columns.
    sensor
        The camera.
    transform
        0 … 7: quarter turns, and a flip from 4 on.
    roll
        Shift of the periodic field in samples of the working grid.
    """

    first_dof: float
    delta_dof: float = DELTA_DOF
    delta_error: float = 0.0
    chromatic_dof: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mono_channel: int | None = None
    reverse_colours: bool = False
    fluorescence: bool = False
    background: float = 0.0
    creep: tuple[float, float] = (0.0, 0.0)
    sensor: SensorModel = SensorModel()  # noqa: RUF009 (frozen)
    transform: int = 0
    roll: tuple[int, int] = (0, 0)

    @property
    def second_dof(self) -> float:
        """Defocus of the second image, the label."""
        return self.first_dof + self.delta_dof * (1.0 + self.delta_error)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        colours: int,
        period: int,
        delta_dof: float | None = None,
        fluorescence: float = 0.0,
    ) -> Conditions:
        """Draw conditions for a stack.

        Parameters
        ----------
        rng
            Source of randomness.
        colours, period
            Of the stack: how many colours, and samples along each side.
        delta_dof
            Distance of the two images; left out, the default or at random.
        fluorescence
            Part of the draws that are fluorescence.
        """
        first_dof = float(rng.uniform(*FIRST_RANGE_DOF))
        if delta_dof is None:
            first_dof, delta_dof = _draw_distance(rng, first_dof)
            # The stack must hold the second image, whatever the stage's error.
            first_dof = min(first_dof, 0.99 * Z_RANGE_DOF[1] - 1.05 * delta_dof)
        mono = colours == 3 and rng.uniform() < 0.3
        sign = float(rng.choice([-1.0, 1.0]))
        red, blue = rng.uniform(0.1, 0.6, 2)
        chromatic = (sign * red, 0.0, -sign * blue) if rng.uniform() < 0.7 else tuple(rng.uniform(-0.6, 0.6, 3))
        if colours == 1:
            chromatic = (0.0, 0.0, 0.0)
        channel = int(rng.integers(3))
        if mono:
            chromatic = tuple(value - chromatic[channel] for value in chromatic)
        return cls(
            first_dof=first_dof,
            delta_dof=delta_dof,
            delta_error=float(np.clip(rng.normal(0.0, 0.02), -0.05, 0.05)),
            chromatic_dof=(float(chromatic[0]), float(chromatic[1]), float(chromatic[2])),
            mono_channel=channel if mono else None,
            reverse_colours=bool(rng.uniform() < 0.15),
            fluorescence=bool(rng.uniform() < fluorescence),
            background=float(rng.uniform(0.01, 0.3)),
            creep=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5))) if rng.uniform() < 0.7 else (0.0, 0.0),
            sensor=draw_sensor(rng),
            transform=int(rng.integers(8)),
            roll=(int(rng.integers(period)), int(rng.integers(period))),
        )


def _draw_distance(rng: np.random.Generator, first_dof: float) -> tuple[float, float]:
    """Draw the distance of two images: most often the default, else short; or long, with one of the images near focus.

    Long distances are those of a check: the image at the focus that was found, and one from before.

    Returns
    -------
    first_dof, delta_dof
        Defocus of the first image, which is changed for long distances only, and the distance.
    """
    kind = rng.uniform()
    if kind < 0.55:
        return first_dof, DELTA_DOF
    if kind < 0.75:
        return first_dof, float(rng.uniform(*SHORT_DOF))
    near = float(rng.uniform(-NEAR_DOF, NEAR_DOF))
    low, high = Z_RANGE_DOF
    if rng.uniform() < 0.5:
        return near, float(rng.uniform(SHORT_DOF[1], min(DELTA_RANGE_DOF[1], 0.95 * (high - near))))
    delta_dof = float(rng.uniform(SHORT_DOF[1], min(DELTA_RANGE_DOF[1], 0.95 * (near - low))))
    return near - delta_dof, delta_dof


def draw_sensor(rng: np.random.Generator) -> SensorModel:
    """Return a random camera, of 8 or 12 bits."""
    sensor = SensorModel.draw(rng, bit_depth=8 if rng.uniform() < 0.4 else 12)
    return replace(sensor, dust=0)


def take_pair(
    stack: Stack, conditions: Conditions, rng: np.random.Generator, banks: Mapping[int, NoiseBank] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the two frames on the working grid, in digits above the camera's offset.

    Returns
    -------
    first, second
        Shape (1 or 3, height, width).
    """
    channels = range(stack.codes.shape[0]) if conditions.mono_channel is None else [conditions.mono_channel]
    positions = (conditions.first_dof, conditions.second_dof)
    light = np.empty((2, len(channels), *stack.codes.shape[2:]), np.float32)
    for k, channel in enumerate(channels):
        shift = conditions.chromatic_dof[channel] if stack.codes.shape[0] == 3 else 0.0
        weights = plane_weights(np.clip(np.subtract(positions, shift), *Z_RANGE_DOF), stack.planes_dof)
        used = np.flatnonzero(weights.any(axis=0))
        planes = decode(stack.codes[channel, used]).reshape(used.size, -1)
        light[:, k] = (weights[:, used] @ planes).reshape(2, *stack.codes.shape[2:])
    if any(conditions.creep):
        light[1] = shifted(light[1], conditions.creep)
    if conditions.fluorescence:
        # 1 − Σ a ⊛ PSF is what a weakly absorbing specimen leaves of the light; if it shines, it gives Σ a ⊛ PSF.
        light = np.maximum(1.0 - light, 0.0) + np.float32(conditions.background)
    light = _moved(light, conditions)
    first, second = (expose(image, conditions.sensor, rng, banks) for image in light)
    return first, second


def _moved(light: FloatArray, conditions: Conditions) -> FloatArray:
    light = np.roll(light, conditions.roll, axis=(-2, -1))
    light = np.rot90(light, conditions.transform % 4, axes=(-2, -1))
    if conditions.transform >= 4:
        light = light[..., ::-1]
    if conditions.reverse_colours:
        light = light[:, ::-1]
    return np.ascontiguousarray(light)


def shifted(images: FloatArray, samples: tuple[float, float]) -> FloatArray:
    """Move periodic images by parts of a sample along rows and columns, by their spectra."""
    height, width = images.shape[-2:]
    fy = np.fft.fftfreq(height).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(width).astype(np.float32)[None, :]
    phase = np.exp(np.complex64(-2j * np.pi) * (fy * np.float32(samples[0]) + fx * np.float32(samples[1])))
    return np.asarray(fft.irfft2(fft.rfft2(images) * phase, s=(height, width)), np.float32)


def expose(
    light: FloatArray, sensor: SensorModel, rng: np.random.Generator, banks: Mapping[int, NoiseBank] | None = None
) -> FloatArray:
    """Return a noisy, digitised image without its offset.

    Shading is a slope across the tile: of a whole frame's vignetting a tile sees little more.

    Parameters
    ----------
    light
        Relative intensity, shape (channels, height, width).
    sensor
        The camera.
    rng
        Source of noise.
    banks
        Noise for images of so many channels, where draws must be fast; left out: each pixel is drawn anew.
    """
    flicker, gain = sensor.wander(rng)
    height, width = light.shape[-2:]
    centre_x, centre_y = sensor.vignetting_centre
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    shading = 1.0 - np.float32(sensor.vignetting) * (np.float32(centre_x) * x + np.float32(centre_y) * y)
    electrons = light * shading * np.float32(sensor.clear_electrons(sensor.nominal_exposure_ms) * flicker)
    if banks is None:
        noisy = sensor.noisy_electrons(electrons, rng)
    else:
        noise = np.empty(electrons.size, np.float32)
        banks[light.shape[0]].draw(rng, noise)
        noisy = electrons + noise.reshape(electrons.shape) * np.sqrt(
            np.maximum(electrons, 0) + np.float32(sensor.read_noise_e**2)
        )
    # The digits are what a camera would send; the offset is known and taken off.
    digits = sensor.digits(noisy, gain)
    return np.asarray(np.maximum(digits.astype(np.float32) - np.float32(sensor.offset), 0.0), np.float32)


def draw_character(stack: Stack, rng: np.random.Generator) -> Character:
    """Return what shall be known of a stack's microscope: each value now and then, and not quite exactly."""

    def told(value: float | None, spread: float, limits: tuple[float, float]) -> float | None:
        if value is None or rng.uniform() >= KNOWN_PART:
            return None
        return float(np.clip(value + rng.normal(0.0, spread), *limits))

    return Character(
        coherence=told(stack.character.coherence, 0.03, COHERENCE_RANGE),
        spherical_waves=told(stack.character.spherical_waves, 0.05, SPHERICAL_RANGE_WAVES),
    )


def draw_tile(
    stack: Stack,
    conditions: Conditions,
    rng: np.random.Generator,
    banks: Mapping[int, NoiseBank] | None = None,
    character: Character | None = None,
) -> PairInputs:
    """Return the network's inputs for a stack of one tile; their label is ``conditions.second_dof``."""
    first, second = take_pair(stack, conditions, rng, banks)
    return pair_inputs(first, second, conditions.delta_dof, 1, character)


__all__ = [
    "DELTA_DOF",
    "Conditions",
    "draw_character",
    "draw_sensor",
    "draw_tile",
    "expose",
    "shifted",
    "take_pair",
]
