"""The engine that calibrates: simulated holograms at steps of a stage whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.hologram import HologramEngineSettings, HologramOptics, ReconstructionSettings, Side
from microscoped.models.hologram.calibration import (
    Conditions,
    HologramCalibration,
    HologramCalibrationEngine,
    HologramCalibrationSetup,
    load,
    read,
)
from microscoped.models.hologram.stored import background_path
from microscoped.simulators.holograms import BodiesParameters, HologramScene, HologramSetup, Reference

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FOCUS_PER_STAGE = 1.3345
SHAPE = (384, 384)
PIXEL_UM = 0.1465
BODIES = BodiesParameters(count=6, z_um=(-1.5, 1.5), border_um=9.0)
MOVED = Reference(carrier_per_um=(2.2371 + 0.08, 2.2157))
OPTICS = HologramOptics(0.666, PIXEL_UM, 0.75, 1.3345)
CONDITIONS = {"pixel_size_um": PIXEL_UM, "binning": 1, "focus_direction": "toward_sample"}


@pytest.fixture(scope="module")
def scene() -> HologramScene:
    return HologramScene(HologramSetup(shape_px=SHAPE, bodies=BODIES, seed=5))


@pytest.fixture(scope="module")
def moved(scene: HologramScene) -> HologramScene:
    """The same specimen after somebody has touched the reference beam."""
    return HologramScene(replace(scene.setup, reference=MOVED), bodies=scene.bodies)


@pytest.fixture(scope="module")
def series(scene: HologramScene) -> dict[int, NDArray[Any]]:
    """Holograms at nine places of the stage; z rises toward the sample, so the plane in focus goes upstream."""
    return {k: scene.expose(-FOCUS_PER_STAGE * z_um(k), 10.0, shot=k) for k in range(9)}


def z_um(place: int) -> float:
    return 1.0 * (place - 4)


class Calibrating:
    """An engine, and the steps that it is taken through."""

    def __init__(self, folder: Path, side: Side = Side.PLUS, **setup: Any) -> None:  # noqa: ANN401 - of the setup
        settings = HologramEngineSettings(OPTICS, ReconstructionSettings(side=side))
        self.learned: list[HologramCalibration] = []
        self.folder = folder
        self.engine = HologramCalibrationEngine(
            HologramCalibrationSetup(settings, folder, "40x/0.75", "1.0", **setup), learn=self.learned.append
        )

    def background(self, frame: NDArray[Any], file: str | None = None) -> dict[str, Any]:
        options = {"action": "background", "taken": "2026-01-01T00:00:00+00:00", "pixel_size_um": PIXEL_UM}
        return dict(self.engine.measure([frame], {**options, "file": file}))

    def steps(self, frames: dict[int, NDArray[Any]], background: str = "keep", visits: int = 2) -> list[dict[str, Any]]:
        told = []
        for number, (visit, place) in enumerate((v, p) for v in range(visits) for p in frames):
            options = {
                "action": "step",
                "run": "task",
                "begin": number == 0,
                "place": place,
                "visit": visit,
                "reverse": False,
                "z_um": z_um(place),
                "t_s": 0.3 * number,
                "pixel_size_um": PIXEL_UM,
                "background": background,
            }
            told.append(dict(self.engine.measure([frames[place]], options)))
        return told

    def finish(self, light_sign: int = -1, reasons: tuple[str, ...] = ()) -> dict[str, Any]:
        options = {
            "action": "finish",
            "reasons": list(reasons),
            "light_sign": light_sign,
            "overshoot_um": 1.0,
            "conditions": CONDITIONS,
            "made": "2026-01-01T00:10:00+00:00",
            "images": 18,
            "dose_ms": 180.0,
        }
        return dict(self.engine.measure([np.zeros((64, 64), np.uint8)], options))


def test_scale_and_sign_are_those_of_the_stage(series: dict[int, NDArray[Any]], tmp_path: Path) -> None:
    world = Calibrating(tmp_path)
    told = world.steps(series)
    assert all(step["cells"] >= 4 and step["reason"] == "" and step["stale"] == "" for step in told)
    result = world.finish()
    assert result["accepted"], result["reasons"]
    line = result["line"]
    assert line["slope"] == pytest.approx(FOCUS_PER_STAGE, rel=0.01)
    assert abs(line["slope"] - FOCUS_PER_STAGE) <= 2 * line["half_width"] + 0.005
    assert line["repeatability_um"] < 0.05
    assert (result["side"], result["side_known"], result["side_changed"]) == (1, True, False)
    assert not any("wrong way round" in warning for warning in result["warnings"])
    assert result["background"] is None
    assert len(world.learned) == 1
    assert read(tmp_path / "hologram-40x_0.75-b1.json").line is not None
    assert (tmp_path / "hologram-40x_0.75-b1.svg").read_text(encoding="utf-8").startswith("<svg")
    found = load(tmp_path, Conditions.model_validate(world.learned[0].record.conditions.model_dump()))
    assert isinstance(found, HologramCalibration)
    assert found.sign == 1


def test_the_wrong_sideband_is_found_out_and_left(series: dict[int, NDArray[Any]], tmp_path: Path) -> None:
    world = Calibrating(tmp_path, side=Side.MINUS)
    told = world.steps(series)
    # Read from the conjugate, distances fall where they should rise.
    assert told[0]["distance_um"] > told[8]["distance_um"]
    result = world.finish()
    assert result["accepted"], result["reasons"]
    assert (result["side"], result["side_known"], result["side_changed"]) == (1, True, True)
    assert result["line"]["slope"] == pytest.approx(FOCUS_PER_STAGE, rel=0.01)
    assert "plus is the right sideband, not minus" in result["warnings"][0]
    assert len(result["warnings"]) == 1  # the phase agrees
    assert world.engine.side is Side.PLUS
    # From now on the right one is read.
    again = world.steps({place: series[place] for place in (0, 8)}, visits=1)
    assert again[0]["distance_um"] < again[1]["distance_um"]


def test_an_unknown_direction_keeps_the_side_and_says_what_follows(
    series: dict[int, NDArray[Any]], tmp_path: Path
) -> None:
    world = Calibrating(tmp_path, side=Side.MINUS)
    world.steps(series)
    result = world.finish(light_sign=0)
    assert result["accepted"], result["reasons"]
    assert (result["side"], result["side_known"]) == (-1, False)
    assert result["line"]["slope"] == pytest.approx(-FOCUS_PER_STAGE, rel=0.01)
    (warning,) = result["warnings"]
    assert "stage.focus_direction is unknown" in warning
    assert "plus is the right one and stage.focus_direction is toward_sample" in warning


def test_a_direction_declared_the_wrong_way_round_contradicts_the_phase(
    series: dict[int, NDArray[Any]], tmp_path: Path
) -> None:
    world = Calibrating(tmp_path)
    world.steps(series)
    result = world.finish(light_sign=1)
    assert result["side"] == -1
    assert any("the wrong way round" in warning for warning in result["warnings"])


@pytest.mark.slow
def test_a_background_is_kept_with_its_date_and_hash_and_used_again(
    scene: HologramScene, series: dict[int, NDArray[Any]], tmp_path: Path
) -> None:
    world = Calibrating(tmp_path)
    taken = world.background(scene.background(10.0, shot=99))
    assert taken["reason"] == ""
    assert not list(tmp_path.iterdir())  # it is only written with an accepted calibration
    assert not any(step["stale"] for step in world.steps(series, "taken"))
    result = world.finish()
    assert result["accepted"], result["reasons"]
    assert result["background"] == {"taken": "2026-01-01T00:00:00+00:00", "sha256": taken["sha256"]}
    assert background_path(tmp_path, taken["sha256"]).is_file()
    assert result["line"]["slope"] == pytest.approx(FOCUS_PER_STAGE, rel=0.01)
    kept = world.learned[0].background
    assert kept is not None
    assert kept.sha256 == taken["sha256"]
    world.steps(series, "keep", visits=1)
    assert world.finish()["background"]["sha256"] == taken["sha256"]
    world.steps(series, "none", visits=1)
    assert world.finish()["background"] is None
    assert not background_path(tmp_path, taken["sha256"]).exists()  # nothing names it any more


def test_a_background_with_cells_is_told(scene: HologramScene, series: dict[int, NDArray[Any]], tmp_path: Path) -> None:
    world = Calibrating(tmp_path)
    assert world.background(scene.background(10.0, shot=99))["warning"] == ""
    assert "things with the contrast of cells" in world.background(series[4])["warning"]
    world.steps(series, "taken")
    assert any("things with the contrast of cells" in warning for warning in world.finish()["warnings"])


def test_a_background_read_from_the_wrong_side_is_kept_for_the_right_one(
    scene: HologramScene, series: dict[int, NDArray[Any]], tmp_path: Path
) -> None:
    world = Calibrating(tmp_path, side=Side.MINUS)
    world.background(scene.background(10.0, shot=99))
    world.steps(series, "taken")
    result = world.finish()
    assert result["accepted"], result["reasons"]
    background = world.learned[0].background
    assert background is not None
    assert background.side is Side.PLUS
    assert background_path(tmp_path, result["background"]["sha256"]).is_file()


def test_a_stale_background_is_told_at_the_first_step(
    scene: HologramScene, moved: HologramScene, tmp_path: Path
) -> None:
    world = Calibrating(tmp_path)
    world.background(scene.background(10.0, shot=99))
    told = world.steps({4: moved.expose(0.0, 10.0, shot=1)}, "taken", visits=1)
    assert told[0]["stale"]
    result = world.finish(reasons=(f"{told[0]['stale']}: take the background again",))
    assert not result["accepted"]
    assert result["reasons"] == [f"{told[0]['stale']}: take the background again"]
    assert not world.learned
    assert result["background"] is None
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.full(SHAPE, 17, np.uint8), "all pixels are 17"),
        (np.random.default_rng(1).integers(0, 255, SHAPE).astype(np.uint8), "no carrier"),
        (np.zeros(SHAPE, np.float32), "unsigned integers are needed"),
        (np.zeros((*SHAPE, 3), np.uint8), "all pixels are 0"),
        (np.zeros((20, 20), np.uint8), "at least 64"),
    ],
)
def test_what_is_no_hologram_is_no_background(frame: NDArray[Any], words: str, tmp_path: Path) -> None:
    told = Calibrating(tmp_path).background(frame)
    assert words in told["reason"]
    assert told["sha256"] is None


@pytest.mark.slow
def test_a_stored_background_of_other_frames_is_left_out_with_a_warning(
    scene: HologramScene, series: dict[int, NDArray[Any]], tmp_path: Path
) -> None:
    world = Calibrating(tmp_path)
    world.background(scene.background(10.0, shot=99))
    world.steps(series, "taken")
    assert world.finish()["background"] is not None
    cut = {place: frame[:256, :320] for place, frame in series.items()}
    world.steps(cut, "keep")
    result = world.finish()
    assert result["background"] is None
    assert "does not suit frames of shape (256, 320)" in result["warnings"][0]


def test_visits_without_a_hologram_are_lost_and_too_many_reject(
    series: dict[int, NDArray[Any]], tmp_path: Path
) -> None:
    world = Calibrating(tmp_path)
    dark = {place: np.zeros(SHAPE, np.uint8) if place in (2, 5, 7) else frame for place, frame in series.items()}
    told = world.steps(dark)
    assert ["all pixels are 0" in step["reason"] for step in told].count(True) == 6
    result = world.finish()
    assert (result["visits"], result["lost"]) == (18, 6)
    assert not result["accepted"]
    assert "no distance at 6 of 18 visits" in result["reasons"][0]
    assert result["path"].endswith("hologram-rejected-40x_0.75-b1.json")


def test_a_first_frame_that_is_no_hologram_ends_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="all pixels are 0"):
        Calibrating(tmp_path).steps({0: np.zeros(SHAPE, np.uint8)})


def test_a_field_without_cells_has_no_line_and_says_why(scene: HologramScene, tmp_path: Path) -> None:
    world = Calibrating(tmp_path)
    world.steps({place: scene.background(10.0, shot=place) for place in range(9)})
    result = world.finish()
    assert not result["accepted"]
    assert "at least 5 are needed" in result["reasons"][0]
    assert result["line"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"action": "focus"}, "there are background, step, finish, drop"),
        ({"action": "finish"}, "begin with its first step"),
        ({"action": "step", "run": "task", "begin": False}, "begin with its first step"),
        ({"action": "step"}, "run: is missing"),
        ({"action": "background"}, "pixel_size_um: is missing"),
    ],
)
def test_wrong_requests_are_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        Calibrating(tmp_path).engine.measure([np.zeros(SHAPE, np.uint8)], options)


def test_a_dropped_run_is_forgotten(series: dict[int, NDArray[Any]], tmp_path: Path) -> None:
    world = Calibrating(tmp_path)
    world.steps(series, visits=1)
    assert world.engine.measure([series[0]], {"action": "drop"}) == {}
    with pytest.raises(ValueError, match="begin with its first step"):
        world.finish()
