"""The examples in Python drive real daemons before simulated microscopes."""

from __future__ import annotations

import csv
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.microscopes import build_microscope
from microscoped.daemon.record import Recorded
from microscoped.simulators import SimulatedMicroscope, StageModel
from tests.conftest import CONFIG, Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DISH: dict[str, Any] = {
    "kind": "opd",
    "shape_px": [128, 128],
    "density_per_mm2": 364,
    "max_fps": 20,
    "speed_um_per_h": 15.0,
    "growth_per_h": 60.0,  # a cell divides every 42 s
    "mitosis": {"rounding_min": 0.04, "round_min": 0.1, "spreading_min": 0.05},
}


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, encoding="utf-8")


@pytest.fixture
def dish(tmp_path: Path) -> Iterator[Rig]:
    """A daemon before cells that round up and divide within seconds."""
    config = Config.model_validate(
        {
            **CONFIG,
            "microscope": DISH,
            "optics": {"pixel_size_um": 1.67},
            "engines": {
                "sharpness": {"enabled": False},
                "cells": {"enabled": True, "nm_per_count": 0.1, "zero_count": 2000, "network": "none"},
            },
            "record": {"folder": str(tmp_path / "recordings")},
        }
    )
    microscope = build_microscope(config)
    assert isinstance(microscope, SimulatedMicroscope)
    rig = Rig(Daemon(config, microscope=microscope), microscope)
    while rig.scope.status()["state"] == "STARTING":
        pass
    yield rig
    rig.end()
    assert rig.exit_code == 0


@pytest.mark.timeout(120)
def test_a_burst_is_recorded_when_a_cell_rounds_up(dish: Rig) -> None:
    options = ("--bursts", 1, "--fps", 10, "--seconds", 1, "--every", 0.5, "--look-back", 10)
    ran = run("burst_on_rounding", "--address", dish.daemon.endpoints.control, *options)
    assert ran.returncode == 0, ran.stderr
    assert "a cell rounds up: any(cells" in ran.stdout
    folder = Path(ran.stdout.rsplit("recorded in ", 1)[1].strip())
    assert folder.is_dir()
    assert Recorded(folder).frames
    status = dish.scope.status()
    assert not status["camera"]["streaming"]
    assert dish.scope.rules() == []


@pytest.mark.timeout(120)
def test_the_frame_rate_follows_what_happens(dish: Rig) -> None:
    options = ("--fast", 10, "--slow", 2, "--hold", 1, "--look-back", 10, "--minutes", 0.25)
    ran = run("adaptive_rate", "--address", dish.daemon.endpoints.control, *options)
    assert ran.returncode == 0, ran.stderr
    assert "fast: any(cells" in ran.stdout
    rates = {rule["rule"]["name"]: rule["rule"]["action"]["fps"] for rule in dish.scope.rules()}
    assert rates == {"fast": 10, "slow": 2}
    assert dish.scope.status()["camera"]["fps"] in (10, 2)


@pytest.mark.timeout(120)
def test_a_time_lapse_stays_in_focus(start_rig: Callable[..., Rig], tmp_path: Path) -> None:
    rig = start_rig(stage=StageModel(start_um=3.0, drift_um_s=0.2))
    options = ("--every", 0.5, "--frames", 6, "--focus-every", 1.5)
    ran = run("focus_locked", tmp_path / "lapse", "--address", rig.daemon.endpoints.control, *options)
    assert ran.returncode == 0, ran.stderr
    assert " 0 of them in vain" in ran.stdout
    with (tmp_path / "lapse" / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert [np.load(tmp_path / "lapse" / row["file"]).shape for row in rows] == [(128, 128)] * 6
    assert rig.scope.status()["tasks"] == []


@pytest.mark.skipif(util.find_spec("napari") is not None, reason="napari is installed here, and would open a window")
def test_the_viewer_says_what_it_needs() -> None:
    ran = run("napari_viewer")
    assert ran.returncode == 1
    assert 'pip install "napari[all]"' in ran.stderr
