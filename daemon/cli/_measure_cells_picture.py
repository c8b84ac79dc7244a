"""A picture of measured cells: the field with each cell outlined in the colour of its mass, and distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.measure import find_contours

from microscoped.daemon.cli._measure_picture import GREY, colour, limits_of, round_length
from microscoped.models.cells import Quantity
from microscoped.models.cells.baselines import grow_regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.cells import CellTable
    from microscoped.models.cells.engine import MeasuredCells

MASSES: Final = ("3b7ddd", "22b8cf", "40c057", "fab005", "fd7e14", "f03e3e")
"""Colours of light to heavy cells; each is seen on grey."""
BORDER: Final = (150, 150, 150)
"""Of cells that the border cuts."""
PAPER, INK, FAINT, BARS = (255, 255, 255), (20, 20, 20), (110, 110, 110), (173, 181, 189)
FIELD: Final = 1100
"""Longer side of the field in pixels of the picture."""
MOST_ZOOM: Final = 4.0
FINER: Final = 2
"""Lines are drawn so many times finer, and averaged."""
MARGIN, HEAD, SIDE = 24, 76, 330
BAR, TICK = 14, 52
ROOM: Final = 30.0
"""Least diameter of a typical cell in the picture beside whose middle a number can be read."""
LEAST_BLOCK: Final = 190
"""Height of a histogram with its words."""
LEAST_OPD_NM: Final = 60.0
"""Least range of the greys, so that noise is not stretched over all of them."""
HISTOGRAMS: Final = (
    (Quantity.DRY_MASS, "dry mass", "pg"),
    (Quantity.AREA, "area", "um^2"),
    (Quantity.MAX_OPD, "greatest optical path difference", "nm"),
    (Quantity.LENGTH, "length", "um"),
)
"""Pillow's own font has neither µ nor ²."""


