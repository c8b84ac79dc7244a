"""What can be done to a reconstruction between its iterations: unwrap it, and bring it nearer to its end.

A cell whose path difference is above half a wavelength can end a whole wavelength too low, because the iterations then
lead from a start near 0 to the nearer of the specimens that make nearly the same light. An `Unwrapper` sets it right.
An `Accelerator` also brings the maps of few iterations to what many would make of them (Allier 2022, §2.2).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
from skimage.restoration import unwrap_phase

if TYPE_CHECKING:
    from numpy.typing import NDArray

Maps = tuple["NDArray[np.float32]", "NDArray[np.float32]"]
"""Optical path difference in nm, and absorption of the amplitude."""


class Unwrapper(Protocol):
    """Sets wrapped cells right."""

    def __call__(self, opd_nm: NDArray[np.float32], absorption: NDArray[np.float32]) -> Maps:
        """Return the maps unwrapped.

        Parameters
        ----------
        opd_nm, absorption
            Shape (rows, columns), any size, the background's path difference 0; not to be changed.
        """
        ...


class Accelerator(Protocol):
    """Estimates from the maps of few iterations those of many."""

    def __call__(self, opd_nm: NDArray[np.float32], absorption: NDArray[np.float32]) -> Maps:
        """Return better maps.

        Parameters
        ----------
        opd_nm, absorption
            Shape (rows, columns), any size, the background's path difference 0; not to be changed.
        """
        ...


class PathUnwrapper:
    """Adds whole wavelengths where a map jumps, by sorting by reliability (M. A. Herráez et al. 2002, scikit-image).

    Parameters
    ----------
    wavelength_um
        By which the maps are ambiguous: `InlineOptics.reference_um`.
    """

    def __init__(self, wavelength_um: float) -> None:
        self._turn_nm = 1e3 * wavelength_um

    def __call__(self, opd_nm: NDArray[np.float32], absorption: NDArray[np.float32]) -> Maps:
        """Return the path difference without jumps, its median kept, and the absorption as it was."""
        wrapped = np.angle(np.exp(2j * math.pi / self._turn_nm * opd_nm))
        phase = np.asarray(unwrap_phase(wrapped), np.float64)  # type: ignore[no-untyped-call] # has no types
        unwrapped = phase * (self._turn_nm / (2.0 * math.pi))
        turns = np.rint(np.median(opd_nm - unwrapped) / self._turn_nm)
        return np.asarray(unwrapped + turns * self._turn_nm, np.float32), absorption


__all__ = ["Accelerator", "Maps", "PathUnwrapper", "Unwrapper"]
