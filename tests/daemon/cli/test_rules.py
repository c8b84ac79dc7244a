"""``microscoped rules test`` and ``microscoped replay --with-rules``: when rules would have fired."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.record import Journal, try_rules
from microscoped.daemon.rules import read_rules
from tests.daemon.record.recording_world import FACTS, frame_of, open_world

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PIXELS = np.zeros((48, 64), np.uint16)
RULES = """\
dose_ms_per_h: 35
rules:
  - name: sharp
    when: sharpness.score > 0.5
    action: {do: publish, note: look}
  - name: burst
    when: sharpness.score > 0.5
    priority: 1
    action: {do: acquire, sequence: {channels: [BF]}, dose_ms_most: 15}
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


class Life:
    """Frames with scores; what rules decided of them; and the journal of all that."""

    def __init__(self, folder: Path, rules: list[dict[str, Any]] | None = None) -> None:
        world = open_world()
        heard = [] if rules is None else [world.ask("rules.set", rules=rules)]
        for number, score in enumerate((0.4, 0.6, 0.7, 0.3, 0.9), start=1):
            values = {"score": score, "error": 0.0}
            heard.append(world.hear(heard_of.FrameAdmitted(frame_of(number, PIXELS))))
            heard.append(world.hear(heard_of.MeasureEnded("sharpness", f"frame-{number}", None, values, 1.0)))
        published = (one for effects in heard for one in effects if isinstance(one, to_do.Publish))
        self.decided: list[dict[str, Any]] = [
            dict(one.message) for one in published if one.topic.startswith("v1.decision.")
        ]
        journal = Journal(folder, FACTS, world.start, rotate_bytes=10**9, keep=None, folder="life")
        journal.add(world.life)
        journal.end("closed")
        self.folder = folder / "life"


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


def test_it_prints_when_rules_would_have_fired(life: Life, file: Path) -> None:
    found = run("rules", "test", file, "--on", life.folder)
    assert (found.exit_code, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert [line.split()[2:4] for line in lines[:3]] == [["burst", "fired:"], ["sharp", "fired:"], ["sharp", "fired:"]]
    assert lines[0].split()[0] == "0.004"
    assert lines[0].endswith("sharpness.score = 0.6 -> acquire")
    assert lines[3] == "10 measurements in 0.0 s; nothing was executed"
    # Two frames and its own estimate leave no light for a second burst.
    assert lines[4:] == [
        "burst: would have fired 1, suppressed 1, unknown 1",
        "sharp: would have fired 2, unknown 1",
    ]
    everything = run("rules", "test", file, "--on", life.folder, "--all").stdout
    assert "burst  suppressed by session_dose" in everything
    assert "sharp  released" in everything


def test_as_json_each_decision_has_its_causes(life: Life, file: Path) -> None:
    told = json.loads(run("rules", "test", file, "--on", life.folder, "--json").stdout)
    fired = [one for one in told["decisions"] if one["kind"] == "fired"]
    assert [one["rule"] for one in fired] == ["burst", "sharp", "sharp"]
    assert fired[1]["action"] == {"do": "publish", "note": "look"}
    assert fired[1]["causes"][1] == "frame-2"
    assert fired[1]["utc"].startswith("2026-01-01T00:00:")
    fewer = json.loads(run("rules", "test", file, "--on", life.folder, "--until", 6, "--json").stdout)
    assert fewer["inputs"] < told["inputs"]
    assert [one["rule"] for one in fewer["decisions"] if one["kind"] == "fired"] == ["burst", "sharp"]


def test_rules_that_only_publish_would_have_decided_what_they_did(tmp_path: Path) -> None:
    rules = [
        {"name": "sharp", "when": "sharpness.score > 0.5", "action": {"do": "publish"}, "cool_down_s": 0.003},
        {"name": "steady", "when": "count(sharpness.score > 0.5, over 0.01 s) >= 2", "action": {"do": "publish"}},
    ]
    life = Life(tmp_path, rules)
    trial = try_rules(life.folder, read_rules({"rules": rules}))
    names = ("rule", "kind", "why", "by", "unsaid")
    live = [tuple(one["data"][name] for name in names) for one in life.decided]
    again = [tuple(getattr(one.decision, name) for name in names) for one in trial.decisions]
    assert live == again
    assert len(live) > 3
    assert [one["causes"] for one in life.decided] == [
        [*one.decision.measurements, *dict.fromkeys(cause.frame for cause in one.decision.causes if cause.frame)]
        for one in trial.decisions
    ]


def test_a_replay_says_what_other_rules_would_have_decided(life: Life, file: Path) -> None:
    found = run("replay", life.folder, "--with-rules", file)
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.startswith("the same effects after all")
    assert "sharp: would have fired 2" in found.stdout
    told = json.loads(run("replay", life.folder, "--with-rules", file, "--json").stdout)
    assert told["difference"] is None
    assert sum(one["kind"] == "fired" for one in told["with_rules"]["decisions"]) == 3


BAD = {
    # what stands in the file, the exit code, and a part of what is said
    "a wrong name": ("rules: [{name: a, when: sharpness.scor > 1, action: {do: publish}}]", 2, "    ^"),
    "no rules": ("stage: {}", 2, "has no rules"),
    "no mapping": ("3", 2, "has no rules"),
    "no YAML": ("rules: [", 2, "is no YAML"),
    "no file": (None, 2, "cannot be read"),
    "no recording": (RULES, 1, "nowhere"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["rules test", "replay"])
def test_what_cannot_be_used_is_said(life: Life, file: Path, name: str, command: str) -> None:
    text, code, word = BAD[name]
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
    folder = life.folder if name != "no recording" else life.folder.parent / "nowhere"
    words = (
        ("rules", "test", file, "--on", folder) if command == "rules test" else ("replay", folder, "--with-rules", file)
    )
    found = run(*words)
    assert found.exit_code == code
    assert word in found.stderr
