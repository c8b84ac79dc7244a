"""Counting what an acquisition has done."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from microscoped.daemon.acquire.progress import FocusReport, Phase, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.daemon.acquire._queue import EventQueue
    from microscoped.daemon.acquire.light import LightBudget
    from microscoped.daemon.acquire.sink import EventRecord
    from microscoped.drivers.protocols import Clock

MOST_REASONS = 32
"""Different reasons of skips that are told apart; the others are counted together."""
OTHER_REASONS = "other reasons"


class Tally:
    """Counts frames, skips and focus events, and reports each change. Thread-safe.

    Parameters
    ----------
    expected
        Frames of the plan.
    queue, light
        What they say of themselves belongs to the progress.
    report
        Hears the progress after each change, on the thread that made it; must return at once.
    clock
        Monotonic nanoseconds.
    """

    def __init__(
        self,
        expected: int,
        queue: EventQueue,
        light: LightBudget,
        report: Callable[[Progress], None],
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._light = light
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._began_ns = clock()
        self._phase: Phase = "preparing"
        self._expected = expected
        self._event: EventRecord | None = None
        self._focus: FocusReport | None = None
        self._found = 0
        self._failed = 0
        self._skips: dict[str, int] = {}
        self._late_s = 0.0
        self.done = 0
        self.skipped = 0
        self.wanted = 0

    @property
    def expected(self) -> int:
        """How many frames there will be with all that was injected."""
        return self._expected

    @property
    def phase(self) -> Phase:
        """What the acquisition does."""
        return self._phase

    def now(self) -> Progress:
        """Return the progress."""
        with self._lock:
            return Progress(
                phase=self._phase,
                frames_done=self.done,
                frames_skipped=self.skipped,
                frames_expected=self._expected,
                event=self._event,
                focus=self._focus,
                focus_found=self._found,
                focus_failed=self._failed,
                skips=dict(self._skips),
                light_ms=self._light.spent_ms,
                late_s=self._late_s,
                injected_waiting=self._queue.waiting,
                elapsed_s=(self._clock() - self._began_ns) / 1e9,
            )

    def enter(self, phase: Phase, *, unless: tuple[Phase, ...] = ()) -> None:
        """Enter a phase, unless it is in one of those, or has ended."""
        with self._lock:
            if self._phase in (*unless, "ended", phase):
                return
            self._phase = phase
        self._report(self.now())

    def expect(self, frames: int) -> None:
        """Expect so many frames more."""
        with self._lock:
            self._expected += frames
        self._report(self.now())

    def begin(self, event: EventRecord, late_s: float, *, image: bool) -> None:
        """Begin an event; an `image` is a frame that is wanted now."""
        with self._lock:
            self._event = event
            self._late_s = max(self._late_s, late_s)
            self.wanted += image

    def frame(self) -> None:
        """Count a frame that the sink took over."""
        with self._lock:
            self.done += 1
        self._report(self.now())

    def skip(self, reason: str) -> None:
        """Count a frame that will not come."""
        with self._lock:
            self.skipped += 1
            known = reason in self._skips or len(self._skips) < MOST_REASONS
            key = reason if known else OTHER_REASONS
            self._skips[key] = self._skips.get(key, 0) + 1
        self._report(self.now())

    def focused(self, report: FocusReport) -> None:
        """Count a focus event."""
        with self._lock:
            self._focus = report
            if report.found:
                self._found += 1
            else:
                self._failed += 1
        self._report(self.now())


__all__ = ["Tally"]
