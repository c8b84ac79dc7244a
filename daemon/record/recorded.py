"""Reading a recording: its inputs, its frames by their ids; checking it, and finishing one whose writer died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.record.codec import plain_json
from microscoped.daemon.record.errors import FrameDamagedError, FrameMissingError, JournalError, StoreReadError
from microscoped.daemon.record.files import BESIDE, replace_file
from microscoped.daemon.record.frames import FrameTable, StoredFrames
from microscoped.daemon.record.frames.layout import array_document
from microscoped.daemon.record.frames.store import ARRAY, DOCUMENT, LOCK, group_bytes
from microscoped.daemon.record.lines import Ending, Entry, Header, TornTail
from microscoped.daemon.record.reader import read_journal
from microscoped.daemon.record.recording import FRAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.daemon.record.frames import StoreIndex

NO_NOTE = "this is a journal without pixels"


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """A frame that came while the recording ran.

    Parameters
    ----------
    frame
        Its header.
    number, utc
        Of the input that brought it.
    at, crc32
        Where its pixels are, and their checksum; ``None``: they are not recorded.
    skipped
        Why not.
    """

    frame: FrameData
    number: int
    utc: str
    at: StoreIndex | None
    crc32: str | None
    skipped: str | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the pixels found.

    Parameters
    ----------
    good, skipped
        Frames whose checksums are right, and frames that are not in the recording.
    damaged
        What is wrong, by frame.
    """

    good: int
    skipped: int
    damaged: Mapping[str, str]


class Recorded:
    """A recording, or a journal alone.

    Parameters
    ----------
    folder
        The recording's folder; also one that is being written, or whose writer died.

    Raises
    ------
    JournalError
        There is no journal, it is damaged before its end, or a frame's header is of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames: dict[str, RecordedFrame] = {}
        """All frames that came, by their ids, in the order in which they came."""
        self.ending: Ending | TornTail | None = None
        """How it ends; ``None``: its writer died between two lines, or still writes."""
        self.last = 0
        """Number of the last input."""
        header: Header | None = None
        for line in read_journal(folder):
            match line:
                case Header():
                    header = header or line
                case Entry():
                    self.last = line.n
                    if line.input == "FrameAdmitted":
                        self._take(line)
                case Ending() | TornTail():
                    self.ending = line
        if header is None:
            raise JournalError(folder, None, "it has no header")
        self.header = header
        self._store: StoredFrames | None = None

    @property
    def store(self) -> StoredFrames:
        """The pixels.

        Raises
        ------
        StoreReadError
            There are none.
        """
        if self._store is None:
            self._store = StoredFrames(self.folder / FRAMES)
        return self._store

    def pixels(self, frame: str) -> NDArray[Any]:
        """Return the pixels of a frame, as they were recorded.

        Returns
        -------
        pixels
            Shape (height, width), or (height, width, 3) in the order red, green, blue; unsigned integers.

        Raises
        ------
        FrameMissingError
            There is no such frame in the recording, or it was left out.
        FrameDamagedError
            They are not those that were recorded.
        StoreReadError
            The store is missing.
        """
        found = self.frames.get(frame)
        if found is None:
            raise FrameMissingError(self.folder, f"{frame} did not come while the recording ran")
        if found.at is None:
            raise FrameMissingError(self.folder, f"{frame} was not recorded: {found.skipped}")
        return self.store.read(found.at, found.crc32)

    def verify(self) -> Verification:
        """Read all frames, and compare their checksums."""
        good = 0
        damaged: dict[str, str] = {}
        stored = [(name, one) for name, one in self.frames.items() if one.at is not None]
        for name, _ in stored:
            try:
                self.pixels(name)
                good += 1
            except (FrameDamagedError, FrameMissingError, StoreReadError) as error:
                damaged[name] = error.detail
        return Verification(good, len(self.frames) - len(stored), damaged)

    def _take(self, line: Entry) -> None:
        try:
            frame = FrameData.model_validate(line.data["frame"] if isinstance(line.data, dict) else None)
        except (KeyError, ValueError) as error:
            told = str(error).splitlines()[0]
            raise JournalError(
                self.folder, None, f"the frame of input {line.n} is of another version: {told}"
            ) from None
        note = line.pixels
        self.frames[frame.frame] = RecordedFrame(
            frame,
            line.n,
            line.utc,
            None if note is None else note.at,
            None if note is None else note.crc32,
            NO_NOTE if note is None else note.skipped,
        )


@dataclass(frozen=True, slots=True)
class Repair:
    """What `repair` did.

    Parameters
    ----------
    times
        Points in time that the array counts now.
    was
        As many as it counted before.
    frames, skipped
        Frames in its table.
    removed
        Unfinished files that were deleted.
    """

    times: int
    was: int
    frames: int
    skipped: int
    removed: int


def repair(folder: Path) -> Repair:
    """Finish a recording whose writer died: the store tells of exactly the frames that the journal tells of.

    The journal itself needs nothing: a reader passes over a torn end. Frames that were written and never acknowledged
    are no longer counted. Doing it again, or to a recording that is whole, changes nothing.

    Raises
    ------
    JournalError, StoreReadError
        There is nothing to repair, or it is damaged before its end.
    OSError
        The disk does not take it.
    """
    recorded = Recorded(folder)
    stored = recorded.store
    table = FrameTable()
    times = 0
    for one in recorded.frames.values():
        if one.at is not None and one.crc32 is not None:
            table.add(one.at, one.crc32, one.number, one.frame)
            times = max(times, one.at[0] + 1)
        else:
            table.skip(one.skipped or "", one.number, one.frame)
    removed = 0
    for pattern in (f"*{LOCK}", f"*{BESIDE}"):
        for path in stored.path.rglob(pattern):
            path.unlink()
            removed += 1
    was, path = stored.times, stored.path
    document = array_document(stored.layout, stored.shape, times, stored.compression)
    replace_file(path / ARRAY / DOCUMENT, plain_json(document))
    replace_file(path / DOCUMENT, group_bytes(stored.layout, stored.shape, stored.z_um, table))
    return Repair(times, was, table.stored, table.skipped, removed)


__all__ = ["Recorded", "RecordedFrame", "Repair", "Verification", "repair"]
