"""Which cell of one hologram is which of another: the nearest one, each only once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class CellTracks:
    """Cells of one place of the specimen, told apart by where they are. Used by one thread.

    Parameters
    ----------
    reach_px
        A cell is the same one if it lies within so many camera pixels of where it was seen last.
    """

    def __init__(self, reach_px: float) -> None:
        self._reach_px = reach_px
        self._last: NDArray[np.float64] = np.empty((0, 2))

    def numbers(self, places: Sequence[tuple[float, float]]) -> list[int]:
        """Return the number of each cell; those not seen before get new ones.

        Parameters
        ----------
        places
            Row and column of each cell in one hologram, in camera pixels.
        """
        here = np.asarray(places, float).reshape(-1, 2)
        numbers = [-1] * len(here)
        away = np.hypot(*np.moveaxis(here[:, None, :] - self._last[None, :, :], -1, 0))
        taken: set[int] = set()
        for cell, track in zip(*np.unravel_index(np.argsort(away, axis=None), away.shape), strict=True):
            if away[cell, track] > self._reach_px:
                break
            if numbers[cell] < 0 and int(track) not in taken:
                numbers[cell] = int(track)
                taken.add(int(track))
        for cell, number in enumerate(numbers):
            if number >= 0:
                self._last[number] = here[cell]
            else:
                numbers[cell] = len(self._last)
                self._last = np.concatenate([self._last, here[cell : cell + 1]])
        return numbers


__all__ = ["CellTracks"]
