"""Fixtures that every room of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from microscoped.drivers import Optics
from microscoped.drivers.micromanager.testing import watch_core_threads
from microscoped.simulators.brightfield import BrightfieldScene, BrightfieldSetup

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent


def find_data_dir() -> Path | None:
    """Return the folder of measured images, or None where there is none."""
    configured = os.environ.get("MICROSCOPED_DATA")
    folder = Path(configured) if configured else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = find_data_dir()
    if folder is None:
        pytest.skip("measured images are absent: set MICROSCOPED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def small_scene() -> BrightfieldScene:
    """A stained section that is rendered in a moment; focus at optical 0."""
    optics = Optics(na=0.5, wavelength_nm=550, immersion_index=1.0, pixel_size_um=0.325)
    return BrightfieldScene(BrightfieldSetup(optics=optics, shape_px=(64, 64), z_range_um=(-8.0, 8.0)), cache=None)


@pytest.fixture(autouse=True)
def core_belongs_to_one_thread() -> Iterator[None]:
    """No test, whatever it is about, may call a Micro-Manager core from a thread that does not own it."""
    with watch_core_threads() as calls:
        yield
    calls.check()
