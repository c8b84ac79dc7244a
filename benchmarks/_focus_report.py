"""From runs to rows, targets, tables and the picture."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from _calibration_scope import CHANGE_S
from _scope import Costs, Stage
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

COSTS = (Costs("10 / 50 ms", 10.0, 50.0), Costs("100 / 200 ms", 100.0, 200.0))
"""Exposure and settling time. Where nothing drifts, images do not depend on them."""
STAGES = (
    Stage("ideal"),
    Stage("0.5 µm backlash", backlash_um=0.5),
    Stage("jitter and drift", jitter_um=0.1, drift_um_s=0.1),
)
OURS, BARE, RIVAL = "pair, calibrated", "pair", "Brent, one-sided"
"""What targets are for, the same without a calibration, and whom both are measured by."""
MOST_IMAGES, MOST_MOVES, MOST_SHARE, MOST_TIME, LEAST_WITHIN, MOST_DECISION_MS = 3, 3, 0.45, 0.5, 0.95, 80.0
LEAST_SHOWN_UM = 0.004
ZEROS = {"middle": "defocus_um", "sharpest": "from_sharpest_um"}
"""What the error is counted from: the middle of the specimen, or its sharpest plane."""
COLOURS = {
    OURS: "#d1495b",
    BARE: "#e59aa4",
    "search": "#edae49",
    "Brent, one-sided": "#00798c",
    "Brent, two-sided": "#5fb3bf",
    "OughtaFocus": "#8d6cab",
    "JAF(H&P)": "#8c8c8c",
}
BESIDE = {OURS: -0.3, BARE: 0.0, "OughtaFocus": 0.3, "Brent, one-sided": -0.2, "Brent, two-sided": 0.2}
LEGEND_COLUMNS = 4
"""How far methods with equal numbers of images stand beside one another in the picture."""


def rows_of(runs: Sequence[dict[str, Any]], dof_um: float) -> list[dict[str, Any]]:
    """Return one row for each stage, setting of costs, method and score; ``best`` marks a method's better score.

    The better score is the one that ends more often within half a depth of field, then that of the smaller median
    error. Where a stage was run at the first setting only, the costs at the other follow from the counts.
    """
    groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["stage"], run["costs"], run["method"], run["score"]), []).append(run)
    rows = []
    for (stage, costs, method, score), found in groups.items():
        slow_ms = [_slow_ms(run) for run in found] if (stage, COSTS[1].name, method, score) not in groups else None
        rows.append({"stage": stage, "costs": costs, "method": method, "score": score, **_row(found, dof_um)})
        if slow_ms is not None:
            rows[-1]["slow_ms"] = _spread(slow_ms)
    slow = {(row["stage"], row["method"], row["score"]): row["ms"] for row in rows if row["costs"] == COSTS[1].name}
    for row in rows:
        row.setdefault("slow_ms", slow.get((row["stage"], row["method"], row["score"])))
        rivals = [other for other in rows if all(other[key] == row[key] for key in ("stage", "costs", "method"))]
        row["best"] = row is max(rivals, key=lambda other: (other["within_half"], -other["error_um"]["median"]))
    return rows


def _slow_ms(run: dict[str, Any]) -> float:
    """Return what a run's time would be at the second setting: the same images and moves, each at its price."""
    fast, slow = COSTS
    longer_ms = run["images"] * (slow.exposure_ms - fast.exposure_ms) + run["rests"] * (slow.settle_ms - fast.settle_ms)
    return float(run["time_ms"] + longer_ms)


