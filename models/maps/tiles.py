"""Frames of any size through a network of bounded memory: tiles with a halo, put together again before they are read.

Each pixel of the whole map comes from one tile, and cells are looked for on the whole: none can be counted twice or
lost at a seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.maps.errors import TilesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TileSettings:
    """How a frame is cut.

    Parameters
    ----------
    side_px
        Largest side of a tile, halo included.
    halo_px
        Width of the rim whose results are not used: at least how far the network looks.
    multiple
        Sides and places of tiles are multiples of this, that of the network's coarsest level: so its levels fall on the
        same pixels in every tile.
    stride
        Pixels of the frame on a pixel of the network's map.

    Raises
    ------
    TilesError
        They do not fit each other. The message says how.
    """

    side_px: int = 1024
    halo_px: int = 32
    multiple: int = 8
    stride: int = 1

    def __post_init__(self) -> None:
        for name, least in (("side_px", 1), ("halo_px", 0), ("multiple", 1), ("stride", 1)):
            if getattr(self, name) < least:
                raise TilesError(f"{name} {getattr(self, name)}: must be {least} at least")
        for name in ("side_px", "halo_px"):
            if getattr(self, name) % self.multiple:
                raise TilesError(f"{name} {getattr(self, name)}: must be a multiple of multiple, {self.multiple}")
        if self.multiple % self.stride:
            raise TilesError(f"multiple {self.multiple}: must be a multiple of stride, {self.stride}")
        if self.side_px <= 2 * self.halo_px:
            raise TilesError(f"side_px {self.side_px}: nothing is left between two halos of {self.halo_px}")


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile.

    Parameters
    ----------
    window
        Rows and columns that the network sees, of the frame after padding.
    core
        Those of them whose results are used.
    """

    window: tuple[slice, slice]
    core: tuple[slice, slice]


def padded_shape(shape: tuple[int, int], settings: TileSettings) -> tuple[int, int]:
    """Return the shape of the frame after padding: both sides multiples of ``settings.multiple``."""
    rows, columns = (-(-side // settings.multiple) * settings.multiple for side in shape)
    return rows, columns


def plan_tiles(shape: tuple[int, int], settings: TileSettings = TileSettings()) -> list[Tile]:
    """Cut a frame into tiles.

    Parameters
    ----------
    shape
        Of the frame (rows, columns).
    settings
        How it is cut.

    Returns
    -------
    In reading order, all of one shape, so that a network is compiled once for a frame. The last of a row or column is
    moved inwards instead of being padded: at the frame's border a tile ends where the frame ends. Their cores cover the
    padded frame, each pixel once.

    Raises
    ------
    TilesError
        The frame has no pixels.
    """
    if min(shape) < 1:
        raise TilesError(f"frame: shape {shape} has no pixels")
    rows, columns = (list(_spans(side, settings)) for side in padded_shape(shape, settings))
    return [
        Tile((down_window, across_window), (down_core, across_core))
        for down_window, down_core in rows
        for across_window, across_core in columns
    ]


def run_tiled(
    frame: NDArray[np.floating],
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    settings: TileSettings = TileSettings(),
) -> NDArray[np.float32]:
    """Run a network over a frame.

    Parameters
    ----------
    frame
        Shape (rows, columns). Mirrored at its end where its sides are no multiples of ``settings.multiple``.
    network
        Turns a tile of shape (height, width) into maps of shape (maps, height / stride, width / stride). Called once
        for each tile, in reading order.
    settings
        How the frame is cut.

    Returns
    -------
    Shape (maps, ⌈rows / stride⌉, ⌈columns / stride⌉). Where the network looks no farther than the halo, what it would
    make of the whole frame at once.

    Raises
    ------
    TilesError
        The frame has no two sides, or the network's maps have another shape.
    """
    if frame.ndim != 2:
        raise TilesError(f"frame: shape {frame.shape}; must be (rows, columns)")
    shape, stride = (frame.shape[0], frame.shape[1]), settings.stride
    tiles = plan_tiles(shape, settings)
    rows, columns = padded_shape(shape, settings)
    padded = np.asarray(frame, np.float32)
    if (rows, columns) != shape:
        padded = np.pad(padded, ((0, rows - shape[0]), (0, columns - shape[1])), mode="symmetric")
    whole: NDArray[np.float32] | None = None
    for tile in tiles:
        seen = np.ascontiguousarray(padded[tile.window])
        maps = network(seen)
        if maps.ndim != 3 or maps.shape[1:] != (seen.shape[0] // stride, seen.shape[1] // stride):
            raise TilesError(
                f"network: maps of shape {maps.shape} for a tile of {seen.shape}; "
                f"must be (maps, {seen.shape[0] // stride}, {seen.shape[1] // stride}) at stride {stride}"
            )
        if len(tiles) == 1:
            whole = maps
            break
        if whole is None:
            whole = np.empty((len(maps), rows // stride, columns // stride), np.float32)
        inner = tuple(
            slice((core.start - window.start) // stride, (core.stop - window.start) // stride)
            for core, window in zip(tile.core, tile.window, strict=True)
        )
        outer = tuple(slice(core.start // stride, core.stop // stride) for core in tile.core)
        whole[(slice(None), *outer)] = maps[(slice(None), *inner)]
    assert whole is not None  # noqa: S101 - a frame has one tile at least
    return whole[:, : -(-shape[0] // stride), : -(-shape[1] // stride)]


def _spans(side: int, settings: TileSettings) -> Iterator[tuple[slice, slice]]:
    """Yield windows and cores along one side, a multiple of ``settings.multiple``."""
    width, halo = settings.side_px, settings.halo_px
    if side <= width:
        yield slice(0, side), slice(0, side)
        return
    step = width - 2 * halo
    starts = [*range(0, side - width, step), side - width]
    ends = [0, *(start + width - halo for start in starts[:-1]), side]
    for start, (first, last) in zip(starts, pairwise(ends), strict=True):
        yield slice(start, start + width), slice(first, last)


__all__ = ["Tile", "TileSettings", "padded_shape", "plan_tiles", "run_tiled"]
