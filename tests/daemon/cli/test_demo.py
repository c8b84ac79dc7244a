"""``demo``: a newcomer's first command, from the beginning to its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from microscoped.daemon.cli._screen import Screen, Step
from microscoped.daemon.cli._show import demo_config, save_svg
from microscoped.daemon.config import SimulatedConfig, parse_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]


def finished() -> Screen:
    """A screen at the end of a demonstration."""
    frame = np.random.default_rng(1).integers(0, 4096, (512, 512), np.uint16)
    return Screen(
        steps=[Step("focus.run", "in focus at 1.00 µm: 9 images, 12 moves, 0.50 s")],
        before=frame,
        after=frame,
        samples=[(z, 10 - abs(z - 1)) for z in range(-5, 6)],
        best_um=1.0,
        sharpness=[1.0, 2.0, 3.0],
        stream="100 frames/s",
        summary=[("z", "8.00 µm → 1.00 µm")],
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("environment", [{}, {"PYTHONIOENCODING": "ascii"}], ids=["utf-8", "ascii"])
def test_the_demo_focuses_by_message_and_ends_well(cli: Cli, tmp_path: Path, environment: dict[str, str]) -> None:
    ended = cli("demo", "--seconds", "1", "--svg", "demo.svg", **environment)
    assert ended.returncode == 0, ended.stderr
    assert "driver Micro-Manager" in ended.stdout
    steps = ("hello:", "stage.move z_um=8:", "camera.snap, frame.get:", "focus.run method=pair:", "camera.start:")
    assert [step for step in steps if step not in ended.stdout] == []
    found = re.search(r"in focus at (-?\d+\.\d+) ", ended.stdout)
    assert found is not None
    assert abs(float(found[1])) < 2.2  # the specimen lies at 0, within a depth of field of it
    assert "shutdown:" in ended.stdout
    assert "daemon's exit code: 0" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert (tmp_path / "demo.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_demo_goes_through_micromanager_on_free_ports() -> None:
    config = parse_config(demo_config())
    assert isinstance(config.microscope, SimulatedConfig)
    assert config.microscope.through_micromanager
    network = config.network
    assert {network.control, network.events, network.frames} == {"tcp://127.0.0.1:*"}


@pytest.mark.parametrize("width", [10, 24, 40, 75, 76, 80, 120, 200])
@pytest.mark.parametrize("screen", [Screen(), finished()], ids=["empty", "finished"])
def test_the_screen_keeps_within_any_width(width: int, screen: Screen) -> None:
    console = Console(width=width, height=40, color_system="truecolor", force_terminal=True, legacy_windows=False)
    with console.capture() as capture:
        console.print(screen)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capture.get())
    assert max(map(len, plain.splitlines())) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50)])
def test_the_live_screen_fits_common_terminals(width: int, height: int) -> None:
    screen = finished()
    screen.steps, screen.summary = [Step("op", "answer")] * 8, []
    console = Console(width=width, height=height, color_system="truecolor", force_terminal=True, legacy_windows=False)
    with console.capture() as capture:
        console.print(screen)
    assert len(capture.get().splitlines()) <= height


def test_a_plain_console_gets_letters_only() -> None:
    console = Console(width=100, height=40, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(finished())
    assert "▀" not in capture.get()
    assert "+*" in capture.get()


def test_the_screen_can_be_kept_as_svg(tmp_path: Path) -> None:
    save_svg(finished(), tmp_path / "a.svg")
    assert "focus.run" in (tmp_path / "a.svg").read_text(encoding="utf-8")
