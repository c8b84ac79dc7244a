"""Rendered stacks on disk, in the user's cache folder. Nothing breaks where there is no such folder."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

KEPT_FILES = 6
"""The most recently used files that are kept."""


def cache_folder() -> Path:
    """Return the user's cache folder for this project: ``$MICROSCOPED_CACHE``, or where the system keeps caches."""
    if configured := os.environ.get("MICROSCOPED_CACHE"):
        return Path(configured)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "microscoped"


def load_or_make(folder: Path | None, made_of: str, make: Callable[[], NDArray[np.uint16]]) -> NDArray[np.uint16]:
    """Return the array that belongs to a description, from disk or made anew.

    A file that is missing, cut off or altered is made again; a folder that cannot be written to is left alone.

    Parameters
    ----------
    folder
        Where files are kept; ``None`` keeps nothing.
    made_of
        Everything that determines the array, versions of the code included.
    make
        Makes the array.
    """
    if folder is None:
        return make()
    path = folder / f"stack-{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.npy"
    stored = _load(path)
    if stored is not None:
        return stored
    array = make()
    try:
        _store(path, array)
    except OSError as error:
        logger.warning("the rendered stack cannot be kept in %s: %s", folder, error)
    return array


def _load(path: Path) -> NDArray[np.uint16] | None:
    """Return the array of a file whose checksum is right, or None."""
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
            checksum = file.read()
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s cannot be read and is made again: %s", path, error)
        return None
    if array.dtype != np.uint16 or checksum != _checksum(array):
        logger.warning("%s is damaged and is made again", path)
        return None
    return np.asarray(array, np.uint16)


def _store(path: Path, array: NDArray[np.uint16]) -> None:
    """Write the file under another name and rename it when it is complete; drop the files used longest ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".stack-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
            file.write(_checksum(array))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    by_use = sorted(path.parent.glob("stack-*.npy"), key=lambda found: found.stat().st_mtime, reverse=True)
    for old in by_use[KEPT_FILES:]:
        old.unlink(missing_ok=True)


def _checksum(array: NDArray[np.uint16]) -> bytes:
    return zlib.crc32(np.ascontiguousarray(array).data).to_bytes(4, "big")


__all__ = ["KEPT_FILES", "cache_folder", "load_or_make"]
