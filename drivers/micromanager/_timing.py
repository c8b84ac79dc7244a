"""When was a frame of a sequence exposed? What can honestly be said without a hardware trigger.

Micro-Manager tells when a frame reached it, not when its exposure began. Let ``r`` be the moment of receipt, ``e`` the
exposure time and ``P`` the period of the sequence. The exposure cannot have begun later than ``r − e``. A camera that
exposes the next frame while it reads out the last one needs at most ``P`` from the end of an exposure to the receipt,
or it could not keep up; so the exposure began no earlier than ``r − e − P``. When the driver's thread is delayed,
receipts come late and then in a burst until it has caught up: the lateness that has built up is subtracted too. No
frame was exposed before its sequence was started. What this cannot know is a driver that holds frames back for longer
than a period all the time.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.drivers.protocols import Clock

PERIODS = 8
"""The period is the median of so many intervals between receipts."""

REGULAR = (0.75, 1.25)
"""A frame that comes after an interval within these parts of the period shows that the driver has caught up."""

STAMP_ERROR_NS = 200_000
"""Two clocks are read one after the other."""

CLOCK_STEP_NS = 1_000_000
"""If the wall clock moved by more than this against the monotonic one, its stamps are not believed."""


class SequenceTiming:
    """Bounds the beginning of the exposure of each frame of one sequence.

    Parameters
    ----------
    started_ns
        Monotonic time just before the sequence was started.
    exposure_ms
        Exposure time at the start.
    clock
        Monotonic nanoseconds.
    wall_ns
        Nanoseconds of the wall clock, with which the core stamps receipts.
    """

    def __init__(
        self, started_ns: int, exposure_ms: float, *, clock: Clock, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._clock = clock
        self._wall_ns = wall_ns
        self._started_ns = started_ns
        self._not_before_ns = started_ns
        self._wall_offset_ns = wall_ns() - clock()
        self._wall_trusted = True
        self._wall_error_ns = STAMP_ERROR_NS + round(time.get_clock_info("time").resolution * 1e9)
        self._exposure_ms = exposure_ms
        self._old_exposure_ms = exposure_ms
        self._exposure_changed_ns = started_ns
        self._periods_ns: deque[float] = deque(maxlen=PERIODS)
        self._last: tuple[int, int] | None = None
        self._lateness_ns = 0.0

    def saw_empty(self, asked_ns: int) -> None:
        """Note that no frame waited when the core was asked, at the time ``asked_ns``."""
        self._not_before_ns = asked_ns
        self._wall_offset_ns = self._wall_ns() - self._clock()
        self._wall_trusted = True

    def exposure_changed(self, exposure_ms: float, now_ns: int) -> None:
        """Note a new exposure time; frames that began before it may still have the old one."""
        self._old_exposure_ms, self._exposure_ms = self._exposure_ms, exposure_ms
        self._exposure_changed_ns = now_ns

    def frame(self, number: int, received: str | None) -> tuple[int, int, float]:
        """Return start of exposure (ns), its error (ns) and the exposure time (ms) of the frame fetched just now.

        Parameters
        ----------
        number
            Number within the sequence.
        received
            The core's stamp of the receipt: local time in ISO 8601; believed only where it fits what we saw.
        """
        low_ns, high_ns = self._receipt(received)
        self._measure(number, high_ns)
        if len(self._periods_ns) == 0:
            allowance_ns = float(high_ns - self._started_ns)
        else:
            allowance_ns = median(self._periods_ns) + self._lateness_ns
        exposure_ms = self._exposure_ms
        earliest_ns = low_ns - allowance_ns - exposure_ms * 1e6
        if earliest_ns < self._exposure_changed_ns and self._exposure_changed_ns > self._started_ns:
            earliest_ns = low_ns - allowance_ns - max(exposure_ms, self._old_exposure_ms) * 1e6
            exposure_ms = self._old_exposure_ms if earliest_ns < self._exposure_changed_ns else exposure_ms
        earliest = max(self._started_ns, int(earliest_ns))
        latest = max(earliest, high_ns - round(min(exposure_ms, self._exposure_ms) * 1e6))
        middle = (earliest + latest + 1) // 2
        return middle, middle - earliest, exposure_ms

    def _receipt(self, received: str | None) -> tuple[int, int]:
        """Return the earliest and latest moment of the receipt."""
        now_ns, wall_ns = self._clock(), self._wall_ns()
        low_ns = min(self._not_before_ns, now_ns)
        self._wall_trusted &= abs(wall_ns - now_ns - self._wall_offset_ns) < CLOCK_STEP_NS
        stamp_ns = _parse(received) if self._wall_trusted else None
        if stamp_ns is None:
            return low_ns, now_ns
        error_ns = self._wall_error_ns
        received_ns = now_ns - (wall_ns - stamp_ns)
        if not low_ns - error_ns <= received_ns <= now_ns + error_ns:
            return low_ns, now_ns
        return max(low_ns, received_ns - error_ns), min(now_ns, received_ns + error_ns)

    def _measure(self, number: int, received_ns: int) -> None:
        """Take the interval since the last frame into period and lateness."""
        if self._last is not None and number > self._last[0]:
            frames = number - self._last[0]
            interval_ns = received_ns - self._last[1]
            expected_ns = frames * (median(self._periods_ns) if self._periods_ns else float(interval_ns))
            regular = REGULAR[0] * expected_ns <= interval_ns <= REGULAR[1] * expected_ns
            catching_up = self._lateness_ns > 0 and interval_ns < REGULAR[0] * expected_ns
            self._lateness_ns = max(0.0, (0.0 if regular else self._lateness_ns) + interval_ns - expected_ns)
            if not catching_up:
                self._periods_ns.append(interval_ns / frames)
        self._last = (number, received_ns)


def _parse(received: str | None) -> int | None:
    """Return the stamp in nanoseconds since the epoch."""
    if received is None:
        return None
    try:
        return round(datetime.fromisoformat(received).timestamp() * 1e9)
    except ValueError:
        return None


__all__ = ["SequenceTiming"]
