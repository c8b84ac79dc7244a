"""Cells as an engine of the daemon: how many, how heavy, how they grow and move, and a table of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from microscoped.models.cells.arrow import CONTENT_TYPE, motions_to_arrow, to_arrow
from microscoped.models.cells.errors import SettingsError, TimeError
from microscoped.models.cells.linking import Linker, LinkSettings
from microscoped.models.cells.measures import COLUMNS, distribution
from microscoped.models.protocols import Measurement, Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.models.cells.linking import Motion
    from microscoped.models.cells.measures import CellTable
    from microscoped.models.cells.opd import OpdMap, OpdSource

DIGITS: Final = 4
"""Behind the point, of numbers of single cells in JSON."""
OPTIONS: Final = ("bit_depth", "columns", "exposure_start_ns", "pixel_size_um")


class CellReader(Protocol):
    """Makes tables of maps: a network, or a classical way."""

    @property
    def name(self) -> str:
        """Of the network, or of the way."""
        ...

    def table(self, opd_nm: NDArray[np.float32], pixel_um: float) -> CellTable:
        """Return the cells of a map; see `microscoped.models.cells.CellNetwork.table`."""
        ...


class WatershedReader:
    """Measures by threshold and watershed: without a network, and without intervals; satisfies `CellReader`."""

    name = "watershed"

    def table(self, opd_nm: NDArray[np.float32], pixel_um: float) -> CellTable:
        """See `microscoped.models.cells.threshold_watershed`."""
        # scikit-image is slow to import, and a network does without it.
        from microscoped.models.cells.baselines import threshold_watershed

        return threshold_watershed(opd_nm, pixel_um)


@dataclass(frozen=True, slots=True)
class CellsEngineSettings:
    """What is measured.

    Parameters
    ----------
    least_opd_nm
        Cells whose greatest optical path difference is below this are left out.
    link
        What may be one cell from frame to frame; ``None`` where cells are not linked.
    told
        Columns of the table that stand in the JSON values, too.

    Raises
    ------
    SettingsError
        The least path is negative, or a table has no such column.
    """

    least_opd_nm: float = 0.0
    link: LinkSettings | None = field(default_factory=LinkSettings)
    told: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.told) - set(COLUMNS)
        if unknown:
            raise SettingsError(f"told {sorted(unknown)}: a table has {', '.join(COLUMNS)}")
        if not self.least_opd_nm >= 0:
            raise SettingsError(f"least_opd_nm {self.least_opd_nm}: must not be negative")


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCells:
    """The cells of one frame.

    Parameters
    ----------
    source, reader
        What kind of frame it was, and what read it.
    opd
        The map.
    table
        The cells.
    motions
        What the cells did that were found again, over the frames so far.
    tracks
        What `CellsEngine.measure` tells of the links; ``None`` where cells were not linked.
    told
        As of `CellsEngineSettings`.
    """

    source: str
    reader: str
    opd: OpdMap
    table: CellTable
    motions: tuple[Motion, ...] = ()
    tracks: Mapping[str, Any] | None = None
    told: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """Return what the frame says in sum; see `CellsEngine.measure`."""
        rows, columns = self.table.shape_px
        return {
            **self.table.values(),
            "shape_px": [rows, columns],
            "first_px": list(self.opd.first_px),
            "scale": list(self.opd.scale),
            "read_by": self.reader,
            "source": {"kind": self.source, **self.opd.made},
            "tracks": None if self.tracks is None else dict(self.tracks),
            **({"cells": self._columns()} if self.told else {}),
        }

    def _columns(self) -> dict[str, list[float | int | bool | None]]:
        told: dict[str, list[float | int | bool | None]] = {}
        for name in self.told:
            column: NDArray[Any] = getattr(self.table, name)
            values = column.tolist()
            if column.dtype == np.float64:
                values = [None if one != one else round(one, DIGITS) for one in values]
            told[name] = values
        return told

    def parts(self) -> tuple[Part, ...]:
        """Return the tables: ``cells``, and where they are linked ``motions``."""
        cells = Part("cells", CONTENT_TYPE, to_arrow(self.table))
        if self.tracks is None:
            return (cells,)
        return cells, Part("motions", CONTENT_TYPE, motions_to_arrow(self.motions))


class CellsEngine:
    """Measures the cells of each frame of one instrument, and links them. Used by one thread.

    Parameters
    ----------
    source
        Makes maps of frames.
    reader
        Makes tables of maps.
    settings
        What is measured.
    series
        Number before that of the first series of links: greater than those of an engine whose place this one takes.
    """

    name = "cells"
    frames = 1

    def __init__(
        self,
        source: OpdSource,
        reader: CellReader,
        settings: CellsEngineSettings = CellsEngineSettings(),
        *,
        series: int = 0,
    ) -> None:
        self._source = source
        self._reader = reader
        self._settings = settings
        self._linker: Linker | None = None
        self._grid: tuple[tuple[int, int], float] | None = None
        self._series = series
        self._next = 0

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Measurement:
        """Measure a frame.

        Parameters
        ----------
        frames
            One frame.
        options
            ``pixel_size_um``: size of its pixels in the specimen, binning included; ``bit_depth``: its significant
            bits; ``exposure_start_ns``: when it was exposed: without it cells are not linked; ``columns``: columns of
            the table that stand in the values, too, beside those of the settings.

        Returns
        -------
        values
            As `CellTable.values`; ``shape_px`` of the map, and ``first_px`` and ``scale``, by which its places become
            pixels of the camera; ``read_by``: the network; ``source``: its ``kind``, and how the map was made;
            ``tracks``: ``null``, or ``series`` (another one whenever the map's grid changes: then all cells are new),
            ``linked`` and ``new`` cells of this frame, ``drift_um`` that all have in common since the beginning, and
            the distributions of ``growth_per_h``, of its ``growth_half_width_per_h`` and of ``speed_um_per_h``; and
            where columns are told, ``cells``: lists by their names, ``null`` where something is not known.
        parts
            ``cells``, and where they are linked ``motions``: Arrow IPC streams.

        Raises
        ------
        ValueError
            The frame does not suit the source, or an option is unknown; the message names the value and the remedy.
        """
        if len(frames) != self.frames:
            raise ValueError(f"{len(frames)} frames: cells are measured in one")
        unknown = set(options) - set(OPTIONS)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no such option; there are {', '.join(OPTIONS)}")
        start_ns = options.get("exposure_start_ns")
        time_s = None if start_ns is None else start_ns / 1e9
        wanted = {*self._settings.told, *options.get("columns", ())}
        if wanted - set(COLUMNS):
            raise ValueError(f"columns {sorted(wanted - set(COLUMNS))}: a table has {', '.join(COLUMNS)}")
        found = self.read(frames[0], options.get("pixel_size_um"), options.get("bit_depth"), time_s)
        found = replace(found, told=tuple(name for name in COLUMNS if name in wanted))
        return Measurement(found.values(), found.parts())

    def read(
        self,
        frame: NDArray[Any],
        pixel_um: float | None = None,
        bit_depth: int | None = None,
        time_s: float | None = None,
    ) -> MeasuredCells:
        """Return the cells of a frame; parameters and errors as of `measure`."""
        opd = self._source.read(frame, pixel_um, bit_depth)
        table = self._reader.table(opd.opd_nm, opd.pixel_um)
        if self._settings.least_opd_nm > 0:
            table = table.where(~(table.max_opd_nm < self._settings.least_opd_nm))
        if self._settings.link is None or time_s is None:
            return self._measured(opd, table)
        return self._linked(opd, table, time_s, self._settings.link)

    def _linked(self, opd: OpdMap, table: CellTable, time_s: float, settings: LinkSettings) -> MeasuredCells:
        grid = table.shape_px, round(table.pixel_um, 6)
        if self._linker is None or self._grid != grid:
            self._linker, self._grid, self._next = Linker(settings), grid, 0
            self._series += 1
        linker = self._linker
        try:
            table = linker.link(table, time_s)
        except TimeError:
            # An older frame that was asked for, or one seen before: what it holds is told, the tracks stay as they are.
            return self._measured(opd, table)
        linked = int(np.count_nonzero(table.track < self._next))
        self._next = max([self._next, *(table.track + 1).tolist()])
        motions = tuple(linker.motions())
        tracks = {
            "series": self._series,
            "linked": linked,
            "new": len(table) - linked,
            "drift_um": list(linker.drift_um),
            "growth_per_h": _spread(motions, "growth_per_h"),
            "growth_half_width_per_h": _spread(motions, "growth_half_width_per_h"),
            "speed_um_per_h": _spread(motions, "speed_um_per_h"),
        }
        return self._measured(opd, table, motions, tracks)

    def _measured(
        self, opd: OpdMap, table: CellTable, motions: tuple[Motion, ...] = (), tracks: Mapping[str, Any] | None = None
    ) -> MeasuredCells:
        return MeasuredCells(self._source.kind, self._reader.name, opd, table, motions, tracks, self._settings.told)


def _spread(motions: Sequence[Motion], name: str) -> dict[str, float | int] | None:
    return distribution(np.array([getattr(one, name) for one in motions], np.float64))


__all__ = ["CellReader", "CellsEngine", "CellsEngineSettings", "MeasuredCells", "WatershedReader"]
