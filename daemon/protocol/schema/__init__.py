"""The protocol as one JSON Schema document: made from the models, committed as ``v1.json``, and guarded.

A test regenerates the document and compares; another refuses a change of a released version that does not raise its
number (see `microscoped.daemon.protocol.schema.versions`).
"""

from microscoped.daemon.protocol.schema.build import build, to_text
from microscoped.daemon.protocol.schema.compare import Change, Level, compare
from microscoped.daemon.protocol.schema.versions import (
    FILE,
    FOLDER,
    UnversionedChangeError,
    digest,
    problems,
    shipped,
    write,
)

__all__ = [
    "FILE",
    "FOLDER",
    "Change",
    "Level",
    "UnversionedChangeError",
    "build",
    "compare",
    "digest",
    "problems",
    "shipped",
    "to_text",
    "write",
]
