"""Maps of bodies on a grid: drawn finely, and cut to what the grid can hold, so that no rim makes steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.optics import ComplexArray, resample_periodic, unit_phasor

if TYPE_CHECKING:
    from microscoped.simulators.holograms._bodies import Body
    from microscoped.simulators.holograms._optics import OffAxisOptics
    from microscoped.simulators.optics import FloatArray

FINE = 4
"""Fine samples per sample of a grid, along each axis."""


def thickness_um(body: Body, shape: tuple[int, int], pixel_um: float, centre_um: tuple[float, float]) -> FloatArray:
    """Return the thickness of a body averaged over each sample's area.

    Parameters
    ----------
    body
        What is mapped.
    shape, pixel_um
        Of the grid.
    centre_um
        Where the body's middle is (y, x), from the middle of the first sample; any fraction of a sample.

    Returns
    -------
    Shape ``shape``, micrometres along the light.
    """
    fine = (np.arange(FINE) + 0.5) / FINE - 0.5
    y = ((np.arange(shape[0])[:, None] + fine).reshape(-1, 1) * pixel_um - centre_um[0]).astype(np.float32)
    x = ((np.arange(shape[1])[:, None] + fine).reshape(1, -1) * pixel_um - centre_um[1]).astype(np.float32)
    chords = body.chord(x, y).reshape(shape[0], FINE, shape[1], FINE)
    return np.asarray(chords.mean(axis=(1, 3)), np.float32)


def contrast_patch(
    body: Body, optics: OffAxisOptics, pixel_um: float, centre_um: tuple[float, float]
) -> tuple[tuple[int, int], ComplexArray]:
    """Return exp(2πi·OPD/λ) − 1 of a body, band-limited to a grid, and where on the grid it belongs.

    OPD = (n − n_medium)·t (Jaferzadeh 2019, Eq. 3).

    Parameters
    ----------
    body
        What is mapped.
    optics
        Wavelength and medium.
    pixel_um
        Of the grid.
    centre_um
        Where the body's middle is (y, x), from the middle of the grid's sample (0, 0).

    Returns
    -------
    (row, column) of the patch's first sample, and the patch: square, with a margin of 6 samples.
    """
    half = math.ceil(body.radius_um / pixel_um) + 6
    row, column = (math.floor(c / pixel_um) - half for c in centre_um)
    size = 2 * half + 2
    # A sample stands for the middle of its cell on the fine grid and on the coarse one.
    along = (np.arange(size * FINE) + 0.5) * (pixel_um / FINE) - 0.5 * pixel_um
    y = (along + row * pixel_um - centre_um[0]).astype(np.float32)[:, None]
    x = (along + column * pixel_um - centre_um[1]).astype(np.float32)[None, :]
    waves = body.chord(x, y) * np.float32((body.index - optics.medium_index) / optics.wavelength_um)
    return (row, column), resample_periodic(unit_phasor(waves) - np.float32(1.0), (size, size))


__all__ = ["contrast_patch", "thickness_um"]
