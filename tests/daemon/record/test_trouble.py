"""A full, slow or missing disk ends the journal with an alarm, and is nothing to the loop."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.record import (
    Ending,
    Entry,
    Recorder,
    RecorderSettings,
    TornTail,
    read_journal,
    replay_journal,
)
from microscoped.daemon.record import journal as files
from tests.daemon.record.conftest import FACTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microscoped.daemon.core.inputs import JournalEnded
    from tests.conftest import Rig
    from tests.daemon.record.conftest import World

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
WAIT_S = 20


class Disk:
    """Stands for `os` below the journal's writer: a disk with room for `room` bytes, that can hang."""

    def __init__(self) -> None:
        self.room = 10**9
        self.works = threading.Event()
        self.works.set()
        self.syncs = 0
        self.hangs = threading.Event()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever os has
        return getattr(os, name)

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.room <= 0:
            raise FULL
        written = os.write(descriptor, data[: self.room])  # as a real one: as much as there is room for
        self.room -= written
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        self.room += os.fstat(descriptor).st_size - size
        os.ftruncate(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        self.syncs += 1
        if not self.works.is_set():
            self.hangs.set()
        assert self.works.wait(WAIT_S)
        os.fsync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(files, "os", disk)
    return disk


class Kept:
    """A recorder, and what it posted."""

    def __init__(self, folder: Path, world: World, **settings: Any) -> None:  # noqa: ANN401 - its settings
        self.posted: list[JournalEnded] = []
        self.ended = threading.Event()
        self.recorder = Recorder(RecorderSettings(folder, **settings), FACTS, world.start, self._hear)
        self.recorder.start()

    def _hear(self, ended: JournalEnded) -> None:
        self.posted.append(ended)
        self.ended.set()

    def live(self, world: World, first: int = 0, last: int | None = None) -> None:
        for lived in world.life[first:last]:
            self.recorder.record(*lived)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.001)


def inputs_in(recorder: Recorder) -> list[int]:
    assert recorder.folder is not None
    return [line.n for line in read_journal(recorder.folder) if isinstance(line, Entry)]


def test_what_was_handed_over_is_written_and_synchronised_while_nothing_more_comes(
    tmp_path: Path, world: World, disk: Disk
) -> None:
    kept = Kept(tmp_path, world)
    kept.live(world)
    kept.until(lambda: kept.recorder.durable_seq == len(world.life))
    assert kept.recorder.recorded_seq == len(world.life)
    assert inputs_in(kept.recorder) == list(range(1, len(world.life) + 1))
    assert kept.recorder.close(WAIT_S)
    assert kept.posted == []


def test_synchronising_is_done_in_groups(tmp_path: Path, world: World, disk: Disk) -> None:
    kept = Kept(tmp_path, world)
    kept.until(lambda: kept.recorder.folder is not None)
    began_s, before = time.monotonic(), disk.syncs
    for number in range(len(world.life)):
        kept.live(world, number, number + 1)
        time.sleep(0.005)  # inputs as they come at 200 a second
    groups = (time.monotonic() - began_s) / 0.2
    assert disk.syncs - before <= groups + 1
    assert kept.recorder.close(WAIT_S)


@pytest.mark.parametrize("room", [0, 1, 500, 5_000, 9_000])
def test_a_full_disk_ends_the_journal_with_an_alarm_and_whole_lines(
    tmp_path: Path, world: World, disk: Disk, room: int
) -> None:
    disk.room = room
    kept = Kept(tmp_path, world)
    kept.live(world)
    assert kept.ended.wait(WAIT_S)
    assert kept.recorder.close(WAIT_S)
    kept.live(world)  # comes later, and is counted
    (ended,) = kept.posted
    assert "No space left" in ended.detail
    assert str(tmp_path) in ended.detail
    recorded = kept.recorder.recorded_seq
    assert ended.data["last"] == recorded
    assert kept.recorder.unrecorded == len(world.life) - recorded > 0
    assert kept.recorder.waiting() == 0
    if kept.recorder.folder is not None:
        assert inputs_in(kept.recorder) == list(range(1, recorded + 1))
        lines = list(read_journal(kept.recorder.folder))
        assert not any(isinstance(line, TornTail) for line in lines)
        assert replay_journal(kept.recorder.folder).difference is None
        if isinstance(lines[-1], Ending):  # there was room for it after half a line had gone
            assert "No space left" in lines[-1].end


@pytest.mark.parametrize("room", [0, 1, 60, 90, 10_000])
def test_a_disk_with_room_for_a_part_of_the_closing_line_keeps_no_part_of_it(
    tmp_path: Path, world: World, disk: Disk, room: int
) -> None:
    journal = files.Journal(tmp_path, FACTS, world.start, rotate_bytes=10**9, keep=None)
    journal.add(world.life[:5])
    disk.room = 0
    with pytest.raises(OSError, match="No space left"):
        journal.add(world.life[5:10])
    disk.room = room
    journal.abandon("the disk is full", 5)
    *lines, last = read_journal(journal.folder)
    assert not any(isinstance(line, TornTail) for line in (*lines, last))
    assert (journal.recorded, journal.durable) == (5, 5)
    assert isinstance(last, Ending) == (room == 10_000)


