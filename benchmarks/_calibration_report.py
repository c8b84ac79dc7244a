"""The tables of ``calibration.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 150
NONE = "–"


def show(found: dict[str, Any]) -> None:
    """Print what was found."""
    console = Console(width=WIDTH)
    console.print(_microscopes(found["microscopes"]))
    console.print(_long([row for row in found["microscopes"] if row.get("long")]))
    for row in found["microscopes"]:
        if not row["accepted"]:
            console.print(f"{row['name']}: {'; '.join(row['reasons'])}", markup=False)
        for why in row["rejected"]:
            console.print(f"{row['name']}: {why}", markup=False)
    accepted = [row for row in found["microscopes"] if row["accepted"]]
    if accepted:
        console.print(_fresh(accepted))
    console.print(_hopeless(found["hopeless"]))
    if found["foreign"]:
        console.print(_foreign(found["foreign"]))
    for missed in found["missed"]:
        console.print(f"MISSED: {missed}", markup=False)


def _microscopes(rows: Sequence[dict[str, Any]]) -> Table:
    table = _table(
        "Calibrated (lengths in depths of field)",
        "microscope",
        "verdict",
        "rung",
        "sign",
        "before: mean",
        "p95",
        "after: mean",
        "p95",
        "covered",
        "no answer",
        "moves ≤ 1",
        "images",
        "wall time",
    )
    for row in rows:
        before, after, moves = (row.get(name) or {} for name in ("before", "after", "moves"))
        table.add_row(
            row["name"],
            "accepted" if row["accepted"] else "rejected",
            row.get("rung", NONE),
            f"{row['sign']:+d}" if "sign" in row else NONE,
            _length(before.get("mean_dof")),
            _length(before.get("p95_dof")),
            _length(after.get("mean_dof")),
            _length(after.get("p95_dof")),
            _part(after.get("coverage")),
            _unanswered(after),
            _part(moves.get("within")),
            str(row["images"]),
            f"{row['wall_s']:.0f} s",
        )
    return table


def _long(rows: Sequence[dict[str, Any]]) -> Table:
    table = _table(
        "Long pairs, which check a focus (lengths in depths of field)",
        "microscope",
        "rung",
        "before: mean",
        "p95",
        "after: mean",
        "p95",
        "sign −",
        "covered",
        "no answer",
    )
    for row in rows:
        before, after = row["long"]["before"], row["long"]["after"]
        table.add_row(
            row["name"],
            row["long"]["rung"],
            *(_length(figures[name]) for figures in (before, after) for name in ("mean_dof", "p95_dof")),
            _part(after["wrong_sign"]),
            _part(after["coverage"]),
            _unanswered(after),
        )
    return table


def _fresh(rows: Sequence[dict[str, Any]]) -> Table:
    table = _table(
        "Those that were accepted, on fresh fields (lengths in depths of field)",
        "microscope",
        "pairs: mean",
        "median",
        "p95",
        "sign −",
        "covered",
        "no answer",
        "runs confirmed",
        "wrong",
        "mean at the end",
        "suspended",
    )
    for row in rows:
        fresh, runs = row["fresh"], row["runs"]
        table.add_row(
            row["name"],
            *(_length(fresh[name]) for name in ("mean_dof", "median_dof", "p95_dof")),
            _part(fresh["wrong_sign"]),
            _part(fresh["coverage"]),
            _unanswered(fresh),
            f"{runs['confirmed']} of {runs['runs']}",
            str(runs["wrong"]),
            _mean(runs["errors_dof"]),
            "yes" if runs["suspended"] else "no",
        )
    return table


def _hopeless(rows: Sequence[dict[str, Any]]) -> Table:
    table = _table("Hopeless", "what", "rejected", "ended while", "images, median", "worst", "of a whole calibration")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['rejected']} of {row['tried']}",
            ", ".join(f"{phase} {count}" for phase, count in row["stopped"].items()),
            f"{row['images']:g}",
            str(row["images_worst"]),
            str(row["images_most"]),
        )
    return table


def _foreign(rows: Sequence[dict[str, Any]]) -> Table:
    table = _table(
        "Foreign calibrations (lengths in depths of field)",
        "of",
        "on",
        "as it is",
        "forged",
        "after runs",
        "confirmed",
        "wrong",
        "mean at the end",
    )
    for row in rows:
        table.add_row(
            row["from"],
            row["to"],
            "refused" if row["refused"] else "taken",
            row["verdict"],
            str(row["runs"]),
            str(row["confirmed"]),
            str(row["wrong"]),
            _mean(row["errors_dof"]),
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < 2 else "right", no_wrap=number == 0)
    return table


def _length(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _part(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def _mean(values: Sequence[float]) -> str:
    return _length(sum(values) / len(values) if values else None)


def _unanswered(figures: dict[str, Any]) -> str:
    return _part(1.0 - figures["told"] / figures["pairs"]) if figures.get("pairs") else NONE
