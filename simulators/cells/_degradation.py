"""What makes a map of the optical path difference worse: noise, an uneven background, blur."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from microscoped.simulators.optics import FloatArray


@dataclass(frozen=True, slots=True)
class Degradation:
    """Blur of a map, then noise and background that are added to it.

    Parameters
    ----------
    noise_nm
        Standard deviation of the noise.
    background_nm
        The greatest deviation of the background from zero, in the whole map.
    background_scale_px
        Least and greatest distance between the hills of the background; one is drawn for each map.
    noise_scale_px
        Standard deviation of the Gaussian that smooths the noise, 0 for white noise.
    blur_px
        Standard deviation of the Gaussian that blurs the map itself, as a limited resolution does, 0 for none.

    Raises
    ------
    ValueError
        A figure is negative, or the scale of the background is not positive and rising.
    """

    noise_nm: float = 0.0
    background_nm: float = 0.0
    background_scale_px: tuple[float, float] = (60.0, 250.0)
    noise_scale_px: float = 0.0
    blur_px: float = 0.0

    def __post_init__(self) -> None:
        for name in ("noise_nm", "background_nm", "noise_scale_px", "blur_px"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but cannot be negative")
        low, high = self.background_scale_px
        if not 0 < low <= high:
            raise ValueError(f"background_scale_px is ({low}, {high}), but must rise from above 0")

    @classmethod
    def draw(cls, rng: np.random.Generator, noise_nm: float = 20.0, background_nm: float = 30.0) -> Degradation:
        """Return a random degradation: each part from none to the given most."""
        return cls(noise_nm=noise_nm * float(rng.uniform()), background_nm=background_nm * float(rng.uniform()))

    def apply(self, opd_nm: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return a degraded copy of a map, shape (rows, columns)."""
        rows, columns = opd_nm.shape
        degraded = opd_nm.astype(np.float32, copy=True)
        if self.blur_px:
            degraded = np.asarray(ndimage.gaussian_filter(degraded, self.blur_px), np.float32)
        if self.noise_nm:
            noise = rng.standard_normal((rows, columns), dtype=np.float32)
            if self.noise_scale_px:
                noise = ndimage.gaussian_filter(noise, self.noise_scale_px, mode="wrap")
                noise /= noise.std()
            degraded += np.float32(self.noise_nm) * noise
        if self.background_nm:
            degraded += self._background((rows, columns), rng)
        return degraded

    def _background(self, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
        """Return random hills: a cubic spline through random values on a coarse grid."""
        spacing = float(rng.uniform(*self.background_scale_px)) / 2.0
        knots = [math.ceil(n / spacing) + 4 for n in shape]
        values = rng.standard_normal(knots, dtype=np.float32)
        phases = rng.uniform(1.0, 2.0, 2)
        down, across = (
            _spline_matrix(n, k, spacing, float(phase)) for n, k, phase in zip(shape, knots, phases, strict=True)
        )
        hills = down @ values @ across.T
        hills -= hills.mean()
        hills *= np.float32(self.background_nm / max(float(np.abs(hills).max()), 1e-6))
        return np.asarray(hills, np.float32)


def _spline_matrix(n_pixels: int, n_knots: int, spacing_px: float, phase: float) -> FloatArray:
    """Return the matrix from knots to pixels of a uniform cubic B-spline, shape (n_pixels, n_knots)."""
    away = np.abs(np.arange(n_pixels)[:, None] / spacing_px + phase - np.arange(n_knots))
    near = 2.0 / 3.0 - away**2 + 0.5 * away**3
    far = np.maximum(2.0 - away, 0.0) ** 3 / 6.0
    return np.where(away < 1.0, near, far).astype(np.float32)


QUALITY_LEVELS = (
    Degradation(noise_nm=1.2),
    Degradation(noise_nm=10.0),
    Degradation(noise_nm=20.0),
    Degradation(noise_nm=1.2, background_nm=15.0),
    Degradation(noise_nm=1.2, background_nm=30.0),
    Degradation(noise_nm=10.0, background_nm=15.0),
    Degradation(noise_nm=20.0, background_nm=30.0),
)
"""The seven levels of Allier 2022, Figure 4, in its order; 1.2 nm is the noise that it measured in its clean maps."""


__all__ = ["QUALITY_LEVELS", "Degradation"]
