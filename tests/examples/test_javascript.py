"""The example in another language drives a real daemon."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rig

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "javascript"


def test_the_javascript_example_focuses(rig: Rig) -> None:
    node = shutil.which("node")
    if node is None or not (EXAMPLE / "node_modules" / "zeromq").is_dir():
        pytest.skip("needs Node.js, and 'npm install' run in examples/javascript")
    command = [node, "focus.mjs", rig.daemon.endpoints.control]
    ran = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=50, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    assert "in focus at" in ran.stdout
    assert "sharpness" in ran.stdout
    assert "128 × 128 uint16" in ran.stdout
    assert abs(rig.scope.position()) < 1.1
