"""The three sockets of the protocol: ``control``, ``events``, ``frames``."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import zmq

from microscoped.daemon.core.inputs import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from microscoped.daemon.runtime.gate import Gate

CONTROL_BYTES = 1_000_000
SUBSCRIBE_BYTES = 4_096
EVENTS_HIGH_WATER = 10_000
"""Events kept for a slow subscriber; beyond it ZeroMQ drops them, which the subscriber sees by the gap in ``seq``."""
FRAMES_HIGH_WATER = 4
"""Pictures and tables kept for a slow subscriber: it loses some, and nobody else does."""
CONTROL_HIGH_WATER = 1_000
LINGER_MS = 200

log = logging.getLogger("microscoped")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the sockets are bound, for example ``tcp://127.0.0.1:5770``; port ``*`` takes a free one.

    The host ``0.0.0.0`` or ``[::]`` stands for all addresses of this computer.
    """

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
    gate
        Encrypts, and lets only those in whom it knows; closed with the sockets.

    Raises
    ------
    AddressInUseError
        Naming the endpoint and the remedy.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoints: Endpoints, gate: Gate | None = None) -> None:
        self.gate = gate
        self.control: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.events: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self.frames: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self._frame_topics: set[bytes] = set()
        self._bound: dict[str, str] = {}
        self._unbound: list[str] = []
        plan = (
            ("control", self.control, endpoints.control, CONTROL_BYTES, CONTROL_HIGH_WATER),
            ("events", self.events, endpoints.events, SUBSCRIBE_BYTES, EVENTS_HIGH_WATER),
            ("frames", self.frames, endpoints.frames, SUBSCRIBE_BYTES, FRAMES_HIGH_WATER),
        )
        for name, socket, endpoint, size, high_water in plan:
            socket.setsockopt(zmq.MAXMSGSIZE, size)
            socket.setsockopt(zmq.SNDHWM, high_water)
            socket.setsockopt(zmq.LINGER, LINGER_MS)
            socket.setsockopt(zmq.IPV6, int("[" in endpoint))
            if gate is not None:
                gate.guard(socket, name)
            try:
                socket.bind(endpoint)
            except zmq.ZMQError as error:
                self.close()
                raise AddressInUseError(
                    f"cannot bind {endpoint}: {error.strerror}; is another daemon running? End it with "
                    "'microscoped send shutdown', or choose other ports under network in the configuration"
                ) from error
            self._bound[name] = socket.get_string(zmq.LAST_ENDPOINT)

    def endpoints(self) -> Endpoints:
        """Where the sockets are bound, ports resolved."""
        return Endpoints(**self._bound)

    def receive(self, most: int) -> Iterator[tuple[Peer, Sequence[bytes]]]:
        """Yield up to `most` control messages that wait: who sent them, and their frames."""
        for _ in range(most):
            try:
                message = self.control.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            routing, *frames = (frame.bytes for frame in message)
            delimited = bool(frames) and frames[0] == b""
            peer = Peer(routing, delimited)
            if self.gate is not None:
                user, scope = self.gate.who(message[-1])
                peer = replace(peer, user=user, scope=scope)
            yield peer, frames[1:] if delimited else frames

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

    def publish_with(self, topic: str, payload: bytes, parts: Sequence[Any]) -> None:
        """Send a picture, or a measurement with its binary parts, to those who subscribed to it on ``frames``."""
        self.frames.send_multipart([topic.encode(), payload, *parts], zmq.NOBLOCK, copy=False)

    def wants_frames(self, topic: str) -> bool:
        """Whether anybody subscribed to this topic on ``frames``."""
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

    def drop_revoked(self) -> list[str]:
        """Send subscribers away whose keys have been revoked; return whose keys that were.

        ZeroMQ cannot close one connection of a publisher. Therefore all subscribers of the socket lose theirs; those
        whose keys are good come back by themselves, and see by the gap in ``seq`` what they missed. The socket is bound
        anew in this turn or, where the system holds the port for a moment, in one of the next.
        """
        users: list[str] = []
        if self.gate is not None:
            for name in sorted(self.gate.take_gone() - {"control"} - set(self._unbound)):  # control asks each message
                getattr(self, name).unbind(self._bound[name])
                self._unbound.append(name)
                log.warning("all subscribers of %s were sent away, because one's key was revoked", name)
            users = self.gate.take_revoked()
        for name in list(self._unbound):
            try:
                getattr(self, name).bind(self._bound[name])
            except zmq.ZMQError:
                continue  # the port is not free again yet
            self._unbound.remove(name)
        return users

    def close(self) -> None:
        """Close all of them; what was sent goes out for a moment yet."""
        for socket in (self.control, self.events, self.frames):
            socket.close()
        if self.gate is not None:
            self.gate.close()


__all__ = ["CONTROL_BYTES", "SUBSCRIBE_BYTES", "AddressInUseError", "Endpoints", "Sockets"]
