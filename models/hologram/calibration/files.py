"""A background hologram from an image file in the calibrations' folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from microscoped.models.hologram.errors import BackgroundFileError
from microscoped.models.hologram.stored import LARGEST_FILE, StoredBackground, read_background

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.hologram.optics import HologramOptics
    from microscoped.models.hologram.sideband import Side

KINDS = (".tif", ".tiff", ".png", ".npz")


def background_from(folder: Path, name: str, optics: HologramOptics, side: Side) -> StoredBackground:
    """Read a background hologram; it is taken to be as old as its file.

    Parameters
    ----------
    folder
        Nothing outside of it is read.
    name
        Of a TIFF or PNG file with one monochrome image, or of a background that was stored before.
    optics, side
        What it was taken with, and which sideband is read; a stored one knows.

    Raises
    ------
    BackgroundFileError
        The name is not that of a file in the folder, or the file holds no such image.
    """
    path = folder / name
    if PurePath(name).name != name or path.suffix.lower() not in KINDS:
        raise BackgroundFileError(
            f"background_file {name!r}: must be the name of a file ({', '.join(KINDS)}) in {folder}, without a path"
        )
    if not path.is_file():
        raise BackgroundFileError(f"background_file {name!r}: there is no such file in {folder}; put it there")
    if path.stat().st_size > LARGEST_FILE:
        raise BackgroundFileError(f"background_file {name!r}: is too large for a hologram")
    if path.suffix.lower() == ".npz":
        return read_background(path)
    try:
        if path.suffix.lower() == ".png":
            with Image.open(path) as image:
                frame = np.asarray(image)
        else:
            frame = tifffile.imread(path)
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BackgroundFileError(f"background_file {name!r}: cannot be read as an image ({error})") from None
    if frame.ndim != 2 or frame.dtype.kind != "u":
        raise BackgroundFileError(
            f"background_file {name!r}: {frame.dtype} of shape {frame.shape}; one monochrome image of unsigned "
            "integers is needed, as the camera gives it"
        )
    taken = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
    return StoredBackground(frame, taken, optics, side)


__all__ = ["background_from"]
