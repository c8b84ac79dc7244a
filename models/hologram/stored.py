"""A background hologram on disk: one ``.npz`` that holds the frame, when it was taken, and of what instrument."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from microscoped.models.hologram.errors import BackgroundFileError, OpticsError
from microscoped.models.hologram.optics import HologramOptics
from microscoped.models.hologram.sideband import Side

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VERSION: Final = 1
"""Of the format."""
STEM = "hologram-background-"
HASH_SIGNS = 16
"""Signs of the hash in a file's name."""
LARGEST_FILE = 512_000_000
ADVICE = "take the background again with 'microscoped calibrate hologram --background'"


@dataclass(frozen=True, eq=False)
class StoredBackground:
    """A hologram of a place without specimen, and what it was taken with. Two are the same where `sha256` is.

    Parameters
    ----------
    frame
        As the camera gave it, shape (height, width), unsigned integers.
    taken
        When, in UTC (ISO 8601).
    optics
        The instrument, binning included.
    side
        Which sideband of it is read.
    """

    frame: NDArray[np.unsignedinteger]
    taken: str
    optics: HologramOptics
    side: Side = Side.PLUS

    @cached_property
    def sha256(self) -> str:
        """Hash of the frame and of all that is said about it."""
        frame = np.ascontiguousarray(self.frame)
        said = {
            "version": VERSION,
            "taken": self.taken,
            "optics": asdict(self.optics),
            "side": int(self.side),
            "dtype": frame.dtype.newbyteorder("<").str,
            "shape": frame.shape,
        }
        hasher = hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
        hasher.update(frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes())
        return hasher.hexdigest()


def background_path(folder: Path, sha256: str) -> Path:
    """Return where a background of this hash is kept."""
    return folder / f"{STEM}{sha256[:HASH_SIGNS]}.npz"


def write_background(background: StoredBackground, path: Path) -> None:
    """Write it, whole or not at all; a file of the same name is replaced.

    Raises
    ------
    BackgroundFileError
        The folder cannot be written to.
    """
    said = {
        "version": VERSION,
        "taken": background.taken,
        "optics": asdict(background.optics),
        "side": int(background.side),
        "sha256": background.sha256,
    }
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, frame=background.frame, said=np.array(json.dumps(said)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise BackgroundFileError(
            f"{path} cannot be written ({error.strerror}); set engines.hologram.calibration to a folder that can"
        ) from error


def read_background(path: Path) -> StoredBackground:
    """Read what `write_background` wrote.

    Raises
    ------
    BackgroundFileError
        It is missing, is no whole background, was altered, or is of another version.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BackgroundFileError(f"{path} is too large for a background hologram; take it away")
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_FILE:
                raise BackgroundFileError(f"{path} is too large for a background hologram; take it away")
        with np.load(path, allow_pickle=False) as content:
            frame, said = content["frame"], json.loads(str(content["said"]))
    except OSError as error:
        raise BackgroundFileError(f"{path} cannot be read ({error.strerror or error}); {ADVICE}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BackgroundFileError(f"{path} is not a whole background hologram ({error}); {ADVICE}") from None
    found = _checked(frame, said, path)
    if found.sha256 != said["sha256"]:
        raise BackgroundFileError(f"{path} was altered: its sha256 is not that of its content; {ADVICE}")
    return found


def _checked(frame: NDArray[Any], said: Any, path: Path) -> StoredBackground:  # noqa: ANN401 - any JSON
    """Return what the file says, if it can be a background at all."""
    if not isinstance(said, dict) or not isinstance(said.get("version"), int):
        raise BackgroundFileError(f"{path} is not a whole background hologram (no version); {ADVICE}")
    if said["version"] != VERSION:
        raise BackgroundFileError(f"{path} is of version {said['version']}, this is {VERSION}; {ADVICE}")
    if frame.ndim != 2 or frame.dtype.kind != "u":
        raise BackgroundFileError(
            f"{path} is not a whole background hologram (frame {frame.dtype} of shape {frame.shape}); {ADVICE}"
        )
    try:
        return StoredBackground(frame, str(said["taken"]), HologramOptics(**said["optics"]), Side(said["side"]))
    except (KeyError, TypeError, ValueError, OpticsError) as error:
        raise BackgroundFileError(f"{path} is not a whole background hologram ({error}); {ADVICE}") from None


def keep_background(background: StoredBackground, folder: Path) -> Path:
    """Write a background under its hash into a folder; return the file.

    Raises
    ------
    BackgroundFileError
        The folder cannot be written to.
    """
    path = background_path(folder, background.sha256)
    write_background(background, path)
    return path


def load_background(folder: Path, sha256: str) -> StoredBackground:
    """Read the background of this hash.

    Raises
    ------
    BackgroundFileError
        As `read_background`, or it is another one.
    """
    path = background_path(folder, sha256)
    found = read_background(path)
    if found.sha256 != sha256:
        raise BackgroundFileError(f"{path} holds another background hologram; {ADVICE}")
    return found


def prune_backgrounds(folder: Path, named: frozenset[str]) -> None:
    """Take away the backgrounds that no calibration names any more; `named` are the hashes of those that one does."""
    kept = {background_path(folder, sha256).name for sha256 in named}
    for path in folder.glob(f"{STEM}*.npz"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


__all__ = [
    "StoredBackground",
    "background_path",
    "keep_background",
    "load_background",
    "prune_backgrounds",
    "read_background",
    "write_background",
]
