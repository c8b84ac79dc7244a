from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from microscoped.drivers.micromanager import MicroManagerMicroscope, close_core, demo_config_path
from microscoped.drivers.micromanager._core import new_core
from microscoped.drivers.micromanager._microscope import _unwrapped

OPEN = """
    import os
    from microscoped.drivers.micromanager import MicroManagerMicroscope, demo_config_path
    microscope = MicroManagerMicroscope(demo_config_path(), buffer_mb=8)
"""
WORK = """
    with microscope:
        microscope.camera.snap()
        microscope.camera.start()
        seen = 0
        while seen < 5:
            seen += microscope.camera.take() is not None
            microscope.stage.move_to(seen)
"""
NOT_CLOSED = """
    microscope.__enter__()
    microscope.camera.start()
    for k in range(300):
        microscope.stage.move_to(k / 100)
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(OPEN) + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_process_ends_cleanly_twenty_times() -> None:
    for _ in range(20):
        ended = run(WORK)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code"),
    [(NOT_CLOSED, 0), (WORK + "        raise SystemExit(3)\n", 3), (WORK + "        1 / 0\n", 1)],
    ids=["never closed", "exit inside", "error inside"],
)
def test_the_process_does_not_abort_whatever_happens(body: str, code: int) -> None:
    for _ in range(3):
        ended = run(body)
        assert ended.returncode == code, ended.stderr
        assert "FATAL" not in ended.stderr


def test_closing_twice_is_harmless() -> None:
    core = new_core([])
    close_core(core)
    close_core(core)


def test_closing_a_microscope_whose_core_is_gone_does_not_raise() -> None:
    microscope = MicroManagerMicroscope(demo_config_path(), buffer_mb=4)
    with microscope:
        microscope.camera.start()
        assert microscope._core is not None
        close_core(_unwrapped(microscope._core))
    with microscope:
        assert microscope.camera.snap().number == 0
