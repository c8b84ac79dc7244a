"""Camera frames from image files, and the names of folders for what is measured in them."""

from __future__ import annotations

import logging
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

BROKEN = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, MemoryError, struct.error, zlib.error)
"""What readers raise on a damaged file."""
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NPY_SIGNATURE = b"\x93NUM"
KEPT_MODES = frozenset({"L", "I", "F", "RGB", "RGBA"})
"""Pillow's modes whose pixels are those of the file; so are all that begin with ``I;16``."""


class ImageError(ValueError):
    """A file cannot be read as one camera frame. The message names the file and the remedy."""

    code: ClassVar[str] = "image.unreadable"


def read_image(path: Path) -> NDArray[Any]:
    """Read one camera frame: TIFF by tifffile, arrays that NumPy has saved, and what Pillow knows by Pillow.

    Parameters
    ----------
    path
        The file; what it is, its content tells and not its name.

    Returns
    -------
    Shape (height, width), or (height, width, 3 or 4), of the file's own depth and in native byte order.

    Raises
    ------
    ImageError
        There is no such file, it is no image, it is damaged, or it holds more than one.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}; check name and permissions") from error
    read = _tiff if start in TIFF_SIGNATURES else _npy if start == NPY_SIGNATURE else _other
    pixels = read(path)
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def _tiff(path: Path) -> NDArray[Any]:
    import tifffile

    with _complaints() as complaints:
        try:
            with tifffile.TiffFile(path) as file:
                count = len(file.series)
                series = file.series[0]
                axes, pixels = str(series.axes), np.asarray(series.asarray())
        except (tifffile.TiffFileError, *BROKEN) as error:
            raise _damaged(path, error) from error
    if complaints:
        raise _damaged(path, complaints[0])
    sizes = dict(zip(axes, pixels.shape, strict=True))
    images = count * int(np.prod([size for axis, size in sizes.items() if axis not in "YXS"], dtype=np.int64))
    if images != 1:
        raise ImageError(f"{path}: holds {images} images (axes {axes}); save the one that is wanted by itself")
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)
    return pixels.reshape([size for size in pixels.shape if size > 1] or [1])


def _npy(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, allow_pickle=False)
    except BROKEN as error:
        raise _damaged(path, error) from error
    if found.dtype.kind not in "uif":
        raise ImageError(f"{path}: holds {found.dtype}, no image; save real numbers, shape (height, width)")
    if found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] not in (3, 4)):
        raise ImageError(f"{path}: shape {found.shape}; save one image, shape (height, width) or (height, width, 3)")
    return found


def _other(path: Path) -> NDArray[Any]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            count = getattr(image, "n_frames", 1)
            if count != 1:
                raise ImageError(f"{path}: holds {count} images; save the one that is wanted by itself")
            if image.mode in KEPT_MODES or image.mode.startswith("I;16"):
                return np.asarray(image)
            return np.asarray(image.convert("L" if image.mode in ("1", "LA", "La") else "RGB"))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: is no image that can be read here; save it as TIFF or PNG") from error
    except (SyntaxError, Image.DecompressionBombError, *BROKEN) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: object) -> ImageError:
    words = str(reason)
    if "imagecodecs" in words:
        return ImageError(f"{path}: its compression cannot be read here ({words}); save it uncompressed or as PNG")
    return ImageError(f"{path}: is cut short or damaged ({words}); fetch or save it again")


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile only logs: it goes on after a broken page."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, collector = logging.getLogger("tifffile"), Collector(level=logging.ERROR)
    logger.addHandler(collector)
    try:
        yield said
    finally:
        logger.removeHandler(collector)


def folder_names(paths: Sequence[Path]) -> list[str]:
    """Return a folder's name for each image: its own without the ending, numbered from the second of a name on."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem, name, number = path.stem, path.stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


__all__ = ["ImageError", "folder_names", "read_image"]
