"""Events of the client: each once, gaps repaired, over broken connections and restarts."""

from __future__ import annotations

import socket as plain_socket
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from microscoped.daemon.client import RequestFailedError
from microscoped.daemon.client.events import Events
from microscoped.daemon.protocol import ErrorBody, ErrorCode, dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Rig

    Start = Callable[..., Rig]

KEPT, OTHER = "v1.decision.near.", "v1.measure.cells."
FIRST, SECOND = "6f0e3c52-0000-4000-8000-000000000001", "6f0e3c52-0000-4000-8000-000000000002"


def event(topic: str, seq: int, session: str = FIRST) -> dict[str, Any]:
    return {
        "v": "1.0",
        "id": f"6f0e3c52-0000-4000-9000-{seq:012d}",
        "type": "event",
        "ts": "2026-01-01T00:00:00Z",
        "mono_ns": seq,
        "topic": topic,
        "seq": seq,
        "session": session,
        "causes": [],
        "data": {"n": seq},
    }


class Daemon:
    """Publishes what it is told to, and answers as a daemon that keeps decisions."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.PUB)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.session = FIRST
        self.newest = {KEPT: 3, OTHER: 5}
        self.asked: list[tuple[str, int]] = []

    def publish(self, topic: str, seq: int) -> None:
        self.socket.send_multipart([topic.encode(), dumps(event(topic, seq, self.session))])

    def answer(self, op: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - of an op
        if op == "snapshot":
            topics = [{"topic": topic, "seq": seq, "data": {}} for topic, seq in self.newest.items()]
            return {"session": self.session, "topics": topics}
        self.asked.append((params["topic"], params["seq"]))
        if params["topic"] != KEPT:
            raise RequestFailedError(op, ErrorBody.of(ErrorCode.GONE, "not kept"))
        missed = [event(KEPT, seq, self.session) for seq in range(params["seq"] + 1, self.newest[KEPT] + 1)]
        return {"events": missed[:2], "more": len(missed) > 2}


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield (made := Daemon(context))
    made.socket.close(linger=0)
    context.destroy(linger=0)


def join(daemon: Daemon) -> Events:
    heard: zmq.Socket[bytes] = daemon.socket.context.socket(zmq.SUB)
    heard.subscribe("v1.")
    heard.connect(daemon.endpoint)
    while not heard.poll(20):  # until the subscription has travelled
        daemon.publish("v1.hello.", 1)
    events = Events(heard, daemon.answer, lambda **_anew: daemon.endpoint, ["v1."], 5.0)
    while next(events).topic != "v1.hello.":
        pass
    return events


@pytest.mark.parametrize(
    ("published", "heard", "repaired", "lost"),
    [
        ([(KEPT, 4), (KEPT, 5)], [4, 5], 0, 0),
        ([(KEPT, 9)], [4, 5, 6, 7, 8, 9], 5, 0),
        ([(KEPT, 4), (KEPT, 7), (KEPT, 6), (KEPT, 8)], [4, 5, 6, 7, 8], 2, 0),
        ([(KEPT, 2), (KEPT, 3), (KEPT, 4)], [4], 0, 0),
        ([(OTHER, 6), (OTHER, 9), (OTHER, 12)], [6, 9, 12], 0, 4),
    ],
    ids=["none is missing", "a gap", "late ones come once", "old ones are left out", "what is not kept is counted"],
)
def test_each_event_comes_once_and_in_order(
    daemon: Daemon,
    published: list[tuple[str, int]],
    heard: list[int],
    repaired: int,
    lost: int,
) -> None:
    with join(daemon) as events:
        daemon.newest[KEPT] = max(seq for _, seq in published)
        for topic, seq in published:
            daemon.publish(topic, seq)
        assert [next(events).seq for _ in heard] == heard
        assert (events.repaired, events.lost) == (repaired, lost)
    assert len([topic for topic, _ in daemon.asked if topic == OTHER]) <= 1


def test_another_session_begins_at_its_first_event(daemon: Daemon) -> None:
    with join(daemon) as events:
        daemon.session, daemon.newest = SECOND, {KEPT: 3}
        daemon.publish(KEPT, 3)
        heard = [next(events) for _ in range(3)]
        assert [(str(one.session), one.seq) for one in heard] == [(SECOND, 1), (SECOND, 2), (SECOND, 3)]
        assert events.session == SECOND


def test_what_happened_while_the_connection_was_broken_comes_when_it_is_made_again(start_rig: Start) -> None:
    rig = start_rig()
    with rig.scope.events("v1.task.", "v1.state.", timeout_s=20) as events:
        events._socket.disconnect(events._connected)
        moved = rig.scope.move(1.0, relative=True)
        events._socket.connect(events._connected)
        ended = next(one for one in events if one.data.get("state") == "done")
        assert ended.data["result"] == moved
        assert events.repaired > 0
        assert events.lost == 0


def test_a_daemon_that_is_started_anew_is_found_again(start_rig: Start) -> None:
    with plain_socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        control = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
    first = start_rig({"network": {"control": control}})
    events = first.scope.events("v1.task.", timeout_s=40)
    scope, session = first.scope, events.session
    first.daemon.shut_down("it is started anew")
    first._thread.join(20)
    second = start_rig({"network": {"control": control}})
    second.scope.move(0.5, relative=True)
    ended = next(one for one in events if one.data.get("state") == "done")
    assert str(ended.session) == events.session != session
    assert scope.hello()["session"] == events.session
    events.close()
