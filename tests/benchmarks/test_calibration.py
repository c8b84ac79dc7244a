"""The benchmark of calibrations tells right from wrong; its figures are judged by people."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    from _calibration_judge import Fresh
    from _calibration_scenes import Bench
    from _calibration_scope import Scope

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


class Knowing:
    """An engine that knows where the focus is; what it says of it is up to a function of µm of the stage."""

    def __init__(self, scope: Scope, focus_um: float, says: Callable[[float], float | None]) -> None:
        self._scope, self._focus_um, self._says = scope, focus_um, says

    def measure(self, _frames: Sequence[Any], _options: Mapping[str, Any]) -> dict[str, Any]:
        said = self._says((self._scope.optical_um() - self._focus_um) / self._scope.bench.per_stage)
        return {
            "defocus_um": said,
            "interval_um": None if said is None else [said - 1.0, said + 1.0],
            "reason": "" if said is not None else "uncertain",
            "mean_ratio": 1.0,
            "modes_um": [] if said is None else [said],
        }


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def small(part: Callable[[str], ModuleType]) -> Bench:
    """A good microscope with frames of one tile."""
    plain: Bench = part("_calibration_scenes").PLAIN
    return replace(plain, tiles=1, backlash_um=0.0, jitter_um=0.0, drift_um_s=0.0)


def fresh(part: Callable[[str], ModuleType], bench: Bench, focus_um: float) -> Fresh:
    made: Fresh = part("_calibration_judge").Fresh(part("_calibration_scenes").Empty(bench.side_px), focus_um)
    return made


@pytest.mark.parametrize("per_stage", [1.0, -1.12])
def test_the_truth_of_fresh_pairs_is_in_the_stages_own_micrometres(
    part: Callable[[str], ModuleType], small: Bench, per_stage: float
) -> None:
    bench = replace(small, per_stage=per_stage)
    scope = part("_calibration_scope").Scope(bench, 1)
    focus_z_um = 3.0 / per_stage
    engine = Knowing(scope, 3.0, lambda _truth: scope.z_um - focus_z_um)
    found = part("_calibration_judge").fresh_pairs(scope, engine, [fresh(part, bench, 3.0)])
    assert found.pairs == found.told == part("_calibration_judge").PAIRS
    assert found.mean_dof < 0.01
    assert found.wrong_sign == 0.0
    other = Knowing(scope, 3.0, lambda truth: -truth)
    assert part("_calibration_judge").fresh_pairs(scope, other, [fresh(part, bench, 3.0)]).wrong_sign == 1.0


@pytest.mark.parametrize(
    ("says", "confirmed", "wrong", "suspended"),
    [
        (lambda um: um, True, False, False),
        (lambda um: -um, False, False, True),
        (lambda um: um + 8.0, True, True, False),
        (lambda _um: None, False, False, False),
    ],
    ids=["right", "the other way round", "consistently off", "no answer"],
)
def test_focus_runs_tell_confirmed_wrong_and_suspended_apart(
    part: Callable[[str], ModuleType],
    small: Bench,
    says: Callable[[float], float | None],
    confirmed: bool,
    wrong: bool,
    suspended: bool,
) -> None:
    judge = part("_calibration_judge")
    scope = part("_calibration_scope").Scope(small, 1)
    found = judge.focus_runs(scope, Knowing(scope, 2.0, says), [fresh(part, small, 2.0)])
    assert bool(found.suspended) == suspended
    assert found.runs < judge.RUNS if suspended else found.runs == judge.RUNS
    assert found.wrong == (found.confirmed if wrong else 0)
    if suspended:
        # Runs that begin at the focus see no harm.
        assert found.confirmed < found.runs / 2
    else:
        assert found.confirmed == (found.runs if confirmed else 0)


@pytest.mark.parametrize("dust", [0, 4])
def test_an_empty_slide_is_rejected_before_anything_is_swept(
    part: Callable[[str], ModuleType], small: Bench, tmp_path: Path, dust: int
) -> None:
    sensor = importlib.import_module("microscoped.simulators.sensor").SensorModel(dust=dust)
    scope = part("_calibration_scope").Scope(small, 3, sensor=sensor)
    empty = part("_calibration_scenes").Empty(small.side_px)
    network = cast("Any", None)
    run = part("_calibration_run").Calibrating(scope, network, "a" * 64, tmp_path, 6, lambda _n: scope.show(empty))
    verdict = run.run()
    assert not verdict.accepted
    assert (verdict.stopped, verdict.calibration) == ("searching", None)
    assert len(verdict.rejected) == run.plan.rejections + 1
    assert verdict.images < run.plan.images_most / 3


def test_a_field_fades_beyond_what_was_rendered_and_is_sharpest_where_it_lies(
    part: Callable[[str], ModuleType], small: Bench, tmp_path: Path
) -> None:
    scenes = part("_calibration_scenes")
    seen = scenes.view(small, 1, tmp_path)
    contrast = [float(np.std(seen.light(seen.offset_um + dof * 2.2))) for dof in (0.0, 4.0, 12.9, 40.0)]
    assert contrast == sorted(contrast, reverse=True)
    assert abs(scenes.true_focus_um(small, seen) - seen.offset_um) < small.optics.dof_um
    again = scenes.view(small, 1, tmp_path)
    assert np.array_equal(seen.codes, again.codes)


def test_what_misses_its_target_is_named(part: Callable[[str], ModuleType]) -> None:
    good = {
        "name": "a",
        "accepted": True,
        "fresh": {"mean_dof": 0.4},
        "runs": {"suspended": ""},
    }
    found: dict[str, Any] = {
        "microscopes": [good, {"name": "b", "accepted": False}],
        "hopeless": [{"name": "empty", "rejected": 2, "tried": 2}],
        "foreign": [{"from": "a", "to": "b", "verdict": "caught", "wrong": 0, "confirmed": 0}],
    }
    misses = part("calibration").misses
    assert misses(found, 1) == []
    bad: dict[str, Any] = {
        "microscopes": [{**good, "fresh": {"mean_dof": 0.6}, "runs": {"suspended": "too far"}}],
        "hopeless": [{"name": "empty", "rejected": 1, "tried": 2}],
        "foreign": [{"from": "a", "to": "b", "verdict": "MISSED", "wrong": 3, "confirmed": 9}],
    }
    told = misses(bad, 1)
    for words in ("0 of 1 microscopes", "a was suspended", "empty: 1 of 2", "3 of 9 ends wrong"):
        assert any(words in one for one in told), (words, told)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_plain_microscope_is_calibrated_and_the_hopeless_ones_are_rejected(tmp_path: Path) -> None:
    found = tmp_path / "calibration.json"
    program = (BENCHMARKS / "calibration.py", "--quick", "--cache", tmp_path, "--json", found)
    done = subprocess.run(
        [sys.executable, *map(str, program)], capture_output=True, text=True, timeout=280, check=False
    )
    assert found.exists(), done.stdout + done.stderr
    figures = json.loads(found.read_text(encoding="utf-8"))
    (row,) = figures["microscopes"]
    assert row["stopped"] == "done"
    assert row["sign"] == 1
    assert row["after"]["pairs"] == 53
    assert row["stage"]["backlash_um"] == pytest.approx(0.5, abs=0.2)
    assert [one["rejected"] for one in figures["hopeless"]] == [2, 2, 2]
    for one in figures["hopeless"]:
        assert one["images_worst"] < one["images_most"] / 2
    assert ("MISSED" in done.stdout) == (done.returncode == 1) == bool(figures["missed"])
