"""The three sockets of the protocol: ``control``, ``events``, ``frames``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq

from microscoped.daemon.core.inputs import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONTROL_BYTES = 1_000_000
SUBSCRIBE_BYTES = 4_096
EVENTS_HIGH_WATER = 10_000
"""Events kept for a slow subscriber; beyond it ZeroMQ drops them, which the subscriber sees by the gap in ``seq``."""
FRAMES_HIGH_WATER = 4
"""Pictures kept for a slow subscriber: it loses frames, and nobody else does."""
CONTROL_HIGH_WATER = 1_000
LINGER_MS = 200


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the sockets are bound, for example ``tcp://127.0.0.1:5770``; port ``*`` takes a free one."""

    control: str
    events: str
    frames: str


class AddressInUseError(Exception):
    """An endpoint could not be bound, most often because another daemon runs."""


class Sockets:
    """Binds and owns the three sockets. The loop's thread only.

    Parameters
    ----------
    context, endpoints
        See `Endpoints`.

    Raises
    ------
    AddressInUseError
        Naming the endpoint and the remedy.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoints: Endpoints) -> None:
        self.control: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.events: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self.frames: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self._frame_topics: set[bytes] = set()
        plan = (
            (self.control, endpoints.control, CONTROL_BYTES, CONTROL_HIGH_WATER),
            (self.events, endpoints.events, SUBSCRIBE_BYTES, EVENTS_HIGH_WATER),
            (self.frames, endpoints.frames, SUBSCRIBE_BYTES, FRAMES_HIGH_WATER),
        )
        for socket, endpoint, size, high_water in plan:
            socket.setsockopt(zmq.MAXMSGSIZE, size)
            socket.setsockopt(zmq.SNDHWM, high_water)
            socket.setsockopt(zmq.LINGER, LINGER_MS)
            try:
                socket.bind(endpoint)
            except zmq.ZMQError as error:
                self.close()
                raise AddressInUseError(
                    f"cannot bind {endpoint}: {error.strerror}; is another daemon running? End it with "
                    "'microscoped send shutdown', or choose other ports under network in the configuration"
                ) from error

    def endpoints(self) -> Endpoints:
        """Where the sockets are bound, ports resolved."""
        return Endpoints(*(s.get_string(zmq.LAST_ENDPOINT) for s in (self.control, self.events, self.frames)))

    def receive(self, most: int) -> Iterator[tuple[Peer, Sequence[bytes]]]:
        """Yield up to `most` control messages that wait: who sent them, and their frames."""
        for _ in range(most):
            try:
                routing, *frames = self.control.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            delimited = bool(frames) and frames[0] == b""
            yield Peer(routing, delimited), frames[1:] if delimited else frames

    def reply(self, peer: Peer, payload: bytes, pixels: Any = None) -> None:  # noqa: ANN401 - any buffer
        """Send a reply. A client that has gone, or does not read, loses it."""
        frames = [peer.routing, b"", payload] if peer.delimited else [peer.routing, payload]
        try:
            if pixels is None:
                self.control.send_multipart(frames, zmq.NOBLOCK)
            else:
                self.control.send_multipart([*frames, pixels], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError:
            return

    def publish(self, topic: str, payload: bytes) -> None:
        """Send an event."""
        self.events.send_multipart([topic.encode(), payload], zmq.NOBLOCK)

    def publish_frame(self, topic: str, payload: bytes, pixels: Any) -> None:  # noqa: ANN401 - any buffer
        """Send a picture to those who subscribed to it."""
        self.frames.send_multipart([topic.encode(), payload, pixels], zmq.NOBLOCK, copy=False)

    def wants_frames(self, topic: str) -> bool:
        """Whether anybody subscribed to pictures of this topic."""
        name = topic.encode()
        return any(name.startswith(prefix) for prefix in self._frame_topics)

    def hear_subscriptions(self, socket: zmq.Socket[bytes], most: int) -> None:
        """Read what subscribers sent; anything but a subscription is dropped."""
        for _ in range(most):
            try:
                first, *_ = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if socket is self.frames and first[:1] == b"\x01":
                self._frame_topics.add(first[1:])
            elif socket is self.frames and first[:1] == b"\x00":
                self._frame_topics.discard(first[1:])

    def close(self) -> None:
        """Close all three; what was sent goes out for a moment yet."""
        for socket in (self.control, self.events, self.frames):
            socket.close()


__all__ = ["CONTROL_BYTES", "SUBSCRIBE_BYTES", "AddressInUseError", "Endpoints", "Sockets"]
