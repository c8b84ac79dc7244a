"""What the figures of holograms are held against, and how they are printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from _hologram_distance import ALONE, DEFAULT, PLANES, REFINED, TUNED
from _hologram_filter import OURS, OURS_SAME, PEER_NAMES
from _judged import judged, print_targets, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

LEAST_OVER_FILTER, LEAST_OVER_PYHOLOSCOPE, MOST_APART = 2.0, 1.0, 1e-3
"""Times of qpretrieve's tuned and of PyHoloscope's filter over ours; relative L2 of fields after the same filter."""
LEAST_OVER_TUNED, LEAST_OVER_DEFAULT = 20.0, 100.0
"""Times of the tuned peer and of the peers' defaults, frame to distance, over ours."""
MOST_OFF_SLOPE = 0.005
"""Of the line of the network's distances on the search's, from 1."""
LEAST_FPS, MOST_P95_MS = 10.0, 150.0
"""Of the daemon, live."""


def judge(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each target with what was found; ``met`` is ``None`` where there is no figure to judge.

    Where several variants of a peer were timed, the fastest counts.

    Parameters
    ----------
    figures
        By the names of rows; those that were not run have no targets.
    """
    targets: list[dict[str, Any]] = []
    if "filter" in figures:
        rows = {row["name"]: row for row in figures["filter"]["rows"]}
        for name, least in (("tuned", LEAST_OVER_FILTER), ("PyHoloscope", LEAST_OVER_PYHOLOSCOPE)):
            ratios = [rows[peer]["over"][OURS_SAME]["paired"] for peer in PEER_NAMES[name] if peer in rows]
            label = "qpretrieve tuned" if name == "tuned" else name
            targets.append(judged(f"filter: {label} ÷ {OURS_SAME}", _fastest(ratios), least))
        apart = [row["agreement"] for row in rows.values() if row["agreement"] is not None]
        targets.append(judged("filter: fields apart, relative L2", max(apart, default=None), MOST_APART, least=False))
    if "distance" in figures:
        rows = figures["distance"]["rows"]
        for ours in (REFINED, ALONE):
            for kind, least in ((TUNED, LEAST_OVER_TUNED), (DEFAULT, LEAST_OVER_DEFAULT)):
                ratios = [row["over"][ours]["paired"] for row in rows if row["kind"] == kind and ours in row["over"]]
                targets.append(judged(f"distance: {kind} peers ÷ {ours}", _fastest(ratios), least))
    if "agreement" in figures:
        for row in figures["agreement"].get("against_search", [{"name": "the network"}]):
            slope = row.get("slope")
            off = None if slope is None else abs(slope - 1.0)
            targets.append(judged(f"agreement: slope of {row['name']}, off 1", off, MOST_OFF_SLOPE, least=False))
    if "live" in figures:
        found = figures["live"]
        told = (found.get("fps"), found.get("latency_ms", {}).get("p95"))
        targets.append(judged("live: frames/s measured", told[0], LEAST_FPS))
        targets.append(judged("live: p95 from frame in hand to distances, ms", told[1], MOST_P95_MS, least=False))
    return targets


def _fastest(ratios: Sequence[float]) -> float | None:
    return min((value for value in ratios if math.isfinite(value)), default=None)


def tables(figures: Mapping[str, Any], console: Console) -> None:
    """Print all that was measured, and the targets."""
    for name, printed in (
        ("filter", _filter_table),
        ("distance", _distance_table),
        ("agreement", _agreement_table),
        ("live", _live_table),
    ):
        if name not in figures:
            continue
        found = figures[name]
        if "reason" in found:
            console.print(f"{name}: {found['reason']}")
            continue
        console.print(printed(found))
        for peer, reason in found.get("absent", {}).items():
            console.print(f"  {peer}: absent ({reason})", markup=False)
        if name == "agreement":
            console.print(_truth_table(found))
    print_targets(figures["targets"], console)


def _filter_table(found: Mapping[str, Any]) -> Table:
    table = table_of(
        "Sideband filter alone, 1024², 8 bit, by turns",
        ("filter", "field", "n", "mean ± SD, ms", "median", "busy", f"÷ {OURS}", f"÷ {OURS_SAME}", "busy", "apart"),
        "÷: median of pairs of the same frame; busy: processor time; apart: relative L2 after the same filter",
    )
    for row in found["rows"]:
        ms, apart = row["ms"], row["agreement"]
        table.add_row(
            row["name"],
            "×".join(str(size) for size in row["field_px"]),
            str(ms["n"]),
            _mean_sd(ms),
            f"{ms['median']:.2f}",
            f"{ms['busy']:.2f}",
            _over(row, OURS),
            _over(row, OURS_SAME),
            _over(row, OURS_SAME, "busy"),
            "" if apart is None else f"{apart:.1e}",
        )
    return table


def _distance_table(found: Mapping[str, Any]) -> Table:
    ours = [name for name in (PLANES, ALONE, REFINED) if any(row["name"] == name for row in found["rows"])]
    heads = ("n", "mean ± SD, ms", "median", "busy", "|error| µm", "p95", "max", "bias", "none")
    table = table_of(
        f"From a frame to its distance, 1024², 8 bit, by turns; {found['frames']} frames of {found['instruments']} "
        "instruments, cycled",
        ("method", *heads, *(f"÷ {name}" for name in ours)),
        "reconstruction included; busy: processor time; errors from the middle of the cells; ÷: median of pairs of the "
        "same frame (of busy times)",
    )
    for row in found["rows"]:
        ms, error = row["ms"], row["error_um"]
        table.add_row(
            row["name"],
            str(ms["n"]),
            _mean_sd(ms),
            f"{ms['median']:.1f}",
            f"{ms['busy']:.1f}",
            *(_number(error[key]) for key in ("median", "p95", "max", "bias")),
            str(error["unanswered"]),
            *(_both(row, name) for name in ours),
        )
    return table


def _agreement_table(found: Mapping[str, Any]) -> Table:
    heads = ("cells", "slope (95 %)", "intercept, µm (95 %)", "R² of identity", "apart: median", "p95", "max", "> 1 µm")
    table = table_of(
        f"Planes of least contrast against the search of 90 planes on the same crops, {found['frames']} frames",
        ("method", *heads, "searched", "no answer"),
        "intervals by bootstrap over fields",
    )
    for row in found["against_search"]:
        if "reason" in row:
            table.add_row(row["name"], str(row["cells"]), row["reason"])
            continue
        slope, intercept = row["slope_interval"], row["intercept_interval_um"]
        table.add_row(
            row["name"],
            str(row["both"]),
            f"{row['slope']:.4f} ({slope[0]:.4f} … {slope[1]:.4f})",
            f"{row['intercept_um']:+.3f} ({intercept[0]:+.3f} … {intercept[1]:+.3f})",
            f"{row['r2_identity']:.5f}",
            *(_number(row[key]) for key in ("median_um", "p95_um", "max_um")),
            str(row["far"]),
            str(row["searched"]),
            f"{row['abstained']} ({row['reference_abstained']} of the search)",
        )
    return table


def _truth_table(found: Mapping[str, Any]) -> Table:
    table = table_of(
        "The same cells against the truth",
        ("method", "cells", "|error| µm", "p95", "max", "bias", "none"),
        f"cells without a body near: {found['no_body_near']}; the search tells the plane of least contrast, "
        "the network the middle",
    )
    for row in found["against_truth"]:
        values = (_number(row[key]) for key in ("median", "p95", "max", "bias"))
        table.add_row(row["name"], str(row["n"]), *values, str(row["unanswered"]))
    return table


def _live_table(found: Mapping[str, Any]) -> Table:
    table = table_of(
        f"Live: 1024² through the daemon on {found['cores']} cores, distances of each cell published",
        ("frames/s of the camera", "measured/s", "skipped", "p50 ms", "p95", "p99", "cells a frame", "|error| µm"),
        "from the frame in hand to the measurement in another process",
    )
    latency = found["latency_ms"]
    table.add_row(
        f"{found['camera_fps']:.1f}",
        f"{found['fps']:.1f}",
        str(found["skipped"]),
        *(f"{latency[key]:.1f}" for key in ("p50", "p95", "p99")),
        f"{found['cells']:.1f}",
        _number(found["error_um"]["median"]),
    )
    return table


def _over(row: Mapping[str, Any], own: str, of: str = "paired") -> str:
    return f"{row['over'][own][of]:.2f}" if own in row["over"] else ""


def _both(row: Mapping[str, Any], own: str) -> str:
    return f"{_over(row, own)} ({_over(row, own, 'busy')})" if own in row["over"] else ""


def _mean_sd(ms: Mapping[str, float]) -> str:
    return f"{ms['mean']:.2f}" + ("" if math.isnan(ms["sd"]) else f" ± {ms['sd']:.2f}")


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


__all__ = ["judge", "tables"]
