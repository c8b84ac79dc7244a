"""A short life of the reducer, and journals of it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.config import Config
from microscoped.daemon.core import Now, Peer, State, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.protocol import ErrorBody, Request
from microscoped.daemon.record import Facts, Journal
from microscoped.daemon.settings import core_settings
from microscoped.drivers import CameraInfo, CameraSettings, FocusDirection
from microscoped.drivers.motion import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microscoped.daemon.core import Effect, Input

    Life = list[tuple[Input, Now, tuple[Effect, ...], State]]

CONFIG = {
    "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.325},
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
}
FACTS = Facts("0.1", "1.0", {"stage": {"limits_um": [-20, 20]}})
PEER = Peer(b"\x00\xff client")


class World:
    """A reducer whose life is kept."""

    def __init__(self) -> None:
        settings = core_settings(Config.model_validate(CONFIG), {})
        self.start = self.state = State(settings=settings, session=str(uuid.UUID(int=1)), began_ns=0)
        self.life: Life = []

    def hear(self, heard: Input) -> tuple[Effect, ...]:
        number = len(self.life) + 1
        now = Now(number, number * 1_000_000, f"2026-01-01T00:00:{number % 60:02d}.000000+00:00")
        self.state, effects = step(self.state, heard, now)
        self.life.append((heard, now, effects, self.state))
        return effects

    def ask(self, op: str, **params: object) -> tuple[Effect, ...]:
        number = uuid.UUID(int=len(self.life))
        request = Request.model_validate({"v": "1.0", "id": number, "type": "request", "op": op, "params": params})
        return self.hear(heard_of.RequestReceived(PEER, request))


@pytest.fixture(scope="session")
def world() -> World:
    """Opens, moves, focuses, fails, stops: tasks under way, waits, leases, alarms in the state on the way."""
    world = World()
    info = CameraInfo("Camera", 64, 64, 1, "uint16", 12)
    world.ask("hello")
    world.hear(
        heard_of.HardwareOpened(
            info, CameraSettings(exposure_ms=10.0), "Z", 0, FocusDirection.TOWARD_SAMPLE, {"path": "C:\\µ\udc80"}
        )
    )
    for op, params in (
        ("stage.move", {"z_um": 3}),
        ("snapshot", {}),
        ("focus.run", {}),
        ("nonsense", {"half": ["µ", 10**30, 1e-300, -0.0, None]}),
        ("task.list", {}),
        ("frame.get", {"wait_ms": 50}),
        ("camera.snap", {}),
    ):
        effects = world.ask(op, **params)
        commands = [effect.command.id for effect in effects if isinstance(effect, to_do.Submit)]
        world.hear(heard_of.HeartbeatDue({"p50": 0.1, "p99": 0.5, "max": 1.0}, {"loop": 0}))
        for command in commands:
            world.hear(heard_of.CommandEnded(command, Arrival(3.0, 3, True, 2, 4.0, 30.0, 5)))
    world.hear(heard_of.StreamDied(ErrorBody.of("fault.camera", "gone")))
    world.hear(heard_of.MeasureEnded("sharpness", "frame-1", None, {"score": 0.5, "roi": [1, 2]}, 3.0))
    world.hear(heard_of.JournalEnded("a test", {}))
    for number in range(40):
        world.hear(heard_of.HeartbeatDue({"p50": 0.1, "p99": 0.5, "max": float(number)}, {"loop": number}))
    world.ask("stop")
    world.hear(heard_of.ShutdownWanted("the end"))
    return world


@pytest.fixture
def write(world: World, tmp_path: Path) -> Callable[..., Journal]:
    """Writes the life into a journal."""

    def written(*, rotate_bytes: int = 10**9, keep: int | None = None, ended: bool = True, first: int = -1) -> Journal:
        journal = Journal(tmp_path, FACTS, world.start, rotate_bytes=rotate_bytes, keep=keep)
        journal.add(world.life[:first] if first >= 0 else world.life)
        if ended:
            journal.end("closed")
        return journal

    return written
