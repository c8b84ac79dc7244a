"""Names of units of length in image metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MICROMETRES: Mapping[str, float] = {
    "m": 1e6,
    "mm": 1e3,
    "millimeter": 1e3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometers": 1.0,
    "nm": 1e-3,
    "å": 1e-4,
    # OME's default, written where the unit was left out; the programs that do so mean micrometres.
    "reference frame": 1.0,
}
"""Micrometres per unit of length, by its name in lower case."""


def micrometres(unit: str) -> float | None:
    """Return how many micrometres the unit is, or None where it is not a known length."""
    return MICROMETRES.get(unit.strip().lower())


__all__ = ["micrometres"]
