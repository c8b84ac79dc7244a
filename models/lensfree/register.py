"""How far the holograms of the colours lie apart, found from the frames themselves.

Each colour's spectrum is multiplied by the transfer of a weak phase specimen, ``sin χ``: what the colours then show
differs by the shift alone. Their cross-correlation, of equal weight for all frequencies of the band, is computed at any
place by a matrix product (M. Guizar-Sicairos et al., Optics Letters 33, 156 (2008)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from microscoped.models.lensfree.start import taper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.lensfree.optics import InlineOptics

LARGEST_SIDE = 1024
"""The middle of greater frames is enough."""
SEARCH_UM = 8.0
"""Shifts are looked for up to here."""
BAND_PER_UM = (0.01, 0.15)
"""Frequencies that are looked at."""
STEPS_PX = (0.5, 0.05)
"""Distances of the places of both searches, in pixels."""
LEAST_PEAK = 8.0
"""A lower peak, in standard deviations of the correlation of unrelated frames, shows no shift."""


def estimate_shifts_um(
    light: NDArray[np.float32], optics: InlineOptics, z_um: float
) -> tuple[tuple[float, float], ...]:
    """Return each colour's shift against the middle colour; (0, 0) where the two have nothing in common.

    Parameters
    ----------
    light
        Evenly lit, shape (colours, rows, columns).
    optics
        Its ``shifts_um`` are not looked at.
    z_um
        Distance from specimen to sensor; some tens of micrometres of error do little, because it is that of all
        colours.
    """
    middle = _middle(light)
    rows, columns = middle.shape[1:]
    window = np.outer(taper(rows, rows // 4), taper(columns, columns // 4)).astype(np.float32)
    fy, fx = np.fft.fftfreq(rows, optics.pitch_um), np.fft.rfftfreq(columns, optics.pitch_um)
    squared = fy[:, None] ** 2 + fx[None, :] ** 2
    band = (squared > BAND_PER_UM[0] ** 2) & (squared < BAND_PER_UM[1] ** 2)
    shown = []
    for colour, frame in enumerate(middle):
        spectrum = np.asarray(scipy.fft.rfft2((frame - 1.0) * window), np.complex64)
        sine = np.sin(optics.retardation(colour, squared, z_um)).astype(np.float32)
        shown.append(np.where(band, spectrum * sine, 0))
    reference = shown[optics.middle]
    found = []
    for colour, spectrum in enumerate(shown):
        if colour == optics.middle:
            found.append((0.0, 0.0))
            continue
        cross = spectrum * np.conj(reference)
        strength = np.abs(cross)
        # The square root keeps some of the frequencies' strength: equal weights would count noise as much.
        cross /= np.sqrt(np.maximum(strength, np.float32(1e-12)))
        found.append(_peak(cross, fy, fx, optics.pitch_um))
    return tuple(found)


def _middle(light: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (min(size, LARGEST_SIDE) for size in light.shape[1:])
    top, left = (light.shape[1] - rows) // 2, (light.shape[2] - columns) // 2
    return light[:, top : top + rows, left : left + columns]


def _peak(
    cross: NDArray[np.complex64], fy: NDArray[np.floating], fx: NDArray[np.floating], pitch_um: float
) -> tuple[float, float]:
    """Return where a cross-correlation is greatest; (0, 0) where it has no peak."""
    place, reach = (0.0, 0.0), SEARCH_UM
    unrelated = np.sqrt(0.5 * float((np.abs(cross) ** 2).sum()))
    for step_px in STEPS_PX:
        step = step_px * pitch_um
        count = int(np.ceil(reach / step))
        axis = np.arange(-count, count + 1) * step
        values = _correlation(cross, fy, fx, place[0] + axis, place[1] + axis)
        if not values.max() > LEAST_PEAK * unrelated:
            return 0.0, 0.0
        row, column = np.unravel_index(int(np.argmax(values)), values.shape)
        refined = (_vertex(values[:, column], int(row)), _vertex(values[row], int(column)))
        place = (place[0] + (refined[0] - count) * step, place[1] + (refined[1] - count) * step)
        reach = 2.0 * step
    return place


def _correlation(
    cross: NDArray[np.complex64],
    fy: NDArray[np.floating],
    fx: NDArray[np.floating],
    down: NDArray[np.floating],
    across: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Return a cross-correlation at places, shape (down, across)."""
    upright = np.exp(2j * np.pi * np.outer(down, fy)).astype(np.complex64)
    level = np.exp(2j * np.pi * np.outer(fx, across)).astype(np.complex64)
    return np.asarray((upright @ cross @ level).real, np.float64)


def _vertex(values: NDArray[np.floating], index: int) -> float:
    """Return the place of the greatest value between samples, by a parabola through three."""
    if not 0 < index < len(values) - 1:
        return float(index)
    left, peak, right = values[index - 1 : index + 2]
    bend = left - 2.0 * peak + right
    return float(index + (0.5 * (left - right) / bend if bend < 0 else 0.0))


__all__ = ["SEARCH_UM", "estimate_shifts_um"]
