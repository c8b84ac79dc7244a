"""The distance from specimen to sensor, found from the frames themselves.

A short reconstruction of a part of the frame is made at several distances. What remains unexplained is least at the
true one, because the fringes of three colours fit one specimen only there. The agreement of back-propagated colours is
cheaper, but cells are lenses: it is greatest 20 to 30 µm from the true distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.lensfree._descent import Descent
from microscoped.models.lensfree.errors import SettingsError
from microscoped.models.lensfree.forward import ForwardModel
from microscoped.models.lensfree.objective import Objective
from microscoped.models.lensfree.start import linear_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.lensfree.optics import InlineOptics
    from microscoped.models.lensfree.settings import SolveSettings

SIDE_PX = 256
"""Of the part of the frame that is reconstructed."""
PLANES = 7
ITERATIONS = 12
"""Of each short reconstruction."""
LEAST_CONTRAST = 0.05
"""Where the loss varies less over the range, relative to its least, there is nothing to focus on."""


@dataclass(frozen=True, slots=True)
class Focus:
    """A distance that was looked for.

    Parameters
    ----------
    z_um
        From specimen to sensor; that of the optics where nothing was found.
    found
        Whether the loss has a minimum inside the range that stands out.
    losses
        Of each plane, from the nearest to the farthest.
    """

    z_um: float
    found: bool
    losses: tuple[float, ...]


def find_distance(
    light: NDArray[np.float32],
    optics: InlineOptics,
    shifts_um: Sequence[tuple[float, float]],
    settings: SolveSettings,
    arrays: ArrayBackend = SCIPY,
) -> Focus:
    """Return the distance at which a short reconstruction explains the frames best.

    Parameters
    ----------
    light
        Evenly lit, shape (colours, rows, columns).
    optics
        Its ``z_um`` is the middle of the range.
    shifts_um
        Of each colour.
    settings
        The range, and the weights of the reconstruction.
    arrays
        Where it is computed.

    Raises
    ------
    SettingsError
        The range reaches to the sensor.
    """
    if settings.focus_range_um >= optics.z_um:
        raise SettingsError(
            f"focus_range_um {settings.focus_range_um}: must be below z_um {optics.z_um}, the distance to the sensor"
        )
    part = _richest(light)
    moduli = [arrays.asarray(np.sqrt(frame)) for frame in part]
    shape = part.shape[1], part.shape[2]
    planes = optics.z_um + settings.focus_range_um * np.linspace(-1.0, 1.0, PLANES)
    losses = []
    for z_um in planes:
        model = ForwardModel(shape, optics, float(z_um), shifts_um, arrays)
        start = model.state(*linear_start(part, model, shifts_um))
        descent = Descent(Objective(model, moduli, settings), start, settings.memory)
        for _ in range(ITERATIONS - 1):
            descent.step()
        losses.append(descent.loss)
    lowest = int(np.argmin(losses))
    inside = 0 < lowest < PLANES - 1
    if not inside or max(losses) < (1.0 + LEAST_CONTRAST) * min(losses):
        return Focus(optics.z_um, False, tuple(losses))
    before, least, after = losses[lowest - 1 : lowest + 2]
    offset = 0.5 * (before - after) / (before - 2.0 * least + after)
    return Focus(float(planes[lowest] + offset * (planes[1] - planes[0])), True, tuple(losses))


def _richest(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the part of the frames with the strongest fringes."""
    tops, lefts = (
        np.unique(np.linspace(0, max(0, size - SIDE_PX), 1 + (size - 1) // SIDE_PX).astype(int))
        for size in light.shape[1:]
    )
    parts = [light[:, top : top + SIDE_PX, left : left + SIDE_PX] for top in tops for left in lefts]
    return np.ascontiguousarray(max(parts, key=lambda part: float(part.var(axis=(1, 2)).sum())))


__all__ = ["Focus", "find_distance"]
