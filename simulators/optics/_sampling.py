"""From the optical grid to camera pixels and from coarse to fine z: exact for what optics can transmit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from microscoped.simulators.optics._pupil import ComplexArray, FloatArray, Pupil

KAISER_BETA = 5.0
"""Shape of the window along z; the least error for planes at two thirds of the Nyquist spacing."""


def pixel_matrix(n_pixels: int, n_samples: int) -> FloatArray:
    """Return the matrix that integrates periodic, band-limited samples over camera pixels.

    Both grids cover the same length; sample j stands for the middle of its cell. Frequencies above the camera's
    Nyquist frequency alias, as on a real camera.

    Returns
    -------
    Shape (n_pixels, n_samples).
    """
    k = np.fft.fftfreq(n_samples, 1.0 / n_samples)
    weight = np.sinc(k / n_pixels)
    if n_samples % 2 == 0:
        weight[n_samples // 2] = 0.0  # its sign, and so its phase, is not known
    pixels = (np.arange(n_pixels) + 0.5) / n_pixels
    samples = (np.arange(n_samples) + 0.5) / n_samples
    forward = np.exp(2j * np.pi * np.outer(pixels, k)) * weight
    return np.asarray((forward @ np.exp(-2j * np.pi * np.outer(k, samples))).real / n_samples, np.float32)


def to_camera(images: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Integrate images over the pixels of a camera that covers the same field.

    Parameters
    ----------
    images
        Shape (…, height, width), periodic.
    shape
        Of the camera's image.
    """
    rows = pixel_matrix(shape[0], images.shape[-2])
    columns = pixel_matrix(shape[1], images.shape[-1])
    return np.asarray(rows @ (images @ columns.T), np.float32)


def resample_periodic(maps: ComplexArray, shape: tuple[int, int]) -> ComplexArray:
    """Bring periodic maps to a coarser grid of the same field by cutting their spectra.

    Parameters
    ----------
    maps
        Shape (…, height, width).
    shape
        Not larger than that of ``maps``.
    """
    old = maps.shape[-2], maps.shape[-1]
    if shape == old:
        return maps
    spectrum = fft.fft2(maps.astype(np.complex64, copy=False))
    for axis, size in ((-2, shape[0]), (-1, shape[1])):
        n = spectrum.shape[axis]
        if size > n:
            raise ValueError(f"cannot resample {old} to the finer {shape}")
        k = np.fft.fftfreq(size, 1.0 / size).astype(int)
        spectrum = np.take(spectrum, k % n, axis=axis)
        # Samples stand for the middles of their cells, which are not at the same place on the two grids.
        phase = np.exp(2j * np.pi * k * (0.5 / size - 0.5 / n)).astype(np.complex64)
        spectrum *= phase[:, None] if axis == -2 else phase
    scale = np.float32(shape[0] * shape[1] / (old[0] * old[1]))
    return np.asarray(fft.ifft2(spectrum, overwrite_x=True) * scale, np.complex64)


def axial_nyquist_um(pupil: Pupil) -> float:
    """Return the largest z spacing that still holds the whole axial band of an intensity.

    Waves in the pupil have axial frequencies between √((n/λ)² − (NA/λ)²) and n/λ; an intensity holds their
    differences.
    """
    k = pupil.index / pupil.wavelength_um
    return float(0.5 / (k - np.sqrt(k * k - pupil.cutoff**2)))


def axial_weights(target_z_um: ArrayLike, source_z_um: ArrayLike, half_width: int = 5) -> NDArray[np.float32]:
    """Return the matrix that interpolates band-limited planes along z, by a Kaiser-windowed sinc.

    Parameters
    ----------
    target_z_um
        Where planes are wanted, shape (T,).
    source_z_um
        Where planes are known, evenly spaced and reaching ``half_width`` planes beyond the targets, shape (S,).
    half_width
        Planes used on each side.

    Returns
    -------
    Shape (T, S); each row sums to 1.
    """
    source = np.asarray(source_z_um, float)
    target = np.asarray(target_z_um, float)
    spacing = source[1] - source[0]
    distance = (target[:, None] - source[None, :]) / spacing
    reach = half_width - 1e-3
    if (
        target.min() < source[0] + (half_width - 1) * spacing - 1e-6
        or target.max() > source[-1] - (half_width - 1) * spacing + 1e-6
    ):
        raise ValueError("the known planes do not reach far enough beyond the wanted ones")
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (distance / reach) ** 2, 0.0, None))) / np.i0(KAISER_BETA)
    weights = np.sinc(distance) * np.where(np.abs(distance) < reach, window, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
