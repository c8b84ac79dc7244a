"""The Image Cytometry Standard: a text header, and pixels behind it (version 2) or in an ``.ids`` file (version 1).

P. Dean et al., "Proposed standard for image cytometry data files", Cytometry 11, 561–569 (1990); version 2 as
documented by the libics project.
"""

from __future__ import annotations

import math
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.recorded.axes import Choice, FileContent, as_planes
from microscoped.simulators.recorded.errors import BrokenFileError, UnknownFormatError
from microscoped.simulators.recorded.units import micrometres

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

MAX_HEADER_BYTES = 1 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS

Header = dict[tuple[str, str], list[str]]


def read_ics(path: Path, choice: Choice) -> FileContent:
    """Read an ICS file, of version 1 or 2, uncompressed or with gzip.

    Parameters
    ----------
    path
        The ``.ics`` file.
    choice
        What to keep of the axes that do not belong to a z-stack.

    Raises
    ------
    UnknownFormatError
        Not ICS, or of a pixel format or compression that is not read here.
    BrokenFileError
        Header or pixels are cut short or damaged, or the ``.ids`` file is missing.
    PlanesError
        The axes do not form a z-stack.
    """
    raw = path.read_bytes()
    header, body_start = _parse_header(path, raw)
    sizes = _numbers(path, header, "layout", "sizes")
    order = [label.upper() for label in _required(path, header, "layout", "order")]
    if len(sizes) != len(order) or order[:1] != ["BITS"] or any(size < 1 for size in sizes):
        raise BrokenFileError(f"{path}: layout order {order} and sizes {sizes} in the header do not fit each other")
    dtype = _dtype(path, header, sizes[0])
    n_bytes = math.prod(sizes[1:]) * dtype.itemsize
    data = _decompressed(path, header, _pixel_bytes(path, header, raw, body_start), n_bytes)
    array = np.frombuffer(data, dtype=dtype).reshape(sizes[:0:-1])
    planes = as_planes(path.name, array, order[:0:-1], choice)
    bits = header.get(("layout", "significant_bits"))
    bit_depth = int(bits[0]) if bits and bits[0].isdecimal() and 1 <= int(bits[0]) <= sizes[0] else None
    return FileContent(planes, bit_depth, _z_um(header, order, choice, len(planes)))


def _parse_header(path: Path, raw: bytes) -> tuple[Header, int]:
    """Return the header as {(category, subcategory): values}, and where the body begins."""
    first_line, _, _ = raw[:16].partition(b"ics_version")
    if len(first_line) != 2:
        raise UnknownFormatError(f"{path}: is not an ICS file: it does not begin with two separators and ics_version")
    field_mark, line_mark = first_line[:1], first_line[1:2]
    header: Header = {}
    start = 2
    while start < min(len(raw), MAX_HEADER_BYTES):
        stop = raw.find(line_mark, start)
        stop = len(raw) if stop < 0 else stop
        fields = [field.strip() for field in raw[start:stop].decode("latin-1").split(field_mark.decode("latin-1"))]
        start = stop + 1
        if fields[0] == "end":
            return header, start
        category, subcategory = fields[0], fields[1] if len(fields) > 1 else ""
        header[category, subcategory] = fields[2:]
    if header.get(("layout", "sizes")) and _version(header) == 1:
        return header, len(raw)  # version 1 needs no end line: its pixels are elsewhere
    raise BrokenFileError(f"{path}: the header has no 'end' line: the file is cut short; fetch it again")


def _version(header: Header) -> int:
    return next((1 for category, sub in header if category == "ics_version" and sub.startswith("1")), 2)


def _required(path: Path, header: Header, category: str, subcategory: str) -> list[str]:
    values = [value for value in header.get((category, subcategory), []) if value]
    if not values:
        raise BrokenFileError(f"{path}: the header does not say '{category} {subcategory}'; it cannot be read without")
    return values


def _numbers(path: Path, header: Header, category: str, subcategory: str) -> list[int]:
    values = _required(path, header, category, subcategory)
    if not all(value.isdecimal() for value in values):
        raise BrokenFileError(f"{path}: '{category} {subcategory}' is {values}, expected whole numbers")
    return [int(value) for value in values]


def _dtype(path: Path, header: Header, bits: int) -> np.dtype[Any]:
    kind = header.get(("representation", "format"), ["integer"])[0]
    sign = header.get(("representation", "sign"), ["unsigned"])[0]
    if bits not in (8, 16) or kind != "integer" or sign != "unsigned":
        raise UnknownFormatError(
            f"{path}: pixels are {sign} {kind} of {bits} bits; save them as unsigned integers of 8 or 16 bits"
        )
    if bits == 8:
        return np.dtype(np.uint8)
    match header.get(("representation", "byte_order")):
        case ["1", "2", *_]:
            return np.dtype("<u2")
        case ["2", "1", *_]:
            return np.dtype(">u2")
        case None:
            return np.dtype("<u2" if sys.byteorder == "little" else ">u2")
        case other:
            raise UnknownFormatError(f"{path}: byte order {other} is not known for 16 bits; expected '1 2' or '2 1'")


def _pixel_bytes(path: Path, header: Header, raw: bytes, body_start: int) -> bytes:
    """Return the stored bytes of the pixels, wherever they lie."""
    named = [value for value in header.get(("source", "file"), []) if value]
    if _version(header) == 1:
        beside = path.with_suffix(".IDS" if path.suffix == ".ICS" else ".ids")
    elif named:
        beside = path.parent / Path(named[0]).name
    else:
        return raw[body_start:]
    if not beside.is_file():
        raise BrokenFileError(f"{path}: its pixels are in {beside.name}, which is not beside it; copy both files")
    offset = [value for value in header.get(("source", "offset"), []) if value.isdecimal()]
    return beside.read_bytes()[int(offset[0]) if offset else 0 :]


def _decompressed(path: Path, header: Mapping[tuple[str, str], Sequence[str]], stored: bytes, n_bytes: int) -> bytes:
    compression = (header.get(("representation", "compression")) or ["uncompressed"])[0]
    match compression:
        case "uncompressed":
            data = stored
        case "gzip":
            try:
                data = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(stored, n_bytes)
            except zlib.error as error:
                raise BrokenFileError(f"{path}: the gzip data are damaged ({error}); fetch the file again") from error
        case _:
            raise UnknownFormatError(
                f"{path}: compression {compression!r} is not read here; save it uncompressed or with gzip"
            )
    if len(data) < n_bytes:
        raise BrokenFileError(
            f"{path}: holds {len(data)} bytes of pixels, but its header promises {n_bytes}; fetch the file again"
        )
    return data[:n_bytes]


def _z_um(
    header: Mapping[tuple[str, str], Sequence[str]], order: Sequence[str], choice: Choice, n_planes: int
) -> tuple[float, ...] | None:
    """Return the z of a file with a z axis whose scale has a unit of length, else None."""
    axis = choice.plane_axis or "Z"
    if n_planes < 2 or axis not in order:
        return None
    index = order.index(axis)
    try:
        scale = float(header["parameter", "scale"][index])
        origin = float(header["parameter", "origin"][index])
        unit = micrometres(header["parameter", "units"][index])
    except (KeyError, IndexError, ValueError):
        return None
    if unit is None or not scale or not math.isfinite(scale) or not math.isfinite(origin):
        return None
    return tuple((origin + plane * scale) * unit for plane in range(n_planes))


__all__ = ["read_ics"]
