"""Bounded fuzz of all three sockets: whatever comes, the loop answers the next ping and the stage has not moved."""

from __future__ import annotations

import json
import socket
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microscoped.daemon.protocol import OPS, BadRequestError, RefusedError, loads, read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Rig

HARMLESS = [op for op in sorted(OPS) if op not in ("shutdown", "stage.move", "focus.run")]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(["v", "id", "type", "op", "params", "deadline_ms", "dry_run", "lease", "ts", "z_um", "x"])
nearly_requests = st.builds(
    lambda changes, op: {"v": "1.0", "id": str(uuid.uuid4()), "type": "request", "op": op, **changes},
    st.dictionaries(keys, json_values, max_size=4),
    st.sampled_from(HARMLESS),
)
fuzzing = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def rig(start_rig_module: Callable[..., Rig]) -> Rig:
    return start_rig_module()


@pytest.fixture(autouse=True)
def unharmed(rig: Rig) -> Iterator[None]:
    yield
    assert rig.scope.request("ping")["session"]
    assert rig.microscope.stage.position_um() == pytest.approx(4.0)


@pytest.fixture(scope="module")
def stranger(rig: Rig) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(rig.daemon.endpoints.control)
        yield dealer
    context.term()


@given(st.binary(max_size=400))
def test_reading_bytes_ends_in_a_request_or_an_error(data: bytes) -> None:
    try:
        read_request([data])
    except BadRequestError as error:
        assert error.body.detail


@given(json_values)
def test_what_json_can_say_is_read_as_it_is(value: Any) -> None:  # noqa: ANN401 - any JSON
    assert loads(json.dumps(value).encode()) == value


@given(st.text(alphabet='[]{}",:\\ 1a', max_size=120))
def test_brackets_and_quotes_never_break_the_reader(text: str) -> None:
    try:
        loads(text.encode())
    except RefusedError:
        return
    json.loads(text)


@fuzzing
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_any_frames_on_control(rig: Rig, stranger: zmq.Socket[bytes], frames: list[bytes]) -> None:
    stranger.send_multipart(frames)
    assert stranger.poll(5_000)
    assert not json.loads(stranger.recv_multipart()[-1])["ok"]


@fuzzing
@given(nearly_requests)
def test_nearly_requests_on_control(rig: Rig, stranger: zmq.Socket[bytes], message: dict[str, Any]) -> None:
    if message["op"] in ("shutdown", "stage.move", "focus.run"):
        return
    stranger.send(json.dumps(message).encode())
    while stranger.poll(200):
        reply = json.loads(stranger.recv_multipart()[0])
        assert reply["ok"] or reply["error"]["code"]
        if str(reply["cause"]) == str(message["id"]) or reply["cause"] is None:
            break
    if rig.scope.status()["state"] == "STOPPED":
        rig.scope.resume()


@fuzzing
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3), st.sampled_from(["events", "frames"]))
def test_any_frames_among_subscriptions(rig: Rig, frames: list[bytes], name: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.XSUB) as subscriber:
        subscriber.setsockopt(zmq.LINGER, 200)
        subscriber.connect(getattr(rig.daemon.endpoints, name))
        subscriber.send_multipart(frames)
    context.term()


@fuzzing
@given(st.binary(min_size=1, max_size=300), st.sampled_from(["control", "events", "frames"]), st.booleans())
def test_any_bytes_on_a_raw_connection(rig: Rig, data: bytes, name: str, greeting: bool) -> None:
    host, port = getattr(rig.daemon.endpoints, name).removeprefix("tcp://").rsplit(":", 1)
    # With the greeting of ZeroMQ's own protocol before it, garbage gets past the first door.
    hello = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL" + b"\x00" * 48
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(hello + data if greeting else data)


def test_half_open_connections_and_huge_frames_cost_nothing(rig: Rig, stranger: zmq.Socket[bytes]) -> None:
    held = []
    for name in ("control", "events", "frames"):
        host, port = getattr(rig.daemon.endpoints, name).removeprefix("tcp://").rsplit(":", 1)
        for _ in range(20):
            connection = socket.create_connection((host, int(port)), timeout=5)
            connection.sendall(b"\xff\x00\x00")
            held.append(connection)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.DEALER) as huge:
        huge.setsockopt(zmq.LINGER, 0)
        huge.connect(rig.daemon.endpoints.control)
        huge.send(bytes(64 * 2**20))
        assert rig.scope.request("ping")
        assert not huge.poll(300)
    context.term()
    assert rig.scope.request("ping")
    for connection in held:
        connection.close()
