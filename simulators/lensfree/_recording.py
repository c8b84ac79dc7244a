"""From a specimen to the light on a sensor without a lens: exact propagation, partly coherent light, pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, special

from microscoped.simulators.optics import FloatArray, axial_frequency, frequencies, unit_phasor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.lensfree._optics import LensFreeOptics


@dataclass(frozen=True, slots=True)
class ThinSpecimen:
    """Path difference and absorption on a grid finer than the sensor's. Arrays are never written to.

    The amplitude behind it is ``exp(−absorption + 2πi·OPD/λ)``.

    Parameters
    ----------
    opd_nm
        Optical path difference, shape (rows, columns).
    absorption
        Of the amplitude, shape (rows, columns).
    fineness
        Points of the grid for a pixel of the sensor, along each axis.
    guard_px
        The grid reaches so many of the sensor's pixels beyond the frame, on each side.
    """

    opd_nm: FloatArray
    absorption: FloatArray
    fineness: int
    guard_px: int

    @property
    def shape_px(self) -> tuple[int, int]:
        """Pixels of the frame."""
        rows, columns = (n // self.fineness - 2 * self.guard_px for n in self.opd_nm.shape)
        return rows, columns


def record(specimen: ThinSpecimen, optics: LensFreeOptics, z_um: float) -> FloatArray:
    """Return the light on the sensor's pixels, relative to the clear field, without noise.

    Each line of a colour's spectrum propagates by the angular spectrum (Goodman, Introduction to Fourier Optics, §3.10)
    over the whole grid with its guard band; intensities add. Pinhole, shift and the integration over the pixels are
    one factor of the intensity's spectrum.

    Parameters
    ----------
    specimen
        What the light passes.
    optics
        Light and sensor.
    z_um
        Distance from specimen to sensor, instead of that of the optics.

    Returns
    -------
    Shape (colours, rows, columns).
    """
    rows, columns = specimen.shape_px
    n, guard = specimen.fineness, specimen.guard_px
    height, width = specimen.opd_nm.shape
    fx, fy = frequencies((height, width), optics.pitch_um / n)
    amplitude = np.exp(-specimen.absorption)
    light = np.empty((len(optics.wavelengths_um), rows, columns), np.float32)
    for colour in range(len(optics.wavelengths_um)):
        intensity = np.zeros((height, width), np.float32)
        for wavelength_um, weight in optics.spectrum(colour):
            wave = unit_phasor(specimen.opd_nm * np.float32(1e-3 / wavelength_um))
            wave *= amplitude
            spectrum = fft.fft2(wave, overwrite_x=True)
            spectrum *= unit_phasor(axial_frequency(1.0, wavelength_um, fx, fy) * np.float32(z_um))
            wave = fft.ifft2(spectrum, overwrite_x=True)
            intensity += np.float32(weight) * (wave.real * wave.real + wave.imag * wave.imag)
        half = np.asarray(fx[:, : width // 2 + 1], np.float32)
        seen = fft.irfft2(
            fft.rfft2(intensity) * _transfer(optics, colour, z_um, n, half, fy), s=(height, width), overwrite_x=True
        )
        # The middle of a pixel is where its first point is, moved by the transfer's phase.
        light[colour] = seen[guard * n : (guard + rows) * n : n, guard * n : (guard + columns) * n : n]
    return light


def _transfer(
    optics: LensFreeOptics, colour: int, z_um: float, fineness: int, fx: FloatArray, fy: FloatArray
) -> NDArray[np.complex64]:
    """Return what pinhole, shift and pixels make of the spectrum of the intensity."""
    pitch = np.float32(optics.pitch_um)
    pixel = np.sinc(fx * pitch) * np.sinc(fy * pitch)
    argument = np.maximum(np.sqrt(fx * fx + fy * fy) * np.float32(np.pi * optics.blur_um(z_um)), 1e-6)
    pinhole = (2.0 * special.j1(argument) / argument).astype(np.float32)
    # A point's grid cell has its middle half a cell from the pixel's corner, the pixel its own half a pitch.
    to_middle = 0.5 * optics.pitch_um * (1.0 - 1.0 / fineness)
    down, across = (to_middle - shift for shift in optics.shifts_um[colour])
    return np.asarray(pixel * pinhole * unit_phasor(fx * np.float32(across) + fy * np.float32(down)), np.complex64)


__all__ = ["ThinSpecimen", "record"]
