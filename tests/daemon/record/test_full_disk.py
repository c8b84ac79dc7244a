"""A real disk that is full: a small file system in memory, which only root on Linux can make."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.core.inputs import RecordingEnded
from microscoped.daemon.protocol.alarms import GUIDE, AlarmCode
from microscoped.daemon.record import Entry, Recorded, TornTail, read_journal, replay_journal
from tests.daemon.record.recording_world import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Rig

pytestmark = pytest.mark.slow

SIZE_MB = 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of one megabyte."""
    if sys.platform != "linux":
        pytest.skip("mounting a file system in memory is Linux's own")
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount command")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "microscoped-test", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if mounted.returncode:
        pytest.skip(f"mount refuses: {mounted.stderr.strip()}")
    yield disk
    subprocess.run([umount, "--lazy", str(disk)], check=True, timeout=20)


def test_a_disk_that_is_really_full_ends_the_journal_and_a_new_start_begins_another(
    start_rig: Callable[..., Rig], small_disk: Path
) -> None:
    changes = {
        "camera": {"stream_at_start": True},
        "journal": {"enabled": True, "folder": small_disk, "rotate_mb": 0.3},
    }
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    rig = start_rig(changes)
    promised = 0
    low = False
    with rig.scope.events("v1.alarm.", "v1.heartbeat.", timeout_s=40) as events:
        for event in events:
            data = event.data
            if event.topic == "v1.heartbeat.":
                promised = max(promised, int(data["recorded_seq"]))  # type: ignore[arg-type] # a number
            elif data["code"] == AlarmCode.DISK:
                low = True
            elif data["code"] == AlarmCode.JOURNAL_ENDED:
                break
        assert low, "the alarm before the disk is full"
        assert "No space left on device" in str(data["detail"])
        assert shutil.disk_usage(small_disk).free < 50_000
        rig.scope.move(2.0)  # the loop goes on, and frames come
        frames = rig.scope.status()["camera"]["frames"]
        for event in events:
            if event.topic == "v1.heartbeat." and int(event.data["unrecorded"]) > 0:  # type: ignore[arg-type] # a number
                assert event.data["state"] == "ACTIVE"
                assert event.data["recorded_seq"] >= promised > 0  # type: ignore[operator] # numbers
                break
        later = (rig.scope.status()["camera"]["frames"] for _ in itertools.islice(events, 20))
        assert any(now > frames for now in later)  # a heartbeat may have waited from before the move
    rig.end()
    (session,) = (path for path in small_disk.iterdir() if path.is_dir())
    lines = list(read_journal(session))
    numbers = [line.n for line in lines if isinstance(line, Entry)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= promised
    assert not any(isinstance(line, TornTail) for line in lines)
    assert replay_journal(session).difference is None

    # The way back, as the alarm says: free the disk, and start the daemon anew.
    assert "restart the daemon" in GUIDE[AlarmCode.JOURNAL_ENDED].remedy
    ballast.unlink()
    again = start_rig({**changes, "camera": {}})
    for event in again.scope.events("v1.heartbeat.", timeout_s=10):
        if event.data["recorded_seq"]:
            assert event.data["unrecorded"] == 0
            break
    again.end()
    (other,) = (path for path in small_disk.iterdir() if path.is_dir() and path != session)
    assert replay_journal(other).difference is None


def test_a_disk_that_is_really_full_ends_a_recording_and_what_was_acknowledged_is_good(small_disk: Path) -> None:
    scene = Scene(small_disk / "run", compression="none")
    scene.recording.start()
    for number in range(1, 1000):
        scene.frame(number)
        scene.wait(lambda: scene.recording.waiting() < 16 or any(isinstance(n, RecordingEnded) for n in scene.news))
        if any(isinstance(news, RecordingEnded) for news in scene.news):
            break
    promised = scene.recording.recorded_seq
    ended = scene.close()
    assert ended.failed
    assert "No space left on device" in ended.detail
    recorded = Recorded(small_disk / "run")
    assert recorded.last >= promised > 0
    stored = [one for one in recorded.frames.values() if one.at is not None]
    assert len(stored) > 50
    assert recorded.verify().good == len(stored)
    assert replay_journal(small_disk / "run").difference is None
