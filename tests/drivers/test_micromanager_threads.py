from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from microscoped.drivers.micromanager import MicroManagerMicroscope, demo_config_path
from microscoped.drivers.micromanager.testing import watch_core_threads

if TYPE_CHECKING:
    from collections.abc import Callable


def elsewhere(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call, name="elsewhere")
    thread.start()
    thread.join()


def test_calls_of_the_owner_and_stops_of_anybody_are_allowed() -> None:
    with watch_core_threads() as calls, MicroManagerMicroscope(demo_config_path(), buffer_mb=4) as microscope:
        microscope.camera.snap()
        elsewhere(microscope.stage.stop)
    calls.check()
    names = {call.name for call in calls.counts}
    assert {"loadSystemConfiguration", "snapImage", "stop"} <= names


def test_a_call_from_a_wrong_thread_is_told() -> None:
    with watch_core_threads() as calls, MicroManagerMicroscope(demo_config_path(), buffer_mb=4) as microscope:
        elsewhere(microscope.stage.position_um)
    with pytest.raises(AssertionError, match="getPosition from elsewhere"):
        calls.check()


def test_a_microscope_belongs_to_the_thread_that_opened_it() -> None:
    microscope = MicroManagerMicroscope(demo_config_path(), buffer_mb=4)

    def work() -> None:
        with microscope:
            microscope.camera.snap()

    with watch_core_threads() as calls:
        elsewhere(work)
        elsewhere(work)
    calls.check()
