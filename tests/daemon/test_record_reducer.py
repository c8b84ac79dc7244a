"""``record.start`` and ``record.stop`` in the reducer: who is answered when, and what becomes of a disk that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.inputs import (
    FramesLeftOut,
    HeartbeatDue,
    RecordingBegan,
    RecordingEnded,
    RecordingProgress,
    TimerFired,
)
from tests.daemon.test_reducer import World, answer, code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.daemon.core import Effect

FOLDER = "/data/one"


def recording(world: World) -> World:
    """A world that records into `FOLDER`."""
    world.open().ask("record.start", folder="one")
    world.hear(RecordingBegan(FOLDER))
    return world


def alarms(effects: Sequence[Effect]) -> list[tuple[str, bool]]:
    told = [one.message["data"] for one in effects if isinstance(one, to_do.Publish) and one.topic == "v1.alarm."]
    return [(data["code"], data["cleared"]) for data in told if isinstance(data, dict)]


def beat(world: World, skipped: int, frames: int = 5) -> tuple[Effect, ...]:
    progress = RecordingProgress(recorded_seq=7, waiting=2, frames=frames, skipped=skipped)
    return world.hear(HeartbeatDue({"p50": 0.1, "p99": 0.1, "max": 0.1}, {}, recording=progress))


def ended(failed: bool = False) -> RecordingEnded:
    return RecordingEnded(FOLDER, "why", failed, last=9, frames=6, skipped=1)


def test_the_answer_comes_when_the_folder_is_made_and_when_all_is_written() -> None:
    world = World().open()
    effects = world.ask("record.start", folder="one", pixels=False)
    assert not [one for one in effects if isinstance(one, to_do.SendReply)]
    (start,) = (one for one in effects if isinstance(one, to_do.StartRecording))
    assert (start.name, start.pixels, start.pixel_size_um) == ("one", False, 0.325)
    told = answer(world.hear(RecordingBegan(FOLDER)))["result"]["recording"]
    assert (told["state"], told["folder"], told["pixels"]) == ("recording", FOLDER, False)
    assert world.state.topics["v1.state."].data["recording"] == FOLDER

    effects = world.ask("record.stop")
    assert not [one for one in effects if isinstance(one, to_do.SendReply)]
    assert to_do.StopRecording("record.stop was asked for") in effects
    told = answer(world.hear(ended()))["result"]["recording"]
    assert told == {
        "state": "ended",
        "folder": FOLDER,
        "pixels": False,
        "recorded_seq": 9,
        "waiting": 0,
        "frames": 6,
        "skipped": 1,
        "detail": "why",
    }
    assert world.state.topics["v1.state."].data["recording"] is None
    assert answer(world.ask("status"))["result"]["recording"] == told


def test_a_recording_has_a_name_of_its_own_where_none_is_given() -> None:
    names = []
    for _ in range(2):
        world = World().open()
        (start,) = (one for one in world.ask("record.start") if isinstance(one, to_do.StartRecording))
        names.append(start.name)
        assert start.pixels
    assert names == ["20260101T000000.000Z-00000000"] * 2  # a replay gives the same one


@pytest.mark.parametrize("folder", ["..", ".", "../x", "a/b", "a\\b", "", "/tmp", "C:", "x.", " x", "a" * 101, "µ", 3])  # noqa: S108 - refused
def test_a_folder_is_a_plain_name(folder: Any) -> None:  # noqa: ANN401 - anything
    world = World().open()
    effects = world.ask("record.start", folder=folder)
    assert code(effects) == "invalid"
    assert world.state.recording is None


def test_what_does_not_fit_the_state_is_refused() -> None:
    assert code(World().ask("record.start")) == "not_ready"
    world = World().open()
    assert code(world.ask("record.stop")) == "not_found"
    recording(world := World())
    assert code(world.ask("record.start")) == "busy"
    world.ask("record.stop")
    assert code(world.ask("record.start")) == "busy"
    again = world.ask("record.stop")  # waits for the same end
    assert not [one for one in again if isinstance(one, to_do.SendReply | to_do.StopRecording)]
    replies = [one for one in world.hear(ended()) if isinstance(one, to_do.SendReply)]
    assert [one.message["ok"] for one in replies] == [True, True]
    assert code(world.ask("record.stop")) == "not_found"
    world.ask("record.start", folder="two")
    assert code(world.hear(RecordingBegan("/data/two"))) is None


@pytest.mark.parametrize("when", ["starting", "recording", "ending"])
def test_a_disk_that_fails_is_an_alarm_and_an_answer_to_all_who_wait(when: str) -> None:
    world = World().open()
    if when == "starting":
        world.ask("record.start")
    else:
        recording(world)
    if when == "ending":
        world.ask("record.stop")
    effects = world.hear(ended(failed=True))
    assert alarms(effects) == [("recording.ended", False)]
    if when == "recording":
        assert not [one for one in effects if isinstance(one, to_do.SendReply)]
    else:
        assert code(effects) == "fault.recording"
    assert answer(world.ask("status"))["result"]["recording"]["state"] == "ended"
    world.ask("record.start")
    assert code(world.hear(RecordingBegan(FOLDER))) is None


def test_a_disk_that_hangs_is_not_waited_for() -> None:
    world = World().open()
    timer = to_do.SetTimer("record", 5_000_000_000 + 2_000_000)
    assert timer in world.ask("record.start")
    assert answer(world.hear(TimerFired("record")))["result"]["recording"]["state"] == "starting"
    assert not [one for one in world.hear(RecordingBegan(FOLDER)) if isinstance(one, to_do.SendReply)]
    world.ask("record.stop")
    assert answer(world.hear(TimerFired("record")))["result"]["recording"]["state"] == "ending"
    assert not [one for one in world.hear(ended()) if isinstance(one, to_do.SendReply)]


def test_frames_that_are_left_out_are_an_alarm_until_none_is() -> None:
    world = recording(World())
    beat(world, skipped=0)
    assert alarms(world.hear(FramesLeftOut("frame-9", "slow"))) == [("recording.frames_left_out", False)]
    assert alarms(world.hear(FramesLeftOut("frame-12", "slow"))) == []  # said once
    assert alarms(beat(world, skipped=4)) == []
    assert alarms(beat(world, skipped=4, frames=9)) == [("recording.frames_left_out", True)]
    world.hear(FramesLeftOut("frame-20", "slow"))
    assert alarms(world.hear(ended())) == [("recording.frames_left_out", True)]


def test_the_heartbeat_says_how_far_the_recording_is() -> None:
    world = World().open()
    (event,) = (one for one in beat(world, 0) if isinstance(one, to_do.Publish) and one.topic == "v1.heartbeat.")
    assert event.message["data"]["recording"] is None  # type: ignore[index,call-overload] # JSON
    recording(world)
    (event,) = (one for one in beat(world, 3) if isinstance(one, to_do.Publish) and one.topic == "v1.heartbeat.")
    told = event.message["data"]["recording"]  # type: ignore[index,call-overload] # JSON
    assert isinstance(told, dict)
    assert {name: told[name] for name in ("state", "recorded_seq", "waiting", "frames", "skipped")} == {
        "state": "recording",
        "recorded_seq": 7,
        "waiting": 2,
        "frames": 5,
        "skipped": 3,
    }


def test_stop_does_not_end_a_recording() -> None:
    world = recording(World())
    effects = world.ask("stop")
    assert not [one for one in effects if isinstance(one, to_do.StopRecording)]
    effects = world.hear(heard_of.ShutdownWanted("the end"))
    assert not [one for one in effects if isinstance(one, to_do.StopRecording)]  # the last inputs belong to it
    assert code(world.ask("record.stop")) == "not_ready"
