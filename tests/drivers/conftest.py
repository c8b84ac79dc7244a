"""Fixtures for the tests of the Micro-Manager backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from microscoped.drivers.micromanager import MicroManagerMicroscope, close_core, default_adapter_paths, demo_config_path
from microscoped.drivers.micromanager._core import new_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus


@pytest.fixture
def core() -> Iterator[CMMCorePlus]:
    """A bare core that finds the demonstration adapters."""
    core = new_core(default_adapter_paths(demo_config_path()))
    yield core
    close_core(core)


@pytest.fixture
def demo() -> Iterator[MicroManagerMicroscope]:
    """Micro-Manager's demonstration microscope, open."""
    with MicroManagerMicroscope(demo_config_path(), buffer_mb=16) as microscope:
        yield microscope
