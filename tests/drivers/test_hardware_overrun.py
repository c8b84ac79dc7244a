"""A camera that gives frames faster than they can be fetched must not keep the hardware thread from its commands."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING

import numpy as np

from microscoped.drivers import FocusDirection
from microscoped.drivers import commands as c
from microscoped.drivers.hardware import HardwareSettings, HardwareThread
from microscoped.drivers.safety import MotionSettings
from microscoped.simulators import SimulatedMicroscope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.drivers.commands import HardwareEvent
    from microscoped.drivers.protocols import Pixels

FEW = 5


class SlowScene:
    """A scene whose frames take longer to fetch than the camera takes to expose the next ones."""

    shape = (64, 64)
    bit_depth = 8

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        time.sleep(0.01)
        return np.zeros(self.shape, np.uint8)

    def describe(self) -> Mapping[str, str]:
        return {}


def test_commands_are_heard_between_frames_that_never_end() -> None:
    heard: queue.Queue[HardwareEvent] = queue.Queue()
    motion = MotionSettings(limits_um=(-10.0, 10.0), focus_direction=FocusDirection.TOWARD_SAMPLE)
    microscope = SimulatedMicroscope(SlowScene(), exposure_ms=1.0, max_fps=1000.0)
    thread = HardwareThread(microscope, HardwareSettings(motion), heard.put)
    thread.start()
    try:
        thread.submit(c.StartStream(id="start"))
        while not isinstance(heard.get(timeout=10), c.FrameTaken):
            pass
        thread.submit(c.ReadPosition(id="where"))
        before = 0
        while not isinstance(heard.get(timeout=10), c.Result):
            before += 1
            assert before <= FEW, "frame after frame, and the command still waits"
    finally:
        thread.close()
        assert thread.join(10)
