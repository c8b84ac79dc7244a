from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.drivers.protocols import CameraSettings

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Microscope, Pixels
    from tests.contract.conftest import Case, Collector

NEAR_UM, FAR_UM = 1.0, 12.0


def test_a_snap_lies_between_call_and_return(microscope: Microscope) -> None:
    camera = microscope.camera
    camera.configure(CameraSettings(exposure_ms=20.0))
    called_ns = time.perf_counter_ns()
    frame = camera.snap()
    returned_ns = time.perf_counter_ns()
    assert frame.earliest_start_ns >= called_ns
    assert frame.exposure_start_ns + 20e6 <= returned_ns + 1e6
    assert frame.exposure_start_error_ns >= 0


def test_no_frame_begins_before_its_sequence_or_ends_after_its_receipt(
    microscope: Microscope, collect: Collector
) -> None:
    camera = microscope.camera
    camera.configure(CameraSettings(exposure_ms=5.0))
    called_ns = time.perf_counter_ns()
    camera.start(10)
    received: list[int] = []
    frames = collect.until(camera, lambda frames: bool(received.append(time.perf_counter_ns())) or len(frames) == 10)
    last_ns = time.perf_counter_ns()
    for frame in frames:
        assert frame.earliest_start_ns >= called_ns
        assert frame.exposure_start_error_ns >= 0
    assert frames[-1].exposure_start_ns + 5e6 - frames[-1].exposure_start_error_ns <= last_ns
    starts = [frame.exposure_start_ns for frame in frames]
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] > 8 * 5e6


@pytest.mark.sees_z
def test_a_frame_that_says_it_began_after_the_arrival_shows_the_new_z(
    case: Case, microscope: Microscope, collect: Collector
) -> None:
    camera, stage = microscope.camera, microscope.stage
    camera.configure(CameraSettings(exposure_ms=5.0))

    def go(z_um: float) -> int:
        stage.move_to(z_um)
        collect.wait(lambda: not stage.is_busy() and abs(stage.position_um() - z_um) <= case.tolerance_um)
        return time.perf_counter_ns()

    references: dict[float, Pixels] = {}
    for z_um in (NEAR_UM, FAR_UM):
        go(z_um)
        references[z_um] = camera.snap().pixels

    def shows(pixels: Pixels) -> float:
        return min(references, key=lambda z: float(np.abs(pixels.astype(float) - references[z].astype(float)).mean()))

    camera.start()
    for z_um in (NEAR_UM, FAR_UM, NEAR_UM, FAR_UM):
        arrived_ns = go(z_um)
        frames = collect.until(
            camera, lambda frames, t=arrived_ns: sum(frame.earliest_start_ns >= t for frame in frames) >= 3
        )
        after = [frame for frame in frames if frame.earliest_start_ns >= arrived_ns]
        assert [shows(frame.pixels) for frame in after] == [z_um] * len(after)
    camera.stop()
