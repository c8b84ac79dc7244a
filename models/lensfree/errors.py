"""What can go wrong between lens-free holograms and the specimen.

Every error has a stable ``code``, and a message that names the field, its value and the remedy.
"""

from __future__ import annotations

from typing import ClassVar


class LensFreeError(ValueError):
    """Lens-free holograms cannot be reconstructed; the base of all errors here."""

    code: ClassVar[str] = "lensfree"


class OpticsError(LensFreeError):
    """A value of the optics is impossible by itself or beside another one. The message names it."""

    code = "lensfree.optics"


class FramesError(LensFreeError):
    """The frames have a shape, a dtype or values that lens-free holograms cannot have."""

    code = "lensfree.frames"


class SettingsError(LensFreeError):
    """A setting is impossible. The message names it."""

    code = "lensfree.settings"


class StartError(LensFreeError):
    """Maps to start from, or maps that a network returned, do not fit the frames or are not finite."""

    code = "lensfree.start"


class NetworkError(LensFreeError):
    """A network was trained for something else, or with another preprocessing."""

    code = "lensfree.network"


__all__ = ["FramesError", "LensFreeError", "NetworkError", "OpticsError", "SettingsError", "StartError"]
