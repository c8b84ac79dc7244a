"""What a calibration teaches about one microscope: nothing, a straight line, or a head of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.focus_pair.estimate import INTERVAL_FACTOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.focus_pair.estimate import EstimateSettings

LONG_DOF = 4.0
"""Distance of the two images beyond which a pair is a long one, whose correction is another: one of its images is near
the focus, the other far from it, and the network reads such pairs unlike short ones. Focus runs check with them."""


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
    long
        Of long pairs; ``None`` where nothing was learned about them.
    """

    slope: float = 1.0
    offset_dof: float = 0.0
    head: NDArray[np.float32] | None = None
    error_factor: float = 1.0
    long: LongCorrection | None = None

    def at(self, delta_dof: float, settings: EstimateSettings) -> tuple[Correction, EstimateSettings]:
        """Return the correction of pairs at this distance, and how their tiles become an estimate.

        Parameters
        ----------
        delta_dof
            From the first frame to the second.
        settings
            How tiles of short pairs become an estimate.
        """
        if abs(delta_dof) <= LONG_DOF:
            return self, settings
        long = self.long or LongCorrection(Correction(), INTERVAL_FACTOR)
        return long.correction, replace(settings, interval_factor=long.interval_factor)

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


@dataclass(frozen=True, slots=True, eq=False)
class LongCorrection:
    """What a calibration teaches about long pairs.

    Parameters
    ----------
    correction
        Of the network's answers.
    interval_factor
        Half the width of the 90 % interval over the expected error.
    """

    correction: Correction
    interval_factor: float


__all__ = ["LONG_DOF", "Correction", "LongCorrection"]
