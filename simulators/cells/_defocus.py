"""What is left of a map of optical path differences out of focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from microscoped.simulators.optics import FloatArray

MARGIN_PX = 12
"""The map is mirrored so far beyond its edges, so that one edge does not reach into the other."""


@dataclass(frozen=True, slots=True)
class Defocus:
    """Light by which a map is recorded.

    A weak phase object keeps the part cos(π·λ·z·ν²) of its phase at the spatial frequency ν (contrast transfer of a
    coherent wave: Guigay 1977). A source of finite size shifts the image of each of its points by z times the angle,
    which leaves exp(−(2π·s·z·ν)²/2) of that, where the angles are normally distributed with the deviation s.

    Parameters
    ----------
    wavelength_nm
        Of the light.
    illumination_na
        Twice the deviation s of the angles.

    Raises
    ------
    ValueError
        The wavelength is not positive, or the aperture negative.
    """

    wavelength_nm: float
    illumination_na: float = 0.1

    def __post_init__(self) -> None:
        if not self.wavelength_nm > 0 or not self.illumination_na >= 0:
            raise ValueError(
                f"wavelength_nm {self.wavelength_nm} must be positive and illumination_na {self.illumination_na} not "
                "negative"
            )

    def apply(self, opd_nm: FloatArray, pixel_um: float, z_um: float) -> FloatArray:
        """Return a map as it looks so far from the focus; shape (rows, columns) as before."""
        if z_um == 0.0:
            return opd_nm
        mirrored = np.pad(opd_nm, MARGIN_PX, mode="reflect")
        down = fft.fftfreq(mirrored.shape[0], pixel_um)[:, None]
        across = fft.rfftfreq(mirrored.shape[1], pixel_um)[None, :]
        square = down * down + across * across
        spread = np.pi * self.illumination_na * z_um
        transfer = np.cos(np.pi * 1e-3 * self.wavelength_nm * z_um * square) * np.exp(-0.5 * spread**2 * square)
        found = fft.irfft2(fft.rfft2(mirrored) * transfer.astype(np.float32), mirrored.shape)
        return np.asarray(found[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX], np.float32)


__all__ = ["Defocus"]