def overlay(found: MeasuredCells, name: str) -> Image.Image:
    """Draw the cells of a field.

    Outlines are grown from the cells' places down to the background, for the eye: a network tells places and
    quantities, not outlines.

    Parameters
    ----------
    found
        The cells.
    name
        Of the image.
    """
    table, opd = found.table, found.opd
    rows, columns = table.shape_px
    zoom = min(FIELD / max(rows, columns), MOST_ZOOM)
    size = max(240, round(columns * zoom)), max(240, round(rows * zoom))
    masses = table.dry_mass_pg[np.isfinite(table.dry_mass_pg)]
    limits = (float(np.percentile(masses, 2)), float(np.percentile(masses, 98))) if masses.size else (0.0, 1.0)
    limits = (limits[0], max(limits[1], limits[0] + 1.0))
    height = HEAD + max(size[1], len(HISTOGRAMS) * LEAST_BLOCK) + MARGIN
    picture = Image.new("RGB", (MARGIN + size[0] + BAR + TICK + 2 * MARGIN + SIDE + MARGIN, height), PAPER)
    pen = ImageDraw.Draw(picture)
    values = found.values()
    pen.text((MARGIN, 12), name, INK, font=_font(22))
    counted = f"{len(table)} cell{'' if len(table) == 1 else 's'}, {values['density_per_mm2']:.0f} per mm^2"
    aside = f"{values['touching']} touching, {values['border']} at the border (grey)"
    words = f"{counted}; {aside}; read by {found.reader}. Figures: dry mass in pg. Outlines: for the eye."
    pen.text((MARGIN, 42), words, FAINT, font=_font(15))
    field = _field(opd.opd_nm, table, size, limits)
    _scale_bar(ImageDraw.Draw(field), size, columns * opd.pixel_um)
    picture.paste(field, (MARGIN, HEAD))
    if masses.size:
        _colour_bar(picture, (MARGIN + size[0] + 8, HEAD), size[1], limits)
    left = MARGIN + size[0] + BAR + TICK + 2 * MARGIN
    _histograms(pen, (left, HEAD), (height - HEAD - MARGIN) // len(HISTOGRAMS), table)
    return picture


def _field(
    opd_nm: NDArray[np.float32], table: CellTable, size: tuple[int, int], limits: tuple[float, float]
) -> Image.Image:
    """Return the map in grey, with outlines and masses."""
    greys = Image.fromarray(colour(opd_nm, limits_of(opd_nm, LEAST_OPD_NM), GREY))
    fine = size[0] * FINER, size[1] * FINER
    image = greys.resize(fine, Image.Resampling.BICUBIC)
    if len(table):
        pen = ImageDraw.Draw(image)
        zoom = fine[1] / opd_nm.shape[0], fine[0] / opd_nm.shape[1]
        colours = _mass_colours(table, limits)
        for number, outline in _outlines(opd_nm, table):
            points = [((x + 0.5) * zoom[1], (y + 0.5) * zoom[0]) for y, x in outline.tolist()]
            pen.line(points, fill=colours[number], width=FINER + 1, joint="curve")
    image = image.resize(size, Image.Resampling.LANCZOS)
    _write_masses(image, table, size)
    return image


def _outlines(opd_nm: NDArray[np.float32], table: CellTable) -> list[tuple[int, NDArray[np.float64]]]:
    """Return outlines (row, column) with the cell's row in the table; a cell that was not grown has a ring."""
    labels = grow_regions(opd_nm, table.places_px, table.pixel_um)
    found = []
    for number, window in enumerate(ndimage.find_objects(labels, len(table))):
        ring = None
        if window is not None:
            mask = np.pad((labels[window] == number + 1).astype(np.float32), 2)
            smooth = ndimage.gaussian_filter(mask, 0.8)
            lines: Sequence[NDArray[np.float64]] = find_contours(smooth, 0.5)  # type: ignore[no-untyped-call] # has none
            if lines:
                ring = max(lines, key=len) + np.array([window[0].start - 2, window[1].start - 2])
        if ring is None:
            angle = np.linspace(0.0, 2.0 * np.pi, 33)
            radius = 7.5 / table.pixel_um
            ring = table.places_px[number] + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        found.append((number, ring))
    return found


def _mass_colours(table: CellTable, limits: tuple[float, float]) -> list[tuple[int, int, int]]:
    painted = colour(table.dry_mass_pg[:, None].astype(np.float32), limits, MASSES)[:, 0]
    return [
        BORDER if border or not math.isfinite(mass) else (int(rgb[0]), int(rgb[1]), int(rgb[2]))
        for rgb, border, mass in zip(painted, table.border, table.dry_mass_pg, strict=True)
    ]


def _write_masses(image: Image.Image, table: CellTable, size: tuple[int, int]) -> None:
    """Write each cell's mass at its middle, where there is room for it."""
    zoom = size[1] / table.shape_px[0], size[0] / table.shape_px[1]
    areas = table.area_um2[np.isfinite(table.area_um2) & (table.area_um2 > 0)]
    if not areas.size or 2.0 * math.sqrt(float(np.median(areas)) / math.pi) / table.pixel_um * zoom[0] < ROOM:
        return
    pen = ImageDraw.Draw(image)
    for (row, column), mass, border in zip(table.places_px, table.dry_mass_pg, table.border, strict=True):
        if border or not math.isfinite(mass):
            continue
        at = (column + 0.5) * zoom[1], (row + 0.5) * zoom[0]
        pen.text(at, f"{mass:.0f}", PAPER, font=_font(11), anchor="mm", stroke_width=2, stroke_fill=INK)


def _colour_bar(picture: Image.Image, place: tuple[int, int], height: int, limits: tuple[float, float]) -> None:
    ramp = np.linspace(limits[1], limits[0], height, dtype=np.float32)[:, None]
    picture.paste(Image.fromarray(np.repeat(colour(ramp, limits, MASSES), BAR, axis=1)), place)
    pen = ImageDraw.Draw(picture)
    middle = 0.5 * (limits[0] + limits[1])
    for value, anchor, y in ((limits[1], "la", 0), (middle, "lm", height // 2), (limits[0], "ls", height)):
        pen.text((place[0] + BAR + 5, place[1] + y), f"{value:.0f} pg", INK, font=_font(13), anchor=anchor)


def _histograms(pen: ImageDraw.ImageDraw, place: tuple[int, int], block: int, table: CellTable) -> None:
    """Draw how each quantity is distributed, of cells that the border does not cut, each in a block of that height."""
    inner = table.where(~table.border)
    top = place[1]
    for quantity, title, unit in HISTOGRAMS:
        values = inner.column(quantity)
        values = values[np.isfinite(values)]
        pen.text((place[0], top), f"{title}, {unit}", INK, font=_font(15))
        if values.size:
            _histogram(pen, (place[0], top + 24), block - 98, values)
        else:
            pen.text((place[0], top + 30), "nothing measured", FAINT, font=_font(13))
        top += block


def _histogram(pen: ImageDraw.ImageDraw, place: tuple[int, int], height: int, values: NDArray[np.float64]) -> None:
    width = SIDE
    low, middle, high = (float(value) for value in np.percentile(values, (5, 50, 95)))
    step = _round_step((high - low) / 14.0 or abs(middle) / 10.0 or 1.0)
    first = math.floor(max(low - 0.6 * (high - low), float(values.min())) / step)
    last = math.ceil(min(high + 0.6 * (high - low), float(values.max())) / step)
    edges = step * np.arange(first, max(last, first + 4) + 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    wide = width / len(counts)
    for k, count in enumerate(counts):
        tall = height * count / max(1, int(counts.max()))
        box = place[0] + k * wide, place[1] + height - tall, place[0] + (k + 1) * wide - 1.5, place[1] + height
        if count:
            pen.rectangle(box, fill=BARS)
    foot = place[1] + height
    pen.line((place[0], foot, place[0] + width, foot), fill=INK)
    x = place[0] + width * (middle - edges[0]) / (edges[-1] - edges[0])
    pen.line((x, place[1] - 2, x, foot), fill=(214, 51, 108), width=2)
    digits = max(0, -math.floor(math.log10(step)))
    for edge, anchor in ((edges[0], "la"), (edges[-1], "ra")):
        at = place[0] if anchor == "la" else place[0] + width
        pen.text((at, foot + 4), f"{edge:.{digits}f}", FAINT, font=_font(12), anchor=anchor)
    told = f"median {middle:.{digits}f}   (5 ... 95 %: {low:.{digits}f} ... {high:.{digits}f})   n = {values.size}"
    pen.text((place[0], foot + 20), told, (166, 30, 77), font=_font(13))


def _round_step(least: float) -> float:
    """Return the least of 1, 2, 5, 10 … (or 0.5, 0.2 …) that is not below a value."""
    power = 10.0 ** math.floor(math.log10(least))
    return min(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def _scale_bar(pen: ImageDraw.ImageDraw, size: tuple[int, int], width_um: float) -> None:
    length = round_length(width_um / 5)
    long = length / width_um * size[0]
    right, bottom = size[0] - 16, size[1] - 16
    pen.rectangle((right - long, bottom - 6, right, bottom), fill=PAPER, outline=INK)
    at = right - long / 2, bottom - 10
    pen.text(at, f"{length:g} um", PAPER, font=_font(16), anchor="ms", stroke_width=2, stroke_fill=INK)


def _font(size: int) -> Any:  # noqa: ANN401 - one of two classes of Pillow
    return ImageFont.load_default(size)


__all__ = ["overlay"]
