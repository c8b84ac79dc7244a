"""How a cell lies on the dish."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pose:
    """How a cell lies on the dish: from row and column to the cell's own x and y, by a rotation and perhaps a mirror.

    ``x = x_by_column·column + x_by_row·row``, and ``y`` likewise, of places relative to the cell's origin.
    """

    x_by_column: float = 1.0
    x_by_row: float = 0.0
    y_by_column: float = 0.0
    y_by_row: float = 1.0

    @classmethod
    def turned(cls, angle_rad: float) -> Pose:
        """Return a cell turned by an angle from the columns towards the rows."""
        c, s = math.cos(angle_rad), math.sin(angle_rad)
        return cls(c, s, -s, c)

    def oriented(self, orientation: int) -> Pose:
        """Return it after its map was transposed (4), put upside down (2), and left to right (1)."""
        column = (self.x_by_column, self.y_by_column)
        row = (self.x_by_row, self.y_by_row)
        if orientation & 4:
            row, column = column, row
        if orientation & 2:
            row = (-row[0], -row[1])
        if orientation & 1:
            column = (-column[0], -column[1])
        return Pose(column[0], row[0], column[1], row[1])

    def reach_um(self, own_um: tuple[float, float]) -> tuple[float, float]:
        """Return how far a box of the cell's own frame reaches along rows and columns: (down, across)."""
        down = own_um[0] * abs(self.x_by_row) + own_um[1] * abs(self.y_by_row)
        across = own_um[0] * abs(self.x_by_column) + own_um[1] * abs(self.y_by_column)
        return down, across


__all__ = ["Pose"]
