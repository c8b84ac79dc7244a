"""The client for asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.client import AsyncScope, RequestFailedError, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Rig

    Start = Callable[..., Rig]


def test_requests_and_events_go_on_beside_each_other(start_rig: Start) -> None:
    rig = start_rig()

    async def main() -> tuple[list[str], float, tuple[int, ...]]:
        states: list[str] = []
        live = asyncio.Event()

        async def listen(scope: AsyncScope) -> None:
            async for event in scope.events("v1.task.", "v1.heartbeat.", timeout_s=20):
                live.set()
                if event.topic.startswith("v1.task."):
                    states.append(str(event.data["state"]))
                if "done" in states:
                    return

        async with AsyncScope(rig.scope.address) as scope:
            listening = asyncio.create_task(listen(scope))
            await live.wait()
            await scope.do(Scope.move, 1.5, relative=True)
            await listening
            _, pixels = await scope.do(Scope.snap)
            return states, (await scope.request("stage.position"))["z_um"], pixels.shape

    states, z_um, shape = asyncio.run(main())
    assert states[-1] == "done"
    assert z_um == pytest.approx(rig.scope.position())
    assert len(shape) == 2


def test_frames_come_and_a_listener_that_is_cancelled_leaves_nothing_behind(start_rig: Start) -> None:
    rig = start_rig()

    async def main() -> int:
        async with AsyncScope(rig.scope.address) as scope:
            await scope.request("camera.start")
            seen = 0
            async for header, pixels in scope.frames(timeout_s=20):
                assert list(pixels.shape) == header["shape"]
                seen += 1
                if seen == 3:
                    break
            silent = asyncio.create_task(anext(aiter(scope.events("v1.alarm."))))
            await asyncio.sleep(0.5)
            silent.cancel()
            with pytest.raises(asyncio.CancelledError):
                await silent
            return seen

    assert asyncio.run(main()) == 3


def test_refusals_and_a_closed_scope_are_told(start_rig: Start) -> None:
    rig = start_rig()

    async def main() -> None:
        async with AsyncScope(rig.scope.address) as scope:
            with pytest.raises(RequestFailedError, match=r"limit\.z"):
                await scope.do(Scope.move, 1e6)
        with pytest.raises(RuntimeError, match="async with AsyncScope"):
            await scope.request("status")

    asyncio.run(main())
