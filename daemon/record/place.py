"""Where the stage was left: one small file beside the journals, so that the next life can tell whether it was moved."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.daemon.core import State

NAME = "last-position.json"


class Place:
    """Keeps the resting place of one microscope's stage.

    Parameters
    ----------
    folder
        Where the file lies.
    microscope
        Which microscope: places of others are kept beside it.
    """

    def __init__(self, folder: Path, microscope: str) -> None:
        self._path = folder / NAME
        self._microscope = microscope
        self._kept_um: float | None = None

    def z_um(self) -> float | None:
        """Where the stage was left, in µm; ``None`` where nobody knows."""
        z_um = self._read().get(self._microscope)
        return float(z_um) if isinstance(z_um, int | float) and math.isfinite(z_um) else None

    def keep(self, state: State) -> None:
        """Write down where the stage rests, if that is news.

        Raises
        ------
        OSError
            The disk does not take it.
        """
        z_um = state.stage.z_um
        if not state.hardware_open or state.stage.moving or z_um is None or z_um == self._kept_um:
            return
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps({**self._read(), self._microscope: z_um}), encoding="utf-8")
        os.replace(beside, self._path)
        self._kept_um = z_um

    def _read(self) -> dict[str, object]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


__all__ = ["Place"]
