"""The recording that is kept: it decides the same again on every computer, and a changed constant is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.daemon.focus import search
from microscoped.daemon.record import Recorded, replay_journal

GOLDEN = Path(__file__).with_name("golden")
MOST_BYTES = 3_000_000
REMEDY = "recorded inputs or decisions have changed; if on purpose, run tests/daemon/record/make_golden.py"


def test_it_decides_the_same_again() -> None:
    found = replay_journal(GOLDEN)
    assert found.difference is None, f"{REMEDY}: {found.difference}"
    assert found.torn is None
    assert found.decisions > 30


def test_it_holds_what_a_session_has() -> None:
    recorded = Recorded(GOLDEN)
    inputs = {line.split('"input":"')[1].split('"')[0] for line in _lines() if '"input":"' in line}
    assert {"MeasureEnded", "FrameAdmitted", "CommandEnded", "RequestReceived", "StopReturned"} <= inputs
    ops = {line.split('"op":"')[1].split('"')[0] for line in _lines() if '"input":"RequestReceived"' in line}
    assert {"focus.run", "stage.move", "stop", "resume", "rules.set", "record.stop"} <= ops
    assert any('"v1.decision.' in line for line in _lines())
    checked = recorded.verify()
    assert checked.good > 50
    assert not checked.damaged
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) <= MOST_BYTES


@pytest.mark.slow
def test_its_frames_measure_the_same_again() -> None:
    found = CliRunner().invoke(app, ["replay", str(GOLDEN), "--recompute"])
    assert found.exit_code == 0, found.output
    assert ", 0 decide otherwise" in found.stdout
    assert "cells: " in found.stdout


def test_a_changed_constant_is_found_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_NEAR", 0.95)
    difference = replay_journal(GOLDEN).difference
    assert difference is not None
    assert "MeasureEnded" in str(difference)
    assert "recorded: " in str(difference)
    assert "replayed: " in str(difference)


def _lines() -> list[str]:
    (journal,) = GOLDEN.glob("journal-*.jsonl")
    return journal.read_text(encoding="utf-8").splitlines()
