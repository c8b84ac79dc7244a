"""Pairs of real images are read and judged as the benchmark says; its figures are judged by people."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.focus_pair import EstimateSettings, PairOptics
from microscoped.models.focus_pair.calibration import Field, PairReading

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SETTINGS = EstimateSettings()


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = (sys.executable, BENCHMARKS / "pair_real.py", "--quick", *arguments)
    return subprocess.run(list(map(str, program)), capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    def load(name: str) -> ModuleType:
        spec = util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        found = util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, found)
        spec.loader.exec_module(found)
        return found

    return load


def field_read_as(
    answer: Callable[[float], float], *, reach_dof: float = 10.0, tiles: int = 1, against: bool = False
) -> Field:
    """A field, 0.5 µm a DoF, of which a network says ``answer(truth)``; with the wrong direction, only how far."""
    readings: dict[int, tuple[PairReading, ...]] = {}
    for sign in (1, -1):
        is_so = (sign == -1) == against
        readings[sign] = tuple(
            PairReading(
                z_um=float(z_dof) * 0.5,
                delta_dof=2.0 * sign,
                defocus_dof=np.full(tiles, answer(sign * float(z_dof)) if is_so else abs(z_dof), np.float32),
                expected_error_dof=np.full(tiles, 0.2, np.float32),
                features=np.zeros((tiles, 3), np.float32),
                contents=np.full(tiles, 0.1),
                centres=tuple((k / 10.0, 0.0) for k in range(tiles)),
            )
            for z_dof in np.linspace(-reach_dof, reach_dof, 41)
        )
    return Field(1, 0.0, 0.5, readings)


@pytest.mark.parametrize(
    ("answer", "reach_dof", "tiles", "expected"),
    [
        pytest.param(lambda z: z + 0.3, 10.0, 1, "works", id="right"),
        pytest.param(lambda z: 0.6 * z - 3.0, 10.0, 1, "calibrated away (line)", id="another scale, off the middle"),
        pytest.param(lambda z: 0.6 * z - 3.0, 10.0, 6, "calibrated away (line)", id="the same on six tiles"),
        pytest.param(lambda z: 0.0, 10.0, 1, "fails", id="a constant"),
        pytest.param(lambda z: 0.0, 0.8, 1, "cannot tell", id="a constant where that is nearly enough"),
        pytest.param(lambda z: abs(z), 10.0, 1, "fails", id="blind to the side"),
    ],
)
def test_the_verdict_says_what_a_user_gets(
    module: Callable[[str], ModuleType],
    answer: Callable[[float], float],
    reach_dof: float,
    tiles: int,
    expected: str,
) -> None:
    field = field_read_as(answer, reach_dof=reach_dof, tiles=tiles)
    found = module("_pair_real_scores").judged(field, SETTINGS, direction_known=True)
    assert found["verdict"] == expected
    assert ("tiles" in found["calibrated"]) == (tiles >= 4)


@pytest.mark.parametrize(
    ("against", "expected", "means"),
    [(False, "works", "sign +1"), (True, "calibrated away (line)", "sign -1")],
)
def test_an_unknown_direction_of_the_stage_is_found(
    module: Callable[[str], ModuleType], against: bool, expected: str, means: str
) -> None:
    field = field_read_as(lambda z: z + 0.1, against=against)
    found = module("_pair_real_scores").judged(field, SETTINGS, direction_known=False)
    assert found["verdict"] == expected
    assert means in found["calibrated"]["line"]["means"]


def test_wide_expected_errors_are_abstentions(module: Callable[[str], ModuleType]) -> None:
    field = field_read_as(lambda z: 0.0)
    unsure = EstimateSettings(abstain_above_dof=0.1)
    found = module("_pair_real_scores").judged(field, unsure, direction_known=True)
    assert found["as_read"]["abstained"] == 1.0
    assert found["as_read"]["misled"] == 0.0
    assert found["verdict"] == "abstains"


def test_figures_after_a_line_are_of_places_it_was_not_fitted_to(module: Callable[[str], ModuleType]) -> None:
    scores = module("_pair_real_scores")
    field = field_read_as(lambda z: 0.6 * z - 3.0)
    parts = [scores.part_of(field, calibrating=part) for part in (True, False)]
    fitted, others = ({reading.z_um for reading in part.readings[1]} for part in parts)
    assert not fitted & others
    assert len(fitted) == 14
    assert len(fitted) + len(others) == 41
    found = scores.judged(field, SETTINGS, direction_known=True)
    assert (found["as_read"]["pairs"], found["calibrated"]["line"]["pairs"]) == (41, 27)
    assert "slope 1.67, offset +5.00" in found["calibrated"]["line"]["means"]


@pytest.mark.parametrize(("wide", "deltas"), [(True, {1, 2, 3, 4, 5, 6, 7, 8}), (False, {4})])
def test_pairs_are_those_of_the_wanted_distance(
    module: Callable[[str], ModuleType], wide: bool, deltas: set[int]
) -> None:
    rows = module("_pair_real_rows")
    optics = PairOptics(na=0.5, wavelength_nm=500.0, immersion_index=1.0, pixel_size_um=0.25)
    assert optics.dof_um == 2.0
    z = np.arange(20.0) - 7.3
    frames = [np.zeros((4, 4), np.uint8)] * 20
    row = rows.Row("made", "real", optics, frames, z, 0.0, wide, "")
    found = rows.pair_indices(row)
    assert {second - first for first, second in found} == deltas
    assert len(found) == sum(20 - delta for delta in deltas)


@pytest.mark.slow
def test_a_section_of_the_kind_that_was_trained_on_is_read_with_the_right_sign(tmp_path: Path) -> None:
    figures = tmp_path / "pairs.json"
    done = run("--rows", "control", "--data", tmp_path, "--json", figures)
    assert figures.exists(), done.stdout + done.stderr
    (row,) = json.loads(figures.read_text())
    assert row["as_read"]["pairs"] == row["as_read"]["told"] == 19
    assert row["as_read"]["wrong_sign"] <= 0.1
    assert row["as_read"]["mean_dof"] < 0.5 * row["constant"]["mean_dof"]
    assert done.returncode == 1, "the control alone is no result"


@pytest.mark.slow
def test_the_demonstration_beads_are_sharpest_at_zero_and_are_read(tmp_path: Path) -> None:
    figures = tmp_path / "pairs.json"
    done = run("--rows", "E3", "--data", tmp_path, "--json", figures)
    assert figures.exists(), done.stdout + done.stderr
    (row,) = json.loads(figures.read_text())
    assert row["kind"] == "plumbing"
    assert row["as_read"]["pairs"] == 19
    assert np.allclose(row["read"]["truth_dof"], np.arange(-8.0, 11.0))
    assert set(row["calibrated"]) == {"line", "tiles"}
    assert row["as_read"]["error_blur_px"][0] == pytest.approx(2.0 * row["as_read"]["median_dof"])
    assert ("fails" in row["verdict"]) == (done.returncode == 1)


def test_rows_that_cannot_be_read_say_why_and_nothing_passes(tmp_path: Path) -> None:
    done = run("--data", tmp_path, "--rows", "fl-psf-beads", "lsfm-dfnn", "ph-isl", "hl60", "bf-", "fluo", "phase")
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("is absent") == 6
    assert "neither its step nor its pixel size is documented" in done.stdout


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_real_beads_and_cells_are_read(data_dir: Path, tmp_path: Path) -> None:
    figures = tmp_path / "pairs.json"
    done = run("--data", data_dir, "--rows", "fl-psf-beads", "hl60", "bf-sephace", "--json", figures)
    assert figures.exists(), done.stdout + done.stderr
    found: dict[str, dict[str, Any]] = {row["name"]: row for row in json.loads(figures.read_text())}
    assert "refused: frames of 112 × 112 pixels hold no tile" in found.pop("hl60-field")["reason"]
    assert len(found) == 4
    for row in found.values():
        assert row["as_read"]["pairs"] >= 19
        assert min(row["read"]["truth_dof"]) < -5.0
        assert max(row["read"]["truth_dof"]) > 5.0
        assert row["verdict"] in done.stdout
    words = [row["verdict"] for row in found.values()]
    assert ("fails" in words) == (done.returncode == 1)
