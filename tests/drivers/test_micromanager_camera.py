from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.experimental.unicore import SimpleCameraDevice, UniMMCore

from microscoped.drivers.errors import CameraError, SettingError
from microscoped.drivers.micromanager import MicroManagerMicroscope, default_adapter_paths, demo_config_path
from microscoped.drivers.micromanager._pixels import normalise, pixel_format
from microscoped.drivers.protocols import CameraSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import DTypeLike, NDArray

    from microscoped.drivers.protocols import Camera, CameraFrame


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.0005)


def next_frame(camera: Camera) -> CameraFrame:
    frames: list[CameraFrame] = []
    wait_for(lambda: (frame := camera.take()) is not None and not frames.append(frame))
    return frames[0]


@pytest.fixture
def hands_on() -> Iterator[tuple[MicroManagerMicroscope, CMMCorePlus]]:
    """The demonstration microscope and the core behind it, to set what our interface has no word for."""
    cores: list[CMMCorePlus] = []

    def build() -> CMMCorePlus:
        cores.append(CMMCorePlus(adapter_paths=default_adapter_paths(demo_config_path())))
        return cores[0]

    with MicroManagerMicroscope(demo_config_path(), core=build, buffer_mb=4) as microscope:
        yield microscope, cores[0]


def test_colour_comes_as_red_green_blue(hands_on: tuple[MicroManagerMicroscope, CMMCorePlus]) -> None:
    # The test pattern has eight bands: rising blue, green, red and alpha, then white without one of them each.
    microscope, core = hands_on
    core.setProperty("Camera", "PixelType", "32bitRGB")
    core.setProperty("Camera", "Mode", "Color Test Pattern")
    camera = microscope.camera
    info = camera.info()
    assert (info.channels, info.dtype, info.bit_depth) == (3, "uint8", 8)
    camera.start(1)
    for pixels in (next_frame(camera).pixels, camera.snap().pixels):
        assert pixels.shape == (512, 512, 3)
        bands = [tuple(pixels[64 * k + 32, 400] > 0) for k in range(8)]
        assert bands[:3] == [(False, False, True), (False, True, False), (True, False, False)]
        assert bands[3:] == [(False,) * 3, (True, True, False), (True, False, True), (False, True, True), (True,) * 3]


def test_sixteen_bit_colour_has_three_channels(hands_on: tuple[MicroManagerMicroscope, CMMCorePlus]) -> None:
    microscope, core = hands_on
    core.setProperty("Camera", "Mode", "Artificial Waves")
    core.setProperty("Camera", "PixelType", "64bitRGB")
    info = microscope.camera.info()
    assert (info.channels, info.dtype, info.bit_depth) == (3, "uint16", 16)
    pixels = microscope.camera.snap().pixels
    assert (pixels.shape, pixels.dtype) == ((512, 512, 3), np.uint16)
    assert not np.array_equal(pixels[..., 0], pixels[..., 2])


@pytest.mark.parametrize(("depth", "packed"), [(np.uint8, np.uint32), (np.uint16, np.uint64)])
def test_packed_words_have_blue_in_their_lowest_part(depth: DTypeLike, packed: DTypeLike) -> None:
    bits = 8 * np.dtype(depth).itemsize
    blue, green, red, unused = 11, 22, 33, 44
    word = blue | green << bits | red << 2 * bits | unused << 3 * bits
    pixels = normalise(np.full((2, 3), word, packed), 4)
    assert pixels.dtype == depth
    assert np.array_equal(pixels, np.broadcast_to([red, green, blue], (2, 3, 3)))
    assert pixels.flags.owndata
    assert pixels.flags.c_contiguous


def test_images_are_copied_only_if_somebody_else_owns_them() -> None:
    own = np.zeros((4, 4), np.uint16)
    assert normalise(own, 1) is own
    lent = own[1:3]
    assert not np.shares_memory(normalise(lent, 1), own)
    own.flags.writeable = False
    assert normalise(own, 1).flags.writeable


@pytest.mark.parametrize("image", [np.zeros((2, 2), np.uint32), np.zeros((2, 2), np.float32), np.zeros(4, np.uint8)])
def test_other_pixels_are_refused(image: NDArray[Any]) -> None:
    with pytest.raises(CameraError, match="16 bit"):
        normalise(image, 1)


