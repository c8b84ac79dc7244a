"""The files of a journal: begun, filled, rotated, synchronised, ended. One thread; nothing here waits for another."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from microscoped.daemon.record.codec import decisions, digest, encode_input, encode_state, plain_json
from microscoped.daemon.record.files import sync_folder
from microscoped.daemon.record.lines import FORMAT, seal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from microscoped.daemon.core import Effect, Input, Now, State
    from microscoped.daemon.record.lines import PixelNote

Lines: TypeAlias = "Sequence[tuple[bytes, int, State]]"
"""Lines with the numbers of their inputs, and the states after them."""

PACKAGES = ("numpy", "pydantic", "pydantic-core", "pymmcore", "pymmcore-plus", "pyzmq", "scipy")
NAME = "journal-{:06d}.jsonl"
PATTERN = "journal-*.jsonl"
ONLY_MINE = 0o600
"""The journal holds whatever clients sent, and the tokens of leases."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What every file begins with.

    Parameters
    ----------
    software, protocol
        Versions.
    config
        The configuration as run, as JSON.
    weights
        SHA-256 of each engine's weights, by engine.
    """

    software: str
    protocol: str
    config: Mapping[str, JsonValue]
    weights: Mapping[str, str] = field(default_factory=dict)


class Journal:
    """Writes one session, or a part of one, into a folder of its own; no file is ever overwritten.

    Parameters
    ----------
    parent
        Where the session's folder is made.
    facts, state
        For the headers; the state before the first input.
    rotate_bytes
        A file is ended before the lines after its header grow beyond this.
    keep
        How many files of the session are kept; the oldest ones are deleted. ``None``: all.
    folder
        Name of the folder; ``None``: after the time and the session.
    after
        Number of the last input before the first one.

    Raises
    ------
    OSError
        From all methods: folder or file cannot be made or written.
    """

    def __init__(
        self,
        parent: Path,
        facts: Facts,
        state: State,
        *,
        rotate_bytes: int,
        keep: int | None,
        folder: str | None = None,
        after: int = 0,
    ) -> None:
        self.recorded = after
        """Number of the last input that was handed to the operating system: it survives the death of the process."""
        self.durable = after
        """Number of the last input that is on the disk: it survives a power cut."""
        began = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        self.folder = parent / (folder or f"{began}-{state.session[:8]}")
        self._facts = facts
        self._packages = _versions()
        self._state = state
        self._rotate_bytes = self._full = rotate_bytes
        self._keep = keep
        self._number = 0
        self._first = after + 1
        self._kept: deque[Path] = deque()
        self._descriptor: int | None = None
        self._size = 0
        parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        sync_folder(parent)
        self._open()

    def add(self, life: Sequence[tuple[Input, Now, tuple[Effect, ...], State]]) -> None:
        """Write inputs with what was done about them and the states after them, in their order."""
        self.add_lines([(entry_line(heard, now, effects), now.number, state) for heard, now, effects, state in life])

    def add_lines(self, lines: Lines) -> None:
        """Write lines that `entry_line` made, in their order."""
        waiting: list[bytes] = []
        size = 0
        last = self.recorded
        for line, number, state in lines:
            if self._size + size + len(line) > self._full and last >= self._first:
                self._write(b"".join(waiting), last)
                waiting, size = [], 0
                self._rotate()
            waiting.append(line)
            size += len(line)
            last, self._state = number, state
        self._write(b"".join(waiting), last)

    def sync(self) -> None:
        """Have everything on the disk."""
        if self._descriptor is not None and self.durable < self.recorded:
            os.fsync(self._descriptor)
            self.durable = self.recorded

    def end(self, reason: str, unrecorded: int = 0) -> None:
        """Write the closing line and close the file."""
        if self._descriptor is None:
            return
        try:
            self._write(_ending(reason, self.recorded, unrecorded), self.recorded)
            os.fsync(self._descriptor)
            self.durable = self.recorded
        finally:
            self._close()

    def abandon(self, reason: str, unrecorded: int = 0) -> None:
        """End after a failure as well as may be: without half a line, and with a closing line if there is room."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
            try:
                self._write(_ending(reason, self.recorded, unrecorded), self.recorded)
            except OSError:  # there was room for a part of it
                os.ftruncate(self._descriptor, self._size)
            os.fsync(self._descriptor)
            self.durable = self.recorded
        self._close()

    def _write(self, data: bytes, last: int) -> None:
        """Write whole lines; the size of the file counts those alone."""
        if self._descriptor is None:
            raise OSError("the journal has ended")
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._size += len(data)
        self.recorded = last

    def _rotate(self) -> None:
        if self._descriptor is None:
            raise OSError("the journal has ended")
        self._write(_ending("rotated", self.recorded, 0, NAME.format(self._number + 1)), self.recorded)
        os.fsync(self._descriptor)
        self.durable = self.recorded
        self._close()
        self._open()
        while self._keep is not None and len(self._kept) > self._keep:
            self._kept.popleft().unlink()

    def _open(self) -> None:
        self._number += 1
        path = self.folder / NAME.format(self._number)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, ONLY_MINE)
        self._size, self._first = 0, self.recorded + 1
        self._kept.append(path)
        try:
            self._write(self._header(), self.recorded)
            self._full = self._size + self._rotate_bytes
            os.fsync(self._descriptor)
            sync_folder(self.folder)
        except BaseException:
            self._close()
            with suppress(OSError):
                path.unlink()  # without its whole header it is no journal
            raise

    def _header(self) -> bytes:
        head = plain_json(
            {
                "journal": FORMAT,
                "file": self._number,
                "first": self.recorded + 1,
                "session": self._state.session,
                "began_ns": self._state.began_ns,
                "utc": _utc(),
                "software": self._facts.software,
                "protocol": self._facts.protocol,
                "python": sys.version.split()[0],
                "platform": platform.platform(),
                "packages": self._packages,
                "weights": dict(self._facts.weights),
                "config": dict(self._facts.config),
            }
        )
        return seal(b'%s,"state":%s}' % (head[:-1], b"".join(encode_state(self._state))))

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def entry_line(heard: Input, now: Now, effects: tuple[Effect, ...], pixels: PixelNote | None = None) -> bytes:
    """Return the line of an input; `pixels` says where those of its frame are, in a recording."""
    body = b'{"n":%d,"mono_ns":%d,"utc":"%s","input":"%s","data":%s,"effects":"%s"' % (
        now.number,
        now.mono_ns,
        now.utc.encode(),
        type(heard).__name__.encode(),
        encode_input(heard),
        digest(effects).encode(),
    )
    if pixels is not None:
        body = b'%s,"pixels":%s' % (body, pixels.model_dump_json(exclude_none=True).encode())
    decided = decisions(effects)
    return seal(b'%s,"decisions":%s}' % (body, plain_json(decided)) if decided else body + b"}")


def _ending(reason: str, last: int, unrecorded: int, following: str | None = None) -> bytes:
    told: dict[str, JsonValue] = {"end": reason, "last": last, "utc": _utc()}
    if unrecorded:
        told["unrecorded"] = unrecorded
    if following is not None:
        told["next"] = following
    return seal(plain_json(told))


def _utc() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def data_folder() -> Path:
    """Return where journals go by default: ``$MICROSCOPED_DATA_HOME``, or where the system keeps programs' data."""
    if configured := os.environ.get("MICROSCOPED_DATA_HOME"):
        return Path(configured)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "microscoped"


__all__ = ["NAME", "PATTERN", "Facts", "Journal", "data_folder", "entry_line"]
