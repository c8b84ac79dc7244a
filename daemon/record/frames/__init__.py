"""Frames on the disk: an OME-Zarr store that opens at every moment, written and read."""

from microscoped.daemon.record.frames.layout import Compression, FrameShape, Layout, StoreIndex
from microscoped.daemon.record.frames.store import FrameStore, Writing, checksum, prepare
from microscoped.daemon.record.frames.stored import StoredFrames
from microscoped.daemon.record.frames.table import FrameTable

__all__ = [
    "Compression",
    "FrameShape",
    "FrameStore",
    "FrameTable",
    "Layout",
    "StoreIndex",
    "StoredFrames",
    "Writing",
    "checksum",
    "prepare",
]
