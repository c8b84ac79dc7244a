"""A recording: all inputs and the pixels of their frames, whatever the disk does."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.inputs import FramesLeftOut, RecordingBegan
from microscoped.daemon.record import (
    Ending,
    Entry,
    FrameDamagedError,
    FrameMissingError,
    Header,
    JournalError,
    Layout,
    Recorded,
    StoreWriteError,
    TornTail,
    read_journal,
    repair,
    replay_journal,
)
from microscoped.daemon.record import recording as room
from microscoped.daemon.record.frames import FrameStore, StoredFrames
from tests.daemon.record.conftest import CONFIG
from tests.daemon.record.recording_world import LAYOUT, Scene, frame_of, pixels_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.daemon.record.frames import Writing

FRAME_MB = pixels_of(0).nbytes / 1e6


class Gate:
    """Stands before the disk: writes end when it opens, or with an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.fails_from: int | None = None
        gate, write = self, FrameStore.write
        self.written = 0

        class Held:
            def __init__(self, inner: Writing, number: int) -> None:
                self.at, self.crc32, self._inner, self._number = inner.at, inner.crc32, inner, number

            def done(self) -> bool:
                return gate.open.is_set() and self._inner.done()

            def result(self) -> None:
                assert gate.open.wait(20)
                if gate.fails_from is not None and self._number >= gate.fails_from:
                    raise StoreWriteError(self._inner._path, os.strerror(errno.ENOSPC))
                self._inner.result(20)

        def held(store: FrameStore, at: tuple[int, int, int], pixels: NDArray[Any]) -> Held:
            gate.written += 1
            return Held(write(store, at, pixels), gate.written)

        monkeypatch.setattr(FrameStore, "write", held)


def test_all_inputs_and_frames_are_in_it_and_it_replays(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run 1")
    scene.recording.start()
    for number in range(1, 9):
        scene.frame(number, z_um=0.5 * number)
        scene.hear(heard_of.HeartbeatDue({"p50": 0.1}, {"loop": 0}))
    ended = scene.close()
    assert (ended.failed, ended.frames, ended.skipped, ended.detail) == (False, 8, 0, "closed")
    assert ended.last == len(scene.world.life) == scene.recording.recorded_seq
    assert isinstance(scene.news[0], RecordingBegan)
    lines = list(read_journal(tmp_path / "run 1"))
    assert isinstance(lines[0], Header)
    assert lines[0].first == scene.after + 1
    assert isinstance(lines[-1], Ending)
    assert [line.n for line in lines if isinstance(line, Entry)] == list(range(scene.after + 1, ended.last + 1))
    assert yaml.safe_load((tmp_path / "run 1" / "config.yaml").read_text(encoding="utf-8")) == CONFIG
    recorded = Recorded(tmp_path / "run 1")
    assert list(recorded.frames) == [f"frame-{number}" for number in range(1, 9)]
    for number in range(1, 9):
        one = recorded.frames[f"frame-{number}"]
        assert one.frame == frame_of(number, pixels_of(number), z_um=0.5 * number)
        assert one.at == (number - 1, 0, 0)
        np.testing.assert_array_equal(recorded.pixels(f"frame-{number}"), pixels_of(number))
    assert recorded.verify().good == 8
    assert not recorded.verify().damaged
    assert recorded.store.layout.pixel_size_um == LAYOUT.pixel_size_um
    assert recorded.store.z_um == 0.5
    own = recorded.store.own["frames"]
    assert own["z_um"] == [0.5 * number for number in range(1, 9)]
    assert own["number"] == [one.number for one in recorded.frames.values()]
    replay = replay_journal(tmp_path / "run 1")
    assert replay.difference is None
    assert (replay.inputs, replay.last) == (ended.last - scene.after, ended.last)
    assert replay_journal(tmp_path / "run 1", until=scene.after + 3).last == scene.after + 3


def test_what_came_before_it_is_not_in_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run")
    heard, now, effects, state = scene.world.life[-1]
    scene.recording.start()
    scene.recording.record(heard, now, effects, state)
    scene.frame(1)
    scene.close()
    assert replay_journal(tmp_path / "run").difference is None


def test_frames_that_the_disk_has_no_time_for_are_left_out_with_the_reason_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    scene = Scene(tmp_path / "run", most_waiting_mb=3.5 * FRAME_MB)
    scene.recording.start()
    for number in range(1, 7):
        scene.frame(number)  # would hang here if it waited for the disk
    told = [news for news in scene.news if isinstance(news, FramesLeftOut)]
    assert [news.frame for news in told] == ["frame-4"]
    assert "the disk is too slow: 0.0 MB of frames wait for it" in told[0].reason
    assert scene.recording.recorded_seq == 0
    gate.open.set()
    scene.wait(lambda: scene.recording.waiting() == 0)
    scene.frame(7)
    ended = scene.close()
    assert (ended.failed, ended.frames, ended.skipped) == (False, 4, 3)
    recorded = Recorded(tmp_path / "run")
    assert [one.at for one in recorded.frames.values()] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),
        None,
        None,
        None,
        (3, 0, 0),
    ]
    with pytest.raises(FrameMissingError, match="frame-5 was not recorded: the disk is too slow"):
        recorded.pixels("frame-5")
    with pytest.raises(FrameMissingError, match="frame-99 did not come"):
        recorded.pixels("frame-99")
    assert (recorded.verify().good, recorded.verify().skipped) == (4, 3)
    assert recorded.store.own["skipped"]["frame"] == ["frame-4", "frame-5", "frame-6"]
    assert replay_journal(tmp_path / "run").difference is None


