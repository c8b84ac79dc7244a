"""The journal and recordings: what the loop heard, saw and decided, on disk; reading them back and replaying them."""

from microscoped.daemon.record.errors import (
    FrameDamagedError,
    FrameMissingError,
    FramesError,
    JournalError,
    LayoutError,
    StoreReadError,
    StoreWriteError,
)
from microscoped.daemon.record.export import ExportedImage, export_acquisitions
from microscoped.daemon.record.frames import Layout, prepare
from microscoped.daemon.record.journal import Facts, Journal, data_folder
from microscoped.daemon.record.lines import Ending, Entry, Header, PixelNote, TornTail
from microscoped.daemon.record.place import Place
from microscoped.daemon.record.reader import journal_files, read_journal
from microscoped.daemon.record.recompute import Recomputation, Recomputed, Tolerance
from microscoped.daemon.record.recorded import Recorded, RecordedFrame, Repair, Verification, repair
from microscoped.daemon.record.recorder import Recorder, RecorderSettings
from microscoped.daemon.record.recording import Recording, RecordingSettings
from microscoped.daemon.record.replay import Difference, Replay, replay_journal
from microscoped.daemon.record.trial import Trial, Tried, try_rules

__all__ = [
    "Difference",
    "Ending",
    "Entry",
    "ExportedImage",
    "Facts",
    "FrameDamagedError",
    "FrameMissingError",
    "FramesError",
    "Header",
    "Journal",
    "JournalError",
    "Layout",
    "LayoutError",
    "PixelNote",
    "Place",
    "Recomputation",
    "Recomputed",
    "Recorded",
    "RecordedFrame",
    "Recorder",
    "RecorderSettings",
    "Recording",
    "RecordingSettings",
    "Repair",
    "Replay",
    "StoreReadError",
    "StoreWriteError",
    "Tolerance",
    "TornTail",
    "Trial",
    "Tried",
    "Verification",
    "data_folder",
    "export_acquisitions",
    "journal_files",
    "prepare",
    "read_journal",
    "repair",
    "replay_journal",
    "try_rules",
]
