"""An engine in a process of its own: what it measures, and what becomes of it when one of both ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.core.inputs import FrameSkipped, MeasureEnded
from microscoped.daemon.protocol import ErrorCode
from microscoped.daemon.runtime import EngineProcessError, ProcessEngine
from microscoped.daemon.runtime.engines import EngineThreads, MeasuredWithParts
from microscoped.daemon.runtime.process_engine import MOST_DEATHS
from microscoped.models import Measurement
from tests.conftest import REPOSITORY
from tests.daemon.apart import Apart, build, build_held, build_none

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FRAME = np.arange(24, dtype=np.uint16).reshape(2, 4, 3)
WAIT_S = 30.0


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """A spawned process finds ``tests`` where this one's path leads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY))
        yield


@pytest.fixture(scope="module")
def apart() -> Iterator[ProcessEngine]:
    engine = ProcessEngine("cells", 1, build)
    yield engine
    engine.close()


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_measures_elsewhere_and_tells_what_it_would_here(apart: ProcessEngine) -> None:
    here = Apart().measure([FRAME[:, ::2]], {})
    there = apart.measure([FRAME[:, ::2]], {})
    same = ("sums", "dtypes", "shapes")
    assert [there[name] for name in same] == [here[name] for name in same]
    assert there["pid"] == apart.pid != os.getpid()
    second = apart.measure([np.zeros((5, 7), np.float32)], {"parts": True})
    assert isinstance(second, Measurement)
    assert second.parts[0].data == b"abc"
    assert second.values["count"] == there["count"] + 1  # the very process that measured the first one


def test_refusals_and_failures_are_told_apart_and_end_nothing(apart: ProcessEngine) -> None:
    before = apart.measure([FRAME], {})["count"]
    with pytest.raises(ValueError, match="frame: shape"):
        apart.measure([FRAME], {"refuses": "frame: shape"})
    with pytest.raises(EngineProcessError, match="KeyError: 'why'"):
        apart.measure([FRAME], {"fails": "why"})
    assert apart.measure([FRAME], {})["count"] == before + 3


def test_an_engine_that_cannot_be_built_is_told_with_each_frame() -> None:
    engine = ProcessEngine("cells", 1, build_none)
    for _ in range(2):
        with pytest.raises(EngineProcessError, match="RuntimeError: there is no such network"):
            engine.measure([FRAME], {})
    engine.close()


def test_a_process_that_dies_is_told_and_started_again_but_not_for_ever() -> None:
    engine = ProcessEngine("cells", 1, build)
    assert engine.pid is None
    for deaths in range(MOST_DEATHS):
        assert engine._deaths == deaths
        with pytest.raises(EngineProcessError, match="its process ended with exit code 7 before"):
            engine.measure([FRAME], {"dies": 7})
        assert engine.pid is None
    with pytest.raises(EngineProcessError, match=f"died {MOST_DEATHS} times in a row and is not started again"):
        engine.measure([FRAME], {})
    engine.close()


def test_a_process_that_hangs_is_ended_and_started_again() -> None:
    engine = ProcessEngine("cells", 1, build, hung_s=WAIT_S)
    first = engine.measure([FRAME], {})["pid"]
    engine._hung_s = 0.2
    with pytest.raises(EngineProcessError, match=r"its process hung for 0.2 s and was ended before"):
        engine.measure([FRAME], {"hangs": True})
    engine._hung_s = WAIT_S
    assert engine.measure([FRAME], {})["pid"] != first
    engine.close()


def test_what_it_logs_is_logged_here(apart: ProcessEngine, caplog: pytest.LogCaptureFixture) -> None:
    apart.measure([FRAME], {"warns": "warm"})
    (record,) = [one for one in caplog.records if one.name == "microscoped.apart"]
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("it is warm")
    assert "KeyError: 'why'" in record.getMessage()


