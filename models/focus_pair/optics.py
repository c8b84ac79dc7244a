"""The scales that make one network serve several objectives."""

from __future__ import annotations

from dataclasses import dataclass


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


__all__ = ["PairOptics"]
