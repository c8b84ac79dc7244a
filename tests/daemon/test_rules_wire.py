"""Rules over the wire: what they decide is seen, done, recorded, and decided the same again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.client import RequestFailedError
from microscoped.daemon.record import Entry, read_journal, replay_journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Rig

    Start = Callable[..., Rig]

BLURRED = {
    "name": "blurred",
    "when": "sharpness.score > 0",
    "unless": "frame.moving",
    "hold_s": 0.1,
    "action": {"do": "focus", "method": "search", "dose_ms_most": 1000},
    "budget": {"per_h": 2, "dose_ms_per_h": 5000},
}


def test_a_rule_focuses_and_the_recording_decides_the_same(start_rig: Start, tmp_path: Path) -> None:
    rig = start_rig({"record": {"folder": tmp_path, "reserve_mb": 0}})
    scope = rig.scope
    with scope.recording(pixels=False) as begun:
        events = scope.events("v1.decision.", "v1.task.", timeout_s=20)
        (told,) = scope.set_rules([BLURRED])
        assert told["phase"] == "idle"
        scope.snap()
        decision = task = None
        for event in events:
            if event.data.get("kind") == "fired":
                decision = event
            if event.data.get("op") == "focus.run" and event.data["state"] != "running":
                task = event
                break
        assert decision is not None
        assert task is not None
        assert task.data["op"] == "focus.run"
        assert [str(cause) for cause in task.causes] == [str(decision.id)]
        assert task.data["state"] == "done", task.data
        assert abs(scope.position()) < 1.0  # it began at 4 um
        (told,) = scope.rules()
        images = task.data["result"]["images"]
        exposure_ms = scope.status()["camera"]["settings"]["exposure_ms"]
        assert told["dose_ms_h"] == pytest.approx(images * exposure_ms)
        scope.request("rules.clear")
    folder = Path(begun["folder"])
    for _ in range(3):
        replay = replay_journal(folder)
        assert replay.difference is None, str(replay.difference)
    entries = [line for line in read_journal(folder) if isinstance(line, Entry)]
    decisions = [one for line in entries for one in line.decisions if str(one["topic"]).startswith("v1.decision.")]
    assert decision.model_dump(mode="json")["data"] in [one["data"] for one in decisions]


CLOSER = {
    "name": "closer",
    "when": "sharpness.score > 0",
    "action": {"do": "inject", "sequence": {"z_plan": {"relative": [-1, 0, 1]}}, "dose_ms_most": 100},
    "budget": {"per_h": 1, "dose_ms_per_h": 100},
}


def test_a_rule_adds_a_stack_to_a_time_lapse_and_the_recording_decides_the_same(
    start_rig: Start, tmp_path: Path
) -> None:
    rig = start_rig({"record": {"folder": tmp_path, "reserve_mb": 0}})
    scope = rig.scope
    with scope.recording(pixels=False) as begun, scope.events("v1.frame.", timeout_s=20) as events:
        z_um = scope.position()
        task = scope.begin_acquisition({"time_plan": {"interval": 0.05, "loops": 12}})
        scope.set_rules([CLOSER])
        frames = []
        while len(frames) < 15:
            header = next(event.data for event in events)
            if header.get("acquired") is not None:
                frames.append(header)
        assert scope.wait(task)["frames"] == 15
        (told,) = scope.rules()
    added = [header for header in frames if header["acquired"]["batch"] != "plan"]
    assert [header["z_um"] - z_um for header in added] == pytest.approx([-1, 0, 1], abs=0.1)
    assert {header["acquired"]["position"] for header in added} == {"closer"}
    planned = [header for header in frames if header["acquired"]["batch"] == "plan"]
    assert [header["z_um"] - z_um for header in planned] == pytest.approx([0] * 12, abs=0.1)
    assert frames.index(added[0]) < 11  # it waited for none of the plan but the one under way
    assert told["dose_ms_h"] == pytest.approx(sum(header["exposure_ms"] for header in added))
    for _ in range(2):
        replay = replay_journal(Path(begun["folder"]))
        assert replay.difference is None, str(replay.difference)


def test_a_bad_rule_is_shown_with_a_caret(rig: Rig) -> None:
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.set_rules([{**BLURRED, "when": "sharpness.score > 3 um"}])
    assert "rules.blurred.when, line 1, column 17" in refused.value.error.detail
    assert "^" in refused.value.error.detail
    assert rig.scope.rules() == []


def test_rules_of_the_configuration_watch_from_the_start(start_rig: Start) -> None:
    rule = {"name": "slept", "when": "age(sharpness) > 50 ms", "action": {"do": "publish", "note": "nothing comes"}}
    rig = start_rig(rules=[rule])
    for event in rig.scope.events("v1.decision.slept.", "v1.heartbeat.", timeout_s=10):
        (told,) = rig.scope.rules()
        if told["phase"] == "active":
            break
        assert event is not None
    found = rig.scope.request("events.since", topic="v1.decision.slept.", seq=0)["events"]
    assert [one["data"]["kind"] for one in found] == ["unknown", "fired"]
    assert found[-1]["data"]["action"] == {"do": "publish", "note": "nothing comes"}
