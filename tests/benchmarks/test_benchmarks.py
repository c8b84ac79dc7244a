"""The benchmarks run and tell what they should; their figures are judged by people, on machines that they know."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scipy import optimize

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def module(name: str) -> ModuleType:
    spec = util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_real_beads_are_focused_from_a_plain_zeromq_script(data_dir: Path, tmp_path: Path) -> None:
    found = tmp_path / "focus.json"
    program = (BENCHMARKS / "focus_real.py", "--data", data_dir, "--rows", "fl-psf-beads", "--starts", "4")
    done = run(*program, "--json", found)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(found.read_text())
    assert (row["starts"], row["hits"], row["idle"]) == (4, 4, 0.0)
    assert row["below"] > 0
    assert row["above"] > 0


def test_rows_without_data_are_skipped_and_nothing_passes(tmp_path: Path) -> None:
    done = run(BENCHMARKS / "focus_real.py", "--data", tmp_path, "--rows", "fl-psf-beads")
    assert done.returncode == 1
    assert "skipped" in done.stdout


def test_the_script_that_asks_for_focus_imports_nothing_of_the_project() -> None:
    for name in ("focus_real.py", "_daemon.py", "_wire.py"):
        source = (BENCHMARKS / name).read_text(encoding="utf-8")
        assert "import microscoped" not in source
        assert "from microscoped" not in source


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_streamed_frame_is_accounted_for(tmp_path: Path) -> None:
    found = tmp_path / "loop.json"
    done = run(BENCHMARKS / "loop.py", "--quick", "--parts", "a", "--seconds", "2", "--json", found)
    assert found.exists(), done.stdout + done.stderr
    figures = json.loads(found.read_text())
    streams = [figures[name] for name in ("a. stream, simulated", "a. stream, DemoCamera")]
    for stream in streams:
        assert stream["frames"] > 0
        assert stream["complete"], stream


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_journal_is_weighed_against_none(tmp_path: Path) -> None:
    found = tmp_path / "journal.json"
    done = run(BENCHMARKS / "journal.py", "--blocks", "1", "--seconds", "1", "--folder", tmp_path, "--json", found)
    assert found.exists(), done.stdout + done.stderr
    figures = json.loads(found.read_text())
    assert figures["with a journal"]["inputs"] > 100
    assert figures["with a journal"]["bytes"] > 100 * figures["with a journal"]["inputs"]
    assert 0 < figures["with a journal"]["recorder_percent"] < 100
    assert figures["without"]["recorder_percent"] == 0


@pytest.mark.parametrize(("peak", "tolerance"), [(0.0, 0.3), (4.1, 0.3), (-3.7, 0.3), (7.9, 0.05)])
def test_the_peer_brent_begins_in_the_middle_and_ends_at_the_peak(peak: float, tolerance: float) -> None:
    steps = module("_peers").commons_brent(-12.0, 12.0, tolerance)
    asked = [next(steps)]
    assert asked == [0.0]
    with pytest.raises(StopIteration) as end:
        while True:
            asked.append(steps.send(1.0 / (1.0 + (asked[-1] - peak) ** 2)))
    assert abs(end.value.value - peak) <= 3.0 * tolerance
    assert end.value.value == max(asked, key=lambda z: -abs(z - peak))
    assert 4 < len(asked) < 25


def test_the_peer_brent_takes_the_steps_of_scipys() -> None:
    def fall(z: float) -> float:
        return -math.exp(-((z - 2.3) ** 2) / 30.0)

    theirs: list[float] = []
    optimize.fminbound(lambda z: theirs.append(float(z)) or fall(float(z)), -12.0, 12.0, xtol=3e-2)
    ours: list[float] = []
    steps = module("_peers").commons_brent(-12.0, 12.0, 1e-2)
    with pytest.raises(StopIteration):
        ours.append(next(steps))
        while True:
            ours.append(steps.send(-fall(ours[-1])))
    # SciPy begins at the golden section, Commons Math in the middle: from there on both close in as fast.
    assert abs(len(ours) - len(theirs)) <= 3
    assert abs(ours[-1] - theirs[-1]) <= 0.1
