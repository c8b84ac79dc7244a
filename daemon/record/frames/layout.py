"""What a store of frames looks like: axes, sizes, and the metadata that other programs read.

OME-Zarr 0.5 (NGFF, https://ngff.openmicroscopy.org/0.5/): a Zarr version 3 group with one array ``0`` of axes
t, c, z, y, x. A frame is one chunk, so a frame is on the disk or is not, and no other can be damaged with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from microscoped.daemon.record.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Compression: TypeAlias = Literal["none", "zstd"]
StoreIndex: TypeAlias = tuple[int, int, int]
"""Where a frame lies in the store: t, c (counted in frames, not in colours), z."""

AXES = ("t", "c", "z", "y", "x")
NGFF = "0.5"
OWN = "microscoped"
"""Our own part of the group's attributes."""
COLOURS = ("FF0000", "00FF00", "0000FF")
EVEN_UM = 1e-3
"""How far a plane may lie off an even spacing: well below what stages repeat."""
DTYPES = ("uint8", "uint16", "uint32")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the frames of a store are of.

    Parameters
    ----------
    pixel_size_um
        Side of a pixel in the specimen; ``None``: unknown, and the axes x and y have no unit.
    planes_um
        z of the planes of a stack, in µm, ascending and evenly spaced; empty where the frames are of one plane at a
        time, whose z is that of the first one.
    channels
        Names of the channels.
    interval_s
        From one point in time to the next, where that is planned; ``None``: t counts frames and has no unit.

    Raises
    ------
    LayoutError
        A value out of range, or planes that are not ascending or evenly spaced.
    """

    pixel_size_um: float | None = None
    planes_um: tuple[float, ...] = ()
    channels: tuple[str, ...] = ("",)
    interval_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_size_um", "interval_s"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise LayoutError(f"{name} {value} must be a positive number, or None where it is unknown")
        if not self.channels:
            raise LayoutError("channels is empty: name one, or leave it out")
        steps = np.diff(self.planes_um)
        if len(steps) and not (np.all(steps > 0) and np.ptp(steps) <= EVEN_UM):
            raise LayoutError(f"planes_um {self.planes_um} must ascend in even steps: OME-Zarr has one spacing of z")

    @property
    def step_um(self) -> float:
        """Distance of the planes in µm; 1 where there is only one."""
        return float(np.mean(np.diff(self.planes_um))) if len(self.planes_um) > 1 else 1.0

    @property
    def planes(self) -> int:
        """How many planes a stack has."""
        return max(1, len(self.planes_um))


@dataclass(frozen=True, slots=True)
class FrameShape:
    """What every frame of a store is like.

    Parameters
    ----------
    height, width, colours
        In pixels; 1 colour, or 3: red, green, blue.
    dtype
        ``uint8``, ``uint16`` or ``uint32``.
    bit_depth
        Significant bits.
    """

    height: int
    width: int
    colours: int
    dtype: str
    bit_depth: int

    @classmethod
    def of(cls, pixels: NDArray[Any], bit_depth: int | None = None) -> FrameShape:
        """Return the shape of a frame.

        Raises
        ------
        LayoutError
            It is no frame: neither (height, width) nor (height, width, 3), or not unsigned integers.
        """
        sizes_fit = pixels.size and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3))
        if pixels.dtype.name not in DTYPES or not sizes_fit:
            raise LayoutError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype} are no frame: it is (height, width) or "
                f"(height, width, 3), of {', '.join(DTYPES)}"
            )
        colours = pixels.shape[2] if pixels.ndim == 3 else 1
        bits = bit_depth if bit_depth is not None else 8 * pixels.dtype.itemsize
        return cls(pixels.shape[0], pixels.shape[1], colours, pixels.dtype.name, bits)

    def fits(self, other: FrameShape) -> bool:
        """Whether frames of the other shape go into the same store."""
        return replace(self, bit_depth=other.bit_depth) == other

    def __str__(self) -> str:
        return f"{self.width} × {self.height} px{' in colour' if self.colours > 1 else ''}, {self.dtype}"


def array_document(layout: Layout, shape: FrameShape, extent: int, compression: Compression) -> dict[str, Any]:
    """Return ``0/zarr.json``: an array of `extent` points in time."""
    codecs: list[Mapping[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    if compression == "zstd":
        codecs.append({"name": "zstd", "configuration": {"level": 1, "checksum": False}})
    size = [shape.height, shape.width]
    chunk = [1, shape.colours, 1, *size]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [extent, len(layout.channels) * shape.colours, layout.planes, *size],
        "data_type": shape.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": codecs,
        "dimension_names": list(AXES),
        "attributes": {},
    }


def group_document(layout: Layout, shape: FrameShape, z_um: float) -> dict[str, Any]:
    """Return ``zarr.json`` of the group, with the standard's part alone: ours is null.

    Parameters
    ----------
    layout, shape
        See there.
    z_um
        Of the first plane, in µm.
    """
    size_um, interval_s = layout.pixel_size_um, layout.interval_s
    micrometre = {"unit": "micrometer"} if size_um is not None else {}
    axes: list[dict[str, str]] = [
        {"name": "t", "type": "time"} | ({"unit": "second"} if interval_s is not None else {}),
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", **micrometre},
        {"name": "x", "type": "space", **micrometre},
    ]
    scale = [interval_s or 1.0, 1.0, layout.step_um, size_um or 1.0, size_um or 1.0]
    transforms = [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": [0.0, 0.0, z_um, 0.0, 0.0]},
    ]
    ome = {
        "version": NGFF,
        "multiscales": [
            {"name": "frames", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": transforms}]}
        ],
        "omero": {"channels": _channels(layout, shape)},
    }
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome, OWN: None}}


def _channels(layout: Layout, shape: FrameShape) -> list[dict[str, Any]]:
    greatest = 2**shape.bit_depth - 1
    window = {"min": 0, "max": greatest, "start": 0, "end": greatest}
    if shape.colours == 1:
        names = [(name or f"channel {number}", "FFFFFF") for number, name in enumerate(layout.channels)]
    else:
        parts = tuple(zip(("red", "green", "blue"), COLOURS, strict=True))
        names = [(f"{name} {part}".strip(), colour) for name in layout.channels for part, colour in parts]
    return [{"label": label, "color": colour, "window": window, "active": True} for label, colour in names]


__all__ = [
    "AXES",
    "NGFF",
    "OWN",
    "Compression",
    "FrameShape",
    "Layout",
    "StoreIndex",
    "array_document",
    "group_document",
]
