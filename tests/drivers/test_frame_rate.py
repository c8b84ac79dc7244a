"""Streams with a frame rate, in simulated time: when exposures begin, and that there is no light between two."""

from __future__ import annotations

import queue
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.drivers import CameraSettings
from microscoped.drivers import commands as c
from microscoped.drivers._camera_work import IDLE_NS, CameraWork
from microscoped.drivers._stage_work import StageWork
from microscoped.drivers.errors import ConnectionFailedError, DriverError, SettingError
from microscoped.drivers.hardware import HardwareSettings, HardwareThread
from microscoped.drivers.micromanager import MicroManagerMicroscope, demo_config_path
from microscoped.drivers.safety import MotionSettings
from microscoped.simulators import Faults, ManualClock, SimulatedMicroscope
from microscoped.simulators.camera import SimulatedCamera

if TYPE_CHECKING:
    from collections.abc import Generator

    from microscoped.drivers.commands import HardwareEvent
    from microscoped.drivers.protocols import CameraFrame, Pixels

LONG_MS = 50.0


class Dark:
    """A scene without anything in it."""

    shape = (8, 8)
    bit_depth = 8

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        return np.zeros(self.shape, np.uint8)

    def describe(self) -> dict[str, str]:
        return {}


class Lamp(SimulatedCamera):
    """A camera that notes each exposure that was begun, and whether it ever was left to expose by itself."""

    def __init__(self, microscope: SimulatedMicroscope, clock: ManualClock, faults: Faults) -> None:
        super().__init__(Dark(), microscope.stage, clock=clock, sleep=clock.sleep, exposure_ms=10.0, faults=faults)
        self.clock = clock
        self.begun_ms: list[float] = []
        self.left_on = False

    def snap(self) -> CameraFrame:
        self.begun_ms.append(self.clock() / 1e6)
        return super().snap()

    def start(self, n_frames: int | None = None) -> None:
        self.left_on |= n_frames is None
        if n_frames is not None:
            self.begun_ms.append(self.clock() / 1e6)
        super().start(n_frames)


class Stand:
    """The work on a camera, and the thread that does it, step by step."""

    def __init__(self, *, fps: float | None = None, exposure_ms: float = 10.0) -> None:
        self.clock = ManualClock(0)
        self.faults = Faults()
        self.heard: list[HardwareEvent] = []
        with SimulatedMicroscope(Dark(), clock=self.clock, sleep=self.clock.sleep) as microscope:
            self.camera = Lamp(microscope, self.clock, self.faults)
            motion = MotionSettings(limits_um=(-10.0, 10.0))
            stage = StageWork(
                microscope.stage,
                motion,
                10**12,
                clock=self.clock,
                stopped=lambda: False,
                post=self.heard.append,
            )
        self.camera.configure(CameraSettings(exposure_ms=exposure_ms))
        self.work = CameraWork(
            self.camera,
            stage,
            long_exposure_ms=LONG_MS,
            frame_allowance_ns=10**9,
            fps=fps,
            clock=self.clock,
            post=self.heard.append,
        )

    def do(self, job: Generator[int, None, object]) -> object:
        """Have a job done while the stream goes on."""
        while True:
            try:
                wait_ns = next(job)
            except StopIteration as end:
                return end.value
            self._turn(max(1, min(wait_ns, self.work.wait_ns())))

    def run(self, seconds: float) -> None:
        end_ns = self.clock() + int(seconds * 1e9)
        while self.clock() < end_ns:
            self._turn(max(1, min(self.work.wait_ns(), end_ns - self.clock())))

    def start(self) -> None:
        self.do(self.work.start_stream())

    def set(self, *, fps: c.FrameRate | None = None, **change: float) -> None:
        self.do(self.work.configure(c.Configure(id="set", change=CameraSettings(**change), fps=fps)))  # type: ignore[arg-type] # of settings

    def frames(self) -> list[c.StampedFrame]:
        return [event.frame for event in self.heard if isinstance(event, c.FrameTaken)]

    def _turn(self, wait_ns: int) -> None:
        self.clock.sleep(wait_ns / 1e9)
        self.work.pump()


