"""Reading heat maps: where the discs are, and how high.

Local maxima are looked for among few candidates: pixels above a threshold that are greater than their four neighbours,
each then compared with all pixels of its disc. Of equal pixels the first in reading order counts, so that a plateau is
one maximum. The height is the median over the disc, not the maximum: at a disc's edge a map overshoots or falls off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage, spatial

from microscoped.models.cells.errors import MapError, SettingsError
from microscoped.models.cells.heatmaps import DISC_RADIUS_UM, disc_offsets, radius_px
from microscoped.models.cells.measures import CellTable
from microscoped.models.cells.quantities import TYPICAL, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CHUNK: Final = 1 << 14
"""Candidates compared with their discs at once: bounds memory."""
LEAST_SMOOTHING_PX: Final = 0.8
"""Of discs: those of three pixels across are ragged."""
LEAST_APART_PX: Final = 1.5
CROWDED: Final = 1 / 30
"""Share of pixels that are candidates from which a maximum filter is cheaper than comparing each with its disc."""


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How heat maps are read.

    Parameters
    ----------
    radius_um
        Of the discs.
    read_um
        Radius over which a height is the median. Less than the disc's: a network's discs are soft, and half of the
        pixels of a disc of 10 µm are edge.
    least
        Height from which a disc is a cell's, over that of a typical cell, or over 1 on a map of cones.
    enough
        Discs are cut to this height, on the same scale, before maxima are looked for: a high disc would else hide a
        lower one that it touches.
    smoothing, cone_smoothing
        Width of the Gaussian before maxima are looked for, over the radius; of discs, and of cones.
    apart
        Distance below which two maxima are one cell, over the radius.

    Raises
    ------
    SettingsError
        One is not positive, or heights are read over more than the disc.
    """

    radius_um: float = DISC_RADIUS_UM
    read_um: float = 3.0
    least: float = 0.25
    enough: float = 0.5
    smoothing: float = 1 / 3
    cone_smoothing: float = 1 / 6
    apart: float = 0.8

    def __post_init__(self) -> None:
        for name in ("radius_um", "read_um", "least", "enough", "smoothing", "cone_smoothing", "apart"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{name} {value}: must be a positive number")
        if self.read_um > self.radius_um:
            raise SettingsError(f"read_um {self.read_um}: must not be above radius_um, {self.radius_um}")
        if self.enough < self.least:
            raise SettingsError(f"enough {self.enough}: must not be below least, {self.least}")


def read_table(
    maps: Mapping[Quantity, NDArray[np.floating]],
    pixel_um: float,
    *,
    cones: NDArray[np.floating] | None = None,
    half_widths: Mapping[Quantity, NDArray[np.floating]] | None = None,
    settings: ReadingSettings = ReadingSettings(),
) -> CellTable:
    """Read the cells of a field.

    Parameters
    ----------
    maps
        Heat map of each quantity in its own unit, shape (rows, columns).
    pixel_um
        Size of their pixels.
    cones
        See `microscoped.models.cells.heatmaps.centre_map`. Without it cells are found on the mean of the maps, each
        over its typical value.
    half_widths
        Half of the 90 % interval of each quantity, drawn as discs as well.
    settings
        How they are read.

    Returns
    -------
    One row for each cell, in reading order of their pixels; empty where there is none.

    Raises
    ------
    MapError
        There is no map, maps differ in shape, or have values that are not finite.
    ScaleError
        A disc would be smaller than a pixel.
    """
    widths = dict(half_widths or {})
    given = [np.asarray(one, np.float32) for one in (*maps.values(), *widths.values())]
    if not maps:
        raise MapError("maps: none; give the heat map of one quantity at least")
    shape = _check(given if cones is None else [*given, np.asarray(cones)])
    if cones is not None:
        places = find_places(cones, pixel_um, settings, cones=True)
    else:
        seen = np.zeros(shape, np.float32)
        for quantity, one in zip(maps, given, strict=False):
            seen += one * np.float32(1.0 / TYPICAL[quantity] / len(maps))
        places = find_places(seen, pixel_um, settings)
    heights = disc_medians(given, places, settings.read_um / pixel_um)
    names = [quantity.value for quantity in maps] + [f"{quantity.value}_half_width" for quantity in widths]
    columns = {name: heights[:, k] for k, name in enumerate(names)}
    return CellTable.of_columns(places, columns, shape, pixel_um)


def find_places(
    heights: NDArray[np.floating],
    pixel_um: float,
    settings: ReadingSettings = ReadingSettings(),
    *,
    cones: bool = False,
) -> NDArray[np.float64]:
    """Find discs, or cones.

    Parameters
    ----------
    heights
        Heat map, shape (rows, columns), over the height of a typical disc.
    pixel_um
        Size of its pixels.
    settings
        How it is read.
    cones
        Whether it is a map of cones.

    Returns
    -------
    Centres (row, column) in pixels, shape (cells, 2), in reading order of their maxima: centroid of each disc, in which
    a pixel counts for the nearest centre only.
    """
    radius = radius_px(pixel_um, settings.radius_um)
    values = np.asarray(heights, np.float32)
    if cones:
        width = settings.cone_smoothing * radius
    else:
        width = max(LEAST_SMOOTHING_PX, settings.smoothing * radius)
        values = np.minimum(values, np.float32(settings.enough))
    peaks = local_maxima(
        _smoothed(values, width, settings.least), max(LEAST_APART_PX, settings.apart * radius), settings.least
    )
    return _centroids(values, peaks, radius)


def local_maxima(heights: NDArray[np.floating], radius: float, least: float) -> NDArray[np.int64]:
    """Find the pixels that are the greatest within a radius.

    Parameters
    ----------
    heights
        Shape (rows, columns), finite.
    radius
        In pixels, at least 1.
    least
        Smallest height of a maximum.

    Returns
    -------
    Shape (maxima, 2), in reading order. Of equal pixels the first is the greater, so no two lie within the radius of
    each other; a pixel at the border is compared with those that exist.
    """
    padded = np.pad(np.asarray(heights, np.float32), int(radius), constant_values=-np.inf)
    reach = int(radius)
    inner = padded[reach:-reach, reach:-reach]
    rows, columns = inner.shape
    kept = inner >= least
    if kept.any():
        for down, across in ((-1, 0), (0, -1)):
            kept &= inner > _moved(padded, reach, down, across, rows, columns)
        for down, across in ((0, 1), (1, 0)):
            kept &= inner >= _moved(padded, reach, down, across, rows, columns)
    candidates = np.flatnonzero(kept)
    if candidates.size > CROWDED * inner.size:
        # The greatest of the disc is the greatest of the square in it, too.
        side = 2 * int(radius / math.sqrt(2.0)) + 1
        greatest = ndimage.maximum_filter(inner, side, mode="constant", cval=-np.inf)
        candidates = np.flatnonzero(kept & (inner == greatest))
    stride = columns + 2 * reach
    places = np.stack(np.divmod(candidates, columns), axis=1)
    flat = (places[:, 0] + reach) * stride + places[:, 1] + reach
    steps = disc_offsets(radius) @ np.array([stride, 1])
    steps = steps[steps != 0]
    before, after = steps[steps < 0], steps[steps > 0]
    values = padded.ravel()
    greatest_of = [
        (values[part, None] > values[part[:, None] + before]).all(1)
        & (values[part, None] >= values[part[:, None] + after]).all(1)
        for part in np.split(flat, range(CHUNK, len(flat), CHUNK))
    ]
    return np.asarray(places[np.concatenate(greatest_of)])


def disc_medians(maps: list[NDArray[np.float32]], places_px: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the median of each map over each disc.

    Parameters
    ----------
    maps
        Each of shape (rows, columns).
    places_px
        Centres (row, column), shape (cells, 2), in the frame.
    radius
        Of the discs in pixels. A pixel counts where its middle lies within, in the frame, and is nearest to this
        centre; the nearest pixel always counts.

    Returns
    -------
    Shape (cells, maps).
    """
    if not len(places_px) or not len(maps):
        return np.empty((len(places_px), len(maps)))
    rows, columns, inside = _discs(places_px, maps[0].shape, radius)
    count = inside.sum(axis=1)
    flat = rows * maps[0].shape[1] + columns
    values = np.stack([one.ravel()[flat] for one in maps])
    values[:, ~inside] = np.inf
    values.sort(axis=2)
    cells = np.arange(len(places_px))
    lower, upper = (values[:, cells, rank].astype(np.float64) for rank in ((count - 1) // 2, count // 2))
    return np.asarray((0.5 * (lower + upper)).T)


def _check(maps: list[NDArray[np.float32]]) -> tuple[int, int]:
    shapes = {one.shape for one in maps}
    if len(shapes) != 1 or len(maps[0].shape) != 2 or not maps[0].size:
        raise MapError(f"maps: shapes {sorted(shapes)}; all must have the one shape (rows, columns) of the frame")
    if not all(np.isfinite(one).all() for one in maps):
        raise MapError("maps: values that are not finite; the network or its input is damaged")
    return maps[0].shape[0], maps[0].shape[1]


def _moved(
    padded: NDArray[np.float32], reach: int, down: int, across: int, rows: int, columns: int
) -> NDArray[np.float32]:
    return padded[reach + down : reach + down + rows, reach + across : reach + across + columns]


def _smoothed(heights: NDArray[np.float32], width: float, least: float) -> NDArray[np.float32]:
    """Return heights smoothed by a Gaussian where they are at least something, and minus infinity elsewhere.

    Discs are a few hundredths of the pixels: the others need no filter.
    """
    steps = disc_offsets(max(1.0, 2.5 * width))
    weights = np.exp(-0.5 * (steps**2).sum(axis=1) / width**2).astype(np.float32)
    weights /= weights.sum()
    reach = int(np.abs(steps).max())
    padded = np.pad(heights, reach, mode="edge")
    stride = padded.shape[1]
    moves = steps @ np.array([stride, 1])
    smooth = np.full(heights.shape, -np.inf, np.float32)
    found = np.flatnonzero(heights >= least)
    rows, columns = np.divmod(found, heights.shape[1])
    flat, values = (rows + reach) * stride + columns + reach, padded.ravel()
    for start in range(0, len(found), CHUNK):
        part = slice(start, start + CHUNK)
        smooth.flat[found[part]] = values[flat[part, None] + moves] @ weights
    return smooth


def _centroids(heights: NDArray[np.float32], peaks: NDArray[np.int64], radius: float) -> NDArray[np.float64]:
    places = peaks.astype(np.float64)
    if not len(peaks):
        return places
    # Once more round the first result, so that it does not hang on which pixel was the greatest.
    for _ in range(2):
        rows, columns, inside = _discs(places, heights.shape, 1.3 * radius)
        weights = np.maximum(heights[rows, columns], 0.0).astype(np.float64)
        weights[~inside] = 0.0
        total = weights.sum(axis=1)
        places = np.stack([(weights * rows).sum(axis=1) / total, (weights * columns).sum(axis=1) / total], axis=1)
    return places


def _discs(
    places: NDArray[np.float64], shape: tuple[int, ...], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the pixels of discs: rows, columns, whether they count; those that do not are moved into the frame."""
    nearest = np.rint(places).astype(np.int64)
    steps = disc_offsets(radius + 1.0)
    middle = len(steps) // 2
    rows, columns = nearest[:, :1] + steps[:, 0], nearest[:, 1:] + steps[:, 1]
    down, across = rows - places[:, :1], columns - places[:, 1:]
    inside = np.hypot(down, across) <= radius
    pairs = spatial.cKDTree(places).query_pairs(2.0 * (radius + 1.0), output_type="ndarray")
    if len(pairs):
        one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
        apart = places[other] - places[one]
        # Nearer to this centre than to the other: before the line midway between them.
        along = down[one] * apart[:, :1] + across[one] * apart[:, 1:]
        beyond, pixel = np.nonzero(along > 0.5 * (apart**2).sum(axis=1)[:, None])
        inside[one[beyond], pixel] = False
    inside[:, middle] = True
    inside &= (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    outside = ~inside
    rows[outside] = np.repeat(np.clip(nearest[:, 0], 0, shape[0] - 1), outside.sum(axis=1))
    columns[outside] = np.repeat(np.clip(nearest[:, 1], 0, shape[1] - 1), outside.sum(axis=1))
    return rows, columns, inside


__all__ = ["ReadingSettings", "disc_medians", "find_places", "local_maxima", "read_table"]
