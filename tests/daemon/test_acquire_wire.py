"""Acquisitions over the wire: a simulated microscope, and Micro-Manager's demonstration devices."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mm_test_adapters
import numpy as np
import pytest
import useq

from microscoped.daemon.client import RequestFailedError, Scope, TaskFailedError
from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.record import Recorded, replay_journal
from microscoped.drivers.micromanager import MicroManagerMicroscope
from microscoped.simulators import StageModel
from tests.conftest import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from microscoped.daemon.client import Subscription
    from microscoped.daemon.protocol import Event
    from tests.conftest import Rig

    Start = Callable[..., Rig]
    Listen = Callable[..., Subscription[Event]]

STACK: dict[str, Any] = {"z_plan": {"range": 4, "step": 1}}
LONG: dict[str, Any] = {"time_plan": {"interval": 0.02, "loops": 2_000}, "z_plan": {"relative": [-1, 1]}}


def until(events: Subscription[Event], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The data of the next event that is so."""
    return next(event.data for event in events if wanted(event.data))


def ends(task: str) -> Callable[[dict[str, Any]], bool]:
    return lambda data: data.get("task") == task and data["state"] != "running"


def acquired(data: dict[str, Any]) -> bool:
    return data.get("acquired") is not None


def failure(scope: Scope, sequence: dict[str, Any], **more: Any) -> TaskFailedError:  # noqa: ANN401 - of acquire
    with pytest.raises(TaskFailedError) as failed:
        scope.acquire(sequence, timeout_s=40, **more)
    return failed.value


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Subscribes, and ends all subscriptions before the client that made them ends: ask for it after that."""
    with ExitStack() as stack:
        yield lambda scope, *topics: stack.enter_context(scope.events(*topics, timeout_s=20))


def test_a_stack_is_published_recorded_and_decided_the_same(start_rig: Start, tmp_path: Path) -> None:
    rig = start_rig({"record": {"folder": tmp_path, "reserve_mb": 0}})
    scope = rig.scope
    sequence = useq.MDASequence(z_plan={"range": 4, "step": 1}, time_plan={"interval": 0, "loops": 2})
    cost = scope.check_sequence(sequence)
    assert (cost["frames"], cost["light_ms"]) == (10, 100.0)
    scope.request("camera.start")
    shown = []
    with scope.recording() as begun, scope.frames(timeout_s=20) as pictures:
        task = scope.begin_acquisition(sequence)
        for header, pixels in pictures:
            if acquired(header):
                shown.append((header, pixels))
                if len(shown) == 10:
                    break
        report = scope.wait(task)
        while not scope.status()["camera"]["streaming"]:  # as before
            pass
    assert (report["frames"], report["skipped"], report["expected"]) == (10, 0, 10)
    assert report["light_ms"] == pytest.approx(100.0)
    assert report["recording"] == begun["folder"]
    assert [header["acquired"]["index"] for header, _ in shown] == [
        {"t": t, "z": z} for t in range(2) for z in range(5)
    ]
    assert [header["z_um"] for header, _ in shown] == pytest.approx(2 * [2.0, 3.0, 4.0, 5.0, 6.0], abs=0.1)
    assert not any(header["streamed"] or header["moving"] for header, _ in shown)
    recorded = Recorded(Path(begun["folder"]))
    assert recorded.store is not None
    table = recorded.store.own["frames"]
    kept = {name: place for name, place in zip(table["frame"], table["acquired"], strict=True) if place}
    assert kept == {header["frame"]: header["acquired"] for header, _ in shown}
    for header, pixels in shown:
        np.testing.assert_array_equal(recorded.pixels(header["frame"]), pixels)
    for _ in range(2):
        replay = replay_journal(recorded.folder)
        assert replay.difference is None, str(replay.difference)


def test_events_are_injected_into_a_paused_one_that_is_held_open(rig: Rig, listen: Listen) -> None:
    scope = rig.scope
    events = listen(scope, "v1.task.", "v1.frame.")
    task = scope.begin_acquisition(STACK, hold_open=True)
    until(events, lambda data: acquired(data) and data["acquired"]["number"] == 4)
    scope.request("acquire.pause", task=task)
    until(events, lambda data: "progress" in data and data["progress"].get("phase") == "paused")
    batch = scope.inject(task, [useq.MDAEvent(z_pos=7.0, metadata={"cell": 3}), {"z_pos": 1.0}], after="now")
    assert scope.request("task.get", task=task)["task"]["progress"]["expected"] in (5, 7)
    scope.request("acquire.resume", task=task)
    first, second = (until(events, acquired) for _ in range(2))
    assert [one["acquired"]["batch"] for one in (first, second)] == [batch, batch]
    assert first["acquired"]["notes"] == {"cell": 3}
    assert [first["z_um"], second["z_um"]] == pytest.approx([7.0, 1.0], abs=0.1)
    with pytest.raises(RequestFailedError, match=r"events\.0\.z_pos"):
        scope.inject(task, [{"z_pos": 70.0}])
    scope.request("acquire.finish", task=task)
    assert scope.wait(task)["frames"] == 7
    with pytest.raises(RequestFailedError) as over:
        scope.inject(task, [{"z_pos": 1.0}])
    assert over.value.error.code == "gone"


@pytest.mark.parametrize("how", ["task.cancel", "stop", "a move with the lease"])
def test_one_that_is_interrupted_leaves_the_stage_still_and_another_may_begin(
    start_rig: Start, how: str, listen: Listen
) -> None:
    rig = start_rig(stage=StageModel(start_um=4.0, speed_um_s=50.0))
    scope, stage = rig.scope, rig.microscope.stage
    events = listen(scope, "v1.task.", "v1.frame.")
    task = scope.begin_acquisition(LONG)
    until(events, lambda data: acquired(data) and data["acquired"]["number"] == 6)
    if how == "a move with the lease":
        with Scope(rig.daemon.endpoints.control, timeout_s=20) as operator, operator.lease("operator"):
            operator.move(6.0)
    else:
        scope.request(how, **({"task": task} if how == "task.cancel" else {}))
    ended = until(events, ends(task))
    assert ended["state"] == ("preempted" if how == "a move with the lease" else "cancelled")
    if how == "task.cancel":
        assert 6 < ended["result"]["frames"] < 100
    if how == "a move with the lease":
        assert stage.position_um() == pytest.approx(6.0, abs=0.1)
    here = stage.position_um()
    if how == "stop":
        scope.resume()
    assert stage.position_um() == here
    while True:
        try:
            assert scope.acquire(STACK, timeout_s=40)["frames"] == 5
            return
        except RequestFailedError as busy:  # its runner takes a moment to end
            assert busy.error.code == "busy", busy


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    # the sequence, what else is asked for, and the places of its problems
    "beyond the limits": ({"z_plan": {"range": 60, "step": 1}}, {}, ("z_plan.range",)),
    "no such presets": ({"channels": ["DAPI"]}, {}, ("channels.0.group",)),
    "no stage in the plane": ({"stage_positions": [{"x": 1, "y": 2}]}, {}, ("stage_positions.0",)),
    "too much light": (STACK, {"light_ms": 45}, ("light_ms",)),
    "two at once": ({"z_plan": {"range": 4, "step": 1}, "exposures": 3, "setup": {}}, {}, ("exposures", "setup")),
    "nothing": ({}, {}, ("",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_with_its_place_before_anything_moves(rig: Rig, name: str) -> None:
    sequence, more, places = REFUSED[name]
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.check_sequence(sequence, **more)
    problems = refused.value.error.data["problems"]
    assert isinstance(problems, list)
    assert {problem["place"] for problem in problems} >= set(places)  # type: ignore[index,call-overload] # JSON
    failed = failure(rig.scope, sequence, **more)
    assert (failed.error.code, failed.error.data["problems"]) == ("invalid", problems)
    assert rig.scope.position() == pytest.approx(4.0, abs=0.01)


def test_focus_events_are_focus_runs_and_their_light_counts(rig: Rig, listen: Listen) -> None:
    scope = rig.scope
    plan: dict[str, Any] = {
        "time_plan": {"interval": 0, "loops": 2},
        "z_plan": {"relative": [0]},
        "autofocus_plan": {"axes": ["t"]},
    }
    frames = listen(scope, "v1.frame.")
    report = scope.acquire(plan, timeout_s=60)
    assert (report["focus_found"], report["focus_failed"], report["frames"]) == (2, 0, 2)
    assert report["light_ms"] > 20 + 2 * 50
    for _ in range(2):
        frame = until(frames, acquired)
        assert frame["acquired"]["focused"] is True
        assert abs(frame["z_um"]) < 1.0  # the specimen's focus lies at 0, and the plan at 4
    assert scope.status()["camera"]["frames"] == report["light_ms"] / 10.0
    half = scope.acquire(plan, light_ms=report["light_ms"] / 2, timeout_s=60)
    assert (half["frames"], half["skipped"]) == (1, 1)
    assert half["light_ms"] <= report["light_ms"] / 2
    failed = failure(scope, {**plan, "time_plan": {"interval": 0, "loops": 1}}, light_ms=40, focus_failure="end")
    assert failed.error.code == "not_focused"
    assert "too little for a search" in failed.error.detail


def test_light_that_focusing_has_spent_is_not_spent_twice(rig: Rig) -> None:
    rig.scope.request("camera.set", exposure_ms=20.0)
    plan = {**STACK, "time_plan": {"interval": 0, "loops": 1}, "autofocus_plan": {"axes": ["t"]}}
    failed = failure(rig.scope, plan, light_ms=200, focus_failure="keep")
    assert failed.error.code == "limit.light"
    assert failed.result is not None
    assert 160 < failed.result["light_ms"] <= 200  # type: ignore[operator] # a number
    assert rig.scope.status()["camera"]["frames"] * 20 == failed.result["light_ms"]


def test_frames_without_focus_are_skipped_and_each_is_told(start_rig: Start, listen: Listen) -> None:
    rig = start_rig({"focus": {"range_um": 1}})  # the focus is further away
    events = listen(rig.scope, "v1.task.")
    plan = {**STACK, "time_plan": {"interval": 0, "loops": 2}, "autofocus_plan": {"axes": ["t"]}}
    report = rig.scope.acquire(plan, timeout_s=60)
    assert (report["frames"], report["skipped"], report["focus_failed"]) == (0, 10, 2)
    told: list[dict[str, Any]] = []
    for event in events:
        told += event.data["progress"].get("new_skips", [])  # type: ignore[union-attr] # JSON
        if event.data["state"] != "running":
            break
    assert len(told) == report["skipped"]
    assert all(skip["reason"].startswith("no focus: ") for skip in told)
    assert len({(skip["index"]["t"], skip["index"]["z"]) for skip in told}) == len(told)


def test_a_camera_that_fails_fails_it_and_nothing_is_missing_in_silence(rig: Rig, listen: Listen) -> None:
    events = listen(rig.scope, "v1.task.", "v1.frame.")
    task = rig.scope.begin_acquisition(LONG)
    until(events, acquired)
    rig.faults.snap_failures = 1
    ended = until(events, ends(task))
    assert ended["state"] == "failed"
    assert ended["error"]["code"] == "fault.camera"
    assert ended["result"]["frames"] < 4_000


def test_a_client_is_told_what_a_sequence_may_be(rig: Rig) -> None:
    with pytest.raises(TypeError, match="an object of useq, or a mapping"):
        rig.scope.check_sequence([useq.MDAEvent()])  # type: ignore[arg-type] # as a user may
    assert rig.scope.check_sequence(STACK) == rig.scope.check_sequence(useq.MDASequence(**STACK))


@pytest.fixture
def demonstration(request: pytest.FixtureRequest) -> Iterator[Scope]:
    """A daemon before Micro-Manager's demonstration devices, with what the stage is told beside."""
    adapters = mm_test_adapters.device_adapter_path()
    microscope = MicroManagerMicroscope(Path(adapters) / "MMConfig_demo.cfg", adapter_paths=[adapters], buffer_mb=16)
    content = {**CONFIG, "stage": {**CONFIG["stage"], **request.param}}
    daemon = Daemon(Config.model_validate(content), microscope=microscope)
    thread = threading.Thread(target=daemon.run, name="loop")
    thread.start()
    with Scope(daemon.endpoints.control, timeout_s=30) as scope:
        while scope.status()["state"] == "STARTING":
            pass
        yield scope
    daemon.shut_down("the test is over")
    thread.join(20)
    assert not thread.is_alive()


