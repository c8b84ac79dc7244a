"""The distance of a specimen by search: the plane of least amplitude contrast.

Follows Jaferzadeh 2019, §2.4: the field is reconstructed at 90 distances, and the one whose amplitude has the least
standard deviation is taken. What differs, and why:

- Only the interior is scored. Light that leaves the field at one border enters at the other, and the jump there makes
  fringes whose contrast is least at the recording plane, whatever the specimen's distance. The inset is how far light
  of the aperture's edge travels within the range, 15 µm or so; borders also run out smoothly.
- Of the interior those tiles are scored that hold specimen: noise has no distance.
- A parabola through the least variance and its neighbours gives distances between the planes.
- Which minimum is taken is decided on the variance over ``|U − 1|²``, the part of the scattered light that shows as
  amplitude: far from focus a cell's light leaves the window, and the plain variance falls again.
- `Method.COARSE_TO_FINE` takes 11 planes over the range and 9 round the best of them; where something else, as the
  network, tells about where the minimum is, `refined_distances` takes 5.

What is found is ``z_min_contrast``. The geometric middle of the specimen, ``z``, differs from it where the specimen is
thick or bends light: `CONTRAST_OFFSET_UM`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.hologram._frames import fast_even
from microscoped.models.hologram._scan import Curves, Window, scan
from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.cells import CellSettings, crops
from microscoped.models.hologram.errors import RangeError
from microscoped.models.hologram.propagation import spectrum, tapered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.cells import Cell
    from microscoped.models.hologram.field import Field
    from microscoped.models.hologram.optics import DistanceUnit

CONTRAST_OFFSET_UM = {
    "thin red cell": -0.03,
    "round cell, 6 µm, index 1.39": 0.25,
    "round cell, 10 µm, index 1.37": 0.5,
    "bead, 9 µm, index 1.591": -0.75,
}
"""Plane of least contrast minus geometric mid-plane, in water at 666 nm and NA 0.75, by multislice simulation."""
HALF_RANGE_DOF = 12.5
"""Half of the range that is searched where none is given, in depths of field: 20 µm at 666 nm and NA 0.75."""
PLANES = 90
"""Planes of the paper's search."""
COARSE_PLANES = 11
"""Planes over the range of a coarse search."""
FINE_PLANES = 9
"""Planes round the best coarse one."""
FEWEST_PLANES = 5
"""Fewest planes of a search."""
REFINE_PLANES, REFINE_DOF = 5, 0.632
"""Planes round a guess, and how far they reach to each side in depths of field: 1 µm at 666 nm and NA 0.75."""
REFINE_SHOWN_MOST = 0.3
"""Largest part of a cell's light that may show as amplitude in its plane of least contrast."""
FIELD_TILES = 8
"""Tiles along a side of a field, for its uncertainty and for what is empty."""
TILE_POWER_LEAST = 0.1
"""Power of a field's tile, over that of its strongest one, from which it is scored."""
CELL_TILES = 3
"""Tiles along a side of a cell's window."""
INSET_MOST = 0.2
"""Most of a field's side that is left out at each border."""
WINDOW_DIAMETERS = 1.5
"""Side of the window that is scored round a cell, in diameters."""
CROP_DIAMETERS = 3.5
"""Side of the square that is propagated round a cell, in diameters."""
SMALLEST_CROP = 24
"""Least side of this square in samples."""


class Method(enum.StrEnum):
    """How planes are chosen."""

    PLANES = "planes"
    """All planes of the range (Jaferzadeh 2019)."""
    COARSE_TO_FINE = "coarse_to_fine"
    """11 over the range, then 9 round the best."""


class Abstention(enum.StrEnum):
    """Why there is no distance."""

    EMPTY = "empty"
    """Neither phase nor amplitude differ from the background: there is no specimen."""
    FLAT = "flat"
    """The amplitude's contrast has no clear minimum."""
    EDGE = "edge"
    """The least contrast is at an end of the range: the specimen lies beyond."""
    SATURATED = "saturated"
    """Round the cell the camera is at its greatest value, where fringes are cut off: lower the exposure."""
    UNSURE = "unsure"
    """The network expects a large error, and nothing checks it."""


