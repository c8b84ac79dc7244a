"""A curve and a line of bars, in a terminal's characters."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=+*#@"


def curve(
    samples: Sequence[tuple[float, float]], columns: int, rows: int, *, best_um: float | None = None, ascii_only: bool
) -> Text:
    """Draw scores over z.

    Parameters
    ----------
    samples
        z in µm and score.
    columns, rows
        Size, without the line below that names both ends of the axis.
    best_um
        Where a mark is drawn at the foot: the focus that was found.
    ascii_only
        Without any sign beyond ASCII.
    """
    canvas = [[" "] * columns for _ in range(rows)]
    if not samples:
        return Text("\n".join("".join(row) for row in canvas) + "\n")
    low, high = min(z for z, _ in samples), max(z for z, _ in samples)
    top, bottom = max(score for _, score in samples), min(score for _, score in samples)

    def column(z_um: float) -> int:
        return round((z_um - low) / ((high - low) or 1) * (columns - 1))

    if best_um is not None and low <= best_um <= high:
        for row in canvas:
            row[column(best_um)] = ":" if ascii_only else "┊"
    for z_um, score in samples:
        line = round((top - score) / ((top - bottom) or 1) * (rows - 1))
        canvas[line][column(z_um)] = "o" if ascii_only else "●"
    ends = (f"{low:.1f}", f"{high:.1f} µm")
    text = Text("\n".join("".join(row) for row in canvas), "green")
    gap = max(1, columns - len(ends[0]) - len(ends[1]))
    return text.append("\n" + ends[0] + " " * gap + ends[1], "dim")


def bars(values: Sequence[float], columns: int, *, ascii_only: bool) -> str:
    """Draw all values, none negative, as bars from 0 to the greatest; several to a bar where they are too many."""
    signs = ASCII_BARS if ascii_only else BARS
    n = min(len(values), columns)
    edges = [len(values) * k // n for k in range(n + 1)] if n else []
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
    top = max(means, default=0.0) or 1.0
    return "".join(signs[round(mean / top * (len(signs) - 1))] for mean in means)


__all__ = ["bars", "curve"]
