"""The optics of an off-axis holographic microscope.

Lengths are micrometres in the specimen. Distances count along the light: a body with a positive distance lies
downstream of the recording plane, the plane of the specimen that the objective images onto the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

from microscoped.simulators.optics import Pupil


@dataclass(frozen=True, slots=True)
class OffAxisOptics:
    """Objective, laser, camera and medium (Jaferzadeh 2019, §2.2).

    Parameters
    ----------
    na
        Numerical aperture of the objective.
    wavelength_nm
        Of the laser, in vacuum.
    medium_index
        Refractive index of the medium round the cells.
    camera_pixel_um
        Size of a camera pixel on the chip.
    magnification
        From specimen to camera.

    Raises
    ------
    ValueError
        A figure is not positive, or the aperture is not below the medium's index.
    """

    na: float = 0.75
    wavelength_nm: float = 666.0
    medium_index: float = 1.3345
    camera_pixel_um: float = 5.86
    magnification: float = 40.0

    def __post_init__(self) -> None:
        for name in ("na", "wavelength_nm", "medium_index", "camera_pixel_um", "magnification"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be positive")
        if self.na >= self.medium_index:
            raise ValueError(f"na {self.na} must be below medium_index {self.medium_index}")

    @property
    def wavelength_um(self) -> float:
        """Vacuum wavelength in micrometres."""
        return self.wavelength_nm / 1000.0

    @property
    def pixel_um(self) -> float:
        """Size of a camera pixel in the specimen."""
        return self.camera_pixel_um / self.magnification

    @property
    def cutoff_per_um(self) -> float:
        """Radius NA/λ of the pupil in cycles per micrometre."""
        return self.na / self.wavelength_um

    @property
    def dof_um(self) -> float:
        """Depth of field nλ/NA², in micrometres of the medium."""
        return self.medium_index * self.wavelength_um / self.na**2

    @property
    def focus_per_stage(self) -> float:
        """How far the plane in focus moves in the medium per micrometre of stage: n, the paraxial value for a dry lens.

        For ``StageModel.focus_per_stage``.
        """
        return self.medium_index

    @property
    def pupil(self) -> Pupil:
        """The pupil, without aberrations, as seen from the medium."""
        return Pupil(self.na, self.wavelength_um, self.medium_index)

    def camera_side_um(self, z_um: float) -> float:
        """Return the distance M²·z/n on the camera's side that belongs to one in the specimen."""
        return self.magnification**2 * z_um / self.medium_index


__all__ = ["OffAxisOptics"]
