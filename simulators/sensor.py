"""A camera sensor: electrons, noise, digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Pixels
    from microscoped.simulators.optics import FloatArray

GAUSSIAN_FROM_E = 50.0
"""From so many electrons on, shot noise is drawn from a Gaussian instead of a Poisson distribution."""


@dataclass(frozen=True, slots=True)
class SensorModel:
    """What happens between light and digits.

    Parameters
    ----------
    full_well_e
        Electrons at full scale.
    level
        Part of the full well that a clear field fills in ``nominal_exposure_ms``.
    nominal_exposure_ms
        Exposure time for which the illumination is set.
    read_noise_e
        Standard deviation of the read noise.
    offset
        Digits without light.
    bit_depth
        8 to 16.
    prnu
        Relative standard deviation of the pixels' sensitivities, fixed for a sensor.
    flicker
        Relative standard deviation of the light from image to image.
    gain_drift
        Relative standard deviation of the digits per electron from image to image.
    vignetting
        Relative loss of light at a distance of half the longer side from the brightest point.
    vignetting_centre
        The brightest point, from the middle, in halves of the sides (x, y).
    dust
        Number of dust grains near the camera: shadows that stay while the specimen goes through focus.
    """

    full_well_e: float = 15_000.0
    level: float = 0.75
    nominal_exposure_ms: float = 10.0
    read_noise_e: float = 3.0
    offset: float = 100.0
    bit_depth: int = 12
    prnu: float = 0.005
    flicker: float = 0.002
    gain_drift: float = 0.002
    vignetting: float = 0.08
    vignetting_centre: tuple[float, float] = (0.1, -0.05)
    dust: int = 0

    def __post_init__(self) -> None:
        if not 8 <= self.bit_depth <= 16:
            raise ValueError(f"bit_depth {self.bit_depth} is outside 8 … 16")
        if min(self.full_well_e, self.level, self.nominal_exposure_ms) <= 0:
            raise ValueError("full well, level and nominal exposure must be positive")
        if not 0 <= self.offset < 2**self.bit_depth - 1:
            raise ValueError(f"offset {self.offset} does not fit {self.bit_depth} bits")

    @classmethod
    def draw(cls, rng: np.random.Generator, bit_depth: int = 12) -> SensorModel:
        """Return random parameters: the variety of cameras and illuminations."""
        return cls(
            full_well_e=float(rng.uniform(5_000.0, 30_000.0)),
            level=float(rng.uniform(0.4, 0.9)),
            read_noise_e=float(rng.uniform(1.0, 8.0)),
            offset=float(rng.uniform(0.0, 0.03)) * 2**bit_depth,
            bit_depth=bit_depth,
            prnu=float(rng.uniform(0.0, 0.01)),
            flicker=float(rng.uniform(0.0, 0.005)),
            gain_drift=float(rng.uniform(0.0, 0.005)),
            vignetting=float(rng.uniform(0.0, 0.3)),
            vignetting_centre=(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.3, 0.3))),
            dust=int(rng.integers(0, 6)),
        )

    @property
    def electrons_per_digit(self) -> float:
        """Electrons for one digit above the offset."""
        return self.full_well_e / (float(2**self.bit_depth) - 1.0 - self.offset)

    def clear_electrons(self, exposure_ms: float) -> float:
        """Return the electrons of a clear field at the brightest point."""
        return self.full_well_e * self.level * exposure_ms / self.nominal_exposure_ms

    def fixed_pattern(self, shape: tuple[int, ...], seed: int) -> FloatArray:
        """Return what multiplies the light of every image alike: vignetting, dust, unequal pixels; 1 at the brightest.

        Parameters
        ----------
        shape
            Of the image; vignetting and dust are the same in all colours.
        seed
            Which sensor.
        """
        rng = np.random.default_rng((seed, 1))
        height, width = shape[:2]
        y = ((np.arange(height, dtype=np.float32) + 0.5) / height * 2.0 - 1.0 - self.vignetting_centre[1])[:, None]
        x = ((np.arange(width, dtype=np.float32) + 0.5) / width * 2.0 - 1.0 - self.vignetting_centre[0])[None, :]
        longest = max(height, width)
        distance2 = (y * (height / longest)) ** 2 + (x * (width / longest)) ** 2
        pattern = np.clip(1.0 - self.vignetting * distance2, 0.05, 1.0).astype(np.float32)
        for _ in range(self.dust):
            row, column = rng.uniform(0, height), rng.uniform(0, width)
            radius = float(rng.uniform(0.01, 0.03)) * longest
            rows = np.arange(height, dtype=np.float32)[:, None] - np.float32(row)
            columns = np.arange(width, dtype=np.float32)[None, :] - np.float32(column)
            ring = np.hypot(rows, columns) / np.float32(radius)
            pattern *= 1.0 - np.float32(rng.uniform(0.02, 0.1)) * np.exp(-(ring**4))
        if len(shape) == 3:
            pattern = np.repeat(pattern[..., None], shape[2], axis=2)
        sensitivity = 1.0 + np.float32(self.prnu) * rng.standard_normal(shape, dtype=np.float32)
        return np.asarray(pattern * sensitivity, np.float32)

    def wander(self, rng: np.random.Generator) -> tuple[float, float]:
        """Return factors for one image: of the light, and of the digits per electron."""
        light, gain = rng.standard_normal(2)
        return 1.0 + self.flicker * float(light), 1.0 + self.gain_drift * float(gain)

    def noisy_electrons(self, electrons: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return electrons with shot and read noise, each pixel drawn anew.

        Parameters
        ----------
        electrons
            Expected electrons, any shape.
        rng
            Source of the noise.
        """
        noise = rng.standard_normal(electrons.shape, dtype=np.float32)
        noise *= np.sqrt(np.maximum(electrons, 0) + np.float32(self.read_noise_e**2))
        noise += electrons
        dark = electrons < GAUSSIAN_FROM_E
        if dark.any():
            expected = np.maximum(electrons[dark], 0).astype(np.float64)
            read = rng.standard_normal(expected.size) * self.read_noise_e
            noise[dark] = (rng.poisson(expected) + read).astype(np.float32)
        return noise

    def digits(self, electrons: FloatArray, gain: float = 1.0) -> Pixels:
        """Return the digital image; overwrites ``electrons``."""
        electrons *= np.float32(gain / self.electrons_per_digit)
        electrons += np.float32(self.offset + 0.5)
        np.clip(electrons, 0, np.float32(2**self.bit_depth - 1), out=electrons)
        return cast("Pixels", electrons.astype(np.uint8 if self.bit_depth <= 8 else np.uint16))


class NoiseBank:
    """Gaussian noise drawn once and combined anew for every image: two slices from two stores, at random places.

    Two images share noise only where they happen to begin at the same place of a store. Immutable; any thread.

    Parameters
    ----------
    n_pixels
        Pixels of an image.
    seed
        Which noise.
    places
        Number of beginnings in each store.
    """

    def __init__(self, n_pixels: int, seed: int, places: int = 1 << 20) -> None:
        rng = np.random.default_rng((seed, 2))
        self._n_pixels = n_pixels
        self._places = places
        self._stores = tuple(rng.standard_normal(places + n_pixels, dtype=np.float32) for _ in range(2))
        for store in self._stores:
            store *= np.float32(np.sqrt(0.5))

    def draw(self, rng: np.random.Generator, out: FloatArray) -> None:
        """Fill ``out`` (one-dimensional) with noise of mean 0 and standard deviation 1."""
        first, second = rng.integers(self._places, size=2)
        n = self._n_pixels
        np.add(self._stores[0][first : first + n], self._stores[1][second : second + n], out=out)


__all__ = ["GAUSSIAN_FROM_E", "NoiseBank", "SensorModel"]
