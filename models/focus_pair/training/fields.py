"""Fields of view: everything that determines a stack of images of one specimen, drawn at random and rendered.

Lengths across are in units of λ/NA and depths in units of the depth of field nλ/NA², so that one network serves several
objectives (λ is that of green for colour images).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import fft

from microscoped.models.focus_pair.optics import INCOHERENT, SPHERICAL_RANGE_WAVES, Character
from microscoped.models.focus_pair.preprocess import TILE, WORKING_SAMPLING
from microscoped.models.focus_pair.training.regions import regions
from microscoped.simulators.optics import (
    AbbeImager,
    Pupil,
    Source,
    axial_weights,
    incoherent_images,
    incoherent_otf,
    stokseth_otf,
    to_camera,
)
from microscoped.simulators.specimens import (
    Absorbance,
    CellParameters,
    FilamentParameters,
    SmearParameters,
    Specimen,
    TissueParameters,
    stained_filaments,
    stained_smear,
    tissue_section,
    unstained_cells,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.simulators.optics import FloatArray

ImageFormation = Literal["incoherent", "stokseth", "abbe"]
StainedParameters = TissueParameters | SmearParameters | FilamentParameters
SpecimenParameters = StainedParameters | CellParameters
FAMILIES: dict[str, type[SpecimenParameters]] = {
    "tissue": TissueParameters,
    "smear": SmearParameters,
    "filaments": FilamentParameters,
    "cells": CellParameters,
}
TRAINING_FAMILIES = {"tissue": 0.5, "smear": 0.25, "cells": 0.25}
RGB_WAVELENGTHS_UM = (0.610, 0.540, 0.465)
Z_RANGE_DOF = (-12.0, 14.0)
"""Defocus that stacks cover: first images to ±11.5 and second ones to +14 (farther on this side by Δ)."""
PLANE_SPACING_DOF = 0.65
"""The axial band of an intensity reaches 0.5 cycles per depth of field, a little more for large apertures."""
HALF_WIDTH = 5
SOURCE_POINTS = 13


@dataclass(frozen=True, slots=True)
class Field:
    """One field of view of one specimen through one microscope.

    Parameters
    ----------
    family, specimen, seed
        Kind of specimen, what it looks like, and which of all such.
    na
        Numerical aperture of the objective, in air.
    wavelengths_um
        One for monochrome images, three (red, green, blue) for colour.
    image_formation, coherence
        Incoherent, the same by Stokseth's approximation, or Abbe's sum with a condenser of this part of the aperture.
    spherical_waves, coma_waves, coma_angle_rad
        Aberrations, as in ``Pupil``.
    sampling
        Pixels per λ/NA after resampling: near 1, as well as the user's pixel size is known.
    tiles
        Tiles along the height and the width of the field.
    """

    family: str
    specimen: SpecimenParameters
    seed: int
    na: float = 0.75
    wavelengths_um: tuple[float, ...] = (0.54,)
    image_formation: ImageFormation = "abbe"
    coherence: float = 0.7
    spherical_waves: float = 0.0
    coma_waves: float = 0.0
    coma_angle_rad: float = 0.0
    sampling: float = 1.0
    tiles: tuple[int, int] = (1, 1)

    @property
    def wavelength_um(self) -> float:
        """Wavelength that sets the units: that of green for colour images."""
        return self.wavelengths_um[len(self.wavelengths_um) // 2]

    @property
    def dof_um(self) -> float:
        """Depth of field λ/NA²."""
        return self.wavelength_um / self.na**2

    @property
    def character(self) -> Character:
        """What the network may be told of the microscope."""
        return character_of(self.image_formation, self.coherence, self.spherical_waves)

    @property
    def channels(self) -> tuple[int, ...]:
        """Dye channel of each colour of the image."""
        return (0, 1, 2) if len(self.wavelengths_um) == 3 else (1,)

    def planes_dof(self) -> NDArray[np.float64]:
        """Return the defocus of the rendered planes."""
        margin = (HALF_WIDTH - 1) * PLANE_SPACING_DOF
        low, high = Z_RANGE_DOF[0] - margin, Z_RANGE_DOF[1] + margin
        count = int(np.ceil((high - low) / PLANE_SPACING_DOF)) + 1
        return low + PLANE_SPACING_DOF * np.arange(count, dtype=np.float64)

    def stack(self) -> FloatArray:
        """Render all planes on the working grid; a clear field is 1.

        Returns
        -------
        Shape (colours, planes, height, width).
        """
        tile_um = TILE * self.wavelength_um / self.na / self.sampling
        # Specimen: Nyquist above NA/λ·(1 + S) of the shortest wavelength; image: alias-free to 1.5 NA/λ on that side.
        reach = self.wavelength_um / min(self.wavelengths_um) / self.sampling
        tilt = self.coherence if self.image_formation == "abbe" else 1.0
        specimen_tile = _even(max(2.02 * (1.0 + tilt) * reach, 3.0) * TILE)
        image_tile = min(_even(2.57 * reach * TILE), specimen_tile)
        specimen_shape, image_shape, camera = (
            (side * self.tiles[0], side * self.tiles[1])
            for side in (specimen_tile, image_tile, TILE * WORKING_SAMPLING)
        )
        specimen = make_specimen(self, specimen_shape, tile_um / specimen_tile)
        z_um = self.planes_dof() * self.dof_um
        colours = []
        for channel, wavelength in zip(self.channels, self.wavelengths_um, strict=True):
            pupil = Pupil(self.na, wavelength, 1.0, self.spherical_waves, self.coma_waves, self.coma_angle_rad)
            if self.image_formation == "abbe":
                imager = AbbeImager(
                    pupil,
                    Source.disc(self.coherence, SOURCE_POINTS),
                    specimen_shape,
                    specimen.pixel_um,
                    specimen.medium_index,
                    image_shape,
                )
                images = imager.images(specimen.transmittance(channel, wavelength), specimen.depth_um, z_um)
            else:
                absorbed = specimen.absorption(channel)
                coarse = to_camera(absorbed, image_shape)
                layer_z = specimen.depth_um / specimen.medium_index
                transfer = stokseth_otf if self.image_formation == "stokseth" else incoherent_otf
                images = incoherent_images(coarse, layer_z, pupil, tile_um / image_tile, z_um, transfer=transfer)
            colours.append(to_camera(images, camera))
        return np.stack(colours)


def character_of(image_formation: str, coherence: float, spherical_waves: float) -> Character:
    """Return a microscope's character, as near as the network knows such; only Abbe's sum knows of the condenser."""
    known = float(np.clip(spherical_waves, *SPHERICAL_RANGE_WAVES))
    return Character(coherence if image_formation == "abbe" else INCOHERENT, known)


def make_specimen(field: Field, shape: tuple[int, int], pixel_um: float) -> Specimen:
    """Return the specimen of a field."""
    p = field.specimen
    if isinstance(p, TissueParameters):
        return tissue_section(p, shape, pixel_um, field.seed)
    if isinstance(p, SmearParameters):
        return stained_smear(p, shape, pixel_um, field.seed)
    if isinstance(p, FilamentParameters):
        return stained_filaments(p, shape, pixel_um, field.seed)
    return unstained_cells(p, shape, pixel_um, field.seed)


def draw_training_field(rng: np.random.Generator) -> Field:
    """Draw a field from the training distribution: nothing of it lies in a region kept for evaluation."""
    held_out = regions().optics
    family = str(rng.choice(list(TRAINING_FAMILIES), p=list(TRAINING_FAMILIES.values())))
    phase_only = family == "cells"
    abbe = phase_only or rng.uniform() < 0.5
    coherence = float(rng.uniform(0.3, 0.9))
    while held_out.holds_coherence(coherence):
        coherence = float(rng.uniform(0.3, 0.9))
    # Every other field is seen by the objective of most slide scanners.
    na = 0.75 if rng.uniform() < 0.4 else float(rng.uniform(held_out.na_below, held_out.na_above))
    colour = not phase_only and rng.uniform() < 0.5
    wavelengths = (
        tuple(float(w * rng.uniform(0.98, 1.02)) for w in RGB_WAVELENGTHS_UM)
        if colour
        else (float(rng.uniform(0.45, 0.65)),)
    )
    return Field(
        family=family,
        specimen=draw_specimen(family, rng),
        seed=int(rng.integers(2**31)),
        na=na,
        wavelengths_um=wavelengths,
        image_formation="abbe" if abbe else "incoherent",
        coherence=coherence,
        spherical_waves=float(rng.uniform(-1.0, 1.0) * held_out.spherical_waves_above * rng.uniform()),
        coma_waves=float(rng.uniform(0.0, 0.15)),
        coma_angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        sampling=float(rng.uniform(0.95, 1.05)),
    )


def draw_specimen(family: str, rng: np.random.Generator) -> SpecimenParameters:
    """Draw a specimen whose dyes lie in no region kept for evaluation."""
    while True:
        parameters = FAMILIES[family].draw(rng)
        if isinstance(parameters, CellParameters):
            return parameters
        if rng.uniform() < 0.6:
            parameters = with_dyes(parameters, (_any_dye(rng), _any_dye(rng)))
        if all(regions().stain_region(dye) is None for dye in parameters.absorbance):
            return parameters


def with_dyes(parameters: SpecimenParameters, absorbance: tuple[Absorbance, Absorbance]) -> StainedParameters:
    """Return a stained specimen with other dyes."""
    if isinstance(parameters, CellParameters):
        raise TypeError("unstained cells have no dyes")
    return replace(parameters, absorbance=absorbance)


def _any_dye(rng: np.random.Generator) -> Absorbance:
    """Return a direction of the positive octant, uniform over its solid angle."""
    dye = np.abs(rng.standard_normal(3))
    dye /= np.linalg.norm(dye)
    return (float(dye[0]), float(dye[1]), float(dye[2]))


def plane_weights(z_dof: Sequence[float] | NDArray[np.float64], planes: NDArray[np.float64]) -> FloatArray:
    """Return the matrix that interpolates a stack at any defocus of `Z_RANGE_DOF`, shape (positions, planes)."""
    return axial_weights(z_dof, planes, HALF_WIDTH)


def _even(samples: float) -> int:
    """Return the next fast length of a Fourier transform that is even."""
    n = int(np.ceil(samples))
    while True:
        n = fft.next_fast_len(n)
        if n % 2 == 0:
            return int(n)
        n += 1


__all__ = [
    "FAMILIES",
    "Z_RANGE_DOF",
    "Field",
    "character_of",
    "draw_specimen",
    "draw_training_field",
    "make_specimen",
    "plane_weights",
    "with_dyes",
]
