"""``microscoped replay``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.daemon.record import Entry, read_journal
from microscoped.models.sharpness import SharpnessEngine
from tests.daemon.record.recording_world import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from click.testing import Result
    from numpy.typing import NDArray


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scene = Scene(tmp_path / "run")
    scene.recording.start()
    for number in range(1, 4):
        scene.frame(number)
    scene.close()
    return tmp_path / "run"


def _change_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = SharpnessEngine.measure

    def other(self: SharpnessEngine, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(measure(self, frames, options))
        return {**found, "mean": found["mean"] * 1.01}

    monkeypatch.setattr(SharpnessEngine, "measure", other)


def test_a_recording_decides_the_same_again(folder: Path) -> None:
    found = run(folder)
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.startswith("the same effects after all 6 inputs")
    assert "after all 2 inputs" in run(folder, "--until", 3).stdout


@pytest.mark.slow
def test_recorded_frames_are_measured_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(folder, "--recompute")
    assert (found.exit_code, found.stderr) == (0, "")
    assert "measured again: 3; 0 differ, 0 decide otherwise" in found.stdout
    _change_the_engine(monkeypatch)
    first = next(line.n for line in read_journal(folder) if isinstance(line, Entry) and line.input == "MeasureEnded")
    changed = run(folder, "--recompute")
    assert changed.exit_code == 1
    assert f"input {first} (MeasureEnded): measurement differ" in changed.stderr
    assert "measured again: 3; 3 differ, 0 decide otherwise" in changed.stdout
    document = json.loads(run(folder, "--recompute", "--json").stdout)
    assert document["difference"]["number"] == first
    assert document["recomputed"]["differing"] == 3


def test_without_frames_there_is_nothing_to_measure(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", pixels=False)
    scene.recording.start()
    scene.frame(1)
    scene.close()
    assert run(tmp_path / "run").exit_code == 0
    found = run(tmp_path / "run", "--recompute")
    assert found.exit_code == 1
    assert "there is no store of frames here" in found.stderr


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    found = run(tmp_path / "none")
    assert found.exit_code == 1
    assert "no such file or folder" in found.stderr
