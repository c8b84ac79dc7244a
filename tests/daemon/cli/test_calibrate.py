"""``microscoped calibrate focus`` as a user starts it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.cli.conftest import Cli, Running

CONFIG = """\
microscope:
  kind: simulated
  shape_px: [224, 224]
  range_um: 26
  fields: 3
  stage: {backlash_um: 0.3, settle_ms: 1, speed_um_s: 5000}
optics: {objective: 20x/0.5, na: 0.5, wavelength_nm: 550, pixel_size_um: 0.65}
stage: {limits_um: [-50, 50], focus_direction: toward_sample, overshoot_um: 1, settle_ms: 0}
camera: {exposure_ms: 2}
focus: {pair: {calibration: calibrations}}
network: {control: "tcp://127.0.0.1:*", events: "tcp://127.0.0.1:*", frames: "tcp://127.0.0.1:*"}
"""
SHOWN_BEFORE = (
    "20x/0.5  (optics.objective)",
    "0.5  (optics.na)",
    "550 nm  (optics.wavelength_nm)",
    "1  (optics.immersion_index)",
    "0.65 µm, binned 1 ×  (optics.pixel_size_um)",
    "depth of field 2.2 µm; the two images of a pair lie 4.4 µm apart",
    "images of 2 ms",
)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_calibration_is_explained_made_and_judged(cli: Cli, daemon: Running, tmp_path: Path) -> None:
    with daemon(CONFIG) as (_, address):
        done = cli("calibrate", "focus", "--fields", "3", "--yes", "--address", address)
    words = done.stdout
    for shown in SHOWN_BEFORE:
        assert shown in words, words + done.stderr
    assert words.index("images of 2 ms") < words.index("field 1, ")
    assert "stage: play" in words
    assert "judged" in words
    files = [path for path in (tmp_path / "calibrations").glob("*.json") if str(path) in words]
    assert len(files) == 1
    accepted = json.loads(files[0].read_text(encoding="utf-8"))["accepted"]
    assert done.returncode == (0 if accepted else 1)
    assert ("accepted: focus.run with method auto uses pairs" in words) is accepted
    assert ("rejected, focus.run with method auto goes on searching" in words) is not accepted


def test_nobody_at_the_keyboard_begins_nothing(cli: Cli, daemon: Running) -> None:
    with daemon(CONFIG.replace("range_um: 26", "range_um: 8").replace("fields: 3", "fields: 1")) as (_, address):
        refused = cli("calibrate", "focus", "--fields", "3", "--json", "--address", address)
        assert refused.returncode == 1
        assert not refused.stdout.strip()
        assert "depth of field" in refused.stderr
        tasks = cli("send", "task.list", "--json", "--address", address)
        assert json.loads(tasks.stdout)["tasks"] == []


def test_what_is_missing_is_named_with_its_key(cli: Cli, daemon: Running) -> None:
    text = CONFIG.replace("objective: 20x/0.5, ", "").replace("range_um: 26", "range_um: 8")
    with daemon(text.replace("fields: 3", "fields: 1")) as (_, address):
        refused = cli("calibrate", "focus", "--yes", "--address", address)
        assert refused.returncode == 1
        assert re.search(r"not_ready: .*optics\.objective", refused.stderr)
        assert not refused.stdout.strip()
        told = cli("calibrate", "focus", "--yes", "--json", "--address", address)
        assert json.loads(told.stdout)["error"]["data"] == {"missing": ["optics.objective"]}
        assert cli("calibrate", "focus", "--fields", "2", "--address", address).returncode == 2


def test_nobody_there_is_told(cli: Cli) -> None:
    gone = cli("calibrate", "focus", "--yes", "--address", "tcp://127.0.0.1:9")
    assert gone.returncode == 1
    assert "no answer" in gone.stderr
