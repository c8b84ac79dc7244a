"""What can be wrong with a journal or a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class JournalError(Exception):
    """A journal cannot be read, or is damaged before its end; what stands before the damage is good.

    Parameters
    ----------
    path, line
        Which file, and which of its lines, counted from 1; ``None`` where the file as a whole is meant.
    detail
        What is wrong.
    """

    code = "journal.damaged"

    def __init__(self, path: Path, line: int | None, detail: str) -> None:
        super().__init__(f"{path}{'' if line is None else f':{line}'}: {detail}")
        self.path = path
        self.line = line
        self.detail = detail


class FramesError(Exception):
    """What the frames of a recording can suffer.

    Parameters
    ----------
    path
        The store.
    detail
        What is wrong, and what helps.
    """

    code = "recording.frames"

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


class StoreWriteError(FramesError):
    """The store cannot be written: the disk is full, the folder may not be written, or a disk is gone."""

    code = "recording.write"


class StoreReadError(FramesError):
    """The store is missing, or is none of ours."""

    code = "recording.read"


class FrameMissingError(FramesError):
    """The pixels of this frame are not in the recording; the text says why."""

    code = "recording.frame_missing"


class FrameDamagedError(FramesError):
    """The pixels of this frame are not those that were recorded: their checksum differs."""

    code = "recording.frame_damaged"


class LayoutError(ValueError):
    """The planes, channels or sizes of a store do not fit together; the text names the value and the remedy."""

    code = "recording.layout"


__all__ = [
    "FrameDamagedError",
    "FrameMissingError",
    "FramesError",
    "JournalError",
    "LayoutError",
    "StoreReadError",
    "StoreWriteError",
]