PLANE = {"limits_x_um": [-100, 100], "limits_y_um": [-100, 100]}
FIELDS: dict[str, Any] = {
    "stage_positions": [{"x": 0, "y": 0, "z": 1, "name": "first"}, {"x": 20, "y": -10, "z": 2}],
    "channels": [{"config": "DAPI", "exposure": 2}, {"config": "FITC", "exposure": 4}],
    "z_plan": {"relative": [-1, 1]},
}


@pytest.mark.parametrize("demonstration", [PLANE], indirect=True)
def test_positions_channels_and_planes_on_demonstration_devices(demonstration: Scope, listen: Listen) -> None:
    scope = demonstration
    facts = scope.request("describe")
    assert {"DAPI", "FITC"} <= set(facts["presets"]["Channel"])
    assert facts["stage"]["limits_x_um"] == [-100, 100]
    exposure_ms = scope.status()["camera"]["settings"]["exposure_ms"]
    frames = listen(scope, "v1.frame.")
    report = scope.acquire(FIELDS, timeout_s=50)
    assert report["frames"] == 8
    assert report["xy_um"] == pytest.approx([20, -10], abs=0.1)
    for number, (p, c, z) in enumerate((p, c, z) for p in range(2) for c in range(2) for z in range(2)):
        frame = until(frames, acquired)
        told = frame["acquired"]
        assert told["number"] == number
        assert told["index"] == {"p": p, "c": c, "z": z}
        assert told["channel"] == ("DAPI", "FITC")[c]
        assert told["position"] == ("first", "")[p]
        assert told["xy_um"] == pytest.approx(((0, 0), (20, -10))[p], abs=0.1)
        assert frame["exposure_ms"] == (2, 4)[c]
        assert frame["z_um"] == pytest.approx(1 + p + 2 * z - 1, abs=0.1)
    assert scope.status()["stage"]["xy_um"] == pytest.approx([20, -10], abs=0.1)
    assert scope.snap()[0]["exposure_ms"] == exposure_ms  # as before
    assert failure(scope, {"channels": ["Cy9"]}).error.code == "invalid"


@pytest.mark.parametrize("demonstration", [{}], indirect=True)
def test_without_limits_of_the_plane_nothing_moves_there(demonstration: Scope) -> None:
    with pytest.raises(RequestFailedError, match=r"stage\.limits_x_um") as refused:
        demonstration.check_sequence(FIELDS)
    assert refused.value.error.code == "invalid"
