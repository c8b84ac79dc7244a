"""The way from any thread into the loop: a queue that wakes the poller."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import zmq

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Clock

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items from many threads to one loop, in the order of posting.

    Parameters
    ----------
    context
        Shared by both ends.
    clock
        Monotonic nanoseconds: each item is stamped when it is posted.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], clock: Clock) -> None:
        self._clock = clock
        self._items: deque[tuple[int, T]] = deque()
        # A ZeroMQ socket may serve several threads one after the other: the lock hands it over.
        self._lock = threading.Lock()
        self._closed = False
        self._rung = False
        address = f"inproc://mailbox-{id(self)}"
        self.wake: zmq.Socket[bytes] = context.socket(zmq.PULL)
        """Readable when something was posted; for the loop's poller."""
        self.wake.bind(address)
        self._bell: zmq.Socket[bytes] = context.socket(zmq.PUSH)
        self._bell.connect(address)

    def post(self, item: T) -> None:
        """Add an item and wake the loop. Any thread; never waits. After `close`: does nothing."""
        with self._lock:
            if self._closed:
                return
            self._items.append((self._clock(), item))
            if not self._rung:
                self._bell.send(b"", zmq.NOBLOCK)
                self._rung = True

    def take(self, most: int) -> list[tuple[int, T]]:
        """Take up to `most` items with the times of their posting. The loop's thread only."""
        with self._lock:
            if self._rung:
                # The one bell that can be there: each call on a socket lets another thread have the interpreter.
                with suppress(zmq.Again):
                    self.wake.recv(zmq.NOBLOCK)
                    self._rung = False
            return [self._items.popleft() for _ in range(min(most, len(self._items)))]

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._items)

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._closed = True
            self._bell.close(linger=0)
            self.wake.close(linger=0)


__all__ = ["Mailbox"]
