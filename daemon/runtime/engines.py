"""The engine threads: they measure frames, newest first come, asked-for ones before all others."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from microscoped.daemon.core.inputs import FrameSkipped, MeasureEnded
from microscoped.daemon.protocol import ErrorBody, ErrorCode, dumps
from microscoped.daemon.protocol.events import PartData
from microscoped.daemon.runtime.process_engine import ProcessEngine
from microscoped.models import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from microscoped.drivers.protocols import Clock, Pixels
    from microscoped.models import Engine, Part


@dataclass(frozen=True, slots=True)
class _Job:
    engine: str
    frames: tuple[str, ...]
    pixels: tuple[Pixels, ...]
    options: Mapping[str, Any]
    asked_ns: int
    request: str | None = None


@dataclass(frozen=True, slots=True)
class MeasuredWithParts:
    """A measurement, and the binary parts that do not go into the reducer."""

    ended: MeasureEnded
    parts: tuple[bytes, ...]


class EngineThread:
    """Runs engines on a thread of its own.

    Parameters
    ----------
    engines
        The engines; measured by turns.
    post
        Hears `MeasureEnded` (within `MeasuredWithParts` where there are binary parts) and `FrameSkipped`, on this
        thread or on the caller's.
    clock
        Monotonic nanoseconds.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        post: Callable[[MeasureEnded | MeasuredWithParts | FrameSkipped], None],
        clock: Clock,
    ) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._post = post
        self._clock = clock
        self._requests: deque[_Job] = deque()
        self._offers: dict[str, _Job] = {}
        self._wake = threading.Condition()
        self._closing = False
        self._measuring = False
        self._thread = threading.Thread(target=self._run, name="engines", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def measure(self, request: str, engine: str, frames: Mapping[str, Pixels], options: Mapping[str, Any]) -> None:
        """Measure these very frames, given in the order of exposure, before all that is offered."""
        with self._wake:
            job = _Job(engine, tuple(frames), tuple(frames.values()), options, self._clock(), request)
            self._requests.append(job)
            self._wake.notify()

    def offer(self, engine: str, frame: str, pixels: Pixels, options: Mapping[str, Any]) -> None:
        """Offer a frame: the engine measures the newest one when it is free, and skips those overwritten."""
        with self._wake:
            # An engine whose frame is overwritten keeps its turn: else fast engines would starve slow ones.
            old = self._offers.get(engine)
            self._offers[engine] = _Job(engine, (frame,), (pixels,), options, self._clock())
            self._wake.notify()
        if old is not None:
            self._post(FrameSkipped(engine, old.frames[-1]))

    def waiting(self) -> int:
        """How many frames wait."""
        return len(self._requests) + len(self._offers)

    def unfinished(self) -> int:
        """How many frames wait or are being measured."""
        return self.waiting() + self._measuring

    def close(self, timeout_s: float) -> bool:
        """End the thread; return whether it ended in time."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _next(self) -> _Job | None:
        with self._wake:
            while not (self._requests or self._offers or self._closing):
                self._wake.wait()
            if self._closing:
                return None
            self._measuring = True
            if self._requests:
                return self._requests.popleft()
            return self._offers.pop(next(iter(self._offers)))

    def _run(self) -> None:
        while (job := self._next()) is not None:
            values: Mapping[str, Any] | None = None
            parts: tuple[Part, ...] = ()
            error: ErrorBody | None = None
            try:
                measured = self._engines[job.engine].measure(job.pixels, job.options)
                told = measured if isinstance(measured, Measurement) else Measurement(measured)
                # What cannot go over the wire (NaN above all) is this engine's fault, here and now.
                values, parts = from_json(dumps(told.values)), told.parts
            except ValueError as problem:
                error = ErrorBody.of(ErrorCode.INVALID, f"{job.engine}: {problem}")
            except Exception as problem:  # noqa: BLE001 - one engine's fault is reported and must not end the others
                error = ErrorBody.of(ErrorCode.FAULT_ENGINE, f"{job.engine}: {type(problem).__name__}: {problem}")
            latency_ms = (self._clock() - job.asked_ns) / 1e6
            *earlier, frame = job.frames
            heads = tuple(PartData(name=p.name, content_type=p.content_type, size_bytes=len(p.data)) for p in parts)
            ended = MeasureEnded(job.engine, frame, job.request, values, latency_ms, error, tuple(earlier), heads)
            self._measuring = False
            self._post(MeasuredWithParts(ended, tuple(p.data for p in parts)) if parts else ended)


class EngineThreads:
    """All engines: those in processes of their own each with a thread that waits for it, the others on one thread.

    Parameters
    ----------
    engines, post, clock
        As of `EngineThread`.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        post: Callable[[MeasureEnded | MeasuredWithParts | FrameSkipped], None],
        clock: Clock,
    ) -> None:
        self._apart = [engine for engine in engines if isinstance(engine, ProcessEngine)]
        self._common = EngineThread([one for one in engines if one not in self._apart], post, clock)
        self._own = {engine.name: EngineThread([engine], post, clock) for engine in self._apart}

    def start(self) -> None:
        """Start processes and threads."""
        for engine in self._apart:
            engine.start()
        for thread in self._all():
            thread.start()

    def measure(self, request: str, engine: str, frames: Mapping[str, Pixels], options: Mapping[str, Any]) -> None:
        """As `EngineThread.measure`."""
        self._own.get(engine, self._common).measure(request, engine, frames, options)

    def offer(self, engine: str, frame: str, pixels: Pixels, options: Mapping[str, Any]) -> None:
        """As `EngineThread.offer`."""
        self._own.get(engine, self._common).offer(engine, frame, pixels, options)

    def queues(self) -> dict[str, int]:
        """How many frames wait: ``engines``; and ``engines.NAME`` of one that has a process, with the one in work."""
        apart = {f"engines.{name}": thread.unfinished() for name, thread in self._own.items()}
        return {"engines": self._common.waiting(), **apart}

    def close(self, timeout_s: float) -> bool:
        """End threads and processes; return whether the threads ended in time."""
        for engine in self._apart:
            engine.kill()
        ended = [thread.close(timeout_s) for thread in self._all()]
        if all(ended):
            for engine in self._apart:
                engine.close()
        return all(ended)

    def _all(self) -> tuple[EngineThread, ...]:
        return (self._common, *self._own.values())


__all__ = ["EngineThread", "EngineThreads", "MeasuredWithParts"]
