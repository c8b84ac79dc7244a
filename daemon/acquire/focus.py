"""Focusing during an acquisition: what the engine asks for, and the desk where it waits for the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from microscoped.daemon.acquire._answers import Answers

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Clock


class FocusFailure(StrEnum):
    """What an acquisition does where no focus is found."""

    SKIP = "skip"
    """Skip the frames of this position until the next focus event, and record the reason for each."""
    KEEP = "keep"
    """Acquire at the last known focus; each frame says that it was not focused."""
    END = "end"
    """End the acquisition as failed."""


@dataclass(frozen=True, slots=True)
class FocusRequest:
    """The focus is wanted, here and now.

    Parameters
    ----------
    id
        Returned with the outcome.
    attempt
        1 for the first, 2 for the second after a failure …
    z_um
        Where the stage is.
    index
        The event's place in the sequence: axis → number.
    light_ms
        Exposure time that it may spend; infinite where there is no limit.
    """

    id: str
    attempt: int
    z_um: float
    index: tuple[tuple[str, int], ...]
    light_ms: float


@dataclass(frozen=True, slots=True)
class FocusOutcome:
    """How focusing ended.

    Parameters
    ----------
    found
        Whether the stage rests in focus now.
    z_um
        Where it rests.
    reason
        Why there is no focus; empty where there is.
    light_ms, images
        Exposure time and images that it has cost.
    """

    found: bool
    z_um: float
    reason: str = ""
    light_ms: float = 0.0
    images: int = 0


class Focus(Protocol):
    """Brings the specimen into focus and waits for it; called on the acquisition's thread."""

    def __call__(self, request: FocusRequest) -> FocusOutcome:
        """Focus.

        Raises
        ------
        StepTimeoutError, StepCancelledError
            It did not end in time; the acquisition was cancelled.
        """
        ...

    def interrupt(self) -> None:
        """End the waiting soon: the acquisition is cancelled. From any thread."""
        ...


Ask: TypeAlias = Callable[[FocusRequest], None]


class FocusDesk:
    """Hands requests to a controller on another thread and waits for the outcome; satisfies `Focus`.

    Parameters
    ----------
    ask
        Called on the acquisition's thread with each request; must return at once.
    timeout_s
        How long one focusing may take.
    grace_s
        How long after a cancellation its end is awaited.
    clock
        Monotonic nanoseconds.
    """

    def __init__(
        self, ask: Ask, timeout_s: float = 60.0, grace_s: float = 1.0, clock: Clock = time.perf_counter_ns
    ) -> None:
        self._ask = ask
        self._timeout_s = timeout_s
        self._answers: Answers[FocusOutcome] = Answers(clock, grace_s)

    def __call__(self, request: FocusRequest) -> FocusOutcome:
        """Ask, and wait for the outcome."""
        self._answers.expect(request.id)
        self._ask(request)
        return self._answers.wait(request.id, f"focusing at {request.z_um:g} µm", self._timeout_s)

    def answer(self, request: str, outcome: FocusOutcome) -> bool:
        """Give the outcome of a request; return whether anybody waits for it. From any thread."""
        return self._answers.give(request, outcome)

    def interrupt(self) -> None:
        """End the waiting soon."""
        self._answers.interrupt()


class NoFocus:
    """Stands where nothing can focus: every request fails and says why. Satisfies `Focus`."""

    def __init__(self, reason: str = "this acquisition was given no way to focus") -> None:
        self._reason = reason

    def __call__(self, request: FocusRequest) -> FocusOutcome:
        """Fail."""
        return FocusOutcome(found=False, z_um=request.z_um, reason=self._reason)

    def interrupt(self) -> None:
        """Do nothing: nothing waits."""


__all__ = ["Ask", "Focus", "FocusDesk", "FocusFailure", "FocusOutcome", "FocusRequest", "NoFocus"]
