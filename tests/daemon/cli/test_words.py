"""What the commands read and print, without a daemon."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import numpy as np
import pytest
import typer

from microscoped.daemon.cli._picture import grey_range, shrink
from microscoped.daemon.cli._plots import bars, curve
from microscoped.daemon.cli._send import parameters_of
from microscoped.daemon.cli._watch import Gaps
from microscoped.daemon.config import template
from microscoped.daemon.protocol import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = ("numpy", "scipy", "zmq", "pymmcore_plus", "yaml")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, microscoped.daemon.cli._app as app\n"
        "try: app.app(['run', '--help'])\n"
        "except SystemExit: pass\n"
        f"print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert ended.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize("words", [("--help",), ("-h",), *((name, "--help") for name in ("run", "demo", "send"))])
def test_help_is_there(cli: Cli, words: tuple[str, ...]) -> None:
    ended = cli(*words)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Usage: microscoped" in ended.stdout


def test_version_is_printed(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("microscoped 0")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=3", 3),
        ("x=3.5", 3.5),
        ("x=true", True),
        ("x=null", None),
        ("x=[0, 1]", [0, 1]),
        ('x={"a": 1}', {"a": 1}),
        ("x=search", "search"),
        ('x="3"', "3"),
        ("x=", ""),
        ("x=a=b", "a=b"),
        ("x=" + "[" * 100_000, "[" * 100_000),
    ],
)
def test_values_are_json_else_text(word: str, value: object) -> None:
    assert parameters_of([word]) == {"x": value}


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(typer.Exit):
        parameters_of(["x=1", "x=2"])


def _event(topic: str, seq: int, session: int = 1) -> Event:
    return Event(
        v="1.0",
        id=uuid.UUID(int=seq),
        type="event",
        ts="2026-01-01T00:00:00.000000+00:00",
        mono_ns=seq,
        topic=topic,
        seq=seq,
        session=uuid.UUID(int=session),
        causes=[],
        data={},
    )


@pytest.mark.parametrize(
    ("heard", "remarks"),
    [
        ([("a.", 5, 1), ("a.", 6, 1), ("b.", 1, 1)], []),
        ([("a.", 5, 1), ("a.", 7, 1)], ["a. event 6 did not arrive"]),
        ([("a.", 5, 1), ("b.", 1, 1), ("a.", 9, 1)], ["a. events 6 to 8 did not arrive"]),
        ([("a.", 5, 1), ("a.", 1, 2), ("a.", 2, 2)], ["started anew"]),
    ],
)
def test_gaps_are_told(heard: list[tuple[str, int, int]], remarks: list[str]) -> None:
    gaps = Gaps()
    found = [remark for topic, seq, session in heard for remark in gaps.hear(_event(topic, seq, session))]
    assert len(found) == len(remarks)
    assert all(words in remark for words, remark in zip(remarks, found, strict=True))


def test_init_writes_the_packaged_configuration_once(cli: Cli, tmp_path: Path) -> None:
    assert cli("init").returncode == 0
    path = tmp_path / "config.yaml"
    assert path.read_text(encoding="utf-8") == template()
    path.write_text("mine", encoding="utf-8")
    refused = cli("init")
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    assert path.read_text(encoding="utf-8") == "mine"
    assert cli("init", "--force").returncode == 0
    assert path.read_text(encoding="utf-8") == template()


def test_init_says_where_it_cannot_write(cli: Cli) -> None:
    ended = cli("init", "none/c.yaml")
    assert (ended.returncode, "cannot be written" in ended.stderr) == (2, True)


def test_a_picture_is_the_middle_of_the_frame_on_one_grey_scale() -> None:
    frame = np.zeros((100, 100), np.uint16)
    frame[50:, :] = 1000
    points = shrink(frame, (4, 6), grey_range([frame]))
    assert points.shape == (4, 6, 3)
    assert points[:2].max() == 0
    assert points[2:].min() == 255


@pytest.mark.parametrize("shape", [(3, 2), (7, 300), (64, 64, 3)])
def test_a_picture_of_any_frame_can_be_made(shape: tuple[int, ...]) -> None:
    frame = np.full(shape, 7, np.uint8)
    points = shrink(frame, (24, 48), grey_range([frame]))
    assert points.shape == (min(24, shape[0]), min(48, shape[1]), 3)


def test_a_curve_has_its_peak_on_top_and_its_ends_named() -> None:
    lines = curve([(-4.0, 1.0), (0.0, 9.0), (4.0, 1.0)], 21, 5, best_um=0.0, ascii_only=True).plain.split("\n")
    assert lines[0] == " " * 10 + "o" + " " * 10
    assert lines[4] == "o" + " " * 9 + ":" + " " * 9 + "o"
    assert lines[5].startswith("-4.0")
    assert lines[5].endswith("4.0 µm")


@pytest.mark.parametrize(
    ("values", "columns", "shown"),
    [([], 5, ""), ([0.0], 5, "_"), ([0, 7], 5, "_@"), ([1, 1, 7, 7], 2, ".@"), ([0.0, 0.0], 2, "__")],
)
def test_bars_stand_for_all_values(values: list[float], columns: int, shown: str) -> None:
    assert bars(values, columns, ascii_only=True) == shown
