"""What can be wrong with a recorded stack. Each message names the file, the fault and the remedy."""

from __future__ import annotations

from typing import ClassVar


class RecordingError(Exception):
    """A recorded stack cannot be read or played; the base of all errors here."""

    code: ClassVar[str] = "invalid"


class UnknownFormatError(RecordingError):
    """The file is of no format, pixel type or compression that can be read here: convert it as the message says."""


class BrokenFileError(RecordingError):
    """The file is shorter than its header promises, or damaged: fetch it again."""


class PlanesError(RecordingError):
    """The planes do not form one z-stack: unequal size or type, an axis that is not z, fewer than two planes."""


class PositionsError(RecordingError):
    """The z of the planes is not known, not one per plane, not finite, or not distinct."""


class BlendRefusedError(RecordingError):
    """The planes lie too far apart to be interpolated: play the nearest one, or record a denser stack."""


__all__ = [
    "BlendRefusedError",
    "BrokenFileError",
    "PlanesError",
    "PositionsError",
    "RecordingError",
    "UnknownFormatError",
]
