"""From a signal to an orderly end."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Ctrl-C, ``kill``, a closed terminal, Ctrl-Break on Windows; each where the system has it."""


@contextmanager
def ending_on_signals(
    shut_down: Callable[[str], None], again: Callable[[str], None] = lambda _name: None
) -> Iterator[None]:
    """Let signals ask for the end, by way of a thread of their own.

    Python runs a handler in the main thread, between any two of its instructions: also while that thread, or an
    earlier run of the same handler, holds a lock. The handler therefore takes none: it puts the signal into a
    ``SimpleQueue``, whose ``put`` may interrupt itself, and a thread takes it out and calls `shut_down`.

    When the body has ended, signals are ignored: the process is about to end, and nothing is left to interrupt.

    Parameters
    ----------
    shut_down
        Called once, with the reason, on the watching thread.
    again
        Called with the signal's name for each further one.
    """
    heard: SimpleQueue[str | None] = SimpleQueue()

    def note(number: int, _frame: FrameType | None) -> None:
        heard.put(signal.Signals(number).name)

    def watch() -> None:
        name = heard.get()
        if name is not None:
            shut_down(f"{name} was received")
        while name is not None:
            name = heard.get()
            if name is not None:
                again(name)

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    for number in numbers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        heard.put(None)
        watcher.join()


__all__ = ["ending_on_signals"]
