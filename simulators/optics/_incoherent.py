"""Incoherent brightfield images: the condenser fills the pupil and the specimen only absorbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import fft, special

from microscoped.simulators.optics._pupil import axial_frequency, frequencies, unit_phasor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from microscoped.simulators.optics._pupil import ComplexArray, FloatArray, Pupil

Combination = Literal["product", "sum"]
TransferFunction = Callable[["Pupil", tuple[int, int], float, "ArrayLike"], "ComplexArray"]


def incoherent_otf(pupil: Pupil, shape: tuple[int, int], pixel_um: float, z_um: ArrayLike) -> ComplexArray:
    """Return optical transfer functions, the spectra of |F⁻¹{P}|², 1 at frequency 0.

    Parameters
    ----------
    pupil
        The objective.
    shape, pixel_um
        Grid; its Nyquist frequency must be at least NA/λ.
    z_um
        Optical positions, shape (Z,).

    Returns
    -------
    Shape (Z, height, width//2 + 1), in the layout of ``rfft2``.
    """
    fx, fy = frequencies(shape, pixel_um)
    if 0.5 / pixel_um < pupil.cutoff:
        raise ValueError(f"a grid of {pixel_um} µm cannot hold a pupil of {pupil.cutoff:.3g} cycles/µm")
    amplitude = pupil.transmission(fx, fy)
    axial = axial_frequency(pupil.index, pupil.wavelength_um, fx, fy)
    z = np.asarray(z_um, np.float32).reshape(-1)
    otf = np.empty((z.size, shape[0], shape[1] // 2 + 1), np.complex64)
    for k, position in enumerate(z):
        field = fft.ifft2(amplitude * unit_phasor(axial * position), overwrite_x=True)
        otf[k] = fft.rfft2(field.real**2 + field.imag**2)
        otf[k] /= otf[k, 0, 0].real
    return otf


def stokseth_otf(pupil: Pupil, shape: tuple[int, int], pixel_um: float, z_um: ArrayLike) -> ComplexArray:
    """Return optical transfer functions by Stokseth's approximation (J. Opt. Soc. Am. 59:1314, 1969).

    ``A(s)·2J₁(x)/x`` with ``x = 4π·w₂₀·s·(1 − s/2)`` and ``A = 1 − 0.69 s + 0.0076 s² + 0.043 s³``, s the frequency in
    units of NA/λ, w₂₀ the paraxial defocus at the rim in waves. Aberrations of the pupil are ignored. Independent of
    `incoherent_otf`, whose parameters and result it shares.
    """
    fx, fy = frequencies(shape, pixel_um)
    s = np.minimum(np.hypot(fx, fy)[:, : shape[1] // 2 + 1] / np.float32(pupil.cutoff), np.float32(2.0))
    w20 = 0.5 * np.asarray(z_um, np.float32).reshape(-1) * np.float32(pupil.na**2 / pupil.index / pupil.wavelength_um)
    x = np.float32(4.0 * np.pi) * np.abs(w20)[:, None, None] * s * (1.0 - s / 2.0)
    ring = np.where(x > 1e-4, 2.0 * special.j1(x) / np.maximum(x, np.float32(1e-4)), 1.0)
    amplitude = np.clip(1.0 - 0.69 * s + 0.0076 * s**2 + 0.043 * s**3, 0.0, None) * (s < 2.0)
    return np.asarray(amplitude * ring, np.complex64)


def incoherent_images(
    absorption: FloatArray,
    layer_z_um: ArrayLike,
    pupil: Pupil,
    pixel_um: float,
    z_um: ArrayLike,
    combination: Combination = "product",
    transfer: TransferFunction = incoherent_otf,
) -> FloatArray:
    """Return images of absorbing layers at many optical positions; a clear field is 1.

    ``product``: Π over layers of (1 − a ⊛ PSF(z − z_layer)), each layer seen through the blurred others, an
    approximation for dense specimens. ``sum``: 1 − Σ a ⊛ PSF, right for weak absorption.

    Parameters
    ----------
    absorption
        Absorbed fraction a of each layer, shape (L, height, width), periodic; transformed once for all positions.
    layer_z_um
        Optical positions of the layers (depth in the specimen times n/n_specimen), shape (L,).
    pupil, pixel_um
        Objective and grid.
    z_um
        Optical positions, shape (Z,).
    combination
        How layers act together.
    transfer
        `incoherent_otf` or `stokseth_otf`.

    Returns
    -------
    Shape (Z, height, width).
    """
    z = np.asarray(z_um, np.float32).reshape(-1)
    layer_z = np.asarray(layer_z_um, np.float32).reshape(-1)
    shape = absorption.shape[-2], absorption.shape[-1]
    spectra = fft.rfft2(absorption.astype(np.float32, copy=False))
    images = np.ones((z.size, *shape), np.float32)
    for k, position in enumerate(z):
        otf = transfer(pupil, shape, pixel_um, position - layer_z)
        blurred = fft.irfft2(spectra * otf, s=shape, overwrite_x=True)
        images[k] = np.prod(1.0 - blurred, axis=0) if combination == "product" else 1.0 - blurred.sum(axis=0)
    return images


def hopkins_otf(s: ArrayLike, w20_waves: ArrayLike, order: int = 256) -> NDArray[np.float64]:
    """Return the OTF of a circular pupil with defocus, by quadrature (Hopkins, Proc. R. Soc. A 231:91, 1955).

    ``H = (1/π) ∬_overlap exp(2πi·w20·2·s·u) du dv`` over the overlap of two unit discs displaced by s. Paraxial: for
    checking `incoherent_otf`.

    Parameters
    ----------
    s
        Frequency in units of NA/λ, 0 to 2.
    w20_waves
        Defocus at the rim, ½·z·NA²/(n·λ) waves; broadcasts with ``s``.
    order
        Points of the Gauss-Legendre rule.
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    s_, w20 = np.broadcast_arrays(np.asarray(s, float)[..., None], np.asarray(w20_waves, float)[..., None])
    half = np.clip(1.0 - s_ / 2.0, 0.0, None)
    # u = half·(1 − t²) takes away the square root at the rim of the overlap.
    t = (nodes + 1.0) / 2.0
    u = half * (1.0 - t * t)
    height = np.sqrt(np.clip(1.0 - (u + s_ / 2.0) ** 2, 0.0, None))
    integrand = height * np.cos(4.0 * np.pi * w20 * s_ * u) * 2.0 * t * half
    return np.asarray((4.0 / np.pi) * (integrand * weights / 2.0).sum(axis=-1))
