"""What happens when things break: for each fault the state reached, the alarm, the time to notice, and the way back.

Set ``MICROSCOPED_FAULT_TABLE`` to the path of a file, and the measured rows are appended to it as Markdown.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.client import RequestFailedError
from microscoped.models.sharpness import SharpnessEngine
from microscoped.simulators import StageModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from tests.conftest import Rig


class MoodyEngine(SharpnessEngine):
    """A sharpness engine that can be made to fail, to hang, or to keep the interpreter busy."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.hang_s = 0.0
        self.hog_s = 0.0

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.fails:
            raise RuntimeError("an injected fault")
        if self.hang_s > 0:
            hang_s, self.hang_s = self.hang_s, 0.0
            time.sleep(hang_s)
        if self.hog_s > 0:
            hog_s, self.hog_s = self.hog_s, 0.0
            # One call that holds the interpreter: what a badly written extension does.
            sum(range(int(hog_s * 4e7)))
        return super().measure(frames, options)


@dataclass(frozen=True)
class Fault:
    """One row.

    `alarm` is None where nobody needs to be called; `state` is what the daemon is in then; `back` brings it back to
    IDLE or ACTIVE.
    """

    name: str
    inject: Callable[[Rig, MoodyEngine], None]
    alarm: str | None
    state: str
    back: Callable[[Rig], object] = lambda rig: None
    stream: bool = False
    within_s: float = 3.0


def fault(**faults: Any) -> Callable[[Rig, MoodyEngine], None]:  # noqa: ANN401 - fields of Faults
    def inject(rig: Rig, engine: MoodyEngine) -> None:
        for name, value in faults.items():
            setattr(rig.faults, name, value)

    return inject


def then(inject: Callable[[Rig, MoodyEngine], None], op: str, **params: Any) -> Callable[[Rig, MoodyEngine], None]:  # noqa: ANN401
    def both(rig: Rig, engine: MoodyEngine) -> None:
        inject(rig, engine)
        rig.scope.request(op, **params)

    return both


def mood(**moods: Any) -> Callable[[Rig, MoodyEngine], None]:  # noqa: ANN401 - fields of MoodyEngine
    def inject(rig: Rig, engine: MoodyEngine) -> None:
        for name, value in moods.items():
            setattr(engine, name, value)

    return inject


def mended(**faults: Any) -> Callable[[Rig], object]:  # noqa: ANN401 - fields of Faults
    def back(rig: Rig) -> None:
        for name, value in faults.items():
            setattr(rig.faults, name, value)
        while rig.scope.status()["state"] == "FAULT":
            try:
                rig.scope.resume()
            except RequestFailedError as error:
                assert error.error.code.startswith("fault")

    return back


def snap(rig: Rig) -> object:
    return rig.scope.snap()


def stream_again(rig: Rig) -> object:
    rig.faults.lose_every = 0
    return rig.scope.request("camera.start")


