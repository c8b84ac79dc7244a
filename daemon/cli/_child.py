"""A daemon as a process of its own, for ``demo``."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_S = 120.0
"""The specimen is rendered at the first start."""
END_S = 20.0


class DaemonFailedError(Exception):
    """The daemon did not start; the message is what it said last."""


@contextmanager
def daemon_process(config: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start ``microscoped run``; yield the address of its control socket, and the process.

    On leaving it is waited for: the body has sent ``shutdown``; after an error in the body it is told to terminate. One
    that does not end is killed.

    Parameters
    ----------
    config
        The configuration, as YAML; its ports may be ``*``.
    folder
        Where it is written, and the daemon's log and journal.

    Raises
    ------
    DaemonFailedError
        It ended, or was not ready in time.
    """
    path, log = folder / "config.yaml", folder / "daemon.log"
    path.write_text(config, encoding="utf-8")
    # Its journal goes with the folder, unless the configuration names another one.
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "MICROSCOPED_DATA_HOME": str(folder)}
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program
            # -P: what lies in the user's folder is never imported. Its supervisor is this very function.
            [sys.executable, "-P", "-m", "microscoped.daemon", "run", "--no-supervisor", str(path)],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env=environment,
            encoding="utf-8",
        )
        try:
            yield _control_address(process, log), process
        except BaseException:
            process.terminate()
            raise
        finally:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _control_address(process: subprocess.Popen[str], log: Path) -> str:
    """Read where the daemon listens from the first lines that it prints."""
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe; narrows the type
    found: dict[str, str] = {}
    limit = threading.Timer(START_S, process.kill)
    limit.start()
    try:
        for line in process.stdout:
            name, _, address = line.strip().partition(" ")
            found[name] = address
            if "frames" in found:
                return found["control"]
    finally:
        limit.cancel()
    process.wait()
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise DaemonFailedError(f"the daemon did not start (exit code {process.returncode}): " + "\n".join(said[-8:]))


__all__ = ["DaemonFailedError", "daemon_process"]
