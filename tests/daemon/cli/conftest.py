"""The command line as a user starts it: real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]
    Running = Callable[..., AbstractContextManager[tuple[subprocess.Popen[str], str]]]

COMMAND = [sys.executable, "-m", "microscoped.daemon"]
LIMIT_S = 100

SIMULATED = """\
microscope: {kind: simulated, shape_px: [128, 128], stage: {start_um: 4.0}}
optics: {na: 0.5, wavelength_nm: 550, pixel_size_um: 0.325}
stage: {limits_um: [-20, 20], focus_direction: toward_sample, overshoot_um: 1}
network: {control: "tcp://127.0.0.1:*", events: "tcp://127.0.0.1:*", frames: "tcp://127.0.0.1:*"}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs one command in an empty folder to its end."""

    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )

    return call


@pytest.fixture
def daemon(tmp_path: Path) -> Running:
    """Starts ``run`` with a configuration; yields the process and its control address when it listens."""

    @contextmanager
    def start(text: str = SIMULATED) -> Iterator[tuple[subprocess.Popen[str], str]]:
        path = tmp_path / "scope.yaml"
        path.write_text(text, encoding="utf-8")
        with (tmp_path / "log.txt").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*COMMAND, "run", str(path)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, encoding="utf-8"
            )
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            assert lines[0].startswith("control tcp://"), (tmp_path / "log.txt").read_text(encoding="utf-8")
            yield process, lines[0].split()[1]
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()

    return start
