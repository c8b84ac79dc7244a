"""A daemon whose clockwork is noted: when each frame was in hand, and when each event had been sent.

Run as ``python _watched.py CONFIG [--notes FILE.npz] [--hungry]``. It is the daemon that ``microscoped run`` starts,
with two additions: its camera's ``take`` is wrapped to note the time, and the loop tells after each input that it is
done. Times are those of ``time.perf_counter_ns``, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from _figures import received_ns

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import load_config
from microscoped.daemon.core.inputs import FrameAdmitted, MeasureEnded
from microscoped.daemon.heap import set_aside
from microscoped.daemon.microscopes import build_microscope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from microscoped.daemon.core import Effect, Input, Now
    from microscoped.drivers.protocols import Camera, CameraFrame, FocusStage, Microscope

SWITCH_S = 0.0005
"""How soon a busy Python thread must let another one run."""


class NotedCamera:
    """A camera whose frames are noted by their numbers: time in hand, and the driver's own stamp."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self.in_hand: dict[int, tuple[int, str | None]] = {}

    def take(self) -> CameraFrame | None:
        frame = self._camera.take()
        if frame is not None:
            self.in_hand[frame.number] = (time.perf_counter_ns(), frame.metadata.get("TimeReceivedByCore"))
        return frame

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the camera has)
        return getattr(self._camera, name)


class NotedMicroscope:
    """A microscope with a noted camera."""

    def __init__(self, microscope: Microscope) -> None:
        self._microscope = microscope
        self.camera: Any = None

    @property
    def stage(self) -> FocusStage:
        return self._microscope.stage

    def describe(self) -> Mapping[str, str]:
        return self._microscope.describe()

    def __enter__(self) -> Self:
        self._microscope.__enter__()
        self.camera = NotedCamera(self._microscope.camera)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._microscope.__exit__(kind, error, trace)


def be_hungry(ending: threading.Event) -> None:
    """Compute in pure Python without a pause: what a careless plug-in does to a process."""
    value = 0
    while not ending.is_set():
        for number in range(1000):
            value = (value * 31 + number) % 1_000_003


def run_as_served(daemon: Daemon) -> int:
    """Run a daemon with what ``microscoped run`` sets in its process; return its exit code."""
    sys.setswitchinterval(SWITCH_S)
    set_aside()
    return daemon.run()


def main() -> int:
    """Run the daemon."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--hungry", action="store_true")
    chosen = parser.parse_args()
    config = load_config(chosen.config)
    microscope = NotedMicroscope(build_microscope(config))
    numbers: dict[str, int] = {}
    published: dict[str, int] = {}
    measured: dict[str, int] = {}
    cpu_s: list[float] = []

    def watch(heard: Input, now: Now, effects: tuple[Effect, ...]) -> None:
        if isinstance(heard, FrameAdmitted):
            published[heard.frame.frame] = time.perf_counter_ns()
            numbers[heard.frame.frame] = heard.frame.number
            cpu_s[1:] = [time.process_time()]  # the first and the last
        elif isinstance(heard, MeasureEnded):
            measured[heard.frame] = time.perf_counter_ns()

    ending = threading.Event()
    hungry = threading.Thread(target=be_hungry, args=(ending,))
    if chosen.hungry:
        hungry.start()
    try:
        code = run_as_served(Daemon(config, microscope=microscope, watch=watch))
    finally:
        ending.set()
        if chosen.hungry:
            hungry.join()
    if chosen.notes is not None:
        frames = [frame for frame in published if numbers[frame] in microscope.camera.in_hand]
        notes = [microscope.camera.in_hand[numbers[frame]] for frame in frames]
        np.savez(
            chosen.notes,
            frame=np.array(frames),
            number=np.array([numbers[frame] for frame in frames]),
            received_ns=received_ns([stamp for _, stamp in notes]),
            in_hand_ns=np.array([moment for moment, _ in notes], float),
            published_ns=np.array([published[frame] for frame in frames], float),
            measured_ns=np.array([measured.get(frame, np.nan) for frame in frames], float),
            cpu_s=np.array(cpu_s[-1] - cpu_s[0] if cpu_s else np.nan),
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
