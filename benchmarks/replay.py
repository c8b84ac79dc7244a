"""A session is recorded under load, and decides the same again: three times over, and not where a constant is changed.

A simulated dish (256², cells that move, grow and divide a hundred times as fast as real ones) streams with two engines,
four rules and what a user does meanwhile: focus runs, moves, exposures, other rules, stops. Beside it a process for
each core computes without end. Then, each by ``microscoped replay`` in a process of its own:

- *same*: three times from the recorded measurements; all decisions must be the same, and so must what is printed;
- *recompute*: the engines measure the recorded frames again; how far the values are off, and what decides otherwise;
- *changed*: one constant of the focus search is another; the difference must be found, and is shown.

    python benchmarks/replay.py [--minutes 10] [--load PROCESSES] [--folder FOLDER] [--json FILE]

The recording stays in FOLDER where one is given. The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _daemon import running
from _kept import keep
from _wire import Wire, WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = 3
ROUND_S = 6.0
"""From one thing that the user does to the next."""
LIMIT_S = 3_600.0
CONFIG: dict[str, Any] = {
    "microscope": {
        "kind": "opd",
        "shape_px": [256, 256],
        "density_per_mm2": 255,
        "illumination_na": 0.3,
        "speed_um_per_h": 600,
        "growth_per_h": 3.5,
        "seed": 3,
    },
    "optics": {"na": 0.3, "wavelength_nm": 550, "pixel_size_um": 1.67},
    "camera": {"exposure_ms": 100},
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
    "engines": {"sharpness": {"enabled": True}, "cells": {"enabled": True, "nm_per_count": 0.1}},
    "dose_ms_per_h": 3_600_000,
    "rules": [
        {"name": "crowded", "when": "cells.count > 44", "band": 2, "action": {"do": "publish"}},
        {
            "name": "heavy",
            "when": "any(cells, dry_mass_pg > 300 pg)",
            "cool_down_s": 5,
            "repeat": True,
            "action": {"do": "publish"},
        },
        {
            "name": "growing",
            "when": "rate(cells.dry_mass_pg.p50, over 20 s) > 0.02",
            "hold_s": 1,
            "action": {"do": "camera", "exposure_ms": 80, "dose_ms_most": 100},
        },
        {
            "name": "soft",
            "when": "sharpness.score < 0.9 * median(sharpness.score, over 20 s)",
            "cool_down_s": 10,
            "budget": {"per_h": 40},
            "action": {"do": "focus", "method": "search", "dose_ms_most": 20_000},
        },
    ],
}
CHANGED = ("microscoped.daemon.focus.search", "_NEAR", 0.95)
REPLAY = "from microscoped.daemon.cli import main; main()"


def main() -> int:
    """Record, replay, print; return 1 where a target is missed."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as place:
        folder = record(arguments.minutes * 60.0, arguments.load, Path(place))
        figures = {"load": arguments.load, **replays(folder)}
        if arguments.folder is not None:
            shutil.copytree(folder, arguments.folder)
    keep(arguments.json, figures)
    return report(figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--load", type=int, default=os.cpu_count() or 1, help="processes that compute beside it")
    parser.add_argument("--folder", type=Path, help="keep the recording here; must not exist")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    if arguments.folder is not None and arguments.folder.exists():
        parser.error(f"--folder {arguments.folder}: exists; name a new one")
    return arguments


def record(seconds: float, load: int, place: Path) -> Path:
    """Record for so long; return the recording's folder."""
    config = {**CONFIG, "record": {"folder": str(place / "recordings"), "reserve_mb": 0}}
    with busy(load), running(config) as daemon, Wire(daemon.control, timeout_ms=60_000) as wire:
        wire.ask("camera.start")
        wire.ask("record.start", folder="session")
        began, done = time.monotonic(), 0
        while (left := seconds - (time.monotonic() - began)) > 0:
            time.sleep(min(left, ROUND_S))
            _act(wire, done)
            done += 1
        wire.ask("record.stop")
    return place / "recordings" / "session"


def _act(wire: Wire, number: int) -> None:
    """Do what a user does; refusals are decisions, too."""
    op, params = (
        ("stage.move", {"z_um": 3.0 - number % 7}),
        ("focus.run", {"method": "search"}),
        ("camera.set", {"exposure_ms": 100.0 - 10.0 * (number % 3)}),
        ("stop", {}),
        ("resume", {}),
        ("camera.start", {}),
        ("rules.set", {"rules": [*CONFIG["rules"][: 1 + number % 4]], "dose_ms_per_h": 3_600_000}),
    )[number % 7]
    try:
        wire.ask(op, **params)
    except WireError as error:
        sys.stderr.write(f"  {op}: {error}\n")


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Let so many processes compute meanwhile."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def replays(folder: Path) -> dict[str, Any]:
    """Return what the replays found."""
    same = [_replay(folder) for _ in range(TIMES)]
    module, name, value = CHANGED
    changing = f"import importlib; importlib.import_module({module!r}).{name} = {value!r}; "
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "mib": size / (1 << 20),
        "same": same,
        "recompute": _replay(folder, "--recompute"),
        "changed": {"constant": f"{module}.{name} = {value}", **_replay(folder, before=changing)},
    }


def _replay(folder: Path, *options: str, before: str = "") -> dict[str, Any]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", before + REPLAY, "replay", str(folder), "--json", *options],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"replay ended with exit code {done.returncode}: {done.stderr[-2000:]}") from None
    return {"exit": done.returncode, "seconds": time.monotonic() - began, "told": told}


def report(figures: dict[str, Any]) -> int:
    """Print the figures; return 1 where a target is missed."""
    same, again, changed = figures["same"], figures["recompute"], figures["changed"]
    told = same[0]["told"]
    print(f"recorded beside {figures['load']} busy processes: {told['inputs']} inputs, {told['decisions']} decisions, ")
    print(f"  {figures['mib']:.0f} MiB of journal and pixels")
    identical = all(one["exit"] == 0 and one["told"] == told for one in same)
    print(f"same, {TIMES} times: {'identical' if identical else 'DIFFERENT'} ({same[0]['seconds']:.0f} s each)")
    found = again["told"]["recomputed"]
    fields = [(engine, *one) for engine, largest in found["largest"].items() for one in largest.items()]
    apart = {f"{engine}.{name}": off for engine, name, off in fields if off}
    print(f"recompute: {found['measured']} measured again, {found['differing']} differ, {found['flipped']} decide")
    print(f"  otherwise; largest differences: {apart or 'none'} ({again['seconds']:.0f} s)")
    print(f"changed ({changed['constant']}): exit code {changed['exit']}, {changed['told']['difference']}")
    within = again["exit"] == 0 and not found["flipped"]
    return 0 if identical and within and changed["exit"] == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
