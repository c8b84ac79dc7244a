"""Lens-free frames through the wire: reconstructed and measured in a process of its own."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.engines import cells_engine
from microscoped.daemon.microscopes import build_microscope
from microscoped.daemon.protocol.events import MeasureData
from microscoped.daemon.runtime import ProcessEngine
from microscoped.models.cells import from_arrow
from microscoped.simulators import SimulatedMicroscope
from tests.conftest import CONFIG, Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHAPE = (128, 144)
Z_UM = 400.0
READING: dict[str, Any] = {
    "z_um": Z_UM,
    "focus_range_um": 0,
    "dark_count": 100,
    "led_um": 50,
    "led_distance_um": 50_000,
    "bandwidths_nm": [20, 33, 22],
    "iterations": 6,
    "accelerator": "none",
    "unwrapper": "none",
}


def configured(**reading: Any) -> Config:  # noqa: ANN401 - keys of the section
    cells = {"enabled": True, "source": "lensfree", "network": "none", "lensfree": {**READING, **reading}}
    return Config.model_validate(
        {
            **CONFIG,
            "microscope": {"kind": "lensfree", "shape_px": SHAPE, "z_um": Z_UM, "z_error_um": 0, "max_fps": 20},
            "optics": {"pixel_size_um": 1.67},
            "engines": {"cells": cells},
            "focus": {"pair": {"enabled": False}},
        }
    )


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def begin(config: Config) -> Rig:
        microscope = build_microscope(config)
        assert isinstance(microscope, SimulatedMicroscope)
        rig = Rig(Daemon(config, microscope=microscope), microscope)
        rigs.append(rig)
        while rig.scope.status()["state"] == "STARTING":
            pass
        return rig

    yield begin
    for rig in rigs:
        rig.end()
        assert rig.exit_code == 0


def test_frames_become_tables_while_other_engines_see_more_of_them(start: Callable[..., Rig]) -> None:
    rig = start(configured())
    engine = rig.daemon._loop._engines._apart[0]
    sharp = 0
    with rig.scope.tables(timeout_s=50) as heard, rig.scope.events("v1.measure.sharpness.", timeout_s=20) as events:
        rig.scope.request("camera.start")
        one = next(iter(heard))
        first = engine.pid
        rig.scope.request("camera.stop")
        for event in events:
            sharp += not event.data["skipped"]
            if sharp > 3:
                break
    MeasureData.model_validate(one.event.data)
    values = one.values
    source = values["source"]
    assert (source["kind"], source["iterations"], source["z_um"]) == ("lensfree", [6], Z_UM)
    # The simulated shifts, in the order of the channels, against green.
    np.testing.assert_allclose(source["shifts_um"], [(-1.7, 2.6), (0, 0), (2.1, -1.4)], atol=0.3)
    table = from_arrow(one.parts["cells"])
    assert len(table) == values["count"] > 3
    assert table.shape_px == SHAPE
    assert first != os.getpid()
    told = rig.scope.request("describe")["cells"]
    assert (told["source"], told["accelerator"], told["unwrapper"]) == ("lensfree", "", "")

    # The process is killed: an alarm, and the next frame is measured by another one, whose cells are all new.
    assert first is not None
    series = [values["tracks"]["series"]]
    with rig.scope.events("v1.alarm.", "v1.measure.cells.", timeout_s=50) as events:
        os.kill(first, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        time.sleep(0.2)
        alarms = []
        rig.scope.snap()
        for event in events:
            if event.topic == "v1.alarm.":
                if event.data["code"] != "fault.engine":
                    continue  # of a busy computer
                alarms.append((event.data["code"], event.data["cleared"]))
                if event.data["cleared"]:
                    break
                assert "its process ended with exit code" in str(event.data["detail"])
                rig.scope.snap()
            elif not event.data["skipped"]:
                tracks: Any = event.data["values"]["tracks"]  # type: ignore[index, call-overload] # JSON
                series.append(tracks["series"])
    assert series[0] == 1
    assert series[-1] > 1000
    assert alarms == [("fault.engine", False), ("fault.engine", True)]
    assert engine.pid not in (None, first)


def test_a_network_that_is_named_and_not_there_is_told() -> None:
    found = cells_engine(configured(accelerator="lensfree_accelerate_light"))
    if isinstance(found, str):
        assert "lensfree_accelerate_light" in found
    else:
        assert found[1].accelerator == "lensfree_accelerate_light"
        assert [artefact.name for artefact in found[2]] == ["lensfree_accelerate_light"]


def test_the_engine_is_one_of_its_own_process_and_may_take_as_long_as_is_configured() -> None:
    config = configured(late_s=77)
    found = cells_engine(config)
    assert not isinstance(found, str)
    assert isinstance(found[0], ProcessEngine)
    from microscoped.daemon.settings import core_settings

    assert core_settings(config, {}).engine_late_s == {"cells": 77}
