"""A stage in the plane of a Micro-Manager core."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from microscoped.drivers.errors import StageError
from microscoped.drivers.micromanager._core import CORE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus


class MicroManagerXYStage:
    """A stage in the plane; satisfies ``XYStage``. Never waits.

    Parameters
    ----------
    core
        The core, configured.
    label
        Label of the stage.
    """

    def __init__(self, core: CMMCorePlus, label: str) -> None:
        self._core = core
        self._label = label

    @property
    def name(self) -> str:
        """The device's label."""
        return self._label

    def position_um(self) -> tuple[float, float]:
        """Return the position (x, y) that the stage reads back.

        Raises
        ------
        StageError
            The device failed.
        """
        with self._errors("the position could not be read"):
            x_um, y_um = self._core.getXYPosition(self._label)
            return float(x_um), float(y_um)

    def move_to(self, x_um: float, y_um: float) -> None:
        """Command a move; with most adapters it returns before arrival.

        Raises
        ------
        StageError
            The device refused.
        """
        if not (math.isfinite(x_um) and math.isfinite(y_um)):
            raise StageError(f"{self._label}: ({x_um}, {y_um}) is no position")
        with self._errors(f"the move to ({x_um}, {y_um}) µm failed"):
            self._core.setXYPosition(self._label, float(x_um), float(y_um))

    def is_busy(self) -> bool:
        """Return whether the stage says that it moves.

        Raises
        ------
        StageError
            The device failed.
        """
        with self._errors("the state could not be read"):
            return bool(self._core.deviceBusy(self._label))

    def stop(self) -> None:
        """Halt where the stage is. Any thread; waits while a call to a device of the same adapter is in progress.

        Raises
        ------
        StageError
            The device failed or cannot halt a move.
        """
        with self._errors("the stage could not be stopped"):
            self._core.stop(self._label)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except CORE_ERRORS as error:
            raise StageError(f"{self._label}: {what}: {error}") from error


__all__ = ["MicroManagerXYStage"]
