"""The benchmark of focusing calibrates as the daemon does, and goes on where it was interrupted."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.runtime import PairEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STAGE_SIGN = -1
OFFSET_UM = 1.5


@dataclass
class Chart:
    """A scene that shows how far it is out of focus: contrast falls with the distance, and one pixel tells the sign."""

    colour: bool = False
    bit_depth: int = 12

    @property
    def setup(self) -> Any:  # noqa: ANN401 (stands for the setup of a rendered scene)
        return SimpleNamespace(colour=self.colour, optics=SimpleNamespace(pixel_size_um=0.325))

    def expose(self, z_um: float, _exposure_ms: float, _shot: int) -> NDArray[np.uint16]:
        rows, columns = np.indices((64, 64))
        frame = 2000 + 1500 / (1 + z_um**2) * np.where((rows // 4 + columns // 4) % 2, 1, -1)
        frame[0, 0] = 2000 + 20 * z_um
        return np.asarray(frame, np.uint16)


class Told(PairEngine):
    """Reads the defocus from the frame, but only right with the calibration's sign and correction."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(dict(options))
        defocus_um = (float(frames[1][0, 0]) - 2000) / 20
        defocus_um *= 1.0 if options["sign"] == STAGE_SIGN and options["calibrated"] else -1.0
        return {
            "defocus_um": defocus_um,
            "interval_um": [defocus_um - 0.3, defocus_um + 0.3],
            "reason": "",
            "mean_ratio": 1.0,
            "modes_um": [defocus_um],
        }


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def scope_at(part: Callable[[str], ModuleType], z_um: float) -> Any:  # noqa: ANN401 (a module found at run time)
    report, scope = part("_focus_report"), part("_scope")
    return scope.Scope(Chart(), report.STAGES[0], report.COSTS[0], scope.Start(1, 0, z_um), one_sided=True)


@pytest.mark.parametrize("z_um", [-6.0, 0.4, 7.0])
def test_an_accepted_calibration_focuses_by_its_sign_and_correction(
    part: Callable[[str], ModuleType], z_um: float
) -> None:
    scope, engine = scope_at(part, z_um), Told()
    end = part("_calibrated").auto_focus(scope, part("_calibrated").Trusted(engine, STAGE_SIGN), 0.96, 24.0)
    assert end in {"verified", "another pair", "corrected"}
    assert abs(scope.defocus_um) < 0.3
    assert {(one["sign"], one["calibrated"]) for one in engine.asked} == {(STAGE_SIGN, True)}


@pytest.mark.parametrize("z_um", [-6.0, 0.4, 7.0])
def test_a_rejected_calibration_leaves_the_search_and_says_so(part: Callable[[str], ModuleType], z_um: float) -> None:
    scope, alone = scope_at(part, z_um), scope_at(part, z_um)
    calibrated = part("_calibrated")
    own = calibrated.trusted({"accepted": False, "reasons": ["too far", "too wide"], "file": None}, None)
    assert (own.engine, own.reason) == (None, "too far; too wide")
    assert calibrated.auto_focus(scope, own, 0.96, 24.0) == calibrated.REJECTED
    assert part("_ours").search_focus(alone, 0.96, 24.0) == "done"
    assert (scope.images, scope.z_um) == (alone.images, alone.z_um)


def test_fields_of_a_slide_lie_at_heights_of_their_own(part: Callable[[str], ModuleType]) -> None:
    field = part("_slides").Field(Chart(), OFFSET_UM)
    stand = part("_calibrated").Stand(lambda _number: field)
    stand.show(1)
    found = stand.search()
    assert found.focused
    assert found.z_um == pytest.approx(OFFSET_UM, abs=0.3)
    before_s = stand.t_s
    stand.show(2)
    assert stand.t_s - before_s == pytest.approx(part("_calibration_scope").CHANGE_S)


