"""A clock that is turned by hand, so that nothing has to wait for simulated time."""

from __future__ import annotations

import threading


class ManualClock:
    """Simulated nanoseconds: calling it reads the time, sleeping on it moves the time.

    Give one object as ``clock`` and its `sleep` as ``sleep`` to a simulated microscope, and an hour passes in no time.
    May be used from several threads.

    Parameters
    ----------
    start_ns
        The first reading.
    """

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self._now_ns = start_ns
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Return the simulated time in nanoseconds."""
        return self._now_ns

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        if seconds < 0:
            raise ValueError(f"cannot sleep {seconds} s")
        with self._lock:
            self._now_ns += round(seconds * 1e9)

    def advance_ms(self, milliseconds: float) -> None:
        """Let ``milliseconds`` pass at once."""
        self.sleep(milliseconds / 1e3)


__all__ = ["ManualClock"]
