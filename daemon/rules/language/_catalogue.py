"""What expressions may name: the values of each engine's measurements, and its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from microscoped.daemon.rules.language._units import Unit, unit_of_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Flag:
    """The kind of a value that is true or false."""


Kind: TypeAlias = Unit | Flag
"""Of a value: a number with its unit, or true or false."""
FLAG: Final = Flag()


@dataclass(frozen=True, slots=True)
class TableKind:
    """A table in a measurement: a row for each cell.

    Parameters
    ----------
    engine, key
        Whose measurement, and under which name it stands there.
    columns
        Kinds of its columns.
    track
        The column with the number of the cell in a series of frames, negative where it was not linked; ``None`` where
        cells are not followed.
    """

    engine: str
    key: str
    columns: Mapping[str, Kind]
    track: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that can be named.

    Parameters
    ----------
    values
        Kinds of values, by engine and path: ``cells.dry_mass_pg.p50``. The first part is the engine.
    tables
        By name.
    """

    values: Mapping[str, Kind]
    tables: Mapping[str, TableKind] = field(default_factory=dict)

    @property
    def engines(self) -> frozenset[str]:
        """The engines that measure something."""
        return frozenset(path.partition(".")[0] for path in self.values)


def numbers(engine: str, names: Iterable[str]) -> dict[str, Kind]:
    """Return the kinds of numbers whose names end with their units."""
    return {f"{engine}.{name}": unit_of_name(name) for name in names}


def flags(engine: str, names: Iterable[str]) -> dict[str, Kind]:
    """Return the kinds of values that are true or false."""
    return {f"{engine}.{name}": FLAG for name in names}


def distributions(engine: str, names: Iterable[str]) -> dict[str, Kind]:
    """Return the kinds of what is said of quantities in sum: how many, mean, standard deviation and percentiles."""
    told: dict[str, Kind] = {}
    for name in names:
        told |= {f"{engine}.{name}.{part}": unit_of_name(name) for part in ("mean", "sd", *PERCENTILES)}
        told[f"{engine}.{name}.count"] = unit_of_name("count")
    return told


def columns(names: Iterable[str], yes_no: Iterable[str] = ()) -> dict[str, Kind]:
    """Return the kinds of columns: numbers whose names end with their units, and those that are true or false."""
    kinds: dict[str, Kind] = {name: unit_of_name(name.removesuffix("_half_width")) for name in names}
    return kinds | dict.fromkeys(yes_no, FLAG)


PERCENTILES: Final = ("p05", "p25", "p50", "p75", "p95")
_QUANTITIES: Final = ("dry_mass_pg", "area_um2", "max_opd_nm", "length_um")

STANDARD: Final = Catalogue(
    values=MappingProxyType(
        numbers("cells", ("count", "density_per_mm2", "field_mm2", "pixel_um", "touching", "border"))
        | distributions("cells", _QUANTITIES)
        | numbers(
            "hologram",
            ("z_um", "z_min_contrast_um", "half_width_um", "depth_spread_um", "dof_um", "count"),
        )
        | flags("hologram", ("scale_known", "background.stale"))
        | numbers("hologram", ("background.carrier_moved_px", "background.residual_rad"))
        | numbers("sharpness", ("score", "error", "mean", "saturated_fraction"))
        | numbers(
            "focus_pair",
            ("defocus_um", "expected_error_um", "spread_um", "tiles", "tiles_used", "mean_ratio", "saturated_fraction"),
        )
        | numbers("focus_pair", ("dof_um",))
        | flags("focus_pair", ("abstained",))
        | numbers("frame", ("z_um", "exposure_ms", "number", "lost_before"))
        | flags("frame", ("moving", "off_plane", "streamed"))
    ),
    tables=MappingProxyType(
        {
            "cells": TableKind(
                "cells",
                "cells",
                columns(
                    (
                        *("row_px", "column_px", "row_um", "column_um", "track"),
                        *_QUANTITIES,
                        *(f"{name}_half_width" for name in _QUANTITIES),
                    ),
                    ("touching", "border"),
                ),
                track="track",
            ),
            "hologram.cells": TableKind(
                "hologram",
                "cells",
                columns(
                    (
                        *("row_px", "column_px", "z_um", "z_min_contrast_um", "half_width_um", "depth_um"),
                        *("peak_phase_rad", "peak_opd_nm", "area_um2", "dry_mass_pg"),
                    ),
                    ("border",),
                ),
            ),
        }
    ),
)
"""The engines that there are, and ``frame``: what the header of each frame says."""

__all__ = ["FLAG", "STANDARD", "Catalogue", "Flag", "Kind", "TableKind", "columns", "distributions", "flags", "numbers"]
