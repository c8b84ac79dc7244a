"""Homogeneous balls by Mie's series: exact however strong they are, and fast.

C. F. Bohren and D. R. Huffman, Absorption and Scattering of Light by Small Particles, §4.4 (series and coefficients)
and §3.2 (far field ``S(θ)·exp(ikr)/(−ikr)``). Weyl's integral turns the far field into plane waves. Light is taken as
unpolarised: the amplitude is the mean of both polarisations, S = (S₁ + S₂)/2.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import spherical_jn, spherical_yn

from microscoped.simulators.holograms._field import ObjectField, band_size, frame_period
from microscoped.simulators.holograms._thin import MARGIN_UM
from microscoped.simulators.optics import axial_frequency, unit_phasor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.simulators.holograms._bodies import Sphere
    from microscoped.simulators.holograms._optics import OffAxisOptics
    from microscoped.simulators.holograms._specimen import PlacedBody

TABLE_ANGLES = 4096
"""Angles at which the series is summed; between them it is interpolated."""


def mie_amplitude(ball: Sphere, optics: OffAxisOptics, sine: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the scattering amplitude S(θ) of a ball, the mean of both polarisations.

    Parameters
    ----------
    ball
        Its diameter and index.
    optics
        Wavelength and medium.
    sine
        Sines of the scattering angles, all forwards.
    """
    size = math.pi * ball.diameter_um * optics.medium_index / optics.wavelength_um
    ratio = ball.index / optics.medium_index
    orders = np.arange(1, int(size + 4.0 * size ** (1.0 / 3.0) + 10.0) + 1)
    within = ratio * size
    outer, outer_slope = _riccati(size, spherical_jn(orders, size), spherical_jn(orders, size, True))
    inner, inner_slope = _riccati(within, spherical_jn(orders, within), spherical_jn(orders, within, True))
    second, second_slope = _riccati(size, spherical_yn(orders, size), spherical_yn(orders, size, True))
    wave, wave_slope = outer + 1j * second, outer_slope + 1j * second_slope
    a = (ratio * inner * outer_slope - outer * inner_slope) / (ratio * inner * wave_slope - wave * inner_slope)
    b = (inner * outer_slope - ratio * outer * inner_slope) / (inner * wave_slope - ratio * wave * inner_slope)
    cosine = np.sqrt(1.0 - sine * sine)
    total = np.zeros(sine.shape, np.complex128)
    before, angular = np.zeros(sine.shape), np.ones(sine.shape)
    for n, a_n, b_n in zip(orders, a, b, strict=True):
        slope = n * cosine * angular - (n + 1) * before
        total += (2 * n + 1) / (n * (n + 1)) * 0.5 * (a_n + b_n) * (angular + slope)
        before, angular = angular, ((2 * n + 1) * cosine * angular - (n + 1) * before) / n
    return total


def mie_field(
    balls: Sequence[PlacedBody], optics: OffAxisOptics, shape_px: tuple[int, int], margin_um: float = MARGIN_UM
) -> ObjectField:
    """Return the field of a frame of balls; light that they scatter on each other is left out.

    Parameters
    ----------
    balls
        What lies in the field; each body a `Sphere`.
    optics
        The microscope.
    shape_px
        Of the frame.
    margin_um
        Round the frame.
    """
    pixels, margin = frame_period(shape_px, optics, margin_um)
    pixel = optics.pixel_um
    empty = _empty((pixels[0] * pixel, pixels[1] * pixel), (-margin * pixel, -margin * pixel), optics)
    return _with_balls(empty, balls)


def mie_body_field(body: Sphere, optics: OffAxisOptics, period_um: float) -> ObjectField:
    """Return the field of one ball alone at z = 0 in the middle of a square period.

    Parameters
    ----------
    body
        What it is of; its middle is at (0, 0).
    optics
        The microscope.
    period_um
        Side of the square.
    """
    empty = _empty((period_um, period_um), (-period_um / 2.0, -period_um / 2.0), optics)
    return replace(empty, scattered=_ball(empty, body, 0.0, 0.0, 0.0))


def _empty(period_um: tuple[float, float], origin_um: tuple[float, float], optics: OffAxisOptics) -> ObjectField:
    return ObjectField(np.zeros(band_size(period_um, optics), np.complex64), period_um, origin_um, optics)


def _with_balls(field: ObjectField, balls: Sequence[PlacedBody]) -> ObjectField:
    scattered = field.scattered.copy()
    for placed in balls:
        if placed.body.kind not in ("bead", "spherocyte"):
            raise ValueError(f"a {placed.body.kind} is no ball: use specimen_field or multislice_field")
        scattered += _ball(field, placed.body, placed.y_um, placed.x_um, placed.z_um)  # type: ignore[arg-type]
    return replace(field, scattered=scattered)


def _ball(like: ObjectField, ball: Sphere, y_um: float, x_um: float, z_um: float) -> NDArray[np.complex64]:
    """Return the spectrum of a ball: −2π·S(θ)/(k·k_z) over the area of the period, times its phases."""
    optics = like.optics
    fx, fy = like.frequencies()
    f = np.sqrt(fx.astype(np.float64) ** 2 + fy.astype(np.float64) ** 2)
    inside = f <= optics.cutoff_per_um
    k = optics.medium_index / optics.wavelength_um
    table = np.linspace(0.0, optics.cutoff_per_um / k, TABLE_ANGLES)
    amplitude = mie_amplitude(ball, optics, table)
    sine = np.minimum(f / k, table[-1])
    scattering = np.interp(sine, table, amplitude.real) + 1j * np.interp(sine, table, amplitude.imag)
    area = like.period_um[0] * like.period_um[1]
    spectrum = -scattering * inside / (2.0 * np.pi * k * k * np.sqrt(1.0 - sine**2) * area)
    axial = axial_frequency(optics.medium_index, optics.wavelength_um, fx, fy)
    place = fy * np.float32(y_um - like.origin_um[0]) + fx * np.float32(x_um - like.origin_um[1])
    return np.asarray(spectrum * unit_phasor(-axial * np.float32(z_um) - place), np.complex64)


def _riccati(
    argument: float, bessel: NDArray[np.float64], slope: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x·f(x) and its derivative."""
    return argument * bessel, bessel + argument * slope


__all__ = ["mie_amplitude", "mie_body_field", "mie_field"]
