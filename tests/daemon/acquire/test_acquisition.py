"""Acquisitions on hardware that does as it is told: order, records, pause, injection, light, focus, ends."""

from __future__ import annotations

import threading

import pytest
from pymmcore_plus.mda import MDAEngine, PMDAEngine

from microscoped.daemon.acquire import (
    Acquisition,
    Deadlines,
    InjectionRefusedError,
    LightAllowance,
    PlanEngine,
    SequenceInvalidError,
    read_sequence,
)
from microscoped.drivers import commands as c
from microscoped.drivers.errors import CameraError, DriverError, HardwareBusyError, LimitHighError, StageError
from tests.daemon.acquire.stand import INSTRUMENT, Finds, KeepingSink, Stand, Told

STACK = {"z_plan": {"range": 2, "step": 1}}
MANY = {"time_plan": {"interval": 0, "loops": 20}}
SLOW = {"time_plan": {"interval": 1000, "loops": 3}}


def test_the_engine_is_one_of_pymmcore_plus_and_owns_no_core() -> None:
    stand = Stand(STACK)
    engine = stand.acquisition._engine
    assert isinstance(engine, PMDAEngine)
    assert not issubclass(PlanEngine, MDAEngine)
    assert stand.run().state == "completed"


def test_steps_are_done_in_order_and_none_twice() -> None:
    stand = Stand(
        {
            "stage_positions": [[0, 0, 1], [5, 6, 2]],
            "channels": ["DAPI", {"config": "FITC", "exposure": 20}],
            "z_plan": {"relative": [0, 1]},
        }
    )
    assert stand.run().state == "completed"
    stack = [("z", 1), ("snap",), ("z", 2), ("snap",)]
    assert stand.hardware.log[:13] == [
        ("xy", 0, 0),
        ("preset", "DAPI"),
        ("exposure", 5),
        *stack,
        ("preset", "FITC"),
        ("exposure", 20),
        *stack,
    ]
    assert stand.hardware.log.count(("snap",)) == 8
    assert stand.hardware.log.count(("xy", 5, 6)) == 1


def test_records_say_what_was_wanted_and_what_was_done() -> None:
    stand = Stand(
        {
            "stage_positions": [{"x": 5, "y": 6, "z": 1, "name": "nest"}],
            "channels": [{"config": "FITC", "exposure": 20}],
            "time_plan": {"interval": 0, "loops": 2},
            "metadata": {"who": "me"},
        }
    )
    outcome = stand.run()
    assert (outcome.state, outcome.z_um, outcome.xy_um) == ("completed", 1, (5, 6))
    first, second = stand.sink.frames
    assert [frame.number for frame in (first, second)] == [0, 1]
    assert first.event.index == {"t": 0, "p": 0, "c": 0}
    assert second.event.index == {"t": 1, "p": 0, "c": 0}
    assert (first.event.batch, first.event.position, first.event.channel) == ("plan", "nest", ("Channel", "FITC"))
    assert (first.event.x_um, first.event.y_um, first.event.z_um, first.event.exposure_ms) == (5, 6, 1, 20)
    assert (first.frame, first.exposure_ms, first.z_um, first.xy_um) == ("frame-1", 20, 1, (5, 6))
    assert first.focused is None
    assert first.metadata == {"Camera": "told"}
    assert [int(image[0, 0]) for image in stand.sink.images] == [1, 2]
    assert outcome.progress.frames_done == outcome.progress.frames_expected == 2
    assert outcome.progress.light_ms == 40
    assert outcome.progress.phase == "ended"


def test_an_exposure_of_one_event_is_not_that_of_the_next() -> None:
    stand = Stand(SLOW)
    stand.acquisition.start()
    stand.until(lambda progress: progress.frames_done == 1)
    stand.acquisition.inject([{"exposure": 50}, {}], "now")
    stand.until(lambda progress: progress.frames_done == 3)
    stand.acquisition.cancel()
    stand.end()
    assert [frame.exposure_ms for frame in stand.sink.frames] == [5, 50, 5]


# --- pause and cancellation -------------------------------------------------------------------------------------------