@pytest.mark.skipif(sys.platform == "win32", reason="looks for processes as POSIX has them")
def test_it_ends_with_the_daemon_whatever_it_does(tmp_path: Path) -> None:
    """The daemon is killed while the engine measures: nothing is left."""
    hold = tmp_path / "never"
    program = (
        "import sys, threading, time; from functools import partial; from pathlib import Path; import numpy as np\n"
        "from microscoped.daemon.runtime import ProcessEngine; from tests.daemon.apart import build_held\n"
        "hold = Path(sys.argv[1])\n"
        "engine = ProcessEngine('cells', 1, partial(build_held, hold))\n"
        "threading.Thread(target=engine.measure, args=([np.zeros((2, 2))], {})).start()\n"
        "while not hold.with_suffix('.began').exists(): time.sleep(0.01)\n"
        "print(engine.pid, flush=True)\n"
    )
    words = [sys.executable, "-c", program, str(hold)]
    daemon = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert daemon.stdout is not None
    pid = int(daemon.stdout.readline())
    assert not gone(pid)
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    daemon.stdout.close()
    until(lambda: gone(pid))


# On threads of engines

Heard = MeasureEnded | MeasuredWithParts | FrameSkipped


class Quick:
    name = "quick"
    frames = 1

    def measure(self, frames: Any, options: Any) -> dict[str, Any]:  # noqa: ANN401 - an Engine's
        return {"thread": threading.current_thread().name}


def test_while_it_measures_others_go_on_and_the_newest_frame_waits(tmp_path: Path) -> None:
    heard: list[Heard] = []
    hold = tmp_path / "go"
    engines = EngineThreads(
        [Quick(), ProcessEngine("cells", 1, partial(build_held, hold))], heard.append, time.monotonic_ns
    )
    engines.start()
    engines.offer("cells", "frame-0", FRAME, {})
    until(hold.with_suffix(".began").exists)
    assert engines.queues() == {"engines": 0, "engines.cells": 1}
    for number in (1, 2, 3):
        engines.offer("cells", f"frame-{number}", FRAME, {})
        engines.offer("quick", f"frame-{number}", FRAME, {})
        until(lambda number=number: any(_of(one) == ("quick", f"frame-{number}") for one in heard))  # type: ignore[misc] # bound
    assert engines.queues()["engines.cells"] == 2
    assert not [one for one in heard if _of(one)[0] == "cells" and not isinstance(one, FrameSkipped)]
    hold.touch()
    until(lambda: any(_of(one) == ("cells", "frame-3") for one in heard))
    until(lambda: engines.queues()["engines.cells"] == 0)
    assert engines.close(10)
    skipped = [one.frame for one in heard if isinstance(one, FrameSkipped)]
    assert skipped == ["frame-1", "frame-2"]


def _of(one: Heard) -> tuple[str, str]:
    ended = one.ended if isinstance(one, MeasuredWithParts) else one
    return ended.engine, ended.frame


def test_a_death_is_an_engines_fault_and_the_next_frame_is_measured() -> None:
    heard: list[Heard] = []
    apart = ProcessEngine("cells", 1, build)
    engines = EngineThreads([apart], heard.append, time.monotonic_ns)
    engines.start()
    engines.measure("one", "cells", {"frame-0": FRAME}, {"dies": 9})
    engines.measure("two", "cells", {"frame-1": FRAME}, {"refuses": "no"})
    engines.measure("three", "cells", {"frame-2": FRAME}, {})
    until(lambda: len(heard) == 3)
    assert engines.close(10)
    died, refused, measured = heard
    assert isinstance(died, MeasureEnded)
    assert died.error is not None
    assert died.error.code is ErrorCode.FAULT_ENGINE
    assert died.error.detail.startswith("cells: EngineProcessError: its process ended with exit code 9")
    assert isinstance(refused, MeasureEnded)
    assert refused.error is not None
    assert (refused.error.code, refused.error.detail) == (ErrorCode.INVALID, "cells: no")
    assert isinstance(measured, MeasureEnded)
    assert measured.values is not None
    assert apart._deaths == 0
    assert measured.values["sums"] == [int(FRAME.sum())]
    assert measured.values["life"] == 1


def test_the_end_does_not_wait_for_a_measurement(tmp_path: Path) -> None:
    hold = tmp_path / "never"
    engine = ProcessEngine("cells", 1, partial(build_held, hold))
    engines = EngineThreads([engine], lambda _: None, time.monotonic_ns)
    engines.start()
    engines.offer("cells", "frame-0", FRAME, {})
    until(hold.with_suffix(".began").exists)
    began = time.monotonic()
    assert engines.close(10)
    assert time.monotonic() - began < 8
    assert engine.pid is None
    with pytest.raises(EngineProcessError, match="the daemon ends"):
        engine.measure([FRAME], {})
