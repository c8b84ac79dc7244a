"""What a field in focus says of the specimen: amplitude, phase, optical path, thickness, dry mass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.restoration import unwrap_phase

from microscoped.models.hologram.errors import OpticsError
from microscoped.models.hologram.sideband import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.field import Field

PROTEIN_INCREMENT = 0.18
"""Refractive increment of protein and nucleic acid in µm³/pg (R. Barer, Nature 169, 366 (1952); Allier 2022)."""


def amplitude(field: Field) -> NDArray[np.float32]:
    """Return the amplitude, 1 where there is no specimen; shape (rows, columns)."""
    return np.asarray(np.abs(field.values), np.float32)


def unwrapped_phase(field: Field) -> NDArray[np.float32]:
    """Return the phase without jumps, 0 where there is no specimen.

    By sorting by reliability following a non-continuous path (M. A. Herráez et al., Applied Optics 41, 7437 (2002)), as
    scikit-image has it. Whole turns are chosen so that the most frequent value is the one nearest to 0.

    Parameters
    ----------
    field
        Normalised, in focus.

    Returns
    -------
    Shape (rows, columns), rad.
    """
    wrapped = np.angle(field.values)
    phase = np.asarray(unwrap_phase(wrapped), np.float32)  # type: ignore[no-untyped-call] # has no types
    turns = np.rint((phase - wrapped) / np.float32(2.0 * np.pi)).astype(np.int64)
    # Background is where the wrapped phase is near 0: its number of turns is the one to take away.
    near = turns[np.abs(wrapped) < 1.0]
    chosen = near if near.size else turns.ravel()
    values, counts = np.unique(chosen, return_counts=True)
    return np.asarray(phase - np.float32(2.0 * np.pi * int(values[np.argmax(counts)])), np.float32)


def denser_side(field: Field, side: Side) -> Side | None:
    """Return which sideband makes the specimen denser than the medium, as cells in a buffer are.

    Parameters
    ----------
    field
        Normalised, near focus.
    side
        The side that the field was read from.

    Returns
    -------
    ``None`` where the phase is too even to tell: beyond 0.3 rad it amounts to less than 0.02 rad on average over the
    field, or not to twice as much on one side as on the other.
    """
    phase = unwrapped_phase(field)
    far = phase[np.abs(phase) > 0.3]
    above = float(far[far > 0].sum()) / phase.size
    below = -float(far[far < 0].sum()) / phase.size
    if max(above, below) < 0.02 or max(above, below) < 2.0 * min(above, below):
        return None
    return side if above > below else Side(-side)


def opd_nm(field: Field, phase: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return the optical path difference φ·λ/2π in nm (Jaferzadeh 2019, eq. 3), shape (rows, columns).

    Parameters
    ----------
    field
        Normalised, in focus.
    phase
        Its unwrapped phase, where it is known already.

    Raises
    ------
    ScaleUnknownError
        The wavelength is unknown.
    """
    wavelength = field.optics.require_wavelength_um("the optical path")
    if phase is None:
        phase = unwrapped_phase(field)
    return np.asarray(phase * np.float32(1e3 * wavelength / (2.0 * np.pi)), np.float32)


def thickness_um(field: Field, specimen_index: float, phase: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return the thickness OPD / (n_specimen − n_medium) in µm, shape (rows, columns).

    Parameters
    ----------
    specimen_index
        Mean refractive index of the specimen along the light.

    Raises
    ------
    ScaleUnknownError
        The wavelength is unknown.
    OpticsError
        The index is the medium's.
    """
    contrast = specimen_index - field.optics.medium_index
    if abs(contrast) < 1e-6:
        raise OpticsError(
            f"specimen_index {specimen_index}: equals medium_index, so thickness makes no phase; configure both"
        )
    return np.asarray(opd_nm(field, phase) * np.float32(1e-3 / contrast), np.float32)


def dry_mass_pg(
    field: Field,
    where: NDArray[np.bool_] | tuple[slice, slice],
    *,
    refractive_increment: float = PROTEIN_INCREMENT,
    phase: NDArray[np.float32] | None = None,
) -> float:
    """Return the dry mass ∑ OPD·area / α in pg.

    Parameters
    ----------
    field
        Normalised, in focus.
    where
        Samples of the specimen: a mask of the field's shape, or a box.
    refractive_increment
        α in µm³/pg, of this sample.
    phase
        Unwrapped phase, where it is known already.

    Raises
    ------
    ScaleUnknownError
        Wavelength or pixel size are unknown.
    OpticsError
        The increment is not positive.
    """
    if not refractive_increment > 0:
        raise OpticsError(
            f"refractive_increment {refractive_increment}: must be positive, 0.18 … 0.21 µm³/pg for cells"
        )
    field.optics.require_pixel_size_um("dry mass")
    path_um = opd_nm(field, phase)[where].sum(dtype=np.float64) * 1e-3
    return float(path_um * field.pixel[0] * field.pixel[1] / refractive_increment)


__all__ = ["PROTEIN_INCREMENT", "amplitude", "denser_side", "dry_mass_pg", "opd_nm", "thickness_um", "unwrapped_phase"]
