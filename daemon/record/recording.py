"""The recording thread: from now on everything that the loop hears, with the pixels of its frames, in one folder."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from microscoped.daemon.core.inputs import FrameAdmitted, FramesLeftOut, RecordingBegan, RecordingEnded
from microscoped.daemon.record import codec
from microscoped.daemon.record.errors import FramesError, LayoutError
from microscoped.daemon.record.frames import Compression, FrameShape, FrameStore, FrameTable, Layout, prepare
from microscoped.daemon.record.journal import Facts, Journal, entry_line
from microscoped.daemon.record.lines import PixelNote

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from microscoped.daemon.core import Effect, Input, Now, State
    from microscoped.daemon.record.frames import StoreIndex, Writing

log = logging.getLogger("microscoped")

FRAMES = "frames.ome.zarr"
CONFIG = "config.yaml"
TURN_S = 0.025
"""How often the queue is looked at."""
SYNC_S = 0.2
"""How often what is on the disk is acknowledged."""
LOOK_S = 1.0
"""How often the free space of the disk is looked at."""
ROTATE_BYTES = 64_000_000
NOT_ASKED = "pixels were not asked for"


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """Where and what to record.

    Parameters
    ----------
    folder
        The recording's own folder; must not exist.
    layout
        Of the store of frames.
    pixels
        Whether frames are recorded, or inputs and decisions alone.
    compression
        Of the frames: ``zstd`` (level 1) or ``none``.
    most_waiting_mb
        Frames that may wait for the disk; one that would be beyond is not recorded.
    most_waiting
        Inputs that may wait for the disk; one more ends the recording.
    reserve_mb
        The recording ends before less than this is left on the disk.
    """

    folder: Path
    layout: Layout = field(default_factory=Layout)
    pixels: bool = True
    compression: Compression = "zstd"
    most_waiting_mb: float = 256.0
    most_waiting: int = 4_096
    reserve_mb: float = 100.0


News: TypeAlias = RecordingBegan | FramesLeftOut | RecordingEnded


@dataclass(slots=True)
class _Item:
    heard: Input
    now: Now
    effects: tuple[Effect, ...]
    state: State
    pixels: NDArray[Any] | None
    skipped: str | None
    at: StoreIndex | None
    writing: Writing | None = None


class Recording:
    """Writes one recording, on a thread of its own: a slow or hanging disk here does not hold up the session's journal.

    What the disk does never reaches the loop: `record` hands over references and returns. Where too many frames wait,
    further ones are left out, each with the reason on its line. `recorded_seq` advances when pixels, array document and
    journal are synchronised, in this order: nothing up to it is lost, whether the process dies or the power fails. A
    full disk, or one that may not be written, ends the recording; `post` hears it once.

    Parameters
    ----------
    settings, facts
        See there.
    state, after
        What the loop knew after its last input before the recording, and that input's number.
    post
        Hears what becomes of it, on this thread or the loop's.
    """

    def __init__(
        self, settings: RecordingSettings, facts: Facts, state: State, after: int, post: Callable[[News], None]
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._state = state
        self._after = after
        self._post = post
        self._waiting: deque[_Item] = deque()
        self._pending: deque[_Item] = deque()
        self._ready: deque[_Item] = deque()
        self._journal: Journal | None = None
        self._store: FrameStore | None = None
        self._table = FrameTable()
        self._times = 0
        # Each of these is written by one thread only.
        self._taken_inputs = self._done_inputs = 0
        self._taken_bytes = self._done_bytes = 0
        self._leaving_out = False
        self._unfit = False
        self._refused = False
        self._torn = False
        self._ended = False
        self._end_lock = threading.Lock()
        self._reason = "closed"
        self._closing = threading.Event()
        self._synced_s = self._looked_s = 0.0
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)

    @property
    def folder(self) -> Path:
        """The recording's folder."""
        return self._settings.folder

    @property
    def recorded_seq(self) -> int:
        """Number of the last input that is on the disk with all pixels before it; 0: none."""
        return self._journal.durable if self._journal is not None and self._journal.durable > self._after else 0

    @property
    def frames(self) -> int:
        """Frames that are on the disk."""
        return self._table.stored

    @property
    def skipped(self) -> int:
        """Frames that came and are not recorded."""
        return self._table.skipped

    def waiting(self) -> int:
        """How many inputs wait to be written."""
        return self._taken_inputs - self._done_inputs

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def record(
        self,
        heard: Input,
        now: Now,
        effects: tuple[Effect, ...],
        state: State,
        pixels: NDArray[Any] | None = None,
        at: StoreIndex | None = None,
    ) -> None:
        """Take over an input. The loop's thread; never waits.

        Parameters
        ----------
        heard, now, effects, state
            The input, its moment, what was done about it, and the state after it.
        pixels
            Those of the frame, where the input is `FrameAdmitted`. Must not change any more.
        at
            Its place in the store; ``None``: the next point in time.
        """
        if self._ended or self._refused or now.number <= self._after:
            return
        if self.waiting() >= self._settings.most_waiting:
            self._refused = True
            self._reason = f"the disk is too slow: {self._settings.most_waiting} inputs wait for it"
            self._closing.set()
            self._tell_end(self._reason, failed=True)
            return
        skipped: str | None = None
        if isinstance(heard, FrameAdmitted):
            skipped = self._why_not(heard, pixels)
        if skipped is not None:
            pixels = None
        elif pixels is not None:
            self._taken_bytes += pixels.nbytes
        self._taken_inputs += 1
        self._waiting.append(_Item(heard, now, effects, state, pixels, skipped, at))

    def end(self, reason: str = "closed") -> None:
        """Write what waits, and end; returns at once, `RecordingEnded` follows. The loop's thread."""
        if not self._closing.is_set():
            self._reason = reason
            self._closing.set()

    def close(self, timeout_s: float) -> bool:
        """End, and wait for it; return whether that was done in time."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # --- the loop's thread ----------------------------------------------------------------------------------------

    def _why_not(self, heard: FrameAdmitted, pixels: NDArray[Any] | None) -> str | None:
        """Say why a frame is not recorded, once where many follow one another."""
        if not self._settings.pixels or pixels is None:
            return NOT_ASKED if not self._settings.pixels else "the pixels were gone"
        waiting_mb = (self._taken_bytes - self._done_bytes) / 1e6
        if waiting_mb + pixels.nbytes / 1e6 <= self._settings.most_waiting_mb:
            self._leaving_out = False
            return None
        reason = f"the disk is too slow: {waiting_mb:.1f} MB of frames wait for it"
        if not self._leaving_out:
            self._leaving_out = True
            self._post(FramesLeftOut(heard.frame.frame, reason))
        return reason

    def _tell_end(self, detail: str, *, failed: bool) -> None:
        with self._end_lock:
            if self._ended:
                return
            self._ended = True
        last = self._journal.durable if self._journal is not None else self._after
        self._post(RecordingEnded(str(self.folder), detail, failed, last, self.frames, self.skipped))

    # --- the recording thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._begin()
            while not self._closing.wait(TURN_S):
                self._turn()
            self._drain()
            self._finish(self._reason, failed=False)
        except (OSError, FramesError) as error:
            self._give_up(_told(error))
        except Exception as error:  # whatever it was: the daemon goes on without a recording, and says so
            log.debug("the recording ended", exc_info=error)
            self._give_up(f"{type(error).__name__}: {error}")

    def _begin(self) -> None:
        codec.prepare()
        settings = self._settings
        if settings.pixels:
            prepare()
        settings.folder.parent.mkdir(parents=True, exist_ok=True)
        self._look(time.monotonic())
        self._journal = Journal(
            settings.folder.parent,
            self._facts,
            self._state,
            rotate_bytes=ROTATE_BYTES,
            keep=None,
            folder=settings.folder.name,
            after=self._after,
        )
        config = yaml.safe_dump(dict(self._facts.config), allow_unicode=True, sort_keys=False)
        (settings.folder / CONFIG).write_text(config, encoding="utf-8")
        self._post(RecordingBegan(str(settings.folder)))

    def _turn(self) -> None:
        self._take()
        self._settle()
        now_s = time.monotonic()
        if now_s - self._synced_s >= SYNC_S:
            self._acknowledge()
            self._synced_s = now_s
        if now_s - self._looked_s >= LOOK_S:
            self._look(now_s)

    def _take(self) -> None:
        """Begin to write the frames of what waits."""
        while self._waiting:
            item = self._waiting.popleft()
            if item.pixels is not None and isinstance(item.heard, FrameAdmitted):
                try:
                    item.writing = self._write(item.heard, item.pixels, item.at)
                except LayoutError as error:
                    item.skipped = str(error)
                    if not self._unfit:
                        self._unfit = True
                        self._post(FramesLeftOut(item.heard.frame.frame, item.skipped))
                else:
                    self._unfit = False
            self._pending.append(item)

    def _write(self, heard: FrameAdmitted, pixels: NDArray[Any], at: StoreIndex | None) -> Writing:
        if self._store is None:
            shape = FrameShape.of(pixels, heard.frame.bit_depth)
            settings = self._settings
            path = settings.folder / FRAMES
            self._store = FrameStore(path, settings.layout, shape, heard.frame.z_um, settings.compression)
        at = at if at is not None else (self._times, 0, 0)
        writing = self._store.write(at, pixels)
        self._times = max(self._times, at[0] + 1)
        return writing

    def _settle(self, *, wait: bool = False) -> None:
        """Take over, in order, what needs the disk no more; a frame that was not written ends the recording."""
        while self._pending:
            item = self._pending[0]
            if item.writing is not None:
                if not (wait or item.writing.done()):
                    return
                item.writing.result()
            self._pending.popleft()
            if item.pixels is not None:
                self._done_bytes += item.pixels.nbytes
                item.pixels = None
            self._ready.append(item)

    def _acknowledge(self) -> None:
        """Have the array count the frames, and then the journal tell of them."""
        if self._journal is None or not self._ready:
            return
        items = list(self._ready)
        if self._store is not None:
            times = [item.writing.at[0] + 1 for item in items if item.writing is not None]
            self._store.include(max(times, default=0))
        self._torn = True  # should this fail, half a line may stand there
        self._journal.add_lines(
            [(entry_line(i.heard, i.now, i.effects, _note(i)), i.now.number, i.state) for i in items]
        )
        self._journal.sync()
        self._torn = False
        self._ready.clear()
        for item in items:
            self._tabulate(item)
        self._done_inputs += len(items)

    def _tabulate(self, item: _Item) -> None:
        if not isinstance(item.heard, FrameAdmitted):
            return
        frame, number = item.heard.frame, item.now.number
        if item.writing is not None:
            self._table.add(item.writing.at, item.writing.crc32, number, frame)
        else:
            self._table.skip(item.skipped or "", number, frame)

    def _look(self, now_s: float) -> None:
        parent, reserve_mb = self.folder.parent, self._settings.reserve_mb
        free_mb = shutil.disk_usage(parent).free / 1e6
        if free_mb < reserve_mb:
            raise OSError(
                f"{free_mb:.0f} MB are left on the disk of {parent}, and {reserve_mb:.0f} MB are kept free: free some "
                "space, or record elsewhere"
            )
        self._looked_s = now_s

    def _drain(self) -> None:
        self._take()
        self._settle(wait=True)
        self._acknowledge()

    def _finish(self, reason: str, *, failed: bool) -> None:
        if self._store is not None:
            self._store.finish(self._table)
        if self._journal is not None:
            self._journal.end(reason)
        self._tell_end(reason, failed=failed)

    def _give_up(self, why: str) -> None:
        """End after a failure as well as may be: what is complete is acknowledged, if the disk still takes it."""
        self._refused = True
        try:
            if not self._torn:
                self._acknowledge()
                self._finish(why, failed=True)
        except (OSError, FramesError) as error:
            log.debug("the recording's end cannot be written", exc_info=error)
        if self._journal is not None:
            self._journal.abandon(why)
        self._tell_end(why, failed=True)
        self._waiting.clear()
        self._pending.clear()


def _note(item: _Item) -> PixelNote | None:
    if item.writing is not None:
        return PixelNote(at=item.writing.at, crc32=item.writing.crc32)
    return None if item.skipped is None else PixelNote(skipped=item.skipped)


def _told(error: Exception) -> str:
    """What is wrong with the disk, with the file where it is known."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


__all__ = [
    "CONFIG",
    "FRAMES",
    "News",
    "Recording",
    "RecordingSettings",
]
