from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscoped.drivers.micromanager._timing import SequenceTiming
from microscoped.simulators import ManualClock

MS = 1_000_000
EPOCH_NS = 1_800_000_000 * 10**9


def stamp(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9).isoformat(sep=" ")


class Rig:
    """A clock turned by hand and a wall clock that may be wrong."""

    def __init__(self, exposure_ms: float) -> None:
        self.clock = ManualClock(0)
        self.wall_error_ns = 0
        self.timing = SequenceTiming(0, exposure_ms, clock=self.clock, wall_ns=self.wall_ns)

    def wall_ns(self) -> int:
        return EPOCH_NS + self.clock() + self.wall_error_ns

    def at(self, t_ns: float) -> None:
        self.clock.sleep(max(0.0, t_ns - self.clock()) / 1e9)

    def fetch(self, number: int, *, received_ns: float | None, fetched_ns: float) -> tuple[int, int, float]:
        self.at(fetched_ns)
        received = None if received_ns is None else stamp(EPOCH_NS + round(received_ns))
        return self.timing.frame(number, received)


def bounds(told: tuple[int, int, float]) -> tuple[int, int]:
    return told[0] - told[1], told[0] + told[1]


def test_the_first_frame_began_after_the_start() -> None:
    rig = Rig(10.0)
    earliest, latest = bounds(rig.fetch(0, received_ns=15 * MS, fetched_ns=16 * MS))
    assert earliest == 0
    assert 5 * MS <= latest <= 5.5 * MS


def test_later_frames_are_bounded_by_exposure_and_one_period() -> None:
    rig = Rig(10.0)
    for k in range(10):
        received_ns = (11 * k + 15) * MS
        rig.at(received_ns - 0.5 * MS)
        rig.timing.saw_empty(rig.clock())
        earliest, latest = bounds(rig.fetch(k, received_ns=received_ns, fetched_ns=received_ns + 0.5 * MS))
    assert earliest == pytest.approx(received_ns - 21 * MS, abs=0.6 * MS)
    assert latest == pytest.approx(received_ns - 10 * MS, abs=0.6 * MS)


@pytest.mark.parametrize("received_ns", [None, -3_600 * 10**9, 10**12], ids=["none", "an hour ago", "in the future"])
def test_without_a_stamp_that_fits_the_bounds_are_wide_and_true(received_ns: float | None) -> None:
    rig = Rig(10.0)
    for k in range(5):
        rig.fetch(k, received_ns=None, fetched_ns=(20 * k + 25) * MS)
    rig.at(110 * MS)
    rig.timing.saw_empty(rig.clock())
    earliest, latest = bounds(rig.fetch(5, received_ns=received_ns, fetched_ns=125 * MS))
    assert earliest == (110 - 10 - 20) * MS
    assert latest == (125 - 10) * MS


def test_a_wall_clock_that_jumps_is_not_believed() -> None:
    rig = Rig(10.0)
    for k in range(3):
        rig.fetch(k, received_ns=None, fetched_ns=(20 * k + 25) * MS)
    rig.at(70 * MS)
    rig.timing.saw_empty(rig.clock())
    rig.wall_error_ns = -5 * MS  # set back between receipt and fetch: the stamp seems 5 ms younger
    earliest, _ = bounds(rig.fetch(3, received_ns=72 * MS, fetched_ns=80 * MS))
    assert earliest == (70 - 10 - 20) * MS


def test_an_exposure_changed_under_way_counts_from_the_frames_that_surely_have_it() -> None:
    rig = Rig(5.0)
    rig.fetch(0, received_ns=10 * MS, fetched_ns=10 * MS)
    rig.fetch(1, received_ns=20 * MS, fetched_ns=20 * MS)
    rig.at(22 * MS)
    rig.timing.exposure_changed(1.0, rig.clock())
    start, error, exposure_ms = rig.fetch(2, received_ns=30 * MS, fetched_ns=30 * MS)
    assert exposure_ms == 5.0
    assert start - error <= 15 * MS
    *_, exposure_ms = rig.fetch(9, received_ns=100 * MS, fetched_ns=100 * MS)
    assert exposure_ms == 1.0


def test_a_burst_after_a_delay_does_not_count_as_fresh() -> None:
    rig = Rig(10.0)
    for k in range(10):
        rig.fetch(k, received_ns=(10 * k + 12) * MS, fetched_ns=(10 * k + 12) * MS)
    for k in range(10, 14):  # the driver slept until all of them were ready
        earliest, _ = bounds(rig.fetch(k, received_ns=(153 + 0.1 * k) * MS, fetched_ns=(153 + 0.1 * k) * MS))
        assert earliest <= 10 * k * MS
    rig.fetch(14, received_ns=162 * MS, fetched_ns=162 * MS)
    earliest, _ = bounds(rig.fetch(15, received_ns=172 * MS, fetched_ns=172 * MS))
    assert earliest > 145 * MS


@settings(deadline=None, max_examples=60)
@given(
    exposure_ms=st.floats(1.0, 50.0),
    dead_ms=st.floats(0.0, 20.0),
    readout=st.floats(0.0, 0.9),
    stalls_ms=st.lists(st.floats(0.0, 80.0), min_size=1, max_size=4),
    stamped=st.booleans(),
)
def test_no_frame_of_a_free_running_camera_began_before_its_bound_says(
    exposure_ms: float, dead_ms: float, readout: float, stalls_ms: list[float], stamped: bool
) -> None:
    """A camera with a constant period and pipelined readout; a driver that stalls, and catches up before the next."""
    rig = Rig(exposure_ms)
    period_ms = exposure_ms + dead_ms
    received_ms, quiet, stalls = 0.0, 0, list(stalls_ms)
    for k in range(250):
        began_ms = k * period_ms
        ready_ms = began_ms + exposure_ms + readout * period_ms
        on_time = received_ms <= ready_ms
        quiet = quiet + 1 if on_time else 0
        stall_ms = 0.0
        if stalls and quiet > 10:
            stall_ms, quiet = stalls.pop(), 0
        received_ms = max(ready_ms, received_ms) + stall_ms
        if rig.clock() < (received_ms - 0.1) * MS:
            rig.at((received_ms - 0.1) * MS)
            rig.timing.saw_empty(rig.clock())
        told = rig.fetch(k, received_ns=received_ms * MS if stamped else None, fetched_ns=(received_ms + 0.1) * MS)
        earliest, latest = bounds(told)
        assert earliest <= (began_ms + 0.2) * MS
        assert latest >= began_ms * MS - 1