def _row(runs: Sequence[dict[str, Any]], dof_um: float) -> dict[str, Any]:
    exposure_ms = next(costs.exposure_ms for costs in COSTS if costs.name == runs[0]["costs"])
    errors, from_sharpest = (np.abs([run[key] for run in runs]) for key in ("defocus_um", "from_sharpest_um"))
    return {
        "runs": len(runs),
        "images": _spread([run["images"] for run in runs]),
        "moves": _spread([run["moves"] for run in runs]),
        "travel_um": _spread([run["travel_um"] for run in runs]),
        "dose_ms": _spread([run["images"] * exposure_ms for run in runs]),
        "ms": _spread([run["time_ms"] for run in runs]),
        "compute_ms": _spread([run["compute_ms"] for run in runs]),
        "error_um": _spread(errors),
        "from_sharpest_um": _spread(from_sharpest),
        "within_half": float(np.mean(errors <= dof_um / 2)),
        "within_half_of_sharpest": float(np.mean(from_sharpest <= dof_um / 2)),
        "beyond_dof": float(np.mean(errors > dof_um)),
        "by_specimen": _by_specimen(runs, dof_um),
        "ends": dict(Counter(run["end"] for run in runs).most_common()),
    }


def _by_specimen(runs: Sequence[dict[str, Any]], dof_um: float) -> list[dict[str, float]]:
    """Return the part of each specimen's runs that ends within half a depth of field of its middle and sharpest."""
    return [
        {
            zero: float(np.mean([abs(run[key]) <= dof_um / 2 for run in runs if run["specimen"] == specimen]))
            for zero, key in ZEROS.items()
        }
        for specimen in sorted({run["specimen"] for run in runs})
    ]


def _spread(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    found = np.asarray(values, float)
    return {"median": float(np.median(found)), "mean": float(found.mean()), "p95": float(np.percentile(found, 95))}


def judge(rows: Sequence[dict[str, Any]], decision: dict[str, Any], zero: str) -> list[dict[str, Any]]:
    """Return each target of `OURS` with what was found, and beside it what `BARE` has; `zero` is one of `ZEROS`."""
    targets: list[dict[str, Any]] = []
    for stage in STAGES:
        ours, bare = (_against(rows, stage.name, method, zero) for method in (OURS, BARE))
        for (what, found, limit, least), (_, beside, _, _) in zip(ours, bare, strict=True):
            targets.append(_target(f"{stage.name}: {what}", found, limit, least=least, beside=beside))
    targets.append(_target(f"decision on {decision['tiles']} tiles, ms", decision["ms"], MOST_DECISION_MS))
    return targets


def _against(
    rows: Sequence[dict[str, Any]], stage: str, method: str, zero: str
) -> list[tuple[str, float, float, bool]]:
    """Return what a method has on a stage: what it is, the figure, its limit, and whether that is the least."""
    own, rival = (_best(rows, stage, name) for name in (method, RIVAL))
    within = own["within_half" if zero == "middle" else "within_half_of_sharpest"]
    return [
        ("images, median", own["images"]["median"], MOST_IMAGES, False),
        ("commanded moves, median", own["moves"]["median"], MOST_MOVES, False),
        (f"images and dose over {RIVAL}, means", _over(own, rival, "images"), MOST_SHARE, False),
        (f"time over {RIVAL} at {COSTS[0].name}, means", _over(own, rival, "ms"), MOST_TIME, False),
        (f"time over {RIVAL} at {COSTS[1].name}, means", _over(own, rival, "slow_ms"), MOST_TIME, False),
        (f"within half a depth of field of the {zero}", within, LEAST_WITHIN, True),
    ]


def _target(
    what: str, found: float, limit: float, *, least: bool = False, beside: float | None = None
) -> dict[str, Any]:
    met = found >= limit if least else found <= limit
    return {"what": what, "found": found, "limit": limit, "least": least, "met": bool(met), "uncalibrated": beside}


def _over(ours: dict[str, Any], rival: dict[str, Any], key: str) -> float:
    return float(ours[key]["mean"] / rival[key]["mean"])


def _best(rows: Sequence[dict[str, Any]], stage: str, method: str) -> dict[str, Any]:
    fast = COSTS[0].name
    return next(
        row
        for row in rows
        if row["best"] and row["stage"] == stage and row["method"] == method and row["costs"] == fast
    )


def tables(figures: dict[str, Any], console: Console) -> None:
    """Print the rows of each stage, the decision and the targets."""
    for stage in STAGES:
        for costs in COSTS:
            shown = [row for row in figures["rows"] if row["stage"] == stage.name and row["costs"] == costs.name]
            if shown:
                console.print(_table(f"{stage.name}, {costs.name}", [row for row in shown if row["best"]]))
    ours, bare = (_best(figures["rows"], STAGES[0].name, method)["by_specimen"] for method in (OURS, BARE))
    for slide, *both in zip(figures["specimens"], ours, bare, strict=True):
        where = ", ".join(f"{score} {at:+.2f}" for score, at in slide["sharpest_um"].items())
        calibrated, uncalibrated = (" / ".join(f"{part:.0%}" for part in within.values()) for within in both)
        console.print(
            f"{slide['name']:20} sharpest at {where} µm; {OURS}, {STAGES[0].name} stage, within ½ DoF of middle / "
            f"sharpest: {calibrated} (uncalibrated {uncalibrated})"
        )
    for camera, told in figures["calibrations"].items():
        console.print(calibration_line(camera, told), markup=False)
    found = figures["decision"]
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in found["tiles_per_s"].items())
    console.print(
        f"decision on {found['side_px']}² pixels, {found['tiles']} tiles, 1 thread: {found['ms']:.1f} ms "
        f"(network {found['network_ms']:.1f}; processor {found['processor_ms']:.1f}); tiles/s: {rates}"
    )
    for target in figures["targets"]:
        sign = ">=" if target["least"] else "<="
        verdict = "" if target["met"] else "   MISSED"
        other = target["uncalibrated"]
        beside = "" if other is None else f"   uncalibrated {other:.3g}"
        console.print(f"{target['what']:64} {target['found']:8.3g}   {sign} {target['limit']:<5g}{beside}{verdict}")
    every = all(target["met"] for target in figures["targets"])
    console.print("all targets met" if every else "a target was MISSED")


