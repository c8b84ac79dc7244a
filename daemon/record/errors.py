"""What can be wrong with a journal that is read."""

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


__all__ = ["JournalError"]
