"""Simulated crops with their labels: bodies rendered once, everything else drawn afresh.

Training and evaluation draw their bodies from seeds of their own, so that no body is in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.hologram.cells import Cell
from microscoped.models.hologram.distance import DistanceRange, DistanceSettings, Method, cell_distances
from microscoped.models.hologram.field import Field
from microscoped.models.hologram.inputs import CROP, SAMPLING, crop_inputs, distance_scale
from microscoped.models.hologram.optics import HologramOptics
from microscoped.models.hologram.training.network import HOLOGRAM_CROP
from microscoped.simulators.holograms import CropParameters, CropSource, OffAxisOptics, body_field, draw_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.simulators.holograms import Body, BodyKind, ObjectField

OPTICS = OffAxisOptics()
"""The microscope of the paper: 40×/0.75, 666 nm."""
RANGE_UM = (-15.0, 15.0)
TRAINING = CropParameters(z_um=(-17.0, 17.0), off_centre_um=2.0)
"""A little beyond the range that is promised, so that its ends are no ends for the network; out of focus, cells are not
found to a micrometre."""
SAMPLINGS = (0.97, 1.0, 1.03)
"""Factors of `inputs.SAMPLING`: each body is rendered with one of them, as fields of other frames have them."""
OFFSET_RANGE_UM = 2.5
"""The plane of least contrast is looked for so far to both sides of a body's middle."""
OFFSET_PLANES = 51


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Network inputs and labels; all of the first length.

    Parameters
    ----------
    crops
        Network inputs, shape (n, channels, side, side).
    z_dof
        Distance of the body's middle in the network's unit: depths of field over `inputs.distance_scale`.
    offset_dof
        From there to the plane of least contrast, in the same unit; NaN where it has none.
    """

    crops: NDArray[np.float32]
    z_dof: NDArray[np.float32]
    offset_dof: NDArray[np.float32]


def sample_um(factor: float = 1.0, optics: OffAxisOptics = OPTICS) -> float:
    """Return the size of a sample of the network's crops."""
    return 1.0 / (optics.cutoff_per_um * SAMPLING * factor)


def as_field(values: NDArray[np.complex64], sample: float, optics: OffAxisOptics = OPTICS) -> Field:
    """Return a simulated crop as a reconstructed field."""
    known = HologramOptics(optics.wavelength_um, optics.pixel_um, optics.na, optics.medium_index, optics.magnification)
    return Field(values, (sample, sample), optics.cutoff_per_um, known)


def centre_cell(side: int = CROP) -> Cell:
    """Return the cell in the middle of a crop."""
    return Cell(side / 2, side / 2, (0, 0, side, side), 1.0, False)


def contrast_offsets_um(source: CropSource) -> NDArray[np.float32]:
    """Return for each body of a source how far its plane of least contrast lies beyond its middle; NaN without one."""
    within = DistanceRange(-OFFSET_RANGE_UM, OFFSET_RANGE_UM, OFFSET_PLANES)
    settings = DistanceSettings(method=Method.PLANES, least_dip=0.0)
    found = np.full(len(source.bodies), np.nan, np.float32)
    for body in range(len(source.bodies)):
        field = as_field(source.still(body), source.pixel_um, source.optics)
        (distance,) = cell_distances(field, [centre_cell(source.size_px)], within, settings)
        if distance.z_min_contrast_um is not None:
            found[body] = distance.z_min_contrast_um
    return found


def sources(
    kinds: Mapping[BodyKind, int],
    seed: tuple[int, ...],
    render: Callable[[Body, OffAxisOptics, float], ObjectField] = body_field,
    samplings: Sequence[float] = SAMPLINGS,
) -> list[CropSource]:
    """Draw bodies and render them; those of a kind share a source, for each sampling one.

    Parameters
    ----------
    kinds
        How many bodies of each kind.
    seed
        Of the bodies.
    render
        Makes a body's field.
    samplings
        Factors of `SAMPLING`.
    """
    made = []
    for number, (kind, count) in enumerate(kinds.items()):
        rng = np.random.default_rng((*seed, number))
        bodies = [draw_body(kind, rng) for _ in range(count)]
        made += [
            CropSource(bodies[k :: len(samplings)], OPTICS, pixel_um=sample_um(factor), size_px=CROP, render=render)
            for k, factor in enumerate(samplings)
        ]
    return made


class Stream:
    """Endless draws of some kinds of bodies, each kind equally often.

    Parameters
    ----------
    made
        From `sources`.
    raw
        Unfiltered holograms instead of filtered crops.
    parameters
        What is drawn round the bodies.
    """

    def __init__(self, made: Sequence[CropSource], *, raw: bool = False, parameters: CropParameters = TRAINING) -> None:
        self._sources = made
        self._offsets = [contrast_offsets_um(source) for source in made]
        self._raw = raw
        self._parameters = parameters

    def draw(self, rng: np.random.Generator, count: int) -> Draw:
        """Draw crops, each turned and mirrored at random: the eight symmetries of the grid."""
        share = np.bincount(rng.integers(len(self._sources), size=count), minlength=len(self._sources))
        parts: list[tuple[NDArray[np.generic], NDArray[np.float32], NDArray[np.float32]]] = []
        for source, offsets, number in zip(self._sources, self._offsets, share, strict=True):
            if number:
                crops = (
                    source.draw_holograms(rng, int(number), HOLOGRAM_CROP, self._parameters)
                    if self._raw
                    else source.draw(rng, int(number), self._parameters)
                )
                scale = distance_scale((source.pixel_um, source.pixel_um), source.optics.cutoff_per_um)
                if self._raw:
                    scale = 1.0  # all raw holograms have the camera's pixels
                unit_um = np.float32(scale * source.optics.dof_um)
                parts.append((crops.values, crops.z_um / unit_um, offsets[crops.body] / unit_um))
        values, z, offset = (np.concatenate(part) for part in zip(*parts, strict=True))
        for k, symmetry in enumerate(rng.integers(8, size=count)):
            turned = np.rot90(values[k], int(symmetry % 4))
            values[k] = turned.T if symmetry >= 4 else turned
        inputs = values[:, None] - np.float32(0.5) if self._raw else crop_inputs(values)
        return Draw(
            np.ascontiguousarray(inputs, np.float32),
            z,
            offset,
        )


__all__ = [
    "OPTICS",
    "RANGE_UM",
    "TRAINING",
    "Draw",
    "Stream",
    "as_field",
    "centre_cell",
    "contrast_offsets_um",
    "sample_um",
    "sources",
]
