from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.drivers.errors import CameraError, ConnectionFailedError, SettingError
from microscoped.drivers.protocols import CameraSettings, Pixels
from microscoped.simulators import Faults, ManualClock, SimulatedCamera, SimulatedMicroscope, SimulatedStage, StageModel

if TYPE_CHECKING:
    from collections.abc import Mapping


class TellingScene:
    """Row 0 tells the exposure's optical position (in 1/100 µm + 30000), row 1 the shot, row 2 the exposure time."""

    shape = (8, 12)
    bit_depth = 16

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        image = np.full((8, 12), 100, np.uint16)
        image[0] = round(z_um * 100) + 30000
        image[1] = shot
        image[2] = round(exposure_ms * 10)
        image[4:] = np.arange(48).reshape(4, 12)
        return image

    def describe(self) -> Mapping[str, str]:
        return {"specimen": "none"}


def make(faults: Faults | None = None, **options: float) -> tuple[ManualClock, SimulatedStage, SimulatedCamera]:
    clock = ManualClock()
    stage = SimulatedStage(StageModel(speed_um_s=100.0, settle_ms=0.0), clock=clock)
    camera = SimulatedCamera(TellingScene(), stage, clock=clock, sleep=clock.sleep, faults=faults, **options)
    return clock, stage, camera


def drain(camera: SimulatedCamera) -> list[int]:
    numbers = []
    while (frame := camera.take()) is not None:
        numbers.append(frame.number)
    return numbers


def test_a_snap_sleeps_its_exposure_and_tells_its_time() -> None:
    clock, _, camera = make(readout_ms=2.0)
    before = clock()
    frame = camera.snap()
    assert clock() - before == 12_000_000
    assert (frame.exposure_start_ns, frame.exposure_start_error_ns, frame.number) == (before, 0, 0)


def test_an_image_is_taken_at_the_mean_focus_of_its_exposure() -> None:
    _, stage, camera = make()
    stage.move_to(50.0)
    assert camera.snap().pixels[0, 0] == pytest.approx(30050, abs=1)  # 0 … 1 µm within 10 ms


def test_frames_come_when_exposure_and_readout_are_over() -> None:
    clock, _, camera = make(readout_ms=2.0)
    begin = clock()
    camera.start()
    for advance, numbers in ((11.9, []), (0.1, [0]), (9.9, []), (0.2, [1]), (30.0, [2, 3, 4])):
        clock.advance_ms(advance)
        assert drain(camera) == numbers
    clock.advance_ms(10.0)
    frame = camera.take()
    assert frame is not None
    assert frame.exposure_start_ns == begin + 5 * 10_000_000


def test_late_frames_show_the_focus_of_their_own_exposure() -> None:
    clock, stage, camera = make()
    camera.start()
    clock.advance_ms(50)
    stage.move_to(10.0)
    clock.advance_ms(300)
    told = [(f.number, int(f.pixels[0, 0]) - 30000) for f in iter(camera.take, None)]
    assert told[4] == (4, 0)
    assert told[5] == (5, pytest.approx(50, abs=1))
    assert told[20] == (20, 1000)


@pytest.mark.parametrize(("exposure_ms", "per_second"), [(1.0, 100), (10.0, 100), (25.0, 40)])
def test_the_rate_is_bounded_by_exposure_and_camera(exposure_ms: float, per_second: int) -> None:
    clock, _, camera = make(exposure_ms=exposure_ms, readout_ms=0.0, buffer_frames=1000)
    camera.start()
    clock.advance_ms(1000)
    assert len(drain(camera)) == per_second


def test_frames_that_nobody_takes_fall_out_and_their_numbers_are_missing() -> None:
    clock, _, camera = make(buffer_frames=5, readout_ms=0.0)
    camera.start()
    clock.advance_ms(1000)
    assert drain(camera) == [95, 96, 97, 98, 99]
    assert camera.dropped_frames == 95
    clock.advance_ms(3_600_000)
    assert len(drain(camera)) == 5
    assert camera.dropped_frames == 95 + 360_000 - 5


def test_a_finite_sequence_ends_by_itself_and_its_frames_stay() -> None:
    clock, _, camera = make()
    camera.start(3)
    clock.advance_ms(29)
    assert camera.is_running()
    clock.advance_ms(2)
    assert not camera.is_running()
    assert drain(camera) == [0, 1, 2]
    camera.start(1)


def test_each_image_has_its_own_noise_seed() -> None:
    clock, _, camera = make()
    shots = [int(camera.snap().pixels[1, 0]) for _ in range(2)]
    camera.start(3)
    clock.advance_ms(100)
    shots += [int(frame.pixels[1, 0]) for frame in iter(camera.take, None)]
    assert len(set(shots)) == 5


def test_a_new_exposure_time_holds_from_the_next_frame() -> None:
    clock, _, camera = make(readout_ms=0.0)
    camera.start()
    clock.advance_ms(15)
    camera.configure(CameraSettings(exposure_ms=20.0))
    clock.advance_ms(100)
    frames = list(iter(camera.take, None))
    assert [f.exposure_ms for f in frames[:3]] == [10.0, 10.0, 20.0]
    assert np.diff([f.exposure_start_ns for f in frames[:4]]).tolist() == [10_000_000, 10_000_000, 20_000_000]
    assert frames[2].pixels[2, 0] == 200


