"""``microscoped run`` under crashes, hangs and signals: real processes, awaited by what they say and how they end."""

from __future__ import annotations

import ctypes
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from microscoped.daemon.client import RequestFailedError, Scope
from microscoped.drivers.micromanager import demo_config_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Start = Callable[..., AbstractContextManager["Running"]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="these tests crash and stop processes with POSIX signals"),
]

LIMIT_S = 100
STARTED = r"has started the daemon as process (\d+)"
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER: orphans of our children become our children, so that their exit codes can be seen."""

SIMULATED: dict[str, Any] = {
    "microscope": {"kind": "simulated", "shape_px": [64, 64], "stage": {"start_um": 4.0}},
    "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.325},
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
    "camera": {"stream_at_start": True},
    "network": dict.fromkeys(("control", "events", "frames"), "tcp://127.0.0.1:*"),
}
DEMO: dict[str, Any] = {**SIMULATED, "microscope": {"kind": "micromanager"}, "optics": {}}


class Running:
    """``microscoped run``, and what it and its child say."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip())
        self._lines.put(None)

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line."""
        while True:
            line = self._lines.get(timeout=LIMIT_S)
            assert line is not None, "\n".join(self.said)
            self.said.append(line)
            if found := re.search(pattern, line):
                return found

    def rest(self) -> str:
        """Everything that was said, once all who could say something have ended."""
        while (line := self._lines.get(timeout=LIMIT_S)) is not None:
            self.said.append(line)
        return "\n".join(self.said)

    def child(self) -> int:
        """Wait for a child to be started; return its process id."""
        return int(self.until(STARTED)[1])

    def scope(self) -> Scope:
        """Wait until a daemon listens and its microscope is open."""
        address = self.until(r"^control (\S+)")[1]
        self.until(r"state (IDLE|ACTIVE|SAFE), z -?\d")
        return Scope(address, timeout_s=LIMIT_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(LIMIT_S)
        assert not self._reader.is_alive(), "a process outlived its parent"
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextmanager
    def run(content: dict[str, Any] = SIMULATED, *options: str, **sections: dict[str, Any]) -> Iterator[Running]:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**content, **sections}), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "microscoped.daemon", "run", *options, str(path)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.end()

    return run


def test_a_killed_daemon_comes_up_in_safe_and_moves_nothing_until_resume(start: Start) -> None:
    with start() as running:
        child = running.child()
        with running.scope() as scope:
            while not scope.status()["camera"]["streaming"]:
                pass
            if sys.platform == "linux":
                maps = Path(f"/proc/{running.process.pid}/maps").read_text(encoding="utf-8")
                assert [name for name in ("numpy", "zmq", "pymmcore") if name in maps] == []
            os.kill(child, signal.SIGKILL)
        assert running.child() != child
        with running.scope() as scope:
            found = scope.status()
            assert found["state"] == "SAFE"
            assert "SIGKILL" in found["reason"]
            assert "crash 1 of 3" in found["reason"]
            topics = {topic["topic"]: topic["data"] for topic in scope.request("snapshot")["topics"]}
            assert topics["v1.alarm."]["code"] == "supervisor.restarted"
            assert topics["v1.state."] == {**topics["v1.state."], "state": "SAFE", "reason": found["reason"]}
            assert topics["v1.state."]["streaming"] is False
            for op, params in (("stage.move", {"z_um": 3.0}), ("focus.run", {})):
                with pytest.raises(RequestFailedError, match="came up motionless"):
                    scope.request(op, **params)
            assert scope.request("stage.position")["z_um"] == pytest.approx(4.0, abs=0.1)
            assert scope.request("resume")["state"] in ("IDLE", "ACTIVE")
            while not scope.status()["camera"]["streaming"]:
                pass
            assert scope.move(3.0)["z_um"] == pytest.approx(3.0, abs=0.2)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(LIMIT_S) == 0


def test_a_daemon_whose_loop_hangs_is_killed_and_comes_up_in_safe(start: Start) -> None:
    with start(supervisor={"silence_s": 2}) as running:
        child = running.child()
        running.scope().close()
        os.kill(child, signal.SIGSTOP)
        running.until("is killed: its loop was silent for 2 s")
        assert running.child() != child
        with running.scope() as scope:
            found = scope.status()
            assert (found["state"], "hung" in found["reason"]) == ("SAFE", True)
            scope.request("shutdown")
        assert running.process.wait(LIMIT_S) == 0


@pytest.mark.parametrize(
    ("crash", "signal_name"), [("Dereference Null Pointer", "SIGSEGV"), ("Divide by Zero", "SIGFPE")]
)
def test_a_driver_that_crashes_again_and_again_stays_down(
    start: Start, tmp_path: Path, crash: str, signal_name: str
) -> None:
    text = Path(demo_config_path()).read_text(encoding="utf-8")
    (tmp_path / "crash.cfg").write_text(f"{text}\nProperty,Camera,SimulateCrash,{crash}\n", encoding="utf-8")
    with start({**DEMO, "microscope": {"kind": "micromanager", "config_file": "crash.cfg"}}) as running:
        assert running.process.wait(LIMIT_S) == 3
        said = running.rest()
    assert len(re.findall(STARTED, said)) == 4
    assert said.count("started again in SAFE") == 3
    assert f"ended by {signal_name}. That makes 4 crashes within 10 min: it stays down" in said


def test_a_daemon_whose_parent_is_killed_closes_the_microscope_and_ends(start: Start) -> None:
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else lambda *_: None
    prctl(SUBREAPER, 1)
    try:
        with start(DEMO) as running:
            child = running.child()
            with running.scope() as scope:
                scope.move(3.0)
            running.process.kill()
            said = running.rest()  # comes back only when the child, too, has ended
            assert re.search(r"state CLOSING, z 3(\.0)? µm: the supervisor is gone", said)
            if sys.platform == "linux":
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        prctl(SUBREAPER, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_parent_and_child_in_order(start: Start, number: signal.Signals) -> None:
    with start(DEMO) as running:
        running.child()
        running.scope().close()
        running.process.send_signal(number)
        assert running.process.wait(LIMIT_S) == 0
        assert f"{number.name} was received" in running.rest()
    assert len(re.findall(STARTED, "\n".join(running.said))) == 1


def test_a_signal_before_the_daemon_has_begun_ends_it_at_once(start: Start) -> None:
    with start() as running:
        running.child()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(LIMIT_S) == 130
        assert "control" not in running.rest()


def test_a_parent_that_was_suspended_does_not_blame_its_child(start: Start) -> None:
    with start(supervisor={"silence_s": 2}) as running:
        running.child()
        with running.scope() as scope:
            os.kill(running.process.pid, signal.SIGSTOP)
            heard = scope.events("v1.heartbeat.", timeout_s=LIMIT_S)
            for _ in range(5):
                next(heard)
            os.kill(running.process.pid, signal.SIGCONT)
            for _ in range(2):
                next(heard)
            scope.request("shutdown")
        assert running.process.wait(LIMIT_S) == 0
        assert "killed" not in running.rest()


def test_a_second_daemon_at_the_same_address_is_refused_once(start: Start, tmp_path: Path) -> None:
    with start() as first:
        first.child()
        with first.scope() as scope:
            endpoints = scope.request("hello")["endpoints"]
            with start(network=endpoints) as second:
                assert second.process.wait(LIMIT_S) == 2
                said = second.rest()
            scope.request("shutdown")
        assert first.process.wait(LIMIT_S) == 0
    assert "another daemon" in said
    assert len(re.findall(STARTED, said)) == 1


@pytest.mark.parametrize(
    ("options", "sections", "code"),
    [(("--no-supervisor",), {}, -signal.SIGKILL), ((), {"supervisor": {"enabled": False}}, 128 + signal.SIGKILL)],
)
def test_without_supervision_a_killed_daemon_stays_down(
    start: Start, options: tuple[str, ...], sections: dict[str, Any], code: int
) -> None:
    with start(SIMULATED, *options, **sections) as running:
        child = running.process.pid if options else running.child()
        running.scope().close()
        os.kill(child, signal.SIGKILL)
        assert running.process.wait(LIMIT_S) == code
        assert "started again" not in running.rest()
