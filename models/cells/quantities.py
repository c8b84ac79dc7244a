"""The quantities of a cell, and the size of one that is typical."""

from __future__ import annotations

import enum
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from microscoped.models.cells.errors import ScaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

REFRACTIVE_INCREMENT: Final = 0.18
"""Of dry matter in µm³/pg (R. Barer, Nature 169, 366 (1952); C. Allier et al. 2022, eq. 4)."""
AREA_ABOVE_NM: Final = 5.0
"""A cell's area is where its optical path difference is above this."""


class Quantity(enum.StrEnum):
    """What is measured of a cell; the value is the column's name in tables, with its unit."""

    DRY_MASS = "dry_mass_pg"
    """Integral of the optical path difference over the cell, divided by the refractive increment."""
    AREA = "area_um2"
    """Where its optical path difference is above `AREA_ABOVE_NM`."""
    MAX_OPD = "max_opd_nm"
    """Greatest optical path difference."""
    LENGTH = "length_um"
    """Major axis of the ellipse with the second moments of its area: 4·√λ₁."""


TYPICAL: Final[Mapping[Quantity, float]] = MappingProxyType(
    {Quantity.DRY_MASS: 194.9, Quantity.AREA: 641.3, Quantity.MAX_OPD: 75.5, Quantity.LENGTH: 42.3}
)
"""Means of adherent fibroblasts at 255 cells/mm² (Allier 2022, Table 1): heat maps are compared and added in these."""


def require_pixel_um(pixel_um: float) -> float:
    """Return a pixel size in µm.

    Raises
    ------
    ScaleError
        It is no positive number.
    """
    if not (math.isfinite(pixel_um) and pixel_um > 0):
        raise ScaleError(f"pixel_um {pixel_um}: must be a positive number of micrometres; configure the optics' scale")
    return pixel_um


def dry_mass_pg(optical_volume_um3: float, refractive_increment: float = REFRACTIVE_INCREMENT) -> float:
    """Return the dry mass of an optical volume (Allier 2022, eq. 4).

    Parameters
    ----------
    optical_volume_um3
        Integral of the optical path difference over an area.
    refractive_increment
        In µm³/pg.

    Raises
    ------
    ScaleError
        The increment is no positive number.
    """
    if not (math.isfinite(refractive_increment) and refractive_increment > 0):
        raise ScaleError(f"refractive_increment {refractive_increment}: must be positive, 0.18 … 0.21 µm³/pg for cells")
    return optical_volume_um3 / refractive_increment


__all__ = ["AREA_ABOVE_NM", "REFRACTIVE_INCREMENT", "TYPICAL", "Quantity", "dry_mass_pg", "require_pixel_um"]
