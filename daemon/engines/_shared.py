"""What the makers of engines share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from microscoped.daemon.record import data_folder

if TYPE_CHECKING:
    from pathlib import Path


def engine_threads() -> int:
    """Return how many threads a runtime gets: all cores but the loop's."""
    return max(1, (os.cpu_count() or 1) - 1)


def plans_folder() -> Path:
    """Return where compiled networks are kept."""
    return data_folder() / "plans"


def calibrations_folder(chosen: Path | None) -> Path:
    """Return where calibrations are kept."""
    return chosen or data_folder() / "calibrations"


__all__ = ["calibrations_folder", "engine_threads", "plans_folder"]