def test_nothing_is_acknowledged_before_its_pixels_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(room, "SYNC_S", 0.0)
    scene = Scene(tmp_path / "run")
    scene.recording.start()
    scene.hear(heard_of.HeartbeatDue({"p50": 0.1}, {"loop": 0}))
    scene.wait(lambda: scene.recording.recorded_seq == scene.after + 1)
    scene.frame(1)
    scene.hear(heard_of.HeartbeatDue({"p50": 0.1}, {"loop": 0}))
    scene.wait(lambda: gate.written == 1)
    assert scene.recording.recorded_seq == scene.after + 1
    assert [line.n for line in read_journal(tmp_path / "run") if isinstance(line, Entry)] == [scene.after + 1]
    gate.open.set()
    scene.wait(lambda: scene.recording.recorded_seq == len(scene.world.life))
    assert StoredFrames(tmp_path / "run" / "frames.ome.zarr").times == 1
    scene.close()


def test_too_many_waiting_inputs_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    scene = Scene(tmp_path / "run", most_waiting=20)
    scene.recording.start()
    scene.frame(1)
    for _ in range(40):
        scene.hear(heard_of.HeartbeatDue({"p50": 0.1}, {"loop": 0}))
    gate.open.set()
    ended = scene.close()
    assert ended.failed
    assert ended.detail == "the disk is too slow: 20 inputs wait for it"
    numbers = [line.n for line in read_journal(tmp_path / "run") if isinstance(line, Entry)]
    assert numbers == list(range(scene.after + 1, scene.after + 21))
    assert replay_journal(tmp_path / "run").difference is None


def test_a_frame_that_the_disk_does_not_take_ends_it_and_all_before_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    gate.open.set()
    gate.fails_from = 4
    scene = Scene(tmp_path / "run")
    scene.recording.start()
    for number in range(1, 10):
        scene.frame(number)
    scene.wait(lambda: any(isinstance(news, room.RecordingEnded) for news in scene.news))
    scene.frame(10)
    ended = scene.close()
    assert ended.failed
    assert os.strerror(errno.ENOSPC) in ended.detail
    assert "frames.ome.zarr" in ended.detail
    recorded = Recorded(tmp_path / "run")
    assert list(recorded.frames) == ["frame-1", "frame-2", "frame-3"]
    assert recorded.last == ended.last
    assert recorded.store.times == 3
    assert recorded.verify().good == 3
    assert replay_journal(tmp_path / "run").difference is None


