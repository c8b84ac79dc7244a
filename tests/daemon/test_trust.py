"""Leases, safe retries, events since, watchdogs: the reducer by itself, and through a running daemon."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from microscoped.daemon.client import RequestFailedError, Scope
from microscoped.daemon.config import Config
from microscoped.daemon.core import Now, Peer, State, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.retries import KEPT_NS, MOST_KEPT
from microscoped.daemon.protocol import OPS, Request
from microscoped.daemon.protocol import Scope as Rights
from microscoped.daemon.protocol.alarms import GUIDE, AlarmCode
from microscoped.daemon.settings import core_settings
from microscoped.drivers import CameraInfo, CameraSettings, FocusDirection
from microscoped.drivers.motion import Arrival

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.daemon.core import Effect, Input
    from tests.conftest import Rig

PEER = Peer(b"client")
CONFIG = {
    "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.325},
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
}


class World:
    """A state, and a clock that is set by hand."""

    def __init__(self, secret: str = "s", **settings: Any) -> None:  # noqa: ANN401, S107 - fields of Settings; a test's
        facts = replace(core_settings(Config.model_validate(CONFIG), {}), **settings)
        self.state = State(settings=facts, session=str(uuid.UUID(int=1)), began_ns=0, secret=secret)
        self.number = 0
        self.now_ns = 1_000_000_000

    def hear(self, heard: Input) -> tuple[Effect, ...]:
        self.number += 1
        self.state, effects = step(self.state, heard, Now(self.number, self.now_ns, "2026-01-01T00:00:00+00:00"))
        return effects

    def ask(
        self,
        op: str,
        *,
        request: int | None = None,
        lease: str | None = None,
        peer: Peer = PEER,
        **params: Any,  # noqa: ANN401 - whatever an op takes
    ) -> tuple[Effect, ...]:
        cause = uuid.UUID(int=self.number + 10**6 if request is None else request)
        message = Request(v="1.0", id=cause, type="request", op=op, params=params, lease=lease)
        return self.hear(heard_of.RequestReceived(peer, message))

    def open(self, z_um: float = 0.0) -> World:
        info = CameraInfo("Camera", 64, 64, 1, "uint16", 12)
        direction = FocusDirection.TOWARD_SAMPLE
        self.hear(heard_of.HardwareOpened(info, CameraSettings(exposure_ms=10.0), "Z", z_um, direction, {}))
        return self

    def beat(self, **facts: Any) -> list[tuple[str, bool]]:  # noqa: ANN401 - fields of HeartbeatDue
        """One heartbeat; the alarms that it raises (False) or clears (True)."""
        self.now_ns += 1_000_000_000
        facts = {"loop_lag_ms": {"p99": 1.0}, "queues": {"engines": 0}, **facts}
        return [(alarm["code"], alarm["cleared"]) for alarm in alarms(self.hear(heard_of.HeartbeatDue(**facts)))]


def replies(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    return [dict(effect.message) for effect in effects if isinstance(effect, to_do.SendReply)]


def answer(effects: Sequence[Effect]) -> dict[str, Any]:
    (message,) = replies(effects)
    return message


def alarms(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    found = [e.message for e in effects if isinstance(e, to_do.Publish) and e.topic == "v1.alarm."]
    return [message["data"] for message in found]  # type: ignore[misc]


def commands(effects: Sequence[Effect]) -> list[str]:
    return [effect.command.id for effect in effects if isinstance(effect, to_do.Submit)]


# --- leases ----------------------------------------------------------------------------------------------------------


def test_while_somebody_holds_the_lease_others_are_told_who() -> None:
    world = World().open()
    token = answer(world.ask("stage.lease", name="Ada"))["result"]["token"]
    for op, params in (("stage.move", {"z_um": 1.0}), ("focus.run", {}), ("stage.lease", {"name": "Ben"})):
        error = answer(world.ask(op, **params))["error"]
        assert error["code"] == "busy"
        assert error["data"]["holder"] == "Ada"
    assert answer(world.ask("stage.move", z_um=1.0, lease="guess"))["error"]["code"] == "busy"
    assert answer(world.ask("stage.move", z_um=1.0, lease=token))["ok"]
    assert world.state.topics["v1.state."].data["lease"] == "Ada"


def test_reading_and_the_camera_need_no_lease() -> None:
    world = World().open()
    world.ask("stage.lease", name="Ada")
    for op in ("status", "ping", "stage.position", "camera.snap", "task.list", "stop"):
        assert not [message for message in replies(world.ask(op)) if not message["ok"]]


def test_the_holder_of_the_lease_takes_the_stage_from_a_search() -> None:
    world = World().open()
    search = answer(world.ask("focus.run"))["result"]["task"]
    token = answer(world.ask("stage.lease", name="Ada"))["result"]["token"]
    assert answer(world.ask("stage.move", z_um=1.0, lease=token))["ok"]
    assert world.state.tasks[search].state == "preempted"
    error = world.state.tasks[search].error
    assert error is not None
    assert error.data["by"] == "stage.move"


def test_a_lease_is_renewed_given_back_and_expires_with_an_alarm() -> None:
    world = World().open()
    token = answer(world.ask("stage.lease", name="Ada", ttl_s=10))["result"]["token"]
    world.now_ns += 9_000_000_000
    assert answer(world.ask("stage.lease", name="Ada", ttl_s=10, token=token))["result"]["token"] == token
    world.now_ns += 2_000_000_000
    assert not alarms(world.hear(heard_of.TimerFired("lease")))  # the timer of the first term
    assert answer(world.ask("stage.move", z_um=1.0, lease=token))["ok"]
    world.now_ns += 9_000_000_000
    (alarm,) = alarms(world.hear(heard_of.TimerFired("lease")))
    assert alarm["code"] == "lease.expired"
    assert world.state.claim is not None  # the move under way ends as it was asked for
    for op, params in (("stage.lease", {"name": "Ada", "token": token}), ("stage.release", {"token": token})):
        assert answer(world.ask(op, **params))["error"]["code"] == "gone"
    token = answer(world.ask("stage.lease", name="Ben"))["result"]["token"]
    assert answer(world.ask("stage.release", token=token))["ok"]
    assert world.state.lease is None
    assert answer(world.ask("stage.move", z_um=2.0, lease=token))["error"]["code"] == "gone"


def test_tokens_cannot_be_made_from_what_is_public() -> None:
    worlds = (World("one").open(), World("other").open())
    tokens = {answer(world.ask("stage.lease", name="Ada"))["result"]["token"] for world in worlds}
    assert len(tokens) == 2


def test_the_client_keeps_the_stage_for_a_with_statement(rig: Rig) -> None:
    with Scope(rig.daemon.endpoints.control, timeout_s=10) as other:
        with rig.scope.lease("Ada", ttl_s=60):
            rig.scope.move(2.0)
            rig.scope.renew()
            with pytest.raises(RequestFailedError, match="Ada holds the lease"):
                other.move(3.0)
            assert other.snap()[0]["z_um"] == pytest.approx(2.0, abs=0.1)
        other.move(3.0)
    with pytest.raises(ValueError, match="no lease"):
        rig.scope.renew()


# --- retries ---------------------------------------------------------------------------------------------------------


def test_a_repeated_request_is_answered_again_and_done_once() -> None:
    world = World().open()
    first = world.ask("stage.move", request=7, z_um=1.0)
    again = world.ask("stage.move", request=7, z_um=1.0)
    assert len(commands(first)) == 1
    assert commands(again) == []
    assert answer(first) == answer(again)


def test_a_repeat_from_a_new_connection_is_answered_there_too() -> None:
    world = World().open()
    (command,) = commands(world.ask("camera.set", request=7, exposure_ms=5.0))
    assert not world.ask("camera.set", request=7, exposure_ms=5.0, peer=Peer(b"reconnected"))
    ended = world.hear(heard_of.CommandEnded(command, CameraSettings(exposure_ms=5.0)))
    assert [e.peer.routing for e in ended if isinstance(e, to_do.SendReply)] == [b"client", b"reconnected"]
    one, other = replies(ended)
    assert one == other


def test_an_id_that_is_used_for_another_request_is_refused() -> None:
    world = World().open()
    world.ask("stage.move", request=7, z_um=1.0)
    error = answer(world.ask("stage.move", request=7, z_um=2.0))["error"]
    assert error["code"] == "invalid"
    assert "another request" in error["detail"]


def test_answers_that_invite_a_retry_are_not_kept() -> None:
    world = World().open()
    world.ask("stage.move", z_um=1.0)
    assert answer(world.ask("stage.move", request=7, z_um=2.0))["error"]["code"] == "busy"
    world.ask("stop")
    world.ask("resume")
    assert answer(world.ask("stage.move", request=7, z_um=2.0))["ok"]


def test_other_users_and_later_times_have_their_own_ids() -> None:
    world = World().open()
    assert len(commands(world.ask("camera.snap", request=7))) == 1
    assert len(commands(world.ask("camera.snap", request=7, peer=Peer(b"x", user="ben")))) == 1
    world.now_ns += KEPT_NS + 1
    assert len(commands(world.ask("camera.snap", request=7))) == 1


def test_what_is_remembered_is_bounded() -> None:
    world = World().open()
    for number in range(MOST_KEPT + 50):
        world.ask("resume", request=number)
    assert len(world.state.seen) <= MOST_KEPT


def test_a_retry_over_the_wire_moves_once(rig: Rig) -> None:
    message = {"v": "1.0", "id": str(uuid.uuid4()), "type": "request", "op": "stage.move"}
    payload = json.dumps({**message, "params": {"z_um": 1.0, "relative": True}}).encode()
    answers = []
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    for _ in range(3):
        with context.socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(rig.daemon.endpoints.control)
            socket.send(payload)
            assert socket.poll(5_000)
            answers.append(socket.recv())
    context.term()
    assert len(set(answers)) == 1
    rig.scope.wait(json.loads(answers[0])["result"]["task"])
    assert rig.scope.position() == pytest.approx(5.0, abs=0.1)


# --- scopes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rights", [None, *Rights])
@pytest.mark.parametrize("op", sorted(OPS))
def test_every_op_asks_for_its_scope(op: str, rights: Rights | None) -> None:
    world = World().open()
    effects = world.ask(op, peer=Peer(b"x", user="ben", scope=rights))
    error = next((message["error"] for message in replies(effects) if not message["ok"]), None)
    allowed = rights is not None and rights.includes(OPS[op].scope_with_keys)
    assert (error is not None and error["code"] == "forbidden") == (not allowed)
    if op == "stop":
        assert allowed == (rights is not None)


# --- events.since ----------------------------------------------------------------------------------------------------


def test_missed_events_come_back_in_order_with_an_alarm() -> None:
    world = World().open()
    for _ in range(3):
        world.ask("stop")
        world.ask("resume")
    newest = world.state.topics["v1.state."].seq
    effects = world.ask("events.since", topic="v1.state.", seq=2)
    events = answer(effects)["result"]["events"]
    assert [event["seq"] for event in events] == list(range(3, newest + 1))
    assert [alarm["code"] for alarm in alarms(effects)] == ["watch.subscriber_gap"]
    assert answer(world.ask("events.since", topic="v1.state.", seq=newest))["result"] == {"events": [], "more": False}


@pytest.mark.parametrize(
    ("topic", "seq", "code"),
    [("v1.heartbeat.", 0, "gone"), ("v1.state.", 10_000, "invalid"), ("v1.nothing.", 1, "invalid")],
)
def test_what_is_not_kept_is_gone(topic: str, seq: int, code: str) -> None:
    world = World().open()
    world.beat()
    assert answer(world.ask("events.since", topic=topic, seq=seq))["error"]["code"] == code


# --- watchdogs -------------------------------------------------------------------------------------------------------


def test_every_alarm_has_a_cause_and_a_remedy() -> None:
    assert set(GUIDE) == set(AlarmCode)
    assert all(guide.cause and guide.remedy for guide in GUIDE.values())


def test_loop_lag_is_an_alarm_once_and_cleared_once() -> None:
    world = World().open()
    assert world.beat() == []
    assert world.beat(loop_lag_ms={"p99": 80.0}) == [("watch.loop_lag", False)]
    assert world.beat(loop_lag_ms={"p99": 90.0}) == []
    assert world.beat() == [("watch.loop_lag", True)]


def test_a_disk_that_fills_up_is_an_alarm_before_it_is_full() -> None:
    world = World().open()
    assert world.beat(disk_free_mb=5_000.0) == []
    assert world.beat(disk_free_mb=900.0) == [("watch.disk", False)]
    assert world.beat(disk_free_mb=5_000.0) == [("watch.disk", True)]


def test_a_silent_driver_is_a_fault() -> None:
    world = World().open()
    assert world.beat(hardware_silent_ms=4_000.0) == []
    assert world.beat(hardware_silent_ms=6_000.0) == [("fault.hardware_silent", False)]
    assert answer(world.ask("stage.move", z_um=1.0))["error"]["code"] == "fault"
    assert world.beat(hardware_silent_ms=1.0) == [("fault.hardware_silent", True)]


def test_old_frames_are_an_alarm_while_the_camera_should_stream() -> None:
    world = World().open()
    (command,) = commands(world.ask("camera.start"))
    world.hear(heard_of.CommandEnded(command))
    found = [world.beat() for _ in range(5)]
    assert found.count([("watch.frame_age", False)]) == 1
    (command,) = commands(world.ask("camera.stop"))
    world.hear(heard_of.CommandEnded(command))
    assert world.beat() == [("watch.frame_age", True)]


def test_frames_of_a_slow_stream_are_not_too_old() -> None:
    world = World().open()
    for effects in (world.ask("camera.set", fps=0.01), world.ask("camera.start")):
        (command,) = commands(effects)
        world.hear(heard_of.CommandEnded(command, CameraSettings()))
    assert [world.beat() for _ in range(5)] == [[]] * 5
    assert answer(world.ask("status"))["result"]["camera"]["fps"] == 0.01


def test_an_engine_that_stands_still_is_an_alarm() -> None:
    world = World().open()
    found = [world.beat(queues={"engines": 1}) for _ in range(8)]
    assert found.count([("watch.engine_late", False)]) == 1
    assert world.beat() == [("watch.engine_late", True)]


def test_an_engine_with_a_process_of_its_own_may_need_longer_and_is_judged_by_its_own_frames() -> None:
    world = World(engines=("sharpness", "cells"), engine_late_s={"cells": 20.0}).open()
    assert [world.beat(queues={"engines": 0, "engines.cells": 1}) for _ in range(20)] == [[]] * 20
    found = [world.beat(queues={"engines": 0, "engines.cells": 1}) for _ in range(4)]
    assert found.count([("watch.engine_late", False)]) == 1
    assert world.beat(queues={"engines": 0, "engines.cells": 0}) == [("watch.engine_late", True)]
    found = [world.beat(queues={"engines": 1, "engines.cells": 0}) for _ in range(8)]
    assert found.count([("watch.engine_late", False)]) == 1


def test_a_knob_turned_by_hand_is_an_alarm() -> None:
    world = World().open()
    (alarm,) = alarms(world.hear(heard_of.PositionSeen(3.0, moved=True)))
    assert alarm["code"] == "stage.moved"
    assert alarm["data"] == {"z_um": 3.0, "from_um": 0.0}


@pytest.mark.parametrize(("z_um", "state"), [(5.0, "IDLE"), (5.3, "IDLE"), (6.0, "SAFE"), (0.0, "SAFE")])
def test_a_stage_that_was_moved_while_the_daemon_was_away_waits_for_a_person(z_um: float, state: str) -> None:
    world = World(expected_z_um=5.0).open(z_um)
    assert world.state.mode == state
    if state == "SAFE":
        assert answer(world.ask("stage.move", z_um=1.0))["error"]["code"] == "not_ready"
        assert answer(world.ask("resume"))["result"] == {"state": "IDLE"}
    assert answer(world.ask("stage.move", z_um=1.0))["ok"]


@pytest.mark.slow
def test_a_driver_that_hangs_is_noticed_though_the_loop_goes_on(rig: Rig) -> None:
    rig.faults.camera_hang_s = 7.5
    with rig.scope.events("v1.alarm.", timeout_s=20) as events:
        rig.scope.request("camera.snap")
        code = next(events).data["code"]
    assert code == "fault.hardware_silent"
    assert rig.scope.status()["state"] == "FAULT"


# --- what led to what ------------------------------------------------------------------------------------------------


def test_a_search_that_comes_too_late_never_begins(rig: Rig) -> None:
    rig.faults.camera_hang_s = 0.3
    rig.scope.request("camera.snap")
    task = rig.scope.request("focus.run", deadline_ms=1)["task"]
    with pytest.raises(RequestFailedError) as failed:
        rig.scope.wait(task)
    assert failed.value.error.code == "timeout"
    assert rig.scope.position() == pytest.approx(4.0)


def test_a_snapped_frame_names_its_task_and_its_request(rig: Rig) -> None:
    with rig.scope.events("v1.frame.", timeout_s=5) as events:
        task = rig.scope.request("camera.snap")["task"]
        event = next(events)
    assert event.causes[0] == task
    assert len(event.causes) == 2


# --- a key is revoked ------------------------------------------------------------------------------------------------

BEN = Peer(b"ben", user="ben")
ADA = Peer(b"ada", user="ada")


def test_with_a_users_key_go_the_users_tasks_and_lease() -> None:
    world = World().open()
    token = answer(world.ask("stage.lease", peer=BEN, name="a script"))["result"]["token"]
    move = answer(world.ask("stage.move", peer=BEN, z_um=1.0, lease=token))["result"]["task"]
    snaps = [answer(world.ask("camera.snap", peer=peer))["result"]["task"] for peer in (BEN, ADA)]
    effects = world.hear(heard_of.KeyRevoked("ben"))
    assert [world.state.tasks[task].state for task in (move, *snaps)] == ["cancelled", "cancelled", "running"]
    error = world.state.tasks[move].error
    assert error is not None
    assert "the key of ben was revoked" in error.detail
    assert any(isinstance(effect, to_do.CancelCommand) for effect in effects)
    (alarm,) = alarms(effects)
    assert alarm["code"] == "key.revoked"
    assert alarm["data"] == {"user": "ben", "tasks": [move, snaps[0]], "lease": True}
    assert world.state.lease is None
    assert world.state.claim is None
    assert world.state.topics["v1.state."].data["lease"] is None
    assert answer(world.ask("stage.move", peer=ADA, z_um=2.0))["ok"]


def test_a_search_of_a_revoked_user_returns_to_its_start() -> None:
    world = World().open()
    asked = world.ask("focus.run", peer=BEN)
    task = answer(asked)["result"]["task"]
    effects = world.hear(heard_of.KeyRevoked("ben"))
    (home,) = commands(effects)
    assert world.state.tasks[task].state == "running"
    world.hear(heard_of.CommandEnded(home, Arrival(0.0, 0.0, True, 1, 1.0, 10.0, 5)))
    assert world.state.tasks[task].state == "cancelled"


def test_what_others_hold_stays_when_a_key_is_revoked() -> None:
    world = World().open()
    answer(world.ask("stage.lease", peer=ADA, name="ben"))  # whatever the holder calls itself
    snap = answer(world.ask("camera.snap", peer=ADA))["result"]["task"]
    (alarm,) = alarms(world.hear(heard_of.KeyRevoked("ben")))
    assert alarm["data"] == {"user": "ben", "tasks": [], "lease": False}
    assert world.state.lease is not None
    assert world.state.tasks[snap].state == "running"


def test_requests_of_a_revoked_user_that_wait_are_forbidden() -> None:
    world = World().open()
    snap = answer(world.ask("camera.snap", peer=ADA))["result"]["task"]
    for peer in (BEN, ADA):
        world.ask("frame.get", peer=peer, wait_ms=1_000)
        world.ask("task.get", peer=peer, task=snap, wait_ms=1_000)
    told = replies(world.hear(heard_of.KeyRevoked("ben")))
    assert [message["error"]["code"] for message in told] == ["forbidden"] * 2
    assert len(world.state.frame_waits) == len(world.state.task_waits) == 1


@pytest.mark.parametrize(
    ("peer", "code"),
    [
        (Peer(b"x"), None),
        (Peer(b"x", user="ben", scope=Rights.READ), "forbidden"),
        (Peer(b"x", user="ben", scope=Rights.CONTROL), "forbidden"),
        (Peer(b"x", user="ben", scope=Rights.ADMIN), None),
    ],
)
def test_where_keys_are_used_only_an_administrator_ends_the_daemon(peer: Peer, code: str | None) -> None:
    world = World().open()
    message = answer(world.ask("shutdown", peer=peer))
    assert message.get("error", {}).get("code") == code
    assert (world.state.mode == "CLOSING") == (code is None)
