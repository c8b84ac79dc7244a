"""Reading a journal: tolerant of a torn end, and of nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.record.errors import JournalError
from microscoped.daemon.record.journal import PATTERN
from microscoped.daemon.record.lines import FORMAT, Ending, Entry, Header, Line, TornTail, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def journal_files(path: Path) -> list[Path]:
    """Return the files of a journal in their order: those of a session's folder, or the one file that is named.

    Raises
    ------
    JournalError
        There is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise JournalError(path, None, "there is no such file or folder")
    files = sorted(path.glob(PATTERN))
    if not files:
        sessions = sorted(folder.name for folder in path.iterdir() if folder.is_dir() and any(folder.glob(PATTERN)))
        hint = f"; the newest session here is {sessions[-1]}" if sessions else ""
        raise JournalError(path, None, f"there is no {PATTERN} in this folder{hint}")
    return files


def read_journal(path: Path) -> Iterator[Line | TornTail]:
    """Yield the lines of a journal in their order, over all files of its session.

    Every line has been checked: its checksum, its number after the one before it, the time that never falls, the header
    that begins each file and fits to the file before. The last line of the last file may be incomplete or garbage: then
    a `TornTail` is what comes last. A journal that is being written can be read.

    Parameters
    ----------
    path
        A session's folder, or one of its files.

    Raises
    ------
    JournalError
        There is no journal, or it is damaged before its end: the file, the line, and what is wrong.
    """
    files = journal_files(path)
    order = _Order()
    for file in files:
        number = 0
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    found = parse(line)
                except ValueError as error:
                    if file == files[-1] and not lines.read(1) and order.headers:
                        yield TornTail(file, number, len(line), str(error).splitlines()[0])
                        return
                    raise JournalError(file, number, str(error).splitlines()[0]) from None
                problem = order.check(found, first_of_file=number == 1)
                if problem:
                    raise JournalError(file, number, problem)
                yield found
        if number == 0:
            if file == files[-1] and order.headers:
                yield TornTail(file, 1, 0, "the file is empty")
                return
            raise JournalError(file, 1, "the file is empty")


class _Order:
    """What must come next."""

    def __init__(self) -> None:
        self.headers = 0
        self._session = ""
        self._file = 0
        self._next = 0
        self._mono_ns = -(2**63)
        self._ending: Ending | None = None

    def check(self, line: Line, *, first_of_file: bool) -> str | None:
        """Take the next line; return what is wrong with its place."""
        if isinstance(line, Header) != first_of_file:
            return "a file begins with its header, and has only one" if first_of_file else "a second header in one file"
        match line:
            case Header():
                return self._header(line)
            case _ if self._ending is not None:
                return "the file had ended before this line"
            case Entry():
                if line.n != self._next:
                    return f"input {line.n} stands where {self._next} belongs: lines are missing or out of order"
                if line.mono_ns < self._mono_ns:
                    return f"input {line.n} is older than the one before it"
                self._next, self._mono_ns = line.n + 1, line.mono_ns
            case Ending():
                if line.last != self._next - 1:
                    return f"the file ends with input {line.last}, but {self._next - 1} was the last one here"
                self._ending = line
        return None

    def _header(self, header: Header) -> str | None:
        if header.journal != FORMAT:
            return f"the format is version {header.journal}; this program reads {FORMAT}"
        if self.headers:
            if self._ending is None or self._ending.end != "rotated":
                return "the file before this one was not ended for it"
            if (header.session, header.file, header.first) != (self._session, self._file + 1, self._next):
                return f"this is file {header.file} of session {header.session}, from input {header.first}; " + (
                    f"file {self._file + 1} of {self._session}, from input {self._next}, belongs here"
                )
        self.headers += 1
        self._session, self._file, self._next = header.session, header.file, header.first
        self._ending = None
        return None


__all__ = ["journal_files", "read_journal"]
