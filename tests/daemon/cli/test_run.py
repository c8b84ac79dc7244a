"""``run``, ``send`` and ``watch`` against each other, as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from microscoped.daemon.cli._signals import ending_on_signals
from microscoped.daemon.client import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]
    Running = Callable[..., AbstractContextManager[tuple[subprocess.Popen[str], str]]]

END_S = 60


def wait_until_open(scope: Scope) -> None:
    """Return when the microscope is open, by what the heartbeat says."""
    events = scope.events("v1.heartbeat.", timeout_s=END_S)
    assert any(event.data["state"] != "STARTING" for event in events)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_send_drives_a_running_daemon_to_its_orderly_end(cli: Cli, daemon: Running) -> None:
    with daemon() as (process, address):
        with Scope(address) as scope:
            wait_until_open(scope)
        moved = cli("send", "stage.move", "z_um=3", "--wait", "--json", "-a", address)
        assert moved.returncode == 0, moved.stderr
        task = json.loads(moved.stdout)
        assert task["state"] == "done"
        assert task["result"]["z_um"] == pytest.approx(3, abs=0.1)

        focused = cli("send", "focus.run", "range_um=8", "--wait", "-a", address)
        assert focused.returncode == 0, focused.stderr
        assert "focused: True" in focused.stdout
        assert "focus.run: running images=" in focused.stderr

        refused = cli("send", "stage.move", "z_um=999", "-a", address)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "limit.z_high" in refused.stderr
        assert "stage.limits_um" in refused.stderr

        as_json = cli("send", "nonsense", "--json", "-a", address)
        assert as_json.returncode == 1
        assert json.loads(as_json.stdout)["error"]["code"] == "unknown_op"

        with subprocess.Popen(
            [sys.executable, "-m", "microscoped.daemon", "watch", "state", "--json", "-a", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as watching:
            assert watching.stdout is not None
            # It listens when something that happens again and again has arrived.
            shown = _first_line_while(
                watching, lambda: cli("send", "stage.move", "z_um=1", "relative=true", "-a", address)
            )
            assert json.loads(shown)["topic"] == "v1.state."
            ended = cli("send", "shutdown", "-a", address)
            assert ended.returncode == 0
            rest, errors = watching.communicate(timeout=END_S)
            assert watching.returncode == 0, errors
            assert json.loads(rest.splitlines()[-1])["data"]["state"] == "CLOSING"
        assert process.wait(END_S) == 0


def _first_line_while(process: subprocess.Popen[str], poke: Callable[[], object]) -> str:
    """Return the first line that a process prints; until then, do something that makes it print."""
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda stream: lines.append(stream.readline()), args=(process.stdout,))
    reader.start()
    while reader.is_alive():
        poke()
        reader.join(0.2)
    return lines[0]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ctrl_c_fifty_times_under_load_never_hangs(daemon: Running) -> None:
    with daemon() as (process, address):
        with Scope(address) as scope:
            wait_until_open(scope)
            scope.request("camera.start")
            for number, event in enumerate(scope.events("v1.measure.", timeout_s=END_S)):
                assert not event.data.get("error")
                if number >= 20:
                    break
            for number in range(50):
                if process.poll() is None:
                    process.send_signal(signal.SIGINT if number % 2 == 0 else signal.SIGTERM)
                try:
                    process.wait(0.002)
                except subprocess.TimeoutExpired:
                    continue
        assert process.wait(END_S) == 0


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts the test process's own signal handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_is_passed_on_even_while_the_main_thread_holds_the_lock(handlers: None) -> None:
    lock = threading.Lock()
    reasons: list[str] = []
    passed_on, told = threading.Event(), threading.Semaphore(0)

    def shut_down(reason: str) -> None:
        with lock:
            reasons.append(reason)
        passed_on.set()

    with ending_on_signals(shut_down, lambda _name: told.release()):
        with lock:
            for _ in range(50):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        assert passed_on.wait(20)
        assert all(told.acquire(timeout=20) for _ in range(50))
    assert reasons == ["SIGINT was received"]
    signal.raise_signal(signal.SIGINT)  # after the end: ignored


def test_an_address_in_use_is_told_before_anything_begins(cli: Cli, tmp_path: Path) -> None:
    context: zmq.Context[Any] = zmq.Context()
    with context, context.socket(zmq.ROUTER) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        (tmp_path / "c.yaml").write_text(
            f"network: {{control: 'tcp://127.0.0.1:{port}', events: 'tcp://127.0.0.1:*', frames: 'tcp://127.0.0.1:*'}}",
            encoding="utf-8",
        )
        ended = cli("run", "c.yaml")
    assert ended.returncode == 2
    assert str(port) in ended.stderr
    assert "another daemon" in ended.stderr


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("stage: {limits_um: [5, 1]}", 2, ["c.yaml:1: stage.limits_um", "must rise"]),
        ("microscope: {kind: micromanager, config_file: none.cfg}", 1, ["none.cfg", "there is no configuration file"]),
        ("microscope: {kind: recorded, path: none.tif}", 1, ["none.tif", "cannot be built"]),
        ("network: {curve: true, keys_folder: none}", 2, ["none", "server.json", "microscoped keys new"]),
        ("network: {control: 'tcp://0.0.0.0:*'}", 2, ["c.yaml:1: network.control", "microscoped keys new"]),
    ],
)
def test_run_says_why_it_does_not(cli: Cli, tmp_path: Path, text: str, code: int, words: list[str]) -> None:
    free = "\nnetwork: {control: 'tcp://127.0.0.1:*', events: 'tcp://127.0.0.1:*', frames: 'tcp://127.0.0.1:*'}"
    (tmp_path / "c.yaml").write_text(text if "network" in text else text + free, encoding="utf-8")
    ended = cli("run", "c.yaml")
    assert ended.returncode == code, ended.stderr
    assert [word for word in words if word not in ended.stderr] == []
    assert "Traceback" not in ended.stderr


def test_run_takes_the_configuration_of_the_folder(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("stage: 3", encoding="utf-8")
    ended = cli("run")
    assert (ended.returncode, "config.yaml:1: stage" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "words", [("send", "ping", "--timeout", "0.2"), ("send", "focus.run", "--wait", "--timeout", "0.2")]
)
def test_a_daemon_that_is_not_there_is_told_with_the_remedy(cli: Cli, words: tuple[str, ...]) -> None:
    ended = cli(*words, "--address", "tcp://127.0.0.1:9")
    assert ended.returncode == 1
    assert "tcp://127.0.0.1:9" in ended.stderr
    assert "microscoped run" in ended.stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [("z_um", "key=value"), ("=3", "key=value"), ("wait_s=3", "no op has"), ("op=stop", "no op has")],
)
def test_send_refuses_what_is_no_parameter(cli: Cli, word: str, said: str) -> None:
    ended = cli("send", "stage.move", word, "--timeout", "0.2")
    assert ended.returncode == 2
    assert said in ended.stderr
