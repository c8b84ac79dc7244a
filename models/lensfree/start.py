"""Where the reconstruction starts: the specimen whose holograms are the frames, were it weak.

A weak specimen's intensity is linear in its absorption a and phase φ: ``F{I − 1} = −2·D·(cos χ·F{a} + sin χ·k·F{φ})``
with the retardation χ(f) of each colour (J.-P. Guigay, Optik 49, 121 (1977)). Three colours and two unknowns: least
squares at each frequency. It is the back-propagation of all colours with the twin images they do not share taken away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.lensfree.forward import ForwardModel

CAUTION = (0.8, 0.1)
"""Added to what a frequency says of absorption and of phase: where it says less, both stay near 0; cells absorb
little."""
EDGE_PX = 40
"""Width in which the frame's borders run out, so that nothing jumps there."""


def linear_start(
    light: NDArray[np.float32], model: ForwardModel, shifts_um: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a first optical path difference in nm and absorption, on the padded grid.

    Parameters
    ----------
    light
        Evenly lit, shape (colours, rows, columns).
    model
        Of the frames.
    shifts_um
        Of each colour.
    """
    optics, shape = model.optics, model.padded_px
    fy, fx = np.fft.fftfreq(shape[0], optics.pitch_um)[:, None], np.fft.rfftfreq(shape[1], optics.pitch_um)[None, :]
    squared = fy * fy + fx * fx
    window = np.outer(taper(light.shape[1], EDGE_PX), taper(light.shape[2], EDGE_PX)).astype(np.float32)
    sums = np.zeros((2, *squared.shape), np.complex64)
    own = np.zeros((2, *squared.shape), np.float32)
    own += np.asarray(CAUTION, np.float32)[:, None, None]
    both = np.zeros(squared.shape, np.float32)
    padded = np.zeros(shape, np.float32)
    for colour, frame in enumerate(light):
        padded[model.frame] = (frame - 1.0) * window
        spectrum = np.asarray(scipy.fft.rfft2(padded), np.complex64)
        angle = optics.retardation(colour, squared, model.z_um)
        left = 2.0 * optics.damping(colour, fx, fy, model.z_um)
        factor = optics.reference_um / optics.wavelengths_um[colour]
        of_absorption = (-left * np.cos(angle)).astype(np.float32)
        of_phase = (-left * factor * np.sin(angle)).astype(np.float32)
        down, across = shifts_um[colour]
        spectrum *= np.exp(2j * np.pi * (fy * down)).astype(np.complex64)
        spectrum *= np.exp(2j * np.pi * (fx * across)).astype(np.complex64)
        sums[0] += of_absorption * spectrum
        sums[1] += of_phase * spectrum
        own[0] += of_absorption * of_absorption
        own[1] += of_phase * of_phase
        both += of_absorption * of_phase
    determinant = own[0] * own[1] - both * both
    absorption = scipy.fft.irfft2((own[1] * sums[0] - both * sums[1]) / determinant, s=shape)
    phase = scipy.fft.irfft2((own[0] * sums[1] - both * sums[0]) / determinant, s=shape)
    opd_nm = np.asarray(phase, np.float32) * np.float32(1e3 * optics.reference_um / (2.0 * np.pi))
    return opd_nm, np.maximum(np.asarray(absorption, np.float32), np.float32(0.0))


def taper(size: int, border: int) -> NDArray[np.float64]:
    """Return weights along an axis that rise from 0 at both ends to 1 over a border."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1])
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum((distance + 0.5) / border, 1.0)))


__all__ = ["linear_start", "taper"]
