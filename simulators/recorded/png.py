"""One plane in a PNG file."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from microscoped.simulators.recorded.axes import Choice, FileContent, as_planes
from microscoped.simulators.recorded.errors import BrokenFileError, UnknownFormatError

if TYPE_CHECKING:
    from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2


def read_png(path: Path, choice: Choice) -> FileContent:
    """Read a monochrome PNG of 8 or 16 bits, or an RGB PNG of 8 bits.

    Parameters
    ----------
    path
        The file.
    choice
        What to keep of the axes that do not belong to a z-stack.

    Raises
    ------
    UnknownFormatError
        Not a PNG, or of another kind of pixel. RGB of 16 bits is refused because Pillow would halve its bits unasked.
    BrokenFileError
        The file is cut short or damaged.
    """
    with path.open("rb") as file:
        start = file.read(26)
    if not start.startswith(_SIGNATURE):
        raise UnknownFormatError(f"{path}: is not a PNG file, whatever its name says; save it as PNG or TIFF")
    if len(start) < 26:
        raise BrokenFileError(f"{path}: the PNG is cut short; fetch it again")
    bits, colour = start[24], start[25]
    if (bits, colour) not in ((8, _GREY), (16, _GREY), (8, _RGB)):
        raise UnknownFormatError(
            f"{path}: PNG of {bits} bits and colour type {colour} is not read here without loss; "
            "save it as monochrome (8 or 16 bits), as RGB (8 bits), or as TIFF"
        )
    try:
        with Image.open(path, formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, zlib.error, Image.DecompressionBombError) as error:
        raise BrokenFileError(f"{path}: the PNG is cut short or damaged ({error}); fetch it again") from error
    wanted = np.uint8 if bits == 8 else np.uint16
    return FileContent(as_planes(path.name, pixels.astype(wanted), "YXS"[: pixels.ndim], choice))


__all__ = ["read_png"]
