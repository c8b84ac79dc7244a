"""Focus on real images, through the whole daemon, asked for by a plain ZeroMQ script.

Each row starts a daemon as a process of its own, with a configuration made here, and talks to it in JSON over a DEALER
socket: nothing of the project is imported. The measured images are those of ``$MICROSCOPED_DATA`` (or ``--data``).

How settings are chosen, once for all rows and from the documentation of the data alone:

- *limits*: the extent of the stack; where z is continuous, 4/3 of the farthest start to each side of focus.
- *range*: from any start, all that lies within the limits.
- *coarse step*: the daemon's default of 3 depths of field where aperture and wavelength are documented; otherwise
  three planes, because a dense stack is recorded no coarser than its depth of field; one plane where there are three.
- *tolerance*: half of what the documentation accepts; the other half is left to the score.
- *extremum*: the maximum of contrast; its minimum for the transparent cell in nearly coherent light (``hl60-field``).
- *score* and *region*: the daemon's default (``band``), the whole frame.

Starts are all planes at least three times as far from the documented focus as its documentation accepts, each also a
third of a plane below and above. A row passes when at least 95 % of its starts end where the documentation accepts it.
The score beside it that costs nothing: *idle* stays at the start, *random* ends at any plane (or z) of the range.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from _daemon import running
from _figures import plain
from _wire import Wire

REPOSITORY = Path(__file__).resolve().parent.parent
OFFSETS = (-1 / 3, 0.0, 1 / 3)
"""Starts beside a plane, in plane steps."""
REQUIRED = 0.95
CONTINUOUS_STARTS = 40


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    name, source
        What is looked at, and the file or folder that it needs (empty: nothing).
    config
        The daemon's configuration.
    focus_um, accept_um
        Documented focus, and how far from it the end may lie.
    planes_um
        z of the planes that are played at the nearest one; empty where z is continuous.
    starts_um
        Where the searches begin.
    declared
        The search's settings, in words.
    random
        Share of random ends that would be accepted.
    required
        Share of accepted ends that the row needs.
    """

    name: str
    source: str
    config: dict[str, Any]
    focus_um: float
    accept_um: float
    planes_um: tuple[float, ...]
    starts_um: tuple[float, ...]
    declared: str
    random: float
    required: float = REQUIRED

    def shown(self, z_um: float) -> float:
        """Return the z of what the camera shows there: the nearest plane's."""
        return min(self.planes_um, key=lambda plane: abs(plane - z_um)) if self.planes_um else z_um

    def accepted(self, z_um: float) -> bool:
        """Return whether an end there is within the documented tolerance."""
        return abs(self.shown(z_um) - self.focus_um) <= self.accept_um + 1e-9


@dataclass
class Outcome:
    """What came of a row."""

    name: str
    declared: str
    starts: int = 0
    below: int = 0
    above: int = 0
    hits: int = 0
    not_focused: int = 0
    wrong: list[tuple[float, float]] = field(default_factory=list)
    idle: float = 0.0
    random: float = 0.0
    required: float = REQUIRED
    error_um_median: float = 0.0
    error_um_max: float = 0.0
    images: float = 0.0
    moves: float = 0.0
    seconds: float = 0.0
    passed: bool = False


def stage(low_um: float, high_um: float, start_um: float) -> dict[str, Any]:
    """Return a simulated stage that reaches a little beyond the limits."""
    return {"start_um": start_um, "low_um": low_um - 1.0, "high_um": high_um + 1.0}


def declared(extremum: str, low_um: float, high_um: float, coarse: str, tolerance_um: float) -> str:
    """Return a search's settings in words."""
    return (
        f"{extremum} of band, whole frame, {low_um:.6g} … {high_um:.6g}, coarse step {coarse}, "
        f"tolerance {tolerance_um:.3g}"
    )


def stack_row(
    name: str,
    folder: str,
    microscope: dict[str, Any],
    planes_um: list[float],
    focus_um: float,
    accept_um: float,
) -> Row:
    """Return the row of a recorded stack, by the rules of this module."""
    planes = tuple(sorted(planes_um))
    low_um, high_um = planes[0], planes[-1]
    step_um = float(np.diff(planes).mean())
    coarse_um = (3 if len(planes) > 3 else 1) * step_um
    beyond = [z for z in planes if abs(z - focus_um) >= 3 * accept_um - 1e-9]
    candidates = [z + part * step_um for z in beyond for part in OFFSETS]
    starts = [round(z, 4) for z in candidates if low_um <= z <= high_um and abs(z - focus_um) >= 3 * accept_um - 1e-9]
    config = {
        "microscope": {**microscope, "kind": "recorded", "stage": stage(low_um, high_um, low_um)},
        "stage": {
            "limits_um": [low_um, high_um],
            "focus_direction": "toward_sample",
            "arrival_tolerance_um": step_um / 5,
        },
        "focus": {"range_um": high_um - low_um, "coarse_step_um": coarse_um, "tolerance_um": accept_um / 2},
    }
    hits = sum(abs(z - focus_um) <= accept_um + 1e-9 for z in planes)
    return Row(
        name=name,
        source=folder,
        config=config,
        focus_um=focus_um,
        accept_um=accept_um,
        planes_um=planes,
        starts_um=tuple(starts),
        declared=declared("max", low_um, high_um, f"{coarse_um:.3g}", accept_um / 2),
        random=hits / len(planes),
    )


