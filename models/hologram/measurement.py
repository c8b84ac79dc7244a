"""What is measured in one field: how far each cell lies from focus, and what its phase in focus says.

The default way is the network's reading of each cell, refined by five planes round it. Where these show that the
network was wrong (the least contrast lies at their end, or there is none), that cell is searched over the whole range:
a network alone never decides. Without a network all cells are searched.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.cells import crops, find_cells
from microscoped.models.hologram.distance import (
    Abstention,
    DistanceRange,
    DistanceSettings,
    Method,
    cell_distances,
    crop_side,
    field_distance,
    refined_distances,
)
from microscoped.models.hologram.phase import PROTEIN_INCREMENT, unwrapped_phase
from microscoped.models.hologram.propagation import propagate_each, tapered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.cells import Cell
    from microscoped.models.hologram.distance import Distance
    from microscoped.models.hologram.field import Field
    from microscoped.models.hologram.network import DistanceNetwork, Reading

CELL_EDGE = 0.15
"""Phase over a cell's greatest, from which a sample belongs to the cell."""
CELL_EDGE_LEAST_RAD = 0.1
"""And at least this phase."""
SATURATED_MOST = 0.005
"""Part of the camera's pixels round a cell that may be saturated."""
UNSURE_DOF = 1.0
"""Half width of the interval in depths of field from which the network's reading alone is no answer."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
MEDIAN_HALF_WIDTH = 1.2533 * 1.645
"""Half of the 90 % interval of a median, over standard deviation / √n."""


class DistanceMethod(enum.StrEnum):
    """How a distance was found, or is to be."""

    NETWORK_REFINED = "network_refined"
    """By the network, then five planes round its reading; searched where they contradict it."""
    NETWORK = "network"
    """By the network alone, as in the paper."""
    SEARCH = "search"
    """By 20 planes, coarse to fine."""
    PLANES = "planes"
    """By 90 planes, as the paper's ground truth."""


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """What is measured, and how.

    Parameters
    ----------
    method
        How distances are found; without a network, both of its methods fall back to the search.
    within
        Range of distances; ``None`` for 12.5 depths of field on both sides of the recording plane.
    distance
        Of the search and the refinement.
    phase
        Whether each cell's phase in focus is measured, too: greatest optical path, area, dry mass.
    refractive_increment
        In µm³/pg, of this specimen.
    """

    method: DistanceMethod = DistanceMethod.NETWORK_REFINED
    within: DistanceRange | None = None
    distance: DistanceSettings = field(default_factory=DistanceSettings)
    phase: bool = True
    refractive_increment: float = PROTEIN_INCREMENT