def test_while_a_sequence_runs_only_the_exposure_changes() -> None:
    _, _, camera = make()
    camera.start()
    for action in (camera.snap, camera.start, lambda: camera.configure(CameraSettings(exposure_ms=5.0, binning=2))):
        with pytest.raises(CameraError):
            action()
    assert camera.settings().exposure_ms == 10.0
    camera.stop()
    camera.stop()
    assert camera.take() is None
    camera.snap()


@pytest.mark.parametrize(
    "wrong",
    [
        {"exposure_ms": 0.0},
        {"exposure_ms": float("nan")},
        {"exposure_ms": 1e6},
        {"gain": 0.5},
        {"binning": 3},
        {"roi": (0, 0, 13, 8)},
        {"roi": (-1, 0, 4, 4)},
        {"roi": (0, 0, 0, 4)},
        {"roi": (0, 0, 4, 1), "binning": 2},
        {"auto_exposure": True},
        {"auto_gain": False},
        {"auto_white_balance": True},
    ],
)
def test_wrong_settings_change_nothing(wrong: dict[str, object]) -> None:
    _, _, camera = make()
    before = camera.settings()
    with pytest.raises(SettingError):
        camera.configure(CameraSettings(**{"exposure_ms": 7.0, **wrong}))  # type: ignore[arg-type]
    assert camera.settings() == before
    assert before.auto_exposure is None


@pytest.mark.parametrize(("mode", "factor"), [("mean", 1), ("sum", 4)])
def test_binning_and_region(mode: str, factor: int) -> None:
    _, _, camera = make(binning_mode=mode, pixel_size_um=0.5)
    camera.configure(CameraSettings(roi=(2, 4, 7, 4), binning=2))
    info = camera.info()
    assert (info.height_px, info.width_px, info.pixel_size_um, info.dtype) == (2, 3, 1.0, "uint16")
    pixels = camera.snap().pixels
    blocks = np.arange(48).reshape(4, 12)[:, 2:8].reshape(2, 2, 3, 2).mean(axis=(1, 3))
    assert pixels.tolist() == np.rint(blocks * factor).tolist()


def test_gain_multiplies_and_ends_at_full_scale() -> None:
    _, _, camera = make()
    camera.configure(CameraSettings(gain=4.0))
    pixels = camera.snap().pixels
    assert pixels[3, 0] == 400
    assert pixels[0, 0] == 65535


def test_snap_failures_are_counted_down() -> None:
    _, _, camera = make(Faults(snap_failures=2))
    for _ in range(2):
        with pytest.raises(CameraError, match="snap failed"):
            camera.snap()
    camera.snap()


def test_a_hang_blocks_once() -> None:
    clock, _, camera = make(Faults(camera_hang_s=3.0))
    before = clock()
    camera.take()
    assert clock() - before == 3_000_000_000
    camera.take()
    assert clock() - before == 3_000_000_000


def test_lost_frames_leave_gaps() -> None:
    clock, _, camera = make(Faults(lose_every=4), readout_ms=0.0)
    camera.start()
    clock.advance_ms(100)
    assert drain(camera) == [0, 1, 2, 4, 5, 6, 8, 9]
    assert camera.lost_frames >= 2


def test_a_dying_sequence_says_nothing() -> None:
    clock, _, camera = make()
    faults = camera._faults
    camera.start()
    clock.advance_ms(25)
    faults.sequence_dies = True
    assert not camera.is_running()
    clock.advance_ms(500)
    assert camera.take() is None
    camera.start()
    assert camera.is_running()


def test_failures_to_fetch_are_errors() -> None:
    _, _, camera = make(Faults(take_failures=1))
    with pytest.raises(CameraError, match="fetched"):
        camera.take()


def test_old_frames_show_the_past_and_tell_its_time() -> None:
    clock, stage, camera = make(Faults(frame_age_s=0.3))
    clock.advance_ms(400)
    stage.move_to(10.0)
    clock.advance_ms(250)
    now = clock()
    frame = camera.snap()
    assert frame.exposure_start_ns == now - 300_000_000
    assert frame.pixels[0, 0] == 30000


def test_a_microscope_lends_its_devices_only_while_open() -> None:
    clock = ManualClock()
    microscope = SimulatedMicroscope(TellingScene(), clock=clock, sleep=clock.sleep)
    for look in (lambda: microscope.camera, lambda: microscope.stage, microscope.describe):
        with pytest.raises(ConnectionFailedError):
            look()
    with microscope:
        microscope.stage.move_to(5.0)
        clock.advance_ms(1000)
        microscope.camera.start()
        assert microscope.describe()["specimen"] == "none"
        with pytest.raises(ConnectionFailedError, match="open already"):
            microscope.__enter__()
    with microscope:
        assert microscope.stage.position_um() == 5.0
        assert not microscope.camera.is_running()
