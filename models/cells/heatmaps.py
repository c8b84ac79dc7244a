"""Heat maps: every cell a disc whose height is the cell's quantity (Allier 2022, §2.3).

A network that turns an image into such maps measures all cells at once; `microscoped.models.cells.reading` reads them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np

from microscoped.models.cells.errors import MapError, ScaleError
from microscoped.models.cells.quantities import require_pixel_um

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

DISC_RADIUS_UM: Final = 5.0
"""Half of the 10 µm of the paper, 6 pixels of 1.67 µm."""


def disc_maps(
    places_px: ArrayLike,
    values: ArrayLike,
    shape: tuple[int, int],
    pixel_um: float,
    radius_um: float = DISC_RADIUS_UM,
) -> NDArray[np.float32]:
    """Draw cells as discs.

    A pixel whose middle lies in several discs belongs to the cell whose centre is nearest, so that discs which overlap
    neither add up nor hide each other; of cells equally near, to the first.

    Parameters
    ----------
    places_px
        Centres (row, column), shape (cells, 2); 0 is the middle of the first pixel. They may lie beyond the frame.
    values
        Heights, shape (cells, maps).
    shape
        Of the frame.
    pixel_um
        Size of its pixels.
    radius_um
        Of the discs.

    Returns
    -------
    Shape (maps, rows, columns); 0 where there is no cell.

    Raises
    ------
    MapError
        Places and values do not fit each other, or are not finite.
    ScaleError
        A disc would be smaller than a pixel.
    """
    places = np.asarray(places_px, np.float64).reshape(-1, 2)
    heights = np.asarray(values, np.float32)
    if heights.ndim != 2 or len(heights) != len(places):
        raise MapError(f"values: shape {heights.shape}, but there are {len(places)} places; give (cells, maps)")
    _check(places, heights)
    flat, cell, _ = _owned(places, shape, radius_px(pixel_um, radius_um))
    drawn = np.zeros((heights.shape[1], *shape), np.float32)
    for one, column in zip(drawn, heights.T, strict=True):
        one.flat[flat] = column[cell]
    return drawn


def centre_map(
    places_px: ArrayLike, shape: tuple[int, int], pixel_um: float, radius_um: float = DISC_RADIUS_UM
) -> NDArray[np.float32]:
    """Draw cells as cones: 1 at a centre, 0 at its disc's edge.

    Discs of equal height that overlap are one plateau, and a quantity may be small; cones keep a maximum for each cell.
    Parameters as of `disc_maps`.

    Returns
    -------
    Shape (rows, columns).
    """
    places = np.asarray(places_px, np.float64).reshape(-1, 2)
    _check(places, np.zeros((len(places), 1), np.float32))
    radius = radius_px(pixel_um, radius_um)
    flat, _, distance = _owned(places, shape, radius)
    drawn = np.zeros(shape, np.float32)
    drawn.flat[flat] = 1.0 - distance / radius
    return drawn


def radius_px(pixel_um: float, radius_um: float = DISC_RADIUS_UM) -> float:
    """Return a disc's radius in pixels.

    Raises
    ------
    ScaleError
        It is below one pixel.
    """
    radius = radius_um / require_pixel_um(pixel_um)
    if not radius >= 1.0:
        raise ScaleError(
            f"pixel_um {pixel_um}: a disc of radius {radius_um} µm is smaller than a pixel; "
            f"use images of {radius_um:g} µm per pixel or finer"
        )
    return radius


@functools.lru_cache(maxsize=32)
def disc_offsets(radius: float) -> NDArray[np.int64]:
    """Return the steps from a pixel to those within a radius in pixels, in reading order, shape (pixels, 2).

    Read-only; the one in the middle is the pixel itself.
    """
    reach = int(radius)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = rows**2 + columns**2 <= radius**2
    steps = np.stack([rows[inside], columns[inside]], axis=1).astype(np.int64)
    steps.flags.writeable = False
    return steps


def _check(places: NDArray[np.float64], heights: NDArray[np.float32]) -> None:
    if not (np.isfinite(places).all() and np.isfinite(heights).all()):
        raise MapError("places_px, values: not finite; leave cells out that have no value")


def _owned(
    places: NDArray[np.float64], shape: tuple[int, int], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the pixels of discs as flat indices, the cell each belongs to, and its distance in pixels."""
    pixels = np.rint(places).astype(np.int64)[:, None, :] + disc_offsets(radius + 1.0)[None]
    around = pixels - places[:, None, :]
    away = np.hypot(around[..., 0], around[..., 1])
    rows, columns = pixels[..., 0], pixels[..., 1]
    inside = (away <= radius) & (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    cell = np.nonzero(inside)[0]
    flat, near = rows[inside] * shape[1] + columns[inside], away[inside]
    order = np.lexsort((cell, near, flat))
    flat, cell, near = flat[order], cell[order], near[order]
    first = np.ones(len(flat), bool)
    first[1:] = flat[1:] != flat[:-1]
    return flat[first], cell[first], near[first]


__all__ = ["DISC_RADIUS_UM", "centre_map", "disc_maps", "disc_offsets", "radius_px"]
