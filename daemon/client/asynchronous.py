"""The client for programs with an asyncio loop: the blocking one on threads of its own.

Threads, because ZeroMQ's own asyncio sockets do not work on the default loop of Windows.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from microscoped.daemon.client.scope import DEFAULT_ADDRESS, Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from types import TracebackType

    from pydantic import JsonValue

    from microscoped.daemon.client.scope import Frame
    from microscoped.daemon.client.subscription import Subscription
    from microscoped.daemon.client.tables import Tables
    from microscoped.daemon.protocol import Event

P = ParamSpec("P")
T = TypeVar("T")
TURN_S = 0.2
"""A subscription looks so often whether it is still wanted."""


class AsyncScope:
    """A microscope, seen through its daemon, for asyncio. Use it in an ``async with`` statement.

    Requests go one after the other; each subscription has a connection of its own. Parameters and errors are those of
    `Scope`.

    Examples
    --------
    >>> from microscoped.daemon.client import AsyncScope, Scope
    >>> async def main() -> None:
    ...     async with AsyncScope() as scope:
    ...         report = await scope.do(Scope.focus, method="search")
    ...         async for decision in scope.events("v1.decision."):
    ...             print(decision.data)
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, timeout_s: float = 5.0, *, key: str | Path | None = None
    ) -> None:
        self._open = partial(Scope, address, timeout_s, key=key)
        self._thread = ThreadPoolExecutor(1, "scope")
        self._scope: Scope | None = None

    async def __aenter__(self) -> Self:
        self._scope = await _on(self._thread, self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        scope, self._scope = self._scope, None
        if scope is not None:
            await _on(self._thread, scope.close)
            self._thread.shutdown()

    async def do(self, method: Callable[Concatenate[Scope, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of `Scope` and return what it returns: ``await scope.do(Scope.move, 3.0)``.

        Raises
        ------
        RuntimeError
            It is not open, or closed.
        ClientError
            As the method does.
        """
        if self._scope is None:
            raise RuntimeError("this scope is not open: use it inside 'async with AsyncScope(…) as scope:'")
        return await _on(self._thread, partial(method, self._scope, *args, **kwargs))

    async def request(
        self,
        op: str,
        *,
        wait_s: float = 0.0,
        deadline_ms: float | None = None,
        dry_run: bool = False,
        **params: JsonValue,
    ) -> dict[str, Any]:
        """Send one request and return its result; see `Scope.request`."""
        return await self.do(
            lambda scope: scope.request(op, wait_s=wait_s, deadline_ms=deadline_ms, dry_run=dry_run, **params)
        )

    def events(self, *topics: str, timeout_s: float | None = None) -> AsyncIterator[Event]:
        """Subscribe, and return an iterator of events; see `Scope.events`. It is live from its first turn on."""
        return self._heard(lambda scope: scope.events(*topics, timeout_s=TURN_S), timeout_s)

    def frames(self, camera: str = "", *, timeout_s: float | None = None) -> AsyncIterator[Frame]:
        """Subscribe, and return an iterator of frames; see `Scope.frames`."""
        return self._heard(lambda scope: scope.frames(camera, timeout_s=TURN_S), timeout_s)

    def tables(self, engine: str = "cells", *, timeout_s: float | None = None) -> AsyncIterator[Tables]:
        """Subscribe, and return an iterator of tables; see `Scope.tables`."""
        return self._heard(lambda scope: scope.tables(engine, timeout_s=TURN_S), timeout_s)

    async def _heard(self, subscribe: Callable[[Scope], Subscription[T]], timeout_s: float | None) -> AsyncIterator[T]:
        loop = asyncio.get_running_loop()
        async with _connection(self._open) as (thread, scope):
            subscription = await _on(thread, partial(subscribe, scope))
            last = loop.time()
            while timeout_s is None or loop.time() - last < timeout_s:
                for item in await _on(thread, partial(_next, subscription)):
                    last = loop.time()
                    yield item


@asynccontextmanager
async def _connection(connect: Callable[[], Scope]) -> AsyncIterator[tuple[ThreadPoolExecutor, Scope]]:
    thread = ThreadPoolExecutor(1, "subscription")
    try:
        scope = await _on(thread, connect)
        try:
            yield thread, scope
        finally:
            await _on(thread, scope.close)
    finally:
        thread.shutdown(wait=False)


async def _on(thread: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    """Await a function on a thread, to its end even where the wait is cancelled: sockets belong to one thread."""
    return await asyncio.get_running_loop().run_in_executor(thread, function)


def _next(subscription: Subscription[T]) -> tuple[T, ...]:
    """The next item, or nothing if none came for a moment."""
    for item in subscription:
        return (item,)
    return ()


__all__ = ["AsyncScope"]
