"""The scales that make one network serve several objectives, and what may be known of a microscope beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

INCOHERENT = 1.2
"""Coherence that stands for incoherent image formation, whose transfer function is that of a wide open condenser."""
COHERENCE_RANGE = (0.3, INCOHERENT)
SPHERICAL_RANGE_WAVES = (-1.0, 1.0)
"""What the network was trained on."""
CHARACTER_WIDTH = 4


@dataclass(frozen=True, slots=True)
class PairOptics:
    """The optics that a pair is taken with.

    Parameters
    ----------
    na
        Numerical aperture of the objective.
    wavelength_nm
        Middle of the light's spectrum.
    immersion_index
        Refractive index of the immersion medium.
    pixel_size_um
        Size of a camera pixel in the specimen, binning included.

    Raises
    ------
    ValueError
        A value is not positive, or the aperture is not below the refractive index.
    """

    na: float
    wavelength_nm: float
    immersion_index: float
    pixel_size_um: float

    def __post_init__(self) -> None:
        for name in ("na", "wavelength_nm", "immersion_index", "pixel_size_um"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive")
        if self.na >= self.immersion_index:
            raise ValueError(f"na {self.na}: must be below immersion_index {self.immersion_index}")

    @property
    def dof_um(self) -> float:
        """Depth of field nλ/NA² in micrometres."""
        return self.immersion_index * self.wavelength_nm * 1e-3 / self.na**2

    @property
    def sampling(self) -> float:
        """Camera pixels per λ/NA."""
        return self.wavelength_nm * 1e-3 / self.na / self.pixel_size_um


@dataclass(frozen=True, slots=True)
class Character:
    """What is known of a microscope's imaging, by which pairs look different at the same defocus; it is seldom known.

    Parameters
    ----------
    coherence
        NA of the condenser over NA of the objective, `INCOHERENT` for objects that shine by themselves; ``None``:
        unknown.
    spherical_waves
        Primary spherical aberration W040 at the rim of the pupil in waves, of objective, immersion and cover glass
        together, balanced with defocus as W040·(ρ⁴ − ρ²); ``None``: unknown.

    Raises
    ------
    ValueError
        A value lies outside of what the network was trained on.
    """

    coherence: float | None = None
    spherical_waves: float | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in (("coherence", COHERENCE_RANGE), ("spherical_waves", SPHERICAL_RANGE_WAVES)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} {value}: the network knows {low:g} … {high:g}")

    @classmethod
    def of_condenser(cls, na: float, condenser_na: float | None) -> Self:
        """Return what the apertures of objective and condenser tell; beyond its limits the network reads the limit."""
        if condenser_na is None:
            return cls()
        low, high = COHERENCE_RANGE
        return cls(coherence=min(max(condenser_na / na, low), high))

    def numbers(self) -> NDArray[np.float32]:
        """Return what the network reads: for each value whether it is known, and how large.

        Returns
        -------
        Shape (`CHARACTER_WIDTH`,).
        """
        coherence = 0.0 if self.coherence is None else (self.coherence - 0.7) / 0.3
        spherical = 0.0 if self.spherical_waves is None else self.spherical_waves / 0.5
        known = (float(value is not None) for value in (self.coherence, self.spherical_waves))
        return np.array([next(known), coherence, next(known), spherical], np.float32)


__all__ = [
    "CHARACTER_WIDTH",
    "COHERENCE_RANGE",
    "INCOHERENT",
    "SPHERICAL_RANGE_WAVES",
    "Character",
    "PairOptics",
]