@dataclass(frozen=True, slots=True)
class DistanceRange:
    """Distances that are searched, in the field's distance unit, object-side, from the recording plane.

    Parameters
    ----------
    low, high
        Ends of the range.
    planes
        Of the paper's search.

    Raises
    ------
    RangeError
        The range is empty, or has fewer than five planes.
    """

    low: float
    high: float
    planes: int = PLANES

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise RangeError(f"low {self.low}, high {self.high}: low must be below high, and both finite")
        if self.planes < FEWEST_PLANES:
            raise RangeError(f"planes {self.planes}: at least {FEWEST_PLANES} are needed for a minimum between them")

    @classmethod
    def around(cls, field: Field, dofs: float = HALF_RANGE_DOF, planes: int = PLANES) -> DistanceRange:
        """Return the range of so many depths of field on both sides of the recording plane."""
        return cls(-dofs * field.dof, dofs * field.dof, planes)


@dataclass(frozen=True, slots=True)
class DistanceSettings:
    """How a distance is searched.

    Parameters
    ----------
    method
        Which planes.
    least_phase_rad
        Root mean square deviation from the background, over a cell's window or a tile of the field, below which it is
        empty.
    least_dip
        How far the part of the light that shows as amplitude must fall at the minimum, against its median over the
        range; less is flat.
    interval_factor
        Half the width of the 90 % interval over the jackknife's standard error.
    floor_dof
        Least half width of the interval in depths of field.
    cells
        What counts as a cell: its diameter sets window and crop.
    """

    method: Method = Method.COARSE_TO_FINE
    least_phase_rad: float = 0.1
    least_dip: float = 0.25
    interval_factor: float = 2.0
    floor_dof: float = 0.03
    cells: CellSettings = field(default_factory=CellSettings)


@dataclass(frozen=True, slots=True)
class Distance:
    """The distance of a field or a cell.

    Parameters
    ----------
    z_min_contrast
        Plane of least amplitude contrast, from the recording plane, object-side, positive downstream; ``None`` where
        `reason` says why there is none.
    half_width
        Half of the 90 % interval; ``None`` with it.
    unit
        Of both.
    dip
        0: the contrast does not fall; 1: it vanishes at the minimum.
    phase_rad
        Root mean square deviation from the background: of the window, or of the field's strongest tile.
    reason
        Why there is no distance.
    planes
        How many were reconstructed.
    """

    z_min_contrast: float | None
    half_width: float | None
    unit: DistanceUnit
    dip: float
    phase_rad: float
    reason: Abstention | None
    planes: int

    @property
    def z_min_contrast_um(self) -> float | None:
        """`z_min_contrast` in µm; ``None`` where it is unknown, or the scale is."""
        return self.z_min_contrast if self.unit == "um" else None

    def z_um(self, contrast_offset_um: float) -> float | None:
        """Return the geometric mid-plane of the specimen in µm.

        Parameters
        ----------
        contrast_offset_um
            Plane of least contrast minus mid-plane of this kind of specimen, as in `CONTRAST_OFFSET_UM`.

        Returns
        -------
        ``None`` where the distance or the scale is unknown.
        """
        found = self.z_min_contrast_um
        return None if found is None else found - contrast_offset_um


