"""What the figures of cells are held against, and how they are printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from _cells_methods import BASELINES, BF16, CLEAN, DEGRADED
from _judged import judged, print_targets, table_of

from microscoped.models.cells import Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

CLEAN_SET, WORST_SET = "density_255", "noise_20_background_30"
LEAST_DETECTED = {"density_183": 0.99, "density_255": 0.99, "density_364": 0.99, "density_527": 0.98}
"""Precision and recall."""
LEAST_R2 = {Quantity.MAX_OPD: 0.95, Quantity.DRY_MASS: 0.93, Quantity.AREA: 0.93, Quantity.LENGTH: 0.85}
MOST_OFF_SLOPE = 0.05
MOST_MAD = {Quantity.MAX_OPD: 7.4, Quantity.DRY_MASS: 10.7, Quantity.AREA: 36.0, Quantity.LENGTH: 3.3}
LEAST_R2_WORST = 0.88
"""Of the dry mass, by the network that was trained on such images."""
LEAST_CELLS_PER_S, LEAST_OVER_BASELINE = 2_000.0, 5.0
LEAST_GPU_CELLS_PER_S = 100_000.0
SHORT = {Quantity.MAX_OPD: "max OPD", Quantity.DRY_MASS: "mass", Quantity.AREA: "area", Quantity.LENGTH: "length"}
UNITS = {Quantity.MAX_OPD: "nm", Quantity.DRY_MASS: "pg", Quantity.AREA: "µm²", Quantity.LENGTH: "µm"}


def judge(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each target with what was found; ``met`` is ``None`` where there is no figure to judge.

    Parameters
    ----------
    figures
        By the names of rows; those that were not run have no targets.
    """
    targets: list[dict[str, Any]] = []
    sets = {**figures.get("densities", {}), **figures.get("fields", {})}
    for name, limit in LEAST_DETECTED.items():
        rows = _rows(sets.get(name))
        for network in _judged(rows) if name in sets else ():
            for figure in ("precision", "recall"):
                found = rows[network]["detection"][figure]["value"] if network in rows else None
                targets.append(judged(f"{name}, {network}: {figure}", found, limit, least=True))
    if CLEAN_SET in figures.get("fields", {}):
        rows = _rows(sets[CLEAN_SET])
        for network in _judged(rows):
            targets += _measured(network, rows.get(network)) + _fast(network, rows)
    if WORST_SET in figures.get("fields", {}):
        rows = _rows(sets[WORST_SET])
        for network in _judged(rows)[1:]:
            row = rows.get(network)
            found = None if row is None else row["quantities"][Quantity.DRY_MASS.value]["r2"]["value"]
            targets.append(judged(f"{WORST_SET}, {network}: R² of mass", found, LEAST_R2_WORST, least=True))
    if "gpu" in figures:
        rates = [frame_rate(figures["gpu"], row) for row in figures["gpu"].get("rows", []) if "seconds" in row]
        targets.append(judged("GPU: cells/s, frame to table", max(rates, default=None), LEAST_GPU_CELLS_PER_S))
    return targets


