"""What is known of each frame, kept in the store itself: for readers that know nothing of journals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microscoped.daemon.record.codec import plain_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microscoped.daemon.protocol.events import FrameData
    from microscoped.daemon.record.frames.layout import StoreIndex

VERSION = 1
TAKEN = (
    *("frame", "exposure_start_ns", "exposure_start_error_ns", "exposure_ms", "z_um", "z_source", "moving"),
    "acquired",
)
"""Columns that are fields of a frame's header."""
COLUMNS = ("t", "c", "z", "number", "crc32", *TAKEN)
SKIPPED = ("frame", "number", "z_um", "reason")
AT_ONCE = 512
"""Rows that are written in one call: the interpreter can change threads between calls."""


class FrameTable:
    """Collects rows, and writes them as columns of equal length.

    Columns: place in the store (``t``, ``c``, ``z``), ``number`` of the input in the journal, ``crc32``, and what the
    frame's header says. Frames that were skipped stand apart, with the reason.
    """

    def __init__(self) -> None:
        self._stored: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._skipped: dict[str, list[Any]] = {name: [] for name in SKIPPED}

    @property
    def stored(self) -> int:
        """How many frames are in the store."""
        return len(self._stored["frame"])

    @property
    def skipped(self) -> int:
        """How many frames came and are not in it."""
        return len(self._skipped["frame"])

    def add(self, at: StoreIndex, crc32: str, number: int, frame: FrameData) -> None:
        """Take a frame that is in the store."""
        for name, value in zip(COLUMNS, (*at, number, crc32, *(getattr(frame, name) for name in TAKEN)), strict=True):
            self._stored[name].append(value)

    def skip(self, reason: str, number: int, frame: FrameData) -> None:
        """Take a frame that is not in the store."""
        for name, value in zip(SKIPPED, (frame.frame, number, frame.z_um, reason), strict=True):
            self._skipped[name].append(value)

    def json(self) -> bytes:
        """Return the table as a JSON object."""
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        yield b'{"version":%d,"frames":' % VERSION
        yield from _columns(self._stored)
        yield b',"skipped":'
        yield from _columns(self._skipped)
        yield b"}"


def _columns(columns: dict[str, list[Any]]) -> Iterator[bytes]:
    for number, (name, values) in enumerate(columns.items()):
        yield b'%s"%s":[' % (b"," if number else b"{", name.encode())
        for at in range(0, len(values), AT_ONCE):
            yield (b"," if at else b"") + plain_json(values[at : at + AT_ONCE])[1:-1]
        yield b"]"
    yield b"}"


__all__ = ["COLUMNS", "FrameTable"]