def calibration_line(camera: str, told: dict[str, Any]) -> str:
    """Return what a calibration came to, and what it has cost."""
    cost = (
        f"{told['images']} images, {told['dose_ms'] / 1e3:.1f} s of light, {told['seconds']:.0f} s with "
        f"{CHANGE_S:g} s for each change of the field"
    )
    skipped = f"; fields rejected: {'; '.join(told['rejected_fields'])}" if told["rejected_fields"] else ""
    file = told["file"]
    if file is not None and file["after"] is not None and file["after"]["mean_dof"] is not None:
        before, after = (
            "none answered"
            if figures["mean_dof"] is None
            else f"mean {figures['mean_dof']:.2f}, p95 {figures['p95_dof']:.2f} DoF, {figures['coverage']:.0%} covered"
            for figures in (file["before"], file["after"])
        )
        fields = f"; judging fields before: {before}; after ({file['rung']}): {after}"
    else:
        fields = ""
    verdict = "accepted" if told["accepted"] else f"REJECTED, so auto searches ({'; '.join(told['reasons'])})"
    return f"calibration, {camera}: {verdict}; {cost}{fields}{skipped}"


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    fast, slow = COSTS
    table = Table(title=f"{title} ({rows[0]['runs']} starts)", title_justify="left")
    table.add_column("method", no_wrap=True)
    heads = ("images", "moves", "travel\nµm", "dose\nms", "computing\nms", f"s at\n{fast.name}", f"s at\n{slow.name}")
    errors = ("|error|\nµm", "p95\nµm", "≤ ½ DoF", "> 1 DoF", "from\nsharpest µm", "≤ ½ DoF\nof sharpest")
    for name in (*heads, *errors):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ends", min_width=24)
    for row in rows:
        main_setting = row["costs"] == fast.name
        times = [row["ms"] if main_setting else None, row["slow_ms"] if main_setting else row["ms"]]
        table.add_row(
            row["method"] + (f" ({row['score']})" if row["score"] else ""),
            *(f"{row[key]['median']:.3g} ({row[key]['mean']:.1f})" for key in ("images", "moves")),
            f"{row['travel_um']['median']:.1f}",
            f"{row['dose_ms']['median']:.0f}",
            f"{row['compute_ms']['median']:.0f}",
            *("" if spent is None else f"{spent['median'] / 1e3:.2f} ({spent['mean'] / 1e3:.2f})" for spent in times),
            f"{row['error_um']['median']:.2f}",
            f"{row['error_um']['p95']:.2f}",
            f"{row['within_half']:.1%}",
            f"{row['beyond_dof']:.1%}",
            f"{row['from_sharpest_um']['median']:.2f}",
            f"{row['within_half_of_sharpest']:.1%}",
            ", ".join(f"{name} {count}" for name, count in row["ends"].items() if name != "done"),
        )
    table.caption = "median (mean); failures are in all figures"
    return table


