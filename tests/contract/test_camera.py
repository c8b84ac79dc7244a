from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.drivers.errors import CameraError, SettingError
from microscoped.drivers.protocols import CameraSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.drivers.protocols import Camera, CameraFrame, CameraInfo, Microscope
    from tests.contract.conftest import Collector


@pytest.fixture
def camera(microscope: Microscope) -> Camera:
    microscope.camera.configure(CameraSettings(exposure_ms=5.0))
    return microscope.camera


def fits(frame: CameraFrame, info: CameraInfo) -> bool:
    plane = (info.height_px, info.width_px)
    shape = plane if info.channels == 1 else (*plane, info.channels)
    return frame.pixels.shape == shape and frame.pixels.dtype == info.dtype


def test_a_snap_is_as_info_says(camera: Camera) -> None:
    frame = camera.snap()
    info = camera.info()
    assert fits(frame, info)
    assert frame.number == 0
    assert frame.exposure_ms == pytest.approx(5.0)
    assert frame.pixels.max() < 2**info.bit_depth
    assert frame.pixels.max() > 0
    assert info.name == camera.name


def test_a_sequence_is_as_info_says(camera: Camera, collect: Collector) -> None:
    camera.start(2)
    frames = collect(camera, 2)
    assert all(fits(frame, camera.info()) for frame in frames)


def test_a_finite_sequence_is_numbered_from_zero_and_ends_by_itself(camera: Camera, collect: Collector) -> None:
    camera.configure(CameraSettings(exposure_ms=15.0))
    for n in (4, 1):
        camera.start(n)
        frames = collect(camera, n)
        assert [frame.number for frame in frames] == list(range(n))
        collect.wait(lambda: not camera.is_running())
        assert camera.take() is None


def test_frames_of_an_ended_sequence_can_still_be_taken(camera: Camera, collect: Collector) -> None:
    camera.configure(CameraSettings(exposure_ms=15.0))
    camera.start(3)
    collect.wait(lambda: not camera.is_running())
    taken = [camera.take() for _ in range(3)]
    assert [None if frame is None else frame.number for frame in taken] == [0, 1, 2]
    assert camera.take() is None


def test_an_endless_sequence_runs_until_stopped(camera: Camera, collect: Collector) -> None:
    camera.start()
    frames = collect(camera, 12)
    assert camera.is_running()
    assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
    assert frames[0].number == 0
    camera.stop()
    assert not camera.is_running()
    assert camera.take() is None


def test_each_sequence_counts_from_zero(camera: Camera, collect: Collector) -> None:
    for _ in range(2):
        camera.start()
        assert collect(camera, 2)[0].number == 0
        camera.stop()


def test_take_never_waits_for_a_frame(camera: Camera) -> None:
    camera.configure(CameraSettings(exposure_ms=400.0))
    camera.start(1)
    longest_s = 0.0
    for _ in range(20):
        before = time.perf_counter()
        assert camera.take() is None
        longest_s = max(longest_s, time.perf_counter() - before)
    camera.stop()
    assert longest_s < 0.2


def test_nothing_comes_without_a_sequence(camera: Camera) -> None:
    assert not camera.is_running()
    assert camera.take() is None


def test_stop_drops_waiting_frames_and_may_be_repeated(camera: Camera, collect: Collector) -> None:
    camera.stop()
    camera.start(3)
    collect.wait(lambda: not camera.is_running())
    camera.stop()
    camera.stop()
    assert camera.take() is None
    assert camera.snap().number == 0


@pytest.mark.parametrize(
    "refused",
    [lambda camera: camera.start(), lambda camera: camera.start(2), lambda camera: camera.snap()],
    ids=["start", "start-finite", "snap"],
)
def test_a_running_sequence_is_not_disturbed(
    camera: Camera, collect: Collector, refused: Callable[[Camera], object]
) -> None:
    camera.start()
    with pytest.raises(CameraError):
        refused(camera)
    assert camera.is_running()
    assert [frame.number for frame in collect(camera, 3)] == [0, 1, 2]


@pytest.mark.parametrize("n", [0, -1])
def test_a_sequence_without_frames_is_refused(camera: Camera, n: int) -> None:
    with pytest.raises(CameraError):
        camera.start(n)
    assert not camera.is_running()


