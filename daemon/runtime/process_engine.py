"""An engine in a process of its own: what takes seconds to minutes takes nothing from the loop and other engines.

The process is spawned, not forked: it shares no thread, lock or driver with the daemon. Two pipes lead to it and back;
frames go through them as they are. When the daemon dies, in whatever way, its end of the pipe closes, and the process
ends at once.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from logging.handlers import QueueHandler
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from microscoped.daemon.heap import keep_pages
from microscoped.daemon.runtime.errors import EngineProcessError
from microscoped.models import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from numpy.typing import NDArray

    from microscoped.models import Engine

log = logging.getLogger("microscoped")

MOST_DEATHS: Final = 3
"""A process that ends so often in a row, without a measurement between, is not started again."""
END_S: Final = 5.0
"""How long a killed process may take to be gone."""
POLITE: Final = 5
"""Its niceness, at least: the loop, the driver and other engines come first."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """The frames or an option do not suit the engine."""

    detail: str


@dataclass(frozen=True, slots=True)
class _Failed:
    """The engine cannot be built, or failed."""

    detail: str


@dataclass(frozen=True, slots=True)
class _Child:
    """A process that runs, and our ends of its pipes."""

    process: SpawnProcess
    to: Connection
    back: Connection


class ProcessEngine:
    """Has an engine measure in a process of its own; satisfies `microscoped.models.Engine`.

    The process starts with `start` or else with the first frame, and again with the next frame after it died. `measure`
    is called by one thread, which waits; `kill` by any.

    Parameters
    ----------
    name, frames
        Those of the engine.
    build
        Makes the engine, in the process, from the number of processes that there were before: a function of a module,
        with what else it is called with bound by `functools.partial`; all of it can be pickled.
    hung_s
        A process that takes longer for a frame is ended.
    """

    def __init__(self, name: str, frames: int, build: Callable[[int], Engine], hung_s: float = 1_800.0) -> None:
        self.name = name
        self.frames = frames
        self._build = build
        self._hung_s = hung_s
        self._child: _Child | None = None
        self._guard = threading.Lock()
        self._closing = False
        self._deaths = 0
        self._lives = 0

    @property
    def pid(self) -> int | None:
        """Number of the process; ``None`` while there is none."""
        child = self._child
        return None if child is None else child.process.pid

    def start(self) -> None:
        """Start the process, and have the engine built there; before `measure` is called.

        Where it does not start, that is logged, and tried again with the first frame.
        """
        try:
            if self._child is None:
                self._start()
        except OSError as error:
            log.warning("%s: its process does not start: %s", self.name, error)

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any] | Measurement:
        """Measure; see `microscoped.models.Engine`.

        Raises
        ------
        ValueError
            The frames or an option do not suit the engine.
        EngineProcessError
            The engine failed, or its process died, was ended because it hung, or is not started any more.
        """
        child = self._child or self._start()
        plain = [np.ascontiguousarray(frame) for frame in frames]
        try:
            child.to.send(([(frame.shape, frame.dtype.str) for frame in plain], dict(options)))
            for frame in plain:
                child.to.send_bytes(frame.data.cast("B"))
            answer = self._answer(child)
        except (EOFError, OSError) as error:
            raise self._died(child, hung=isinstance(error, TimeoutError)) from error
        self._deaths = 0
        if isinstance(answer, _Refused):
            raise ValueError(answer.detail)
        if isinstance(answer, _Failed):
            raise EngineProcessError(answer.detail)
        measured: Mapping[str, Any] | Measurement = answer
        return measured

    def kill(self) -> None:
        """End the process at once, for good; a measurement under way fails."""
        with self._guard:
            self._closing = True
            if self._child is not None:
                self._child.process.kill()

    def close(self) -> None:
        """End the process for good, and wait for it. Only when no thread measures any more."""
        self.kill()
        if self._child is not None:
            self._forget(self._child)

    def _start(self) -> _Child:
        if self._deaths >= MOST_DEATHS:
            raise EngineProcessError(
                f"its process died {self._deaths} times in a row and is not started again; see the log, and restart "
                "the daemon"
            )
        spawning = multiprocessing.get_context("spawn")
        jobs, to = spawning.Pipe(duplex=False)
        back, answers = spawning.Pipe(duplex=False)
        process = spawning.Process(
            target=_serve,
            args=(jobs, answers, partial(self._build, self._lives)),
            name=f"engine {self.name}",
            daemon=True,
        )
        with self._guard:
            if self._closing:
                raise EngineProcessError("the daemon ends")
            process.start()
            self._child = _Child(process, to, back)
            self._lives += 1
        # The process has its own; with ours open its death would not end the pipes.
        jobs.close()
        answers.close()
        log.info("%s measures in process %s", self.name, process.pid)
        return self._child

    def _answer(self, child: _Child) -> Any:  # noqa: ANN401 - what the engine tells, a refusal or a failure
        """Wait for an answer; what the process logs meanwhile is logged here.

        Raises
        ------
        EOFError, OSError
            The process died.
        TimeoutError
            It hung, and was ended; an `OSError`.
        """
        end_s = time.monotonic() + self._hung_s
        while True:
            if not child.back.poll(max(0.0, end_s - time.monotonic())):
                child.process.kill()
                raise TimeoutError
            answer = child.back.recv()
            if not isinstance(answer, logging.LogRecord):
                return answer
            logging.getLogger(answer.name).handle(answer)

    def _died(self, child: _Child, *, hung: bool) -> EngineProcessError:
        self._deaths += 1
        code = self._forget(child)
        told = "does not end" if code is None else f"ended with exit code {code}"
        if hung:
            told = f"hung for {self._hung_s:g} s and was ended"
        if not self._closing:
            log.warning("%s: its process %s", self.name, told)
        return EngineProcessError(f"its process {told} before it had measured the frame")

    def _forget(self, child: _Child) -> int | None:
        """Give back what a process had; return its exit code."""
        child.to.close()
        child.back.close()
        child.process.join(END_S)
        code = child.process.exitcode
        if code is not None:
            child.process.close()
        with self._guard:
            self._child = None
        return code


def _serve(jobs: Connection, answers: Connection, build: Callable[[], Engine]) -> None:
    """Measure what comes until nobody is there any more: the process's own program."""
    keep_pages()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it, too, and its end is the daemon's to say
    if sys.platform != "win32":
        os.setpriority(os.PRIO_PROCESS, 0, max(POLITE, os.getpriority(os.PRIO_PROCESS, 0)))
    waiting: queue.SimpleQueue[tuple[list[NDArray[Any]], Mapping[str, Any]]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs, waiting), name="jobs", daemon=True).start()
    to_daemon = _ToDaemon(answers)
    logging.getLogger().addHandler(to_daemon)
    built = _built(build)
    while True:
        frames, options = waiting.get()
        if isinstance(built, _Failed):
            built = _built(build)  # what was missing may be there now
        answer = built if isinstance(built, _Failed) else _measured(built, frames, options)
        to_daemon.send(answer)


