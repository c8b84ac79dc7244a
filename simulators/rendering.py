"""The light of a brightfield microscope on its camera, for a procedural specimen: single images and whole stacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from microscoped.drivers.optics import Optics
from microscoped.simulators.optics import (
    AbbeImager,
    Pupil,
    Source,
    axial_nyquist_um,
    axial_weights,
    resample_periodic,
    to_camera,
)
from microscoped.simulators.specimens import (
    CellParameters,
    Specimen,
    TissueParameters,
    tissue_section,
    unstained_cells,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from microscoped.simulators.optics import FloatArray

OVERSAMPLING = 2
"""Specimen samples per camera pixel along each axis, at least."""
AXIAL_FILL = 0.7
"""Spacing of computed planes as a part of the axial Nyquist spacing."""
HALF_WIDTH = 5
GREEN = 1
RGB_WAVELENGTHS_UM = (0.610, 0.540, 0.465)


@dataclass(frozen=True, slots=True)
class BrightfieldSetup:
    """Everything that determines the light on the camera.

    Parameters
    ----------
    specimen
        What the specimen looks like.
    specimen_seed
        Which of all such specimens.
    optics
        The objective. Its wavelength is used for monochrome images; colour images have their own.
    shape_px
        Camera pixels (height, width).
    colour
        Red, green and blue instead of monochrome (dyes then absorb as in green).
    coherence, n_source_points
        NA of the condenser over NA of the objective, and points that stand for its aperture (7, 13, 19 or 37).
    spherical_waves, coma_waves, coma_angle_rad
        Aberrations, as in ``Pupil``.
    chromatic_shift_um
        Where red and blue are in focus, relative to green.
    z_range_um
        Optical positions that are rendered.
    plane_spacing_um
        Spacing of the played planes; 0 chooses a ninth of the depth of field.
    """

    specimen: TissueParameters | CellParameters = field(default_factory=TissueParameters)
    specimen_seed: int = 1
    optics: Optics = field(default_factory=lambda: Optics(0.5, 550.0, 1.0, 0.325))
    shape_px: tuple[int, int] = (512, 512)
    colour: bool = False
    coherence: float = 0.6
    n_source_points: int = 19
    spherical_waves: float = 0.0
    coma_waves: float = 0.0
    coma_angle_rad: float = 0.0
    chromatic_shift_um: tuple[float, float] = (0.3, -0.2)
    z_range_um: tuple[float, float] = (-12.0, 12.0)
    plane_spacing_um: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.z_range_um
        if not low < high or self.plane_spacing_um < 0:
            raise ValueError(f"z range {self.z_range_um} must rise and the plane spacing not be negative")
        if self.plane_spacing_um > self.optics.dof_um / 4:
            raise ValueError(
                f"plane spacing {self.plane_spacing_um} µm is above a quarter of the depth of field "
                f"({self.optics.dof_um / 4:.3g} µm)"
            )

    def channels(self) -> tuple[tuple[int, float, float], ...]:
        """Return (dye channel, wavelength in µm, focus in µm) of each colour of the image."""
        if not self.colour:
            return ((GREEN, self.optics.wavelength_um, 0.0),)
        shifts = (self.chromatic_shift_um[0], 0.0, self.chromatic_shift_um[1])
        return tuple((k, RGB_WAVELENGTHS_UM[k], shifts[k]) for k in range(3))

    def planes_um(self) -> NDArray[np.float64]:
        """Return the positions of the played planes."""
        low, high = self.z_range_um
        spacing = self.plane_spacing_um or self.optics.dof_um / 9.0
        return np.linspace(low, high, int(np.ceil((high - low) / spacing)) + 1)

    def make_specimen(self) -> Specimen:
        """Return the specimen, sampled at least twice as finely as by the camera."""
        factor = self._oversampling()
        shape = (self.shape_px[0] * factor, self.shape_px[1] * factor)
        pixel = self.optics.pixel_size_um / factor
        if isinstance(self.specimen, TissueParameters):
            return tissue_section(self.specimen, shape, pixel, self.specimen_seed)
        return unstained_cells(self.specimen, shape, pixel, self.specimen_seed)

    def _imager(self, wavelength_um: float, shape: tuple[int, int], medium_index: float) -> AbbeImager:
        pupil = Pupil(
            self.optics.na,
            wavelength_um,
            self.optics.immersion_index,
            self.spherical_waves,
            self.coma_waves,
            self.coma_angle_rad,
        )
        pixel = self.optics.pixel_size_um * self.shape_px[0] / shape[0]
        return AbbeImager(pupil, Source.disc(self.coherence, self.n_source_points), shape, pixel, medium_index)

    def light(self, z_um: ArrayLike, specimen: Specimen | None = None) -> FloatArray:
        """Return images from the full model: 1 for a clear field, at any optical positions.

        Computed on the specimen's own grid, without interpolation; slow.

        Returns
        -------
        Shape (Z, height, width) or (Z, height, width, 3).
        """
        specimen = self.make_specimen() if specimen is None else specimen
        shape = (specimen.opd_um.shape[-2], specimen.opd_um.shape[-1])
        z = np.asarray(z_um, float).reshape(-1)
        colours = []
        for channel, wavelength, focus in self.channels():
            imager = self._imager(wavelength, shape, specimen.medium_index)
            layers = specimen.transmittance(channel, wavelength)
            colours.append(to_camera(imager.images(layers, specimen.depth_um, z - focus), self.shape_px))
        return np.stack(colours, axis=-1) if self.colour else colours[0]

    def stack(self) -> FloatArray:
        """Render all played planes: on the coarsest grid that holds the optical band, just inside axial Nyquist.

        Returns
        -------
        Shape (planes, height, width) or (planes, height, width, 3).
        """
        specimen = self.make_specimen()
        planes = self.planes_um()
        colours = []
        for channel, wavelength, focus in self.channels():
            shape = self._optical_shape(wavelength)
            imager = self._imager(wavelength, shape, specimen.medium_index)
            spacing = AXIAL_FILL * axial_nyquist_um(imager.pupil)
            reach = (HALF_WIDTH - 1) * spacing
            count = int(np.ceil((planes[-1] - planes[0]) / spacing)) + 2 * HALF_WIDTH - 1
            known = planes[0] - reach + spacing * np.arange(count)
            layers = resample_periodic(specimen.transmittance(channel, wavelength), shape)
            images = to_camera(imager.images(layers, specimen.depth_um, known - focus), self.shape_px)
            weights = axial_weights(planes, known, HALF_WIDTH)
            colours.append((weights @ images.reshape(count, -1)).reshape(planes.size, *self.shape_px))
        return np.stack(colours, axis=-1) if self.colour else colours[0]

    def _oversampling(self) -> int:
        """Return specimen samples per camera pixel: enough for the band 2·NA/λ of an intensity."""
        shortest = min(wavelength for _, wavelength, _ in self.channels())
        return max(OVERSAMPLING, int(np.ceil(4.0 * self.optics.pixel_size_um * self.optics.na / shortest)))

    def _optical_shape(self, wavelength_um: float) -> tuple[int, int]:
        """Return the smallest fast FFT grid with Nyquist above NA/λ·(1 + S), and near 2·NA/λ.

        Of an intensity's band the outermost 5 % are left to alias: the transfer function is below 1 % there.
        """
        cutoff = self.optics.na / wavelength_um
        nyquist = cutoff * max(1.0 + self.coherence, 1.9)
        length = [size * self.optics.pixel_size_um for size in self.shape_px]
        height, width = (
            min(fft.next_fast_len(int(np.ceil(2.0 * nyquist * side)) + 2), size * self._oversampling())
            for side, size in zip(length, self.shape_px, strict=True)
        )
        if self.shape_px[0] == self.shape_px[1]:
            return height, height
        # Pixels must stay square on the optical grid.
        scale = max(height / self.shape_px[0], width / self.shape_px[1])
        steps = np.gcd(self.shape_px[0], self.shape_px[1])
        blocks = int(np.ceil(steps * scale))
        return self.shape_px[0] // steps * blocks, self.shape_px[1] // steps * blocks


__all__ = ["BrightfieldSetup"]
