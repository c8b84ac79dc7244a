"""When to kill, when to restart, when to give up: decisions without processes, pipes or clocks of their own."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum

from microscoped.daemon.supervisor.messages import BEAT, CLOSING, OPEN, Limits, read_limits

START_S = 600.0
"""How long a child may take until its loop beats for the first time: a large specimen may have to be rendered."""
CLOSE_S = 30.0
"""How long a child may take from the beginning of its end to its exit; its own limits add up to less."""
AWAY_S = 2.0
"""A parent that has not looked for longer was itself suspended; what it missed meanwhile is no silence."""

WRONG_USE = 2
"""Exit code of a daemon whose configuration is wrong, or whose address is in use."""
CRASHED_TOO_OFTEN = 3
"""Exit code of a supervisor that gave up."""

WINDOWS_CRASHES = {
    0xC0000005: "access violation",
    0xC000001D: "illegal instruction",
    0xC0000094: "integer division by zero",
    0xC00000FD: "stack overflow",
    0xC0000374: "heap corruption",
    0xC0000409: "stack buffer overrun or abort",
}
"""Exit codes with which Windows ends a process whose driver failed (NTSTATUS values, from Microsoft's MS-ERREF)."""


class Phase(Enum):
    """What the child is doing.

    ::

        STARTING ──its loop is heard──▶ RUNNING ──it says so, or is asked to end──▶ CLOSING
    """

    STARTING = "starting"
    RUNNING = "running"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again, in SAFE; `reason` says why, for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """End with this exit code; `message` is empty where the child has said everything itself."""

    code: int
    message: str = ""


class Policy:
    """Follows the lives of a daemon and decides. All times are monotonic nanoseconds and are given to it.

    Parameters
    ----------
    limits
        Until a child tells those of its configuration.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._phase = Phase.STARTING
        self._since_ns = 0
        self._looked_ns = 0
        self._ever_open = False
        self._crashes_ns: list[int] = []

    def began(self, now_ns: int) -> None:
        """Note that a child was started."""
        self._phase = Phase.STARTING
        self._since_ns = self._looked_ns = now_ns

    def heard(self, line: str, now_ns: int) -> None:
        """Note what the child says; what it should not say is passed over."""
        limits = read_limits(line)
        if limits is not None:
            self.limits = limits
        elif line == CLOSING:
            self.asked_to_end(now_ns)
        elif line in (BEAT, OPEN):
            self._ever_open = self._ever_open or line == OPEN
            if self._phase is not Phase.CLOSING:
                self._phase = Phase.RUNNING
                self._since_ns = now_ns

    def asked_to_end(self, now_ns: int) -> None:
        """Note that the child was told to end: from now on no exit is a crash."""
        if self._phase is not Phase.CLOSING:
            self._phase = Phase.CLOSING
            self._since_ns = now_ns

    def overdue(self, now_ns: int) -> str | None:
        """Return why the child must be killed now, if it must. To be called at least every second."""
        away_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        if away_ns > AWAY_S * 1e9:
            self._since_ns += away_ns
        quiet_s = (now_ns - self._since_ns) / 1e9
        match self._phase:
            case Phase.CLOSING if quiet_s > CLOSE_S:
                return f"it had not ended {CLOSE_S:g} s after it was told to"
            case Phase.RUNNING if self.limits.enabled and quiet_s > self.limits.silence_s:
                return f"its loop was silent for {self.limits.silence_s:g} s"
            case Phase.STARTING if self.limits.enabled and quiet_s > START_S:
                return f"its loop had not begun after {START_S:g} s"
        return None

    def ended(self, code: int, now_ns: int, utc: str, killed_because: str | None = None) -> Restart | End:
        """Decide what follows the end of a child.

        Parameters
        ----------
        code
            Exit code; negative for a signal, as `subprocess` has it.
        now_ns, utc
            When: monotonic, and for people.
        killed_because
            What `overdue` had said, if it was killed for that.
        """
        how = f"was killed because {killed_because}" if killed_because else describe_exit(code)
        if code == 0:
            return End(0)
        if self._phase is Phase.CLOSING or not self.limits.enabled:
            return End(exit_status(code), f"the daemon {how}" if killed_because or _is_crash(code) else "")
        if code == WRONG_USE:
            return End(WRONG_USE)
        if not self._ever_open and not killed_because and not _is_crash(code):
            return End(exit_status(code))  # it could not begin, and has said why: a restart would find the same
        limits = self.limits
        window_ns = int(limits.window_s * 1e9)
        self._crashes_ns = [at for at in self._crashes_ns if now_ns - at <= window_ns] + [now_ns]
        count = len(self._crashes_ns)
        what = f"the daemon {'hung' if killed_because else 'crashed'} at {utc}: it {how}"
        window = f"within {limits.window_s / 60:g} min"
        if count > limits.crashes:
            crashes = f"{count} crash{'' if count == 1 else 'es'}"
            return End(
                CRASHED_TOO_OFTEN,
                f"{what}. That makes {crashes} {window}: it stays down. Look for the cause in the log above; "
                "'microscoped check' opens the microscope without moving anything",
            )
        return Restart(f"{what} (crash {count} of {limits.crashes} allowed {window})")


def _is_crash(code: int) -> bool:
    """Whether the system ended the process, and not the program itself."""
    return code < 0 or code in WINDOWS_CRASHES


def describe_exit(code: int) -> str:
    """Say how a process ended: ``was ended by SIGSEGV``, ``ended with exit code 1``."""
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    if code in WINDOWS_CRASHES:
        return f"was ended by {WINDOWS_CRASHES[code]} (0x{code:08X})"
    return f"ended with exit code {code}"


def exit_status(code: int) -> int:
    """Return what a parent exits with for its child's code: 128 + signal number, as shells do; 1 if it is too large."""
    if code < 0:
        return 128 - code
    return code if code < 256 else 1


__all__ = ["CRASHED_TOO_OFTEN", "End", "Phase", "Policy", "Restart", "describe_exit", "exit_status"]