def plot(runs: Sequence[dict[str, Any]], dof_um: float, path: Path, zero: str) -> None:
    """Draw images against error: each run a dot, each method its medians and the range of 90 % of its runs.

    Parameters
    ----------
    runs, dof_um
        All runs; those of the first setting of costs are drawn.
    path
        Where the picture is written, on a transparent ground.
    zero
        One of `ZEROS`.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    neutral = "#7d7d7d"
    plain = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    fast = [run for run in runs if run["costs"] == COSTS[0].name]
    best = {(row["stage"], row["method"]): row["score"] for row in rows_of(fast, dof_um) if row["best"]}
    rng = np.random.default_rng(0)
    widest = max(20.0, float(np.percentile([run["images"] for run in fast], 99)) + 1.0)
    with plt.rc_context({**dict.fromkeys(plain, neutral), "font.size": 10.5, "svg.fonttype": "none"}):
        chart, panels = plt.subplots(1, len(STAGES), sharey=True, figsize=(9, 4.6), layout="constrained")
        for axes, stage in zip(panels, STAGES, strict=True):
            for method, colour in COLOURS.items():
                score = best.get((stage.name, method))
                own = [r for r in fast if (r["stage"], r["method"], r["score"]) == (stage.name, method, score)]
                images = np.array([run["images"] for run in own], float)
                images += BESIDE.get(method, 0.0)
                errors = np.maximum(np.abs([run[ZEROS[zero]] for run in own]), LEAST_SHOWN_UM)
                spread = rng.uniform(-0.2, 0.2, images.size)
                axes.scatter(images + spread, errors, s=4, color=colour, alpha=0.25, linewidths=0)
                (left, x, right), (low, y, high) = (np.percentile(found, (5, 50, 95)) for found in (images, errors))
                axes.plot([left, right], [y, y], color=colour, linewidth=1.6)
                axes.plot([x, x], [low, high], color=colour, linewidth=1.6)
                axes.plot(x, y, "o", color=colour, markersize=8, markeredgecolor="white", label=method)
            axes.axhline(dof_um / 2, color=neutral, linestyle="--", linewidth=0.9)
            axes.set_title(stage.name, fontsize=11)
            axes.set_yscale("log")
            axes.set_ylim(LEAST_SHOWN_UM, 15)
            axes.set_xlim(0, widest)
            axes.set_xlabel("images")
            axes.spines[["top", "right"]].set_visible(False)
        place = "focus" if zero == "middle" else "the sharpest plane"
        panels[0].set_ylabel(f"distance from {place} at the end, µm")
        panels[0].set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
        label = {"xytext": (0, 3), "textcoords": "offset points", "ha": "right", "fontsize": 9}
        panels[0].annotate("½ DoF", (widest, dof_um / 2), **label)
        handles, names = panels[0].get_legend_handles_labels()
        chart.legend(handles, names, loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False, fontsize=9.5)
        chart.savefig(path, dpi=200, transparent=True)
        plt.close(chart)
