from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.drivers import Optics
from microscoped.simulators import BrightfieldScene, BrightfieldSetup, ManualClock, SensorModel, SimulatedMicroscope
from microscoped.simulators import cache as cache_module
from microscoped.simulators.specimens import CellParameters, TissueParameters

if TYPE_CHECKING:
    from pathlib import Path

TISSUE = BrightfieldSetup(shape_px=(128, 128), z_range_um=(-5.0, 5.0))
CELLS = replace(TISSUE, specimen=CellParameters(cells_per_mm2=3000.0), specimen_seed=3)
QUIET = SensorModel(flicker=0.0, gain_drift=0.0, prnu=0.0, vignetting=0.0)


@pytest.fixture(scope="module")
def tissue() -> BrightfieldScene:
    return BrightfieldScene(TISSUE, cache=None)


@pytest.fixture(scope="module")
def quiet() -> BrightfieldScene:
    return BrightfieldScene(TISSUE, QUIET, cache=None)


@pytest.mark.parametrize(
    "setup",
    [TISSUE, CELLS, replace(TISSUE, colour=True, shape_px=(64, 96), spherical_waves=0.4, coma_waves=0.1)],
    ids=["tissue", "cells", "colour with aberrations"],
)
def test_the_played_stack_is_the_full_model_far_below_the_shot_noise(setup: BrightfieldSetup) -> None:
    scene = BrightfieldScene(setup, cache=None)
    z = np.array([-4.71, -2.03, -0.61, -0.13, 0.0, 0.37, 1.29, 3.33])
    full = setup.light(z) * scene._pattern
    shot_noise = np.sqrt(full.mean() / scene.sensor.clear_electrons(10.0))
    played = np.stack([scene.light(position) for position in z])
    error = played - full
    # A tenth of the shot noise adds half a percent to the noise of a pixel; averages over pixels must hold as well.
    assert np.sqrt((error**2).mean(axis=(1, 2))).max() < 0.1 * shot_noise
    assert np.abs(error).max() < shot_noise
    assert np.abs(error.mean(axis=(1, 2))).max() < 2e-4
    assert np.abs(np.diff(full, axis=0)).mean() > 10 * np.abs(error).mean()


def test_the_full_model_of_a_scene_is_the_light_on_its_camera(tissue: BrightfieldScene) -> None:
    assert np.abs(tissue.full_model(0.4) - tissue.light(0.4)).max() < 0.01


def test_a_shot_seeds_its_noise(quiet: BrightfieldScene) -> None:
    first, again, other = (quiet.expose(0.3, 10.0, shot) for shot in (5, 5, 6))
    assert np.array_equal(first, again)
    assert first.dtype == np.uint16
    assert first.shape == quiet.shape
    assert not np.shares_memory(first, again)
    expected = quiet.light(0.3) * QUIET.clear_electrons(10.0) / QUIET.electrons_per_digit + QUIET.offset
    residuals = [image - expected for image in (first, other)]
    assert residuals[0].std() > 5
    assert abs(np.corrcoef(residuals[0].ravel(), residuals[1].ravel())[0, 1]) < 0.1


def test_the_noise_of_images_follows_their_light(quiet: BrightfieldScene) -> None:
    images = np.stack([quiet.expose(0.0, 10.0, shot) for shot in range(300)]).astype(float)
    per_digit = QUIET.electrons_per_digit
    mean = (images.mean(axis=0) - QUIET.offset) * per_digit
    variance = images.var(axis=0, ddof=1) * per_digit**2
    slope, base = np.polyfit(mean.ravel(), variance.ravel(), 1)
    assert slope == pytest.approx(1.0, rel=0.03)
    assert base == pytest.approx(9.0 + per_digit**2 / 12, abs=80)
    assert mean == pytest.approx(quiet.light(0.0) * QUIET.clear_electrons(10.0), rel=0.05)


@pytest.mark.parametrize("exposure_ms", [0.01, 0.1, 1.0, 5.0])
def test_light_is_proportional_to_the_exposure(quiet: BrightfieldScene, exposure_ms: float) -> None:
    image = quiet.expose(0.0, exposure_ms, 1).astype(float)
    electrons = (image.mean() - QUIET.offset) * QUIET.electrons_per_digit
    assert electrons == pytest.approx(quiet.light(0.0).mean() * QUIET.clear_electrons(exposure_ms), rel=0.02, abs=0.2)


def test_overexposure_ends_at_full_scale(quiet: BrightfieldScene) -> None:
    assert (quiet.expose(0.0, 1000.0, 1) == 4095).mean() > 0.9


def test_brightness_and_noise_do_not_tell_z(tissue: BrightfieldScene) -> None:
    rng = np.random.default_rng(4)
    z = rng.uniform(-5, 5, 150)
    images = np.stack([tissue.expose(position, 10.0, k) for k, position in enumerate(z)]).astype(float)
    columns = np.stack([images.mean(axis=(1, 2)), np.ones(z.size)], axis=1)
    residual = z - columns @ np.linalg.lstsq(columns, z, rcond=None)[0]
    assert 1 - residual.var() / z.var() < 0.05


def contrast(scene: BrightfieldScene, z: float) -> float:
    light = scene.light(z)
    return float(light.std() / light.mean())


