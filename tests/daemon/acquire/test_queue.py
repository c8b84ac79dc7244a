"""The queue of events on a clock that is turned by hand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import useq

from microscoped.daemon.acquire import InjectionRefusedError
from microscoped.daemon.acquire._queue import EventQueue
from microscoped.simulators.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterable


def events(*times: float | None, at: float = 0.0) -> tuple[useq.MDAEvent, ...]:
    return tuple(useq.MDAEvent(min_start_time=time, z_pos=at + number) for number, time in enumerate(times))


class Taker:
    """Takes events on a thread of its own, as the runner does."""

    def __init__(self, plan: Iterable[useq.MDAEvent], **options: object) -> None:
        self.clock = ManualClock()
        self.queue = EventQueue(plan, self.clock, **options)  # type: ignore[arg-type]
        self.taken: list[tuple[str, float | None, float | None, float]] = []
        self.came = threading.Semaphore(0)
        self.held = threading.Semaphore(0)
        self.queue.on_hold(self.held.release)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for event in self.queue:
            due = self.queue.current
            assert due is not None
            assert event.min_start_time is None
            self.taken.append((due.batch, event.z_pos, due.planned_s, round(due.late_s, 6)))
            self.came.release()

    def wait(self, n: int) -> None:
        for _ in range(n):
            assert self.came.acquire(timeout=10)

    def end(self) -> list[float | None]:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return [z for _, z, _, _ in self.taken]


def test_events_come_when_they_are_due() -> None:
    taker = Taker(events(0, 10, 20))
    taker.wait(1)
    assert not taker.came.acquire(timeout=0.1)
    taker.clock.sleep(10)
    taker.wait(1)
    taker.clock.sleep(13)
    taker.wait(1)
    taker.end()
    assert taker.taken == [("plan", 0, 0, 0), ("plan", 1, 10, 0), ("plan", 2, 20, 3)]


def test_a_clock_that_is_reset_starts_again() -> None:
    again = useq.MDAEvent(min_start_time=0, z_pos=1, reset_event_timer=True)
    after = useq.MDAEvent(min_start_time=5, z_pos=2)
    taker = Taker((*events(100), again, after))
    taker.clock.sleep(100)
    taker.wait(2)
    assert not taker.came.acquire(timeout=0.1)
    taker.clock.sleep(5)
    assert taker.end() == [0, 1, 2]
    assert [late for *_, late in taker.taken] == [0, 0, 0]


def test_an_injection_for_now_comes_while_the_next_event_is_not_due() -> None:
    taker = Taker(events(0, 1000))
    taker.wait(1)
    taker.queue.inject("burst", events(None, 2, at=50), "now")
    taker.wait(1)
    assert not taker.came.acquire(timeout=0.1)  # its own clock began with its first event
    taker.clock.sleep(2)
    taker.wait(1)
    taker.clock.sleep(998)
    assert taker.end() == [0, 50, 51, 1]


def test_injections_keep_their_order_and_those_for_the_end_come_last() -> None:
    taker = Taker(events(0, 10))
    taker.wait(1)
    taker.queue.pause()
    taker.queue.inject("c", events(None, at=70), "end")
    taker.queue.inject("a", events(None, None, at=50), "now")
    taker.queue.inject("b", events(None, at=60), "now")
    taker.queue.resume()
    taker.wait(3)
    taker.clock.sleep(10)
    assert taker.end() == [0, 50, 51, 60, 1, 70]
    assert [batch for batch, *_ in taker.taken] == ["plan", "a", "a", "b", "plan", "c"]


def test_a_pause_keeps_events_back_and_moves_their_times() -> None:
    taker = Taker(events(0, 10))
    taker.wait(1)
    taker.clock.sleep(4)
    taker.queue.pause()
    assert taker.held.acquire(timeout=10)
    taker.clock.sleep(100)
    assert not taker.came.acquire(timeout=0.1)
    taker.queue.resume()
    taker.clock.sleep(5.9)
    assert not taker.came.acquire(timeout=0.1)
    taker.clock.sleep(0.1)
    assert taker.end() == [0, 1]
    assert taker.taken[1][3] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("when", ["waiting", "paused", "before"])
def test_a_cancellation_ends_it_at_once(when: str) -> None:
    taker = Taker(events(0 if when != "before" else 500, 1000))
    if when != "before":
        taker.wait(1)
    if when == "paused":
        taker.queue.pause()
        assert taker.held.acquire(timeout=10)
    taker.queue.cancel()
    assert len(taker.end()) == (when != "before")
    with pytest.raises(InjectionRefusedError, match="has ended"):
        taker.queue.inject("late", events(None), "now")


def test_what_is_held_open_waits_for_injections_until_it_is_finished() -> None:
    taker = Taker((), hold_open=True)
    taker.queue.inject("one", events(None, at=5), "end")
    taker.wait(1)
    assert taker.thread.is_alive()
    taker.queue.inject("two", events(None, at=6), "end")
    taker.queue.finish()
    assert taker.end() == [5, 6]


def test_injections_are_bounded_and_none_of_a_refused_one_is_taken() -> None:
    taker = Taker(events(1000), most_waiting=3)
    taker.queue.pause()
    taker.queue.inject("one", events(None, None), "now")
    assert taker.queue.waiting == 2
    accepted: list[int] = []
    with pytest.raises(InjectionRefusedError, match="2 events were injected while 2 wait; at most 3 may"):
        taker.queue.inject("two", events(None, None), "now", lambda: accepted.append(1))
    assert not accepted
    assert taker.queue.waiting == 2
    taker.queue.cancel()
    assert taker.end() == []


def test_the_runner_may_write_into_an_event_without_changing_the_plan() -> None:
    plan = events(None)
    taker = Taker(plan)
    taker.end()
    current = taker.queue.current
    assert current is not None
    current.event.metadata["runner_t0"] = 1.0
    assert plan[0].metadata == {}
