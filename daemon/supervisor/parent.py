"""The parent: one child after the other, until one of them ends in order or the policy gives up."""

from __future__ import annotations

import datetime
import logging
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from microscoped.daemon.supervisor._pipes import ChildEnds, popen
from microscoped.daemon.supervisor.messages import STOP
from microscoped.daemon.supervisor.policy import End, Policy, Restart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TICK_S = 0.25
"""How often the parent looks, when it hears nothing. On Windows, also how soon it notices Ctrl-C."""
PAUSE_S = 1.0
"""From a crash to the restart: the system takes a moment to give devices and ports back."""
JOIN_S = 1.0

log = logging.getLogger("microscoped")


@dataclass(frozen=True, slots=True)
class Said:
    """A line from the child of this life; ``None`` when its pipe has ended."""

    life: int
    line: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A person or the system asks for the end."""

    reason: str


Event: TypeAlias = Said | Asked


class Child:
    """A daemon's process and the pipes to it.

    Parameters
    ----------
    command, arguments
        The program, and what comes after the pipes.
    hear
        Called with each line on a thread of its own, and with ``None`` at the end.
    """

    def __init__(self, command: Sequence[str], arguments: Sequence[str], hear: Callable[[str | None], None]) -> None:
        child_read, self._write = os.pipe()
        self._read, child_write = os.pipe()
        ends = ChildEnds(child_read, child_write)
        try:
            self.process = popen(command, arguments, ends)
        except BaseException:
            os.close(self._write)
            os.close(self._read)
            raise
        finally:
            ends.close()
        self._hear = hear
        self._reader = threading.Thread(target=self._reading, name="child", daemon=True)
        self._reader.start()

    def stop(self, reason: str) -> None:
        """Ask it to end."""
        try:
            os.write(self._write, f"{STOP} {' '.join(reason.split())}\n".encode())
        except OSError:
            return  # it has ended already

    def close(self) -> None:
        """Let go of the pipes of a child that has ended."""
        os.close(self._write)
        self._reader.join(JOIN_S)

    def _reading(self) -> None:
        try:
            with os.fdopen(self._read, encoding="ascii", errors="replace") as lines:
                for line in lines:
                    self._hear(line.rstrip("\n"))
        except OSError:
            pass  # the same as its end
        self._hear(None)


class Supervisor:
    """Runs a daemon in a child, and restarts it when it crashes or hangs.

    Parameters
    ----------
    command, arguments
        Start the child. Between them come ``--link READ:WRITE`` and, after a crash, ``--safe REASON``.
    policy
        What to do when.
    clock
        Monotonic nanoseconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        arguments: Sequence[str] = (),
        policy: Policy | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._command = list(command)
        self._arguments = list(arguments)
        self._policy = policy or Policy()
        self._clock = clock
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._life = 0

    def shut_down(self, reason: str) -> None:
        """Ask the daemon to end, with a reason; from any thread."""
        self._events.put(Asked(reason))

    def run(self) -> int:
        """Run until the daemon has ended for good; return the exit code."""
        options: list[str] = []
        while True:
            decision = self._one_life(options)
            if isinstance(decision, End):
                if decision.message:
                    log.error("%s", decision.message)
                return decision.code
            log.error("%s; it is started again in SAFE: nothing moves until resume", decision.reason)
            if self._asked_within_pause():
                return 0
            options = ["--safe", decision.reason]

    def _one_life(self, options: Sequence[str]) -> Restart | End:
        self._life += 1
        life = self._life
        child = Child(self._command, [*options, *self._arguments], lambda line: self._events.put(Said(life, line)))
        log.info("the supervisor has started the daemon as process %d", child.process.pid)
        self._policy.began(self._clock())
        killed_because: str | None = None
        try:
            while (code := child.process.poll()) is None:
                self._hear(child)
                if killed_because is None and (killed_because := self._policy.overdue(self._clock())):
                    log.error("the daemon is killed: %s", killed_because)
                    child.process.kill()
        except BaseException:
            child.process.kill()
            child.process.wait()
            raise
        finally:
            child.close()
        self._drain()
        utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return self._policy.ended(code, self._clock(), utc, killed_because)

    def _hear(self, child: Child) -> None:
        """Handle what has come, or wait a moment for it."""
        try:
            event = self._events.get(timeout=TICK_S)
        except Empty:
            return
        while True:
            self._handle(event, child)
            try:
                event = self._events.get_nowait()
            except Empty:
                return

    def _handle(self, event: Event, child: Child | None) -> None:
        match event:
            case Asked():
                self._policy.asked_to_end(self._clock())
                if child is not None:
                    child.stop(event.reason)
            case Said(life, None) if child is not None and life == self._life:
                # The pipe ends with the process, which the system then needs a moment to report.
                try:
                    child.process.wait(JOIN_S)
                except subprocess.TimeoutExpired:
                    return
            case Said(life, str(line)) if life == self._life:
                self._policy.heard(line, self._clock())

    def _drain(self) -> None:
        """Handle the last words of a child that has ended."""
        while not self._events.empty():
            self._handle(self._events.get(), None)

    def _asked_within_pause(self) -> bool:
        """Whether the end is asked for before the restart."""
        until_ns = self._clock() + int(PAUSE_S * 1e9)
        while (left_ns := until_ns - self._clock()) > 0:
            try:
                if isinstance(self._events.get(timeout=left_ns / 1e9), Asked):
                    return True
            except Empty:
                return False
        return False


__all__ = ["Supervisor"]
