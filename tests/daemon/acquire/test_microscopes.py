"""Acquisitions on real Micro-Manager devices (its demonstration) and on a simulated microscope, in real time."""

from __future__ import annotations

import math
import queue
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mm_test_adapters
import numpy as np
import pytest

from microscoped.daemon.acquire import (
    Acquisition,
    Deadlines,
    FocusOutcome,
    FocusRequest,
    HardwareSteps,
    Instrument,
    LightAllowance,
    read_sequence,
)
from microscoped.drivers import CameraSettings, FocusDirection
from microscoped.drivers import commands as c
from microscoped.drivers.hardware import HardwareSettings, HardwareThread
from microscoped.drivers.micromanager import MicroManagerMicroscope
from microscoped.drivers.safety import MotionSettings, XYMotionSettings
from microscoped.simulators import SimulatedMicroscope, StageModel
from tests.daemon.acquire.stand import KeepingSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from microscoped.daemon.acquire import AcquireOutcome, Progress
    from microscoped.drivers.protocols import Microscope
    from microscoped.simulators.brightfield import BrightfieldScene

MOTION = MotionSettings(
    (-20.0, 20.0), focus_direction=FocusDirection.TOWARD_SAMPLE, overshoot_um=1.0, settle_ms=2.0, timeout_s=1.0
)
XY = XYMotionSettings((-100.0, 100.0), (-100.0, 100.0))


class Room:
    """A hardware thread, whose words an acquisition hears."""

    def __init__(self, microscope: Microscope) -> None:
        self.microscope = microscope
        self.events: queue.Queue[c.HardwareEvent] = queue.Queue()
        self.steps: HardwareSteps | None = None
        hardware = HardwareSettings(MOTION, xy=XY, frame_allowance_s=0.3)
        self.thread = HardwareThread(microscope, hardware, self._hear)
        self.thread.start()
        opened = self.events.get(timeout=30)
        assert isinstance(opened, c.Opened), opened
        self.opened = opened
        self.sink = KeepingSink()
        self.reports: queue.Queue[Progress] = queue.Queue()

    def _hear(self, event: c.HardwareEvent) -> None:
        if self.steps is not None:
            self.steps.hear(event)
        self.events.put(event)

    def acquisition(self, content: Mapping[str, Any], **options: Any) -> Acquisition:  # noqa: ANN401
        opened = self.opened
        instrument = Instrument(
            motion=MOTION,
            z_um=opened.z_um,
            frame_shape_px=(opened.camera.height_px, opened.camera.width_px),
            bytes_per_pixel=2,
            exposure_ms=opened.settings.exposure_ms or 0.0,
            pixel_size_um=opened.camera.pixel_size_um,
            xy=XY,
            xy_um=opened.xy_um,
            presets=opened.presets,
        )
        self.steps = HardwareSteps(self.thread, "acquire-1", Deadlines(grace_s=2.0))
        plan = read_sequence(content, instrument)
        return Acquisition(plan, self.steps, self.sink, report=self.reports.put, **options)

    def run(self, content: Mapping[str, Any], **options: Any) -> AcquireOutcome:  # noqa: ANN401
        acquisition = self.acquisition(content, **options)
        acquisition.start()
        return ended(acquisition)

    def close(self) -> None:
        self.thread.close()
        assert self.thread.join(20)


def ended(acquisition: Acquisition) -> AcquireOutcome:
    assert acquisition.join(50)
    assert acquisition.outcome is not None
    return acquisition.outcome


@pytest.fixture
def enter() -> Iterator[Callable[[Microscope], Room]]:
    rooms: list[Room] = []

    def build(microscope: Microscope) -> Room:
        rooms.append(Room(microscope))
        return rooms[-1]

    yield build
    for room in rooms:
        room.close()


@pytest.fixture
def demo(enter: Callable[[Microscope], Room]) -> Room:
    adapters = mm_test_adapters.device_adapter_path()
    config = Path(adapters) / "MMConfig_demo.cfg"
    return enter(MicroManagerMicroscope(config, adapter_paths=[adapters], buffer_mb=16))


@pytest.fixture
def simulated(enter: Callable[[Microscope], Room], small_scene: BrightfieldScene) -> Room:
    stage = StageModel(speed_um_s=400.0, start_um=4.0)
    return enter(SimulatedMicroscope(small_scene, stage, exposure_ms=5.0, max_fps=200.0))


