"""The focus scores: each maps one plane of pixels to contrast power and its standard error.

All of them divide by nothing: brightness is taken out by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Plane: TypeAlias = NDArray[np.float32]
"""Shape (height, width)."""

MetricName: TypeAlias = Literal["band", "vollath", "variance"]

MIN_SIDE_PX = 16
"""Below this many pixels on a side (after binning) no score is meaningful."""

_NEIGHBOURHOOD_PX = 9
"""Side of the mean that `band_power` takes off, in half-grid pixels: structure above 18 camera pixels is left out.

A running mean, because it costs half of a Gaussian of equal width (σ = 2.6) and the scores hardly differ.
"""


class Power(NamedTuple):
    """Contrast power in squared grey levels, and its standard error from pixel noise."""

    value: float
    error: float


Metric: TypeAlias = Callable[[Plane], Power]


def band_power(plane: Plane) -> Power:
    """Return the power of fine structure that two interlaced halves of the frame agree on.

    Each 2 × 2 block gives one pixel to each half: the mean of one diagonal to the first, of the other to the second.
    Both halves see the same structure but independent noise, so the mean product of their high-passed images (pixel
    minus the mean of its 9 × 9 neighbourhood) estimates the power of the structure alone. White noise and hot pixels
    have no expected share in it, at any defocus. It can come out slightly negative where there is nothing to see.

    With m and d half the sum and half the difference of the two, the mean product is ⟨m²⟩ − ⟨d²⟩ and its standard error
    over N pixels is 2·√(⟨m²d²⟩/N): d is noise alone, and is weighed where the structure is, as shot noise needs it.

    Source: the interlaced split is that of one-image Fourier ring correlation (Koho et al., Nat. Commun. 10:3103,
    2019).
    """
    height, width = (side - side % 2 for side in plane.shape)
    even = (plane[0:height:2, 0:width:2] + plane[1:height:2, 1:width:2]) * np.float32(0.5)
    odd = (plane[1:height:2, 0:width:2] + plane[0:height:2, 1:width:2]) * np.float32(0.5)
    even -= ndimage.uniform_filter(even, _NEIGHBOURHOOD_PX)
    odd -= ndimage.uniform_filter(odd, _NEIGHBOURHOOD_PX)
    value = _mean_product(even, odd)
    half = np.float32(0.5)
    product: Plane = (even + odd) * half * (even - odd) * half
    return Power(value, 2.0 * (_mean_product(product, product) / even.size) ** 0.5)


def vollath_power(plane: Plane) -> Power:
    """Return Vollath's F4: autocorrelation at a lag of one pixel minus that at two, over rows and columns.

    White noise has no expected share in it. Structure finer than three pixels counts negatively, so that it suits
    frames with more than about four pixels per λ/NA.

    Source: Vollath, J. Microsc. 147:279 (1987), F4.
    """
    centred = plane - plane.mean(dtype=np.float64).astype(np.float32)
    rows = _lag(centred, 1) - _lag(centred, 2)
    columns = _lag(centred.T, 1) - _lag(centred.T, 2)
    noise = max(0.0, _mean_product(centred, centred) - 0.5 * (_lag(centred, 1) + _lag(centred.T, 1)))
    value = 0.5 * (rows + columns)
    # Noise × noise and noise × structure, for noise that is the same everywhere.
    return Power(value, ((noise**2 + 2.0 * noise * max(value, 0.0)) / plane.size) ** 0.5)


def variance_power(plane: Plane) -> Power:
    """Return the variance of the pixels, noise and slow shading included.

    Source: Groen, Young & Ligthart, Cytometry 6:81 (1985), normalised variance (the caller divides by mean²).
    """
    value = float(plane.var(dtype=np.float64))
    return Power(value, value * (2.0 / plane.size) ** 0.5)


def _mean_product(first: Plane, second: Plane) -> float:
    return float(np.einsum("ij,ij->", first, second, dtype=np.float32, optimize=False)) / first.size


def _lag(plane: Plane, lag: int) -> float:
    """Return the mean product of pixels `lag` apart along the last axis."""
    return _mean_product(plane[:, :-lag], plane[:, lag:])


METRICS: Mapping[MetricName, Metric] = {"band": band_power, "vollath": vollath_power, "variance": variance_power}

__all__ = ["METRICS", "MIN_SIDE_PX", "Metric", "MetricName", "Plane", "Power"]
