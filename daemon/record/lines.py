"""The lines of a journal: JSON objects, each closed by a checksum of all that stands before it on its line.

``{"n":7,…,"crc":"0f3a5c71"}``: CRC-32 (the one of zlib, PNG and Ethernet) of the bytes up to ``,"crc"``. It finds any
single damaged run of up to 32 bits and misses one torn line in 4·10⁹, costs about 1 µs a line, and every language has
it. It guards against cables and power cuts, not against forgers: whoever can write the file can write the checksum.
That lines are missing, repeated or out of order shows by their numbers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue

from microscoped.daemon.record.codec import parse_json

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Version of the format; a reader refuses others."""
_MARK = b',"crc":"'
_TAIL = len(_MARK) + 8 + len(b'"}\n')


class Header(BaseModel):
    """The first line of each file: all that is needed to understand it, and to replay it from here on.

    Parameters
    ----------
    journal
        Version of the format.
    file, first
        Which file of the session this is, from 1, and the number of the first input in it.
    session, began_ns
        As in the state.
    utc
        When the file was begun.
    software, protocol, python, platform, packages
        Versions of what wrote it.
    weights
        SHA-256 of each engine's weights, by engine.
    config
        The configuration as run.
    state
        Everything that was known before the first input of this file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    journal: int
    file: int
    first: int
    session: str
    began_ns: int
    utc: str
    software: str
    protocol: str
    python: str
    platform: str
    packages: dict[str, str]
    weights: dict[str, str]
    config: dict[str, JsonValue]
    state: dict[str, JsonValue]


class PixelNote(BaseModel):
    """Where the pixels of a frame are.

    Parameters
    ----------
    at
        Where in ``frames.ome.zarr``: t, c (counted in frames, not in colours) and z; ``None``: they are not recorded.
    crc32
        CRC-32 of the pixels, rows first, little-endian, as 8 hexadecimal digits.
    skipped
        Why they are not recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: tuple[int, int, int] | None = None
    crc32: str | None = None
    skipped: str | None = None


class Entry(BaseModel):
    """An input, and what was done about it.

    Parameters
    ----------
    n, mono_ns, utc
        Its number in the life of the loop, and when it was handled.
    input, data
        Its type and content.
    effects
        Digest of all effects (see `microscoped.daemon.record.codec.digest`).
    decisions
        Events of decisions, tasks, alarms and states that were published, in full.
    pixels
        In a recording, where those of the frame are that this input brought: they were on the disk before this line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    mono_ns: int
    utc: str
    input: str
    data: JsonValue
    effects: str
    decisions: list[dict[str, JsonValue]] = []
    pixels: PixelNote | None = None


class Ending(BaseModel):
    """The last line of a file that was ended in order.

    Parameters
    ----------
    end
        Why: ``rotated``, ``closed``, or what went wrong.
    last
        Number of the last input that is recorded.
    unrecorded
        Inputs that came after it and are lost, as far as known.
    next
        Name of the file that goes on, after ``rotated``.
    utc
        When.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    end: str
    last: int
    utc: str
    unrecorded: int = 0
    next: str | None = None


@dataclass(frozen=True, slots=True)
class TornTail:
    """The last line of the last file is incomplete or garbage: the writer died, or the power failed.

    Parameters
    ----------
    path, line, size
        Where it is, and how many bytes it has.
    detail
        What is wrong with it.
    """

    path: Path
    line: int
    size: int
    detail: str


Line: TypeAlias = Header | Entry | Ending


def seal(body: bytes) -> bytes:
    """Return a line: a JSON object with its checksum, and a line feed."""
    open_body = body[:-1]
    return b'%s%s%08x"}\n' % (open_body, _MARK, zlib.crc32(open_body))


def parse(line: bytes) -> Line:
    """Check a line and return its content.

    Raises
    ------
    ValueError
        It is cut off, its checksum is wrong, or it is none of the three kinds.
    """
    if not line.endswith(b"\n"):
        raise ValueError(f"the line is cut off after {len(line)} bytes")
    body, mark, code = line[:-_TAIL], line[-_TAIL : -_TAIL + len(_MARK)], line[-11:-3]
    if mark != _MARK or line[-3:] != b'"}\n' or code != b"%08x" % zlib.crc32(body):
        raise ValueError("the checksum does not match: the line was damaged")
    value = parse_json(body + b"}")
    kind: type[Line] = Entry
    if isinstance(value, dict):
        kind = Header if "journal" in value else Ending if "end" in value else Entry
    return kind.model_validate(value)


__all__ = ["FORMAT", "Ending", "Entry", "Header", "Line", "PixelNote", "TornTail", "parse", "seal"]
