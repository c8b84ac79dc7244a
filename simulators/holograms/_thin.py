"""Cells at different depths as thin elements: one transmittance after the other, and free space between."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from microscoped.simulators.holograms._field import ObjectField, frame_period
from microscoped.simulators.holograms._thickness import contrast_patch
from microscoped.simulators.optics import ComplexArray, axial_frequency, frequencies, unit_phasor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.simulators.holograms._bodies import Body
    from microscoped.simulators.holograms._optics import OffAxisOptics
    from microscoped.simulators.holograms._specimen import PlacedBody

SAMPLES_PER_WAVE = 2.5
"""Samples per wavelength in the medium: all light that travels is held, with room for products."""
MARGIN_UM = 16.0
"""So far a field reaches beyond its frame: defocused light leaves there instead of entering on the other side."""


def thin_field(
    bodies: Sequence[PlacedBody],
    optics: OffAxisOptics,
    shape_px: tuple[int, int],
    margin_um: float = MARGIN_UM,
) -> ObjectField:
    """Return the field of a frame, its bodies taken as thin elements in their middle planes.

    The light meets the bodies in order of depth and travels between them by the exact angular spectrum; from the last
    one it is brought to the recording plane, forwards or back. A body is much thinner than the distances that matter
    here; for one that is not, such as a bead, use `multislice_field`.

    Parameters
    ----------
    bodies
        What lies in the field; those beyond the frame count while their middles are within the margin.
    optics
        The microscope.
    shape_px
        Of the frame.
    margin_um
        Round the frame.
    """
    pixels, margin = frame_period(shape_px, optics, margin_um)
    pixel = optics.pixel_um
    finest = optics.wavelength_um / (optics.medium_index * SAMPLES_PER_WAVE)
    grid = fft.next_fast_len(math.ceil(pixels[0] * pixel / finest))
    step = pixels[0] * pixel / grid
    if pixels[0] == pixels[1]:
        shape = grid, grid
    else:
        # Samples stay square where the width is a whole number of steps too.
        blocks = math.gcd(pixels[0], pixels[1])
        per_block = math.ceil(blocks * pixel / finest)
        shape = pixels[0] // blocks * per_block, pixels[1] // blocks * per_block
        step = blocks * pixel / per_block
    origin = -margin * pixel
    near = [
        placed
        for placed in bodies
        if -margin_um <= placed.y_um <= shape_px[0] * pixel + margin_um
        and -margin_um <= placed.x_um <= shape_px[1] * pixel + margin_um
    ]
    contrast = through(near, optics, shape, step, (origin, origin))
    return ObjectField.of_samples(contrast, (shape[0] * step, shape[1] * step), (origin, origin), optics)


def thin_body_field(body: Body, optics: OffAxisOptics, period_um: float) -> ObjectField:
    """Return the field of one body alone, at z = 0 in the middle of a square period.

    Parameters
    ----------
    body
        What it is of; its middle is at (0, 0).
    optics
        The microscope.
    period_um
        Side of the square.
    """
    finest = optics.wavelength_um / (optics.medium_index * SAMPLES_PER_WAVE)
    grid = fft.next_fast_len(math.ceil(period_um / finest))
    step = period_um / grid
    origin = -period_um / 2.0
    contrast = np.zeros((grid, grid), np.complex64)
    (row, column), patch = contrast_patch(body, optics, step, (-origin, -origin))
    if max(patch.shape) > grid or row < 0 or column < 0:
        raise ValueError(f"period_um {period_um} is too small for a body of radius {body.radius_um:.2f} µm")
    contrast[row : row + patch.shape[0], column : column + patch.shape[1]] = patch
    return ObjectField.of_samples(contrast, (period_um, period_um), (origin, origin), optics)


def through(
    bodies: Sequence[PlacedBody],
    optics: OffAxisOptics,
    shape: tuple[int, int],
    step_um: float,
    origin_um: tuple[float, float],
) -> ComplexArray:
    """Return O − 1 at z = 0 behind bodies, before the pupil, on a periodic grid.

    Parameters
    ----------
    bodies
        In any order.
    optics
        The microscope.
    shape, step_um, origin_um
        Of the grid; its first sample is at the origin (y, x).
    """
    contrast = np.zeros(shape, np.complex64)
    here = 0.0
    fx, fy = frequencies(shape, step_um)
    axial = axial_frequency(optics.medium_index, optics.wavelength_um, fx, fy)
    travelling = fx * fx + fy * fy < np.float32((optics.medium_index / optics.wavelength_um) ** 2)
    for placed in sorted(bodies, key=lambda body: body.z_um):
        if placed.z_um != here:
            contrast = _propagated(contrast, axial, travelling, placed.z_um - here)
            here = placed.z_um
        centre = placed.y_um - origin_um[0], placed.x_um - origin_um[1]
        (row, column), patch = contrast_patch(placed.body, optics, step_um, centre)
        index = np.ix_((row + np.arange(patch.shape[0])) % shape[0], (column + np.arange(patch.shape[1])) % shape[1])
        # (1 + s)(1 + c) − 1
        contrast[index] += patch * (1.0 + contrast[index])
    return _propagated(contrast, axial, travelling, -here) if here != 0.0 else contrast


def _propagated(contrast: ComplexArray, axial: np.ndarray, travelling: np.ndarray, distance_um: float) -> ComplexArray:
    if not contrast.any():
        return contrast
    spectrum = fft.fft2(contrast)
    spectrum *= unit_phasor(axial * np.float32(distance_um)) * travelling
    return np.asarray(fft.ifft2(spectrum, overwrite_x=True), np.complex64)


__all__ = ["MARGIN_UM", "thin_body_field", "thin_field", "through"]