@pytest.mark.parametrize(
    ("size", "components", "expected"),
    [
        (1, 1, (1, "uint8")),
        (2, 1, (1, "uint16")),
        (4, 4, (3, "uint8")),
        (8, 4, (3, "uint16")),
        (1, 3, (3, "uint8")),
        (2, 3, (3, "uint16")),
    ],
)
def test_formats_of_cameras_in_both_languages(size: int, components: int, expected: tuple[int, str]) -> None:
    assert pixel_format(size, components) == expected


def test_frames_that_the_core_threw_away_show_as_a_gap(hands_on: tuple[MicroManagerMicroscope, CMMCorePlus]) -> None:
    microscope, core = hands_on
    camera = microscope.camera
    camera.configure(CameraSettings(exposure_ms=1.0))
    assert 1 < core.getBufferTotalCapacity() < 12
    camera.start()
    assert next_frame(camera).number == 0
    # Nobody takes frames until the buffer has been filled and emptied: then it holds fewer than before.
    counts = [0]
    wait_for(lambda: counts.append(core.getRemainingImageCount()) or counts[-1] < counts[-2])
    assert next_frame(camera).number > 1
    assert camera.is_running()


def test_a_finite_sequence_that_nobody_takes_ends_early(hands_on: tuple[MicroManagerMicroscope, CMMCorePlus]) -> None:
    camera = hands_on[0].camera
    camera.configure(CameraSettings(exposure_ms=1.0))
    camera.start(100)
    wait_for(lambda: not camera.is_running())
    frames = list(iter(camera.take, None))
    assert 0 < len(frames) < 100
    assert [frame.number for frame in frames] == list(range(len(frames)))
    camera.stop()
    camera.start(1)
    assert next_frame(camera).number == 0


class HastyCore(CMMCorePlus):
    """Says that a frame waits when there is none, as if the buffer had been emptied after the answer."""

    hasty = False

    def getRemainingImageCount(self) -> int:
        return 1 if self.hasty else int(super().getRemainingImageCount())


def test_a_buffer_emptied_between_question_and_fetch_is_no_error() -> None:
    cores: list[HastyCore] = []

    def build() -> HastyCore:
        cores.append(HastyCore(adapter_paths=default_adapter_paths(demo_config_path())))
        return cores[0]

    with MicroManagerMicroscope(demo_config_path(), core=build, buffer_mb=4) as microscope:
        camera = microscope.camera
        camera.configure(CameraSettings(exposure_ms=100.0))
        camera.start()
        cores[0].hasty = True
        assert camera.take() is None
        cores[0].hasty = False
        assert next_frame(camera).number == 0


def test_a_sequence_that_died_is_seen(hands_on: tuple[MicroManagerMicroscope, CMMCorePlus]) -> None:
    microscope, core = hands_on
    camera = microscope.camera
    camera.start()
    next_frame(camera)
    core.stopSequenceAcquisition()  # as a driver does by itself
    assert not camera.is_running()
    camera.stop()
    camera.start(1)
    assert next_frame(camera).number == 0


def test_beads_after_a_move_are_exactly_those_of_the_new_z(demo: MicroManagerMicroscope) -> None:
    camera, stage = demo.camera, demo.stage
    camera.configure(CameraSettings(exposure_ms=10.0))
    references: dict[float, Any] = {}
    for z_um in (0.0, 6.0):
        stage.move_to(z_um)
        references[z_um] = camera.snap().pixels
    assert not np.array_equal(references[0.0], references[6.0])
    camera.start()
    for z_um in (0.0, 6.0, 0.0, 6.0, 0.0):
        next_frame(camera)
        stage.move_to(z_um)
        arrived_ns = time.perf_counter_ns()
        skipped = 0
        while (frame := next_frame(camera)).earliest_start_ns < arrived_ns:
            skipped += 1
        assert np.array_equal(frame.pixels, references[z_um])
        assert skipped <= 6


def test_a_new_exposure_time_is_told_with_the_frames_that_have_it(demo: MicroManagerMicroscope) -> None:
    camera = demo.camera
    camera.configure(CameraSettings(exposure_ms=5.0))
    camera.start()
    for _ in range(3):
        assert next_frame(camera).exposure_ms == 5.0
    changed_ns = time.perf_counter_ns()
    camera.configure(CameraSettings(exposure_ms=40.0))
    while (frame := next_frame(camera)).exposure_ms == 5.0:
        assert frame.earliest_start_ns < changed_ns + 60e6
    assert frame.exposure_ms == 40.0