def test_a_pause_lets_the_event_under_way_end_and_begins_no_other() -> None:
    stand = Stand(MANY)
    stand.hardware.held.add(c.Snap)
    stand.acquisition.start()
    assert stand.hardware.holding.wait(10)
    stand.acquisition.pause()
    assert stand.acquisition.progress().phase == "pausing"
    stand.hardware.release()
    assert stand.until(lambda progress: progress.phase == "paused").frames_done == 1
    assert stand.hardware.counts[c.Snap] == 1
    stand.acquisition.resume()
    assert stand.end().state == "completed"
    assert len(stand.sink.frames) == 20


def test_pausing_twice_and_resuming_what_runs_changes_nothing() -> None:
    stand = Stand(MANY)
    stand.acquisition.pause()
    stand.acquisition.pause()
    stand.acquisition.start()
    stand.until(lambda progress: progress.phase == "paused")
    stand.acquisition.resume()
    stand.acquisition.resume()
    assert stand.end().state == "completed"


@pytest.mark.parametrize("paused", [False, True])
def test_a_cancellation_while_nothing_is_due_ends_it(paused: bool) -> None:
    stand = Stand(SLOW)
    stand.acquisition.start()
    stand.until(lambda progress: progress.frames_done == 1)
    if paused:
        stand.acquisition.pause()
        stand.until(lambda progress: progress.phase == "paused")
    stand.acquisition.cancel("the operator wanted the stage")
    stand.acquisition.cancel("and again")
    outcome = stand.end()
    assert (outcome.state, outcome.code, outcome.reason) == ("cancelled", "cancelled", "the operator wanted the stage")
    assert outcome.progress.frames_done == 1


def test_a_cancellation_before_the_start_takes_no_frame() -> None:
    stand = Stand(MANY)
    stand.acquisition.cancel("changed my mind")
    assert stand.run().state == "cancelled"
    assert c.Snap not in stand.hardware.counts


def test_a_cancellation_halts_a_move_under_way() -> None:
    stand = Stand(STACK)
    stand.hardware.held.add(c.MoveTo)
    stand.acquisition.start()
    assert stand.hardware.holding.wait(10)
    stand.acquisition.cancel()
    outcome = stand.end()
    assert outcome.state == "cancelled"
    assert "the stage stays where it is" in outcome.reason
    assert not stand.hardware.waiting
    assert not stand.sink.frames


def test_a_cancellation_waits_for_an_exposure_no_longer_than_the_grace() -> None:
    stand = Stand(MANY, deadlines=Deadlines(frame_s=500.0, grace_s=0.05))
    stand.hardware.held.add(c.Snap)
    stand.acquisition.start()
    assert stand.hardware.holding.wait(10)
    stand.acquisition.cancel()
    outcome = stand.end()
    assert outcome.state == "cancelled"
    assert "had not ended 0.05 s later" in outcome.reason


# --- injection --------------------------------------------------------------------------------------------------------


def test_events_injected_for_now_come_before_what_waits_and_say_so() -> None:
    stand = Stand({"time_plan": {"interval": 1000, "loops": 2}})
    stand.acquisition.start()
    stand.until(lambda progress: progress.frames_done == 1)
    name = stand.acquisition.inject([{"z_pos": 1, "index": {"t": 7}}, {"z_pos": 2}], "now").batch
    other = stand.acquisition.inject(read_sequence(STACK, INSTRUMENT), "now").batch
    progress = stand.until(lambda progress: progress.frames_done == 6)
    assert progress.frames_expected == 7
    assert progress.injected_waiting == 0
    stand.acquisition.cancel()
    assert stand.end().state == "cancelled"
    assert [frame.event.batch for frame in stand.sink.frames] == ["plan", name, name, other, other, other]
    assert stand.sink.frames[1].event.index == {"t": 7}
    assert [frame.z_um for frame in stand.sink.frames[1:]] == [1, 2, 3, 4, 5]


def test_a_plan_goes_on_where_it_was_whatever_an_injection_has_moved() -> None:
    stand = Stand({"time_plan": {"interval": 0, "loops": 3}}, hold_open=True)
    stand.acquisition.inject([{"x_pos": 7, "y_pos": 8, "z_pos": 5}], "now")
    stand.acquisition.inject([{"z_pos": 6}], "now")
    stand.acquisition.start()
    stand.until(lambda progress: progress.frames_done == 5)
    stand.acquisition.inject([{}, {"z_pos": 2}], "end")  # no place of its own: wherever the stage is
    stand.acquisition.finish()
    stand.end()
    here_um = (INSTRUMENT.z_um, INSTRUMENT.xy_um)
    places = [(frame.z_um, frame.xy_um) for frame in stand.sink.frames]
    assert places == [(5, (7, 8)), (6, (7, 8)), here_um, here_um, here_um, here_um, (2, INSTRUMENT.xy_um)]
    assert stand.hardware.log.count(("z", INSTRUMENT.z_um)) == 1  # and is not sent twice