@pytest.mark.parametrize("allowed", [0, 1, 4, 9])
def test_a_journal_that_cannot_be_written_ends_it_without_half_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    scene = Scene(tmp_path / "run")
    write = os.write
    left = [1 + allowed]  # the header, and as many batches of lines

    def failing(descriptor: int, data: bytes) -> int:
        if threading.current_thread().name != "recording" or left[0] > 0:
            left[0] -= threading.current_thread().name == "recording"
            return write(descriptor, data)
        if len(data) > 10:
            write(descriptor, bytes(data[:10]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", failing)
    monkeypatch.setattr(room, "SYNC_S", 0.0)
    scene.recording.start()
    for number in range(1, 200):
        scene.frame(number)
        if any(isinstance(news, room.RecordingEnded) for news in scene.news):
            break
        scene.wait(lambda: scene.recording.waiting() < 8 or scene.recording._ended)
    ended = scene.close()
    assert ended.failed
    assert os.strerror(errno.ENOSPC) in ended.detail
    lines = list(read_journal(tmp_path / "run"))
    assert not isinstance(lines[-1], TornTail)
    assert max((line.n for line in lines if isinstance(line, Entry)), default=scene.after) >= ended.last
    recorded = Recorded(tmp_path / "run")
    if recorded.frames:
        assert not recorded.verify().damaged


def test_a_frame_that_does_not_fit_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run")
    scene.recording.start()
    scene.frame(1)
    scene.frame(2, pixels_of(2, (24, 32)))
    scene.hear(heard_of.FrameAdmitted(frame_of(3, pixels_of(3))), None)
    scene.frame(4)
    ended = scene.close()
    assert (ended.failed, ended.frames, ended.skipped) == (False, 2, 2)
    recorded = Recorded(tmp_path / "run")
    assert "32 × 24 px, uint16 does not go into a store of 64 × 48 px" in str(recorded.frames["frame-2"].skipped)
    (told,) = [one for one in scene.news if isinstance(one, heard_of.FramesLeftOut)]
    assert (told.frame, told.reason) == ("frame-2", recorded.frames["frame-2"].skipped)
    assert recorded.frames["frame-3"].skipped == "the pixels were gone"
    np.testing.assert_array_equal(recorded.pixels("frame-4"), pixels_of(4))


def test_frames_of_a_stack_lie_where_they_belong(tmp_path: Path) -> None:
    planes = (1.0, 1.5, 2.0)
    scene = Scene(tmp_path / "run", layout=Layout(0.325, planes))
    scene.recording.start()
    places = [(t, 0, z) for t in range(2) for z in (0, 2, 1)]
    for number, (t, c, z) in enumerate(places):
        if (t, z) != (1, 2):  # never exposed
            scene.frame(number, z_um=planes[z], at=(t, c, z))
    assert not scene.close().failed
    recorded = Recorded(tmp_path / "run")
    assert recorded.store.times == 2
    for number, at in enumerate(places):
        if at != (1, 0, 2):
            np.testing.assert_array_equal(recorded.store.read(at), pixels_of(number))
            assert recorded.frames[f"frame-{number}"].at == at
    assert not recorded.store.read((1, 0, 2)).any()


def test_without_pixels_it_is_a_journal_and_makes_no_store(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", pixels=False)
    scene.recording.start()
    scene.frame(1)
    ended = scene.close()
    assert (ended.failed, ended.frames, ended.skipped) == (False, 0, 1)
    assert not (tmp_path / "run" / "frames.ome.zarr").exists()
    assert Recorded(tmp_path / "run").frames["frame-1"].skipped == "pixels were not asked for"
    assert replay_journal(tmp_path / "run").difference is None


def _exists(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return {}


def _under_a_file(folder: Path) -> dict[str, Any]:
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.write_text("")
    return {}


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (_exists, "run: File exists"),
        (_under_a_file, "File exists|Not a directory"),
        (lambda _: {"reserve_mb": 1e12}, "MB are left on the disk of .* are kept free: free some space"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told(
    tmp_path: Path, prepare: Callable[[Path], dict[str, Any]], told: str
) -> None:
    folder = tmp_path / "deeper" / "run"
    if prepare is not _under_a_file:
        folder.parent.mkdir()
    scene = Scene(folder, **prepare(folder))
    scene.recording.start()
    scene.frame(1)
    ended = scene.close()
    assert ended.failed
    assert re.search(told, ended.detail), ended.detail
    assert (ended.frames, ended.last) == (0, scene.after)


def test_a_disk_that_gets_full_ends_it_before_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [10**9]
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free[0]}))
    monkeypatch.setattr(room, "LOOK_S", 0.0)
    scene = Scene(tmp_path / "run", reserve_mb=100.0)
    scene.recording.start()
    scene.frame(1)
    scene.wait(lambda: scene.recording.waiting() == 0)
    free[0] = 99_000_000
    scene.wait(lambda: any(isinstance(news, room.RecordingEnded) for news in scene.news))
    ended = scene.close()
    assert ended.failed
    assert "99 MB are left" in ended.detail
    assert Recorded(tmp_path / "run").verify().good == 1
    assert isinstance(Recorded(tmp_path / "run").ending, Ending)


def _recording(folder: Path, frames: int = 3, **settings: object) -> Recorded:
    scene = Scene(folder, **settings)
    scene.recording.start()
    for number in range(1, frames + 1):
        scene.frame(number)
    scene.close()
    return Recorded(folder)


def test_damaged_pixels_are_named(tmp_path: Path) -> None:
    recorded = _recording(tmp_path / "run", compression="none")
    chunk = tmp_path / "run" / "frames.ome.zarr" / "0" / "c" / "1" / "0" / "0" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[77] ^= 64
    chunk.write_bytes(content)
    found = recorded.verify()
    assert (found.good, list(found.damaged)) == (2, ["frame-2"])
    assert "checksum" in found.damaged["frame-2"]
    with pytest.raises(FrameDamagedError):
        recorded.pixels("frame-2")


def test_a_recording_without_its_end_is_repaired(tmp_path: Path) -> None:
    _recording(tmp_path / "run", 5)
    store = tmp_path / "run" / "frames.ome.zarr"
    journal = tmp_path / "run" / "journal-000001.jsonl"
    whole = json.loads((store / "zarr.json").read_bytes())
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(at for at, line in enumerate(lines) if b'"frame-4"' in line and b"FrameAdmitted" in line)
    journal.write_bytes(b"".join(lines[:last]) + lines[last][:100])
    broken = {**whole, "attributes": {**whole["attributes"], "microscoped": None}}
    (store / "zarr.json").write_text(json.dumps(broken))
    (store / "0" / "c" / "9.__lock").write_bytes(b"x")
    done = repair(tmp_path / "run")
    assert (done.was, done.times, done.frames, done.skipped, done.removed) == (5, 3, 3, 0, 1)
    recorded = Recorded(tmp_path / "run")
    assert recorded.store.times == 3
    assert recorded.store.own["frames"]["frame"] == ["frame-1", "frame-2", "frame-3"]
    assert recorded.verify().good == 3
    again = repair(tmp_path / "run")
    assert (again.was, again.times, again.removed) == (3, 3, 0)


def test_repairing_what_is_whole_changes_nothing(tmp_path: Path) -> None:
    _recording(tmp_path / "run")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    repair(tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_frame_of_another_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _recording(tmp_path / "run", 1)
    monkeypatch.setattr("microscoped.daemon.record.recorded.FrameData", heard_of.FrameData.__mro__[1])
    with pytest.raises(JournalError, match="is of another version"):
        Recorded(tmp_path / "run")
