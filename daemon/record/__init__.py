"""The journal: what the loop heard and decided, on disk, line by line; and reading it back."""

from microscoped.daemon.record.errors import JournalError
from microscoped.daemon.record.journal import Facts, Journal, data_folder
from microscoped.daemon.record.lines import Ending, Entry, Header, TornTail
from microscoped.daemon.record.place import Place
from microscoped.daemon.record.reader import journal_files, read_journal
from microscoped.daemon.record.recorder import Recorder, RecorderSettings
from microscoped.daemon.record.replay import Difference, Replay, replay_journal

__all__ = [
    "Difference",
    "Ending",
    "Entry",
    "Facts",
    "Header",
    "Journal",
    "JournalError",
    "Place",
    "Recorder",
    "RecorderSettings",
    "Replay",
    "TornTail",
    "data_folder",
    "journal_files",
    "read_journal",
    "replay_journal",
]
