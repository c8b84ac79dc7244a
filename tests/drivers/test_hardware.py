"""The hardware thread on a simulated microscope in real time: frames, faults, stop."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest

from microscoped.drivers import CameraSettings, FocusDirection
from microscoped.drivers import commands as c
from microscoped.drivers.errors import HardwareBusyError, MotionStoppedError
from microscoped.drivers.hardware import HardwareSettings, HardwareThread
from microscoped.drivers.motion import Arrival
from microscoped.drivers.safety import MotionSettings, Origin
from microscoped.simulators import SimulatedMicroscope, StageModel
from microscoped.simulators.brightfield import BrightfieldScene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microscoped.drivers.commands import HardwareEvent

MOTION = MotionSettings(
    limits_um=(-100.0, 100.0), focus_direction=FocusDirection.TOWARD_SAMPLE, timeout_s=1.0, settle_ms=2.0
)
E = TypeVar("E")


class Bench:
    """A hardware thread and what it says."""

    def __init__(
        self, scene: BrightfieldScene, stage: StageModel | None = None, *, overshoot_um: float = 0.0, **settings: float
    ) -> None:
        self.heard: queue.Queue[HardwareEvent] = queue.Queue()
        self.microscope = SimulatedMicroscope(scene, stage, exposure_ms=5.0, max_fps=200.0)
        self.faults = self.microscope.faults
        motion = replace(MOTION, overshoot_um=overshoot_um)
        hardware = HardwareSettings(motion, frame_allowance_s=0.3, position_interval_s=0.05, **settings)  # type: ignore[arg-type]
        self.thread = HardwareThread(self.microscope, hardware, self.heard.put)
        self.thread.start()
        self.next(c.Opened)
        self._ids = iter(range(1_000_000))

    def next(self, kind: type[E]) -> E:
        """The next event of a kind; others are passed over."""
        while True:
            event = self.heard.get(timeout=10)
            if isinstance(event, kind):
                return event

    def submit(self, kind: type[c.Command], **fields: object) -> c.Command:
        command = kind(id=str(next(self._ids)), **fields)  # type: ignore[arg-type]
        self.thread.submit(command)
        return command

    def do(self, kind: type[c.Command], **fields: object) -> c.Result:
        command = self.submit(kind, **fields)
        while (result := self.next(c.Result)).command is not command:
            pass
        return result

    def move(self, z_um: float) -> c.Result:
        return self.do(c.MoveTo, z_um=z_um, origin=Origin.CLIENT)

    def snap(self) -> c.StampedFrame:
        value = self.do(c.Snap).value
        assert isinstance(value, c.StampedFrame)
        return value


@pytest.fixture
def make(small_scene: BrightfieldScene) -> Iterator[type[Bench]]:
    benches: list[Bench] = []

    def build(stage: StageModel | None = None, **settings: float) -> Bench:
        benches.append(Bench(small_scene, stage, **settings))
        return benches[-1]

    yield build  # type: ignore[misc]
    for bench in benches:
        bench.thread.close()
        assert bench.thread.join(10)


def test_a_snap_after_a_move_was_exposed_after_the_arrival(make: type[Bench]) -> None:
    bench = make()
    for z_um in (5.0, -5.0):
        arrival = bench.move(z_um).value
        assert isinstance(arrival, Arrival)
        frame = bench.snap()
        assert frame.frame.earliest_start_ns >= arrival.arrived_ns
        assert not frame.moving
        assert frame.z_um == arrival.z_um
        assert frame.z_source == "readback"


def test_a_snap_from_the_stream_qualifies_in_the_same_way(make: type[Bench]) -> None:
    bench = make()
    bench.do(c.StartStream)
    arrival = bench.move(7.0).value
    assert isinstance(arrival, Arrival)
    frame = bench.snap()
    assert frame.streamed
    assert frame.frame.earliest_start_ns >= arrival.arrived_ns
    assert frame.z_um == pytest.approx(7.0, abs=0.1)


def test_frames_of_a_moving_stage_say_so(make: type[Bench]) -> None:
    bench = make(StageModel(speed_um_s=100.0))
    bench.do(c.StartStream)
    bench.submit(c.MoveTo, z_um=20.0, origin=Origin.CLIENT)
    frames: list[c.StampedFrame] = []
    while not (frames and not frames[-1].moving and frames[-1].z_um > 19):
        frames.append(bench.next(c.FrameTaken).frame)
    moving = [frame for frame in frames if frame.moving]
    assert len(moving) > 10
    assert all(frame.z_source == "interpolated" for frame in moving)
    middle = moving[len(moving) // 2]
    truth = bench.microscope.stage.optical_z_um(middle.frame.exposure_start_ns + 2_500_000)
    assert middle.z_um == pytest.approx(truth, abs=2.5)


def test_a_long_exposure_does_not_hold_up_moves(make: type[Bench]) -> None:
    bench = make()
    bench.do(c.Configure, change=CameraSettings(exposure_ms=400.0))
    snap = bench.submit(c.Snap)
    assert bench.move(1.0).error is None
    while (result := bench.next(c.Result)).command is not snap:
        pass
    assert isinstance(result.value, c.StampedFrame)


def test_lost_frames_are_counted(make: type[Bench]) -> None:
    bench = make()
    bench.faults.lose_every = 5
    bench.do(c.StartStream)
    frames = [bench.next(c.FrameTaken).frame for _ in range(30)]
    assert sum(frame.lost_before for frame in frames) >= 5
    assert frames[-1].frame.number == len(frames) - 1 + sum(frame.lost_before for frame in frames)


@pytest.mark.parametrize("fault", ["sequence_dies", "take_failures"])
def test_a_stream_that_dies_is_noticed(make: type[Bench], fault: str) -> None:
    bench = make()
    bench.do(c.StartStream)
    bench.next(c.FrameTaken)
    setattr(bench.faults, fault, 1)
    ended = bench.next(c.StreamEnded)
    assert ended.error.code == "fault.camera"
    assert bench.do(c.StartStream).error is None
    bench.next(c.FrameTaken)


def test_a_stream_without_frames_is_noticed(make: type[Bench]) -> None:
    bench = make()
    bench.faults.lose_every = 1
    bench.do(c.StartStream)
    assert bench.next(c.StreamEnded).error.code == "fault.frame_timeout"


def test_old_frames_never_count(make: type[Bench]) -> None:
    bench = make()
    bench.faults.frame_age_s = 5.0
    bench.do(c.StartStream)
    snap = bench.submit(c.Snap)
    for _ in range(20):
        assert bench.next(c.FrameTaken).frame.frame.earliest_start_ns < 10**18
    bench.faults.frame_age_s = 0.0
    while (result := bench.next(c.Result)).command is not snap:
        pass
    assert isinstance(result.value, c.StampedFrame)
    assert result.value.in_hand_ns - result.value.frame.exposure_start_ns < 1e9


def test_a_failed_snap_is_an_error_and_the_next_one_works(make: type[Bench]) -> None:
    bench = make()
    bench.faults.snap_failures = 1
    error = bench.do(c.Snap).error
    assert error is not None
    assert error.code == "fault.camera"
    assert bench.snap().serial == 1


def test_a_failing_stage_is_noticed_while_it_rests(make: type[Bench]) -> None:
    bench = make()
    bench.faults.stage_failures = 1
    assert bench.next(c.StageFailed).error.code == "fault.stage"


def test_a_knob_turned_by_hand_is_seen(make: type[Bench]) -> None:
    bench = make()
    bench.microscope.stage.move_to(3.0)
    while not (seen := bench.next(c.PositionRead)).moved:
        pass
    assert seen.z_um > 0


def test_stop_halts_and_what_waited_stays_refused(make: type[Bench]) -> None:
    bench = make(StageModel(speed_um_s=10.0))
    first = bench.submit(c.MoveTo, z_um=50.0, origin=Origin.CLIENT)
    second = bench.submit(c.MoveTo, z_um=-50.0, origin=Origin.CLIENT)
    while not bench.microscope.stage.is_busy():
        pass
    bench.thread.stop()
    bench.thread.resume()  # at once: what waited must not come to life again
    results: dict[str, c.Result] = {}
    done: c.StopDone | None = None
    while len(results) < 2 or done is None:
        match bench.heard.get(timeout=10):
            case c.Result() as result:
                results[result.command.id] = result
            case c.StopDone() as done:
                pass
    assert done.returned_ns - done.issued_ns < 1e9
    assert isinstance(results[second.id].error, MotionStoppedError)
    assert bench.microscope.stage.position_um() < 5.0 or isinstance(results[first.id].error, MotionStoppedError)


def test_a_cancelled_move_halts_and_a_later_one_works(make: type[Bench]) -> None:
    bench = make(StageModel(speed_um_s=20.0))
    command = bench.submit(c.MoveTo, z_um=15.0, origin=Origin.CLIENT)
    while not bench.microscope.stage.is_busy():
        pass
    bench.thread.cancel(command.id)
    assert isinstance(bench.next(c.Result).error, MotionStoppedError)
    here = bench.do(c.ReadPosition).value
    assert isinstance(here, float)
    assert here < 10.0
    assert bench.move(here + 1.0).error is None


def test_an_expired_command_is_never_executed(make: type[Bench]) -> None:
    bench = make()
    error = bench.do(c.MoveTo, z_um=5.0, origin=Origin.CLIENT, not_after_ns=1).error
    assert error is not None
    assert error.code == "timeout"
    assert bench.do(c.ReadPosition).value == 0.0


def test_too_many_commands_are_refused(make: type[Bench]) -> None:
    bench = make(queue_length=4)
    bench.faults.camera_hang_s = 0.3
    bench.submit(c.Snap)
    with pytest.raises(HardwareBusyError):
        for _ in range(10):
            bench.submit(c.ReadPosition)


def test_settings_that_a_running_sequence_forbids_pause_it(make: type[Bench]) -> None:
    bench = make()
    bench.do(c.StartStream)
    assert bench.do(c.Configure, change=CameraSettings(binning=2)).error is None
    while bench.next(c.FrameTaken).frame.frame.pixels.shape != (32, 32):
        pass


def test_closing_answers_what_waits_and_halts_the_stage(make: type[Bench]) -> None:
    bench = make(StageModel(speed_um_s=10.0))
    command = bench.submit(c.MoveTo, z_um=50.0, origin=Origin.CLIENT)
    while not bench.microscope.stage.is_busy():
        pass
    stage = bench.microscope.stage
    bench.thread.close()
    assert bench.next(c.Result).command is command
    assert bench.next(c.Closed).crash is None
    assert not stage.is_busy()


def test_only_the_hardware_thread_touches_the_devices(make: type[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make()
    threads: set[str] = set()
    for device in (bench.microscope.camera, bench.microscope.stage):
        for name in ("take", "start", "stop", "move_to", "position_um", "is_busy"):
            if hasattr(device, name):
                original = getattr(type(device), name)

                def spy(self: object, *args: object, original: object = original, name: str = name) -> object:
                    who = threading.current_thread().name
                    threads.add("stop-lane" if (name, who) == ("stop", "stop-lane") else who)
                    return original(self, *args)  # type: ignore[operator]

                monkeypatch.setattr(type(device), name, spy)
    bench.do(c.StartStream)
    bench.move(2.0)
    bench.thread.stop()
    bench.next(c.StopDone)
    bench.do(c.StopStream)
    assert threads == {"hardware", "stop-lane"}


def test_a_direct_move_arrives_as_it_comes_and_others_from_one_side(make: type[Bench]) -> None:
    bench = make(StageModel(start_um=4.0), overshoot_um=1.0)
    straight = bench.do(c.MoveTo, z_um=2.0, origin=Origin.AUTOMATIC, direct=True).value
    around = bench.do(c.MoveTo, z_um=0.0, origin=Origin.AUTOMATIC).value
    assert isinstance(straight, Arrival)
    assert isinstance(around, Arrival)
    assert (straight.moves, straight.approached) == (1, False)
    assert (around.moves, around.approached) == (2, True)


def test_a_field_is_stepped_where_the_microscope_can_and_left_to_a_person_where_not(
    make: type[Bench], small_scene: BrightfieldScene
) -> None:
    bench = make()
    assert bench.do(c.StepField).value == 0.0  # it has one field only
    other = BrightfieldScene(replace(small_scene.setup, specimen_seed=2), seed=2, cache=None)
    microscope = SimulatedMicroscope(small_scene, more_scenes=[other], exposure_ms=5.0)
    with microscope:
        first = microscope.camera.snap().pixels.astype(float)
        assert microscope.step_field()
        second = microscope.camera.snap().pixels.astype(float)
        assert microscope.step_field()
        again = microscope.camera.snap().pixels.astype(float)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.5
    assert np.corrcoef(first.ravel(), again.ravel())[0, 1] > 0.9
