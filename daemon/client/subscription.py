"""A subscription: live from the moment it exists, an iterator of what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import zmq

T = TypeVar("T")


class Subscription(Generic[T]):
    """An iterator of events or frames; close it, or use it in a ``with`` statement, when enough is heard.

    Parameters
    ----------
    socket
        Subscribed and connected.
    read
        Makes an item of a message's frames.
    timeout_s
        End after so long without a message; ``None`` for never.
    """

    def __init__(self, socket: zmq.Socket[bytes], read: Callable[[list[bytes]], T], timeout_s: float | None) -> None:
        self._socket = socket
        self._read = read
        self._timeout_s = timeout_s

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._socket.closed:
            raise StopIteration
        if self._timeout_s is not None and not self._socket.poll(int(1000 * self._timeout_s)):
            raise StopIteration
        return self._read(self._socket.recv_multipart())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription. Idempotent."""
        self._socket.close(linger=0)


__all__ = ["Subscription"]
