"""A plain reader of holograms in double precision, independent of the simulator's code."""

from __future__ import annotations

import numpy as np

PIXEL, WAVELENGTH, NA, INDEX = 5.86 / 40, 0.666, 0.75, 1.3345


def demodulated(hologram: np.ndarray, carrier: tuple[float, float]) -> np.ndarray:
    """Return the sideband at a carrier (x, y) in cycles per micrometre, moved to zero."""
    height, width = hologram.shape
    fy, fx = np.fft.fftfreq(height, PIXEL)[:, None], np.fft.fftfreq(width, PIXEL)[None]
    y, x = np.indices(hologram.shape) * PIXEL
    # Moved first, so that a band beyond Nyquist stays whole and a carrier between bins is met exactly.
    moved = np.fft.fft2(hologram * np.exp(-2j * np.pi * (carrier[0] * x + carrier[1] * y)))
    return np.fft.ifft2(moved * (fx**2 + fy**2 <= (NA / WAVELENGTH) ** 2))


def propagated(field: np.ndarray, z_um: float, pixel: float = PIXEL) -> np.ndarray:
    height, width = field.shape
    f2 = np.fft.fftfreq(height, pixel)[:, None] ** 2 + np.fft.fftfreq(width, pixel)[None] ** 2
    k = INDEX / WAVELENGTH
    axial = np.sqrt(np.maximum(k * k - f2, 0.0)) - k
    inside = f2 <= (NA / WAVELENGTH) ** 2
    return np.fft.ifft2(np.fft.fft2(field) * np.exp(2j * np.pi * z_um * axial) * inside)


def flattest_um(field: np.ndarray, around: np.ndarray, pixel: float = PIXEL) -> np.ndarray:
    """Return which of the distances leaves the least amplitude contrast in the middle, refined by a parabola."""
    inset = field.shape[0] // 5
    curve = np.array([np.abs(propagated(field, z, pixel)[inset:-inset, inset:-inset]).std() for z in around])
    k = int(np.clip(curve.argmin(), 1, len(around) - 2))
    left, middle, right = curve[k - 1 : k + 2]
    step = around[1] - around[0]
    return around[k] + 0.5 * step * (left - right) / (left - 2 * middle + right)
