"""From the log to the loop: warnings and errors of the daemon become inputs, and so events of ``v1.log.``."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Literal

from microscoped.daemon.core.inputs import LogWritten

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from microscoped.drivers.protocols import Clock

LOGGER = "microscoped"
MOST_PER_SECOND = 20
"""Entries that go to the loop within any second; more are counted."""
MOST_WAITING = 64
"""Entries that may wait for the loop; more are counted."""
MESSAGE_CHARS = 1_000
"""Longest text of an entry; a longer one ends with an ellipsis."""
NOT_AGAIN = {"published": True}
"""Give this as ``extra`` with an entry that is an event already, so that it is not published twice."""

_SECOND_NS = 1_000_000_000


class LogFeed(logging.Handler):
    """Hands warnings and worse to the loop while its ``with`` statement lasts; never waits and never raises.

    What comes faster than it may, or while too much waits for the loop, is counted; the next entry says how many were
    dropped before it. An entry that is written while another one's text is made, by the same thread, is dropped, too:
    no entry can beget itself.

    Parameters
    ----------
    post
        Hands an entry to the loop. Called from any thread.
    clock
        Monotonic nanoseconds.
    """

    def __init__(self, post: Callable[[LogWritten], None], clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._post = post
        self._clock = clock
        self._counts = threading.Lock()
        self._latest_ns: deque[int] = deque(maxlen=MOST_PER_SECOND)
        self._dropped = 0
        self._posted = 0
        self._taken = 0
        self._here = threading.local()

    def __enter__(self) -> Self:
        logging.getLogger(LOGGER).addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger(LOGGER).removeHandler(self)
        self.close()

    def createLock(self) -> None:
        """Have no lock for whole entries: making one's text may take long, and others must not wait for it."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take an entry. Any thread."""
        if getattr(record, "published", False):
            return
        if getattr(self._here, "busy", False):
            self._drop()
            return
        self._here.busy = True
        try:
            message = _text(record)
        except Exception:  # noqa: BLE001 - whatever the text of an argument raises: a bug where it was logged
            self._drop()
            return
        finally:
            self._here.busy = False
        level = _level(record.levelno)
        now_ns = self._clock()
        with self._counts:
            full = len(self._latest_ns) == MOST_PER_SECOND and now_ns - self._latest_ns[0] < _SECOND_NS
            if full or self._posted - self._taken >= MOST_WAITING:
                self._dropped += 1
                return
            self._latest_ns.append(now_ns)
            self._posted += 1
            dropped, self._dropped = self._dropped, 0
        self._post(LogWritten(level, record.name, message, dropped))

    def taken(self) -> None:
        """Note that the loop has taken an entry. The loop's thread only."""
        with self._counts:
            self._taken += 1

    def _drop(self) -> None:
        with self._counts:
            self._dropped += 1


def _text(record: logging.LogRecord) -> str:
    """What an entry says, with the last line of its traceback; without what is no Unicode."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        text = f"{text}: {type(error).__name__}: {error}"
    if len(text) > MESSAGE_CHARS:
        text = text[: MESSAGE_CHARS - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")


def _level(number: int) -> Literal["warning", "error", "critical"]:
    if number >= logging.CRITICAL:
        return "critical"
    return "error" if number >= logging.ERROR else "warning"


__all__ = ["LOGGER", "MESSAGE_CHARS", "MOST_PER_SECOND", "MOST_WAITING", "NOT_AGAIN", "LogFeed"]
