"""What an engine *is*."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Part:
    """A binary part of a measurement, such as a table.

    Parameters
    ----------
    name
        What it is.
    content_type
        How it is to be read.
    data
        Its bytes.
    """

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """What an engine measured, with binary parts.

    Parameters
    ----------
    values
        Plain JSON values; physical quantities carry their unit in the name.
    parts
        What is too much for JSON.
    """

    values: Mapping[str, Any]
    parts: tuple[Part, ...] = ()


class Engine(Protocol):
    """Turns one frame, or a few, into a measurement. Called from one thread, the engine thread."""

    @property
    def name(self) -> str:
        """Name of the engine, as in ``v1.measure.<engine>.``."""
        ...

    @property
    def frames(self) -> int:
        """How many frames one measurement takes."""
        ...

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any] | Measurement:
        """Measure.

        Parameters
        ----------
        frames
            As many as the engine takes, in the order of exposure; the measurement is one of the last. Each of shape
            (height, width), or (height, width, 3) in the order red, green, blue; unsigned integers. Not changed.
        options
            What these frames ask for beyond the engine's own settings.

        Returns
        -------
        values
            Plain JSON values; physical quantities carry their unit in the name. Within a `Measurement` where there are
            binary parts.

        Raises
        ------
        ValueError
            The frames or an option do not suit this engine; the message names the value and the remedy.
        """
        ...


__all__ = ["Engine", "Measurement", "Part"]
