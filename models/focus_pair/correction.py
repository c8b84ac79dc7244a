"""What a calibration teaches about one microscope: nothing, a straight line, or a head of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """Corrects what the network says of each tile. Lengths in depths of field, along the light.

    Parameters
    ----------
    slope, offset_dof
        Corrected defocus = slope · estimate + offset.
    head
        Weights of a linear head on the network's features, shape (features + 1,), the last one a constant: its answer
        is added to the corrected defocus. ``None`` where there is none.
    error_factor
        What expected errors are multiplied by.
    """

    slope: float = 1.0
    offset_dof: float = 0.0
    head: NDArray[np.float32] | None = None
    error_factor: float = 1.0

    def apply(
        self,
        defocus_dof: NDArray[np.float32],
        expected_error_dof: NDArray[np.float32],
        features: NDArray[np.float32],
        delta_dof: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return corrected defocus of the second frames, and expected errors; shape (tiles,) each.

        Parameters
        ----------
        defocus_dof, expected_error_dof
            Of the second frame.
        features
            Shape (tiles, features), of the pair as the network read it.
        delta_dof
            From the first frame to the second. The network reads a negative pair the other way round: what it said, and
            what its features tell, is then of the first frame.
        """
        behind = np.float32(min(delta_dof, 0.0))
        read = defocus_dof - behind
        corrected = np.float32(self.slope) * read + np.float32(self.offset_dof)
        if self.head is not None:
            corrected = corrected + features @ self.head[:-1] + self.head[-1]
        return corrected + behind, expected_error_dof * np.float32(self.error_factor)


__all__ = ["Correction"]