@dataclass(frozen=True, slots=True)
class CellPhase:
    """What a cell's phase in focus says.

    Parameters
    ----------
    peak_rad
        Greatest phase against the cell's surroundings (98th percentile of its samples).
    area
        Of the samples that belong to it, in ``optics.length_unit`` squared.
    peak_opd_nm, dry_mass_pg
        ``None`` where wavelength or scale are unknown.
    shift
        How far the middle of its area lies from where it was found out of focus, in samples (rows, columns).
    """

    peak_rad: float
    area: float
    peak_opd_nm: float | None
    dry_mass_pg: float | None
    shift: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CellMeasurement:
    """One cell.

    Parameters
    ----------
    cell
        Where it is: the middle of its area in focus, where its phase was measured, else as it was found.
    z
        Its geometric middle, from the recording plane, object-side, positive downstream, in the field's distance unit.
        ``None`` without a distance, and where nothing tells it from `z_min_contrast`: only the network does.
    z_min_contrast
        The plane of its least amplitude contrast; ``None`` without a distance.
    half_width
        Half of the 90 % interval: of `z` where the network alone told it, else of `z_min_contrast`.
    method
        How it was found.
    reason
        Why there is no distance.
    phase
        In focus; ``None`` without a distance, or where it was not asked for.
    """

    cell: Cell
    z: float | None
    z_min_contrast: float | None
    half_width: float | None
    method: DistanceMethod
    reason: Abstention | None
    phase: CellPhase | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FieldMeasurement:
    """All cells of a field, and the field's own distance.

    Parameters
    ----------
    field
        At the recording plane.
    cells
        Those of the most contrast first.
    z, z_min_contrast, half_width
        Medians over the cells that have a distance and do not touch the border (over those that do where there are no
        others); with no cell at all, the whole field's search. ``None`` without a distance. `z` is `z_min_contrast`
        less the cells' median offset, where at least half of them have one.
    spread
        Standard deviation of the cells' depths, robust; ``None`` below two cells.
    reason
        Why the field has no distance.
    """

    field: Field
    cells: tuple[CellMeasurement, ...]
    z: float | None
    z_min_contrast: float | None
    half_width: float | None
    spread: float | None
    reason: Abstention | None

    def values(self) -> dict[str, Any]:
        """Return the measurement as plain JSON values with units in their names.

        Places are camera pixels of the frame; distances object-side, positive downstream. Where the scale is unknown
        their names end in ``_px2_per_wavelength`` in place of ``_um`` (z in units of n·px²/λ), areas in ``_px2``.
        """
        optics = self.field.optics
        unit, area = ("um", "um2") if optics.scale_known else ("px2_per_wavelength", "px2")
        middle = self.z if self.z is not None else self.z_min_contrast
        told = []
        for found in self.cells:
            here = found.z if found.z is not None else found.z_min_contrast
            row, column = self.field.frame_position(found.cell.row, found.cell.column)
            values: dict[str, Any] = {
                "row_px": round(row, 2),
                "column_px": round(column, 2),
                f"z_{unit}": found.z,
                f"z_min_contrast_{unit}": found.z_min_contrast,
                f"half_width_{unit}": found.half_width,
                f"depth_{unit}": None if here is None or middle is None else here - middle,
                "method": found.method.value,
                "reason": found.reason.value if found.reason else "",
                "border": found.cell.border,
            }
            if found.phase is not None:
                values |= {
                    "peak_phase_rad": found.phase.peak_rad,
                    "peak_opd_nm": found.phase.peak_opd_nm,
                    f"area_{area}": found.phase.area,
                    "dry_mass_pg": found.phase.dry_mass_pg,
                }
            told.append(values)
        return {
            "scale_known": optics.scale_known,
            "side": "object",
            f"z_{unit}": self.z,
            f"z_min_contrast_{unit}": self.z_min_contrast,
            f"half_width_{unit}": self.half_width,
            f"depth_spread_{unit}": self.spread,
            f"dof_{unit}": self.field.dof,
            "reason": self.reason.value if self.reason else "",
            "count": len(self.cells),
            "cells": told,
        }


def measure_field(
    recorded: Field,
    settings: MeasureSettings = MeasureSettings(),
    network: DistanceNetwork | None = None,
    arrays: ArrayBackend = SCIPY,
) -> FieldMeasurement:
    """Measure a field.

    Parameters
    ----------
    recorded
        Normalised, at the recording plane.
    settings
        What is measured.
    network
        Reads distances; ``None`` where all cells are searched.
    """
    cells = find_cells(recorded, settings.distance.cells)
    if not cells:
        return _without_cells(recorded, settings, arrays)
    within = settings.within or DistanceRange.around(recorded)
    found = measure_cells(recorded, cells, within, settings, network, arrays)
    if settings.phase:
        phases = _phases(recorded, found, settings, arrays)
        found = [_with_phase(one, phase) for one, phase in zip(found, phases, strict=True)]
    return _summed_up(recorded, found)


def measure_cells(
    recorded: Field,
    cells: Sequence[Cell],
    within: DistanceRange,
    settings: MeasureSettings,
    network: DistanceNetwork | None = None,
    arrays: ArrayBackend = SCIPY,
) -> list[CellMeasurement]:
    """Return the distances of cells, without their phases; parameters as of `measure_field`.

    A cell round which more than 0.5 % of the camera's pixels are saturated has none: a bead or a round cell is a lens,
    and where its focus falls on the camera the fringes are cut off. What is read there may be wrong by all of the
    range, without any other sign of it.
    """
    clipped = [recorded.saturated_share(cell.box) > SATURATED_MOST for cell in cells]
    good = [cell for cell, bad in zip(cells, clipped, strict=True) if not bad]
    found = iter(_measure_cells(recorded, good, within, settings, network, arrays))
    return [
        CellMeasurement(cell, None, None, None, settings.method, Abstention.SATURATED) if bad else next(found)
        for cell, bad in zip(cells, clipped, strict=True)
    ]


