from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microscoped.drivers import Optics
from microscoped.simulators import ManualClock, SimulatedMicroscope
from microscoped.simulators.recorded import (
    BlendRefusedError,
    PlanesError,
    PositionsError,
    RecordedScene,
    RecordedStack,
)

OPTICS = Optics(na=0.5, wavelength_nm=500, immersion_index=1.0, pixel_size_um=0.3)  # DoF 2 µm
Z_UM = (-2.0, -1.0, 0.0, 0.8)


def ramp(dtype: type = np.uint16, *, colour: bool = False, z_um: tuple[float, ...] = Z_UM, bits: int = 12) -> Any:  # noqa: ANN401
    shape = (len(z_um), 4, 5, 3) if colour else (len(z_um), 4, 5)
    levels = np.arange(len(z_um)).reshape(-1, *[1] * (len(shape) - 1)) * 40 + 100
    planes = np.broadcast_to(levels, shape).astype(dtype)
    return RecordedStack(planes, np.array(z_um), min(bits, planes.dtype.itemsize * 8), "ramp")


@pytest.mark.parametrize(
    ("z_um", "level"),
    [(-9.0, 100), (-1.51, 100), (-1.49, 140), (-0.4, 180), (0.39, 180), (0.41, 220), (50.0, 220)],
)
@pytest.mark.parametrize("colour", [False, True])
def test_the_nearest_plane_is_shown_and_the_end_plane_beyond(z_um: float, level: int, colour: bool) -> None:
    scene = RecordedScene(ramp(colour=colour))
    pixels = scene.expose(z_um, 10.0, 0)
    assert pixels.shape == scene.shape
    assert pixels.dtype == np.uint16
    assert (pixels == level).all()


@pytest.mark.parametrize(("z_um", "level"), [(-9.0, 100), (-1.5, 120), (-1.0, 140), (-0.25, 170), (0.4, 200), (9, 220)])
def test_blend_is_linear_between_neighbours(z_um: float, level: int) -> None:
    scene = RecordedScene(ramp(), blend=True, optics=OPTICS)
    assert (scene.expose(z_um, 10.0, 0) == level).all()


@pytest.mark.parametrize(
    ("optics", "z_um", "message"),
    [
        (None, Z_UM, "needs the optics"),
        (OPTICS, (0.0, 0.5, 1.51), r"ramp: planes lie up to 1.01 µm apart, more than half the depth of field \(1 µm\)"),
    ],
)
def test_blend_is_refused_where_it_would_invent_images(
    optics: Optics | None, z_um: tuple[float, ...], message: str
) -> None:
    with pytest.raises(BlendRefusedError, match=message):
        RecordedScene(ramp(z_um=z_um), blend=True, optics=optics)


def test_shots_are_fresh_copies_and_equal_without_added_noise() -> None:
    scene = RecordedScene(ramp())
    first = scene.expose(0.0, 10.0, 0)
    first[:] = 0
    assert (scene.expose(0.0, 10.0, 1) == 180).all()


def test_added_noise_is_seeded_by_the_shot_and_has_the_declared_width() -> None:
    planes = np.full((2, 200, 200), 1000, np.uint16)
    stack = RecordedStack(planes, np.array([0.0, 1.0]), 12)
    scene = RecordedScene(stack, added_noise=5.0, seed=3)
    shots = [scene.expose(0.0, 10.0, shot).astype(float) for shot in (0, 0, 1)]
    assert np.array_equal(shots[0], shots[1])
    assert abs(np.corrcoef(shots[0].ravel(), shots[2].ravel())[0, 1]) < 0.03
    assert shots[0].std() == pytest.approx(5.0, rel=0.03)
    assert shots[0].mean() == pytest.approx(1000.0, abs=0.2)


@pytest.mark.parametrize(
    ("recorded_ms", "exposure_ms", "level"), [(None, 50.0, 180), (10.0, 10.0, 180), (10.0, 5.0, 90), (10.0, 1e4, 4095)]
)
def test_brightness_follows_the_exposure_where_that_of_the_recording_is_known(
    recorded_ms: float | None, exposure_ms: float, level: int
) -> None:
    scene = RecordedScene(ramp(), recorded_exposure_ms=recorded_ms)
    assert (scene.expose(0.0, exposure_ms, 0) == level).all()


def test_describe_tells_source_and_measured_range() -> None:
    told = RecordedScene(ramp()).describe()
    assert told["source"] == "ramp"
    assert told["measured range"].startswith("-2 … 0.8 µm")
    assert told["playback"] == "nearest plane"


def test_a_shifted_stack_plays_the_same_planes_elsewhere() -> None:
    scene = RecordedScene(ramp().shifted(100.0))
    assert (scene.expose(99.0, 10.0, 0) == 140).all()


@pytest.mark.parametrize("wrong", [{"added_noise": -1.0}, {"recorded_exposure_ms": 0.0}])
def test_figures_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RecordedScene(ramp(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("planes", "z_um", "bits", "error", "message"),
    [
        (np.zeros((3, 4, 5), np.float32), [0, 1, 2], 8, PlanesError, "float32; convert"),
        (np.zeros((3, 4), np.uint8), [0, 1, 2], 8, PlanesError, "shape"),
        (np.zeros((3, 4, 5, 2), np.uint8), [0, 1, 2], 8, PlanesError, "shape"),
        (np.zeros((1, 4, 5), np.uint8), [0], 8, PlanesError, "at least two"),
        (np.zeros((3, 4, 5), np.uint8), [0, 1, 2], 12, PlanesError, "bit depth of 12"),
        (np.zeros((3, 4, 5), np.uint8), [0, 1], 8, PositionsError, "one each"),
        (np.zeros((3, 4, 5), np.uint8), [0, np.nan, 2], 8, PositionsError, "not finite"),
        (np.zeros((3, 4, 5), np.uint8), [0, 2, 1], 8, PositionsError, "not strictly rising"),
        (np.zeros((3, 4, 5), np.uint8), [0, 1, 1], 8, PositionsError, "not strictly rising"),
    ],
)
def test_a_stack_that_is_none_is_refused(
    planes: Any,  # noqa: ANN401 - wrong on purpose
    z_um: list[float],
    bits: int,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        RecordedStack(planes, np.array(z_um, dtype=np.float64), bits)


def test_a_stack_cannot_be_written_to() -> None:
    stack = ramp()
    with pytest.raises(ValueError, match="read-only"):
        stack.planes[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        stack.z_um[0] = 1


@pytest.mark.parametrize("colour", [False, True])
def test_a_simulated_microscope_plays_the_stack_at_its_stage_position(colour: bool) -> None:
    clock = ManualClock()
    scene = RecordedScene(ramp(np.uint8, colour=colour))
    with SimulatedMicroscope(scene, clock=clock, sleep=clock.sleep) as microscope:
        microscope.stage.move_to(-1.0)
        clock.sleep(5.0)
        frame = microscope.camera.snap()
        info = microscope.camera.info()
        assert microscope.describe()["scene"] == "recorded stack"
    assert (frame.pixels == 140).all()
    assert (info.height_px, info.width_px, info.channels, info.dtype) == (4, 5, 3 if colour else 1, "uint8")
