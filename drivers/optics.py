"""The few optical figures that everything else is measured in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Optics:
    """One objective at one wavelength on one camera.

    Parameters
    ----------
    na
        Numerical aperture of the objective.
    wavelength_nm
        Vacuum wavelength that the image is formed with.
    immersion_index
        Refractive index of the immersion medium (1.0 for a dry objective).
    pixel_size_um
        Camera pixel divided by magnification: micrometres in the specimen.

    Raises
    ------
    ValueError
        Where a figure is not positive, or the aperture is not below the immersion index.
    """

    na: float
    wavelength_nm: float
    immersion_index: float
    pixel_size_um: float

    def __post_init__(self) -> None:
        for name in ("na", "wavelength_nm", "immersion_index", "pixel_size_um"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} is {value}, but must be positive")
        if self.na >= self.immersion_index:
            raise ValueError(f"na {self.na} must be below immersion_index {self.immersion_index}")

    @property
    def wavelength_um(self) -> float:
        """Vacuum wavelength in micrometres."""
        return self.wavelength_nm / 1000.0

    @property
    def dof_um(self) -> float:
        """Depth of field n·λ/NA² in micrometres of stage travel."""
        return self.immersion_index * self.wavelength_um / self.na**2

    @property
    def resolution_um(self) -> float:
        """Length λ/NA in micrometres: the unit of lateral sampling."""
        return self.wavelength_um / self.na

    @property
    def sampling_px(self) -> float:
        """Camera pixels per λ/NA; below 1 the image is too coarse for focus by image pairs."""
        return self.resolution_um / self.pixel_size_um


__all__ = ["Optics"]
