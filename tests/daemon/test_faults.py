"""What a client sees when devices fail under a running daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.client import RequestFailedError, TaskFailedError
from microscoped.simulators import StageModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Rig


def test_a_stuck_stage_is_a_fault_until_it_is_mended_and_resumed(rig: Rig) -> None:
    rig.faults.stage_stuck = True
    with pytest.raises(TaskFailedError) as failed:
        rig.scope.move(2.0)
    assert failed.value.error.code == "fault.stage_not_arrived"
    assert rig.scope.status()["state"] == "FAULT"
    with pytest.raises(RequestFailedError) as refused:
        rig.scope.move(2.0)
    assert refused.value.error.code == "fault"
    rig.faults.stage_stuck = False
    assert rig.scope.resume() == {"state": "IDLE"}
    rig.scope.move(2.0)


def test_a_search_stays_where_the_stage_failed(rig: Rig) -> None:
    task = rig.scope.request("focus.run")["task"]
    rig.faults.stage_stuck = True
    with pytest.raises(TaskFailedError) as failed:
        rig.scope.wait(task)
    assert failed.value.error.code == "fault.stage_not_arrived"
    assert failed.value.result is not None
    assert not failed.value.result["focused"]


def test_a_failed_snap_degrades_and_the_next_frame_mends(rig: Rig) -> None:
    rig.faults.snap_failures = 1
    with pytest.raises(TaskFailedError) as failed:
        rig.scope.snap()
    assert failed.value.error.code == "fault.camera"
    assert rig.scope.status()["state"] == "DEGRADED"
    rig.scope.snap()
    assert rig.scope.status()["state"] == "IDLE"


def test_a_search_stays_where_the_camera_failed(rig: Rig) -> None:
    rig.faults.snap_failures = 1
    with pytest.raises(TaskFailedError) as failed:
        rig.scope.focus()
    assert failed.value.error.code == "fault.camera"
    assert rig.scope.position() != pytest.approx(4.0, abs=0.1)


def test_a_camera_that_hangs_does_not_hang_the_loop(rig: Rig) -> None:
    rig.faults.camera_hang_s = 0.5
    task = rig.scope.request("camera.snap")["task"]
    pings = 0
    while rig.scope.request("task.get", task=task)["task"]["state"] == "running":
        rig.scope.request("ping")
        pings += 1
    assert pings > 10


def test_stop_reaches_the_stage_while_the_camera_hangs(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(stage=StageModel(start_um=-10.0, speed_um_s=10.0))
    rig.scope.request("stage.move", z_um=4.0)
    while not rig.microscope.stage.is_busy():
        pass
    rig.faults.camera_hang_s = 0.5
    rig.scope.request("camera.snap")
    stopped = rig.scope.stop()
    assert stopped["state"] == "stopped"
    assert not rig.microscope.stage.is_busy()


def test_drift_is_found_by_the_next_search(rig: Rig) -> None:
    first = rig.scope.focus()["z_um"]
    rig.faults.drift_um_s = 50.0
    while abs(rig.microscope.stage.optical_z_um(rig.microscope.camera._clock()) - first) < 2.0:
        pass
    rig.faults.drift_um_s = 0.0
    assert rig.scope.focus()["z_um"] < first - 1.0
