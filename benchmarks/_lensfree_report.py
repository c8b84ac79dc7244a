"""What the figures of lens-free reconstruction are held against, and how they are printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from _cells_report import SHORT
from _judged import judged, print_targets, table_of
from _lensfree_scenes import FAST, LIGHT, REFERENCE, TRUTH, mean_of

from microscoped.models.cells import Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

LEAST_RATIO = {FAST: 4.0, LIGHT: 6.0}
MOST_ERROR_RATIO, MOST_SD_NM, LEAST_SSIM, LEAST_RIGHT = 1.05, 6.0, 0.99, 0.95
MOST_PEAK_MIB = 4096.0


def judge(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each target with what was found; ``met`` is ``None`` where there is no figure to judge."""
    targets: list[dict[str, Any]] = []
    sets = _sets(figures)
    if "scenes" in figures:
        for way, least in LEAST_RATIO.items():
            rows = [(found[way], found[REFERENCE]) for found in sets.values() if way in found]
            ratio = float(np.median([row["over"]["busy"] for row, _ in rows])) if rows else None
            targets.append(judged(f"{way}: times faster than the reference", ratio, least))
            for name, found in sets.items():
                row = found.get(way)
                error = row and row["rmse_nm"] / found[REFERENCE]["rmse_nm"]
                of = f"{name}, {way}"
                targets += [
                    judged(f"{of}: error ÷ reference's", error, MOST_ERROR_RATIO, least=False),
                    judged(f"{of}: SD of difference, nm", row and row["difference_sd_nm"], MOST_SD_NM, least=False),
                    judged(f"{of}: SSIM", row and row["ssim"], LEAST_SSIM),
                ]
            right = mean_of(row["tall_right"] for row, _ in rows) if rows else None
            targets.append(judged(f"{way}: tall cells right", right, LEAST_RIGHT))
        right = mean_of(found[REFERENCE]["tall_right"] for found in sets.values()) if sets else None
        targets.append(judged(f"{REFERENCE}: tall cells right", right, LEAST_RIGHT))
    if "frame" in figures:
        targets.append(judged("frame: MiB at most", figures["frame"].get("peak_mib"), MOST_PEAK_MIB, least=False))
    return targets


def tables(figures: Mapping[str, Any], console: Console) -> None:
    """Print all that was measured, and the targets."""
    for name, rows in _sets(figures).items():
        console.print(_scenes_table(name, rows))
        console.print(_cells_table(name, rows))
    for name in figures.get("scenes", {}).get("absent", ()):
        console.print(f"  {name}: skipped (it is not among the weights)", markup=False)
    if "course" in figures:
        console.print(_course_table(figures["course"]))
    if "focus" in figures:
        console.print(_focus_table(figures["focus"]["rows"]))
    if "frame" in figures:
        console.print(_frame_table(figures["frame"]) if "seconds" in figures["frame"] else figures["frame"]["reason"])
    print_targets(figures["targets"], console)


def _sets(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = figures.get("scenes", {})
    return {name: {row["name"]: row for row in rows} for name, rows in found.items() if name != "absent"}


def _scenes_table(name: str, rows: Mapping[str, Any]) -> Table:
    table = table_of(
        f"{name}: from frames to maps, by turns",
        ("way", "CPU s", "wall s", "× faster, CPU", "wall", "error, nm", "SD of difference, nm", "SSIM", "tall right"),
        "error: root mean square against the truth; difference and SSIM (over 150 nm): against the reference; tall: "
        "above half a wavelength, right within a quarter",
    )
    for way, row in rows.items():
        if way == TRUTH:
            continue
        over = row["over"]
        table.add_row(
            way,
            *(f"{value:.2f}" for value in (row["busy_s"], row["seconds"], over["busy"], over["paired"])),
            *(f"{value:.3f}" for value in (row["rmse_nm"], row["difference_sd_nm"])),
            f"{row['ssim']:.4f}",
            _share(row["tall_right"]),
        )
    return table


def _cells_table(name: str, rows: Mapping[str, Any]) -> Table:
    table = table_of(
        f"{name}: cells that networks read in the maps",
        ("way", "network", "precision", "recall", *(f"R² of {short}" for short in SHORT.values()), "slope of mass"),
        "cells_b was trained on images with noise and background, cells_a on clean ones",
    )
    keys = ("precision", "recall", *(quantity.value for quantity in SHORT), f"{Quantity.DRY_MASS.value}_slope")
    for way, row in rows.items():
        for network, told in row["cells"].items():
            table.add_row(way, network, *(f"{told[key]:.3f}" for key in keys))
    return table


def _course_table(found: Mapping[str, Any]) -> Table:
    stops = [str(row["iteration"]) for row in next(iter(found.values()))]
    caption = "error in nm against the truth (residual of the data; tall cells right)"
    table = table_of("The reference along its iterations, one frame of each set", ("set", *stops), caption)
    for name, rows in found.items():
        told = (f"{row['rmse_nm']:.2f} ({row['residual']:.4f}; {_share(row['tall_right'])})" for row in rows)
        table.add_row(name, *told)
    return table


def _focus_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    off = np.array([row["off_um"] for row in rows])
    table = table_of(
        "Focus: distance found less the true one, µm", ("frames", "mean", "SD", "median of |off|", "worst")
    )
    table.add_row(
        str(len(rows)), *(f"{v:.2f}" for v in (off.mean(), off.std(), np.median(np.abs(off)), np.abs(off).max()))
    )
    return table


def _frame_table(found: Mapping[str, Any]) -> Table:
    stages = found["stages_s"]
    heads = ("frame", "threads", *(f"{stage}, s" for stage in stages), "in all, s", "CPU, s", "peak, MiB")
    table = table_of(f"One frame, fast, with {found['network']}", heads)
    table.add_row(
        "×".join(map(str, found["shape"])),
        str(found["threads"]),
        *(f"{value:.2f}" for value in stages.values()),
        f"{found['seconds']:.1f}",
        f"{found['busy_s']:.1f}",
        f"{found['peak_mib']:.0f}",
    )
    return table


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


__all__ = ["judge", "tables"]