def _measure_cells(
    recorded: Field,
    cells: Sequence[Cell],
    within: DistanceRange,
    settings: MeasureSettings,
    network: DistanceNetwork | None,
    arrays: ArrayBackend,
) -> list[CellMeasurement]:
    """Measure cells of which the camera has all fringes."""
    method = settings.method
    if network is None and method in (DistanceMethod.NETWORK, DistanceMethod.NETWORK_REFINED):
        method = DistanceMethod.SEARCH
    if network is None or method in (DistanceMethod.SEARCH, DistanceMethod.PLANES):
        planes = Method.PLANES if method is DistanceMethod.PLANES else Method.COARSE_TO_FINE
        search = replace(settings.distance, method=planes)
        distances = cell_distances(recorded, cells, within, search, arrays)
        return [_searched(cell, distance, method) for cell, distance in zip(cells, distances, strict=True)]
    reading = network.read(recorded, cells)
    if method is DistanceMethod.NETWORK:
        return [_read(recorded, cell, reading, k, within) for k, cell in enumerate(cells)]
    refined = refined_distances(recorded, cells, reading.z_min_contrast, settings.distance, arrays)
    return _checked(recorded, cells, reading, refined, within, settings, arrays)


def _checked(
    recorded: Field,
    cells: Sequence[Cell],
    reading: Reading,
    refined: Sequence[Distance],
    within: DistanceRange,
    settings: MeasureSettings,
    arrays: ArrayBackend,
) -> list[CellMeasurement]:
    """Return refined distances, searching those cells in which the planes contradict the network."""
    doubted = [k for k, distance in enumerate(refined) if distance.reason in (Abstention.EDGE, Abstention.FLAT)]
    search = replace(settings.distance, method=Method.COARSE_TO_FINE)
    searched = cell_distances(recorded, [cells[k] for k in doubted], within, search, arrays)
    again = dict(zip(doubted, searched, strict=True))
    found = []
    for k, (cell, distance) in enumerate(zip(cells, refined, strict=True)):
        if k in again:
            one = _searched(cell, again[k], DistanceMethod.SEARCH)
        else:
            one = _searched(cell, _within(distance, within), DistanceMethod.NETWORK_REFINED)
            if one.z_min_contrast is not None:
                one = replace(one, z=one.z_min_contrast - float(reading.offset[k]))
        found.append(one)
    return found


def _within(distance: Distance, within: DistanceRange) -> Distance:
    """Return a distance, without its value where that lies beyond the range."""
    value = distance.z_min_contrast
    if value is None or within.low <= value <= within.high:
        return distance
    return replace(distance, z_min_contrast=None, half_width=None, reason=Abstention.EDGE)


def _searched(cell: Cell, distance: Distance, method: DistanceMethod) -> CellMeasurement:
    return CellMeasurement(cell, None, distance.z_min_contrast, distance.half_width, method, distance.reason)


def _read(recorded: Field, cell: Cell, reading: Reading, k: int, within: DistanceRange) -> CellMeasurement:
    """Return what the network alone says of a cell; beyond what it was trained on it says nothing."""
    z, least = float(reading.z[k]), float(reading.z_min_contrast[k])
    method = DistanceMethod.NETWORK
    if not (bool(reading.inside[k]) and within.low <= z <= within.high):
        return CellMeasurement(cell, None, None, None, method, Abstention.EDGE)
    half = float(reading.half_width[k])
    if half > UNSURE_DOF * recorded.dof:
        return CellMeasurement(cell, None, None, None, method, Abstention.UNSURE)
    return CellMeasurement(cell, z, least, half, method, None)


def _without_cells(recorded: Field, settings: MeasureSettings, arrays: ArrayBackend) -> FieldMeasurement:
    """Return the whole field's search: far from focus no cell stands out, but light is still scattered."""
    search = replace(settings.distance, method=Method.COARSE_TO_FINE)
    whole = field_distance(recorded, settings.within, search, arrays)
    return FieldMeasurement(recorded, (), None, whole.z_min_contrast, whole.half_width, None, whole.reason)