@pytest.mark.parametrize(
    ("fps", "exposure_ms", "seconds", "exposures"),
    [(10.0, 10.0, 2.0, 20), (0.1, 10.0, 60.0, 6), (4.0, 200.0, 2.0, 8), (0.5, 1000.0, 10.0, 5)],
    ids=["fast", "slow", "long exposures", "long and slow"],
)
def test_each_exposure_begins_when_it_is_due_and_there_is_no_other_light(
    fps: float, exposure_ms: float, seconds: float, exposures: int
) -> None:
    stand = Stand(fps=fps, exposure_ms=exposure_ms)
    stand.start()
    stand.run(seconds - 0.01)
    begun = stand.camera.begun_ms
    assert len(begun) == exposures
    assert all(abs(later - one - 1000.0 / fps) < 1.0 for one, later in pairwise(begun))
    assert not stand.camera.left_on
    taken = stand.frames()
    assert [frame.frame.number for frame in taken] == list(range(exposures))
    assert all(frame.streamed and frame.lost_before == 0 for frame in taken)
    assert not stand.camera.is_running()


def test_a_camera_that_cannot_keep_up_leaves_exposures_out() -> None:
    stand = Stand(fps=100.0)  # 10 ms of exposure and 1 ms of readout
    stand.start()
    stand.run(1.0)
    begun = stand.camera.begun_ms
    assert 45 <= len(begun) <= 91
    assert all(later - one >= 11.0 - 1e-6 for one, later in pairwise(begun))
    assert [frame.frame.number for frame in stand.frames()] == list(range(len(begun)))


def test_a_stream_goes_on_at_another_rate() -> None:
    stand = Stand(fps=0.1)
    stand.start()
    stand.run(12.0)
    assert len(stand.camera.begun_ms) == 2
    stand.set(fps=10.0)  # the last exposure is longer ago than the new interval
    stand.run(1.05)
    assert stand.camera.begun_ms[2] - 12_000.0 < 1.0
    assert len(stand.camera.begun_ms) == 2 + 11
    last_ms = stand.camera.begun_ms[-1]
    stand.set(fps=0.5)
    stand.run(2.0)
    assert stand.camera.begun_ms[-1] - last_ms == pytest.approx(2000.0, abs=1.0)
    stand.set(fps="free")
    assert stand.camera.left_on
    before = len(stand.frames())
    stand.run(1.0)
    assert len(stand.frames()) - before >= 98
    stand.set(fps=5.0)
    assert not stand.camera.is_running()
    stand.run(1.05)
    assert len(stand.camera.begun_ms) >= 6


def test_a_snap_does_not_wait_for_a_slow_stream_nor_disturb_it() -> None:
    stand = Stand(fps=0.1)
    stand.start()
    stand.run(3.0)
    snapped = stand.do(stand.work.snap(c.Snap(id="snap")))
    assert isinstance(snapped, c.StampedFrame)
    assert not snapped.streamed
    assert snapped.frame.exposure_start_ns == pytest.approx(3.0e9, abs=1e6)
    stand.run(8.0)
    assert [round(begun / 1000.0) for begun in stand.camera.begun_ms] == [0, 3, 10]


@pytest.mark.parametrize("exposure_ms", [10.0, 200.0])
def test_a_snap_waits_for_the_exposure_of_the_stream_that_goes_on(exposure_ms: float) -> None:
    stand = Stand(fps=4.0, exposure_ms=exposure_ms)
    stand.start()
    stand.run(0.55)
    snapped = stand.do(stand.work.snap(c.Snap(id="snap")))
    assert isinstance(snapped, c.StampedFrame)
    assert not snapped.streamed
    begun = stand.camera.begun_ms
    assert all(later - one >= exposure_ms for one, later in pairwise(begun))
    stand.run(1.0)
    assert sum(not frame.streamed for frame in stand.frames()) == 1


