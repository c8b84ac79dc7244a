"""Events with their gaps repaired: what a slow reader or a broken connection has missed is asked for."""

from __future__ import annotations

import time
import uuid
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from microscoped.daemon.client.errors import ClientError
from microscoped.daemon.client.reading import read_event
from microscoped.daemon.client.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microscoped.daemon.protocol import Event

LOOK_S = 1.0
"""How often the connection is looked at while nothing comes."""
WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Events(Subscription["Event"]):
    """An iterator of events, each once and in the order of its topic.

    A gap in a topic's numbers is closed by ``events.since``: the daemon keeps decisions, states, tasks and alarms. A
    connection that breaks is made again, to a daemon that was started anew on another port, too; what was missed
    meanwhile comes first. It asks its scope, so it is of the scope's thread.

    Parameters
    ----------
    socket
        Subscribed and connected.
    ask
        Sends a request and returns its result; see `Scope.request`.
    endpoint
        Returns where events are published; with ``anew=True`` it asks for it.
    topics
        Prefixes that are subscribed to.
    timeout_s
        End after so long without an event; ``None`` for never.

    Attributes
    ----------
    lost, repaired
        Events that were missed: those that the daemon did not keep, and those that it did.
    session
        Of the newest event; it changes when the daemon is started anew.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        ask: Callable[..., dict[str, Any]],
        endpoint: Callable[..., str],
        topics: Sequence[str],
        timeout_s: float | None,
    ) -> None:
        self._monitor = _watched(socket)
        super().__init__(socket, lambda message: read_event(message[1]), timeout_s)
        self.lost = self.repaired = 0
        self._ask, self._endpoint, self._topics = ask, endpoint, [*topics]
        self._connected = endpoint()
        self._away = False
        self._ready: deque[Event] = deque()
        self._not_kept: set[str] = set()
        joined = ask("snapshot", topics=self._topics)
        self.session: str = joined["session"]
        self._seen: dict[str, int] = {value["topic"]: value["seq"] for value in joined["topics"]}

    def __next__(self) -> Event:
        until = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while not self._ready:
            if self._socket.closed:
                raise StopIteration
            left_s = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            if self._socket.poll(max(0, int(1000 * left_s))):
                self._take(self._read(self._socket.recv_multipart()))
            elif until is not None and time.monotonic() >= until:
                raise StopIteration
            else:
                self._look()
        return self._ready.popleft()

    def close(self) -> None:
        """End the subscription. Idempotent."""
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._monitor.close(linger=0)
        super().close()

    def _take(self, event: Event) -> None:
        session = str(event.session)
        if session != self.session:
            self.session, self._seen = session, {}
        last = self._seen.get(event.topic, 0)
        if event.seq <= last:
            return
        if event.seq > last + 1:
            self._repair(event.topic, last, event.seq)
        self._seen[event.topic] = event.seq
        self._ready.append(event)

    def _repair(self, topic: str, last: int, before: int) -> None:
        """Ask for the events of a topic between two numbers."""
        more = topic not in self._not_kept
        while more and last + 1 < before:
            try:
                told = self._ask("events.since", topic=topic, seq=last)
            except ClientError:
                self._not_kept.add(topic)
                break
            for raw in told["events"]:
                if last < raw["seq"] < before:
                    self._ready.append(read_event(raw))
                    self.repaired += 1
                    last = raw["seq"]
            more = told["more"]
        self.lost += before - last - 1

    def _look(self) -> None:
        """See whether the connection was broken, or was made again."""
        while self._monitor.poll(0):
            self._away = recv_monitor_message(self._monitor)["event"] == zmq.EVENT_DISCONNECTED
            if not self._away:
                self._catch_up()
        if self._away:
            with suppress(ClientError):  # no daemon is there; ZeroMQ goes on trying where it was
                now = self._endpoint(anew=True)
                if now != self._connected:
                    self._socket.disconnect(self._connected)
                    self._socket.connect(now)
                    self._connected = now

    def _catch_up(self) -> None:
        """Have what was missed while the connection was broken, of topics where nothing has happened since, too."""
        try:
            now = self._ask("snapshot", topics=self._topics)
        except ClientError:
            return
        if now["session"] != self.session:
            self.session, self._seen = now["session"], {}
            self._not_kept.clear()
        for value in now["topics"]:
            topic, newest = value["topic"], value["seq"]
            last = self._seen.get(topic, 0)
            if newest > last:
                self._repair(topic, last, newest + 1)
                self._seen[topic] = newest


def _watched(socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    """Return a socket that hears of the connections of another one.

    Under a name of its own: the one that ``get_monitor_socket`` makes of the file descriptor may still be taken.
    """
    name = f"inproc://watched-{uuid.uuid4()}"
    socket.monitor(name, WATCHED)
    monitor: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
    monitor.setsockopt(zmq.LINGER, 0)
    monitor.connect(name)
    return monitor


__all__ = ["Events"]
