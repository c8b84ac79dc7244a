"""Focus from pairs of images through the wire, on the simulated microscope, with the shipped network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.engines import pair_engine
from microscoped.daemon.focus import light_sign
from microscoped.daemon.microscopes import build_microscope
from microscoped.daemon.runtime import PairEngine
from microscoped.drivers import FocusDirection, Optics
from microscoped.models.focus_pair.calibration import Calibration, Conditions, save
from microscoped.simulators import Faults, SimulatedMicroscope, StageModel
from microscoped.simulators.brightfield import BrightfieldScene, BrightfieldSetup
from tests.conftest import CONFIG, Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OPTICS = Optics(na=0.5, wavelength_nm=550, immersion_index=1.0, pixel_size_um=0.55)
DOF_UM = OPTICS.dof_um


@pytest.fixture(scope="module")
def tissue() -> BrightfieldScene:
    """Large enough for one tile of the network."""
    setup = BrightfieldSetup(optics=OPTICS, specimen_seed=2, shape_px=(256, 256), z_range_um=(-14.0, 14.0))
    return BrightfieldScene(setup, cache=None)


def configured(**focus: Any) -> Config:  # noqa: ANN401 - whatever the section takes
    optics = {"na": OPTICS.na, "wavelength_nm": OPTICS.wavelength_nm, "pixel_size_um": OPTICS.pixel_size_um}
    return Config.model_validate({**CONFIG, "optics": optics, "focus": {"range_um": 12, **focus}})


@pytest.fixture
def start(tissue: BrightfieldScene) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def begin(config: Config, stage: StageModel) -> Rig:
        # Optical positions rise along the light; a stage that rises toward the sample goes the other way.
        sign = light_sign(stage.focus_direction)
        microscope = SimulatedMicroscope(tissue, replace(stage, focus_per_stage=float(sign)), faults=Faults())
        rig = Rig(Daemon(config, microscope=microscope), microscope)
        rigs.append(rig)
        while rig.scope.status()["state"] == "STARTING":
            pass
        return rig

    yield begin
    for rig in rigs:
        rig.end()
        assert rig.exit_code == 0


@pytest.mark.parametrize("start_um", [-7.0, 7.0])
def test_a_pair_brings_the_specimen_into_focus(start: Callable[..., Rig], start_um: float) -> None:
    rig = start(configured(), StageModel(start_um=start_um, backlash_um=0.3))
    report = rig.scope.focus(method="pair")
    assert (report["method"], report["focused"]) == ("pair", True), report["why"]
    assert report["targets"] <= 4
    assert report["images"] <= 6
    assert abs(report["z_um"]) < 1.5 * DOF_UM
    assert all(pair["interval_um"] is not None for pair in report["pairs"])
    assert all(abs(pair["mean_ratio"] - 1) < 0.03 for pair in report["pairs"])
    snapshot = rig.scope.request("snapshot", topics=["v1.measure.focus_pair."])
    assert len(snapshot["topics"]) == 1


def test_without_a_calibration_auto_searches_and_says_why(start: Callable[..., Rig]) -> None:
    rig = start(configured(), StageModel(start_um=3.0))
    report = rig.scope.focus()
    assert report["method"] == "search"
    assert "calibration" in report["why"]


def test_a_hold_follows_a_specimen_that_drifts(start: Callable[..., Rig]) -> None:
    rig = start(configured(hold={"max_per_min": 600}), StageModel(start_um=1.0, drift_um_s=-0.4))
    rig.scope.request("camera.start")
    with rig.scope.events("v1.task.", timeout_s=20) as events:
        rig.scope.request("focus.hold", every_frames=8, method="search")
        planes = []
        for event in events:
            progress = event.data["progress"]
            if progress.get("rounds", 0) > len(planes) and not progress["failed"]:
                planes.append(progress["plane_um"])
            if len(planes) == 3:
                break
    ended = rig.scope.request("focus.release")["task"]
    rig.scope.wait(ended["task"])
    assert planes[2] < planes[0] - 0.1  # the stage counts against the light here
    assert rig.scope.status()["tasks"] == []


def test_an_accepted_calibration_is_found_and_used(tmp_path: Path) -> None:
    config = configured(pair={"calibration": tmp_path})
    opened = pair_engine(config)
    assert not isinstance(opened, str)
    engine, defaults = opened
    assert isinstance(engine, PairEngine)
    assert not defaults.calibrated
    assert str(tmp_path) in defaults.why_not
    conditions = Conditions(
        na=OPTICS.na,
        wavelength_nm=OPTICS.wavelength_nm,
        immersion_index=OPTICS.immersion_index,
        pixel_size_um=OPTICS.pixel_size_um,
        binning=1,
        delta_um=defaults.delta_um,
        approach="increasing",
        model_sha256=defaults.model_sha256,
    )
    kept = Calibration(made="2026-01-01", software="0", conditions=conditions, accepted=True, sign=-1)
    save(kept, tmp_path)
    opened = pair_engine(config)
    assert not isinstance(opened, str)
    assert (opened[1].calibrated, opened[1].sign, opened[1].binning) == (True, -1, 1)
    save(kept.model_copy(update={"conditions": conditions.model_copy(update={"delta_um": 3.0})}), tmp_path)
    opened = pair_engine(config)
    assert not isinstance(opened, str)
    assert not opened[1].calibrated
    assert "delta_um" in opened[1].why_not


@pytest.mark.parametrize(("direction", "sign"), [("toward_sample", -1.0), ("away", 1.0), ("unknown", 1.0)])
def test_a_simulated_stage_moves_the_plane_in_focus_as_it_says(direction: str, sign: float) -> None:
    content = {
        "microscope": {
            "kind": "simulated",
            "shape_px": [64, 64],
            "range_um": 3,
            "through_micromanager": False,
            "stage": {"focus_direction": direction},
        },
        "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.55},
    }
    microscope = build_microscope(Config.model_validate(content))
    assert isinstance(microscope, SimulatedMicroscope)
    with microscope:
        model = microscope.stage.model
        assert model.focus_per_stage == sign
        assert model.focus_direction == FocusDirection(direction)
