"""Answers of a busy daemon: round trips of ``ping``, and what ``stop`` does."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from _wire import Wire

if TYPE_CHECKING:
    import threading


def pings(control: str, seconds: float) -> list[float]:
    """Return round trips in ms, asked at irregular moments."""
    trips = []
    dice = random.Random(1)
    with Wire(control) as wire:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(dice.uniform(0.001, 0.015))
            began = time.perf_counter_ns()
            wire.ask("ping")
            trips.append((time.perf_counter_ns() - began) / 1e6)
    return trips


def snap_for_ever(control: str, ending: threading.Event, count: list[int]) -> None:
    """Snap, one frame after the other."""
    with Wire(control) as wire:
        while not ending.is_set():
            wire.finish("camera.snap")
            count[0] += 1


@dataclass
class Stops:
    """What was seen of some stops."""

    issued_ms: list[float] = field(default_factory=list)
    reply_ms: list[float] = field(default_factory=list)
    still_ms: list[float] = field(default_factory=list)
    moving: int = 0
    failed: int = 0


def stop_once(wire: Wire, watcher: Wire, task: str, stops: Stops) -> None:
    """Stop, and look from outside when the stage rests: its read-back has its last value from then on."""
    before = [float(watcher.ask("stage.position")["z_um"])]
    time.sleep(0.012)
    before.append(float(watcher.ask("stage.position")["z_um"]))
    stops.moving += before[0] != before[1]
    began = time.perf_counter_ns()
    reply = wire.ask("stop")
    stops.reply_ms.append((time.perf_counter_ns() - began) / 1e6)
    stops.issued_ms.append(float("inf") if reply["issue_ms"] is None else float(reply["issue_ms"]))
    seen: list[tuple[float, float]] = []
    while not seen or seen[-1][0] < 200:
        z_um = float(watcher.ask("stage.position")["z_um"])
        seen.append(((time.perf_counter_ns() - began) / 1e6, z_um))
    still_ms = next(at for at, z_um in seen if z_um == seen[-1][1])
    stops.still_ms.append(still_ms)
    state = wire.ask("task.get", task=task, wait_ms=2_000)["task"]["state"]
    stops.failed += state != "cancelled"
    wire.ask("resume")
