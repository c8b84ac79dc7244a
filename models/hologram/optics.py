"""What is known of the instrument, and what follows from it; the scale may be unknown.

Lengths and distances
    Lateral lengths are object-side. With wavelength and pixel size known they are micrometres, and distances are
    object-side micrometres too. Of a hologram alone only ``λ·z / (n·px²)`` is observable: where either is unknown,
    lateral lengths are camera pixels, and a distance is the pure number ``λ·z / (n·px²)``, that is z in units of
    ``n·px²/λ``.

Sign
    Positive distances lie downstream of the recording plane, in the direction of the light. Propagating a recorded
    field by the distance of a specimen brings the specimen into focus. The sign holds if the right one of the two
    sidebands was read (`microscoped.models.hologram.sideband.Side`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from microscoped.models.hologram.errors import OpticsError, ScaleUnknownError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WATER_INDEX = 1.3345
"""Refractive index of an aqueous buffer (Jaferzadeh 2019, Fig. 2)."""

LengthUnit = Literal["um", "px"]
DistanceUnit = Literal["um", "px2_per_wavelength"]


@dataclass(frozen=True, slots=True)
class HologramOptics:
    """The optics of a hologram.

    Parameters
    ----------
    wavelength_um
        Of the laser in vacuum; ``None`` where unknown.
    pixel_size_um
        Size of a camera pixel in the specimen, binning included; ``None`` where unknown.
    na
        Numerical aperture of the objective; ``None`` where unknown: the band's radius is then measured.
    medium_index
        Refractive index of the medium round the specimen.
    magnification
        From specimen to camera; only camera-side distances need it.

    Raises
    ------
    OpticsError
        A value is not positive and finite, or the aperture is not below the refractive index.
    """

    wavelength_um: float | None = None
    pixel_size_um: float | None = None
    na: float | None = None
    medium_index: float = WATER_INDEX
    magnification: float | None = None

    def __post_init__(self) -> None:
        for name in ("wavelength_um", "pixel_size_um", "na", "medium_index", "magnification"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise OpticsError(f"{name} {value}: must be a positive number, or left out where it is unknown")
        if self.na is not None and self.na >= self.medium_index:
            raise OpticsError(
                f"na {self.na}: must be below medium_index {self.medium_index}; light of a higher aperture "
                "does not leave the medium"
            )

    @classmethod
    def from_camera(
        cls,
        *,
        camera_pixel_um: float | None,
        magnification: float | None,
        wavelength_um: float | None = None,
        na: float | None = None,
        medium_index: float = WATER_INDEX,
    ) -> HologramOptics:
        """Return optics whose pixel size is the camera's over the magnification.

        Parameters
        ----------
        camera_pixel_um
            Size of a camera pixel on the chip, times the binning. Without it, or without ``magnification``, the scale
            is unknown.
        """
        for name, value in (("camera_pixel_um", camera_pixel_um), ("magnification", magnification)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise OpticsError(f"{name} {value}: must be a positive number, or left out where it is unknown")
        pixel = None if camera_pixel_um is None or magnification is None else camera_pixel_um / magnification
        return cls(wavelength_um, pixel, na, medium_index, magnification)

    @property
    def scale_known(self) -> bool:
        """Whether distances can be had in micrometres: wavelength and pixel size are known."""
        return self.wavelength_um is not None and self.pixel_size_um is not None

    @property
    def length_unit(self) -> LengthUnit:
        """Unit of lateral lengths."""
        return "um" if self.scale_known else "px"

    @property
    def distance_unit(self) -> DistanceUnit:
        """Unit of distances; ``px2_per_wavelength`` stands for ``n·px²/λ``."""
        return "um" if self.scale_known else "px2_per_wavelength"

    @property
    def pixel(self) -> float:
        """Size of a camera pixel in `length_unit`."""
        return self.pixel_size_um if self.pixel_size_um is not None and self.scale_known else 1.0

    @property
    def medium_wavelength(self) -> float:
        """Wavelength in the medium in micrometres, or 1 where the scale is unknown."""
        return self.wavelength_um / self.medium_index if self.wavelength_um is not None and self.scale_known else 1.0

    @property
    def band_radius(self) -> float | None:
        """Radius NA·px/λ of the aperture in cycles per camera pixel; ``None`` where any of the three is unknown."""
        if self.na is None or self.wavelength_um is None or self.pixel_size_um is None:
            return None
        return self.na * self.pixel_size_um / self.wavelength_um

    def dof(self, radius: float) -> float:
        """Return the depth of field nλ/NA² in `distance_unit`.

        Parameters
        ----------
        radius
            NA/λ, radius of the band in cycles per `length_unit`.
        """
        return 1.0 / (self.medium_wavelength * radius**2)

    def axial_rate(self, squared_frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how fast the phase of plane waves runs ahead of the axial one, in rad per `distance_unit`.

        ``2π(√(n²/λ² − f²) − n/λ)`` (angular spectrum) in micrometres; where the scale is unknown its paraxial limit
        ``−π f²``, because the exact form needs the wavelength. Evanescent waves stand still.

        Parameters
        ----------
        squared_frequency
            f² in (cycles per `length_unit`)², any shape.
        """
        if not self.scale_known:
            return -np.pi * squared_frequency
        axial = 1.0 / self.medium_wavelength
        return np.asarray(2.0 * np.pi * (np.sqrt(np.maximum(axial**2 - squared_frequency, 0.0)) - axial))

    def spread(self, distance: float, radius: float) -> float:
        """Return how far light of the band's edge travels sideways over a distance, in `length_unit`.

        Parameters
        ----------
        distance
            In `distance_unit`.
        radius
            NA/λ in cycles per `length_unit`.
        """
        sine = min(radius * self.medium_wavelength, 0.99) if self.scale_known else 0.0
        return abs(distance) * radius * self.medium_wavelength / math.sqrt(1.0 - sine**2)

    def camera_side_um(self, z_um: float) -> float:
        """Return the distance on the camera's side, M²·z/n, of an object-side one (Jaferzadeh's d).

        Raises
        ------
        ScaleUnknownError
            The magnification, or the scale, is unknown.
        """
        if self.magnification is None or not self.scale_known:
            raise ScaleUnknownError(
                f"magnification {self.magnification}, wavelength_um {self.wavelength_um}, pixel_size_um "
                f"{self.pixel_size_um}: a camera-side distance needs all three; configure them"
            )
        return z_um * self.magnification**2 / self.medium_index

    def require_wavelength_um(self, what: str) -> float:
        """Return the wavelength.

        Raises
        ------
        ScaleUnknownError
            It is unknown.
        """
        if self.wavelength_um is None:
            raise ScaleUnknownError(f"wavelength_um is unknown: {what} needs it; configure it")
        return self.wavelength_um

    def require_pixel_size_um(self, what: str) -> float:
        """Return the size of a camera pixel in the specimen.

        Raises
        ------
        ScaleUnknownError
            It is unknown.
        """
        if self.pixel_size_um is None:
            raise ScaleUnknownError(
                f"pixel_size_um is unknown: {what} needs it; configure it, or camera pixel and magnification"
            )
        return self.pixel_size_um


__all__ = ["WATER_INDEX", "DistanceUnit", "HologramOptics", "LengthUnit"]
