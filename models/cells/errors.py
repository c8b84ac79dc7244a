"""What can go wrong between an image of cells and a table of them.

Every error has a stable ``code``, and a message that names the field, its value and the remedy.
"""

from __future__ import annotations

from typing import ClassVar


class CellsError(ValueError):
    """An image of cells cannot be measured, or its measurements cannot be used; the base of all errors here."""

    code: ClassVar[str] = "cells"


class ScaleError(CellsError):
    """A pixel size is no positive number, or too coarse or too fine for what is asked."""

    code = "cells.scale"


class MapError(CellsError):
    """An image or a heat map has a shape, a dtype or values that it cannot have."""

    code = "cells.map"


class SettingsError(CellsError):
    """A setting is impossible by itself or beside another one. The message names it."""

    code = "cells.settings"


class TableError(CellsError):
    """Columns of a table do not fit each other, or its binary form is damaged or of another kind."""

    code = "cells.table"


class TimeError(CellsError):
    """Frames to be linked do not follow each other in time."""

    code = "cells.time"


class NetworkUnsuitableError(CellsError):
    """A network's weights were made for another preprocessing than this version's."""

    code = "cells.network"


__all__ = ["CellsError", "MapError", "NetworkUnsuitableError", "ScaleError", "SettingsError", "TableError", "TimeError"]
