"""How fast rules decide, and how soon it is done: 50 frames/s, two engines, the real loop, a simulated microscope.

For each measurement: from the moment at which the engine returns until the loop has decided and sent all that follows
from it. For each action of a rule, a change of the exposure: from then until the camera's driver is called. The rules
fire at about a fifth of the frames. The parts are

cells
    sharpness, and cells by the network, on maps of 128² with living cells;
many
    sharpness, and an engine that tells at once a table of 300 cells (``--cells``), with rules on each cell's past;
reducer
    the reducer alone with the same measurements: processor time, without threads and sockets.

    python benchmarks/latency.py [--parts cells many reducer] [--seconds S] [--cells N] [--json FILE]

The daemon runs as a process of its own. A bare ``sleep`` in a third process tells how late this machine wakes anybody.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _daemon import running
from _figures import line, plain, sleep_control, spread
from _latency_reducer import reducer_costs
from _wire import Wire, WireError

HERE = Path(__file__).resolve().parent
WATCHED = (sys.executable, str(HERE / "_latency_watched.py"))
FPS = 50.0
PARTS = ["cells", "many", "reducer"]
TARGETS = {"measurement_to_decision_p99_ms": 2.0, "decision_to_action_p99_ms": 10.0}
RULES: list[dict[str, Any]] = [
    {
        "name": "sharper",
        "when": "sharpness.score > quantile(sharpness.score, 0.5, over 2 s)",
        "action": {"do": "camera", "exposure_ms": 5},
    },
    {
        "name": "grown",
        "when": "share(cells, change(max_opd_nm, over 2 s) > 0) > 0.5",
        "action": {"do": "publish"},
    },
    {
        "name": "rounding",
        "when": "any(cells, area_um2 < 400 and rate(area_um2, over 5 s) < -2 um2/s and not border)",
        "action": {"do": "publish"},
    },
]


def configuration() -> dict[str, Any]:
    """Return the configuration of the daemon."""
    return {
        "microscope": {"kind": "opd", "shape_px": [128, 128], "max_fps": FPS},
        "optics": {"pixel_size_um": 1.67},
        "camera": {"exposure_ms": 5},
        "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
        "engines": {"cells": {"enabled": True, "nm_per_count": 0.1, "zero_count": 2000}},
        "rules": RULES,
    }


def settled(wire: Wire) -> dict[str, Any]:
    """Return the status once both engines have said their last word of every frame."""
    deadline = time.monotonic() + 10.0
    while True:
        status = wire.ask("status")
        told = [engine["measured"] + engine["skipped"] for engine in status["engines"].values()]
        if told == [status["camera"]["frames"]] * 2 or time.monotonic() > deadline:
            return status
        time.sleep(0.05)


def measure(seconds: float, folder: Path, cells: int | None) -> dict[str, Any]:
    """Stream for a while and return the figures."""
    notes = folder / "notes.npz"
    options = ["--notes", str(notes), *([] if cells is None else ["--cells", str(cells)])]
    with (
        sleep_control() as control,
        running(configuration(), WATCHED, options) as daemon,
        Wire(daemon.control) as wire,
    ):
        wire.ask("camera.start")
        time.sleep(seconds)
        wire.ask("camera.stop")
        status = settled(wire)
    noted = dict(np.load(notes))
    return {
        "fps": status["camera"]["frames"] / seconds,
        "engines": status["engines"],
        "measurement_to_decision": spread(noted["decided_ms"]),
        "measurement_to_decision_that_was_said": spread(noted["decided_ms"][noted["with_decision"]]),
        "decision_to_action": spread(noted["begun_ms"]),
        "sleep_control": control,
    }


def main() -> int:
    """Run the parts; the exit code is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each stream")
    parser.add_argument("--cells", type=int, default=300, help="rows of the table of part many")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen.parts:
            if part == "reducer":
                costs = reducer_costs(configuration(), chosen.cells)
                found[part] = {engine: spread(taken) for engine, taken in costs.items()}
                print(f"\nreducer alone, processor time, {chosen.cells} cells")
                for engine, one in found[part].items():
                    print(line(f"a measurement of {engine} → decided", one), flush=True)
                continue
            one = measure(chosen.seconds, Path(folder), chosen.cells if part == "many" else None)
            found[part] = one
            done = ", ".join(f"{name} {engine['measured']}" for name, engine in one["engines"].items())
            print(f"\n{part}: {one['fps']:.1f} frames/s; measured: {done}")
            print(line("engine has measured → decided, and sent", one["measurement_to_decision"]))
            print(line("  of those, where a decision was said", one["measurement_to_decision_that_was_said"]))
            print(line("decided → the camera's driver is called", one["decision_to_action"]))
            print(line("(a bare sleep(0.5 ms) came late by)", one["sleep_control"]), flush=True)
            figures = {
                "measurement_to_decision_p99_ms": one["measurement_to_decision"]["p99"],
                "decision_to_action_p99_ms": one["decision_to_action"]["p99"],
            }
            missed += [
                f"{part}: {name} {value:.2f}, target {TARGETS[name]:g}"
                for name, value in figures.items()
                if not value <= TARGETS[name]
            ]
    if set(chosen.parts) != {"reducer"}:
        print("\ntargets: " + ("all met" if not missed else "; ".join(["MISSED", *missed])))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(plain({"targets": TARGETS, "missed": missed, **found}), allow_nan=False))
    return 0 if not missed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WireError as error:
        sys.exit(f"the daemon refused: {error}")
