"""What the loop hears of an acquisition: seldom enough, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from microscoped.daemon.acquire import EventRecord, FocusReport, Progress, SkipRecord
from microscoped.daemon.runtime.acquisition_reports import INTERVAL_NS, SKIPS_AT_ONCE, Reporter

if TYPE_CHECKING:
    from microscoped.daemon.core.inputs import AcquisitionProgressed

RUNNING = Progress("running", 0, 0, 1_000, EventRecord("plan", {"t": 3}))
FOCUSED = FocusReport({"t": 3}, True, 1.5, "", 1, 8, 80.0, 0.5)


class Ear:
    """A reporter on a clock that stands still, and what it has told."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.told: list[AcquisitionProgressed] = []
        self.reporter = Reporter("a-task", {"frames": 1_000}, self.told.append, lambda: self.now_ns)

    def frames(self, count: int) -> None:
        for number in range(1, count + 1):
            self.reporter.report(replace(RUNNING, frames_done=number))

    def skip(self, count: int, after: int = 0) -> None:
        for number in range(after + 1, after + count + 1):
            self.reporter.skipped(SkipRecord(EventRecord("plan", {"t": number}), "no focus"))
            self.reporter.report(replace(RUNNING, frames_skipped=number))

    def skips(self) -> list[Any]:
        return [skip for one in self.told for skip in one.progress["new_skips"]]  # type: ignore[union-attr] # JSON


def test_the_first_progress_has_the_estimate_and_those_that_follow_closely_are_held_back() -> None:
    ear = Ear()
    ear.frames(50)
    (first,) = ear.told
    assert first.task == "a-task"
    assert (first.progress["frames"], first.progress["estimate"]) == (1, {"frames": 1_000})
    assert (first.progress["index"], first.progress["batch"]) == ({"t": 3}, "plan")
    ear.now_ns += INTERVAL_NS
    ear.frames(50)
    assert [one.progress["frames"] for one in ear.told] == [1, 1]
    assert "estimate" not in ear.told[1].progress
    ear.reporter.flush()
    ear.reporter.flush()
    assert [one.progress["frames"] for one in ear.told] == [1, 1, 50]


def test_a_new_phase_and_an_end_of_focusing_are_told_at_once() -> None:
    ear = Ear()
    ear.frames(2)
    ear.reporter.report(replace(RUNNING, phase="paused"))
    ear.reporter.report(replace(RUNNING, focus=FOCUSED, focus_found=1))
    assert [one.progress["phase"] for one in ear.told] == ["running", "paused", "running"]
    assert ear.told[-1].progress["focus"]["z_um"] == 1.5  # type: ignore[index,call-overload] # JSON


def test_every_skipped_frame_is_told_once_however_many_there_are() -> None:
    ear = Ear()
    count = 3 * SKIPS_AT_ONCE + 7
    ear.skip(count)
    assert len(ear.told) == 4  # the first, and three full ones
    last = ear.reporter.close()["new_skips"]
    assert isinstance(last, list)
    told = [*ear.skips(), *last]
    assert [skip["index"]["t"] for skip in told] == list(range(1, count + 1))  # type: ignore[index,call-overload] # JSON
    assert {skip["reason"] for skip in told} == {"no focus"}  # type: ignore[index,call-overload] # JSON
    ear.skip(1, count)
    ear.reporter.flush()
    assert len(ear.told) == 4  # closed
