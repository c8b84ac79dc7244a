"""Whose turn it is on the engine thread."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from microscoped.daemon.core.inputs import FrameSkipped, MeasureEnded
from microscoped.daemon.runtime.engines import EngineThread


class Named:
    frames = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def measure(self, frames: Any, options: Any) -> dict[str, Any]:  # noqa: ANN401 - an Engine's
        return {"mean": float(np.mean(frames[0])), **options}


def test_a_fast_engine_does_not_starve_a_slow_one() -> None:
    heard: list[MeasureEnded | FrameSkipped] = []
    thread = EngineThread([Named("fast"), Named("slow")], heard.append, time.perf_counter_ns)
    turns = []
    for number in range(6):
        # Frames come faster than either engine measures: both have a new one whenever one is done.
        for engine in ("fast", "slow"):
            thread.offer(engine, f"frame-{number}", np.zeros((2, 2), np.uint8), {})
        job = thread._next()
        assert job is not None
        turns.append((job.engine, job.frames))
    assert turns == [
        ("fast", ("frame-0",)),
        ("slow", ("frame-1",)),
        ("fast", ("frame-2",)),
        ("slow", ("frame-3",)),
        ("fast", ("frame-4",)),
        ("slow", ("frame-5",)),
    ]
    skipped = [one.frame for one in heard if isinstance(one, FrameSkipped) and one.engine == "slow"]
    assert skipped == ["frame-0", "frame-2", "frame-4"]


def test_what_was_asked_for_goes_before_what_is_offered() -> None:
    thread = EngineThread([Named("fast"), Named("slow")], lambda _: None, time.perf_counter_ns)
    frame = np.zeros((2, 2), np.uint8)
    thread.offer("fast", "frame-1", frame, {})
    thread.measure("request", "slow", {"frame-0": frame}, {})
    job = thread._next()
    assert job is not None
    assert (job.engine, job.request) == ("slow", "request")