def field_distance(
    field: Field,
    within: DistanceRange | None = None,
    settings: DistanceSettings = DistanceSettings(),
    arrays: ArrayBackend = SCIPY,
) -> Distance:
    """Search the distance of a whole field.

    Cells at several distances have one answer here, which may suit none of them: `cell_distances` gives each its own.

    Parameters
    ----------
    field
        Normalised.
    within
        Range; ``None`` for 12.5 depths of field on both sides of the recording plane.
    """
    within = within or DistanceRange.around(field)
    reach = field.optics.spread(max(abs(within.low - field.z), abs(within.high - field.z)), field.radius)
    borders = [min(round(reach / size), int(INSET_MOST * n)) for size, n in zip(field.pixel, field.shape, strict=True)]
    inner = field.shape[0] - 2 * borders[0], field.shape[1] - 2 * borders[1]
    window = Window((borders[0], borders[1]), inner, FIELD_TILES)
    smooth = tapered(field.values, *(max(2, border // 2) for border in borders))
    spectra = spectrum(smooth[None], arrays)
    return _search(spectra, field, within, window, settings, arrays)[0]


def cell_distances(
    field: Field,
    cells: Sequence[Cell],
    within: DistanceRange | None = None,
    settings: DistanceSettings = DistanceSettings(),
    arrays: ArrayBackend = SCIPY,
) -> list[Distance]:
    """Search the distance of each cell by itself, in small squares round them, all at once.

    Parameters
    ----------
    field
        Normalised.
    cells
        From `microscoped.models.hologram.cells.find_cells`.
    within
        Range; ``None`` for 12.5 depths of field on both sides of the recording plane.
    """
    if not cells:
        return []
    within = within or DistanceRange.around(field)
    spectra, window = _cell_spectra(field, cells, settings, arrays)
    return _search(spectra, field, within, window, settings, arrays)


def refined_distances(
    field: Field,
    cells: Sequence[Cell],
    guesses: NDArray[np.float32],
    settings: DistanceSettings = DistanceSettings(),
    arrays: ArrayBackend = SCIPY,
) -> list[Distance]:
    """Search the distance of each cell in five planes round a guess, 0.63 depths of field to each side.

    Parameters
    ----------
    field
        Normalised.
    cells
        From `microscoped.models.hologram.cells.find_cells`.
    guesses
        Where least contrast is expected, in the field's distance unit; shape (cells,).

    Returns
    -------
    `Abstention.EDGE` where the least contrast lies at an end of the five planes: the guess was wrong.
    `Abstention.FLAT` where too much of the light shows as amplitude for a plane of least contrast.
    """
    if not cells:
        return []
    spectra, window = _cell_spectra(field, cells, settings, arrays)
    count, step = len(cells), REFINE_DOF / (REFINE_PLANES // 2) * field.dof
    starts = (guesses - np.float32(REFINE_DOF * field.dof + field.z)).astype(np.float32)
    curves = scan(spectra, starts, step, REFINE_PLANES, field.pixel, field.optics, window, arrays)
    power = curves.power()
    seen = curves.variance() / np.maximum(power, 1e-12)
    best = np.argmin(seen, axis=0)
    shown = seen[best, np.arange(count)]
    offset, error = _vertices(curves, best)
    distances = starts + (best + offset) * step + field.z
    phase = np.sqrt(power.mean(axis=0))
    results = []
    for k in range(count):
        reason = None
        if phase[k] < settings.least_phase_rad:
            reason = Abstention.EMPTY
        elif best[k] in (0, REFINE_PLANES - 1):
            reason = Abstention.EDGE
        elif shown[k] > REFINE_SHOWN_MOST:
            reason = Abstention.FLAT
        half = max(settings.interval_factor * float(error[k]) * step, settings.floor_dof * field.dof)
        found = reason is None
        results.append(
            Distance(
                float(distances[k]) if found else None,
                half if found else None,
                field.optics.distance_unit,
                1.0 - float(shown[k]) / REFINE_SHOWN_MOST,
                float(phase[k]),
                reason,
                REFINE_PLANES,
            )
        )
    return results


def _cell_spectra(
    field: Field, cells: Sequence[Cell], settings: DistanceSettings, arrays: ArrayBackend
) -> tuple[Any, Window]:
    """Return the spectra of the squares round cells, and the part of the squares that is scored."""
    diameter = settings.cells.diameter_in(field)
    smaller = min(field.pixel)
    side = crop_side(field, settings.cells)
    scored = min(side - 8, max(2 * CELL_TILES, round(WINDOW_DIAMETERS * diameter / smaller)))
    first = side // 2 - scored // 2
    window = Window((first, first), (scored, scored), CELL_TILES)
    border = max(2, side // 10)
    return spectrum(tapered(crops(field, cells, side), border, border), arrays), window


def crop_side(field: Field, settings: CellSettings) -> int:
    """Return the side in samples of the square that is propagated round a cell: 64 for the paper's red cells."""
    return fast_even(max(SMALLEST_CROP, round(CROP_DIAMETERS * settings.diameter_in(field) / min(field.pixel))))


def _search(
    spectra: Any,  # noqa: ANN401 - an array of the library
    field: Field,
    within: DistanceRange,
    window: Window,
    settings: DistanceSettings,
    arrays: ArrayBackend,
) -> list[Distance]:
    count = int(spectra.shape[0])
    fine = settings.method is Method.COARSE_TO_FINE and within.planes > COARSE_PLANES + FINE_PLANES
    planes = COARSE_PLANES if fine else within.planes
    step = (within.high - within.low) / (planes - 1)
    starts = np.full(count, within.low - field.z, np.float32)
    curves = scan(spectra, starts, step, planes, field.pixel, field.optics, window, arrays)
    tile_power = curves.tile_power().mean(axis=0)
    whole = window.tiles == FIELD_TILES
    phase = np.sqrt(tile_power.max(axis=1) if whole else curves.power().mean(axis=0))
    # Of a field only those tiles count that hold specimen: elsewhere is noise, which has no distance.
    chosen = tile_power[0] >= TILE_POWER_LEAST * tile_power[0].max() if whole else np.ones(window.tiles**2, bool)
    curves = curves.of_tiles(chosen)
    seen = curves.variance() / np.maximum(curves.power(), 1e-12)
    best = np.argmin(seen, axis=0)
    least = seen[best, np.arange(count)]
    usual = np.median(seen, axis=0)
    if fine:
        # One fine step beyond the half way to the neighbours, so that a minimum there has its own neighbours.
        fine_step = step / (FINE_PLANES - 3)
        starts = (starts + best * step - fine_step * (FINE_PLANES // 2)).astype(np.float32)
        at_end = (best == 0) | (best == planes - 1)
        step, planes = fine_step, FINE_PLANES
        curves = scan(spectra, starts, step, planes, field.pixel, field.optics, window, arrays).of_tiles(chosen)
        seen = curves.variance() / np.maximum(curves.power(), 1e-12)
        best = np.argmin(seen, axis=0)
        least = np.minimum(least, seen[best, np.arange(count)])
    else:
        at_end = np.zeros(count, bool)
    offset, error = _vertices(curves, best)
    distances = starts + (best + offset) * step + field.z
    ends = (best == 0) | (best == planes - 1)
    beyond = (distances < within.low) | (distances > within.high) | (ends & (at_end | (not fine)))
    dips = 1.0 - least / np.maximum(usual, 1e-12)
    used = COARSE_PLANES + FINE_PLANES if fine else planes
    unit = field.optics.distance_unit
    results = []
    for k in range(count):
        reason = None
        if phase[k] < settings.least_phase_rad:
            reason = Abstention.EMPTY
        elif dips[k] < settings.least_dip:
            reason = Abstention.FLAT
        elif beyond[k]:
            reason = Abstention.EDGE
        half = max(settings.interval_factor * float(error[k]) * step, settings.floor_dof * field.dof)
        found = reason is None
        results.append(
            Distance(
                float(distances[k]) if found else None,
                half if found else None,
                unit,
                float(dips[k]),
                float(phase[k]),
                reason,
                used,
            )
        )
    return results


def _vertices(curves: Curves, best: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the parabola through three planes is least, in steps from the middle one, and its standard error.

    The error is the jackknife's over tiles: how much the answer changes when parts of the window are left out.
    """
    planes, fields = curves.deviation.shape[:2]
    middle = np.clip(best, 1, planes - 2)
    index = middle[None, :] + np.array([-1, 0, 1])[:, None], np.arange(fields)[None, :]
    offset = _vertex(curves.variance()[index]) + (middle - best)
    left_out = _vertex(curves.variance_without()[index])
    tiles = left_out.shape[1]
    spread = left_out - left_out.mean(axis=1, keepdims=True)
    return offset, np.sqrt((tiles - 1) / tiles * np.square(spread).sum(axis=1))


def _vertex(three: NDArray[np.float64]) -> NDArray[np.float64]:
    below, here, above = three
    bend = below - 2.0 * here + above
    bend = np.where(bend > 1e-15, bend, np.inf)
    return np.asarray(np.clip(0.5 * (below - above) / bend, -1.0, 1.0), np.float64)


__all__ = [
    "CONTRAST_OFFSET_UM",
    "HALF_RANGE_DOF",
    "PLANES",
    "Abstention",
    "Distance",
    "DistanceRange",
    "DistanceSettings",
    "Method",
    "cell_distances",
    "crop_side",
    "field_distance",
    "refined_distances",
]