def _summed_up(recorded: Field, found: Sequence[CellMeasurement]) -> FieldMeasurement:
    known = [one for one in found if one.z_min_contrast is not None]
    inner = [one for one in known if not one.cell.border] or known
    if not inner:
        # All have a reason: the one that most have.
        reasons = [one.reason for one in found if one.reason is not None]
        return FieldMeasurement(recorded, tuple(found), None, None, None, None, max(reasons, key=reasons.count))
    least = np.array([one.z_min_contrast for one in inner], np.float64)
    widths = np.array([one.half_width for one in inner], np.float64)
    offsets = [one.z_min_contrast - one.z for one in inner if one.z is not None and one.z_min_contrast is not None]
    spread = NORMAL_MAD * float(np.median(np.abs(least - np.median(least)))) if len(inner) > 1 else None
    half = math.hypot(MEDIAN_HALF_WIDTH * (spread or 0.0), float(np.median(widths))) / math.sqrt(len(inner))
    return FieldMeasurement(
        recorded,
        tuple(found),
        float(np.median(least) - np.median(offsets)) if 2 * len(offsets) >= len(inner) else None,
        float(np.median(least)),
        half,
        spread,
        None,
    )


def _with_phase(found: CellMeasurement, phase: CellPhase | None) -> CellMeasurement:
    """Return a cell with its phase, at the place where that shows it."""
    if phase is None:
        return found
    row, column = round(found.cell.row) + phase.shift[0], round(found.cell.column) + phase.shift[1]
    cell = replace(found.cell, row=row, column=column)
    return replace(found, cell=cell, phase=phase)


def _phases(
    recorded: Field, found: Sequence[CellMeasurement], settings: MeasureSettings, arrays: ArrayBackend
) -> list[CellPhase | None]:
    """Return what each cell's phase in its own plane says."""
    known = [k for k, one in enumerate(found) if one.z_min_contrast is not None]
    phases: list[CellPhase | None] = [None] * len(found)
    if not known:
        return phases
    side = crop_side(recorded, settings.distance.cells)
    border = max(2, side // 10)
    squares = tapered(crops(recorded, [found[k].cell for k in known], side), border, border)
    planes = np.array([found[k].z_min_contrast for k in known], np.float32) - np.float32(recorded.z)
    diameter = settings.distance.cells.diameter_in(recorded)
    for k, square in zip(known, propagate_each(squares, planes, recorded, arrays), strict=True):
        phases[k] = _phase(recorded.at(square), diameter, settings.refractive_increment)
    return phases


def _phase(square: Field, diameter: float, increment: float) -> CellPhase | None:
    """Return what the phase of a focused square with a cell in its middle says; ``None`` where it holds none."""
    phase = unwrapped_phase(square)
    rows, columns = (
        (np.arange(n) - n // 2) * size / diameter for n, size in zip(square.shape, square.pixel, strict=True)
    )
    away = np.hypot(rows[:, None], columns[None, :])
    phase = phase - np.float32(np.median(phase[(away > 0.75) & (away < 1.25)]))
    inner = away < 0.75
    peak = float(np.percentile(phase[inner], 98))
    edge = max(CELL_EDGE * peak, CELL_EDGE_LEAST_RAD)
    labels, count = ndimage.label(inner & (phase > edge))
    if not count or peak < CELL_EDGE_LEAST_RAD:
        return None
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    mask: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == largest)
    # A cell's square has it round sample side/2, nearest to where it was found.
    middle = ndimage.center_of_mass(mask)
    shift = float(middle[0]) - square.shape[0] // 2, float(middle[1]) - square.shape[1] // 2
    sample = square.pixel[0] * square.pixel[1]
    wavelength = square.optics.wavelength_um
    path = None if wavelength is None else wavelength / (2.0 * math.pi)
    mass = None
    if path is not None and square.optics.scale_known:
        mass = float(phase[mask].sum(dtype=np.float64)) * path * sample / increment
    return CellPhase(peak, float(mask.sum()) * sample, None if path is None else 1e3 * path * peak, mass, shift)


__all__ = [
    "CellMeasurement",
    "CellPhase",
    "DistanceMethod",
    "FieldMeasurement",
    "MeasureSettings",
    "measure_cells",
    "measure_field",
]