@pytest.mark.parametrize("room", [150, 400, 2_000])
def test_a_disk_that_is_full_at_the_beginning_of_a_file_leaves_a_whole_journal(
    tmp_path: Path, world: World, disk: Disk, room: int
) -> None:
    journal = files.Journal(tmp_path, FACTS, world.start, rotate_bytes=10, keep=None)
    journal.add(world.life[:1])
    disk.room = room
    with pytest.raises(OSError, match="No space left"):
        journal.add(world.life[1:3])
    journal.abandon("the disk is full", 2)
    assert journal.recorded == 1
    lines = list(read_journal(journal.folder))
    assert [line.n for line in lines if isinstance(line, Entry)] == [1]
    assert not any(isinstance(line, TornTail) for line in lines)
    assert replay_journal(journal.folder).difference is None


def test_a_folder_that_cannot_be_made_ends_the_journal_with_an_alarm(tmp_path: Path, world: World) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    kept = Kept(blocked, world)
    assert kept.ended.wait(WAIT_S)
    kept.live(world)
    assert "cannot be written" in kept.posted[0].detail
    assert (kept.recorder.recorded_seq, kept.recorder.unrecorded) == (0, len(world.life))
    assert kept.recorder.close(WAIT_S)


def test_what_cannot_be_written_down_ends_the_journal_with_an_alarm(tmp_path: Path, world: World) -> None:
    from microscoped.daemon.core import effects as to_do

    kept = Kept(tmp_path, world)
    heard, now, _, state = world.life[0]
    kept.recorder.record(heard, now, (to_do.Publish("t", {"a": object()}),), state)  # type: ignore[dict-item] # wrong
    assert kept.ended.wait(WAIT_S)
    assert "object cannot be recorded" in kept.posted[0].detail
    assert kept.recorder.close(WAIT_S)


def test_a_disk_that_hangs_for_a_moment_loses_nothing(tmp_path: Path, world: World, disk: Disk) -> None:
    kept = Kept(tmp_path, world)
    kept.until(lambda: kept.recorder.folder is not None)
    disk.works.clear()
    kept.live(world, 0, 5)
    assert disk.hangs.wait(WAIT_S)
    kept.live(world, 5)  # taken at once, though the disk hangs
    assert kept.recorder.durable_seq < kept.recorder.recorded_seq <= 5
    disk.works.set()
    assert kept.recorder.close(WAIT_S)
    assert kept.posted == []
    assert inputs_in(kept.recorder) == list(range(1, len(world.life) + 1))


def test_a_disk_that_hangs_for_long_ends_the_journal_at_a_bound(tmp_path: Path, world: World, disk: Disk) -> None:
    kept = Kept(tmp_path, world, most_waiting=10)
    kept.until(lambda: kept.recorder.folder is not None)
    disk.works.clear()
    kept.live(world, 0, 5)
    assert disk.hangs.wait(WAIT_S)
    kept.live(world, 5)
    assert kept.recorder.waiting() == 10
    (ended,) = kept.posted
    assert "too slow" in ended.detail
    assert ended.data["last"] == 15
    assert not kept.recorder.close(0.01)
    disk.works.set()
    assert kept.recorder.close(WAIT_S)
    assert kept.recorder.folder is not None
    *_, ending = read_journal(kept.recorder.folder)
    assert isinstance(ending, Ending)
    assert (ending.end, ending.last, ending.unrecorded) == ("the disk was too slow", 15, len(world.life) - 15)
    assert len(kept.posted) == 1


def test_a_full_disk_is_an_alarm_and_the_daemon_goes_on(
    start_rig: Callable[..., Rig], tmp_path: Path, disk: Disk
) -> None:
    rig = start_rig({"journal": {"enabled": True, "folder": tmp_path}})
    alarms = rig.scope.events("v1.alarm.", "v1.heartbeat.", timeout_s=10)
    next(alarms)
    disk.room = 0
    for event in alarms:
        if event.topic == "v1.alarm.":
            assert event.data["code"] == "journal.ended"
            assert "No space left" in str(event.data["detail"])
            break
    rig.scope.request("stage.move", z_um=6.0)
    for event in alarms:
        if event.topic == "v1.heartbeat.":
            assert event.data["unrecorded"] > 0  # type: ignore[operator] # a number
            assert event.data["state"] in ("IDLE", "ACTIVE")
            break


def test_a_disk_that_hangs_does_not_delay_the_loop(start_rig: Callable[..., Rig], tmp_path: Path, disk: Disk) -> None:
    rig = start_rig({"camera": {"stream_at_start": True}, "journal": {"enabled": True, "folder": tmp_path}})
    disk.works.clear()
    try:
        assert disk.hangs.wait(WAIT_S)
        asked = []
        for _ in range(200):
            began_s = time.perf_counter()
            rig.scope.request("ping")
            asked.append(time.perf_counter() - began_s)
        assert sorted(asked)[100] < 0.02
        for event in rig.scope.events("v1.heartbeat.", timeout_s=5):
            assert event.data["recorded_seq"] >= event.data["durable_seq"]  # type: ignore[operator] # numbers
            break
    finally:
        disk.works.set()
    rig.end()
    (session,) = tmp_path.iterdir()
    assert replay_journal(session).difference is None
