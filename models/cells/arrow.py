"""Tables as Arrow IPC streams: one message that programs in any language read as columns.

Written with nanoarrow, which is 3 MB and needs no other library; it is imported where a table is first sent.
"""

from __future__ import annotations

import io
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from microscoped.models.cells.errors import TableError
from microscoped.models.cells.linking import Motion
from microscoped.models.cells.measures import COLUMNS, CellTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FORMAT: Final = b"microscoped.cells.1"
"""Of a table: stands in the schema's metadata as ``format``, beside ``pixel_um``, ``rows_px`` and ``columns_px``."""

MOTIONS_FORMAT: Final = b"microscoped.motions.1"
"""Of motions, in the same place."""
CONTENT_TYPE: Final = "application/vnd.apache.arrow.stream"
"""Of both."""
WHOLE: Final = ("track", "points")
"""Columns of motions that hold whole numbers."""


def to_arrow(table: CellTable) -> bytes:
    """Return a table as an Arrow IPC stream.

    Numbers are ``double``, ``track`` is ``int64``, ``touching`` and ``border`` are ``bool``; what is not known is null.
    """
    metadata = {
        b"format": FORMAT,
        b"pixel_um": repr(float(table.pixel_um)).encode(),
        b"rows_px": str(table.shape_px[0]).encode(),
        b"columns_px": str(table.shape_px[1]).encode(),
    }
    return _stream({name: getattr(table, name) for name in COLUMNS}, len(table), metadata)


def motions_to_arrow(motions: Sequence[Motion]) -> bytes:
    """Return what linked cells did as an Arrow IPC stream, a row each; columns as of `Motion`.

    Numbers are ``double``, ``track`` and ``points`` are ``int64``; what is not known is null.
    """
    columns: dict[str, NDArray[Any]] = {}
    for one in fields(Motion):
        values = [getattr(motion, one.name) for motion in motions]
        whole = one.name in WHOLE
        columns[one.name] = np.array(values, np.int64 if whole else np.float64)
    return _stream(columns, len(motions), {b"format": MOTIONS_FORMAT})


def from_arrow(stream: bytes) -> CellTable:
    """Return the table of an Arrow IPC stream that `to_arrow` made.

    Only for streams of a source that is trusted: the library does not defend itself against bytes made to harm it.

    Raises
    ------
    TableError
        It is none, is cut off, or is of another format.
    """
    import nanoarrow
    import nanoarrow.ipc

    try:
        with nanoarrow.ipc.InputStream.from_readable(io.BytesIO(stream)) as source:
            batches = nanoarrow.ArrayStream(source).read_all()
        schema = batches.schema
        metadata = dict(schema.metadata.items()) if schema.metadata is not None else {}
    except (ValueError, OSError, RuntimeError) as error:
        raise TableError(f"table: no Arrow stream that can be read ({error})") from error
    if metadata.get(b"format") != FORMAT:
        raise TableError(f"table: format {metadata.get(b'format')!r}; this version reads {FORMAT!r}")
    columns = {}
    for k, field in enumerate(schema.fields):
        columns[field.name] = _column(field.name, list(batches.child(k).iter_py()))
    if set(columns) != set(COLUMNS):
        raise TableError(f"table: columns {sorted(columns)}; this version reads {sorted(COLUMNS)}")
    shape = int(metadata[b"rows_px"]), int(metadata[b"columns_px"])
    return CellTable(shape, float(metadata[b"pixel_um"]), **columns)


def _stream(columns: Mapping[str, NDArray[Any]], count: int, metadata: Mapping[bytes, bytes]) -> bytes:
    """Return columns as an Arrow IPC stream of one batch; NaN, and a negative track, are null."""
    import nanoarrow
    import nanoarrow.ipc

    kinds: dict[str, Any] = {}
    children = []
    for name, values in columns.items():
        if values.dtype == np.bool_:
            kinds[name], known, data = nanoarrow.bool_(nullable=False), np.ones(count, bool), _bits(values)
        elif values.dtype == np.int64:
            kinds[name], known, data = nanoarrow.int64(), values >= 0, np.ascontiguousarray(values)
        else:
            kinds[name], known, data = nanoarrow.float64(), values == values, np.ascontiguousarray(values)
        bits = None if known.all() else _bits(known)
        children.append(nanoarrow.c_array_from_buffers(kinds[name], count, [bits, data]))
    schema = nanoarrow.c_schema(nanoarrow.struct(kinds, nullable=False)).modify(metadata=dict(metadata))
    batch = nanoarrow.c_array_from_buffers(schema, count, [None], children=children)
    out = io.BytesIO()
    with nanoarrow.ipc.StreamWriter.from_writable(out) as writer:
        writer.write_array(batch)
    return out.getvalue()


def _bits(values: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(values, bitorder="little")


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    if name == "track":
        return np.array([-1 if value is None else value for value in values], np.int64)
    if name in ("touching", "border"):
        return np.array(values, np.bool_)
    return np.array([np.nan if value is None else value for value in values], np.float64)


__all__ = ["CONTENT_TYPE", "FORMAT", "MOTIONS_FORMAT", "from_arrow", "motions_to_arrow", "to_arrow"]
