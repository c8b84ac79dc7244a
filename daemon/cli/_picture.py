"""A small picture of a frame, in a terminal's characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from rich.console import Console, ConsoleOptions, RenderResult

HALF_BLOCK = "▀"
RAMP = " .:-=+*#%@"
"""Dark to bright, for terminals without colours or without the half block."""
PIXELS_PER_POINT = 5
"""Camera pixels along each side of a point: a finer view than the whole frame, in which focus shows."""
CUT = (0.5, 99.5)
"""Percentiles that become black and white."""


def grey_range(pictures: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Return the grey levels that become black and white: the same for all pictures that are compared."""
    levels = [np.percentile(picture, CUT) for picture in pictures]
    low, high = min(level[0] for level in levels), max(level[1] for level in levels)
    return float(low), float(max(high, low + 1))


def shrink(pixels: NDArray[Any], points: tuple[int, int], grey: tuple[float, float]) -> NDArray[np.uint8]:
    """Average the middle of a frame to so many points.

    Parameters
    ----------
    pixels
        Shape (height, width) or (height, width, 3).
    points
        Rows and columns of the result; fewer where the frame is smaller.
    grey
        See `grey_range`.

    Returns
    -------
    Shape (rows, columns, 3), 0 to 255.
    """
    height, width = pixels.shape[:2]
    rows, columns = min(points[0], height), min(points[1], width)
    block = max(1, min(height // rows, width // columns, PIXELS_PER_POINT))
    top, left = (height - rows * block) // 2, (width - columns * block) // 2
    middle = pixels[top : top + rows * block, left : left + columns * block].astype(float)
    colours = middle.reshape(rows, block, columns, block, -1).mean(axis=(1, 3))
    low, high = grey
    scaled = np.clip((colours - low) / (high - low), 0, 1) * 255
    return np.broadcast_to(np.rint(scaled), (rows, columns, 3)).astype(np.uint8)


class Picture:
    """A picture of half blocks, two points a character; of plain letters where the terminal has no more.

    Parameters
    ----------
    points
        Shape (rows, columns, 3), see `shrink`; rows are even.
    """

    def __init__(self, points: NDArray[np.uint8]) -> None:
        self._points = points

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for rich."""
        plain = options.ascii_only or console.color_system is None
        for upper, lower in zip(self._points[0::2], self._points[1::2], strict=False):
            if plain:
                levels = (upper.mean(axis=1) + lower.mean(axis=1)) / 2 / 256
                yield Segment("".join(RAMP[int(level * len(RAMP))] for level in levels))
            else:
                yield from (Segment(HALF_BLOCK, _style(*pair)) for pair in zip(upper, lower, strict=True))
            yield Segment.line()


def _style(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> Style:
    return Style(color=Color.from_rgb(*map(int, upper)), bgcolor=Color.from_rgb(*map(int, lower)))


__all__ = ["Picture", "grey_range", "shrink"]
