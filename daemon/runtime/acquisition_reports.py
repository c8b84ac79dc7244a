"""What an acquisition says of itself, as the loop hears it: not each word at once, but none is lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from microscoped.daemon.core.inputs import AcquisitionProgressed
from microscoped.daemon.core.turn import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

    from microscoped.daemon.acquire import EventRecord, Progress, SkipRecord
    from microscoped.drivers.protocols import Clock

INTERVAL_NS = 200_000_000
"""Progress that says nothing but how far it is, is told at most so often."""
SKIPS_AT_ONCE = 100
"""Skipped frames that are told in one progress."""


class Reporter:
    """Tells the loop of progress, and of each frame that was skipped. Thread-safe.

    Parameters
    ----------
    task
        Of the acquisition.
    estimate
        What it will cost; told once.
    post
        Hears the progress.
    clock
        Monotonic nanoseconds.
    """

    def __init__(
        self,
        task: str,
        estimate: Mapping[str, JsonValue],
        post: Callable[[AcquisitionProgressed], None],
        clock: Clock,
    ) -> None:
        self._task = task
        self._estimate = dict(estimate)
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        self._untold: Progress | None = None
        self._skips: list[JsonValue] = []
        self._told_ns: int | None = None
        self._phase = ""
        self._focused = 0
        self._closed = False

    def report(self, progress: Progress) -> None:
        """Take a progress; a new phase and an end of focusing are told at once."""
        with self._lock:
            self._untold = progress
            focused = progress.focus_found + progress.focus_failed
            news = progress.phase != self._phase or focused != self._focused or len(self._skips) >= SKIPS_AT_ONCE
            if news or self._told_ns is None or self._clock() - self._told_ns >= INTERVAL_NS:
                self._phase, self._focused = progress.phase, focused
                self._tell()

    def skipped(self, record: SkipRecord) -> None:
        """Take a frame that will not come; a progress follows."""
        with self._lock:
            self._skips.append({**_place(record.event), "reason": record.reason})

    def flush(self) -> None:
        """Tell what was not told yet."""
        with self._lock:
            self._tell()

    def close(self) -> dict[str, JsonValue]:
        """Tell nothing any more; return what belongs to the last progress."""
        with self._lock:
            self._closed = True
            return {"new_skips": self._skips}

    def _tell(self) -> None:
        if self._untold is None or self._closed or self._untold.phase == "ended":
            return
        told = {**progress_data(self._untold), "new_skips": self._skips}
        if self._told_ns is None:
            told["estimate"] = dict(self._estimate)
        self._untold, self._skips, self._told_ns = None, [], self._clock()
        self._post(AcquisitionProgressed(self._task, told))


def progress_data(progress: Progress) -> dict[str, JsonValue]:
    """A progress as the task tells it."""
    focus = progress.focus
    return {
        "phase": progress.phase,
        "frames": progress.frames_done,
        "skipped": progress.frames_skipped,
        "expected": progress.frames_expected,
        **({} if progress.event is None else _place(progress.event)),
        "focus": None if focus is None else plain(focus),
        "light_ms": progress.light_ms,
        "late_s": progress.late_s,
        "injected_waiting": progress.injected_waiting,
        "elapsed_s": progress.elapsed_s,
    }


def _place(event: EventRecord) -> dict[str, JsonValue]:
    return {"batch": event.batch, "index": dict(event.index), "position": event.position}


__all__ = ["Reporter", "progress_data"]
