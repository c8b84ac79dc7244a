"""Waiting for answers from other threads: with a deadline, and never long after a cancellation."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from microscoped.daemon.acquire.errors import StepCancelledError, StepTimeoutError

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Clock

T = TypeVar("T")

LOOK_S = 0.02
"""How often a waiting thread looks at the clock, which may be another one than the computer's."""


class Answers(Generic[T]):
    """Answers by key; each is awaited by one thread and given by another. Thread-safe.

    Parameters
    ----------
    clock
        Monotonic nanoseconds.
    grace_s
        How long after `interrupt` an answer is still awaited.
    """

    def __init__(self, clock: Clock, grace_s: float) -> None:
        self._clock = clock
        self._grace_ns = int(grace_s * 1e9)
        self._wake = threading.Condition()
        self._expected: dict[str, T | None] = {}
        self._interrupted_ns: int | None = None

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupted_ns is not None

    def expect(self, key: str) -> None:
        """Say that an answer will be awaited; answers to other keys are passed over."""
        with self._wake:
            self._expected[key] = None

    def forget(self, key: str) -> None:
        """Say that an answer will not be awaited after all."""
        with self._wake:
            self._expected.pop(key, None)

    def outstanding(self) -> tuple[str, ...]:
        """Keys that wait for their answer."""
        with self._wake:
            return tuple(key for key, answer in self._expected.items() if answer is None)

    def give(self, key: str, answer: T) -> bool:
        """Answer; return whether anybody waits for it. From any thread."""
        with self._wake:
            if key not in self._expected:
                return False
            self._expected[key] = answer
            self._wake.notify_all()
            return True

    def interrupt(self) -> None:
        """End all waiting, after the grace. From any thread; idempotent."""
        with self._wake:
            if self._interrupted_ns is None:
                self._interrupted_ns = self._clock()
            self._wake.notify_all()

    def wait(self, key: str, what: str, timeout_s: float) -> T:
        """Return the answer.

        Parameters
        ----------
        key
            For what.
        what
            The step in words, for the error.
        timeout_s
            How long it may take.

        Raises
        ------
        StepTimeoutError, StepCancelledError
            No answer came in time, or within the grace after a cancellation.
        """
        deadline_ns = self._clock() + int(timeout_s * 1e9)
        with self._wake:
            try:
                while (answer := self._expected[key]) is None:
                    now_ns = self._clock()
                    if self._interrupted_ns is not None and now_ns >= self._interrupted_ns + self._grace_ns:
                        raise StepCancelledError(
                            f"cancelled; {what} was under way and had not ended {self._grace_ns / 1e9:g} s later"
                        )
                    if now_ns >= deadline_ns:
                        raise StepTimeoutError(
                            f"{what}: no answer within {timeout_s:g} s; check the device and its cable, and whether "
                            "the deadline suits it"
                        )
                    self._wake.wait(LOOK_S)
                return answer
            finally:
                del self._expected[key]


class Ids:
    """Ids of what is asked for: ``PREFIX-1``, ``PREFIX-2`` … Thread-safe.

    Parameters
    ----------
    prefix
        Must be unique within the session.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Return the next id."""
        with self._lock:
            return f"{self._prefix}-{next(self._numbers)}"


__all__ = ["Answers", "Ids"]
