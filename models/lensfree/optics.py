"""What the reconstruction knows of a lens-free microscope.

Lengths are micrometres in the specimen's scale; the light comes from far away and travels in air. Positive distances
lie downstream: from the specimen to the sensor. Shifts are (row, column), how far a colour's hologram lies from the
specimen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from microscoped.models.lensfree.errors import OpticsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FWHM_PER_SD = 2.0 * math.sqrt(2.0 * math.log(2.0))
NOTHING_LEFT = 0.25
"""Waves whose transfer is below this do not count for how far light spreads."""


@dataclass(frozen=True, slots=True)
class InlineOptics:
    """Light, distance and pixels of a lens-free microscope.

    Parameters
    ----------
    wavelengths_um
        Mean wavelength of each colour, in vacuum, in the order of the frames.
    z_um
        Distance from specimen to sensor, as far as it is known.
    pitch_um
        Distance of the sensor's pixels, which are taken as square and full.
    led_um, led_distance_um
        Diameter of the pinhole before the light and its distance to the specimen; ``None`` for a point.
    bandwidths_nm
        Full width at half maximum of each colour's spectrum, taken as Gaussian; ``None`` for single lines.
    shifts_um
        Of each colour; ``None`` where they are to be estimated, relative to the middle colour.

    Raises
    ------
    OpticsError
        A value is not positive and finite, or the colours do not agree in number.
    """

    wavelengths_um: tuple[float, ...] = (0.45, 0.53, 0.63)
    z_um: float = 1000.0
    pitch_um: float = 1.67
    led_um: float | None = None
    led_distance_um: float | None = None
    bandwidths_nm: tuple[float, ...] | None = None
    shifts_um: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        for name in ("z_um", "pitch_um", "led_um", "led_distance_um"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise OpticsError(f"{name} {value}: must be a positive number")
        if (self.led_um is None) != (self.led_distance_um is None):
            raise OpticsError(
                f"led_um {self.led_um}, led_distance_um {self.led_distance_um}: give both, or neither for a point"
            )
        colours = len(self.wavelengths_um)
        if not colours or not all(value > 0 and math.isfinite(value) for value in self.wavelengths_um):
            raise OpticsError(f"wavelengths_um {self.wavelengths_um}: a positive number for each colour is needed")
        if max(self.wavelengths_um) > self.pitch_um:
            raise OpticsError(
                f"wavelengths_um {self.wavelengths_um}: greater than pitch_um {self.pitch_um}; both are micrometres, "
                "and a lens-free sensor's pixels are wider than the wavelength"
            )
        if self.bandwidths_nm is not None and (
            len(self.bandwidths_nm) != colours or not all(0 <= width < 300 for width in self.bandwidths_nm)
        ):
            raise OpticsError(f"bandwidths_nm {self.bandwidths_nm}: give one for each of {colours} colours, 0 … 300")
        if self.shifts_um is not None and (
            len(self.shifts_um) != colours or not all(math.isfinite(part) for pair in self.shifts_um for part in pair)
        ):
            raise OpticsError(f"shifts_um {self.shifts_um}: give (row, column) for each of {colours} colours")

    @property
    def reference_um(self) -> float:
        """Wavelength in which phases are told: the mean of all."""
        return float(np.mean(self.wavelengths_um))

    @property
    def middle(self) -> int:
        """The colour whose hologram counts as not shifted where shifts are estimated."""
        return len(self.wavelengths_um) // 2

    def damping(
        self, colour: int, fx: NDArray[np.floating], fy: NDArray[np.floating], z_um: float
    ) -> NDArray[np.floating]:
        """Return what pixels, pinhole and bandwidth leave of the scattered wave at spatial frequencies, real.

        To first order in the scattered wave an intensity blurred by pixels and pinhole, and summed over a Gaussian
        spectrum, is that of a wave so damped.

        Parameters
        ----------
        colour
            Which one.
        fx, fy
            Cycles per micrometre; they broadcast against each other.
        z_um
            Distance from specimen to sensor.
        """
        squared = fx * fx + fy * fy
        factor = np.sinc(fx * self.pitch_um) * np.sinc(fy * self.pitch_um)
        if self.led_um is not None and self.led_distance_um is not None:
            argument = np.maximum(np.sqrt(squared) * (np.pi * self.led_um * z_um / self.led_distance_um), 1e-6)
            factor = factor * (2.0 * special.j1(argument) / argument)
        if self.bandwidths_nm is not None:
            sd_um = self.bandwidths_nm[colour] * 1e-3 / FWHM_PER_SD
            factor = factor * np.exp(-0.5 * (np.pi * z_um * sd_um * squared) ** 2)
        return np.asarray(factor)

    def retardation(self, colour: int, squared_frequency: NDArray[np.floating], z_um: float) -> NDArray[np.floating]:
        """Return how far plane waves run ahead of the axial one over a distance, in rad (angular spectrum).

        ``2πz(√(1/λ² − f²) − 1/λ)``: J. W. Goodman, Introduction to Fourier Optics, §3.10.

        Parameters
        ----------
        colour
            Which one.
        squared_frequency
            f² in (cycles per micrometre)², any shape.
        z_um
            Distance.
        """
        axial = 1.0 / self.wavelengths_um[colour]
        return np.asarray(2.0 * np.pi * z_um * (np.sqrt(np.maximum(axial**2 - squared_frequency, 0.0)) - axial))

    def reach_um(self, z_um: float) -> float:
        """Return how far the light of a point spreads sideways, as far as the frames hold it."""
        frequency = np.linspace(0.0, 0.5 / self.pitch_um, 256)
        reach = 0.0
        for colour, wavelength_um in enumerate(self.wavelengths_um):
            left = self.damping(colour, frequency, np.zeros(1), z_um) >= NOTHING_LEFT
            sine = min(float(frequency[left].max()) * wavelength_um, 0.9)
            reach = max(reach, z_um * sine / math.sqrt(1.0 - sine * sine))
        return reach


__all__ = ["InlineOptics"]
