"""The pupil of an objective: aperture, exact defocus, aberrations, and the apodisation of an aplanatic system.

Frequencies are in cycles per micrometre; an optical position is how far the plane in focus lies downstream (along the
light) of the specimen's middle plane, in the immersion medium.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from microscoped.drivers.optics import Optics

FloatArray: TypeAlias = NDArray[np.float32]
ComplexArray: TypeAlias = NDArray[np.complex64]

APLANATIC_NA = 0.9
"""From this aperture on the apodisation of an aplanatic objective (sine condition) is included."""


@dataclass(frozen=True, slots=True)
class Pupil:
    """A circular pupil.

    Parameters
    ----------
    na
        Numerical aperture.
    wavelength_um
        Vacuum wavelength.
    index
        Refractive index of the immersion medium.
    spherical_waves
        Primary spherical aberration W040 at the rim, in waves, balanced with defocus as W040·(ρ⁴ − ρ²): the variance
        of the wavefront is then least at z = 0, which keeps the nominal focus near the sharpest plane.
    coma_waves, coma_angle_rad
        Primary coma W131 at the rim, as W131·ρ³·cos(θ − angle), and its direction.
    """

    na: float
    wavelength_um: float
    index: float = 1.0
    spherical_waves: float = 0.0
    coma_waves: float = 0.0
    coma_angle_rad: float = 0.0

    @classmethod
    def of(cls, optics: Optics) -> Pupil:
        """Return the pupil of an objective without aberrations."""
        return cls(na=optics.na, wavelength_um=optics.wavelength_um, index=optics.immersion_index)

    @property
    def cutoff(self) -> float:
        """Radius NA/λ in cycles per micrometre."""
        return self.na / self.wavelength_um

    def transmission(self, fx: FloatArray, fy: FloatArray) -> ComplexArray:
        """Return amplitude and aberrations at z = 0.

        Parameters
        ----------
        fx, fy
            Frequencies; any shapes that broadcast together.
        """
        rho2 = (fx * fx + fy * fy) / np.float32(self.cutoff**2)
        amplitude = (rho2 <= 1.0).astype(np.float32)
        if self.na >= APLANATIC_NA:
            # Energy per solid angle is kept between object and image side (Richards and Wolf 1959): the amplitude of a
            # plane wave at angle θ changes by cos(θ)^(−1/2) from object to pupil.
            sine2 = np.minimum(rho2 * np.float32((self.na / self.index) ** 2), np.float32(0.999))
            amplitude *= (1.0 - sine2) ** np.float32(-0.25)
        waves = np.float32(self.spherical_waves) * rho2 * (rho2 - 1.0)
        if self.coma_waves:
            along = fx * np.float32(np.cos(self.coma_angle_rad)) + fy * np.float32(np.sin(self.coma_angle_rad))
            waves = waves + np.float32(self.coma_waves / self.cutoff) * rho2 * along
        if not self.spherical_waves and not self.coma_waves:
            return amplitude.astype(np.complex64)
        return np.asarray(amplitude * unit_phasor(waves.astype(np.float32)), np.complex64)


def axial_frequency(index: float, wavelength_um: float, fx: FloatArray, fy: FloatArray) -> FloatArray:
    """Return √((n/λ)² − f²) − n/λ in cycles per micrometre; evanescent waves get the value at their border.

    The constant n/λ is taken out, which changes no intensity and keeps single precision exact enough.
    """
    k = index / wavelength_um
    f2 = np.minimum((fx * fx + fy * fy).astype(np.float32), np.float32(k * k))
    # −f²/(k + √(k² − f²)) is the same without the cancellation.
    return (-f2 / (np.float32(k) + np.sqrt(np.float32(k * k) - f2))).astype(np.float32)


def unit_phasor(cycles: FloatArray) -> ComplexArray:
    """Return exp(2πi·cycles)."""
    turns = np.asarray(cycles, np.float32)
    angle = (turns - np.rint(turns)) * np.float32(2.0 * np.pi)
    phasor = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=phasor.real)
    np.sin(angle, out=phasor.imag)
    return phasor


def frequencies(shape: tuple[int, int], pixel_um: float) -> tuple[FloatArray, FloatArray]:
    """Return (fx, fy) of a full FFT, shapes (1, width) and (height, 1)."""
    height, width = shape
    fx = np.fft.fftfreq(width, pixel_um).astype(np.float32)[None, :]
    fy = np.fft.fftfreq(height, pixel_um).astype(np.float32)[:, None]
    return fx, fy
