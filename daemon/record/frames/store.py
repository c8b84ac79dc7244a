"""Writing frames into an OME-Zarr store that can be opened at every moment, also after the writer's death."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.daemon.record.codec import plain_json
from microscoped.daemon.record.errors import LayoutError, StoreWriteError
from microscoped.daemon.record.files import replace_file, sync_folder
from microscoped.daemon.record.frames.layout import (
    OWN,
    Compression,
    FrameShape,
    Layout,
    StoreIndex,
    array_document,
    group_document,
)
from microscoped.daemon.record.frames.table import FrameTable

if TYPE_CHECKING:
    from pathlib import Path

    import tensorstore
    from numpy.typing import NDArray

ARRAY = "0"
DOCUMENT = "zarr.json"
LOCK = ".__lock"
"""Ends the name of a chunk that is not yet complete: TensorStore's own."""
MOST_TIMES = 2**31
"""Points in time for which chunks can be written; the array's own document tells how many there are."""
WRITERS = 4
"""Chunks that are written at the same time."""
_OS_ERROR = re.compile(r"os_error_code='(\d+)'")


def prepare() -> None:
    """Import the library that writes, some 0.5 s: better spent before there is work, for no thread runs meanwhile."""
    import tensorstore  # noqa: F401


def checksum(pixels: NDArray[Any]) -> str:
    """Return the CRC-32 of a frame's pixels, rows first, little-endian, as 8 hexadecimal digits."""
    plain = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return f"{zlib.crc32(plain.data.cast('B')):08x}"


@dataclass(frozen=True, slots=True, eq=False)
class Writing:
    """A frame on its way to the disk.

    Parameters
    ----------
    at, crc32
        Where it goes, and its checksum.
    """

    at: StoreIndex
    crc32: str
    _path: Path
    _commit: tensorstore.Future[None]

    def done(self) -> bool:
        """Whether it is on the disk, or has failed."""
        return bool(self._commit.done())

    def result(self, timeout_s: float | None = None) -> None:
        """Wait until it is on the disk: its file is complete, has its name, and is synchronised.

        Raises
        ------
        StoreWriteError
            The disk did not take it.
        TimeoutError
            Not in time.
        """
        try:
            self._commit.result(timeout=timeout_s)
        except TimeoutError:
            raise
        except Exception as error:
            raise StoreWriteError(self._path, _why(error)) from error


class FrameStore:
    """A store that is being written. Used by one thread at a time; frames are compressed and written by others.

    The array's document is replaced as a whole by `include`, and only then counts frames that are on the disk: an
    independent reader never meets a frame that is claimed and is not there.

    Parameters
    ----------
    path
        The store's folder, ``….ome.zarr``; must not exist.
    layout, shape
        What the frames are of, and like.
    z_um
        z of the first plane, in µm.
    compression
        ``none`` or ``zstd``.

    Raises
    ------
    StoreWriteError
        It is there already, or cannot be made.
    """

    def __init__(
        self, path: Path, layout: Layout, shape: FrameShape, z_um: float, compression: Compression = "zstd"
    ) -> None:
        import tensorstore

        self.path = path
        self.layout = layout
        self.shape = shape
        self.extent = 0
        """Points in time that the array has."""
        self._z_um = layout.planes_um[0] if layout.planes_um else z_um
        self._compression = compression
        try:
            (path / ARRAY).mkdir(parents=True)
            self._write_extent(0)
            self._write_group(FrameTable())
            sync_folder(path.parent)
        except OSError as error:
            raise StoreWriteError(path, _why(error)) from error
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{(path / ARRAY).resolve().as_posix()}/"},
            "metadata": array_document(layout, shape, MOST_TIMES, compression),
            "context": {
                "file_io_sync": True,
                "file_io_concurrency": {"limit": WRITERS},
                "data_copy_concurrency": {"limit": max(1, (os.cpu_count() or 1) - 1)},
            },
        }
        # The document is ours to keep: with `assume_metadata` the library neither reads nor writes it.
        self._array = tensorstore.open(spec, open=True, assume_metadata=True).result()

    def write(self, at: StoreIndex, pixels: NDArray[Any]) -> Writing:
        """Begin to write a frame; returns at once.

        Parameters
        ----------
        at
            Its place; a place is written once.
        pixels
            Shape (height, width) or (height, width, 3). Must not change any more.

        Raises
        ------
        LayoutError
            The frame or its place does not fit the store.
        """
        found = FrameShape.of(pixels)
        if not self.shape.fits(found):
            raise LayoutError(f"a frame of {found} does not go into a store of {self.shape}")
        t, c, z = at
        if not (0 <= t < MOST_TIMES and 0 <= c < len(self.layout.channels) and 0 <= z < self.layout.planes):
            raise LayoutError(
                f"there is no place t {t}, c {c}, z {z} in a store of {len(self.layout.channels)} channels and "
                f"{self.layout.planes} planes"
            )
        colours = self.shape.colours
        planes = np.moveaxis(pixels, -1, 0) if colours > 1 else pixels[np.newaxis]
        writing = self._array[t, c * colours : (c + 1) * colours, z].write(
            planes, can_reference_source_data_indefinitely=True
        )
        return Writing(at, checksum(pixels), self.path, writing.commit)

    def include(self, times: int) -> None:
        """Have the array count this many points in time, at least; all frames in them are on the disk or left out.

        Raises
        ------
        StoreWriteError
            The disk does not take it.
        """
        if times <= self.extent:
            return
        try:
            self._write_extent(times)
        except OSError as error:
            raise StoreWriteError(self.path, _why(error)) from error
        self.extent = times

    def finish(self, table: FrameTable) -> None:
        """Write what is known of the frames into the group's document, under ``microscoped``.

        Raises
        ------
        StoreWriteError
            The disk does not take it; the store is good without it.
        """
        try:
            self._write_group(table)
        except OSError as error:
            raise StoreWriteError(self.path, _why(error)) from error

    def _write_extent(self, times: int) -> None:
        document = array_document(self.layout, self.shape, times, self._compression)
        replace_file(self.path / ARRAY / DOCUMENT, plain_json(document))

    def _write_group(self, table: FrameTable) -> None:
        replace_file(self.path / DOCUMENT, group_bytes(self.layout, self.shape, self._z_um, table))


def group_bytes(layout: Layout, shape: FrameShape, z_um: float, table: FrameTable) -> bytes:
    """Return the group's document with its table."""
    document = plain_json(group_document(layout, shape, z_um))
    return document.replace(b'"%s":null' % OWN.encode(), b'"%s":%s' % (OWN.encode(), table.json()), 1)


def _why(error: Exception) -> str:
    """What went wrong, in the system's own words where it said so."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    number = _OS_ERROR.search(str(error))
    if number is None or os.name == "nt":  # there the numbers are those of Windows, and the text says it
        return f"{type(error).__name__}: {error}"
    return os.strerror(int(number[1]))


__all__ = ["ARRAY", "DOCUMENT", "LOCK", "FrameStore", "Writing", "checksum", "group_bytes", "prepare"]
