"""Units of numbers: lengths, times, masses and angles, and their products."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit.

    Parameters
    ----------
    powers
        Of which base quantity it has which power, sorted: ``(("length", 1), ("time", -1))``.
    factor
        How much of µm, s, pg, rad and px it is.
    """

    powers: tuple[tuple[str, int], ...] = ()
    factor: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether it is that of a mere number."""
        return not self.powers

    def alike(self, other: Unit) -> bool:
        """Whether one can be turned into the other."""
        return self.powers == other.powers

    def per(self, other: Unit) -> Unit:
        """The quotient of two units."""
        return self.times(Unit(tuple((name, -power) for name, power in other.powers), 1.0 / other.factor))

    def times(self, other: Unit) -> Unit:
        """The product of two units."""
        powers: Counter[str] = Counter()
        for name, power in (*self.powers, *other.powers):
            powers[name] += power
        left = tuple(sorted((name, power) for name, power in powers.items() if power))
        return Unit(left, self.factor * other.factor)

    def __str__(self) -> str:
        """The unit as it is written, or what it is made of; nothing for a mere number."""
        known = _SYMBOLS.get(self)
        if known is not None:
            return known
        above = [_base(name, power) for name, power in self.powers if power > 0]
        below = [_base(name, -power) for name, power in self.powers if power < 0]
        scale = f"{self.factor:g}·" if not math.isclose(self.factor, 1.0) else ""
        return scale + "·".join(above or ["1"]) + "".join(f"/{part}" for part in below)


def _base(name: str, power: int) -> str:
    return _BASES[name] + (str(power) if power > 1 else "")


_BASES: Final = {"length": "um", "time": "s", "mass": "pg", "angle": "rad", "pixel": "px"}

PLAIN: Final = Unit()
"""Of a mere number."""

UNITS: Final[Mapping[str, Unit]] = MappingProxyType(
    {
        "nm": Unit((("length", 1),), 1e-3),
        "um": Unit((("length", 1),)),
        "mm": Unit((("length", 1),), 1e3),
        "um2": Unit((("length", 2),)),
        "mm2": Unit((("length", 2),), 1e6),
        "um3": Unit((("length", 3),)),
        "ms": Unit((("time", 1),), 1e-3),
        "s": Unit((("time", 1),)),
        "min": Unit((("time", 1),), 60.0),
        "h": Unit((("time", 1),), 3600.0),
        "pg": Unit((("mass", 1),)),
        "ng": Unit((("mass", 1),), 1e3),
        "rad": Unit((("angle", 1),)),
        "deg": Unit((("angle", 1),), math.pi / 180.0),
        "px": Unit((("pixel", 1),)),
        "px2": Unit((("pixel", 2),)),
    }
)
"""Units that may stand behind a number."""

SECOND: Final = UNITS["s"]
_SYMBOLS: Final = {unit: name for name, unit in UNITS.items()} | {PLAIN: ""}


def unit_of_name(name: str) -> Unit:
    """Return the unit that a measurement's name ends with: ``dry_mass_pg``, ``density_per_mm2``; else a mere number."""
    base, _, last = name.rpartition("_")
    unit = UNITS.get(last) if base else None
    if unit is None:
        return PLAIN
    return PLAIN.per(unit) if base.endswith("_per") else unit


__all__ = ["PLAIN", "SECOND", "UNITS", "Unit", "unit_of_name"]
