"""Versions on the wire: what the daemon answers to other versions, and what a client lets pass."""

from __future__ import annotations

import json
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from microscoped.daemon.client import RequestFailedError, Scope, TaskFailedError
from microscoped.daemon.client.reading import read_error, read_event, read_reply
from microscoped.daemon.protocol import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Rig

    Node = dict[str, Any]

UNKNOWN = {"trace": "abc"}


@pytest.fixture(scope="module")
def control(start_rig_module: Callable[..., Rig]) -> Iterator[zmq.Socket[bytes]]:
    """A plain DEALER to a real daemon."""
    running = start_rig_module()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.RCVTIMEO, 10_000)
    socket.connect(running.daemon.endpoints.control)
    yield socket
    context.destroy(linger=0)


def exchange(control: zmq.Socket[bytes], **changes: Any) -> Node:  # noqa: ANN401 - any field, of any type
    message = {"v": VERSION, "id": str(uuid.uuid4()), "type": "request", "op": "ping", **changes}
    control.send(json.dumps({key: value for key, value in message.items() if value is not None}).encode())
    reply: Node = json.loads(control.recv())
    assert reply["v"] == VERSION
    assert reply["cause"] == message["id"]
    return reply


ANSWERS: dict[str, tuple[Node, str | None, str]] = {
    # what the request is like, the error code of the answer, a word of its detail
    "this version": ({"v": "1.0"}, None, ""),
    "an older minor version": ({"v": "1.0"}, None, ""),
    "a newer minor version": ({"v": "1.9"}, None, ""),
    "a much newer minor version": ({"v": "1.1000"}, None, ""),
    "a newer minor version with a field of its own": ({"v": "1.9", **UNKNOWN}, "invalid", "version '1.9'"),
    "a newer minor version with a parameter of its own": ({"v": "1.9", "params": UNKNOWN}, "invalid", "params.trace"),
    "a newer minor version with an op of its own": ({"v": "1.9", "op": "rule.list"}, "unknown_op", "hello lists"),
    "this version with an unknown field": ({**UNKNOWN}, "invalid", "trace: no such field"),
    "the next major version": ({"v": "2.0"}, "unsupported_version", VERSION),
    "the next major version with fields of its own": ({"v": "2.0", **UNKNOWN}, "unsupported_version", VERSION),
    "the last major version": ({"v": "0.9"}, "unsupported_version", VERSION),
    "a version with the same first digit": ({"v": "10.0"}, "unsupported_version", VERSION),
    "no version": ({"v": None}, "invalid", "v: is required"),
    "no minor version": ({"v": "1"}, "invalid", "v = '1'"),
    "a minor version that is a word": ({"v": "1.x"}, "invalid", "v = '1.x'"),
    "a version that is a word": ({"v": "one"}, "unsupported_version", VERSION),
    "a version that is a number": ({"v": 1.0}, "invalid", "v = '1.0'"),
    "a version that is long": ({"v": "1." + "9" * 10_000}, "invalid", "v = '1.999"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_daemon_answers_its_major_version(control: zmq.Socket[bytes], name: str) -> None:
    changes, code, word = ANSWERS[name]
    reply = exchange(control, **changes)
    if code is None:
        assert reply["ok"], reply
        assert reply["result"]["state"] == "IDLE"
    else:
        assert reply["error"]["code"] == code
        assert word in reply["error"]["detail"]
        assert len(reply["error"]["detail"]) < 400


# --- a client meets a daemon that is newer ---------------------------------------------------------------------------

SESSION = str(uuid.UUID(int=1))
ENVELOPE = {"v": "1.7", "id": str(uuid.UUID(int=2)), "ts": "2030-01-01T00:00:00+00:00", "mono_ns": 1, "weather": "fine"}
PROBLEM = {"code": "limit.speed", "title": "T", "detail": "D", "data": {}, "retryable": False, "help": "https://…"}
NEWER = {
    "hello": {"result": {"protocol": "1.7", "new": {}, "endpoints": {}}},
    "ping": {"result": {"session": SESSION, "state": "IDLE", "uptime_s": 1.0, "mood": "good"}},
    "stage.move": {"error": PROBLEM},
    "task.get": {
        "result": {"task": {"task": "t", "op": "x", "state": "failed", "result": None, "error": PROBLEM, "n": 1}}
    },
}


@pytest.fixture
def newer_daemon() -> Iterator[str]:
    """The address of a daemon of version 1.7: real sockets, answers made by hand."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind("tcp://127.0.0.1:*")
    address = socket.get_string(zmq.LAST_ENDPOINT)

    def serve() -> None:
        while True:
            sender, payload = socket.recv_multipart()
            request = json.loads(payload)
            if request["op"] == "shutdown":
                socket.close(linger=0)
                return
            body = NEWER[request["op"]]
            reply = {
                **ENVELOPE,
                "type": "reply",
                "session": SESSION,
                "cause": request["id"],
                "ok": "result" in body,
                **body,
            }
            socket.send_multipart([sender, json.dumps(reply).encode()])

    thread = threading.Thread(target=serve)
    thread.start()
    yield address
    end = context.socket(zmq.DEALER)
    end.connect(address)
    end.send(json.dumps({"op": "shutdown"}).encode())
    thread.join(10)
    end.close(linger=1000)
    context.term()
    assert not thread.is_alive()


def test_a_client_talks_to_a_newer_daemon_of_its_major_version(newer_daemon: str) -> None:
    with Scope(newer_daemon) as scope:
        assert scope.hello()["protocol"] == "1.7"
        assert scope.request("ping")["mood"] == "good"
        with pytest.raises(RequestFailedError) as refused:
            scope.move(1.0)
        assert refused.value.error.code == "limit"
        assert refused.value.error.data["code"] == "limit.speed"
        with pytest.raises(TaskFailedError) as failed:
            scope.wait("t")
        assert failed.value.error.code == "limit"


def test_an_event_with_unknown_fields_is_read() -> None:
    event = {
        **ENVELOPE,
        "type": "event",
        "topic": "v1.new.",
        "seq": 1,
        "session": SESSION,
        "causes": [],
        "data": {"x": 1},
    }
    assert read_event(json.dumps(event).encode()).data == {"x": 1}


@pytest.mark.parametrize(
    ("code", "read_as"),
    [
        ("busy", "busy"),
        ("limit.z_high", "limit.z_high"),
        ("limit.new", "limit"),
        ("fault.laser", "fault"),
        ("new", "fault"),
    ],
)
def test_an_unknown_code_is_read_as_its_family(code: str, read_as: str) -> None:
    error = read_error({**PROBLEM, "code": code})
    assert error.code == read_as
    assert error.title == "T"
    assert error.data.get("code", code) == code


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"v": "1.0"}', b"\xff", b'{"type": "reply"}', b"null"])
def test_what_is_no_message_is_not_taken_for_one(payload: bytes) -> None:
    for read in (read_reply, read_event):
        with pytest.raises(ValueError):
            read(payload)
