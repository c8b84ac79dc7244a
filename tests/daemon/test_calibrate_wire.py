"""A whole calibration over the wire: simulated stage and specimen, the shipped network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.protocol.ops import CalibrateOutcome
from microscoped.models.focus_pair.calibration import Conditions, find, load
from microscoped.simulators import SimulatedMicroscope, StageModel
from microscoped.simulators.brightfield import BrightfieldScene, BrightfieldSetup
from tests.conftest import CONFIG, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NA = 0.5


@pytest.fixture(scope="module")
def scenes() -> list[BrightfieldScene]:
    from microscoped.drivers import Optics

    optics = Optics(na=NA, wavelength_nm=550, immersion_index=1.0, pixel_size_um=0.65)
    return [
        BrightfieldScene(
            BrightfieldSetup(
                optics=optics, shape_px=(224, 224), z_range_um=(-26.0, 26.0), specimen_seed=seed, n_source_points=7
            ),
            seed=seed,
            cache=None,
        )
        for seed in (1, 2, 3)
    ]


def rig_of(scenes: list[BrightfieldScene], folder: Path, **stage: Any) -> Rig:  # noqa: ANN401 - of StageModel
    first, *others = scenes
    model = StageModel(focus_per_stage=-1.0, backlash_um=0.3, jitter_um=0.02, speed_um_s=5000.0, settle_ms=1.0, **stage)
    microscope = SimulatedMicroscope(first, model, more_scenes=others)
    changes: dict[str, dict[str, Any]] = {
        "optics": {"objective": "20x/0.5", "na": NA, "wavelength_nm": 550, "pixel_size_um": 0.65},
        "stage": {"limits_um": [-50, 50], "max_step_um": 100, "settle_ms": 0},
        "camera": {"exposure_ms": 2.0},
        "focus": {"range_um": 10, "pair": {"calibration": str(folder)}},
    }
    content = {section: {**CONFIG.get(section, {}), **changes.get(section, {})} for section in {*CONFIG, *changes}}
    return Rig(Daemon(Config.model_validate(content), microscope=microscope), microscope)


@pytest.fixture
def rigs() -> Iterator[list[Rig]]:
    started: list[Rig] = []
    yield started
    for rig in started:
        rig.end()


def calibrate(rig: Rig, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - the op's
    while rig.scope.status()["state"] == "STARTING":
        pass
    events = rig.scope.events("v1.task.", timeout_s=30)
    task = rig.scope.request("calibrate.run", **params)["task"]
    for heard in events:
        if heard.data["state"] != "running":
            break
        if heard.data["progress"].get("phase") == "waiting":
            rig.scope.request("calibrate.next", task=task)
    ended = rig.scope.request("task.get", task=task)["task"]
    assert ended["state"] == "done", ended["error"]
    result: dict[str, Any] = ended["result"]
    return CalibrateOutcome.model_validate(result).model_dump(mode="json")


@pytest.mark.slow
def test_a_calibration_tells_the_truth_about_the_shipped_network(
    scenes: list[BrightfieldScene], rigs: list[Rig], tmp_path: Path
) -> None:
    rig = rig_of(scenes, tmp_path)
    rigs.append(rig)
    result = calibrate(rig, fields=3)
    assert [field["role"] for field in result["fields"]] == ["fit", "fit", "judge"]
    assert result["stage"]["backlash_um"] == pytest.approx(0.3, abs=0.2)
    assert result["stage"]["jitter_um"] < 0.1
    assert result["closed_loop"]["moves"] == 20
    assert result["after"]["pairs"] > 30
    figures, moves = result["after"], result["closed_loop"]
    passes = (
        figures["mean_dof"] <= 0.5
        and figures["p95_dof"] <= 1.0
        and (figures["wrong_sign"] or 0.0) <= 0.01
        and 0.8 <= figures["coverage"] <= 0.97
        and figures["told"] >= 0.9 * figures["pairs"]
        and moves["within"] >= 0.95
        and moves["told"] >= 18
    )
    assert result["accepted"] is passes, (result["reasons"], figures, moves)
    assert bool(result["reasons"]) is not passes
    written = load(next(tmp_path.glob("*.json")))
    assert written.accepted is passes
    assert written.conditions.objective == "20x/0.5"
    assert str(next(tmp_path.glob("*.json"))) == result["path"]
    assert next(tmp_path.glob("*.svg")).read_text(encoding="utf-8").startswith("<svg")
    assert rig.scope.request("describe")["focus"]["pair"]["calibrated"] is passes
    present = Conditions.model_validate(written.conditions.model_dump())
    assert (find(tmp_path, present)[0] is not None) is passes


@pytest.mark.slow
def test_fields_that_show_the_same_place_are_rejected(
    scenes: list[BrightfieldScene], rigs: list[Rig], tmp_path: Path
) -> None:
    rig = rig_of(scenes[:1], tmp_path)
    rigs.append(rig)
    result = calibrate(rig, fields=3)
    assert not result["accepted"]
    assert "the same place as field 1" in result["rejected"][0]


@pytest.mark.slow
def test_a_drifting_specimen_is_rejected_with_the_drift(
    scenes: list[BrightfieldScene], rigs: list[Rig], tmp_path: Path
) -> None:
    rig = rig_of(scenes, tmp_path, drift_um_s=3.0)
    rigs.append(rig)
    result = calibrate(rig, fields=3)
    assert not result["accepted"]
    told = " ".join([*result["reasons"], *result["rejected"]])
    assert "drift" in told or "focus" in told
    assert not list(tmp_path.glob("focus_pair-2*.json"))
