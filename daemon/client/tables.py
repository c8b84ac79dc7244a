"""A measurement with its tables, as it comes over ``frames``."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.daemon.client.reading import read_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.daemon.protocol import Event


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """A measurement and its binary parts.

    Parameters
    ----------
    event
        The event, as on ``events``: the same ``seq``.
    parts
        Each part's bytes by its name. Of tables they are Arrow IPC streams, which pyarrow, polars and their like read
        (``pyarrow.ipc.open_stream(parts["cells"]).read_all()``); `columns` needs only nanoarrow.
    """

    event: Event
    parts: Mapping[str, bytes]

    @property
    def frame(self) -> str:
        """Id of the frame that was measured."""
        return str(self.event.data["frame"])

    @property
    def values(self) -> dict[str, Any]:
        """What the measurement says in sum."""
        found: dict[str, Any] = dict(self.event.data["values"])  # type: ignore[arg-type] # the daemon sends an object
        return found

    def columns(self, part: str = "cells") -> dict[str, NDArray[Any]]:
        """Return a table's columns by name; what is not known is NaN, and in whole numbers -1.

        Raises
        ------
        KeyError
            There is no such part.
        ImportError
            nanoarrow is not installed.
        """
        if part not in self.parts:
            raise KeyError(f"there is no part {part!r}; there are: {', '.join(self.parts) or 'none'}")
        try:
            import nanoarrow
            import nanoarrow.ipc
        except ImportError as error:
            raise ImportError("columns() needs nanoarrow: 'pip install nanoarrow', or read parts yourself") from error
        with nanoarrow.ipc.InputStream.from_readable(io.BytesIO(self.parts[part])) as source:
            table = nanoarrow.ArrayStream(source).read_all()
        found = {}
        for k, field in enumerate(table.schema.fields):
            values = list(table.child(k).iter_py())
            whole = field.type in (nanoarrow.Type.INT64, nanoarrow.Type.INT32)
            if field.type == nanoarrow.Type.BOOL:
                found[field.name] = np.array(values, np.bool_)
            else:
                missing, kind = (-1, np.int64) if whole else (np.nan, np.float64)
                found[field.name] = np.array([missing if value is None else value for value in values], kind)
        return found


def read_tables(message: list[bytes]) -> Tables:
    """Read a message of ``frames`` that is a measurement: topic, event, parts."""
    event = read_event(message[1])
    told: Any = event.data.get("parts", [])
    return Tables(event, {one["name"]: part for one, part in zip(told, message[2:], strict=False)})


__all__ = ["Tables", "read_tables"]
