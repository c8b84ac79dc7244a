"""The child's side of the pipes."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from microscoped.daemon.supervisor._pipes import adopt
from microscoped.daemon.supervisor.messages import BEAT, STOP

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
"""Exit code of a daemon that was told to end before it had begun."""
ORPHAN_S = 30.0
"""A child whose parent is gone, and that cannot close in this time, ends without closing: nobody else would end it."""


class ParentLink:
    """The way from a daemon to its supervisor and back.

    A thread writes, so that a parent that does not read never holds up the loop; another one reads. When the parent
    says ``stop``, or when its end closes the pipe, the daemon is shut down; before there is one, the process just ends.

    Parameters
    ----------
    read, write
        Descriptors.
    leave
        Ends the process at once, with an exit code.
    orphan_s
        See `ORPHAN_S`.
    """

    def __init__(
        self, read: int, write: int, *, leave: Callable[[int], object] = os._exit, orphan_s: float = ORPHAN_S
    ) -> None:
        self._leave = leave
        self._orphan_s = orphan_s
        self._read = read
        self._write = write
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._lock = threading.Lock()
        self._shut_down: Callable[[str], None] | None = None
        for target in (self._writing, self._reading):
            threading.Thread(target=target, name=f"supervisor{target.__name__}", daemon=True).start()

    @classmethod
    def from_text(cls, text: str) -> ParentLink:
        """Open the pipes named on the command line.

        Raises
        ------
        ValueError, OSError
            They are no such pipes.
        """
        return cls(*adopt(text))

    def tell(self, line: str) -> None:
        """Say something. Never waits; from any thread. Beats that the parent does not read do not pile up."""
        if line != BEAT or self._lines.empty():
            self._lines.put(line)

    def attach(self, shut_down: Callable[[str], None]) -> None:
        """Hand a request to end to the daemon from now on."""
        with self._lock:
            self._shut_down = shut_down

    def _writing(self) -> None:
        try:
            while True:
                os.write(self._write, f"{self._lines.get()}\n".encode("ascii", "replace"))
        except OSError:
            return  # the parent is gone: the reader hears it, too

    def _reading(self) -> None:
        try:
            with os.fdopen(self._read, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    word, _, reason = line.strip().partition(" ")
                    if word == STOP:
                        self._end(reason or "the supervisor asked for it")
        except OSError:
            pass  # the same as its end
        self._end("the supervisor is gone")
        threading.Event().wait(self._orphan_s)
        self._leave(1)

    def _end(self, reason: str) -> None:
        with self._lock:
            if self._shut_down is None:
                self._leave(INTERRUPTED)  # no hardware is open yet, nothing is to be closed
            else:
                self._shut_down(reason)


__all__ = ["ParentLink"]