def test_the_demonstration_acquires_positions_channels_and_planes_in_order(demo: Room) -> None:
    outcome = demo.run(
        {
            "stage_positions": [{"x": 0, "y": 0, "z": 1, "name": "first"}, {"x": 20, "y": -10, "z": 2}],
            "channels": [{"config": "DAPI", "exposure": 2}, {"config": "FITC", "exposure": 4}],
            "z_plan": {"relative": [-1, 0, 1]},
            "time_plan": {"interval": 0, "loops": 2},
        }
    )
    assert outcome.state == "completed", outcome.reason
    frames = demo.sink.frames
    assert len(frames) == 24
    keys = [tuple(frame.event.index[axis] for axis in "tpcz") for frame in frames]
    assert keys == [(t, p, k, z) for t in range(2) for p in range(2) for k in range(2) for z in range(3)]
    for frame in frames:
        assert frame.z_um == pytest.approx(1 + frame.event.index["p"] + frame.event.index["z"] - 1, abs=0.01)
        assert frame.exposure_ms == (2, 4)[frame.event.index["c"]]
        assert frame.event.channel == ("Channel", ("DAPI", "FITC")[frame.event.index["c"]])
        assert frame.xy_um == pytest.approx(((0, 0), (20, -10))[frame.event.index["p"]], abs=1.0)
    starts = [frame.exposure_start_ns for frame in frames]
    assert starts == sorted(starts)
    assert all(image.shape == (512, 512) for image in demo.sink.images)
    # Every frame was also told to whoever hears the hardware: the loop publishes and measures them.
    taken = [event for event in demo.events.queue if isinstance(event, c.FrameTaken)]
    assert [f"frame-{event.frame.serial}" for event in taken] == [frame.frame for frame in frames]


def test_only_the_hardware_thread_calls_the_core(demo: Room) -> None:
    # The fixture core_belongs_to_one_thread of all tests fails this one if another thread did.
    assert demo.run({"z_plan": {"relative": [0, 1]}, "channels": ["DAPI"]}).state == "completed"


def test_frames_are_those_of_the_planes_that_they_are_said_to_be(simulated: Room) -> None:
    outcome = simulated.run({"z_plan": {"absolute": [-6, 0, 6]}})
    assert outcome.state == "completed", outcome.reason
    sharp = [float(np.var(image.astype(float))) for image in simulated.sink.images]
    assert sharp[1] > 1.3 * max(sharp[0], sharp[2])
    assert [frame.z_um for frame in simulated.sink.frames] == pytest.approx([-6, 0, 6], abs=0.1)


@pytest.mark.parametrize(
    ("fault", "value", "code"),
    [
        ("snap_failures", 1, "fault.camera"),
        ("stage_stuck", True, "fault.stage_not_arrived"),
        ("stage_failures", 50, "fault.stage"),
        ("frame_age_s", 5.0, "fault.camera"),
    ],
)
def test_a_fault_of_the_hardware_ends_it_as_failed(simulated: Room, fault: str, value: float, code: str) -> None:
    acquisition = simulated.acquisition({"time_plan": {"interval": 0, "loops": 500}, "z_plan": {"relative": [0, 1]}})
    acquisition.start()
    while simulated.reports.get(timeout=20).frames_done < 3:
        pass
    assert isinstance(simulated.microscope, SimulatedMicroscope)
    setattr(simulated.microscope.faults, fault, value)
    outcome = ended(acquisition)
    assert (outcome.state, outcome.code) == ("failed", code)
    assert outcome.reason
    assert 3 <= outcome.progress.frames_done < 1000
    assert len(simulated.sink.frames) == outcome.progress.frames_done


def test_stop_ends_it_and_the_stage_stays(simulated: Room) -> None:
    acquisition = simulated.acquisition({"time_plan": {"interval": 0, "loops": 500}, "z_plan": {"relative": [0, 9]}})
    acquisition.start()
    while simulated.reports.get(timeout=20).frames_done < 2:
        pass
    simulated.thread.stop()
    outcome = ended(acquisition)
    assert (outcome.state, outcome.code) == ("failed", "stopped")
    assert not simulated.microscope.stage.is_busy()