def _judged(rows: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the networks that have targets: both, and B in bfloat16 where it runs."""
    return (CLEAN, DEGRADED, BF16) if BF16 in rows else (CLEAN, DEGRADED)


def _measured(network: str, row: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    targets = []
    for quantity, least in LEAST_R2.items():
        told = None if row is None else row["quantities"][quantity.value]
        r2, slope, mad = (None if told is None else told[name]["value"] for name in ("r2", "slope", "error_mad"))
        of = f"{CLEAN_SET}, {network}: {SHORT[quantity]}"
        off = None if slope is None else abs(slope - 1.0)
        targets += [
            judged(f"{of}, R²", r2, least),
            judged(f"{of}, slope, off 1", off, MOST_OFF_SLOPE, least=False),
            judged(f"{of}, MAD × 1.4826, {UNITS[quantity]}", mad, MOST_MAD[quantity], least=False),
        ]
    return targets


def _fast(network: str, rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the targets of speed; a ratio counts only beside a better R² of every quantity."""
    row = rows.get(network)
    rate = None if row is None else row["cells_per_s"]["median"]
    targets = [judged(f"{CLEAN_SET}, {network}: cells/s", rate, LEAST_CELLS_PER_S)]
    for baseline in BASELINES:
        other = rows.get(baseline)
        ratio = better = None
        if row is not None and other is not None:
            ratio = other["over"][network]["median"]
            better = better_r2(row, other)
        what = f"{CLEAN_SET}, {network}: {baseline} ÷ it"
        targets.append(judged(what, ratio, LEAST_OVER_BASELINE))
        targets.append(judged(f"{what}, R² above, least", better, 0.0, strict=True))
    return targets


def better_r2(row: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return by how much R² is above another's, of the quantity where it is least so."""
    both = row["quantities"].keys() & other["quantities"].keys()
    return min(row["quantities"][name]["r2"]["value"] - other["quantities"][name]["r2"]["value"] for name in both)


def frame_rate(found: Mapping[str, Any], row: Mapping[str, Any]) -> float:
    """Return the cells a second of a whole frame."""
    return float(found["cells"] / row["seconds"])


def _rows(found: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if found is None else {row["name"]: row for row in found.get("rows", [])}


def tables(figures: Mapping[str, Any], console: Console) -> None:
    """Print all that was measured, and the targets beside it."""
    for row in ("fields", "densities", "reference"):
        for name, found in figures.get(row, {}).items():
            if name == "absent":
                continue
            console.print(_speeds(name, found))
            console.print(_worth(name, found))
        for name, reason in figures.get(row, {}).get("absent", {}).items():
            console.print(f"  {name}: skipped ({reason})", markup=False)
    for row in ("frame", "gpu"):
        if row in figures:
            console.print(_frame(row, figures[row]))
            for one in figures[row]["rows"]:
                if "reason" in one:
                    console.print(f"  {one['backend']}: skipped ({one['reason']})", markup=False)
    print_targets(figures["targets"], console)


def _speeds(name: str, found: Mapping[str, Any]) -> Table:
    others = [row["name"] for row in found["rows"] if row["name"] in (CLEAN, DEGRADED, BF16)]
    table = table_of(
        f"{name}: from an image to its table, {found['fields']} fields, {found['cells']} cells, by turns",
        ("method", "n", "ms, median", "busy", "cells/s (90 %)", "cells·quantities/s", *(f"÷ {one}" for one in others)),
        "medians over fields, each of the median of its turns; intervals by bootstrap; busy: processor time",
    )
    for row in found["rows"]:
        rate = row["cells_per_s"]
        table.add_row(
            row["name"],
            str(row["ms"]["n"]),
            f"{row['ms']['median']:.1f}",
            f"{row['ms']['busy']:.1f}",
            _with_interval(rate, "median", ".0f"),
            f"{rate['median'] * len(row['quantities']):.0f}",
            *(_with_interval(row["over"][one], "median", ".2f") if one in row["over"] else "" for one in others),
        )
    return table


def _worth(name: str, found: Mapping[str, Any]) -> Table:
    table = table_of(
        f"{name}: beside the truth",
        ("method", "precision", "recall", *(f"{SHORT[q]}: R² | slope | MAD | 90 % | SSIM" for q in SHORT)),
        "R² about the identity; slope of the truth on the measurement; MAD × 1.4826 in nm, pg, µm², µm; 90 %: of the "
        "intervals that hold the truth; cells at the border do not count",
    )
    for row in found["rows"]:
        cells = [f"{row['detection'][figure]['value']:.4f}" for figure in ("precision", "recall")]
        for quantity in SHORT:
            told = row["quantities"].get(quantity.value)
            cells.append("" if told is None else _told(told, row["ssim"].get(quantity.value)))
        table.add_row(row["name"], *cells)
    return table


def _told(told: Mapping[str, Any], ssim: float | None) -> str:
    values = [(told[figure]["value"], digits) for figure, digits in (("r2", 3), ("slope", 3), ("error_mad", 2))]
    values += [(told["covered"]["value"], 2), (math.nan if ssim is None else ssim, 3)]
    return " | ".join("–" if math.isnan(value) else f"{value:.{digits}f}" for value, digits in values)


def _frame(name: str, found: Mapping[str, Any]) -> Table:
    heads = ("threads", "backend", "s, median", "busy", "cells/s", "found", "peak, MiB", "network alone, cells/s")
    table = table_of(f"{name}: {'×'.join(map(str, found['shape']))}, {found['cells']} cells, one process each", heads)
    for row in found["rows"]:
        if "reason" in row:
            continue
        table.add_row(
            str(row["threads"]),
            f"{row['backend']}, {row['device']}",
            f"{row['seconds']:.3f}",
            f"{row['busy_s']:.3f}",
            f"{frame_rate(found, row):.0f}",
            str(row["found"]),
            f"{row['peak_mib']:.0f}",
            f"{row['alone_px_per_s'] * found['cells'] / math.prod(found['shape']):.0f}",
        )
    return table


def _with_interval(found: Mapping[str, float], key: str, form: str) -> str:
    if math.isnan(found[key]):
        return "–"
    return f"{found[key]:{form}} ({found['low']:{form}} … {found['high']:{form}})"


__all__ = ["CLEAN_SET", "LEAST_DETECTED", "WORST_SET", "better_r2", "frame_rate", "judge", "tables"]
