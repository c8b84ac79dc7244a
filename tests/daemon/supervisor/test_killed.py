"""``kill -9`` of a supervised daemon at work, at random moments: nothing that it told is lost, and it comes up in SAFE.

Three kills by default; ``MICROSCOPED_KILLS=30`` for more.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.client import RequestFailedError, Scope
from microscoped.daemon.record import Entry, read_journal, replay_journal
from tests.daemon.supervisor.test_processes import LIMIT_S, SIMULATED, start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.daemon.supervisor.test_processes import Start

__all__ = ["start"]

KILLS = int(os.environ.get("MICROSCOPED_KILLS", "3"))
KILLS_OF_ONE_RUN = 2
"""Fewer than the crashes after which a supervisor lets its daemon stay down: each pair has a supervisor of its own."""
WITHIN_S = 1.5
PLAN = [KILLS_OF_ONE_RUN] * (KILLS // KILLS_OF_ONE_RUN) + [KILLS % KILLS_OF_ONE_RUN] * (KILLS % KILLS_OF_ONE_RUN > 0)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60 + 15 * KILLS_OF_ONE_RUN),
    pytest.mark.skipif(sys.platform == "win32", reason="these tests kill processes with POSIX signals"),
]


def work_until_killed(scope: Scope, child: int, moments: random.Random) -> int:
    """Keep stage and camera busy and kill at a random moment; return what was last told to be recorded."""
    told = 0
    ends_s: float | None = None
    up = True
    with scope.events("v1.heartbeat.", "v1.measure.", "v1.task.", timeout_s=LIMIT_S) as events:
        scope.request("camera.start")
        scope.request("stage.move", z_um=6.0)
        for event in events:
            if event.topic == "v1.heartbeat.":
                told = max(told, int(event.data["recorded_seq"]))  # type: ignore[arg-type] # a number
                ends_s = ends_s or time.monotonic() + moments.uniform(0, WITHIN_S)
            elif event.topic.startswith("v1.task.") and event.data["state"] == "done":
                up = not up
                scope.request("stage.move", z_um=6.0 if up else 2.0)
            if told and ends_s is not None and time.monotonic() >= ends_s:
                os.kill(child, signal.SIGKILL)
                return told
    raise AssertionError("the events ended")


def check_motionless(scope: Scope, crash: int) -> None:
    """It is in SAFE, says why, neither moves nor streams, and refuses to."""
    found = scope.status()
    assert found["state"] == "SAFE"
    assert "SIGKILL" in found["reason"]
    assert f"crash {crash} of 3" in found["reason"]
    assert found["tasks"] == []
    assert found["camera"]["streaming"] is False
    assert found["camera"]["frames"] == 0
    with pytest.raises(RequestFailedError, match="came up motionless"):
        scope.request("stage.move", z_um=3.0)
    places = [scope.request("stage.position") for _ in range(2)]
    assert [place["moving"] for place in places] == [False, False]
    assert places[0]["z_um"] == pytest.approx(places[1]["z_um"], abs=0.05)


def check_journal(session: Path, told: int) -> bool:
    """It holds every input to the last that was told, and decides the same again; return whether its end is torn."""
    lines = [line for line in read_journal(session) if isinstance(line, Entry)]
    assert [line.n for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) >= told > 0
    assert {op for line in lines if (op := asked(line))} >= {"camera.start", "stage.move"}
    assert any(line.input == "FrameAdmitted" for line in lines)
    if lines[0].input == "StartedSafe":
        check_quiet(lines)
    replayed = replay_journal(session)
    assert replayed.difference is None, str(replayed.difference)
    return replayed.torn is not None


def asked(line: Entry) -> str | None:
    """The op of a request."""
    if line.input != "RequestReceived":
        return None
    request = line.data["request"]  # type: ignore[index,call-overload] # JSON
    return str(request["op"])  # type: ignore[index,call-overload] # JSON


def check_quiet(lines: Sequence[Entry]) -> None:
    """Until somebody said resume, nothing moved and no frame was taken."""
    before = list(itertools.takewhile(lambda line: asked(line) != "resume", lines))
    assert len(before) < len(lines)
    assert all(line.input != "FrameAdmitted" for line in before)
    states = [event["data"] for line in before for event in line.decisions if event["topic"] == "v1.state."]
    assert {(state["state"], state["moving"], state["streaming"]) for state in states} == {("SAFE", False, False)}  # type: ignore[index,call-overload] # JSON


@pytest.mark.parametrize(("number", "kills"), list(enumerate(PLAN, start=1)))
def test_a_killed_child_has_lost_nothing_and_comes_up_motionless(
    start: Start, tmp_path: Path, number: int, kills: int
) -> None:
    moments = random.Random(number)  # noqa: S311 - when to kill is no secret
    journals = tmp_path / "journals"
    journal: dict[str, Any] = {"folder": str(journals), "rotate_mb": 0.1}
    stage: dict[str, Any] = {**SIMULATED["stage"], "overshoot_um": 1}
    camera: dict[str, Any] = {"exposure_ms": 5, "stream_at_start": True}
    torn = 0
    known: set[Path] = set()
    with start(journal=journal, stage=stage, camera=camera) as running:
        child = running.child()
        scope = running.scope()
        for crash in range(1, kills + 1):
            with scope:
                told = work_until_killed(scope, child, moments)
            (session,) = set(journals.iterdir()) - known
            known.add(session)
            restarted = running.child()
            assert restarted != child
            child, scope = restarted, running.scope()
            check_motionless(scope, crash)
            torn += check_journal(session, told)
            assert scope.request("resume")["state"] in ("IDLE", "ACTIVE")
        with scope:
            scope.request("shutdown")
        assert running.process.wait(LIMIT_S) == 0
    assert len(list(journals.iterdir())) == kills + 1
    print(f"{kills} kills of a supervised daemon, {torn} torn ends")
