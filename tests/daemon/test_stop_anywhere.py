"""Stop and preemption in the middle of everything, on a running daemon."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.client import RequestFailedError, Scope
from microscoped.simulators import StageModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Rig

STOPS = 40


@pytest.mark.slow
def test_stop_at_any_moment_of_anything_leaves_the_stage_still(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(
        {"focus": {"range_um": 5}, "stage": {"overshoot_um": 0.5}}, stage=StageModel(start_um=0.0, speed_um_s=40.0)
    )
    stage = rig.microscope.stage
    chance = random.Random(1)  # noqa: S311 - a reproducible choice of moments
    deeds = ("stage.move", "focus.run", "acquire.run", "camera.snap", "camera.start", "camera.stop", "task.list")
    sequence = {"z_plan": {"range": 6, "step": 0.5}, "autofocus_plan": {"axes": ["z"]}}
    for _ in range(STOPS):
        for deed in chance.sample(deeds, 3):
            try:
                params = {"stage.move": {"z_um": chance.uniform(-7, 7)}, "acquire.run": {"sequence": sequence}}
                rig.scope.request(deed, **params.get(deed, {}))
            except RequestFailedError as error:
                assert error.error.code in ("busy", "not_ready", "limit.step"), error
        pause_until = time.perf_counter() + chance.uniform(0, 0.15)
        while time.perf_counter() < pause_until:
            pass
        stopped = rig.scope.stop()
        assert stopped["state"] == "stopped"
        assert stopped["issue_ms"] < 1000
        here = stage.position_um()
        assert not [task for task in rig.scope.request("task.list")["tasks"] if task["state"] == "running"]
        assert rig.scope.status()["state"] == "STOPPED"
        assert stage.position_um() == here
        assert rig.scope.resume()["state"] in ("IDLE", "ACTIVE")
        assert stage.position_um() == here  # nothing that waited comes to life again
    rig.scope.move(1.0, relative=True)


def test_the_holder_of_the_lease_interrupts_a_search_and_arrives(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(stage=StageModel(start_um=4.0, speed_um_s=20.0))
    task = rig.scope.request("focus.run")["task"]
    while not rig.microscope.stage.is_busy():
        pass
    with Scope(rig.daemon.endpoints.control, timeout_s=20) as operator, operator.lease("operator"):
        assert operator.move(3.0)["z_um"] == pytest.approx(3.0, abs=0.1)
    ended = rig.scope.request("task.get", task=task)["task"]
    assert ended["state"] == "preempted"
    assert ended["error"]["data"]["by"] == "stage.move"
    assert rig.scope.position() == pytest.approx(3.0, abs=0.1)  # the search did not drag it away again
