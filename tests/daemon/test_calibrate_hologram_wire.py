"""A calibration of holograms over the wire: a simulated stage, a simulated holographic scene, the real engines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.protocol.ops import CalibrateHologramOutcome
from microscoped.drivers.protocols import FocusDirection
from microscoped.models.hologram.calibration import HologramCalibration, load, read
from microscoped.simulators import SimulatedMicroscope, StageModel
from microscoped.simulators.holograms import BodiesParameters, HologramScene, HologramSetup, Reference
from tests.conftest import CONFIG, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INDEX = 1.3345
SETUP = HologramSetup(shape_px=(320, 320), bodies=BodiesParameters(count=5, z_um=(-1.5, 1.5), border_um=9.0), seed=11)
MOVED = replace(SETUP, reference=Reference(carrier_per_um=(2.2371 + 0.05, 2.2157 - 0.02)))


@pytest.fixture(scope="module")
def scene() -> HologramScene:
    return HologramScene(SETUP)


@pytest.fixture(scope="module")
def empty() -> HologramScene:
    """The same instrument, a place without cells."""
    return HologramScene(SETUP, bodies=())


@pytest.fixture(scope="module")
def moved(scene: HologramScene) -> HologramScene:
    """The same specimen after somebody has touched the reference beam."""
    return HologramScene(MOVED, bodies=scene.bodies)


@pytest.fixture
def rigs() -> Iterator[list[Rig]]:
    started: list[Rig] = []
    yield started
    for rig in started:
        rig.end()
        assert rig.exit_code == 0


def rig_of(
    rigs: list[Rig], scenes: list[HologramScene], folder: Path, side: str = "plus", **changes: dict[str, Any]
) -> Rig:
    """A daemon before a stage that rises against the light (toward the sample), or as `changes` of ``stage`` say."""
    stage: dict[str, Any] = {
        "limits_um": [-30, 30],
        "max_step_um": 40,
        "settle_ms": 0,
        "overshoot_um": 1.0,
        "focus_direction": "toward_sample",
        **changes.pop("stage", {}),
    }
    model = StageModel(
        start_um=2.0,
        focus_per_stage=INDEX if stage["focus_direction"] == "away" else -INDEX,
        backlash_um=0.4,
        jitter_um=0.01,
        speed_um_s=5000.0,
        settle_ms=1.0,
        focus_direction=FocusDirection(stage["focus_direction"]),
    )
    first, *others = scenes
    microscope = SimulatedMicroscope(first, model, more_scenes=others)
    content: dict[str, Any] = {
        **CONFIG,
        "optics": {"objective": "40x/0.75", "na": 0.75, "wavelength_nm": 666, "pixel_size_um": 0.1465},
        "stage": stage,
        "camera": {"exposure_ms": 2.0, "frame_allowance_s": 5.0},
        "engines": {
            "sharpness": {"enabled": False},
            "hologram": {"enabled": True, "network": "none", "side": side, "calibration": str(folder)},
        },
        **changes,
    }
    rig = Rig(Daemon(Config.model_validate(content), microscope=microscope), microscope)
    rigs.append(rig)
    while rig.scope.status()["state"] == "STARTING":
        pass
    return rig


def calibrate(rig: Rig, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - the op's
    with rig.scope.events("v1.task.", timeout_s=30) as events:
        task = rig.scope.request("calibrate.run", what="hologram", **params)["task"]
        answered = 0
        for heard in events:
            if heard.data["state"] != "running":
                break
            progress = heard.data["progress"]
            if progress.get("phase") == "waiting" and progress["field"] > answered:
                answered = progress["field"]
                rig.scope.request("calibrate.next", task=task)
    ended = rig.scope.request("task.get", task=task)["task"]
    assert ended["state"] == "done", ended["error"]
    result: dict[str, Any] = ended["result"]
    return CalibrateHologramOutcome.model_validate(result).model_dump(mode="json")


@pytest.mark.slow
def test_scale_sign_and_background_are_found_kept_and_used_in_the_next_life(
    scene: HologramScene, empty: HologramScene, rigs: list[Rig], tmp_path: Path
) -> None:
    rig = rig_of(rigs, [scene, empty], tmp_path)
    result = calibrate(rig, background="ask", range_um=5)
    assert result["accepted"], result["reasons"]
    assert result["focus_per_stage"] == pytest.approx(INDEX, rel=0.01)
    assert (result["sign"], result["side"], result["side_known"]) == (1, "plus", True)
    assert result["focus_per_stage_expected"] == pytest.approx(INDEX)
    assert result["play_um"] == pytest.approx(0.4, abs=0.1)
    assert result["repeatability_um"] < 0.1
    assert len(result["places"]) == 11
    assert result["images"] == 26
    assert rig.scope.position() == pytest.approx(2.0, abs=0.05)
    known = rig.scope.request("describe")["hologram"]
    assert known["calibrated"]
    assert known["stage_per_focus"] == pytest.approx(1 / INDEX, rel=0.01)
    # At the start the cells lie 2·n downstream of the plane in focus, which has gone against the light.
    middle = result["offset_um"] + result["focus_per_stage"] * 2.0
    assert middle == pytest.approx(2.0 * INDEX, abs=1.5)

    (path,) = tmp_path.glob("hologram-*.json")
    assert result["path"] == str(path)
    written = read(path)
    found = load(tmp_path, written.conditions)
    assert isinstance(found, HologramCalibration)
    assert found.background is not None
    assert found.background.sha256 == result["background"]["sha256"]
    next_life = rig_of(rigs, [scene, empty], tmp_path)
    assert next_life.scope.request("describe")["hologram"]["calibrated"]
    with next_life.scope.events("v1.measure.hologram.", timeout_s=30) as events:
        next_life.scope.snap()
        values = next(iter(events)).data["values"]
    assert values["background"]["kind"] == "hologram"
    assert values["background"]["sha256"] == result["background"]["sha256"]
    assert not values["background"]["stale"]


@pytest.mark.slow
def test_a_stage_that_runs_along_the_light_and_the_wrong_sideband(
    scene: HologramScene, rigs: list[Rig], tmp_path: Path
) -> None:
    rig = rig_of(rigs, [scene], tmp_path, side="minus", stage={"focus_direction": "away"})
    result = calibrate(rig, range_um=4, steps=9)
    assert result["accepted"], result["reasons"]
    assert result["focus_per_stage"] == pytest.approx(INDEX, rel=0.01)
    assert (result["sign"], result["side"], result["side_changed"]) == (-1, "plus", True)
    # What is measured from now on is read from the right one: the cells lie 2·n upstream.
    with rig.scope.events("v1.measure.hologram.", timeout_s=30) as events:
        rig.scope.snap()
        distance_um = next(iter(events)).data["values"]["z_min_contrast_um"]
    assert distance_um == pytest.approx(result["offset_um"] - INDEX * 2.0, abs=0.5)
    assert distance_um < -0.5


@pytest.mark.slow
def test_a_background_from_before_the_reference_was_touched_is_stale(
    empty: HologramScene, moved: HologramScene, rigs: list[Rig], tmp_path: Path
) -> None:
    rig = rig_of(rigs, [moved, empty], tmp_path)
    result = calibrate(rig, background="ask", range_um=5)
    assert not result["accepted"]
    (reason,) = result["reasons"]
    assert "take the background again" in reason
    assert "carrier" in reason
    assert result["images"] == 2
    assert not list(tmp_path.glob("*.npz"))
    assert rig.scope.position() == pytest.approx(2.0, abs=0.05)


@pytest.mark.slow
def test_while_the_direction_is_unknown_short_steps_still_give_the_scale(
    scene: HologramScene, rigs: list[Rig], tmp_path: Path
) -> None:
    rig = rig_of(rigs, [scene], tmp_path, stage={"focus_direction": "unknown", "approach": "increasing"})
    result = calibrate(rig, range_um=4, steps=9)
    assert result["accepted"], result["reasons"]
    assert result["focus_per_stage"] == pytest.approx(INDEX, rel=0.01)
    assert (result["sign"], result["side"], result["side_known"]) == (1, "plus", False)
    assert "stage.focus_direction is toward_sample" in result["warnings"][0]
