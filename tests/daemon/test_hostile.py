"""What strangers send: each row ends in a documented error or a drop, and the daemon goes on as if nothing had been."""

from __future__ import annotations

import json
import socket
import time
import uuid
from typing import TYPE_CHECKING

import pytest
import zmq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Rig


def request(op: str | None = "ping", **changes: object) -> bytes:
    message = {"v": "1.0", "id": str(uuid.uuid4()), "type": "request", "op": op, **changes}
    return json.dumps({key: value for key, value in message.items() if value is not None}).encode()


def move(z_um: object, **more: object) -> bytes:
    return request("stage.move", params={"z_um": z_um, **more})


REFUSED: dict[str, tuple[list[bytes], str]] = {
    "an empty message": ([b""], "invalid"),
    "bytes that are not text": ([b"\xff\xfe\x00"], "invalid"),
    "UTF-8 cut in the middle": (["µ".encode()[:1]], "invalid"),
    "text that is not JSON": ([b"hello"], "invalid"),
    "JSON cut in the middle": ([request()[:-5]], "invalid"),
    "two documents": ([request() + request()], "invalid"),
    "an array": ([b"[]"], "invalid"),
    "null": ([b"null"], "invalid"),
    "NaN": ([b'{"v":"1.0","x":NaN}'], "invalid"),
    "minus infinity": ([b'{"v":"1.0","x":-Infinity}'], "invalid"),
    "a number beyond all numbers": ([move(1).replace(b"1}}", b"1e999}}")], "invalid"),
    "an integer of 5000 digits": ([b'{"x":' + b"9" * 5000 + b"}"], "invalid"),
    "a key twice": ([b'{"v":"1.0","op":"ping","op":"shutdown"}'], "invalid"),
    "a key twice, deep inside": ([request(params={"a": 0}).replace(b'"a": 0', b'"a":{"b":1,"b":2}')], "invalid"),
    "arrays nested 10000 deep": ([b"[" * 10_000 + b"]" * 10_000], "invalid"),
    "objects nested 1000 deep": ([b'{"a":' * 1_000 + b"1" + b"}" * 1_000], "invalid"),
    "brackets that a string does not hide": ([b'{"a":"[[[","b":' + b"[" * 40 + b"]" * 40 + b"}"], "invalid"),
    "a megabyte of JSON": ([b'"' + b"a" * 900_000 + b'"'], "invalid"),
    "no version": ([request(v=None)], "invalid"),
    "a version that is a number": ([request(v=1.0)], "invalid"),
    "version 2": ([request(v="2.0")], "unsupported_version"),
    "version nonsense": ([request(v="latest")], "unsupported_version"),
    "no id": ([request(id=None)], "invalid"),
    "an id that is no UUID": ([request(id="7")], "invalid"),
    "no type": ([request(type=None)], "invalid"),
    "a reply as a request": ([request(type="reply")], "invalid"),
    "no op": ([request(op=None)], "invalid"),
    "an unknown op": ([request("stage.explode")], "unknown_op"),
    "an op that looks like Python": ([request("__class__.__init__")], "unknown_op"),
    "an op of 10000 letters": ([request("x" * 10_000)], "invalid"),
    "a field too many": ([request(surprise=1)], "invalid"),
    "a parameter too many": ([move(1.0, speed=3)], "invalid"),
    "a parameter too few": ([request("stage.move", params={})], "invalid"),
    "parameters that are a list": ([request(params=[1])], "invalid"),
    "z as text": ([move("1.0")], "invalid"),
    "z as a truth value": ([move(True)], "invalid"),
    "z above the limit": ([move(20.1)], "limit.z_high"),
    "z below the limit": ([move(-20.1)], "limit.z_low"),
    "z beyond the galaxy": ([move(1e308)], "limit.z_high"),
    "a step too long": ([move(-14.9)], "limit.step"),
    "a relative step over the limit": ([move(16.5, relative=True)], "limit.z_high"),
    "a deadline in the past": ([request(deadline_ms=-1)], "invalid"),
    "a deadline in a thousand years": ([request(deadline_ms=3e13)], "invalid"),
    "dry_run where there is none": ([request("ping", dry_run=True)], "invalid"),
    "half of a surrogate pair": ([b'{"v":"1.0","id":"\\ud800","type":"request","op":"ping"}'], "invalid"),
    "two JSON frames": ([request(), request()], "invalid"),
    "a JSON frame and a megabyte": ([request(), bytes(900_000)], "invalid"),
    "a hundred frames": ([b"x"] * 100, "invalid"),
    "an exposure of zero": ([request("camera.set", params={"exposure_ms": 0})], "invalid"),
    "a region of three numbers": ([request("camera.set", params={"roi": [0, 0, 8]})], "invalid"),
    "a task that never was": ([request("task.get", params={"task": "nobody"})], "not_found"),
    "a frame that never was": ([request("frame.get", params={"frame": "frame-0"})], "gone"),
    "an endless wait": ([request("task.get", params={"task": "x", "wait_ms": 1e9})], "invalid"),
}