def test_a_plan_that_leaves_the_light_as_it_is_takes_no_channels() -> None:
    stand = Stand(SLOW)
    with pytest.raises(InjectionRefusedError, match="could not come back after the channel DAPI"):
        stand.acquisition.inject(read_sequence({"channels": ["DAPI"]}, INSTRUMENT))
    stand.acquisition.cancel()
    stand.run()


def test_an_injection_at_the_end_is_expected_and_counted() -> None:
    stand = Stand(MANY)
    stand.acquisition.pause()
    stand.acquisition.start()
    stand.acquisition.inject([{}] * 5, "end")
    stand.acquisition.resume()
    outcome = stand.end()
    assert (outcome.state, outcome.progress.frames_done, outcome.progress.frames_expected) == ("completed", 25, 25)


def test_injections_from_many_threads_are_all_carried_out() -> None:
    stand = Stand({"time_plan": {"interval": 0, "loops": 1}}, hold_open=True)
    stand.acquisition.start()
    threads = [
        threading.Thread(target=stand.acquisition.inject, args=([{"index": {"t": n}}] * 3, ("now", "end")[n % 2]))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    stand.acquisition.finish()
    assert stand.end().state == "completed"
    assert len(stand.sink.frames) == 25


def test_a_bad_injection_is_refused_and_the_run_goes_on() -> None:
    stand = Stand(MANY)
    stand.acquisition.pause()
    stand.acquisition.start()
    with pytest.raises(SequenceInvalidError, match=r"events\.1\.z_pos"):
        stand.acquisition.inject([{"z_pos": 1}, {"z_pos": 100}])
    with pytest.raises(SequenceInvalidError, match="could not come back"):
        stand.acquisition.inject([{"channel": "DAPI"}])
    stand.acquisition.resume()
    assert stand.end().progress.frames_done == 20
    with pytest.raises(InjectionRefusedError, match="has ended"):
        stand.acquisition.inject([{}])


def test_an_injection_beyond_the_light_is_refused() -> None:
    stand = Stand(SLOW, light=LightAllowance(30.0))
    stand.acquisition.start()
    stand.until(lambda progress: progress.frames_done == 1)
    with pytest.raises(InjectionRefusedError, match="need 30 ms of light, and 25 ms are left"):
        stand.acquisition.inject([{}] * 6)
    stand.acquisition.cancel()
    stand.end()


# --- light ------------------------------------------------------------------------------------------------------------


def test_no_exposure_is_made_beyond_the_light_and_the_end_says_so() -> None:
    stand = Stand(MANY, light=LightAllowance(17.0))
    outcome = stand.run()
    assert (outcome.state, outcome.code) == ("failed", "limit.light")
    assert "an exposure of 5 ms is beyond the light budget, of which 2 of 17 ms are left" in outcome.reason
    assert stand.hardware.counts[c.Snap] == 3
    assert outcome.progress.light_ms == 15


def test_light_is_charged_before_the_exposure_and_what_focusing_takes_counts() -> None:
    light = LightAllowance(100.0)
    seen: list[float] = []
    hardware = Told()
    hardware.before = lambda command: seen.append(light.spent_ms) if isinstance(command, c.Snap) else None
    stand = Stand(
        {"stage_positions": [{"z": 1}, {"z": 2}], "autofocus_plan": {"axes": ["p"]}},
        hardware=hardware,
        light=light,
        focus=Finds([1.0, 2.0], light_ms=30.0),
    )
    outcome = stand.run()
    assert seen == [35.0, 70.0]
    assert outcome.progress.light_ms == 70.0


def test_more_light_may_be_granted() -> None:
    light = LightAllowance(5.0)
    light.grant(10.0)
    assert light.left_ms == 15.0
    assert Stand({"time_plan": {"interval": 0, "loops": 3}}, light=light).run().state == "completed"


# --- ends -------------------------------------------------------------------------------------------------------------

FAILURES: list[tuple[type[c.Command], int, DriverError, str]] = [
    (c.Snap, 2, CameraError("the cable is out"), "fault.camera"),
    (c.MoveTo, 2, StageError("it is stuck"), "fault.stage"),
    (c.MoveTo, 1, LimitHighError("target 9 µm is above the limit"), "limit.z_high"),
    (c.Configure, 1, CameraError("no settings"), "fault.camera"),
]


@pytest.mark.parametrize(("kind", "number", "error", "code"), FAILURES)
def test_a_failing_step_ends_the_run_with_its_own_words(
    kind: type[c.Command], number: int, error: DriverError, code: str
) -> None:
    hardware = Told()
    hardware.fails[kind, number] = error
    outcome = Stand(STACK, hardware=hardware).run()
    assert (outcome.state, outcome.code, outcome.reason) == ("failed", code, str(error))
    assert outcome.progress.frames_done == max(0, number - 1)


def test_hardware_that_is_too_busy_ends_the_run() -> None:
    hardware = Told()

    def refuse(command: c.Command) -> None:
        if isinstance(command, c.Snap):
            raise HardwareBusyError("64 hardware commands wait already")

    hardware.before = refuse
    outcome = Stand(STACK, hardware=hardware).run()
    assert (outcome.state, outcome.code) == ("failed", "busy")


@pytest.mark.parametrize("kind", [c.Configure, c.MoveTo, c.Snap, c.MoveXY, c.SelectPreset])
def test_hardware_that_never_answers_ends_the_run_at_the_deadline(kind: type[c.Command]) -> None:
    stand = Stand(
        {"stage_positions": [[0, 0, 1]], "channels": ["DAPI"]},
        deadlines=Deadlines(0.02, 0.02, 0.02, 0.02, 0.02, 0.02),
    )
    stand.hardware.held.add(kind)
    outcome = stand.run()
    assert (outcome.state, outcome.code) == ("failed", "fault.hardware_silent")
    assert "no answer within" in outcome.reason


def test_a_frame_that_was_given_out_before_is_not_counted_again() -> None:
    hardware = Told()
    hardware.repeat_frame = True
    outcome = Stand(MANY, hardware=hardware).run()
    assert (outcome.state, outcome.code, outcome.progress.frames_done) == ("failed", "fault.camera", 1)
    assert "given out before" in outcome.reason


def test_a_camera_that_streams_is_not_used() -> None:
    hardware = Told()
    hardware.streams = True
    outcome = Stand(MANY, hardware=hardware).run()
    assert (outcome.state, outcome.code) == ("failed", "not_ready")


def test_frames_that_the_sink_lost_are_noticed() -> None:
    outcome = Stand(MANY, sink=KeepingSink(loses=1)).run()
    assert (outcome.state, outcome.code) == ("failed", "fault.frames_missing")
    assert "20 frames were wanted, 20 taken, 0 skipped with a reason, and 19 stored" in outcome.reason


def test_a_plan_that_ends_early_is_noticed() -> None:
    stand = Stand(MANY)
    stand.acquisition._tally.expect(1)
    outcome = stand.run()
    assert (outcome.state, outcome.code) == ("failed", "fault.frames_missing")
    assert "21 frames were planned and 20 begun" in outcome.reason


def test_a_full_disk_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    sink = KeepingSink()
    sink.full_after = 2
    outcome = Stand(MANY, sink=sink).run()
    assert (outcome.state, outcome.code) == ("failed", "fault")
    assert "OSError: no space left on device" in outcome.reason
    assert "an acquisition failed" in caplog.text


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    for ending in range(3):
        stand = Stand(MANY, light=LightAllowance(20.0) if ending == 1 else None)
        stand.acquisition.start()
        if ending == 2:
            stand.acquisition.cancel()
        stand.end()
    assert set(threading.enumerate()) == before


def test_the_outcome_is_told_after_everything_else() -> None:
    order: list[str] = []

    class Orderly(KeepingSink):
        def close(self) -> int:
            order.append("closed")
            return super().close()

    hardware = Told()
    stand = Stand(STACK, hardware=hardware, sink=Orderly())
    acquisition = Acquisition(
        stand.plan,
        stand.steps,
        stand.sink,
        ended=lambda _: order.append("ended"),
        report=lambda p: order.append(p.phase),
    )
    acquisition.start()
    assert acquisition.join(10)
    assert order[-3:] == ["closed", "ended", "ended"]
