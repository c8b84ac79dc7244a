"""What an engine *is*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


class Engine(Protocol):
    """Turns one frame into a measurement. Called from one thread, the engine thread."""

    @property
    def name(self) -> str:
        """Name of the engine, as in ``v1.measure.<engine>.``."""
        ...

    def measure(self, pixels: NDArray[Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measure one frame.

        Parameters
        ----------
        pixels
            Shape (height, width), or (height, width, 3) in the order red, green, blue; unsigned integers. Not changed.
        options
            What this frame asks for beyond the engine's own settings.

        Returns
        -------
        values
            Plain JSON values; physical quantities carry their unit in the name.

        Raises
        ------
        ValueError
            The frame or an option does not suit this engine; the message names the value and the remedy.
        """
        ...


__all__ = ["Engine"]
