from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.drivers.errors import CameraError, ConnectionFailedError, StageError
from microscoped.drivers.micromanager import MicroManagerMicroscope
from microscoped.drivers.protocols import CameraSettings, FocusDirection
from microscoped.simulators import SimulatedMicroscope, StageModel
from microscoped.simulators.micromanager import build_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from microscoped.drivers.protocols import CameraFrame, Pixels


class FlatScene:
    shape = (16, 24)
    bit_depth = 10

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        return np.full(self.shape, 100 + round(z_um), np.uint16)

    def describe(self) -> Mapping[str, str]:
        return {}


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.0005)


def take(microscope: MicroManagerMicroscope, n: int) -> list[CameraFrame]:
    frames: list[CameraFrame] = []

    def enough() -> bool:
        if (frame := microscope.camera.take()) is not None:
            frames.append(frame)
        return len(frames) >= n

    wait_for(enough)
    return frames


@pytest.fixture
def simulated() -> SimulatedMicroscope:
    stage = StageModel(start_um=3.0, focus_direction=FocusDirection.AWAY)
    return SimulatedMicroscope(FlatScene(), stage, exposure_ms=2.0, max_fps=200.0, pixel_size_um=0.25)


@pytest.fixture
def driven(simulated: SimulatedMicroscope) -> Iterator[MicroManagerMicroscope]:
    with MicroManagerMicroscope(core=lambda: build_core(simulated), buffer_mb=4) as microscope:
        yield microscope


def test_the_core_tells_what_the_simulation_tells(
    simulated: SimulatedMicroscope, driven: MicroManagerMicroscope
) -> None:
    assert driven.camera.info() == simulated.camera.info()
    assert driven.camera.settings() == simulated.camera.settings()
    assert driven.stage.focus_direction() is FocusDirection.AWAY
    assert driven.stage.position_um() == 3.0
    assert int(driven.camera.snap().pixels[0, 0]) == 103


def test_the_simulation_is_closed_with_the_core(simulated: SimulatedMicroscope) -> None:
    with MicroManagerMicroscope(core=lambda: build_core(simulated)):
        assert simulated.camera.name
    with pytest.raises(ConnectionFailedError, match="not open"):
        _ = simulated.camera


def test_lost_frames_show_as_gaps(simulated: SimulatedMicroscope, driven: MicroManagerMicroscope) -> None:
    simulated.faults.lose_every = 3
    driven.camera.start()
    assert [frame.number for frame in take(driven, 5)] == [0, 1, 3, 4, 6]


@pytest.mark.parametrize("fault", ["sequence_dies", "take_failures"])
def test_a_sequence_that_dies_does_not_run_any_more(
    simulated: SimulatedMicroscope, driven: MicroManagerMicroscope, fault: str
) -> None:
    driven.camera.start()
    take(driven, 1)
    setattr(simulated.faults, fault, True)
    wait_for(lambda: not driven.camera.is_running())
    driven.camera.stop()
    driven.camera.start(2)
    assert [frame.number for frame in take(driven, 2)] == [0, 1]


def test_stop_does_not_wait_for_a_long_exposure(driven: MicroManagerMicroscope) -> None:
    driven.camera.configure(CameraSettings(exposure_ms=9000.0))
    driven.camera.start()
    before_s = time.perf_counter()
    driven.camera.stop()
    assert time.perf_counter() - before_s < 1.0
    assert not driven.camera.is_running()


def test_failures_reach_the_caller(simulated: SimulatedMicroscope, driven: MicroManagerMicroscope) -> None:
    simulated.faults.snap_failures = simulated.faults.stage_failures = 1
    with pytest.raises(CameraError, match="simulated"):
        driven.camera.snap()
    with pytest.raises(StageError, match="simulated"):
        driven.stage.move_to(1.0)
    assert driven.camera.snap().number == 0