def test_settings_are_read_back(camera: Camera) -> None:
    before, info = camera.settings(), camera.info()
    width, height = info.width_px // 2, info.height_px // 2
    change = CameraSettings(exposure_ms=7.0, binning=2, gain=2.0, roi=(8, 4, width, height))
    after = camera.configure(change)
    assert after == camera.settings()
    assert after.exposure_ms == pytest.approx(7.0)
    assert (after.binning, after.gain, after.roi) == (2, 2.0, change.roi)
    assert (camera.info().width_px, camera.info().height_px) == (width // 2, height // 2)
    assert fits(camera.snap(), camera.info())
    if info.pixel_size_um is not None:
        assert camera.info().pixel_size_um == pytest.approx(2 * info.pixel_size_um)
    assert camera.configure(before) == before
    assert camera.info() == info


def test_an_empty_change_changes_nothing(camera: Camera) -> None:
    before = camera.settings()
    assert camera.configure(CameraSettings()) == before


BAD = {
    "exposure-zero": CameraSettings(exposure_ms=0.0),
    "exposure-negative": CameraSettings(exposure_ms=-5.0),
    "exposure-nan": CameraSettings(exposure_ms=float("nan")),
    "exposure-huge": CameraSettings(exposure_ms=1e9),
    "binning-3": CameraSettings(binning=3),
    "binning-0": CameraSettings(binning=0),
    "gain-huge": CameraSettings(gain=1e6),
    "gain-nan": CameraSettings(gain=float("nan")),
    "roi-outside": CameraSettings(roi=(60, 60, 10_000, 10)),
    "roi-negative": CameraSettings(roi=(-8, 0, 16, 16)),
    "roi-empty": CameraSettings(roi=(0, 0, 0, 16)),
    "one-of-two": CameraSettings(exposure_ms=9.0, roi=(0, 0, 10_000, 10)),
    "last-of-many": CameraSettings(binning=2, gain=3.0, exposure_ms=1e9),
}


def test_a_bad_setting_is_refused_and_nothing_changes(camera: Camera) -> None:
    before = camera.settings()
    for name, change in BAD.items():
        try:
            camera.configure(change)
        except SettingError:
            assert camera.settings() == before, name
        else:
            pytest.fail(f"{name} was not refused")


def test_a_setting_that_reads_none_cannot_be_written(camera: Camera) -> None:
    before = camera.settings()
    for name in ("auto_exposure", "auto_gain", "auto_white_balance"):
        change = replace(CameraSettings(), **{name: True})
        if getattr(before, name) is None:
            with pytest.raises(SettingError):
                camera.configure(change)
        else:
            assert camera.configure(change) == replace(before, **{name: True})
            camera.configure(before)
        assert camera.settings() == before, name


def test_only_the_exposure_changes_while_a_sequence_runs(camera: Camera, collect: Collector) -> None:
    camera.start()
    before = camera.settings()
    for change in (CameraSettings(binning=2), CameraSettings(roi=(0, 0, 16, 16)), CameraSettings(gain=2.0)):
        with pytest.raises(CameraError):
            camera.configure(change)
    assert camera.settings() == before
    assert camera.configure(CameraSettings(exposure_ms=8.0)).exposure_ms == pytest.approx(8.0)
    frames = collect.until(camera, lambda frames: bool(frames) and frames[-1].exposure_ms == pytest.approx(8.0))
    assert all(frame.exposure_ms in (pytest.approx(5.0), pytest.approx(8.0)) for frame in frames)
    assert camera.is_running()


def test_frames_belong_to_the_receiver(camera: Camera, collect: Collector) -> None:
    camera.start(3)
    frames = collect(camera, 3)
    camera.stop()
    frames += [camera.snap(), camera.snap()]
    kept = [frame.pixels.copy() for frame in frames]
    for k, frame in enumerate(frames):
        assert frame.pixels.flags.writeable
        assert frame.pixels.flags.c_contiguous
        frame.pixels[...] = 0
        for other, copy in zip(frames[k + 1 :], kept[k + 1 :], strict=True):
            assert np.array_equal(other.pixels, copy)
