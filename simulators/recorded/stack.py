"""A measured z-stack in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.recorded.errors import PlanesError, PositionsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.drivers.protocols import Pixels


@dataclass(frozen=True, eq=False)
class RecordedStack:
    """Images of one field at rising z.

    Parameters
    ----------
    planes
        Shape (n, height, width) or (n, height, width, 3) in the order red, green, blue; uint8 or uint16. The array is
        made read-only.
    z_um
        Position of each plane in micrometres, strictly rising; shape (n,). Made read-only.
    bit_depth
        Significant bits of a pixel.
    name
        Where the stack came from, for people and for error messages.

    Raises
    ------
    PlanesError
        Fewer than two planes, or pixels of another shape or type.
    PositionsError
        Not one finite z per plane, or not strictly rising.
    """

    planes: Pixels
    z_um: NDArray[np.float64]
    bit_depth: int
    name: str = "stack"

    def __post_init__(self) -> None:
        planes, z_um = self.planes, self.z_um
        if planes.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise PlanesError(f"{self.name}: pixels are {planes.dtype}; convert them to uint8 or uint16")
        if not (planes.ndim == 3 or (planes.ndim == 4 and planes.shape[3] == 3)):
            raise PlanesError(
                f"{self.name}: planes have the shape {planes.shape}; expected (n, height, width) or "
                "(n, height, width, 3)"
            )
        if len(planes) < 2:
            raise PlanesError(f"{self.name}: holds {len(planes)} plane; a z-stack needs at least two")
        if not 1 <= self.bit_depth <= planes.dtype.itemsize * 8:
            raise PlanesError(f"{self.name}: a bit depth of {self.bit_depth} does not fit {planes.dtype} pixels")
        if z_um.shape != (len(planes),):
            raise PositionsError(f"{self.name}: {len(planes)} planes but z has the shape {z_um.shape}; give one each")
        if not np.isfinite(z_um).all():
            raise PositionsError(f"{self.name}: z is not finite for every plane")
        if (np.diff(z_um) <= 0).any():
            raise PositionsError(f"{self.name}: z is not strictly rising; sort the planes and give each its own z")
        planes.flags.writeable = False
        z_um.flags.writeable = False

    @property
    def shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Shape of a plane."""
        _, height, width = self.planes.shape[:3]
        return (height, width, 3) if self.planes.ndim == 4 else (height, width)

    @property
    def largest_gap_um(self) -> float:
        """The widest distance between neighbouring planes."""
        return float(np.diff(self.z_um).max())

    def nearest(self, z_um: float) -> int:
        """Return the index of the plane nearest to ``z_um``; of two equally near ones, the lower."""
        return int(np.argmin(np.abs(self.z_um - z_um)))

    def shifted(self, offset_um: float) -> RecordedStack:
        """Return the same planes with every z raised by ``offset_um``."""
        return replace(self, z_um=self.z_um + offset_um)


__all__ = ["RecordedStack"]
