"""The distance of each cell as the network reads it from its filtered hologram, without propagating anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from microscoped.models.hologram.errors import NetworkUnsuitableError
from microscoped.models.hologram.inputs import CROP, RING, SAMPLING, cell_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.cells import Cell
    from microscoped.models.hologram.field import Field
    from microscoped.models.runtimes import Artefact, CompiledModel

BATCH = 64
"""Most crops in one run of the network: no measurement takes longer at a stretch than these."""
SCORED = "interval_factor"
"""Name among a sidecar's scores: half of a 90 % interval over the expected error."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the network reads of cells, all of shape (cells,), in the field's distance unit.

    Parameters
    ----------
    z
        Geometric middle of each cell, from the recording plane, positive downstream, object-side.
    offset
        How far beyond it the plane of least amplitude contrast lies.
    half_width
        Half of the 90 % interval of `z`.
    inside
        Whether `z` lies within the range that the network was trained on.
    """

    z: NDArray[np.float32]
    offset: NDArray[np.float32]
    half_width: NDArray[np.float32]
    inside: NDArray[np.bool_]

    @property
    def z_min_contrast(self) -> NDArray[np.float32]:
        """Plane of least amplitude contrast of each cell."""
        return self.z + self.offset


class DistanceNetwork:
    """The network, ready to read cells. Used by one thread at a time.

    Parameters
    ----------
    model
        The compiled network.
    artefact
        What it was compiled from.

    Raises
    ------
    NetworkUnsuitableError
        It was trained with another preprocessing than this version has.
    """

    def __init__(self, model: CompiledModel, artefact: Artefact) -> None:
        told = artefact.sidecar.preprocessing
        ours = {"crop": CROP, "samples_per_wavelength_over_na": SAMPLING, "ring": RING}
        for name, value in ours.items():
            if told.get(name) != value:
                raise NetworkUnsuitableError(
                    f"{artefact.path}: preprocessing.{name} is {told.get(name)}, this version makes {value}: export "
                    "the network again, or install the version that it belongs to"
                )
        low, high = cast("list[float]", told["range_dof"])
        self.name = artefact.name
        self.sha256 = artefact.sidecar.sha256
        self.range_dof = float(low), float(high)
        self.factor = float(cast("float", artefact.sidecar.scores.get(SCORED, 2.5)))
        self._model = model

    def read(self, field: Field, cells: Sequence[Cell]) -> Reading:
        """Read the distance of each cell.

        Parameters
        ----------
        field
            Normalised, of the recording plane, with cells up to `range_dof` away.
        cells
            From `microscoped.models.hologram.cells.find_cells`.
        """
        if not cells:
            none = np.zeros(0, np.float32)
            return Reading(none, none, none, np.zeros(0, bool))
        inputs, scale = cell_inputs(field, cells)
        parts = [self._model.run({"crops": inputs[k : k + BATCH]}) for k in range(0, len(inputs), BATCH)]
        z_dof, offset_dof, log_error = (
            np.concatenate([part[name] for part in parts]) for name in ("z_dof", "offset_dof", "log_error")
        )
        dof = np.float32(scale * field.dof)
        inside = (z_dof >= self.range_dof[0]) & (z_dof <= self.range_dof[1])
        half = np.float32(self.factor) * np.exp(log_error)
        return Reading(z_dof * dof + np.float32(field.z), offset_dof * dof, half * dof, inside)

    def close(self) -> None:
        """Give back memory and devices."""
        self._model.close()


__all__ = ["SCORED", "DistanceNetwork", "Reading"]
