"""From a camera's frame to a map of the optical path difference in nanometres.

A source knows one instrument. Here are those whose frames are such maps already; off-axis holograms are read by
`microscoped.models.cells.holographic`, lens-free frames by `microscoped.models.cells.lensfree`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from microscoped.models.cells.errors import MapError, ScaleError, SettingsError
from microscoped.models.maps import common_level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.cells.measures import CellTable

SAMPLED: Final = 1 << 16
"""About so many pixels are enough for the most frequent value of a frame."""


@dataclass(frozen=True, slots=True, eq=False)
class OpdMap:
    """A map of the optical path difference against the medium.

    Parameters
    ----------
    opd_nm
        Shape (rows, columns), float32.
    pixel_um
        Size of its pixels in the specimen.
    first_px, scale
        Where the middle of its first pixel lies in the camera's frame (row, column), and how many pixels of the camera
        one of its own spans along rows and columns: a map that was computed has another grid than the camera.
    made
        How it was made, as JSON values with units in their names.
    timings_s
        Wall time of each stage where making it takes long; never among the values, which must come out again.
    """

    opd_nm: NDArray[np.float32]
    pixel_um: float
    first_px: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    made: Mapping[str, Any] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)

    def camera_px(self, table: CellTable) -> NDArray[np.float64]:
        """Return where cells of this map lie in the camera's frame, (row, column), shape (cells, 2)."""
        return np.asarray(table.places_px * np.array(self.scale) + np.array(self.first_px))


class OpdSource(Protocol):
    """Turns frames of one instrument into maps. Used by one thread."""

    @property
    def kind(self) -> str:
        """What its frames are, as in the configuration."""
        ...

    def read(self, frame: NDArray[Any], pixel_um: float | None = None, bit_depth: int | None = None) -> OpdMap:
        """Return the map of a frame.

        Parameters
        ----------
        frame
            As it comes from the camera. Not changed.
        pixel_um
            Size of its pixels in the specimen, binning included, where it is known.
        bit_depth
            Significant bits of its pixels, where they are known.

        Raises
        ------
        ValueError
            The frame does not suit the instrument; the message names the value and the remedy.
        """
        ...


@dataclass(frozen=True, slots=True)
class CountedOpd:
    """Frames that are maps in counts: unsigned integers.

    Parameters
    ----------
    nm_per_count
        What a count is.
    zero_count
        Count at which the path is that of the medium; ``None`` for the most frequent one of each frame, which is the
        medium's as long as that fills a good part of it.
    pixel_um
        Size of a pixel in the specimen, instead of what comes with the frame.

    Raises
    ------
    SettingsError
        A count is nothing, or the zero lies below the least count.
    """

    nm_per_count: float
    zero_count: float | None = None
    pixel_um: float | None = None
    kind: str = field(default="opd", init=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.nm_per_count) and self.nm_per_count > 0):
            raise SettingsError(f"nm_per_count {self.nm_per_count}: must be a positive number of nanometres")
        if self.zero_count is not None and not (math.isfinite(self.zero_count) and self.zero_count >= 0):
            raise SettingsError(f"zero_count {self.zero_count}: counts are 0 or more; give null for the most frequent")

    def read(self, frame: NDArray[Any], pixel_um: float | None = None, bit_depth: int | None = None) -> OpdMap:
        """See `OpdSource`; ``made`` has ``zero_count`` and ``clipped_share``, of pixels at the ends of the range."""
        if frame.dtype.kind != "u":
            raise MapError(f"frame: dtype {frame.dtype}; counts are unsigned integers")
        image = _one_channel(frame)
        most = (1 << bit_depth) - 1 if bit_depth else int(np.iinfo(frame.dtype).max)
        zero = _most_frequent(image) if self.zero_count is None else self.zero_count
        opd = image.astype(np.float32)
        opd -= np.float32(zero)
        opd *= np.float32(self.nm_per_count)
        clipped = int(np.count_nonzero(image == 0)) + int(np.count_nonzero(image >= most))
        made = {"zero_count": round(zero, 3), "clipped_share": clipped / image.size}
        return OpdMap(opd, choose_pixel_um(self.pixel_um, pixel_um), made=made)


@dataclass(frozen=True, slots=True)
class NanometreOpd:
    """Frames that are maps in nanometres: floating-point numbers, as files hold them.

    Parameters
    ----------
    zero_nm
        What is taken off; ``None`` for the most frequent value of each frame.
    pixel_um
        As of `CountedOpd`.
    """

    zero_nm: float | None = 0.0
    pixel_um: float | None = None
    kind: str = field(default="opd", init=False)

    def read(self, frame: NDArray[Any], pixel_um: float | None = None, bit_depth: int | None = None) -> OpdMap:
        """See `OpdSource`; ``made`` has ``zero_nm``. The bit depth means nothing here."""
        if frame.dtype.kind != "f":
            raise MapError(f"frame: dtype {frame.dtype}; nanometres are floating-point numbers, counts need their unit")
        image = _one_channel(frame).astype(np.float32)
        if not np.isfinite(image).all():
            raise MapError("frame: values that are not finite; set what could not be measured to 0")
        zero = _most_frequent(image) if self.zero_nm is None else self.zero_nm
        image -= np.float32(zero)
        return OpdMap(image, choose_pixel_um(self.pixel_um, pixel_um), made={"zero_nm": round(zero, 3)})


def _one_channel(frame: NDArray[Any]) -> NDArray[Any]:
    if frame.ndim == 3 and frame.shape[2] in (3, 4):
        if any((frame[..., 0] != frame[..., k]).any() for k in (1, 2)):
            raise MapError(f"frame: shape {frame.shape} with colours; a map of the optical path has one channel")
        return frame[..., 0]
    if frame.ndim != 2 or min(frame.shape) < 1:
        raise MapError(f"frame: shape {frame.shape}; must be (rows, columns), one optical path difference a pixel")
    return frame


def _most_frequent(image: NDArray[Any]) -> float:
    every = max(1, round(math.sqrt(image.size / SAMPLED)))
    return common_level(image[::every, ::every])


def choose_pixel_um(own: float | None, given: float | None) -> float:
    """Return the size of a pixel: the instrument's own where it is said, else what came with the frame.

    Raises
    ------
    ScaleError
        Neither is known, or it is no length.
    """
    pixel_um = own if own is not None else given
    if pixel_um is None:
        raise ScaleError(
            "pixel_um is unknown, and areas and masses need it; configure engines.cells.pixel_size_um or "
            "optics.pixel_size_um"
        )
    if not (math.isfinite(pixel_um) and pixel_um > 0):
        raise ScaleError(f"pixel_um {pixel_um}: must be a positive number of micrometres; configure the optics' scale")
    return pixel_um


__all__ = ["CountedOpd", "NanometreOpd", "OpdMap", "OpdSource", "choose_pixel_um"]
