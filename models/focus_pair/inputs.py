"""What the network reads of a pair: one function for training and for the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.focus_pair.estimate import COARSE, coarsened, content
from microscoped.models.focus_pair.optics import Character
from microscoped.models.focus_pair.preprocess import TILE, network_input, pair_planes, tile_corners
from microscoped.models.focus_pair.spectra import pair_spectra

if TYPE_CHECKING:
    from numpy.typing import NDArray

COARSE_TILE = TILE // COARSE


@dataclass(frozen=True, slots=True, eq=False)
class PairInputs:
    """What the network reads of two frames, and what is known of each tile beside it.

    Parameters
    ----------
    images, scalars
        From ``preprocess.network_input``.
    spectra
        From ``spectra.pair_spectra``.
    character
        From ``optics.Character.numbers``, the same for all tiles.
    contents
        Contrast of each tile.
    centres
        Places (x, y) of the tiles as parts of the frame, −0.5 … 0.5.
    delta_dof
        From the first frame to the second, along the light.
    """

    images: NDArray[np.float32]
    scalars: NDArray[np.float32]
    spectra: NDArray[np.float32]
    character: NDArray[np.float32]
    contents: NDArray[np.float64]
    centres: tuple[tuple[float, float], ...]
    delta_dof: float

    @property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The network's inputs by their names."""
        return {
            "images": self.images,
            "scalars": self.scalars,
            "spectra": self.spectra,
            "character": self.character,
        }


def pair_inputs(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    delta_dof: float,
    most_tiles: int,
    character: Character | None = None,
) -> PairInputs:
    """Make the network's inputs of two frames on the working grid.

    Parameters
    ----------
    first, second
        Shape (channels, rows, columns) with one or three channels, from ``preprocess.resample``; at least one tile.
    delta_dof
        From the first to the second, along the light; negative pairs are read the other way round.
    most_tiles
        Most tiles that are read.
    character
        What is known of the microscope's imaging; by default nothing.
    """
    if delta_dof < 0:
        first, second = second, first
    difference, mean = pair_planes(first, second)
    rows, columns = difference.shape[1:]
    corners = tile_corners(rows, columns, most_tiles)
    images, scalars = network_input(difference, mean, corners, abs(delta_dof))
    places = [(row // COARSE, column // COARSE) for row, column in corners]
    contents = [
        content(np.stack([coarse[:, row : row + COARSE_TILE, column : column + COARSE_TILE] for row, column in places]))
        for coarse in (coarsened(difference), coarsened(mean))
    ]
    return PairInputs(
        images=images,
        scalars=scalars,
        spectra=pair_spectra(first, second, corners),
        character=np.tile((character or Character()).numbers(), (len(corners), 1)),
        contents=np.maximum(*contents),
        centres=tuple(((c + TILE / 2) / columns - 0.5, (r + TILE / 2) / rows - 0.5) for r, c in corners),
        delta_dof=delta_dof,
    )


__all__ = ["PairInputs", "pair_inputs"]
