"""The networks between the iterations of a reconstruction (Allier 2022, §2.2), for maps of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from microscoped.models.lensfree.errors import NetworkError
from microscoped.models.maps import TileSettings, padded_shape, plan_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.lensfree.unwrap import Maps
    from microscoped.models.runtimes import Artefact, CompiledModel

SIDE_PX: Final = 256
"""Of a tile that the networks see."""
HALO_PX: Final = 22
"""Rim of a tile that is not used; no network looks farther."""
MULTIPLE_PX: Final = 2
"""Pixels on one of the coarsest level."""
PITCH_UM: Final = 1.67
"""Of the pixels that they were trained on."""
PITCH_OFF: Final = 0.05
"""How far other pixels may be off it, relative to it."""
UNIT_NM: Final = 75.0
"""Optical path difference that the networks see as 1."""
UNIT_ABSORPTION: Final = 0.05
"""Absorption of the amplitude that they see as 1."""
UNITS: Final = np.array([UNIT_NM, UNIT_ABSORPTION], np.float32)[:, None, None]


class _MapsNetwork:
    """A compiled network from maps to maps. Used by one thread at a time.

    Parameters
    ----------
    model
        The compiled network.
    artefact
        What it was compiled from.

    Raises
    ------
    NetworkError
        It was trained for something else, or with another preprocessing than this version has.
    """

    task: ClassVar[str]

    def __init__(self, model: CompiledModel, artefact: Artefact) -> None:
        told = artefact.sidecar.preprocessing
        ours = {
            "task": self.task,
            "side_px": SIDE_PX,
            "pitch_um": PITCH_UM,
            "unit_nm": UNIT_NM,
            "unit_absorption": UNIT_ABSORPTION,
        }
        for name, value in ours.items():
            if told.get(name) != value:
                raise NetworkError(
                    f"{artefact.path}: preprocessing.{name} is {told.get(name)}, {value} is needed: choose another "
                    "network, or export it again with this version"
                )
        self.name, self.sha256 = artefact.name, artefact.sidecar.sha256
        self._model, self._most = model, artefact.sidecar.batch.max
        self._tiles = TileSettings(SIDE_PX, HALO_PX, MULTIPLE_PX)

    def __call__(self, opd_nm: NDArray[np.float32], absorption: NDArray[np.float32]) -> Maps:
        """Return what the network makes of maps.

        Parameters
        ----------
        opd_nm, absorption
            Shape (rows, columns), any size, the background's path difference 0; kept.

        Returns
        -------
        Of the same shape, the absorption 0 or more.
        """
        shape = opd_nm.shape[0], opd_nm.shape[1]
        rows, columns = padded_shape(shape, self._tiles)
        seen = np.stack([opd_nm, absorption]).astype(np.float32) / UNITS
        seen = np.pad(seen, ((0, 0), (0, rows - shape[0]), (0, columns - shape[1])), mode="edge")
        whole = np.empty_like(seen)
        tiles = plan_tiles(shape, self._tiles)
        for first in range(0, len(tiles), self._most):
            some = tiles[first : first + self._most]
            batch = np.zeros((len(some), 2, SIDE_PX, SIDE_PX), np.float32)
            for into, tile in zip(batch, some, strict=True):
                window = seen[(slice(None), *tile.window)]
                into[:, : window.shape[1], : window.shape[2]] = window
            for made, tile in zip(self._model.run({"maps": batch})["better"], some, strict=True):
                inner = tuple(
                    slice(core.start - window.start, core.stop - window.start)
                    for core, window in zip(tile.core, tile.window, strict=True)
                )
                whole[(slice(None), *tile.core)] = made[(slice(None), *inner)]
        whole = whole[:, : shape[0], : shape[1]] * UNITS
        return whole[0], np.maximum(whole[1], np.float32(0.0))

    def check_pitch(self, pitch_um: float) -> None:
        """See that maps have pixels such as it was trained on.

        Raises
        ------
        NetworkError
            They have others.
        """
        if abs(pitch_um - PITCH_UM) > PITCH_OFF * PITCH_UM:
            raise NetworkError(
                f"pixel size {pitch_um:g} µm: {self.name} was trained on pixels of {PITCH_UM:g} µm and knows those "
                f"within {PITCH_OFF:.0%} of it; take none instead of {self.name}"
            )

    def close(self) -> None:
        """Give back memory and devices."""
        self._model.close()


class NetworkUnwrapper(_MapsNetwork):
    """Sets wrapped cells right, an `Unwrapper`; see `_MapsNetwork` for parameters, errors and threads."""

    task = "unwrap"


class NetworkAccelerator(_MapsNetwork):
    """Brings the maps of few iterations to those of many, an `Accelerator`; see `_MapsNetwork`."""

    task = "accelerate"


__all__ = [
    "HALO_PX",
    "PITCH_UM",
    "SIDE_PX",
    "UNITS",
    "UNIT_ABSORPTION",
    "UNIT_NM",
    "NetworkAccelerator",
    "NetworkUnwrapper",
]