@pytest.mark.parametrize("how", ["stop", "pause", "close"])
def test_an_exposure_that_goes_on_ends_with_the_stream(how: str) -> None:
    stand = Stand(fps=1.0, exposure_ms=500.0)
    stand.start()
    stand.run(0.2)
    assert stand.camera.is_running()
    if how == "pause":
        assert stand.work.pause()
    elif how == "close":
        stand.work.close()
    else:
        stand.do(stand.work.stop_stream())
    assert not stand.camera.is_running()
    assert stand.work.wait_ns() == IDLE_NS
    if how == "pause":
        stand.work.go_on()
        stand.run(1.5)
        assert stand.camera.begun_ms[1] == pytest.approx(1000.0, abs=1.0)  # not sooner than it would have been


def test_more_exposures_than_fit_into_a_second_are_refused_and_the_fastest_is_named() -> None:
    stand = Stand(fps=20.0)
    stand.start()
    changes: list[dict[str, float]] = [{"fps": 101.0}, {"exposure_ms": 51.0}, {"fps": 30.0, "exposure_ms": 40.0}]
    fastest = ["100 is", "19.6078 is", "25 is"]
    for change, named in zip(changes, fastest, strict=True):
        with pytest.raises(SettingError, match=named):
            stand.set(**change)
    stand.set(fps=2.0, exposure_ms=500.0)  # both at once: neither alone would do
    stand.set(fps=100.0, exposure_ms=10.0)
    stand.run(1.0)
    assert stand.camera.settings().exposure_ms == 10.0


@pytest.mark.parametrize("exposure_ms", [10.0, 200.0])
def test_a_camera_that_fails_ends_the_stream(exposure_ms: float) -> None:
    stand = Stand(fps=2.0, exposure_ms=exposure_ms)
    stand.start()
    stand.run(1.2)
    stand.faults.snap_failures = stand.faults.take_failures = 1
    stand.run(1.0)
    assert [type(event) for event in stand.heard if isinstance(event, c.StreamEnded)] == [c.StreamEnded]
    assert not stand.work.streaming
    stand.faults.snap_failures = stand.faults.take_failures = 0
    stand.start()
    stand.run(1.0)
    assert stand.work.streaming


def test_a_rate_that_the_configured_exposure_does_not_allow_is_refused_at_the_start() -> None:
    heard: list[HardwareEvent] = []
    settings = HardwareSettings(MotionSettings(limits_um=None), CameraSettings(exposure_ms=20.0), fps=60.0)
    thread = HardwareThread(SimulatedMicroscope(Dark()), settings, heard.append)
    thread.start()
    assert thread.join(10)
    (failed,) = (event for event in heard if isinstance(event, c.OpenFailed))
    assert isinstance(failed.error, ConnectionFailedError)
    assert isinstance(failed.error, DriverError)
    assert "50 is the fastest" in str(failed.error)
    assert "camera" in str(failed.error)


@pytest.mark.parametrize("exposure_ms", [5.0, 80.0], ids=["snaps", "sequences of one"])
def test_micromanager_makes_each_exposure_by_itself(exposure_ms: float) -> None:
    heard: queue.Queue[HardwareEvent] = queue.Queue()
    settings = HardwareSettings(MotionSettings(limits_um=None), CameraSettings(exposure_ms=exposure_ms), fps=10.0)
    thread = HardwareThread(MicroManagerMicroscope(demo_config_path(), buffer_mb=16), settings, heard.put)
    thread.start()
    thread.submit(c.StartStream(id="start"))
    starts_ns: list[int] = []
    while len(starts_ns) < 4:
        event = heard.get(timeout=10)
        if isinstance(event, c.FrameTaken):
            assert event.frame.streamed
            assert event.frame.frame.number == len(starts_ns)
            assert event.frame.frame.exposure_ms == exposure_ms
            starts_ns.append(event.frame.frame.exposure_start_ns)
    thread.close()
    assert thread.join(10)
    # A busy computer may leave exposures out, and none comes sooner than it is due.
    assert all(later - one > 80_000_000 for one, later in pairwise(starts_ns))
