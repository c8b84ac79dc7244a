"""The benchmarks run and tell what they should; their figures are judged by people, on machines that they know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


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
