"""A focus drive of a Micro-Manager core."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from microscoped.drivers.errors import StageError
from microscoped.drivers.micromanager._core import CORE_ERRORS
from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus

DIRECTIONS = {1: FocusDirection.TOWARD_SAMPLE, -1: FocusDirection.AWAY, 0: FocusDirection.UNKNOWN}


class MicroManagerStage:
    """A focus drive; satisfies ``FocusStage``.

    Never waits: ``waitForDevice`` would hold the thread, and the adapter's lock, for the whole move.

    Parameters
    ----------
    core
        The core, configured.
    label
        Label of the focus drive.
    """

    def __init__(self, core: CMMCorePlus, label: str) -> None:
        self._core = core
        self._label = label

    @property
    def name(self) -> str:
        """The device's label."""
        return self._label

    def focus_direction(self) -> FocusDirection:
        """Return what the driver or the configuration says about the direction."""
        with self._errors("the focus direction could not be read"):
            return DIRECTIONS[int(self._core.getFocusDirection(self._label))]

    def position_um(self) -> float:
        """Return the position that the stage reads back.

        Raises
        ------
        StageError
            The device failed.
        """
        with self._errors("the position could not be read"):
            return float(self._core.getPosition(self._label))

    def move_to(self, z_um: float) -> None:
        """Command a move; with most adapters it returns before arrival.

        Raises
        ------
        StageError
            The device refused.
        """
        if not math.isfinite(z_um):
            raise StageError(f"{self._label}: {z_um} is no position")
        with self._errors(f"the move to {z_um} µm failed"):
            self._core.setPosition(self._label, float(z_um))

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


__all__ = ["MicroManagerStage"]
