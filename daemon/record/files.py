"""Files that survive: a new name in a folder, and a file that is replaced as a whole."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BESIDE = ".new"
"""Ends the name of a file that is about to replace another."""
TRIES = 10
WAIT_S = 0.02


def sync_folder(folder: Path) -> None:
    """Have a new name in a folder on the disk; Windows does so by itself, and cannot be told."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it, and whoever finds it after a power cut, finds the old one or this.

    On Windows a file that another program just reads cannot be replaced: this tries again for a moment.

    Raises
    ------
    OSError
        The disk does not take it.
    """
    beside = path.with_name(path.name + BESIDE)
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        for left in reversed(range(TRIES)):
            try:
                os.replace(beside, path)
                break
            except PermissionError:
                if not left:
                    raise
                time.sleep(WAIT_S)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


__all__ = ["BESIDE", "replace_file", "sync_folder"]
