"""An adherent cell as a continuous map of its optical path difference, to be rendered on any grid.

The outline is a smooth union of a body and tapering arms, waved and bent; the height rises from the outline over an
edge to a plateau, on which a nucleus and grains stand; thin lamellae spread beside it. A rounded cell is a dome.
Lengths are micrometres, heights nanometres of optical path difference against the medium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from microscoped.simulators.cells._pose import Pose
    from microscoped.simulators.optics import FloatArray

CellKind: TypeAlias = Literal["spread", "round", "dividing"]

WEB_UM = 3.0
"""Over so much the notch between body and arm is filled: the web of a spread cell."""
LAMELLA_EDGE_UM = 4.0
SKIRT_UM = 4.0
"""What a shape may reach beyond its parts: waves of the outline and webs."""


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse: its middle (x, y), half axes along x and y, in the cell's own frame."""

    x_um: float
    y_um: float
    half_x_um: float
    half_y_um: float

    def scaled(self, x: float, y: float) -> Ellipse:
        """Return it with the frame stretched."""
        return Ellipse(self.x_um * x, self.y_um * y, self.half_x_um * x, self.half_y_um * y)

    def depth(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return the distance from its border, positive inside; nearly exact near the border."""
        x = (x_um - np.float32(self.x_um)) * np.float32(1.0 / self.half_x_um)
        y = (y_um - np.float32(self.y_um)) * np.float32(1.0 / self.half_y_um)
        x2, y2 = x * x, y * y
        radius = np.sqrt(x2 + y2)
        slope = np.sqrt(x2 * np.float32(self.half_x_um**-2) + y2 * np.float32(self.half_y_um**-2))
        least = np.float32(1e-3 / max(self.half_x_um, self.half_y_um))
        # At the middle the quotient tends to half the shorter axis or more; the true depth is the shorter axis.
        depth = (1.0 - radius) * np.maximum(radius, np.float32(1e-3)) / np.maximum(slope, least)
        return np.asarray(depth, np.float32)

    def level(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return 1 − (r/R)², positive inside, 1 in the middle."""
        x = (x_um - np.float32(self.x_um)) * np.float32(1.0 / self.half_x_um)
        y = (y_um - np.float32(self.y_um)) * np.float32(1.0 / self.half_y_um)
        return np.asarray(1.0 - x * x - y * y, np.float32)


@dataclass(frozen=True, slots=True)
class Arm:
    """A process of the cell, tapering from base (x, y) to tip (x, y)."""

    base_um: tuple[float, float]
    tip_um: tuple[float, float]
    base_radius_um: float
    tip_radius_um: float

    def scaled(self, x: float, y: float) -> Arm:
        """Return it with the frame stretched; its width changes with the square root of the area."""
        width = math.sqrt(x * y)
        return Arm(
            (self.base_um[0] * x, self.base_um[1] * y),
            (self.tip_um[0] * x, self.tip_um[1] * y),
            self.base_radius_um * width,
            self.tip_radius_um * width,
        )

    def depth(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return the distance from its border, positive inside."""
        along_x, along_y = self.tip_um[0] - self.base_um[0], self.tip_um[1] - self.base_um[1]
        square = max(along_x * along_x + along_y * along_y, 1e-6)
        x, y = x_um - np.float32(self.base_um[0]), y_um - np.float32(self.base_um[1])
        part = np.clip(x * np.float32(along_x / square) + y * np.float32(along_y / square), 0.0, 1.0)
        x, y = x - part * np.float32(along_x), y - part * np.float32(along_y)
        radius = np.float32(self.base_radius_um) + part * np.float32(self.tip_radius_um - self.base_radius_um)
        return np.asarray(radius - np.sqrt(x * x + y * y), np.float32)


@dataclass(frozen=True, slots=True)
class Wave:
    """A plane wave over the cell: radians per micrometre along x and y, phase, amplitude."""

    kx_per_um: float
    ky_per_um: float
    phase_rad: float
    amplitude: float


@dataclass(frozen=True, slots=True)
class CellShape:
    """A cell, in its own frame: x along its long axis.

    Parameters
    ----------
    kind
        What it is doing: "spread", "round" (loosely attached, or in mitosis), "dividing" (one of two daughters that
        have not parted yet).
    body
        The middle part.
    arms
        Processes.
    lamellae
        Thin sheets, and the height of each in nanometres.
    nucleus
        Where the cell is thicker.
    nucleus_share
        How much of the height is the nucleus's.
    height_nm
        Of plateau and nucleus together.
    edge_um
        Over so much the height rises from the outline to the plateau.
    dome
        Exponent of the rise: 1 for a slope that ends smoothly, ½ for a dome with steep walls.
    waves
        Of the outline, in micrometres.
    grains
        Of the height, relative to it.
    bend_per_um
        Curvature of the long axis.
    """

    kind: CellKind
    body: Ellipse
    arms: tuple[Arm, ...] = ()
    lamellae: tuple[tuple[Ellipse, float], ...] = ()
    nucleus: Ellipse = Ellipse(0.0, 0.0, 6.0, 5.0)
    nucleus_share: float = 0.25
    height_nm: float = 75.0
    edge_um: float = 3.0
    dome: float = 1.0
    waves: tuple[Wave, ...] = ()
    grains: tuple[Wave, ...] = ()
    bend_per_um: float = 0.0

    def scaled(self, x: float, y: float) -> CellShape:
        """Return the cell with outline and nucleus stretched along its axes."""
        return replace(
            self,
            body=self.body.scaled(x, y),
            arms=tuple(arm.scaled(x, y) for arm in self.arms),
            lamellae=tuple((sheet.scaled(x, y), height) for sheet, height in self.lamellae),
            nucleus=self.nucleus.scaled(x, y),
        )

    @property
    def reach_um(self) -> tuple[float, float]:
        """How far it reaches from the origin of its frame along x and y, at most."""
        ellipses = (self.body, *(sheet for sheet, _ in self.lamellae))
        x = [abs(e.x_um) + e.half_x_um for e in ellipses]
        y = [abs(e.y_um) + e.half_y_um for e in ellipses]
        for arm in self.arms:
            for (end_x, end_y), radius in ((arm.base_um, arm.base_radius_um), (arm.tip_um, arm.tip_radius_um)):
                x.append(abs(end_x) + radius)
                y.append(abs(end_y) + radius)
        return max(x) + SKIRT_UM, max(y) + abs(self.bend_per_um) * max(x) ** 2 + SKIRT_UM

    def opd_nm(self, down_um: FloatArray, across_um: FloatArray, pose: Pose) -> FloatArray:
        """Return the optical path difference at the points of a grid.

        Parameters
        ----------
        down_um, across_um
            Places of the grid's rows (R,) and columns (C,), relative to the cell's origin.
        pose
            How the cell lies on the grid.

        Returns
        -------
        In nanometres, shape (R, C).
        """
        x_um = across_um * np.float32(pose.x_by_column) + (down_um * np.float32(pose.x_by_row))[:, None]
        y = across_um * np.float32(pose.y_by_column) + (down_um * np.float32(pose.y_by_row))[:, None]
        if self.bend_per_um:
            y += np.float32(self.bend_per_um) * (x_um * x_um)
        depth = self.body.depth(x_um, y)
        for arm in self.arms:
            depth = _united(depth, arm.depth(x_um, y))
        wavy = _over(self.waves, down_um, across_um, pose)
        depth += wavy
        lack = 1.0 - np.clip(depth * np.float32(1.0 / self.edge_um), 0.0, 1.0)
        rise = 1.0 - lack * lack
        if self.dome == 0.5:
            rise = np.sqrt(rise)
        elif self.dome != 1.0:
            rise **= np.float32(self.dome)
        stands = np.maximum(self.nucleus.level(x_um, y), 0.0)
        stands *= 2.0 - stands
        stands *= np.float32(self.nucleus_share)
        stands += np.float32(1.0 - self.nucleus_share)
        stands += _over(self.grains, down_um, across_um, pose)
        height = rise * stands
        height *= np.float32(self.height_nm)
        for sheet, sheet_nm in self.lamellae:
            lack = 1.0 - np.clip((sheet.depth(x_um, y) + wavy) * np.float32(1.0 / LAMELLA_EDGE_UM), 0.0, 1.0)
            np.maximum(height, np.float32(sheet_nm) * (1.0 - lack * lack), out=height)
        return np.asarray(np.maximum(height, 0.0), np.float32)


def _over(waves: tuple[Wave, ...], down_um: FloatArray, across_um: FloatArray, pose: Pose) -> FloatArray:
    """Return the sum of waves over a grid, shape (rows, columns).

    sin(a + b) = sin a·cos b + cos a·sin b makes it one product of two narrow matrices.
    """
    kx, ky, phases, amplitudes = np.array(
        [(w.kx_per_um, w.ky_per_um, w.phase_rad, w.amplitude) for w in waves] or [(0.0, 0.0, 0.0, 0.0)], np.float32
    ).T
    by_column = np.outer(kx * np.float32(pose.x_by_column) + ky * np.float32(pose.y_by_column), across_um)
    by_row = np.outer(down_um, kx * np.float32(pose.x_by_row) + ky * np.float32(pose.y_by_row)) + phases
    rows = np.concatenate([np.sin(by_row) * amplitudes, np.cos(by_row) * amplitudes], axis=1)
    return np.asarray(rows @ np.concatenate([np.cos(by_column), np.sin(by_column)]), np.float32)


def _united(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the depth inside the union of two parts, with the notch between them filled (polynomial smooth maximum).

    I. Quilez, "smooth minimum": https://iquilezles.org/articles/smin.
    """
    near = np.maximum(np.float32(WEB_UM) - np.abs(first - second), 0.0)
    near *= near
    near *= np.float32(0.25 / WEB_UM)
    near += np.maximum(first, second)
    return np.asarray(near, np.float32)


__all__ = ["Arm", "CellKind", "CellShape", "Ellipse", "Wave"]
