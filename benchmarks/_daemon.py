"""Starting and ending a daemon as a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _wire import Wire, WireError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RUN = (sys.executable, "-m", "microscoped.daemon", "run", "--no-supervisor")
START_S = 60.0
END_S = 20.0


@dataclass(frozen=True)
class Running:
    """A daemon that answers.

    Parameters
    ----------
    control, events
        Where it listens.
    process
        Its process.
    """

    control: str
    events: str
    process: subprocess.Popen[str]


def free_endpoints(count: int) -> list[str]:
    """Return endpoints on free ports of this machine."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [f"tcp://127.0.0.1:{holder.getsockname()[1]}" for holder in holders]
    finally:
        for holder in holders:
            holder.close()


@contextmanager
def running(config: Mapping[str, Any], command: Sequence[str] = RUN, options: Sequence[str] = ()) -> Iterator[Running]:
    """Run a daemon for the length of a ``with``, on free ports; it is shut down by message.

    Parameters
    ----------
    config
        What stands in its configuration file (JSON is YAML); network, and a journal in a temporary folder, are added.
    command, options
        What comes before and after the file's name on the command line.

    Raises
    ------
    RuntimeError
        It did not answer, or its exit code was not 0.
    """
    control, events, frames = free_endpoints(3)
    network = {"control": control, "events": events, "frames": frames}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        content = {"journal": {"folder": folder}, **config, "network": network}
        path = Path(folder) / "config.yaml"
        path.write_text(json.dumps(content, default=str), encoding="utf-8")
        process = subprocess.Popen([*command, str(path), *options], stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            _await_open(control, process)
            yield Running(control, events, process)
            with Wire(control) as wire:
                wire.ask("shutdown")
            code = process.wait(END_S)
        except BaseException:
            process.kill()
            process.wait()
            log.seek(0)
            sys.stderr.write(log.read()[-4000:])
            raise
        if code != 0:
            log.seek(0)
            raise RuntimeError(f"the daemon ended with exit code {code}:\n{log.read()[-4000:]}")


def _await_open(control: str, process: subprocess.Popen[str]) -> None:
    """Wait until the daemon says hello and its microscope is open."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the daemon ended at its start with exit code {process.returncode}: its log is above")
        try:
            with Wire(control, timeout_ms=500) as wire:
                wire.ask("hello")
                if wire.ask("status")["state"] != "STARTING":
                    return
        except WireError:
            continue
        time.sleep(0.05)
    raise RuntimeError(f"the daemon did not answer within {START_S:g} s")
