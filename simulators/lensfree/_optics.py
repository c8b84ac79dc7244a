"""The optics of a lens-free microscope: three colours, a pinhole, no lens.

Lengths are micrometres in the specimen's scale. The pinhole is far away beside the distance from specimen to sensor;
its light is taken as parallel, so pitch and distance are those divided by the magnification 1 + z/distance (1.02 for
1 mm behind 50 mm).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FWHM_PER_SD = 2.0 * math.sqrt(2.0 * math.log(2.0))


class Line(NamedTuple):
    """A wavelength of a colour, and its part of the colour's light."""

    wavelength_um: float
    weight: float


@dataclass(frozen=True, slots=True)
class LensFreeOptics:
    """Light, distances and pixels (Allier 2022, §2.1, which gives no bandwidths and offsets: those are usual of LEDs).

    Parameters
    ----------
    wavelengths_um
        Mean wavelength of each colour, in vacuum.
    z_um
        Distance from specimen to sensor along the light, in air.
    pitch_um
        Distance of the sensor's pixels, which are square and full.
    led_um
        Diameter of the pinhole before the light.
    led_distance_um
        From pinhole to specimen.
    bandwidth_nm
        Full width at half maximum of each colour's spectrum, which is Gaussian.
    shifts_um
        How far each colour's hologram lies from the specimen, (row, column), because its LED lies beside the axis.
    lines
        Number of wavelengths that stand for a colour's spectrum, by Gauss-Hermite quadrature.

    Raises
    ------
    ValueError
        A length is not positive, or the colours do not agree in number.
    """

    wavelengths_um: tuple[float, ...] = (0.45, 0.53, 0.63)
    z_um: float = 1000.0
    pitch_um: float = 1.67
    led_um: float = 50.0
    led_distance_um: float = 50_000.0
    bandwidth_nm: tuple[float, ...] = (22.0, 33.0, 20.0)
    shifts_um: tuple[tuple[float, float], ...] = ((2.1, -1.4), (0.0, 0.0), (-1.7, 2.6))
    lines: int = 5

    def __post_init__(self) -> None:
        for name in ("z_um", "pitch_um", "led_um", "led_distance_um"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be positive")
        if not self.wavelengths_um or min(self.wavelengths_um) <= 0 or min(self.bandwidth_nm, default=0.0) < 0:
            raise ValueError("wavelengths_um must be positive, bandwidth_nm not negative, one of each for every colour")
        if not len(self.wavelengths_um) == len(self.bandwidth_nm) == len(self.shifts_um):
            raise ValueError(
                f"{len(self.wavelengths_um)} wavelengths_um, {len(self.bandwidth_nm)} bandwidth_nm and "
                f"{len(self.shifts_um)} shifts_um: give one of each for every colour"
            )
        if self.lines < 1:
            raise ValueError(f"lines is {self.lines}, but must be at least 1")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> LensFreeOptics:
        """Return a random instrument: z 0.8 … 1.5 mm, bandwidths 20 … 40 nm, shifts to ± 4 µm."""
        return cls(
            z_um=float(rng.uniform(800.0, 1500.0)),
            bandwidth_nm=tuple(float(width) for width in rng.uniform(20.0, 40.0, 3)),
            shifts_um=tuple((float(row), float(column)) for row, column in rng.uniform(-4.0, 4.0, (3, 2))),
        )

    def spectrum(self, colour: int) -> tuple[Line, ...]:
        """Return the lines that stand for a colour's spectrum; their weights sum to 1."""
        middle, width = self.wavelengths_um[colour], self.bandwidth_nm[colour] * 1e-3
        if self.lines == 1 or width == 0:
            return (Line(middle, 1.0),)
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.lines)
        total = float(weights.sum())
        return tuple(
            Line(middle + width / FWHM_PER_SD * float(node), float(weight) / total)
            for node, weight in zip(nodes, weights, strict=True)
        )

    def blur_um(self, z_um: float) -> float:
        """Return the diameter of the pinhole's image on the sensor, the disc that blurs the hologram."""
        return self.led_um * z_um / self.led_distance_um

    def reach_um(self, z_um: float) -> float:
        """Return how far the light of a point spreads sideways, as far as the sensor's pixels resolve its fringes."""
        sine = min(0.5 * max(self.wavelengths_um) / self.pitch_um, 0.9)
        return z_um * sine / math.sqrt(1.0 - sine * sine)


__all__ = ["LensFreeOptics", "Line"]
