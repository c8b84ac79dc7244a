"""Periodic random maps from which specimens are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.optics import ComplexArray, FloatArray


@dataclass(frozen=True, slots=True)
class Specimen:
    """A periodic specimen as thin layers. Arrays are never written to.

    Parameters
    ----------
    density
        Optical density of each dye in each layer, at an absorbance of 1, shape (dyes, L, height, width).
    absorbance
        Absorbance of each dye in red, green and blue, shape (dyes, 3).
    opd_um
        Optical path difference of each layer in micrometres, shape (L, height, width).
    depth_um
        Geometric depth of the layers, rising along the light, 0 in the middle, shape (L,).
    medium_index
        Refractive index of what the specimen is mounted in.
    pixel_um
        Grid.
    """

    density: FloatArray
    absorbance: NDArray[np.float64]
    opd_um: FloatArray
    depth_um: FloatArray
    medium_index: float
    pixel_um: float

    def optical_density(self, channel: int) -> FloatArray:
        """Return the optical density of the layers in channel 0 (red), 1 (green) or 2 (blue), shape (L, …)."""
        weights = self.absorbance[:, channel].astype(np.float32)
        return np.asarray(np.tensordot(weights, self.density, axes=1), np.float32)

    def absorption(self, channel: int) -> FloatArray:
        """Return the absorbed fraction of the layers (Beer-Lambert), shape (L, height, width)."""
        return np.asarray(1.0 - np.exp(-np.float32(np.log(10.0)) * self.optical_density(channel)), np.float32)

    def transmittance(self, channel: int, wavelength_um: float) -> ComplexArray:
        """Return the complex transmittance of the layers, 10^(−OD/2)·exp(2πi·OPD/λ), shape (L, height, width)."""
        amplitude = np.exp(np.float32(-np.log(10.0) / 2.0) * self.optical_density(channel))
        phase = self.opd_um * np.float32(2.0 * np.pi / wavelength_um)
        return np.asarray(amplitude * (np.cos(phase) + 1j * np.sin(phase)), np.complex64)


def noise_map(
    rng: np.random.Generator,
    shape: tuple[int, int],
    pixel_um: float,
    scale_um: float,
    *,
    finest_um: float = 0.0,
    slope: float = 2.0,
    stretch: float = 1.0,
    angle_rad: float = 0.0,
) -> FloatArray:
    """Return periodic Gaussian noise with mean 0 and standard deviation 1.

    Its power is flat below 1/scale and falls with ``slope`` above; ``finest_um`` cuts it off, ``stretch`` > 1 draws it
    out along ``angle_rad``.
    """
    fy = np.fft.fftfreq(shape[0], pixel_um).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(shape[1], pixel_um).astype(np.float32)[None, :]
    along = fx * np.float32(np.cos(angle_rad)) + fy * np.float32(np.sin(angle_rad))
    across = fy * np.float32(np.cos(angle_rad)) - fx * np.float32(np.sin(angle_rad))
    f2 = ((along * np.float32(stretch)) ** 2 + across**2) * np.float32(scale_um**2)
    amplitude = (1.0 + f2) ** np.float32(-slope / 2.0)
    if finest_um > 0:
        amplitude *= np.exp(-((fx * fx + fy * fy) * np.float32(finest_um**2)))
    amplitude[0, 0] = 0.0
    white = rng.standard_normal(shape, dtype=np.float32)
    result = fft.irfft2(fft.rfft2(white) * amplitude, s=shape, overwrite_x=True)
    return np.asarray(result / result.std(), np.float32)


def smooth_step(values: FloatArray) -> FloatArray:
    """Return 0 below −1, 1 above 1, and a smooth ramp between."""
    t = np.clip((values + 1.0) * np.float32(0.5), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def layer_depths(thickness_um: float, n_layers: int) -> FloatArray:
    """Return the depths of layers that divide a slab, 0 in the middle."""
    spacing = thickness_um / n_layers
    return ((np.arange(n_layers) - (n_layers - 1) / 2.0) * spacing).astype(np.float32)


def layer_shares(centre_um: NDArray[np.floating] | float, height_um: float, depths: FloatArray) -> FloatArray:
    """Divide a slab of material among layers: each point goes to its two neighbours in proportion.

    Parameters
    ----------
    centre_um
        Depth of the slab's middle, any shape.
    height_um
        Height of the slab, above 0.
    depths
        Evenly spaced depths of the layers, shape (L,).

    Returns
    -------
    Shape (L, *centre.shape); sums to 1 over the layers. What reaches beyond the outer layers stays in them.
    """
    centre = np.asarray(centre_um, np.float32)
    if depths.size == 1:
        return np.ones((1, *centre.shape), np.float32)
    spacing = float(depths[1] - depths[0])

    def hat_integral(x: FloatArray) -> FloatArray:
        """Integral of the unit hat function from −∞ to x."""
        inside = np.clip(x, -1.0, 1.0)
        return np.where(inside < 0, 0.5 * (inside + 1.0) ** 2, 1.0 - 0.5 * (1.0 - inside) ** 2)

    low = (centre - np.float32(height_um / 2.0)) / np.float32(spacing)
    high = (centre + np.float32(height_um / 2.0)) / np.float32(spacing)
    shares = np.empty((depths.size, *centre.shape), np.float32)
    for k, depth in enumerate(depths):
        shares[k] = hat_integral(high - depth / spacing) - hat_integral(low - depth / spacing)
    shares /= np.float32(height_um / spacing)
    first, last = depths[0] / spacing, depths[-1] / spacing
    below, above = np.zeros_like(low), np.zeros_like(low)
    for beyond in range(1, 2 + int(np.ceil(np.max(np.abs(np.stack([low, high]))) + last))):
        below += hat_integral(high - (first - beyond)) - hat_integral(low - (first - beyond))
        above += hat_integral(high - (last + beyond)) - hat_integral(low - (last + beyond))
    shares[0] += below / np.float32(height_um / spacing)
    shares[-1] += above / np.float32(height_um / spacing)
    return shares


def window(
    centre_px: tuple[float, float], radius_px: float, shape: tuple[int, int]
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], FloatArray, FloatArray]:
    """Return the periodic index of a square around a point, and coordinates (x, y) relative to the point, in pixels."""
    half = int(np.ceil(radius_px)) + 1
    rows = np.arange(int(centre_px[0]) - half, int(centre_px[0]) + half + 2)
    columns = np.arange(int(centre_px[1]) - half, int(centre_px[1]) + half + 2)
    index = (rows[:, None] % shape[0], columns[None, :] % shape[1])
    y = (rows - centre_px[0]).astype(np.float32)[:, None]
    x = (columns - centre_px[1]).astype(np.float32)[None, :]
    return index, x, y
