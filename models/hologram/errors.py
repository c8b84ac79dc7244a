"""What can go wrong between a hologram and its phase.

Every error has a stable ``code``, and a message that names the field, its value and the remedy.
"""

from __future__ import annotations

from typing import ClassVar


class HologramError(ValueError):
    """A hologram cannot be reconstructed, or a quantity cannot be had of it; the base of all errors here."""

    code: ClassVar[str] = "hologram"


class OpticsError(HologramError):
    """A value of the optics is impossible by itself or beside another one. The message names it."""

    code = "hologram.optics"


class ScaleUnknownError(HologramError):
    """The quantity needs a wavelength, a pixel size or a magnification that was not given."""

    code = "hologram.scale_unknown"


class FrameShapeError(HologramError):
    """The frame has a shape, a dtype or colours that no hologram of one laser line has."""

    code = "hologram.frame_shape"


class FrameChangedError(HologramError):
    """The frame's shape is not the one that the filter or the background was made for."""

    code = "hologram.frame_changed"


class ConstantFrameError(HologramError):
    """All pixels of the frame are equal: the shutter is closed, the laser is off, or the camera is saturated."""

    code = "hologram.constant"


class SaturatedFrameError(HologramError):
    """So many pixels are at the camera's greatest value that the fringes are clipped. Shorten the exposure."""

    code = "hologram.saturated"


class NoSidebandError(HologramError):
    """The frame has no carrier: it is no off-axis hologram (an in-line one, a plain image, a blocked reference)."""

    code = "hologram.no_sideband"


class SidebandOverlapError(HologramError):
    """The band of the aperture reaches over the zero order.

    Wavelength, pixel size and aperture do not fit the frame, or the reference is tilted too little.
    """

    code = "hologram.sideband_overlap"


class SidebandOutsideError(HologramError):
    """The band of the aperture reaches beyond what the camera's pixels can resolve (Nyquist).

    Wavelength, pixel size and aperture do not fit the frame, or the reference is tilted too much.
    """

    code = "hologram.sideband_outside"


class BackgroundError(HologramError):
    """The background does not fit the frame, or has places without light."""

    code = "hologram.background"


class BackgroundFileError(BackgroundError):
    """A stored background hologram cannot be read or written, is none, or was altered; the message names the file."""

    code = "hologram.background_file"


class CalibrationFileError(HologramError):
    """A calibration of holograms cannot be read or written, is none, or was altered; the message names the file."""

    code = "hologram.calibration_file"


class RangeError(HologramError):
    """A range of distances is empty, or has too few planes."""

    code = "hologram.range"


class NetworkUnsuitableError(HologramError):
    """A network was trained on other inputs than this version makes. The message says which setting differs."""

    code = "hologram.network_unsuitable"


class ArraysMissingError(HologramError):
    """The library that arrays were asked of is not installed, or finds no device. The message says what to install."""

    code = "hologram.arrays_missing"


__all__ = [
    "ArraysMissingError",
    "BackgroundError",
    "BackgroundFileError",
    "CalibrationFileError",
    "ConstantFrameError",
    "FrameChangedError",
    "FrameShapeError",
    "HologramError",
    "NetworkUnsuitableError",
    "NoSidebandError",
    "OpticsError",
    "RangeError",
    "SaturatedFrameError",
    "ScaleUnknownError",
    "SidebandOutsideError",
    "SidebandOverlapError",
]