def test_a_cancellation_in_the_middle_of_a_move_halts_the_stage(
    enter: Callable[[Microscope], Room], small_scene: BrightfieldScene
) -> None:
    room = enter(SimulatedMicroscope(small_scene, StageModel(speed_um_s=10.0), exposure_ms=5.0))
    acquisition = room.acquisition({"z_plan": {"absolute": [19.0]}})
    acquisition.start()
    while not room.microscope.stage.is_busy():
        pass
    acquisition.cancel("enough")
    outcome = ended(acquisition)
    assert (outcome.state, outcome.progress.frames_done) == ("cancelled", 0)
    assert not room.microscope.stage.is_busy()
    assert room.microscope.stage.position_um() < 15.0


def test_an_exposure_under_way_ends_within_the_grace_after_a_cancellation(simulated: Room) -> None:
    content = {"time_plan": {"interval": 0, "loops": 3}}
    simulated.thread.submit(c.Configure(id="set", change=CameraSettings(exposure_ms=300.0)))
    acquisition = simulated.acquisition(content)
    acquisition.start()
    while simulated.reports.get(timeout=20).phase != "running":
        pass
    acquisition.cancel()
    outcome = ended(acquisition)
    assert outcome.state == "cancelled"
    assert outcome.progress.frames_done <= 1


def test_a_burst_is_injected_while_a_time_lapse_waits(simulated: Room) -> None:
    acquisition = simulated.acquisition({"time_plan": {"interval": 500, "loops": 2}})
    acquisition.start()
    while simulated.reports.get(timeout=20).frames_done < 1:
        pass
    name = acquisition.inject([{"z_pos": float(z), "exposure": 2.0} for z in range(5)], "now").batch
    while simulated.reports.get(timeout=20).frames_done < 6:
        pass
    acquisition.cancel()
    assert ended(acquisition).state == "cancelled"
    burst = [frame for frame in simulated.sink.frames if frame.event.batch == name]
    assert [frame.z_um for frame in burst] == pytest.approx(range(5), abs=0.1)
    assert {frame.exposure_ms for frame in burst} == {2.0}


def test_light_that_runs_out_ends_it_before_the_exposure(simulated: Room) -> None:
    outcome = simulated.run({"time_plan": {"interval": 0, "loops": 10}}, light=LightAllowance(24.0))
    assert (outcome.state, outcome.code, outcome.progress.frames_done) == ("failed", "limit.light", 4)
    taken = [event for event in simulated.events.queue if isinstance(event, c.FrameTaken)]
    assert len(taken) == 4


class Sharpest:
    """Focuses by trying planes, through the same hardware thread as everybody else."""

    def __init__(self, room: Room) -> None:
        self._steps = HardwareSteps(room.thread, "focus")
        self._room = room

    def __call__(self, request: FocusRequest) -> FocusOutcome:
        room, acquiring = self._room, self._room.steps
        assert acquiring is not None
        room.steps = self._steps
        best = (-math.inf, request.z_um)
        for step in range(-4, 5):
            z_um = request.z_um + step
            self._steps.move_z(z_um)
            pixels = self._steps.snap(5.0).frame.pixels.astype(float)
            best = max(best, (float(np.var(pixels) / np.mean(pixels) ** 2), z_um))
        self._steps.move_z(best[1])
        room.steps = acquiring
        return FocusOutcome(True, best[1], light_ms=45.0, images=9)

    def interrupt(self) -> None:
        self._steps.interrupt()


def test_a_focus_event_brings_the_stack_to_the_specimen(simulated: Room) -> None:
    content = {
        "stage_positions": [{"z": 3.0}],
        "z_plan": {"relative": [-6, 0, 6]},
        "autofocus_plan": {"axes": ["p"]},
    }
    outcome = simulated.run(content, focus=Sharpest(simulated), light=LightAllowance())
    assert outcome.state == "completed", outcome.reason
    below, middle, above = simulated.sink.frames
    assert abs(middle.z_um) <= 2.0  # it began 3 µm away
    assert (middle.z_um - below.z_um, above.z_um - middle.z_um) == pytest.approx((6, 6), abs=0.1)
    assert all(frame.focused for frame in simulated.sink.frames)
    assert outcome.progress.light_ms == 45.0 + 15.0


def test_a_move_beyond_the_limits_is_refused_by_the_layer_below_too(simulated: Room) -> None:
    acquisition = simulated.acquisition({"z_plan": {"absolute": [1.0]}})
    steps = simulated.steps
    assert steps is not None
    with pytest.raises(Exception, match=r"above the limit of 20 µm \(stage.limits_um\)"):
        steps.move_z(25.0)
    assert simulated.microscope.stage.position_um() == pytest.approx(4.0, abs=0.1)
    acquisition.start()
    assert ended(acquisition).state == "completed"
