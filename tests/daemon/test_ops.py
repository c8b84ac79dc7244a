"""What a client can do with a running daemon."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.client import RequestFailedError, Scope, TaskFailedError
from microscoped.daemon.protocol import OPS
from microscoped.simulators import StageModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Rig

SLOW_STAGE = StageModel(start_um=-10.0, speed_um_s=10.0)


def test_hello_tells_all_that_a_client_needs(rig: Rig) -> None:
    hello = rig.scope.hello()
    assert hello["protocol"] == "1.0"
    assert hello["ops"] == sorted(OPS)
    assert set(hello["endpoints"]) == {"control", "events", "frames"}


def test_describe_and_status_know_the_microscope(rig: Rig) -> None:
    described = rig.scope.request("describe")
    assert described["optics"]["dof_um"] == pytest.approx(2.2)
    assert described["stage"]["limits_um"] == [-20, 20]
    assert described["camera"]["width_px"] == 128
    assert rig.scope.status()["stage"]["z_um"] == pytest.approx(4.0)


def test_a_move_ends_where_it_should(rig: Rig) -> None:
    arrival = rig.scope.move(-3.0)
    assert arrival["z_um"] == pytest.approx(-3.0, abs=0.1)
    assert arrival["approached"]
    assert rig.scope.position() == pytest.approx(-3.0, abs=0.1)
    assert rig.scope.move(1.5, relative=True)["target_um"] == pytest.approx(-1.5, abs=0.1)


@pytest.mark.parametrize(
    ("z_um", "relative", "code"),
    [
        (20.5, False, "limit.z_high"),
        (-21.0, False, "limit.z_low"),
        (-15.0, False, "limit.step"),
        (16.5, True, "limit.z_high"),
        (1e300, False, "limit.z_high"),
    ],
)
def test_a_move_beyond_the_rules_is_refused_and_nothing_moves(rig: Rig, z_um: float, relative: bool, code: str) -> None:
    before = rig.scope.position()
    for dry_run in (True, False):
        with pytest.raises(RequestFailedError) as refused:
            rig.scope.request("stage.move", z_um=z_um, relative=relative, dry_run=dry_run)
        assert refused.value.error.code == code
    assert rig.scope.position() == before
    assert rig.scope.request("task.list")["tasks"] == []


def test_a_dry_run_does_nothing(rig: Rig) -> None:
    assert rig.scope.request("stage.move", z_um=1.0, dry_run=True) == {"dry_run": True, "plan": {}}
    assert rig.scope.request("focus.run", dry_run=True) == {"dry_run": True, "plan": {}}
    assert rig.scope.request("task.list")["tasks"] == []
    assert rig.scope.position() == pytest.approx(4.0)
    with pytest.raises(RequestFailedError, match="knows no dry_run"):
        rig.scope.request("camera.snap", dry_run=True)


def test_without_limits_nothing_moves(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig({"stage": {"limits_um": None}})
    for op, params in (("stage.move", {"z_um": 4.5}), ("focus.run", {})):
        with pytest.raises(RequestFailedError) as refused:
            rig.scope.request(op, **params)
        assert refused.value.error.code == "limit.unset"


def test_a_snap_brings_its_pixels(rig: Rig) -> None:
    header, pixels = rig.scope.snap()
    assert pixels.shape == (128, 128)
    assert pixels.dtype == np.uint16
    assert header["z_source"] == "readback"
    assert not header["moving"]
    again, same = rig.scope.frame(header["frame"])
    assert again == header
    assert np.array_equal(same, pixels)


def test_old_frames_are_gone_and_newer_ones_can_be_waited_for(rig: Rig) -> None:
    first, _ = rig.scope.snap()
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.frame(newer_than=first["frame"])
    assert refused.value.error.code == "not_ready"
    for _ in range(8):
        rig.scope.run("camera.snap")
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.frame(first["frame"])
    assert refused.value.error.code == "gone"
    newest, _ = rig.scope.frame()
    answers: list[str] = []
    with Scope(rig.daemon.endpoints.control, timeout_s=10) as other:
        waiter = threading.Thread(
            target=lambda: answers.append(other.frame(newer_than=newest["frame"], wait_s=10)[0]["frame"])
        )
        waiter.start()
        snapped = rig.scope.run("camera.snap")["frame"]
        waiter.join(10)
    assert answers == [snapped]  # whether it asked before the snap or after


def test_a_stream_keeps_the_frame_rate_and_says_what_it_reaches(rig: Rig) -> None:
    assert rig.scope.request("camera.set", fps=20)["fps"] == 20
    with pytest.raises(RequestFailedError, match="100 is the fastest") as refused:
        rig.scope.request("camera.set", fps=200)
    assert refused.value.error.code == "invalid"
    rig.scope.request("camera.start")
    starts_ns: list[int] = []
    for frame in rig.scope.events("v1.frame.", timeout_s=10):
        starts_ns.append(frame.data["exposure_start_ns"])
        if len(starts_ns) == 5:
            break
    assert starts_ns[4] - starts_ns[0] > 4 * 0.9 * 50_000_000  # no faster; a busy computer may leave some out
    camera = rig.scope.status()["camera"]
    assert camera["fps"] == 20
    assert 0 < camera["fps_reached"] < 22
    assert rig.scope.request("camera.set", fps="free")["fps"] is None


def test_camera_settings_are_read_back_and_bad_ones_change_nothing(rig: Rig) -> None:
    assert rig.scope.request("camera.set", exposure_ms=20)["settings"]["exposure_ms"] == 20
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.request("camera.set", exposure_ms=5, binning=7)
    assert refused.value.error.code == "invalid"
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.request("camera.set", auto_exposure=True)
    assert refused.value.error.code == "invalid"
    assert rig.scope.status()["camera"]["settings"]["exposure_ms"] == 20
    assert rig.scope.snap()[0]["exposure_ms"] == 20


def test_a_long_exposure_does_not_hold_up_the_loop(rig: Rig) -> None:
    rig.scope.request("camera.set", exposure_ms=300)
    task = rig.scope.request("camera.snap")["task"]
    pings = 0
    while rig.scope.request("task.get", task=task)["task"]["state"] == "running":
        rig.scope.request("ping")
        pings += 1
    assert pings > 10
    assert rig.scope.wait(task)["frame"]


def test_a_stream_is_gapless_and_every_frame_is_measured_or_counted(rig: Rig) -> None:
    frames: list[Any] = []
    measures: list[Any] = []
    events = rig.scope.events("v1.frame.", "v1.measure.sharpness.", timeout_s=5)
    rig.scope.request("camera.start")
    for event in events:
        (frames if event.topic.startswith("v1.frame.") else measures).append(event)
        if len(frames) >= 60:
            break
    rig.scope.request("camera.stop")
    assert [event.seq for event in frames] == list(range(1, len(frames) + 1))
    numbers = [event.data["number"] for event in frames]
    lost = [event.data["lost_before"] for event in frames]
    assert numbers[-1] + 1 == len(frames) + sum(lost)
    assert [event.seq for event in measures] == list(range(1, len(measures) + 1))
    told = [event.data["frame"] for event in measures]
    assert told == [event.data["frame"] for event in frames][: len(told)]
    assert len(frames) - len(told) < 20


def test_the_frames_socket_brings_pictures(rig: Rig) -> None:
    stream = rig.scope.frames(timeout_s=5)
    rig.scope.request("camera.start")
    header, pixels = next(stream)
    assert list(pixels.shape) == header["shape"]
    assert pixels.std() > 0


def test_focus_is_found_from_both_sides(rig: Rig) -> None:
    found = []
    for start in (5.0, -5.0):
        rig.scope.move(start)
        report = rig.scope.focus()
        assert report["focused"]
        assert report["images"] == len(report["curve"])
        assert rig.scope.position() == pytest.approx(report["z_um"], abs=0.1)
        found.append(report["z_um"])
    assert found[0] == pytest.approx(found[1], abs=0.6)
    assert abs(found[0]) < 1.1  # half a depth of field


def test_an_unfocused_search_returns_to_its_start(rig: Rig) -> None:
    rig.scope.request("camera.set", exposure_ms=0.1)
    rig.scope.move(4.0)
    with pytest.raises(TaskFailedError) as failed:
        # Far from focus and nearly dark: there is no peak to be found.
        rig.scope.focus(range_um=0.6)
    assert failed.value.error.code == "not_focused"
    assert failed.value.result is not None
    assert rig.scope.position() == pytest.approx(4.0, abs=0.1)


def test_focus_on_a_channel_adds_its_offset(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig({"focus": {"offsets_um": {"DAPI": 1.5, "far": 30.0}}})
    plain = rig.scope.focus()
    shifted = rig.scope.focus(channel="DAPI")
    assert shifted["focus_z_um"] == pytest.approx(plain["focus_z_um"], abs=0.6)
    assert shifted["z_um"] == pytest.approx(shifted["focus_z_um"] + 1.5, abs=0.1)
    assert rig.scope.position() == pytest.approx(shifted["z_um"], abs=0.1)
    with pytest.raises(RequestFailedError, match="has no offset"):
        rig.scope.request("focus.run", channel="GFP")
    with pytest.raises(TaskFailedError) as failed:
        rig.scope.focus(channel="far")
    assert failed.value.error.code == "limit.z_high"
    assert rig.scope.position() == pytest.approx(shifted["z_um"], abs=0.1)


@pytest.mark.parametrize(
    "params",
    [
        {"metric": "beauty"},
        {"roi": [0, 0, 2, 2]},
        {"range_um": -1},
        {"extremum": "middle"},
        {"method": "magic"},
        {"tolerance_um": 0},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(rig: Rig, params: dict[str, Any]) -> None:
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.request("focus.run", **params)
    assert refused.value.error.code == "invalid"
    assert rig.scope.position() == pytest.approx(4.0)


def test_two_movers_do_not_fight(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(stage=SLOW_STAGE)
    task = rig.scope.request("stage.move", z_um=2.0)["task"]
    for op, params in (("stage.move", {"z_um": 0.0}), ("focus.run", {})):
        with pytest.raises(RequestFailedError) as refused:
            rig.scope.request(op, **params)
        assert refused.value.error.code == "busy"
        assert refused.value.error.data["task"] == task
        assert refused.value.error.retryable
    assert rig.scope.wait(task)["z_um"] == pytest.approx(2.0, abs=0.1)


def test_a_cancelled_move_stays_and_a_cancelled_search_comes_home(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(stage=SLOW_STAGE)
    task = rig.scope.request("stage.move", z_um=2.0)["task"]
    assert rig.scope.request("task.cancel", task=task)["task"]["state"] == "cancelled"
    here = rig.scope.position()
    assert here < 1.0
    rig.scope.move(here + 0.5)
    task = rig.scope.request("focus.run", range_um=4)["task"]
    rig.scope.request("task.cancel", task=task)
    with pytest.raises(TaskFailedError) as failed:
        rig.scope.wait(task)
    assert failed.value.error.code == "cancelled"
    assert rig.scope.position() == pytest.approx(here + 0.5, abs=0.1)


@pytest.mark.parametrize("op", ["stage.move", "focus.run"])
def test_stop_halts_motion_until_resume(start_rig: Callable[..., Rig], op: str) -> None:
    rig = start_rig(stage=SLOW_STAGE)
    params = {"z_um": 4.0} if op == "stage.move" else {}
    task = rig.scope.request(op, **params)["task"]
    while not rig.microscope.stage.is_busy():
        pass
    stopped = rig.scope.stop()
    assert stopped["state"] == "stopped"
    here = rig.microscope.stage.position_um()
    time.sleep(0.05)  # long enough to have moved half a micrometre
    assert rig.microscope.stage.position_um() == pytest.approx(here, abs=0.02)
    assert rig.scope.request("task.get", task=task)["task"]["state"] == "cancelled"
    for blocked, arguments in (("stage.move", {"z_um": here}), ("focus.run", {})):
        with pytest.raises(RequestFailedError) as refused:
            rig.scope.request(blocked, **arguments)
        assert refused.value.error.code == "stopped"
    assert rig.scope.stop()["state"] == "stopped"
    assert rig.scope.snap()[0]["z_um"] == pytest.approx(here, abs=0.02)
    assert rig.scope.resume() == {"state": "IDLE"}
    assert rig.scope.move(here + 0.5)["z_um"] == pytest.approx(here + 0.5, abs=0.1)


def test_a_deadline_that_has_passed_means_never(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(stage=SLOW_STAGE)
    rig.scope.request("camera.set", exposure_ms=200)
    first = rig.scope.request("camera.snap")["task"]
    late = rig.scope.request("camera.snap", deadline_ms=1)["task"]
    with pytest.raises(TaskFailedError) as failed:
        rig.scope.wait(late)
    assert failed.value.error.code == "timeout"
    rig.scope.wait(first)
    assert rig.scope.status()["camera"]["frames"] == 1


def test_a_snapshot_and_the_events_after_it_leave_no_gap(rig: Rig) -> None:
    events = rig.scope.events("v1.state.", timeout_s=5)
    rig.scope.move(3.0)
    topics = {value["topic"]: value for value in rig.scope.request("snapshot", topics=["v1.state."])["topics"]}
    rig.scope.move(2.0)
    newest = topics["v1.state."]["seq"]
    numbers = []
    for event in events:
        numbers.append(event.seq)
        if event.seq > newest and event.data["z_um"] == pytest.approx(2.0, abs=0.1):
            break
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert newest in numbers


def test_tasks_publish_their_course(rig: Rig) -> None:
    events = rig.scope.events("v1.task.", timeout_s=5)
    task = rig.scope.request("focus.run")["task"]
    course = []
    for event in events:
        assert event.topic == f"v1.task.{task}."
        course.append(event.data["state"])
        if course[-1] != "running":
            break
    assert course[0] == "running"
    assert course[-1] == "done"
    assert len(course) > 5
    assert rig.scope.request("task.list")["tasks"][-1]["task"] == task


def test_the_heartbeat_comes_each_second(rig: Rig) -> None:
    beats = []
    for event in rig.scope.events("v1.heartbeat.", timeout_s=3):
        beats.append(event)
        if len(beats) == 2:
            break
    assert beats[1].mono_ns - beats[0].mono_ns == pytest.approx(1e9, rel=0.3)
    assert set(beats[0].data["loop_lag_ms"]) == {"p50", "p99", "max"}


def test_shutdown_is_clean(rig: Rig) -> None:
    rig.scope.request("camera.start")
    assert rig.scope.request("shutdown") == {"state": "CLOSING"}
    rig.end()
    assert rig.exit_code == 0
