"""Recordings over the wire: what a client asks for is in the folder, whole, and decides the same again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.client import RequestFailedError
from microscoped.daemon.record import Ending, Entry, Recorded, read_journal, replay_journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Rig

    Start = Callable[..., Rig]


def start(start_rig: Start, tmp_path: Path, **record: Any) -> Rig:  # noqa: ANN401 - of the configuration
    return start_rig({"record": {"folder": tmp_path / "recordings", "reserve_mb": 0, **record}})


def test_what_is_recorded_is_what_came_and_decides_the_same(start_rig: Start, tmp_path: Path) -> None:
    rig = start(start_rig, tmp_path)
    scope = rig.scope
    with scope.recording("first one") as begun:
        assert begun["state"] == "recording"
        assert Path(begun["folder"]) == tmp_path / "recordings" / "first one"
        header, pixels = scope.snap()
        scope.focus()
        assert scope.status()["recording"]["state"] == "recording"
    after, _ = scope.snap()
    told = scope.status()["recording"]
    recorded = Recorded(Path(told["folder"]))
    assert told["state"] == "ended"
    assert told["frames"] == len(recorded.frames) > 5
    assert told["skipped"] == 0
    assert isinstance(recorded.ending, Ending)
    assert recorded.last == told["recorded_seq"]
    assert after["frame"] not in recorded.frames
    np.testing.assert_array_equal(recorded.pixels(header["frame"]), pixels)
    assert recorded.store.layout.pixel_size_um == 0.325
    assert not recorded.verify().damaged
    replay = replay_journal(recorded.folder)
    assert replay.difference is None, str(replay.difference)
    assert replay.decisions > 0
    ops = [line.data["request"]["op"] for line in entries(recorded.folder) if line.input == "RequestReceived"]  # type: ignore[index,call-overload] # JSON
    assert ops[0] != "record.start"
    assert ops[-1] == "record.stop"


def entries(folder: Path) -> list[Entry]:
    return [line for line in read_journal(folder) if isinstance(line, Entry)]


def test_the_heartbeat_promises_and_the_end_of_the_daemon_keeps(start_rig: Start, tmp_path: Path) -> None:
    rig = start(start_rig, tmp_path)
    rig.scope.request("camera.start")
    folder = Path(rig.scope.start_recording()["folder"])
    promised = 0
    for event in rig.scope.events("v1.heartbeat.", timeout_s=20):
        recording = event.data["recording"]
        assert isinstance(recording, dict)
        promised = recording["recorded_seq"]
        if promised and recording["frames"]:
            break
    rig.end()
    numbers = [line.n for line in entries(folder)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[-1] > promised > numbers[0]
    assert "HardwareClosed" in [line.input for line in entries(folder)]  # to the very end
    recorded = Recorded(folder)
    assert isinstance(recorded.ending, Ending)
    assert not recorded.verify().damaged
    assert replay_journal(folder).difference is None


def test_without_pixels_there_are_inputs_and_decisions_alone(start_rig: Start, tmp_path: Path) -> None:
    rig = start(start_rig, tmp_path, pixels=False)
    with rig.scope.recording() as begun:
        rig.scope.snap()
    assert begun["pixels"] is False
    told = rig.scope.status()["recording"]
    assert (told["frames"], told["skipped"]) == (0, 1)
    assert not (Path(told["folder"]) / "frames.ome.zarr").exists()
    assert replay_journal(Path(told["folder"])).difference is None


@pytest.mark.parametrize("trouble", ["taken", "full"])
def test_a_folder_that_cannot_be_made_is_refused_and_the_daemon_goes_on(
    start_rig: Start, tmp_path: Path, trouble: str
) -> None:
    rig = start(start_rig, tmp_path, reserve_mb=1_000_000 if trouble == "full" else 0)
    (tmp_path / "recordings" / "taken").mkdir(parents=True)
    events = rig.scope.events("v1.alarm.", timeout_s=10)
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.start_recording("taken" if trouble == "taken" else None)
    assert refused.value.error.code == "fault.recording"
    assert ("exists" if trouble == "taken" else "MB are left") in refused.value.error.detail
    assert next(event.data["code"] for event in events if event.data["code"] != "watch.loop_lag") == "recording.ended"
    assert list((tmp_path / "recordings" / "taken").iterdir()) == []
    rig.scope.snap()
    if trouble == "taken":
        with rig.scope.recording("another"):
            rig.scope.snap()
        assert rig.scope.status()["recording"]["frames"] == 1