def sparse_row(name: str, data: Path, which: str) -> Row:
    """Return the row of a triple of planes: from each outer one, the middle one must be picked."""
    files = sorted((data / "bf-sephace").glob(f"set1_{which}_*.ics"))
    planes = [float(file.stem.rpartition("Z")[2]) for file in files] or [0.0, 1.0, 2.0]
    planes.sort()
    row = stack_row(
        name,
        "bf-sephace",
        {"path": data / "bf-sephace", "files": f"set1_{which}_*.ics", "z_pattern": r"Z([\d.]+)\.ics"},
        planes,
        planes[1],
        min(planes[1] - planes[0], planes[2] - planes[1]) / 2,
    )
    outer = (planes[0], planes[-1])
    return replace(row, starts_um=outer, required=1.0)


def continuous_starts(nearest_um: float, farthest_um: float, count: int) -> tuple[float, ...]:
    """Return evenly spread starts on both sides of 0."""
    side = np.linspace(nearest_um, farthest_um, count // 2)
    return tuple(round(float(z), 3) for z in (*-side[::-1], *side))


def rows(data: Path) -> list[Row]:
    """Return all rows; those whose data are absent are told apart later."""
    order_file = data / "lsfm-dfnn" / "mitochondria_order.txt"
    orders = [int(line) for line in order_file.read_text().split()] if order_file.is_file() else [0, 1, 2, 3]
    return [
        stack_row(
            "fl-psf-beads",
            "fl-psf-beads",
            {"path": data / "fl-psf-beads" / "stack.tif", "step_um": 0.3},
            [0.3 * plane for plane in range(34)],
            16.9 * 0.3,
            0.3,
        ),
        stack_row(
            "lsfm-dfnn",
            "lsfm-dfnn",
            {
                "path": data / "lsfm-dfnn" / "mitochondria.tif",
                "z_file": "mitochondria_order.txt",
                "z_unit_um": 0.05,
            },
            [0.05 * order for order in orders],
            51 * 0.05,
            0.1,
        ),
        stack_row(
            "ph-isl-neurons",
            "ph-isl-neurons",
            {"path": data / "ph-isl-neurons", "z_pattern": r"z(\d+)\.png"},
            [float(plane) for plane in range(13)],  # the step is not documented: one plane counts as 1 µm
            6.5,
            1.5,
        ),
        field_row(data),
        demo_row(),
        sparse_row("bf-sephace fine", data, "fine"),
        sparse_row("bf-sephace init", data, "init"),
    ]


def field_row(data: Path) -> Row:
    """Return the row of the measured field of a cell, refocused numerically, in its own background."""
    farthest_um, accept_um = 5.0, 0.5
    range_um = 4 / 3 * farthest_um
    na, wavelength_nm, index = 0.5, 647.0, 1.333
    return Row(
        name="hl60-field",
        source="hl60-field",
        config={
            "microscope": {
                "kind": "field",
                "path": data / "hl60-field" / "HL60_field.npz",
                "wavelength_nm": wavelength_nm,
                "pixel_size_um": 0.139,
                "medium_index": index,
                "measured_focus_um": -0.878,
                "na": na,
                "stage": stage(-range_um, range_um, 0.0),
            },
            "optics": {"na": na, "wavelength_nm": wavelength_nm, "immersion_index": index, "pixel_size_um": 0.139},
            "stage": {"limits_um": [-range_um, range_um], "focus_direction": "toward_sample"},
            "focus": {"range_um": 2 * range_um, "extremum": "min", "tolerance_um": accept_um / 2},
        },
        focus_um=0.0,
        accept_um=accept_um,
        planes_um=(),
        starts_um=continuous_starts(3 * accept_um, farthest_um, CONTINUOUS_STARTS),
        declared=declared("min", -range_um, range_um, "3 DoF (default)", accept_um / 2),
        random=accept_um / range_um,
    )


def demo_row() -> Row:
    """Return the row of Micro-Manager's demonstration camera: C++ adapters; beads that are sharp at 0."""
    farthest_um, accept_um = 15.0, 0.5
    range_um = 4 / 3 * farthest_um
    return Row(
        name="DemoCamera beads",
        source="",
        config={
            "microscope": {"kind": "micromanager", "config_file": "demo"},
            "stage": {"limits_um": [-range_um, range_um], "focus_direction": "toward_sample"},
            "focus": {"range_um": 2 * range_um, "tolerance_um": accept_um / 2},
        },
        focus_um=0.0,
        accept_um=accept_um,
        planes_um=(),
        starts_um=continuous_starts(3 * accept_um, farthest_um, 20),
        declared=declared("max", -range_um, range_um, "3 (default: optics unknown)", accept_um / 2),
        random=accept_um / range_um,
        required=1.0,
    )


def measure(row: Row) -> Outcome:
    """Run all searches of a row."""
    outcome = Outcome(row.name, row.declared, random=row.random, required=row.required)
    errors, images, moves, seconds = [], [], [], []
    with running(row.config) as daemon, Wire(daemon.control) as wire:
        for start_um in row.starts_um:
            wire.move(start_um)
            began = time.perf_counter()
            task = wire.finish("focus.run")
            seconds.append(time.perf_counter() - began)
            end_um = float(wire.ask("stage.position")["z_um"])
            outcome.starts += 1
            outcome.below += start_um < row.focus_um
            outcome.above += start_um > row.focus_um
            outcome.idle += row.accepted(start_um)
            report = task["result"] or {}
            images.append(report.get("images", 0))
            moves.append(report.get("moves", 0))
            if task["state"] != "done":
                outcome.not_focused += 1
                outcome.wrong.append((start_um, end_um))
                print(f"  {row.name}: from {start_um:g}: {task['error']['detail']}", file=sys.stderr)
                continue
            errors.append(abs(row.shown(end_um) - row.focus_um))
            if row.accepted(end_um):
                outcome.hits += 1
            else:
                outcome.wrong.append((start_um, end_um))
    outcome.idle /= max(1, outcome.starts)
    outcome.error_um_median = statistics.median(errors) if errors else float("nan")
    outcome.error_um_max = max(errors, default=float("nan"))
    outcome.images, outcome.moves, outcome.seconds = map(statistics.median, (images, moves, seconds))
    outcome.passed = outcome.starts > 0 and outcome.hits >= outcome.required * outcome.starts - 1e-9
    return outcome


def main() -> int:
    """Run the rows and print the table; the exit code is 1 where a row misses its target."""
    default = os.environ.get("MICROSCOPED_DATA") or REPOSITORY.parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of measured images")
    parser.add_argument("--rows", nargs="*", help="only rows whose names contain one of these")
    parser.add_argument("--starts", type=int, help="at most so many starts of each row, evenly taken")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    outcomes: list[Outcome] = []
    head = f"{'row':<17}{'starts':>7}{'-/+':>8}{'within':>8}{'share':>7}{'needs':>7}{'idle':>6}{'random':>8}"
    print(f"{head}{'no focus':>9}{'err µm':>8}{'max':>6}{'images':>8}{'moves':>7}{'s':>6}")
    for row in rows(chosen.data.resolve()):
        if chosen.rows is not None and not any(part in row.name for part in chosen.rows):
            continue
        if row.source and not (chosen.data / row.source).is_dir():
            print(f"{row.name:<17}skipped: {chosen.data / row.source} is absent")
            continue
        if chosen.starts is not None and chosen.starts < len(row.starts_um):
            picked = np.linspace(0, len(row.starts_um) - 1, chosen.starts).round().astype(int)
            row = replace(row, starts_um=tuple(row.starts_um[index] for index in picked))
        outcome = measure(row)
        outcomes.append(outcome)
        print(
            f"{outcome.name:<17}{outcome.starts:>7}{f'{outcome.below}/{outcome.above}':>8}{outcome.hits:>8}"
            f"{outcome.hits / outcome.starts:>7.0%}{outcome.required:>7.0%}{outcome.idle:>6.0%}{outcome.random:>8.0%}"
            f"{outcome.not_focused:>9}{outcome.error_um_median:>8.3g}{outcome.error_um_max:>6.2g}"
            f"{outcome.images:>8g}{outcome.moves:>7g}{outcome.seconds:>6.2f}{'' if outcome.passed else '   MISSED'}",
            flush=True,
        )
    print("\nsearched (z in µm; of ph-isl-neurons in planes):")
    for outcome in outcomes:
        print(f"  {outcome.name:<17}{outcome.declared}")
    for outcome in outcomes:
        if outcome.wrong:
            listed = ", ".join(f"{start:g} → {end:g}" for start, end in outcome.wrong)
            print(f"  {outcome.name}: ended outside: {listed}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(plain([asdict(outcome) for outcome in outcomes]), indent=1), encoding="utf-8")
    return 0 if outcomes and all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