class _ToDaemon(QueueHandler):
    """Sends answers to the daemon, and between them what is logged, warnings and worse."""

    def __init__(self, answers: Connection) -> None:
        super().__init__(queue.SimpleQueue())
        self._answers = answers
        self._guard = threading.Lock()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record, which `QueueHandler` has made such that it can be."""
        self.send(record)

    def send(self, what: object) -> None:
        """Send an answer or a record; when the daemon is gone, end the process."""
        try:
            with self._guard:
                self._answers.send(what)
        except OSError:
            os._exit(0)


def _built(build: Callable[[], Engine]) -> Engine | _Failed:
    try:
        return build()
    except Exception as problem:  # noqa: BLE001 - whatever it is, the daemon tells it
        return _Failed(f"{type(problem).__name__}: {problem}")


def _measured(engine: Engine, frames: list[NDArray[Any]], options: Mapping[str, Any]) -> object:
    try:
        found = engine.measure(frames, options)
    except ValueError as problem:
        return _Refused(str(problem))
    except Exception as problem:  # noqa: BLE001 - whatever it is, the daemon tells it
        return _Failed(f"{type(problem).__name__}: {problem}")
    return found if isinstance(found, Measurement) else dict(found)


def _listen(jobs: Connection, waiting: queue.SimpleQueue[tuple[list[NDArray[Any]], Mapping[str, Any]]]) -> None:
    """Take jobs from the pipe; when the daemon is gone, end the process, whatever it does."""
    try:
        while True:
            heads, options = jobs.recv()
            frames = [np.frombuffer(jobs.recv_bytes(), dtype).reshape(shape) for shape, dtype in heads]
            waiting.put((frames, options))
    except (EOFError, OSError):
        os._exit(0)


__all__ = ["MOST_DEATHS", "ProcessEngine"]
