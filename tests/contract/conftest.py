"""The microscopes that must all behave alike: add a row to `CASES` and the whole suite runs against it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from microscoped.drivers.micromanager import MicroManagerMicroscope, demo_config_path
from microscoped.simulators import BrightfieldScene, BrightfieldSetup, SimulatedMicroscope, StageModel
from microscoped.simulators.field import FieldScene
from microscoped.simulators.holograms import BodiesParameters, HologramScene, HologramSetup
from microscoped.simulators.lensfree import LensFreeCameraScene, LensFreeSetup, rgb_optics
from microscoped.simulators.measured_field import MeasuredField
from microscoped.simulators.micromanager import build_core
from microscoped.simulators.recorded import RecordedScene, RecordedStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from microscoped.drivers.protocols import Camera, CameraFrame, Microscope, Pixels
    from microscoped.simulators import Scene

SLOW_STAGE_CONFIG = """
Property,Core,Initialize,0
Device,DHub,DemoCamera,DHub
Device,Camera,DemoCamera,DCam
Device,Z,NotificationTester,NTAsyncStage
Property,Camera,MaximumExposureMs,10000.0
Parent,Camera,DHub
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Core,Focus,Z
Property,Core,AutoShutter,0
ConfigGroup,System,Startup,Z,UpdateInterval_s,0.005
ConfigGroup,System,Startup,Camera,PixelType,8bit
"""


class SpotScene:
    """Spots that blur with the distance from focus, and a level that rises with z, so that the sign shows too."""

    def __init__(self, *, colour: bool = False, bit_depth: int = 12) -> None:
        self.shape = (64, 96, 3) if colour else (64, 96)
        self.bit_depth = bit_depth
        self._spots = np.zeros((64, 96))
        self._spots[8::16, 8::16] = 1.0

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        blurred = ndimage.gaussian_filter(self._spots, 1.0 + 0.2 * abs(z_um), mode="wrap")
        image = 0.3 + 0.005 * z_um + 5.0 * blurred
        image = image + np.random.default_rng(shot).normal(0.0, 0.005, image.shape)
        image = np.clip(image, 0.0, 1.0) * (2**self.bit_depth - 1)
        if len(self.shape) == 3:
            image = np.stack([image, 0.5 * image, 0.25 * image], axis=-1)
        return image.astype(np.uint8 if self.bit_depth <= 8 else np.uint16)

    def describe(self) -> Mapping[str, str]:
        return {"specimen": "spots"}


def simulated(**scene: bool | int) -> SimulatedMicroscope:
    return SimulatedMicroscope(
        SpotScene(**scene),
        StageModel(speed_um_s=400.0, start_um=0.0, low_um=-300.0, high_um=300.0),
        pixel_size_um=0.5,
    )


def through_core(microscope: Microscope) -> MicroManagerMicroscope:
    return MicroManagerMicroscope(core=lambda: build_core(microscope), buffer_mb=16)


def recorded() -> SimulatedMicroscope:
    """A stack of the spots, as if it had been measured: planes every µm, the nearest one is shown."""
    scene, z_um = SpotScene(), np.arange(-20.0, 21.0)
    planes = np.stack([scene.expose(z, 10.0, shot) for shot, z in enumerate(z_um)])
    return SimulatedMicroscope(RecordedScene(RecordedStack(planes, z_um, bit_depth=12)), StageModel(speed_um_s=400.0))


@cache
def field_scene() -> FieldScene:
    """A weak phase object, as if its field had been measured."""
    y, x = np.mgrid[:64, :64] - 32.0
    phase = 0.8 * np.exp(-((x / 6.0) ** 2 + (y / 5.0) ** 2)) + 0.3 * np.exp(-(((x - 14) / 3.0) ** 2 + (y / 3.0) ** 2))
    field = MeasuredField(np.exp(1j * phase), pixel_um=0.2, wavelength_nm=550.0, medium_index=1.33, focus_um=0.0)
    return FieldScene(field, na=0.5, n_points=13, reach_um=15.0, frame_shape=(64, 64))


@cache
def brightfield_scene() -> BrightfieldScene:
    """A small piece of tissue."""
    setup = BrightfieldSetup(shape_px=(64, 64), z_range_um=(-2.0, 14.0), n_source_points=7)
    return BrightfieldScene(setup, cache=None)


@cache
def hologram_scene() -> HologramScene:
    """Two red cells before an off-axis camera."""
    bodies = BodiesParameters(count=2, z_um=(-1.0, 1.0), border_um=0.0)
    return HologramScene(HologramSetup(shape_px=(128, 128), bodies=bodies, seed=1))


@cache
def lensfree_scene() -> LensFreeCameraScene:
    """Cells close above a sensor without a lens."""
    return LensFreeCameraScene(LensFreeSetup(rgb_optics(z_um=300.0), shape_px=(64, 96), z_error_um=0.0, seed=1))


def before(scene: Scene, max_fps: float = 100.0) -> SimulatedMicroscope:
    return SimulatedMicroscope(scene, StageModel(speed_um_s=400.0), pixel_size_um=0.325, max_fps=max_fps)


def slow_stage(folder: Path) -> MicroManagerMicroscope:
    config = folder / "slow_stage.cfg"
    config.write_text(SLOW_STAGE_CONFIG)
    return MicroManagerMicroscope(config, buffer_mb=16)


@dataclass(frozen=True)
class Case:
    """One microscope.

    ``sees_z``: images change with z. ``speed_um_s``: of the stage, None if it jumps. ``limited``: the stage itself
    refuses far targets. ``tolerance_um``: how near the read-back comes.
    """

    name: str
    make: Callable[[Path], Microscope]
    sees_z: bool = True
    speed_um_s: float | None = 400.0
    limited: bool = True
    tolerance_um: float = 0.05


CASES = [
    Case("demo-camera", lambda _: MicroManagerMicroscope(demo_config_path(), buffer_mb=16), speed_um_s=None),
    Case("demo-camera-slow-stage", slow_stage, sees_z=False, speed_um_s=100.0, limited=False, tolerance_um=0.11),
    Case("simulated", lambda _: simulated()),
    Case("simulated-in-core", lambda _: through_core(simulated())),
    Case("recorded", lambda _: recorded()),
    Case("recorded-in-core", lambda _: through_core(recorded())),
    Case("field", lambda _: before(field_scene())),
    Case("field-in-core", lambda _: through_core(before(field_scene()))),
    Case("brightfield", lambda _: before(brightfield_scene())),
    Case("brightfield-in-core", lambda _: through_core(before(brightfield_scene()))),
    # Holograms are computed for each frame: no faster than a busy computer can.
    Case("hologram", lambda _: before(hologram_scene(), max_fps=20.0)),
    Case("hologram-in-core", lambda _: through_core(before(hologram_scene(), max_fps=20.0))),
    Case("lensfree", lambda _: before(lensfree_scene()), sees_z=False),
    Case("lensfree-in-core", lambda _: through_core(before(lensfree_scene())), sees_z=False),
    Case("simulated-colour", lambda _: simulated(colour=True, bit_depth=8)),
    Case("simulated-colour-in-core", lambda _: through_core(simulated(colour=True, bit_depth=8))),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    cases = CASES
    if metafunc.definition.get_closest_marker("sees_z"):
        cases = [case for case in cases if case.sees_z]
    if metafunc.definition.get_closest_marker("finite_speed"):
        cases = [case for case in cases if case.speed_um_s is not None]
    if metafunc.definition.get_closest_marker("limited"):
        cases = [case for case in cases if case.limited]
    metafunc.parametrize("case", cases, ids=lambda case: case.name)


def pytest_configure(config: pytest.Config) -> None:
    for marker in ("sees_z", "finite_speed", "limited"):
        config.addinivalue_line("markers", f"{marker}: only for the microscopes of the contract suite that are so")


@pytest.fixture
def closed(case: Case, tmp_path: Path) -> Microscope:
    """The microscope, not open yet."""
    return case.make(tmp_path)


@pytest.fixture
def microscope(closed: Microscope) -> Iterator[Microscope]:
    """The microscope, open."""
    with closed:
        yield closed


class Collector:
    """Takes frames with a deadline."""

    def __call__(self, camera: Camera, n: int, timeout_s: float = 20.0) -> list[CameraFrame]:
        """Return the next n frames; fail if they do not come."""
        return self.until(camera, lambda frames: len(frames) >= n, timeout_s)

    def until(
        self, camera: Camera, done: Callable[[list[CameraFrame]], bool], timeout_s: float = 20.0
    ) -> list[CameraFrame]:
        frames: list[CameraFrame] = []
        deadline = time.monotonic() + timeout_s
        while not done(frames):
            frame = camera.take()
            if frame is not None:
                frames.append(frame)
                continue
            if time.monotonic() > deadline:
                pytest.fail(f"only {len(frames)} frames came within {timeout_s} s")
            time.sleep(0.0005)
        return frames

    def wait(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Poll until the condition holds; fail if it never does."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"did not happen within {timeout_s} s")
            time.sleep(0.0005)


@pytest.fixture
def collect() -> Collector:
    return Collector()
