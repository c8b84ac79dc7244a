"""Measured z-stacks, read from files and played before the simulated camera.

>>> stack = read_stack("stack.tif", ZStep(0.3))  # doctest: +SKIP
>>> scene = RecordedScene(stack)  # doctest: +SKIP
"""

from microscoped.simulators.recorded.errors import (
    BlendRefusedError,
    BrokenFileError,
    PlanesError,
    PositionsError,
    RecordingError,
    UnknownFormatError,
)
from microscoped.simulators.recorded.positions import ZFile, ZInName, ZList, ZSource, ZStep
from microscoped.simulators.recorded.reading import PathLike, read_stack
from microscoped.simulators.recorded.scene import RecordedScene
from microscoped.simulators.recorded.stack import RecordedStack

__all__ = [
    "BlendRefusedError",
    "BrokenFileError",
    "PathLike",
    "PlanesError",
    "PositionsError",
    "RecordedScene",
    "RecordedStack",
    "RecordingError",
    "UnknownFormatError",
    "ZFile",
    "ZInName",
    "ZList",
    "ZSource",
    "ZStep",
    "read_stack",
]
