"""The table as an Arrow IPC stream: one message that programs in any language read as columns.

Written with nanoarrow, which is 3 MB and needs no other library; it is imported where a table is first sent.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from microscoped.models.cells.errors import TableError
from microscoped.models.cells.measures import COLUMNS, CellTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT: Final = b"microscoped.cells.1"
"""Of the stream: stands in the schema's metadata as ``format``, beside ``pixel_um``, ``rows_px`` and ``columns_px``."""


def to_arrow(table: CellTable) -> bytes:
    """Return a table as an Arrow IPC stream.

    Numbers are ``double``, ``track`` is ``int64``, ``touching`` and ``border`` are ``bool``; what is not known is null.
    """
    import nanoarrow
    import nanoarrow.ipc

    kinds: dict[str, Any] = {name: nanoarrow.float64() for name in COLUMNS}
    kinds |= {"touching": nanoarrow.bool_(nullable=False), "border": nanoarrow.bool_(nullable=False)}
    kinds["track"] = nanoarrow.int64()
    metadata = {
        b"format": FORMAT,
        b"pixel_um": repr(float(table.pixel_um)).encode(),
        b"rows_px": str(table.shape_px[0]).encode(),
        b"columns_px": str(table.shape_px[1]).encode(),
    }
    schema = nanoarrow.c_schema(nanoarrow.struct(kinds, nullable=False)).modify(metadata=metadata)
    children = []
    for name in COLUMNS:
        values: NDArray[Any] = getattr(table, name)
        known = values >= 0 if name == "track" else values == values
        bits = None if known.all() else _bits(known)
        data = _bits(values) if values.dtype == np.bool_ else np.ascontiguousarray(values)
        children.append(nanoarrow.c_array_from_buffers(kinds[name], len(table), [bits, data]))
    batch = nanoarrow.c_array_from_buffers(schema, len(table), [None], children=children)
    out = io.BytesIO()
    with nanoarrow.ipc.StreamWriter.from_writable(out) as writer:
        writer.write_array(batch)
    return out.getvalue()


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


def _bits(values: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(values, bitorder="little")


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    if name == "track":
        return np.array([-1 if value is None else value for value in values], np.int64)
    if name in ("touching", "border"):
        return np.array(values, np.bool_)
    return np.array([np.nan if value is None else value for value in values], np.float64)


__all__ = ["FORMAT", "from_arrow", "to_arrow"]