def test_slides_for_calibrating_are_not_those_of_the_runs(
    part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    slides = part("_slides")
    monkeypatch.setattr(slides, "BrightfieldScene", lambda setup, **_told: setup)
    monkeypatch.setattr(slides, "_sharpest_um", lambda *_told: 0.0)
    runs = [slides.make_slide(number, 64, None).scene for number in range(100)]
    fields = [slides.calibration_field(number, 64, None, colour=False).scene for number in range(1, 51)]
    several = [slides.calibration_field(number, 64, None, colour=True, slides=6).scene for number in range(1, 51)]
    seeds = {setup.specimen_seed for setup in runs}
    assert seeds.isdisjoint(setup.specimen_seed for setup in (*fields, *several))
    assert len({setup.specimen_seed for setup in fields}) == len(fields)
    drawn = {repr(setup.specimen) for setup in runs}
    assert len({repr(setup.specimen) for setup in fields}) == 1
    assert len({repr(setup.specimen) for setup in several}) == 6
    assert drawn.isdisjoint(repr(setup.specimen) for setup in (*fields, *several))


def row(stage: str, costs: str, method: str, images: float, within: float) -> dict[str, Any]:
    spread = {"median": images, "mean": images, "p95": images}
    names = ("images", "moves", "ms", "slow_ms")
    kept = {"within_half": within, "within_half_of_sharpest": 1.0, "best": True}
    return {"stage": stage, "costs": costs, "method": method, **dict.fromkeys(names, spread), **kept}


def test_targets_are_those_of_the_calibrated_pair_with_the_other_beside_it(part: Callable[[str], ModuleType]) -> None:
    report = part("_focus_report")
    rows = [
        row(stage.name, report.COSTS[0].name, method, images, within)
        for stage in report.STAGES
        for method, images, within in (("pair, calibrated", 3, 0.96), ("pair", 4, 0.6), ("Brent, one-sided", 8, 1.0))
    ]
    targets = report.judge(rows, {"tiles": 25, "ms": 70.0}, "middle")
    assert len(targets) == 3 * 6 + 1
    assert all(target["met"] for target in targets)
    found = {target["what"]: (target["found"], target["uncalibrated"]) for target in targets}
    assert found["ideal: images, median"] == (3, 4)
    assert found["ideal: images and dose over Brent, one-sided, means"] == (3 / 8, 4 / 8)
    assert found["jitter and drift: within half a depth of field of the middle"] == (0.96, 0.6)
    assert found["decision on 25 tiles, ms"] == (70.0, None)
    names = {"pair": "pair, calibrated", "pair, calibrated": "pair"}
    swapped = [{**one, "method": names.get(one["method"], one["method"])} for one in rows]
    worse = report.judge(swapped, {"tiles": 25, "ms": 70.0}, "middle")
    assert sum(not target["met"] for target in worse) == 3 * 4


@dataclass(frozen=True)
class Quick:
    """One quick run of the benchmark: its figures, what it said, and the folder where its rendered slides are."""

    folder: Path
    figures: dict[str, Any]
    said: str
    code: int


def run_quickly(folder: Path, figures: Path, *more: str) -> subprocess.CompletedProcess[str]:
    program = (BENCHMARKS / "focus.py", "--quick", "--starts", "2", "--cache", folder / "cache", "--json", figures)
    command = [sys.executable, *map(str, program), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Quick:
    folder = tmp_path_factory.mktemp("quick")
    figures = folder / "focus.json"
    done = run_quickly(folder, figures)
    assert figures.exists(), done.stdout + done.stderr
    return Quick(folder, json.loads(figures.read_text(encoding="utf-8")), done.stdout, done.returncode)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_method_of_focusing_begins_at_the_same_places_and_pays_for_all_it_does(quick: Quick) -> None:
    figures = quick.figures
    runs: list[dict[str, Any]] = figures["runs"]
    by_method: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in runs:
        by_method.setdefault((one["method"], one["score"]), []).append(one)
    assert {name for name, _ in by_method} == {
        "pair, calibrated",
        "pair",
        "search",
        "Brent, one-sided",
        "Brent, two-sided",
        "OughtaFocus",
        "JAF(H&P)",
    }
    begun = {tuple((one["stage"], one["costs"], one["z_um"]) for one in own) for own in by_method.values()}
    assert len(begun) == 1
    for one in runs:
        exposure_ms, settle_ms = (10.0, 50.0) if one["costs"] == "10 / 50 ms" else (100.0, 200.0)
        least_ms = one["images"] * (exposure_ms + 10.0) + one["rests"] * settle_ms + one["compute_ms"]
        assert one["time_ms"] >= least_ms + one["travel_um"] / 0.5 * 0.99
        assert one["moves"] >= one["rests"]
        assert one["compute_ms"] > 0
    assert {row["stage"] for row in figures["rows"]} == {"ideal", "0.5 µm backlash", "jitter and drift"}
    best = [row for row in figures["rows"] if row["best"] and row["costs"] == "10 / 50 ms"]
    assert len(best) == 3 * 7
    assert figures["decision"]["tiles"] == 25
    assert ("a target was MISSED" in quick.said) == (quick.code == 1)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_quick_run_calibrates_first_and_an_interrupted_one_goes_on(quick: Quick, tmp_path: Path) -> None:
    whole = quick.figures
    (camera,) = whole["calibrations"]
    told = whole["calibrations"][camera]
    assert camera == "monochrome"
    assert told["stopped"] == "done"
    assert told["images"] > 3 * 41
    assert told["dose_ms"] == 10.0 * told["images"]
    assert told["seconds"] > 3 * 10.0
    assert len(told["file"]["fields"]) >= 3
    ends = {one["end"] for one in whole["runs"] if one["method"] == "pair, calibrated"}
    rejected = "calibration rejected: search"
    assert told["accepted"] == (rejected not in ends)
    assert told["accepted"] or ends <= {rejected, "no focus"}
    assert f"calibration, {camera}: {'accepted' if told['accepted'] else 'REJECTED'}" in quick.said

    # As if it had been interrupted before the first specimen was through.
    found = tmp_path / "focus.json"
    found.write_text(json.dumps({**whole, "runs": [], "specimens": []}), encoding="utf-8")
    again = run_quickly(quick.folder, found, "--resume")
    resumed = json.loads(found.read_text(encoding="utf-8"))
    assert resumed["calibrations"] == whole["calibrations"], again.stderr
    still = [[one["images"] for one in kept["runs"] if "drift" not in one["stage"]] for kept in (whole, resumed)]
    assert still[0] == still[1]
    assert len(resumed["runs"]) == len(whole["runs"])

    # All is through: nothing is run again.
    run_quickly(quick.folder, found, "--resume")
    assert json.loads(found.read_text(encoding="utf-8"))["runs"] == resumed["runs"]

    other = run_quickly(quick.folder, found, "--resume", "--calibration-slides", "2")
    assert other.returncode == 1
    assert "calibration_slides 1, not 2" in other.stderr
