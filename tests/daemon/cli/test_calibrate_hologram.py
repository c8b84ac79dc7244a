"""``microscoped calibrate hologram`` as a user starts it."""

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
  kind: hologram
  count: 9
  depth_um: [-1.5, 1.5]
  seed: 12
  shape_px: [512, 512]
  stage: {start_um: 1, focus_direction: toward_sample, backlash_um: 0.3, settle_ms: 1, speed_um_s: 5000}
optics: {objective: 40x/0.75, na: 0.75, wavelength_nm: 666, pixel_size_um: 0.1465}
stage: {limits_um: [-30, 30], focus_direction: toward_sample, overshoot_um: 1, settle_ms: 0}
camera: {exposure_ms: 2}
focus: {pair: {enabled: false}}
engines:
  sharpness: {enabled: false}
  hologram: {enabled: true, network: none, calibration: calibrations}
network: {control: "tcp://127.0.0.1:*", events: "tcp://127.0.0.1:*", frames: "tcp://127.0.0.1:*"}
"""
SHOWN_BEFORE = (
    "40x/0.75  (optics.objective)",
    "666 nm  (optics.wavelength_nm)",
    "1.3345  (engines.hologram.medium_index)",
    "0.1465 µm, binned 1 ×  (optics.pixel_size_um)",
    "toward_sample  (stage.focus_direction)",
    "7 places from -3.000 to 5.000 µm, 1.333 µm apart, each visited 2 times, arriving increasing; the stage is at 1 µm",
    "background: taken now",
    "18 images of 2 ms: 0.036 s of light",
)


@pytest.mark.slow
def test_a_calibration_is_explained_made_drawn_and_judged(cli: Cli, daemon: Running, tmp_path: Path) -> None:
    with daemon(CONFIG) as (_, address):
        options = ("--range-um", "4", "--steps", "7", "--background", "--yes", "--address", address)
        done = cli("calibrate", "hologram", *options)
        words = done.stdout
        for shown in SHOWN_BEFORE:
            assert shown in words, words + done.stderr
        assert words.index("background: taken now") < words.index("the background is taken") < words.index("scale: ")
        assert words.count("●") == 7
        scale = re.search(r"scale: ([0-9.]+) µm of focus per µm of stage", words)
        assert scale is not None
        assert float(scale[1]) == pytest.approx(1.3345, rel=0.02)
        assert "distances rise as the stage's coordinate rises" in words
        assert "sideband: plus, as stage steps have shown" in words
        assert "accepted: it holds from now on" in words
        assert done.returncode == 0
        (path,) = (tmp_path / "calibrations").glob("hologram-*.json")
        assert f"file: {path}" in words
        assert json.loads(path.read_text(encoding="utf-8"))["accepted"]
        where = json.loads(cli("send", "stage.position", "--json", "--address", address).stdout)
        assert where["z_um"] == pytest.approx(1.0, abs=0.05)


def test_nobody_at_the_keyboard_begins_nothing(cli: Cli, daemon: Running) -> None:
    with daemon(CONFIG) as (_, address):
        refused = cli("calibrate", "hologram", "--json", "--address", address)
        assert refused.returncode == 1
        assert not refused.stdout.strip()
        assert "11 places" in refused.stderr
        tasks = cli("send", "task.list", "--json", "--address", address)
        assert json.loads(tasks.stdout)["tasks"] == []


def test_what_is_missing_or_wrong_is_named(cli: Cli, daemon: Running) -> None:
    off = CONFIG.replace("hologram: {enabled: true", "hologram: {enabled: false")
    with daemon(off) as (_, address):
        refused = cli("calibrate", "hologram", "--yes", "--address", address)
        assert refused.returncode == 1
        assert re.search(r"not_ready: .*engines\.hologram\.enabled", refused.stderr)
        far = cli("calibrate", "hologram", "--steps", "4", "--address", address)
        assert far.returncode == 2
        both = cli("calibrate", "hologram", "--background", "--background-file", "a.tif", "--address", address)
        assert both.returncode == 2
        assert "--background-file" in both.stderr


def test_nobody_there_is_told(cli: Cli) -> None:
    gone = cli("calibrate", "hologram", "--yes", "--address", "tcp://127.0.0.1:9")
    assert gone.returncode == 1
    assert "no answer" in gone.stderr
