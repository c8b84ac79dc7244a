"""The stop lane: a thread that may halt the stages and do nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from microscoped.drivers.commands import HardwareEvent, StopDone
from microscoped.drivers.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.drivers.accessories import XYStage
    from microscoped.drivers.protocols import Clock, FocusStage


class StopLane:
    """A thread that may call the stages' ``stop()`` and nothing else."""

    def __init__(self, post: Callable[[HardwareEvent], None], clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._stages: tuple[FocusStage | XYStage, ...] = ()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stop-lane", daemon=True)
        self._thread.start()

    def adopt(self, *stages: FocusStage | XYStage) -> None:
        """Halt these stages from now on, in this order."""
        with self._lock:
            self._stages = stages

    def release(self) -> None:
        """Forget the stages: they are about to be closed. Waits for a stop under way."""
        with self._lock:
            self._stages = ()

    def trigger(self) -> None:
        """Halt the stages, on this lane's own thread."""
        self._wanted.set()

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._ending.is_set():
                return
            issued_ns = self._clock()
            error: DriverError | None = None
            with self._lock:
                for stage in self._stages:
                    try:
                        stage.stop()
                    except DriverError as failure:
                        error = error or failure  # the others are halted all the same
            self._post(StopDone(issued_ns, self._clock(), error))
