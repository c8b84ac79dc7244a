"""Measured holograms beside nrefocus: what the rows say, and that nothing passes without data."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = util.spec_from_file_location("_hologram_real", BENCHMARKS / "_hologram_real.py")
    assert spec is not None
    assert spec.loader is not None
    found = util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "_hologram_real", found)
    spec.loader.exec_module(found)
    return found


@pytest.mark.data
def test_a_row_tells_distances_phases_and_what_it_misses(real: ModuleType, data_dir: Path) -> None:
    (z, *_), row = real.field_of_a_cell(data_dir).distances(), real.row(real.field_of_a_cell(data_dir))
    assert row["z"] == [z.z_min_contrast]
    assert (row["passes"], row["reason"], row["unit"]) == (True, None, "µm")
    assert row["moved_dof"] < 0.01
    assert row["peak_rad"][0] == pytest.approx(4.6, abs=0.3)
    small = real.row(real.round_cell_over_background(data_dir))
    assert not small["passes"]
    assert "after our propagation: the cell fills a field" in "\n".join(real.lines([small]))
    json.dumps([row, small])


@pytest.mark.data
def test_distances_agree_with_nrefocus_within_a_depth_of_field(real: ModuleType, data_dir: Path) -> None:
    pytest.importorskip("nrefocus", reason="the extra [bench] is not installed")
    for make in (real.red_cells, real.round_cell, real.field_of_a_cell):
        row = real.row(make(data_dir))
        assert row["apart_dof"] < 1.0
        assert row["passes"], row["reason"]
    assert row["peer_z"] == pytest.approx([-0.878], abs=0.05)


@pytest.mark.data
def test_what_is_missed_by_more_than_allowed_is_a_reason(
    real: ModuleType, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specimen = real.field_of_a_cell(data_dir)
    monkeypatch.setattr(real, "peer_distance", lambda *_: 3.0)
    monkeypatch.setattr(real, "_peer_propagated", lambda *_: None)
    monkeypatch.setattr(real, "_ourselves", lambda field, _by: field)
    row = real.row(specimen)
    assert row["apart_dof"] == pytest.approx((3.0 - row["z"][0]) / row["dof"])
    assert row["moved_dof"] == pytest.approx(3.0 / row["dof"], rel=1e-6)
    assert row["moved_by_peer_dof"] is None
    assert not row["passes"]
    assert "1.16 DoF from nrefocus" in row["reason"]
    assert math.isnan(row["background_rad"])


def test_absent_data_are_told_and_nothing_passes(tmp_path: Path) -> None:
    program = (sys.executable, BENCHMARKS / "hologram_real.py", "--data", tmp_path)
    done = subprocess.run(list(map(str, program)), capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("is absent") == 5
