"""One picture of a measured hologram: as recorded, in focus at one distance, each cell at its own, and how deep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

GREY = ("000000", "ffffff")
VIRIDIS = ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")
PLASMA = ("0d0887", "4c02a1", "7e03a8", "aa2395", "cc4778", "e66c5c", "f89540", "fdc527", "f0f921")
"""Colours that grow brighter evenly (S. van der Walt, N. Smith, matplotlib), every eighth."""
NOTHING = (38, 38, 38)
PAPER, INK, FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
PANEL = 520
"""Longer side of a panel in pixels of the picture."""
GAP = 18
HEAD, FOOT = 58, 12
NARROWEST = 400
"""Room for a panel's title, however narrow the panel."""
TITLE = 24
BAR, SCALE = 14, 44
"""Widths of a colour bar, and of the figures beside it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A ring round a cell, with its number.

    Parameters
    ----------
    row, column
        Its centre in samples of the panel's values.
    radius
        In samples along rows and columns.
    label
        Beside it.
    """

    row: float
    column: float
    radius: tuple[float, float]
    label: str


@dataclass(frozen=True, eq=False)
class Panel:
    """Values in colour.

    Parameters
    ----------
    title
        Above it.
    values
        Shape (rows, columns), the same for all panels of a picture; NaN is nothing.
    limits
        Values of the first and the last colour.
    colours
        First to last, as six hexadecimal digits each.
    marks
        Round cells.
    scale_bar
        Whether it has one.
    """

    title: str
    values: NDArray[np.float32]
    limits: tuple[float, float]
    colours: tuple[str, ...] = VIRIDIS
    marks: tuple[Mark, ...] = ()
    scale_bar: bool = False


def draw(
    panels: Sequence[Panel], pixel: tuple[float, float], length_unit: str, title: str, subtitle: str
) -> Image.Image:
    """Draw panels two abreast.

    Parameters
    ----------
    panels
        At least one.
    pixel
        Size of a sample along rows and columns, in ``length_unit``.
    length_unit
        For the scale bars. All words are ASCII: Pillow's own font has no other signs.
    title, subtitle
        Above all.
    """
    rows, columns = panels[0].values.shape
    height, width = rows * pixel[0], columns * pixel[1]
    zoom = PANEL / max(height, width)
    size = max(60, round(width * zoom)), max(60, round(height * zoom))
    wide, high = max(size[0] + BAR + SCALE, NARROWEST) + GAP, size[1] + TITLE + GAP
    across = min(2, len(panels))
    picture = Image.new("RGB", (GAP + across * wide, HEAD + math.ceil(len(panels) / across) * high + FOOT), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((GAP, 10), title, INK, font=_font(19))
    pen.text((GAP, 34), subtitle, FAINT, font=_font(14))
    for index, panel in enumerate(panels):
        place = GAP + index % across * wide, HEAD + index // across * high + TITLE
        pen.text((place[0], place[1] - TITLE + 3), panel.title, INK, font=_font(15))
        image = _coloured(panel, size)
        for mark in panel.marks:
            _ring(image, mark, (size[1] / rows, size[0] / columns))
        if panel.scale_bar:
            _scale_bar(ImageDraw.Draw(image), size, width, length_unit)
        picture.paste(image, place)
        _bar(picture, panel, place, size)
    return picture


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG."""
    picture.save(path, "PNG")


def limits_of(values: NDArray[np.float32], least_span: float) -> tuple[float, float]:
    """Return limits that all but a few values lie within, at least so far apart.

    Parameters
    ----------
    values
        NaN is left out.
    least_span
        Noise alone is not stretched further than to this.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, least_span
    low, high = (float(value) for value in np.percentile(known, (0.5, 99.8)))
    missing = least_span - (high - low)
    return (low - missing / 2, high + missing / 2) if missing > 0 else (low, high)


def colour(values: NDArray[np.float32], limits: tuple[float, float], colours: Sequence[str]) -> NDArray[np.uint8]:
    """Return values as colours, shape (rows, columns, 3); what is no number is dark grey."""
    low, high = limits
    table = np.array([[int(word[k : k + 2], 16) for k in (0, 2, 4)] for word in colours], float)
    position = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12), 0, 1) * (len(table) - 1)
    channels = [np.interp(position, np.arange(len(table)), table[:, channel]) for channel in range(3)]
    painted: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    painted[~np.isfinite(values)] = NOTHING
    return painted


def _coloured(panel: Panel, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(colour(panel.values, panel.limits, panel.colours))
    # Places without a value have sharp borders: interpolation would invent colours there.
    smooth = bool(np.isfinite(panel.values).all())
    return image.resize(size, Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST)


def _bar(picture: Image.Image, panel: Panel, place: tuple[int, int], size: tuple[int, int]) -> None:
    low, high = panel.limits
    ramp = np.linspace(high, low, size[1], dtype=np.float32)[:, None]
    strip = Image.fromarray(np.repeat(colour(ramp, panel.limits, panel.colours), BAR, axis=1))
    left = place[0] + size[0] + 6
    picture.paste(strip, (left, place[1]))
    pen = ImageDraw.Draw(picture)
    digits = max(0, 1 - math.floor(math.log10(max(high - low, 1e-9))))
    for value, anchor, y in ((high, "la", 0), ((low + high) / 2, "lm", size[1] // 2), (low, "ls", size[1])):
        pen.text((left + BAR + 5, place[1] + y), f"{value:.{digits}f}", INK, font=_font(13), anchor=anchor)


def _ring(image: Image.Image, mark: Mark, zoom: tuple[float, float]) -> None:
    pen = ImageDraw.Draw(image)
    y, x = (mark.row + 0.5) * zoom[0], (mark.column + 0.5) * zoom[1]
    high, wide = mark.radius[0] * zoom[0], mark.radius[1] * zoom[1]
    pen.ellipse((x - wide, y - high, x + wide, y + high), outline=(255, 255, 255), width=1)
    where = min(x + 0.72 * wide, image.width - 9 * len(mark.label)), max(y - 0.72 * high, 15)
    pen.text(where, mark.label, (255, 255, 255), font=_font(13), anchor="ls", stroke_width=2, stroke_fill=INK)


def _scale_bar(pen: ImageDraw.ImageDraw, size: tuple[int, int], width: float, unit: str) -> None:
    length = round_length(width / 4)
    long = length / width * size[0]
    right, bottom = size[0] - 12, size[1] - 12
    pen.rectangle((right - long, bottom - 5, right, bottom), fill=(255, 255, 255), outline=INK)
    pen.text(
        (right - long / 2, bottom - 9),
        f"{length:g} {unit}",
        (255, 255, 255),
        font=_font(14),
        anchor="ms",
        stroke_width=2,
        stroke_fill=INK,
    )


def round_length(most: float) -> float:
    """Return the greatest of 1, 2, 5, 10, 20 … (or 0.5, 0.2 …) that is not above a length."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


__all__ = ["GREY", "PLASMA", "VIRIDIS", "Mark", "Panel", "colour", "draw", "limits_of", "round_length", "save_picture"]
