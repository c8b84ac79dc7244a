"""Direct integration of one object over a threshold mask: nothing is detected, split or learned.

What is measured otherwise must agree with it as far as it agrees with itself, from one threshold to the next. Values
stay in the image's own unit, so that it serves phases of unknown scale as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from microscoped.models.cells.errors import MapError, SettingsError
from microscoped.models.cells.quantities import REFRACTIVE_INCREMENT, dry_mass_pg, require_pixel_um
from microscoped.models.maps import common_level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Integral:
    """An object above one threshold.

    Parameters
    ----------
    threshold
        In the image's unit.
    area_px2
        Of the mask: pixels above the threshold that hang together with the object's middle, holes filled.
    volume
        Sum over the mask of what stands above the background's level, in the image's unit times px².
    maximum
        Greatest value above the background's level.
    border
        Whether the mask reaches the image's border.
    """

    threshold: float
    area_px2: float
    volume: float
    maximum: float
    border: bool

    def area_um2(self, pixel_um: float) -> float:
        """Return the area in µm²."""
        return self.area_px2 * require_pixel_um(pixel_um) ** 2

    def dry_mass_pg(self, pixel_um: float, refractive_increment: float = REFRACTIVE_INCREMENT) -> float:
        """Return the dry mass of an image in nm of optical path difference."""
        return dry_mass_pg(self.volume * 1e-3 * require_pixel_um(pixel_um) ** 2, refractive_increment)


@dataclass(frozen=True, slots=True)
class Spread:
    """How far an object's integrals differ over thresholds: half of the range over its middle."""

    volume: float
    area: float
    maximum: float


def threshold_ladder(
    image: NDArray[np.floating], fraction: float = 0.2, step: float = 0.02, steps: int = 3
) -> list[float]:
    """Return thresholds round a fraction of an image's height.

    Parameters
    ----------
    image
        Of one object at least, brighter than its background.
    fraction
        Of the height from the background's level to the 99.5th percentile.
    step
        From one to the next, in fractions of the same height.
    steps
        On each side.

    Raises
    ------
    SettingsError
        The lowest would not be above the background, or the highest not below the top.
    """
    if not (steps >= 0 and step > 0 and fraction - steps * step > 0 and fraction + steps * step < 1):
        raise SettingsError(f"fraction {fraction}, step {step}, steps {steps}: thresholds must lie between 0 and 1")
    level = common_level(image)
    height = float(np.percentile(image, 99.5)) - level
    return [level + (fraction + k * step) * height for k in range(-steps, steps + 1)]


def integrate(
    image: NDArray[np.floating],
    thresholds: Sequence[float],
    place_px: tuple[float, float] | None = None,
    *,
    level: float | None = None,
) -> list[Integral]:
    """Integrate an object over the masks of thresholds.

    Parameters
    ----------
    image
        Optical path difference or phase, shape (rows, columns).
    thresholds
        In its unit.
    place_px
        A pixel (row, column) of the object; ``None`` for the image's greatest.
    level
        Of the background; ``None`` for the image's most frequent value.

    Returns
    -------
    One for each threshold.

    Raises
    ------
    MapError
        The image has not two sides, values that are not finite, or nothing above a threshold at the place.
    """
    values = np.asarray(image, np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise MapError(f"image: shape {values.shape}; must be (rows, columns) of finite values")
    base = common_level(values) if level is None else level
    if place_px is None:
        row, column = (int(at) for at in np.unravel_index(int(np.argmax(values)), values.shape))
    else:
        row, column = (min(max(round(at), 0), side - 1) for at, side in zip(place_px, values.shape, strict=True))
    found = []
    for threshold in thresholds:
        objects, _ = ndimage.label(values > threshold)
        if not objects[row, column]:
            raise MapError(
                f"place_px ({row}, {column}): {values[row, column]:g} there is not above the threshold {threshold:g}; "
                "give a place on the object, or a lower threshold"
            )
        mask = ndimage.binary_fill_holes(objects == objects[row, column])
        inside = values[mask] - base
        edge = bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
        found.append(
            Integral(float(threshold), float(mask.sum()), math.fsum(inside.tolist()), float(inside.max()), edge)
        )
    return found


def spread(integrals: Sequence[Integral]) -> Spread:
    """Return how far integrals differ."""
    return Spread(
        volume=_half_range([one.volume for one in integrals]),
        area=_half_range([one.area_px2 for one in integrals]),
        maximum=_half_range([one.maximum for one in integrals]),
    )


def _half_range(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / (max(values) + min(values))


__all__ = ["Integral", "Spread", "integrate", "spread", "threshold_ladder"]
