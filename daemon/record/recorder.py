"""The recorder thread: takes over what the loop did, and writes it down."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclasses
from typing import TYPE_CHECKING, TypeAlias

from microscoped.daemon.core.inputs import JournalEnded
from microscoped.daemon.record.codec import prepare
from microscoped.daemon.record.journal import Facts, Journal
from microscoped.daemon.record.place import Place  # noqa: TC001 - dataclasses

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.daemon.core import Effect, Input, Now, State

    Lived: TypeAlias = tuple[Input, Now, tuple[Effect, ...], State]

log = logging.getLogger("microscoped")

FLUSH_S = 0.025
"""How often the queue is emptied into the operating system: an input waits for this and a batch, under 50 ms."""
LOOK_S = 5.0
"""How often the free space of the disk is looked at."""
SYNC_S = 0.2
"""How often what was written is brought to the disk."""
AT_ONCE = 32
"""Inputs that are written in one go."""
MOST_WAITING = 4_096
"""Inputs that may wait for a slow disk: 20 s at 100 frames/s. One more ends the journal."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """Where and how to write.

    Parameters
    ----------
    folder
        Where the session's own folder is made.
    rotate_bytes, keep
        See `Journal`.
    most_waiting
        How many inputs may wait for the disk.
    place
        Where the stage's resting place is kept, if it is worth keeping.
    """

    folder: Path
    rotate_bytes: int = 64_000_000
    keep: int | None = None
    most_waiting: int = MOST_WAITING
    place: Place | None = None


class Recorder:
    """Writes the life of a loop into a journal, on a thread of its own.

    What the disk does never reaches the loop: `record` hands over references to frozen data and returns. If the journal
    cannot be written, or more inputs wait than may, it ends; `post` hears `JournalEnded` once, and what comes later is
    counted (`unrecorded`). On a disk that takes long to synchronise an input may reach the operating system later than
    said at `FLUSH_S`; `recorded_seq` never runs ahead of it.

    Parameters
    ----------
    settings, facts
        See there.
    state
        What the loop knows before its first input.
    post
        Hears `JournalEnded`, on the recorder thread or the loop's.
    """

    def __init__(
        self, settings: RecorderSettings, facts: Facts, state: State, post: Callable[[JournalEnded], None]
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._state = state
        self._post = post
        self._waiting: deque[Lived] = deque()
        self._journal: Journal | None = None
        self._ended = False
        self._closing = threading.Event()
        self._synced_s = 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._newest = 0
        self._looked_s = -LOOK_S
        self.disk_free_mb: float | None = None
        """What is left on the disk, in megabytes; looked at now and then."""
        self.cpu_s = 0.0
        """Processor time that the thread has used."""

    @property
    def recorded_seq(self) -> int:
        """Number of the last input that survives the death of the process; 0: none."""
        return self._journal.recorded if self._journal is not None else 0

    @property
    def durable_seq(self) -> int:
        """Number of the last input that survives a power cut; 0: none."""
        return self._journal.durable if self._journal is not None else 0

    @property
    def unrecorded(self) -> int:
        """How many inputs are not in the journal because it ended; 0 while it goes on."""
        return self._newest - self.recorded_seq if self._ended else 0

    @property
    def folder(self) -> Path | None:
        """The session's folder, once it is made."""
        return self._journal.folder if self._journal is not None else None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def waiting(self) -> int:
        """How many inputs wait to be written."""
        return len(self._waiting)

    def record(self, heard: Input, now: Now, effects: tuple[Effect, ...], state: State) -> None:
        """Take over an input, what was done about it, and the state after it. The loop's thread; never waits."""
        self._newest = now.number
        if self._ended:
            return
        if len(self._waiting) < self._settings.most_waiting:
            self._waiting.append((heard, now, effects, state))
        else:
            waiting = self._settings.most_waiting
            self._give_up(f"the disk is too slow for the journal: {waiting} inputs wait for it", now.number - 1)

    def close(self, timeout_s: float) -> bool:
        """Write what waits, and end; return whether that was done in time."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _give_up(self, why: str, last: int) -> None:
        """Take no more, and say so; what waits is still written, if the disk comes back."""
        if self._ended:
            return
        self._ended = True
        folder = None if self.folder is None else str(self.folder)
        detail = f"{why}; the journal holds inputs to {last} at most, the daemon goes on without it"
        self._post(JournalEnded(detail, {"folder": folder, "last": last}))

    def _run(self) -> None:
        settings = self._settings
        try:
            prepare()
            self._journal = Journal(
                settings.folder, self._facts, self._state, rotate_bytes=settings.rotate_bytes, keep=settings.keep
            )
            while not (self._closing.wait(FLUSH_S) or self._ended):
                self._turn(self._journal)
            self._empty(self._journal)
            self._keep_place()
            reason = "closed" if not self._ended else "the disk was too slow"
            self._journal.end(reason, self.unrecorded)
        except Exception as error:  # whatever it was: the daemon goes on without a journal, and says so
            self._give_up(_why(error, settings.folder), self.recorded_seq)
            self._waiting.clear()
            if self._journal is not None:
                self._journal.abandon(_why(error, settings.folder), self.unrecorded)
            log.debug("the journal ended", exc_info=error)
        finally:
            self.cpu_s = time.thread_time()

    def _turn(self, journal: Journal) -> None:
        self._empty(journal)
        now_s = time.monotonic()
        if now_s - self._synced_s >= SYNC_S:
            journal.sync()
            self._keep_place()
            self._synced_s = now_s
        if now_s - self._looked_s >= LOOK_S:
            self.disk_free_mb = shutil.disk_usage(self._settings.folder).free / 1e6
            self._looked_s = now_s
        self.cpu_s = time.thread_time()

    def _empty(self, journal: Journal) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            journal.add(batch)
            self._state = batch[-1][3]

    def _keep_place(self) -> None:
        if self._settings.place is not None:
            self._settings.place.keep(self._state)


def _why(error: Exception, folder: Path) -> str:
    if isinstance(error, OSError):
        return f"the journal in {folder} cannot be written: {error.strerror or error}"
    return f"the journal in {folder} cannot be written: {type(error).__name__}: {error}"


__all__ = ["Recorder", "RecorderSettings"]
