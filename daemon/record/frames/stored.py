"""Reading frames from a store, also while it is being written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.daemon.record.errors import FrameDamagedError, FrameMissingError, StoreReadError
from microscoped.daemon.record.frames.layout import OWN, FrameShape, Layout
from microscoped.daemon.record.frames.store import ARRAY, DOCUMENT, checksum

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import tensorstore
    from numpy.typing import NDArray

    from microscoped.daemon.record.frames.layout import Compression, StoreIndex


class StoredFrames:
    """The frames of a store. Any thread, one at a time.

    Parameters
    ----------
    path
        The store's folder.

    Raises
    ------
    StoreReadError
        There is none, or it is not one that `FrameStore` writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array: tensorstore.TensorStore | None = None
        try:
            self._group = json.loads((path / DOCUMENT).read_bytes())
            self._document = json.loads((path / ARRAY / DOCUMENT).read_bytes())
            self.shape, self.layout = _shape(self._group, self._document), _layout(self._group, self._document)
        except OSError as error:
            raise StoreReadError(path, f"there is no store of frames here: {error.strerror or error}") from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            detail = f"this is no store of frames of ours: {type(error).__name__}: {error}"
            raise StoreReadError(path, detail) from error

    @property
    def times(self) -> int:
        """How many points in time the array counts."""
        return int(self._document["shape"][0])

    @property
    def z_um(self) -> float:
        """Z of the first plane, in µm."""
        return float(_transforms(self._group)["translation"][2])

    @property
    def compression(self) -> Compression:
        """How chunks are compressed."""
        return "zstd" if any(codec["name"] == "zstd" for codec in self._document["codecs"]) else "none"

    @property
    def own(self) -> Mapping[str, Any]:
        """What stands under ``microscoped``: the table of frames, once the recording is finished."""
        found: Mapping[str, Any] = self._group["attributes"].get(OWN) or {}
        return found

    def read(self, at: StoreIndex, crc32: str | None = None) -> NDArray[Any]:
        """Read a frame.

        Parameters
        ----------
        at
            Its place.
        crc32
            The checksum that it must have; ``None``: whatever is there.

        Returns
        -------
        pixels
            Shape (height, width), or (height, width, 3) in the order red, green, blue.

        Raises
        ------
        FrameMissingError
            The store has no such place.
        FrameDamagedError
            Its file cannot be read, or the checksum is another.
        """
        t, c, z = at
        colours = self.shape.colours
        if not (0 <= t < self.times and 0 <= c < len(self.layout.channels) and 0 <= z < self.layout.planes):
            raise FrameMissingError(self.path, f"it has no place t {t}, c {c}, z {z}; it counts {self.times} times")
        try:
            planes = np.asarray(self._open()[t, c * colours : (c + 1) * colours, z].read().result())
        except ValueError as error:  # the library's only error: a file that cannot be read or decompressed
            raise FrameDamagedError(self.path, f"the frame at t {t}, c {c}, z {z} cannot be read: {error}") from error
        pixels = np.ascontiguousarray(np.moveaxis(planes, 0, -1)) if colours > 1 else planes[0]
        if crc32 is not None and (found := checksum(pixels)) != crc32:
            detail = f"the frame at t {t}, c {c}, z {z} has checksum {found}, but {crc32} was recorded"
            raise FrameDamagedError(self.path, detail)
        return pixels

    def _open(self) -> tensorstore.TensorStore:
        if self._array is None:
            import tensorstore

            spec = {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": f"{(self.path / ARRAY).resolve().as_posix()}/"},
            }
            self._array = tensorstore.open(spec, open=True, read=True, write=False).result()
        return self._array


def _shape(group: Mapping[str, Any], document: Mapping[str, Any]) -> FrameShape:
    _, colours, _, height, width = document["chunk_grid"]["configuration"]["chunk_shape"]
    window = group["attributes"]["ome"]["omero"]["channels"][0]["window"]
    return FrameShape(height, width, colours, document["data_type"], (int(window["max"]) + 1).bit_length() - 1)


def _layout(group: Mapping[str, Any], document: Mapping[str, Any]) -> Layout:
    axes = {axis["name"]: axis for axis in group["attributes"]["ome"]["multiscales"][0]["axes"]}
    found = _transforms(group)
    scale, first_um = found["scale"], found["translation"][2]
    _, channels, planes, _, _ = document["shape"]
    colours = document["chunk_grid"]["configuration"]["chunk_shape"][1]
    labels = [channel["label"] for channel in group["attributes"]["ome"]["omero"]["channels"][::colours]]
    names = tuple(label.removesuffix("red").rstrip() if colours > 1 else label for label in labels)
    return Layout(
        pixel_size_um=scale[4] if "unit" in axes["x"] else None,
        planes_um=tuple(first_um + number * scale[2] for number in range(planes)) if planes > 1 else (),
        channels=names[: channels // colours],
        interval_s=scale[0] if "unit" in axes["t"] else None,
    )


def _transforms(group: Mapping[str, Any]) -> dict[str, list[float]]:
    (dataset,) = group["attributes"]["ome"]["multiscales"][0]["datasets"]
    return {one["type"]: one[one["type"]] for one in dataset["coordinateTransformations"]}


__all__ = ["StoredFrames"]
