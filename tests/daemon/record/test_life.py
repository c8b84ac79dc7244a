"""A real life of the daemon, its journal, and its replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.core.inputs import HeartbeatDue
from microscoped.daemon.record import Ending, Entry, Header, read_journal, replay_journal
from microscoped.simulators import Faults, SimulatedMicroscope, StageModel
from tests.conftest import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microscoped.daemon.core import Effect, Input, Now, State
    from microscoped.simulators.brightfield import BrightfieldScene
    from tests.conftest import Rig


def lead_a_life(rig: Rig) -> None:
    """Focus, move, stop, fail."""
    rig.scope.focus()
    rig.scope.request("stage.move", z_um=6.0)
    rig.scope.stop()
    rig.scope.resume()
    rig.scope.snap()
    with pytest.raises(Exception, match="invalid"):
        rig.scope.request("camera.set", binning=7)
    rig.faults.take_failures = 1
    for event in rig.scope.events("v1.alarm.", timeout_s=5):
        assert event.data["code"] == "fault.camera"
        break


def session(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


@pytest.mark.parametrize("rotate_mb", [64.0, 0.1])
def test_a_life_of_the_daemon_replays_equal_from_its_journal(
    start_rig: Callable[..., Rig], tmp_path: Path, rotate_mb: float
) -> None:
    life: list[tuple[Input, Now, tuple[Effect, ...]]] = []
    rig = start_rig(
        {
            "camera": {"stream_at_start": True},
            "journal": {"enabled": True, "folder": tmp_path, "rotate_mb": rotate_mb},
        },
        stage=StageModel(start_um=4.0, speed_um_s=50.0),
        watch=lambda heard, now, effects: life.append((heard, now, effects)),
    )
    lead_a_life(rig)
    rig.end()
    lines = list(read_journal(session(tmp_path)))
    entries = [line for line in lines if isinstance(line, Entry)]
    assert [(entry.n, entry.mono_ns, entry.utc, entry.input) for entry in entries] == [
        (now.number, now.mono_ns, now.utc, type(heard).__name__) for heard, now, _ in life
    ]
    last = lines[-1]
    assert isinstance(last, Ending)
    assert (last.end, last.last, last.unrecorded) == ("closed", len(life), 0)
    headers = [line for line in lines if isinstance(line, Header)]
    assert (len(headers) > 1) == (rotate_mb < 1)
    replay = replay_journal(session(tmp_path))
    assert replay.difference is None, str(replay.difference)
    assert replay.inputs == len(life) > 60
    assert replay.decisions > 20
    for file in session(tmp_path).iterdir():  # each file can be replayed by itself
        assert replay_journal(file).difference is None


def test_the_heartbeat_tells_how_far_the_journal_is(start_rig: Callable[..., Rig], tmp_path: Path) -> None:
    rig = start_rig({"journal": {"enabled": True, "folder": tmp_path}})
    beats: list[dict[str, Any]] = []
    for event in rig.scope.events("v1.heartbeat.", timeout_s=5):
        beats.append(dict(event.data))
        if len(beats) == 2:
            break
    rig.end()
    assert 0 < beats[0]["recorded_seq"] < beats[1]["recorded_seq"]
    assert 0 < beats[1]["durable_seq"] <= beats[1]["recorded_seq"]
    assert beats[1]["unrecorded"] == 0


def test_the_input_that_breaks_the_loop_is_in_the_journal(
    scene: BrightfieldScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microscoped.daemon.runtime import loop

    right = loop.step

    def broken(state: State, heard: Input, now: Now) -> tuple[State, tuple[Effect, ...]]:
        if isinstance(heard, HeartbeatDue):
            raise ZeroDivisionError("a bug")
        return right(state, heard, now)

    monkeypatch.setattr(loop, "step", broken)
    config = Config.model_validate({**CONFIG, "journal": {"folder": tmp_path}})
    daemon = Daemon(config, microscope=SimulatedMicroscope(scene, StageModel(), faults=Faults()))
    with pytest.raises(ZeroDivisionError):
        daemon.run()
    *_, entry, ending = read_journal(session(tmp_path))
    assert isinstance(entry, Entry)
    assert entry.input == "HeartbeatDue"
    assert isinstance(ending, Ending)


def test_without_a_journal_the_heartbeat_says_so_and_nothing_is_written(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig()
    for event in rig.scope.events("v1.heartbeat.", timeout_s=5):
        assert (event.data["recorded_seq"], event.data["durable_seq"]) == (None, None)
        break
    assert rig.daemon.journal is None
