"""Makes the recording ``golden`` that lies beside this file: ``python tests/daemon/record/make_golden.py``.

A simulated dish with living cells, two engines, rules, and a user who focuses, moves, changes exposures and rules,
stops and goes on. It is made again when recorded inputs or decisions have changed on purpose; never to make a test
pass.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from microscoped.daemon.client import RequestFailedError, Scope
from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config

GOLDEN = Path(__file__).with_name("golden")
ROUND_S = 0.8
CONFIG: dict[str, Any] = {
    "microscope": {
        "kind": "opd",
        "shape_px": [96, 96],
        "density_per_mm2": 527,
        "illumination_na": 0.3,
        "speed_um_per_h": 600,
        "growth_per_h": 3.5,
        "seed": 3,
    },
    "optics": {"na": 0.3, "wavelength_nm": 550, "pixel_size_um": 1.67},
    "camera": {"exposure_ms": 100},
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
    "engines": {"sharpness": {"enabled": True}, "cells": {"enabled": True, "nm_per_count": 0.1}},
    "focus": {"pair": {"enabled": False}},
    "journal": {"folder": Path("journal")},
    "record": {"folder": Path("recordings"), "reserve_mb": 0},
    "network": dict.fromkeys(("control", "events", "frames"), "tcp://127.0.0.1:*"),
    "dose_ms_per_h": 600_000,
    "rules": [
        {"name": "many", "when": "cells.count > 10", "band": 2, "action": {"do": "publish"}},
        {
            "name": "soft",
            "when": "sharpness.score < 0.8 * median(sharpness.score, over 4 s)",
            "cool_down_s": 3,
            "budget": {"per_h": 40},
            "action": {"do": "focus", "method": "search", "dose_ms_most": 20_000},
        },
        {
            "name": "heavy",
            "when": "any(cells, dry_mass_pg > 200 pg)",
            "cool_down_s": 2,
            "repeat": True,
            "action": {"do": "camera", "exposure_ms": 80, "dose_ms_most": 100},
        },
    ],
}
ACTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("stage.move", {"z_um": 6.0}),
    ("stage.move", {"z_um": 1.0}),
    ("stage.move", {"z_um": 60.0}),
    ("focus.run", {"method": "search"}),
    ("camera.set", {"exposure_ms": 60.0}),
    ("focus.run", {"method": "search", "range_um": 6.0}),
    ("stop", {}),
    ("resume", {}),
    ("camera.start", {}),
    ("rules.set", {"rules": [CONFIG["rules"][0]], "dose_ms_per_h": 600_000}),
    ("stage.move", {"z_um": -4.0}),
)
"""Some are refused: decisions, too."""


def main() -> int:
    """Make it in a temporary folder, and put it in its place when it is whole."""
    here = Path.cwd()
    platform.platform = lambda *_options: "any"  # type: ignore[assignment] # of no meaning for who replays it
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            _record()
            shutil.rmtree(GOLDEN, ignore_errors=True)
            shutil.copytree(Path("recordings") / "golden", GOLDEN)
        finally:
            os.chdir(here)
    size = sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file())
    print(f"{GOLDEN}: {size / 1e6:.2f} MB")
    return 0


def _record() -> None:
    daemon = Daemon(Config.model_validate(CONFIG))
    thread = threading.Thread(target=daemon.run, name="loop")
    thread.start()
    scope = Scope(daemon.endpoints.control, timeout_s=60)
    try:
        while scope.status()["state"] == "STARTING":
            time.sleep(0.05)
        scope.request("camera.start")
        scope.start_recording("golden")
        for op, params in ACTS:
            time.sleep(ROUND_S)
            try:
                scope.request(op, **params)
            except RequestFailedError as error:
                print(f"{op}: {error}")
        time.sleep(ROUND_S)
        scope.request("record.stop")
        while scope.status()["recording"]["state"] != "ended":
            time.sleep(0.05)
    finally:
        daemon.shut_down("it is made")
        thread.join(20)
        scope.close()


if __name__ == "__main__":
    sys.exit(main())
