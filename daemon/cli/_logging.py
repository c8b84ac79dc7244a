"""The log file: rotating, in UTC, written by a thread of its own, so that no disk ever holds up the loop."""

from __future__ import annotations

import atexit
import datetime
import logging
import os
import queue
import sys
import threading
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microscoped.daemon.config import Config

MOST_WAITING = 10_000
"""Lines that may wait for the disk; more are dropped and counted."""
END_S = 2.0
"""How long the end of the process may wait for the disk."""

log = logging.getLogger("microscoped")


class UtcFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000+00:00 WARNING microscoped: text``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return when a record was made: UTC, ISO 8601."""
        return datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")


class _RotatingFile(RotatingFileHandler):
    """A rotating file that counts what it cannot write, instead of complaining to standard error each time."""

    failures = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.failures += 1
        with suppress(OSError, ValueError):  # its buffer holds what the disk refused: begin with an empty one
            self.close()


class FileLog(logging.Handler):
    """Hands lines to a thread that writes them; never waits and never raises.

    Lines that could not be written, because the disk was full or too slow, are counted; the count is written as soon as
    the disk takes lines again.

    Parameters
    ----------
    path
        The newest file; older ones are ``<path>.1`` to ``<path>.<keep>``.
    max_bytes, keep
        Size at which the next file is begun, and how many older ones are kept.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        super().__init__()
        self.setFormatter(UtcFormatter())
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(MOST_WAITING)
        self._dropped = 0
        self._file = _RotatingFile(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8", delay=True)
        self._file.setFormatter(logging.Formatter("%(message)s"))
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; any thread."""
        try:
            self._lines.put_nowait(_line(self.format(record), record.levelno))
        except queue.Full:
            self._dropped += 1
        except (TypeError, ValueError):  # its arguments do not fit its text: a bug where it was logged
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, for a moment at most, and close. Idempotent."""
        if self._thread.is_alive():
            try:
                self._lines.put(None, timeout=END_S)
            except queue.Full:
                return
            self._thread.join(END_S)
        super().close()

    def _write(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            before = self._file.failures
            lost = self._dropped + before - told
            if lost:
                note = f"{lost} lines before this one were lost: the disk was full or slow"
                self._file.emit(_line(self.format(_line(note, logging.WARNING))))
                if self._file.failures > before:
                    continue  # this line is lost, too; the note itself has been counted in its place
                told += lost
            self._file.emit(line)
        with suppress(OSError):
            self._file.close()


def log_to_file(config: Config) -> Path | None:
    """Log to the configured file too, beside standard error; return it, or ``None`` if it cannot be written."""
    chosen = config.log
    folder = chosen.folder or log_folder()
    path = folder / _name(config.network.control)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        log.warning("no log file: %s; choose another folder under log in the configuration", error)
        return None
    handler = FileLog(path, int(chosen.max_mb * 1e6), chosen.keep)
    level = getattr(logging, chosen.level.upper())
    handler.setLevel(level)
    root = logging.getLogger()
    for other in root.handlers:
        other.setLevel(max(other.level, root.level))  # they go on saying what they said
    root.setLevel(min(root.level, level))
    root.addHandler(handler)
    atexit.register(handler.close)
    log.info("log file %s", path)
    return path


def take_over_log(name: str) -> None:
    """Have a library's warnings go where ours go, and nothing where it writes by itself: a console, a file of its own.

    After its import, which is when pymmcore-plus sets up its own.
    """
    library = logging.getLogger(name)
    for handler in list(library.handlers):
        library.removeHandler(handler)
        handler.close()
    library.setLevel(logging.WARNING)


def log_folder() -> Path:
    """Return where logs go by default: ``$MICROSCOPED_DATA_HOME/log``, or where the system keeps programs' logs."""
    if configured := os.environ.get("MICROSCOPED_DATA_HOME"):
        return Path(configured) / "log"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "microscoped" / "log"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "microscoped"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "microscoped"


def _name(endpoint: str) -> str:
    """One file for each daemon of a computer: two must not rotate the same one."""
    port = endpoint.rpartition(":")[2]
    return f"microscoped-{port}.log" if port.isdigit() else f"microscoped-{os.getpid()}.log"


def _line(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("microscoped", level, __file__, 0, text, None, None)


__all__ = ["FileLog", "UtcFormatter", "log_folder", "log_to_file", "take_over_log"]