FAULTS = [
    Fault("a snap fails", then(fault(snap_failures=1), "camera.snap"), "fault.camera", "DEGRADED", snap),
    Fault(
        "the camera fails in a stream", fault(take_failures=1), "fault.camera", "DEGRADED", stream_again, stream=True
    ),
    Fault("the sequence stops by itself", fault(sequence_dies=True), "fault.camera", "DEGRADED", stream_again, True),
    Fault("no frame comes any more", fault(lose_every=1), "fault.frame_timeout", "DEGRADED", stream_again, True),
    Fault("frames are old ones", fault(frame_age_s=60.0), "watch.frame_age", "ACTIVE", mended(frame_age_s=0.0), True),
    Fault(
        "the camera's driver hangs",
        then(fault(camera_hang_s=7.5), "camera.snap"),
        "fault.hardware_silent",
        "FAULT",
        mended(),
        within_s=9.0,
    ),
    Fault(
        "the stage is stuck",
        then(fault(stage_stuck=True), "stage.move", z_um=5.0),
        "fault.stage_not_arrived",
        "FAULT",
        mended(stage_stuck=False),
    ),
    Fault(
        "the resting stage does not answer",
        fault(stage_failures=10**9),
        "fault.stage",
        "FAULT",
        mended(stage_failures=0),
    ),
    Fault(
        "the stage refuses a command",
        then(fault(stage_failures=2), "stage.move", z_um=5.0),
        "fault.stage",
        "FAULT",
        mended(stage_failures=0),
    ),
    Fault(
        "the stage fails in a search",
        then(fault(stage_failures=2), "focus.run"),
        "fault.stage",
        "FAULT",
        mended(stage_failures=0),
    ),
    Fault("the stage lies about busy", then(fault(busy_lies=True), "stage.move", z_um=0.0), None, "IDLE"),
    Fault("frames are lost on the way", fault(lose_every=3), None, "ACTIVE", stream=True),
    Fault(
        "the stage's driver does not return from its stop",
        then(fault(stop_hang_s=3.0), "stop"),
        "stop.stuck",
        "STOPPED",
        lambda rig: rig.scope.resume(),
        within_s=4.0,
    ),
    Fault("a hand turns the knob", lambda rig, _: rig.microscope.stage.move_to(6.0), "stage.moved", "IDLE"),
    Fault(
        "the holder of the lease vanishes",
        lambda rig, _: rig.scope.request("stage.lease", name="gone", ttl_s=0.2),
        "lease.expired",
        "IDLE",
    ),
    Fault("an engine raises", mood(fails=True), "fault.engine", "ACTIVE", stream=True),
    Fault("an engine hangs", mood(hang_s=9.0), "watch.engine_late", "ACTIVE", stream=True, within_s=12.0),
    Fault("something holds the interpreter", mood(hog_s=2.0), "watch.loop_lag", "ACTIVE", stream=True, within_s=8.0),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.name)
def test_a_fault_is_noticed_told_and_survived(start_rig: Callable[..., Rig], row: Fault) -> None:
    engine = MoodyEngine()
    rig = start_rig(
        {"stage": {"timeout_s": 0.5, "position_interval_s": 0.1}},
        stage=StageModel(start_um=4.0, speed_um_s=100.0),
        engines=[engine],
    )
    if row.stream:
        rig.scope.request("camera.start")
        rig.scope.frame(wait_s=5)
    with rig.scope.events("v1.alarm.", timeout_s=row.within_s + 5) as events:
        began = time.perf_counter()
        row.inject(rig, engine)
        noticed_s = None
        if row.alarm is not None:
            alarm = next(event.data for event in events if event.data["code"] == row.alarm)
            noticed_s = time.perf_counter() - began
            assert not alarm["cleared"]
            assert alarm["detail"]
            assert noticed_s < row.within_s
        for task in rig.scope.request("task.list")["tasks"]:
            if row.alarm is None:
                rig.scope.wait(task["task"])
    assert rig.scope.status()["state"] == row.state
    assert rig.scope.request("ping")["uptime_s"] > 0
    row.back(rig)
    engine.fails = False
    for name in ("busy_lies", "lose_every"):
        setattr(rig.faults, name, False)
    if row.stream:
        rig.scope.frame(newer_than=rig.scope.frame()[0]["frame"], wait_s=15)
    else:
        rig.scope.move(3.0)
    assert rig.scope.status()["state"] in ("IDLE", "ACTIVE")
    _write(row, noticed_s)


def _write(row: Fault, noticed_s: float | None) -> None:
    path = os.environ.get("MICROSCOPED_FAULT_TABLE")
    if path:
        noticed = "-" if noticed_s is None else f"{noticed_s:.2f} s"
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"| {row.name} | {row.state} | {row.alarm or 'none: counted or dealt with'} | {noticed} |\n")


def test_a_clock_that_jumps_an_hour_moves_nothing(start_rig: Callable[..., Rig]) -> None:
    offset_ns = 0
    rig = start_rig(clock=lambda: time.perf_counter_ns() + offset_ns)
    rig.scope.request("stage.lease", name="Ada", ttl_s=60)
    with rig.scope.events("v1.alarm.", timeout_s=5) as events:
        offset_ns = 3_600_000_000_000
        assert next(events).data["code"] in ("lease.expired", "fault.hardware_silent")
    assert rig.microscope.stage.position_um() == pytest.approx(4.0)
    while rig.scope.status()["state"] == "FAULT":
        rig.scope.resume()
    rig.scope.move(3.0)
