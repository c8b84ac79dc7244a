"""Whose turn it is on the engine thread."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from microscoped.daemon.core.inputs import FrameSkipped, MeasureEnded
from microscoped.daemon.runtime.engines import EngineThread, MeasuredWithParts
from microscoped.models import Measurement, Part


class Named:
    frames = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def measure(self, frames: Any, options: Any) -> dict[str, Any]:  # noqa: ANN401 - an Engine's
        return {"mean": float(np.mean(frames[0])), **options}


class WithParts(Named):
    def measure(self, frames: Any, options: Any) -> Any:  # noqa: ANN401 - an Engine's
        if options.get("fails"):
            return Measurement({"mean": float("nan")}, (Part("table", "text/plain", b"lost"),))
        return Measurement({"mean": 1.0}, (Part("table", "text/plain", b"abc"), Part("none", "text/plain", b"")))


def heard_of(engine: Named, options: dict[str, Any]) -> MeasureEnded | MeasuredWithParts | FrameSkipped:
    heard: list[MeasureEnded | MeasuredWithParts | FrameSkipped] = []
    done = threading.Event()
    thread = EngineThread([engine], lambda one: (heard.append(one), done.set()), time.perf_counter_ns)  # type: ignore[arg-type, func-returns-value] # two calls
    thread.start()
    thread.measure("request", engine.name, {"frame-1": np.zeros((2, 2), np.uint8)}, options)
    assert done.wait(10)
    assert thread.close(10)
    return heard[0]


def test_binary_parts_come_beside_the_input_which_only_describes_them() -> None:
    heard = heard_of(WithParts("one"), {})
    assert isinstance(heard, MeasuredWithParts)
    assert heard.parts == (b"abc", b"")
    told = [(part.name, part.content_type, part.size_bytes) for part in heard.ended.parts]
    assert told == [("table", "text/plain", 3), ("none", "text/plain", 0)]
    assert heard.ended.values == {"mean": 1.0}


@pytest.mark.parametrize(("engine", "options"), [(WithParts("one"), {"fails": True}), (Named("one"), {})])
def test_without_parts_or_with_an_error_the_input_comes_alone(engine: Named, options: dict[str, Any]) -> None:
    heard = heard_of(engine, options)
    assert isinstance(heard, MeasureEnded)
    assert heard.parts == ()
    assert (heard.error is None) == (not options)


def test_a_fast_engine_does_not_starve_a_slow_one() -> None:
    heard: list[MeasureEnded | MeasuredWithParts | FrameSkipped] = []
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