@pytest.fixture(scope="module")
def rig(start_rig_module: Callable[..., Rig]) -> Rig:
    """One daemon for all rows: what one row breaks, a later one shows."""
    return start_rig_module()


@pytest.fixture
def stranger(rig: Rig) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(rig.daemon.endpoints.control)
        yield dealer
    context.term()


@pytest.fixture(autouse=True)
def unharmed(rig: Rig) -> Iterator[None]:
    """Whatever a row does: the next ping is answered in time, and the stage has not moved."""
    yield
    began = time.perf_counter()
    assert rig.scope.request("ping")["state"] == "IDLE"
    assert time.perf_counter() - began < 1.0
    assert rig.scope.position() == pytest.approx(4.0)
    assert rig.scope.request("task.list")["tasks"] == []


@pytest.mark.parametrize("row", REFUSED)
def test_a_bad_request_gets_its_error(stranger: zmq.Socket[bytes], row: str) -> None:
    frames, code = REFUSED[row]
    stranger.send_multipart([b"", *frames] if frames == [b""] else frames)
    assert stranger.poll(5_000), "no answer"
    reply = json.loads(stranger.recv_multipart()[-1])
    assert not reply["ok"]
    assert reply["error"]["code"] == code
    assert reply["error"]["detail"]


@pytest.mark.parametrize("name", ["control", "events", "frames"])
@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, b"\xff" + b"\x00" * 8 + b"\x7f" + b"NOISE" * 100, b""],
    ids=["http", "zeros", "a broken handshake", "a port scan"],
)
def test_noise_on_a_port_is_dropped(rig: Rig, name: str, garbage: bytes) -> None:
    host, port = getattr(rig.daemon.endpoints, name).removeprefix("tcp://").rsplit(":", 1)
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(garbage)


def test_a_message_over_the_size_limit_is_dropped_without_an_answer(stranger: zmq.Socket[bytes]) -> None:
    stranger.send(b"x" * 2_000_000)
    assert not stranger.poll(300)


@pytest.mark.parametrize("garbage", [b"", b"\x07nonsense", b"\x01" * 3_000, b"\x00never subscribed"])
def test_garbage_among_subscriptions_is_dropped(rig: Rig, garbage: bytes) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    for endpoint in (rig.daemon.endpoints.events, rig.daemon.endpoints.frames):
        with context.socket(zmq.XSUB) as subscriber:
            subscriber.setsockopt(zmq.LINGER, 1000)
            subscriber.connect(endpoint)
            subscriber.send_multipart([garbage, garbage])
    context.term()


def test_a_plain_req_socket_is_served_too(rig: Rig) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.REQ) as req:
        req.setsockopt(zmq.LINGER, 0)
        req.connect(rig.daemon.endpoints.control)
        for payload, ok in ((request(), True), (b"nonsense", False), (request(), True)):
            req.send(payload)
            assert req.poll(5_000)
            assert json.loads(req.recv())["ok"] is ok
    context.term()


def test_a_flood_does_not_keep_others_waiting(rig: Rig, stranger: zmq.Socket[bytes]) -> None:
    stranger.setsockopt(zmq.SNDHWM, 0)
    for _ in range(2_000):
        stranger.send(b"flood", zmq.NOBLOCK)
    assert rig.scope.request("ping")["state"] == "IDLE"
    answered = 0
    while stranger.poll(500):
        stranger.recv()
        answered += 1
    assert answered > 0
