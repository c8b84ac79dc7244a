"""The events of an acquisition, each handed out when it is due: a plan, and what is injected while it runs.

The runner of pymmcore-plus takes the next event first and waits for its time afterwards, in sleeps of half a second:
what is injected meanwhile would come after that event, however late it is. So events wait here instead, where an
injection, a pause or a cancellation wakes them at once; the runner gets each without its ``min_start_time``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import useq

from microscoped.daemon.acquire._answers import LOOK_S
from microscoped.daemon.acquire.errors import InjectionRefusedError

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Clock

After: TypeAlias = Literal["now", "end"]
PLAN = "plan"
"""The batch of events that were not injected."""


@dataclass(frozen=True, slots=True)
class Due:
    """An event that is due.

    Parameters
    ----------
    event
        The event, without ``min_start_time``.
    batch
        ``plan``, or the injection that it came with.
    planned_s
        Its ``min_start_time``, on its batch's clock.
    late_s
        How much later than that it is.
    """

    event: useq.MDAEvent
    batch: str
    planned_s: float | None
    late_s: float


class _Batch:
    """Events with a clock of their own, which starts with the first of them and stands still during pauses."""

    def __init__(self, name: str, events: Iterator[useq.MDAEvent]) -> None:
        self.name = name
        self._events = events
        self._head: useq.MDAEvent | None = None
        self._reset_due = False
        self.zero_ns: int | None = None

    def head(self) -> useq.MDAEvent | None:
        """The next event, or ``None`` after the last."""
        if self._head is None:
            self._head = next(self._events, None)
            self._reset_due = self._head is not None and self._head.reset_event_timer
        return self._head

    def due_ns(self, now_ns: int) -> int:
        """When the next event is due; its clock starts here where it must."""
        event = self.head()
        if self.zero_ns is None or self._reset_due:
            self.zero_ns, self._reset_due = now_ns, False
        return self.zero_ns + int(((event.min_start_time if event else None) or 0.0) * 1e9)

    def pop(self) -> None:
        """Forget the next event: it was handed out."""
        self._head = None


class EventQueue(Iterator[useq.MDAEvent]):
    """Hands out the events of an acquisition, each when it is due. Thread-safe; iterated by one thread.

    Injected for *now*, a batch goes before all that waits, but after what was injected for now before it; injected for
    the *end*, after all else. Events of one batch keep their order.

    Parameters
    ----------
    plan
        The events of the plan, generated as they are taken.
    clock
        Monotonic nanoseconds.
    most_waiting
        How many injected events may wait.
    hold_open
        Whether it waits for injections after the last event, until `finish`.
    """

    def __init__(
        self, plan: Iterable[useq.MDAEvent], clock: Clock, *, most_waiting: int = 10_000, hold_open: bool = False
    ) -> None:
        self._clock = clock
        self._most_waiting = most_waiting
        self._open = hold_open
        self._wake = threading.Condition()
        self._urgent: deque[_Batch] = deque()
        self._batches: deque[_Batch] = deque([_Batch(PLAN, iter(plan))])
        self._injected_waiting = 0
        self._paused_ns: int | None = None
        self._hold: Callable[[], None] = lambda: None
        self._cancelled = False
        self._ended = False
        self.current: Due | None = None

    @property
    def paused(self) -> bool:
        """Whether it hands out nothing until `resume`."""
        return self._paused_ns is not None

    @property
    def waiting(self) -> int:
        """How many injected events wait."""
        return self._injected_waiting

    def on_hold(self, hear: Callable[[], None]) -> None:
        """Have `hear` called, on the iterating thread, while a pause keeps back the next event."""
        self._hold = hear

    def inject(
        self, name: str, events: tuple[useq.MDAEvent, ...], after: After, accepted: Callable[[], None] = lambda: None
    ) -> None:
        """Add events; `accepted` is called before any of them can be handed out. From any thread.

        Raises
        ------
        InjectionRefusedError
            The acquisition has handed out its last event, or too many wait.
        """
        with self._wake:
            if self._ended or self._cancelled:
                raise InjectionRefusedError("the acquisition has ended; begin another one")
            if self._injected_waiting + len(events) > self._most_waiting:
                raise InjectionRefusedError(
                    f"{len(events)} events were injected while {self._injected_waiting} wait; at most "
                    f"{self._most_waiting} may; inject fewer, or later"
                )
            accepted()
            self._injected_waiting += len(events)
            (self._urgent if after == "now" else self._batches).append(_Batch(name, iter(events)))
            self._wake.notify_all()

    def pause(self) -> None:
        """Hand out nothing until `resume`; planned times move back by so long. From any thread; idempotent."""
        with self._wake:
            if self._paused_ns is None:
                self._paused_ns = self._clock()

    def resume(self) -> None:
        """Go on. From any thread; idempotent."""
        with self._wake:
            if self._paused_ns is not None:
                paused_for_ns = self._clock() - self._paused_ns
                self._paused_ns = None
                for batch in (*self._urgent, *self._batches):
                    if batch.zero_ns is not None:
                        batch.zero_ns += paused_for_ns
                self._wake.notify_all()

    def cancel(self) -> None:
        """Hand out nothing any more. From any thread; idempotent."""
        with self._wake:
            self._cancelled = True
            self._wake.notify_all()

    def finish(self) -> None:
        """End after the last event that waits now, instead of waiting for injections. From any thread; idempotent."""
        with self._wake:
            self._open = False
            self._wake.notify_all()

    def __next__(self) -> useq.MDAEvent:
        """Wait until an event is due and return it."""
        with self._wake:
            while not self._cancelled:
                batch = self._first()
                if batch is None and not self._open:
                    break
                if self.paused:
                    self._hold()
                elif batch is not None:
                    now_ns = self._clock()
                    due_ns = batch.due_ns(now_ns)
                    if now_ns >= due_ns:
                        return self._hand_out(batch, now_ns - due_ns)
                self._wake.wait(LOOK_S)
            self._ended = True
            raise StopIteration

    def _first(self) -> _Batch | None:
        """The batch whose turn it is; those that are empty are dropped."""
        for batches in (self._urgent, self._batches):
            while batches:
                if batches[0].head() is not None:
                    return batches[0]
                batches.popleft()
        return None

    def _hand_out(self, batch: _Batch, late_ns: int) -> useq.MDAEvent:
        event = batch.head()
        if event is None:
            raise StopIteration
        batch.pop()
        if batch.name != PLAN:
            self._injected_waiting -= 1
        planned_s = event.min_start_time
        # A copy of its own: the runner writes into the metadata of what it is given.
        due = event.model_copy(
            update={"min_start_time": None, "reset_event_timer": False, "metadata": dict(event.metadata)}
        )
        self.current = Due(due, batch.name, planned_s, late_ns / 1e9 if planned_s is not None else 0.0)
        return due


__all__ = ["PLAN", "After", "Due", "EventQueue"]