SWITCHES = {
    "GenICam": ("ExposureAuto", "GainAuto", "BalanceWhiteAuto", ("Off", "Once", "Continuous")),
    "TIS": ("Exposure Auto", "Property Gain_Auto", "Property White_Balance_Auto", ("Off", "On")),
    "numbers": ("Auto Exposure", "Auto Gain", "Auto White Balance", ("0", "1")),
    "words": ("Automatic exposure", "Auto-Gain", "White Balance Auto", ("Manual", "Auto")),
    "capitals": ("Exposure: Auto", "AutoGain", "AWB", ("OFF", "ON")),
}


class AutomaticCamera(SimpleCameraDevice):
    """A camera with automatic settings under the given names."""

    def __init__(self, exposure: str, gain: str, white: str, values: tuple[str, ...]) -> None:
        super().__init__()
        self._exposure_ms = 10.0
        for name in (exposure, gain, white):
            self.register_property(name, default_value=values[0], allowed_values=values)

    def get_exposure(self) -> float:
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        self._exposure_ms = round(exposure, 2)

    def sensor_shape(self) -> tuple[int, int]:
        return (8, 8)

    def dtype(self) -> DTypeLike:
        return np.uint8

    def snap(self, buffer: NDArray[Any]) -> Mapping[str, str]:
        buffer[:] = 1
        return {}


def with_camera(device: SimpleCameraDevice) -> MicroManagerMicroscope:
    def build() -> UniMMCore:
        core = UniMMCore(adapter_paths=default_adapter_paths(demo_config_path()))
        core.loadDevice("Z", "DemoCamera", "DStage")
        core.loadPyDevice("Cam", device)
        core.initializeAllDevices()
        core.setFocusDevice("Z")
        core.setCameraDevice("Cam")
        core.setAutoShutter(False)
        return core

    return MicroManagerMicroscope(core=build)


@pytest.mark.parametrize("names", SWITCHES.values(), ids=SWITCHES)
def test_automatic_settings_are_found_under_the_names_of_real_adapters(
    names: tuple[str, str, str, tuple[str, ...]],
) -> None:
    with with_camera(AutomaticCamera(*names)) as microscope:
        camera = microscope.camera
        off = camera.settings()
        assert (off.auto_exposure, off.auto_gain, off.auto_white_balance) == (False, False, False)
        for setting in ("auto_exposure", "auto_gain", "auto_white_balance"):
            on = replace(off, **{setting: True})
            assert camera.configure(replace(CameraSettings(), **{setting: True})) == on
            assert camera.configure(replace(CameraSettings(), **{setting: False})) == off


def test_a_switch_with_values_that_nobody_understands_is_left_alone() -> None:
    with with_camera(AutomaticCamera("ExposureAuto", "GainAuto", "AWB", ("red", "blue"))) as microscope:
        assert microscope.camera.settings().auto_exposure is None
        with pytest.raises(SettingError, match="no setting auto_exposure"):
            microscope.camera.configure(CameraSettings(auto_exposure=True))


class StubbornCamera(AutomaticCamera):
    """Takes no exposure above 50 ms, and says nothing about it."""

    def set_exposure(self, exposure: float) -> None:
        self._exposure_ms = min(exposure, 50.0)


def test_an_exposure_that_the_driver_clips_in_silence_is_refused() -> None:
    with with_camera(StubbornCamera(*SWITCHES["GenICam"])) as microscope:
        camera = microscope.camera
        before = camera.settings()
        with pytest.raises(SettingError, match=r"made it 50\.0"):
            camera.configure(CameraSettings(exposure_ms=80.0, auto_gain=True))
        assert camera.settings() == before
        assert camera.configure(CameraSettings(exposure_ms=50.0)).exposure_ms == 50.0


def test_a_camera_that_fails_says_which_and_why() -> None:
    class BrokenCamera(AutomaticCamera):
        def snap(self, buffer: NDArray[Any]) -> Mapping[str, str]:
            raise RuntimeError("the cable is out")

    with (
        with_camera(BrokenCamera(*SWITCHES["GenICam"])) as microscope,
        pytest.raises(CameraError, match="Cam: the snap failed: the cable is out"),
    ):
        microscope.camera.snap()
