"""From frames of one instrument to normalised fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.hologram._frames import check_light, monochrome
from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.background import Background
from microscoped.models.hologram.errors import BackgroundError, FrameChangedError, NoSidebandError
from microscoped.models.hologram.field import normalised
from microscoped.models.hologram.sideband import Side, Sideband, SidebandFilter, find_sideband

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.field import Field
    from microscoped.models.hologram.optics import HologramOptics

COHERENCE_LEAST = 0.08
"""Least share of a field's power that blocks of 16 × 16 samples hold in their means; noise alone holds about 0.01."""
BLOCK = 16
"""Side of these blocks in samples."""


@dataclass(frozen=True, slots=True)
class ReconstructionSettings:
    """How frames become fields.

    Parameters
    ----------
    side
        Which sideband is read; see `microscoped.models.hologram.sideband`.
    radius
        Of the band in cycles per camera pixel; ``None`` for the aperture's, or a measured one.
    background_order
        Of the polynomial that is fitted where there is no background hologram.
    """

    side: Side = Side.PLUS
    radius: float | None = None
    background_order: int = 3


class Reconstructor:
    """Makes fields of frames of one instrument, whose carrier and background were found once.

    Parameters
    ----------
    sideband_filter
        For the frames' shape.
    background
        What a field without specimen looks like, from the same filter.

    Raises
    ------
    FrameChangedError
        The background has another shape than the filter's fields.
    """

    def __init__(self, sideband_filter: SidebandFilter, background: Background) -> None:
        if background.inverse.shape != tuple(sideband_filter.grid):
            raise FrameChangedError(
                f"background shape {background.inverse.shape}: the filter's fields have {sideband_filter.grid}; "
                "take the background with the same camera region, binning and optics"
            )
        self.filter = sideband_filter
        self.background = background
        self._whole = sideband_filter.multiplied(background.inverse)

    @classmethod
    def prepare(
        cls,
        frame: NDArray[np.generic],
        optics: HologramOptics,
        *,
        background: NDArray[np.generic] | None = None,
        settings: ReconstructionSettings = ReconstructionSettings(),
        arrays: ArrayBackend = SCIPY,
    ) -> Reconstructor:
        """Find carrier and background.

        Parameters
        ----------
        frame
            A hologram, shape (height, width).
        background
            A hologram of a place without specimen, same shape: the carrier is then found in it. Without it the
            background is fitted to ``frame``.

        Raises
        ------
        HologramError
            A frame is no off-axis hologram that suits the optics, or the background does not fit the frame.
        """
        if background is not None and background.shape[:2] != frame.shape[:2]:
            raise BackgroundError(
                f"background shape {background.shape[:2]}: the frame has {frame.shape[:2]}; take the background with "
                "the same camera region and binning"
            )
        found: Sideband = find_sideband(
            frame if background is None else background, optics, side=settings.side, radius=settings.radius
        )
        cut = SidebandFilter((frame.shape[0], frame.shape[1]), found, optics, arrays)
        if background is not None:
            return cls(cut, Background.of_hologram(cut(background)))
        return cls(cut, Background.fitted(cut(frame), settings.background_order))

    @property
    def sideband(self) -> Sideband:
        """Carrier and radius of the band."""
        return self.filter.sideband

    def __call__(self, frame: NDArray[np.generic]) -> Field:
        """Return the normalised field at the recording plane.

        Parameters
        ----------
        frame
            Of the shape that this was prepared for.

        Raises
        ------
        FrameChangedError, FrameShapeError
            The frame has another shape, or is no monochrome frame of real numbers.
        ConstantFrameError, SaturatedFrameError
            The frame has too little light or too much.
        NoSidebandError
            There are no fringes where the carrier was.
        """
        frame = monochrome(frame)
        clipped = check_light(frame)
        field = self._whole(frame)
        share = coherence(field.values)
        if share < COHERENCE_LEAST:
            row, column = self.sideband.carrier
            raise NoSidebandError(
                f"frame: no fringes at the carrier {row:.4f}, {column:.4f} cycles per pixel (coherence {share:.3f}, at "
                f"least {COHERENCE_LEAST:g}); check that the reference beam is open, or find the sideband again if it "
                "was moved"
            )
        scale = [size / field.optics.pixel for size in field.pixel]
        places = clipped - np.array(field.first, np.float32)
        saturated = np.asarray(places / np.array(scale, np.float32), np.float32)
        return replace(field, values=normalised(field.values), saturated=saturated)


def coherence(values: NDArray[np.complex64]) -> float:
    """Return the share of a field's power that the means of blocks of 16 × 16 samples hold: 1 for an even field.

    Parameters
    ----------
    values
        Shape (rows, columns), at least 16 each.
    """
    rows, columns = (n // BLOCK for n in values.shape)
    cut = values[: rows * BLOCK, : columns * BLOCK]
    means = cut.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))
    power = float(np.vdot(values, values).real) / values.size
    return float(np.mean(means.real**2 + means.imag**2)) / max(power, 1e-30)


__all__ = ["ReconstructionSettings", "Reconstructor", "coherence"]