def test_cells_are_focused_where_contrast_is_least() -> None:
    scene = BrightfieldScene(CELLS, QUIET, cache=None)
    z = np.arange(-4, 4.01, 0.25)
    curve = [contrast(scene, position) for position in z]
    assert abs(z[int(np.argmin(curve))]) <= 0.5


def test_beyond_the_rendered_range_contrast_fades(quiet: BrightfieldScene) -> None:
    curve = [contrast(quiet, z) for z in (5.0, 5.1, 10.0, 100.0)]
    assert curve == sorted(curve, reverse=True)
    assert curve[1] == pytest.approx(curve[0], rel=0.05)
    assert curve[3] < 0.1 * curve[0]
    assert quiet.light(-100.0).mean() == pytest.approx(quiet.light(0.0).mean(), rel=0.01)


def test_colours_have_their_own_focus() -> None:
    thin = TissueParameters(thickness_um=0.5, n_layers=1, tilt_um=0.0, opd_per_od_um=0.0)
    setup = replace(
        TISSUE, specimen=thin, colour=True, shape_px=(96, 96), chromatic_shift_um=(1.5, -1.5), z_range_um=(-4.0, 4.0)
    )
    scene = BrightfieldScene(setup, QUIET, cache=None)
    z = np.arange(-3.5, 3.6, 0.25)
    stack = np.stack([scene.light(position) for position in z])
    sharpness = np.abs(np.diff(stack, axis=1)).mean(axis=(1, 2))
    assert z[sharpness.argmax(axis=0)] == pytest.approx([1.5, 0.0, -1.5], abs=0.3)


@pytest.mark.parametrize("wrong", [{"plane_spacing_um": 0.6}, {"z_range_um": (3.0, -3.0)}, {"plane_spacing_um": -1.0}])
def test_coarse_stacks_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="spacing"):
        replace(TISSUE, **wrong)


@pytest.mark.parametrize(
    "optics",
    [
        Optics(0.3, 550.0, 1.0, 0.65),
        Optics(0.75, 550.0, 1.0, 0.325),
        Optics(0.95, 550.0, 1.0, 0.1625),
        Optics(1.3, 550.0, 1.515, 0.1),
    ],
    ids=lambda optics: f"NA {optics.na}",
)
def test_other_objectives_can_be_simulated(optics: Optics) -> None:
    dof = optics.dof_um
    setup = replace(TISSUE, optics=optics, shape_px=(64, 64), z_range_um=(-dof, dof), n_source_points=7)
    scene = BrightfieldScene(setup, QUIET, cache=None)
    assert np.sqrt(((scene.light(0.31 * dof) - setup.light([0.31 * dof])[0]) ** 2).mean()) < 2e-3


TINY = replace(TISSUE, shape_px=(48, 48), z_range_um=(-1.0, 1.0), n_source_points=7)


def test_a_rendered_stack_is_kept_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = BrightfieldScene(TINY, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(BrightfieldSetup, "stack", lambda self: pytest.fail("rendered again"))
    again = BrightfieldScene(TINY, SensorModel(dust=2), seed=5, cache=tmp_path)
    assert np.array_equal(first._stack, again._stack)


def test_another_setup_is_another_file(tmp_path: Path) -> None:
    BrightfieldScene(TINY, cache=tmp_path)
    BrightfieldScene(replace(TINY, specimen_seed=9), cache=tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 2


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    first = BrightfieldScene(TINY, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:middle],
            "bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "text": b"not an array",
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        again = BrightfieldScene(TINY, cache=tmp_path)
    assert "made again" in caplog.text
    assert np.array_equal(first._stack, again._stack)
    assert path.read_bytes() == whole
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with caplog.at_level(logging.WARNING):
        BrightfieldScene(TINY, cache=blocked / "below")
    assert "cannot be kept" in caplog.text


def test_only_the_files_used_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEPT_FILES", 2)
    for k in range(4):
        cache_module.load_or_make(tmp_path, f"stack {k}", lambda: np.zeros((2, 2), np.uint16))
    assert len(list(tmp_path.iterdir())) == 2


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICROSCOPED_CACHE", str(tmp_path / "mine"))
    assert cache_module.cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("MICROSCOPED_CACHE")
    assert cache_module.cache_folder().name == "microscoped"


def test_a_camera_frame_of_512_pixels_costs_less_than_its_frame_time() -> None:
    thin = TissueParameters(n_layers=1)
    setup = BrightfieldSetup(specimen=thin, z_range_um=(-0.5, 0.5), n_source_points=7)
    scene = BrightfieldScene(setup, cache=None)
    durations = []
    for shot in range(30):
        begin = time.thread_time()
        scene.expose(0.4 * np.sin(shot), 10.0, shot)
        durations.append(time.thread_time() - begin)
    assert np.median(durations) < 0.010


def test_a_simulated_microscope_shows_the_true_focus(quiet: BrightfieldScene) -> None:
    clock = ManualClock()
    with SimulatedMicroscope(quiet, clock=clock, sleep=clock.sleep) as microscope:
        sharpness = []
        for z in (-4.0, 0.0, 4.0):
            microscope.stage.move_to(z)
            clock.advance_ms(500)
            image = microscope.camera.snap().pixels.astype(float)
            sharpness.append(np.abs(np.diff(image, axis=0)).mean() / image.mean())
        assert int(np.argmax(sharpness)) == 1
        assert "tissue" in microscope.describe()["specimen"]
