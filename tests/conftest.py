"""Fixtures that every room of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
