"""Image files of cells as maps of the optical path difference, as the command line describes them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from microscoped.daemon.cli._measure_cells_lensfree import LensFreeOptions, OptionError, lensfree_source
from microscoped.daemon.cli._measure_images import ImageError, read_image
from microscoped.models.cells import MapError
from microscoped.models.cells.opd import CountedOpd, NanometreOpd
from microscoped.models.hologram import WATER_INDEX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.cells.opd import OpdMap, OpdSource
    from microscoped.models.hologram import HologramOptics, Side
    from microscoped.models.hologram.stored import StoredBackground
    from microscoped.models.lensfree import Progress


@dataclass(frozen=True, slots=True)
class HologramOptions:
    """What is said of the instrument that took holograms, and of nothing else; ``None`` where nothing is."""

    wavelength_nm: float | None = None
    na: float | None = None
    medium_index: float | None = None
    background: Path | None = None
    side: Literal["plus", "minus"] | None = None
    distance_um: float | None = None


class FileSource:
    """Reads image files of one instrument; satisfies `microscoped.models.cells.opd.OpdSource`.

    Parameters
    ----------
    pixel_size_um, magnification
        As the options. Of maps the magnification is 1 where it is not given.
    nm_per_count, zero
        Of maps.
    other
        Of holograms and of lens-free frames; ``None`` for maps.
    follow
        Hears of every iteration of a lens-free reconstruction.

    Raises
    ------
    OptionError, HologramError, ImageError, LensFreeError, ModelError
        An option is missing or impossible, the background of holograms cannot be read, or a network cannot be used.
    """

    def __init__(
        self,
        pixel_size_um: float,
        magnification: float | None,
        nm_per_count: float | None,
        zero: float | None,
        other: HologramOptions | LensFreeOptions | None,
        follow: Callable[[Progress], None] | None = None,
    ) -> None:
        self._pixel_um = pixel_size_um / (magnification or 1.0)
        self._nm_per_count = nm_per_count
        self._zero = zero
        self._other: OpdSource | None = None
        if isinstance(other, HologramOptions):
            self._other = _Holograms(pixel_size_um, magnification, other)
        elif other is not None:
            self._other = lensfree_source(other, self._pixel_um, follow)
        self.kind = "opd" if self._other is None else self._other.kind

    def read(self, frame: NDArray[Any], pixel_um: float | None = None, bit_depth: int | None = None) -> OpdMap:
        """See `OpdSource`; whole numbers are counts, floating-point numbers nanometres."""
        if self._other is not None:
            return self._other.read(frame)
        if frame.dtype.kind == "f":
            if self._nm_per_count is not None:
                raise MapError("image: floating-point numbers, which are nanometres; take --nm-per-count out")
            return NanometreOpd(self._zero, self._pixel_um).read(frame)
        if self._nm_per_count is None:
            raise MapError(f"image: whole numbers ({frame.dtype}), which are counts; give --nm-per-count")
        if frame.dtype.kind != "u":
            raise MapError(f"image: {frame.dtype}, numbers with a sign; save counts from 0 on, or nanometres as floats")
        return CountedOpd(self._nm_per_count, self._zero, self._pixel_um).read(frame)


class _Holograms:
    """Reads holograms of one instrument, each by itself; satisfies `OpdSource`."""

    kind = "hologram"

    def __init__(self, pixel_size_um: float, magnification: float | None, given: HologramOptions) -> None:
        from microscoped.models.hologram import (
            HologramEngine,
            HologramEngineSettings,
            HologramOptics,
            ReconstructionSettings,
            Side,
        )

        said = {"--wavelength-nm": given.wavelength_nm, "--magnification": magnification}
        missing = [name for name, value in said.items() if value is None]
        if given.wavelength_nm is None or missing:
            raise OptionError(
                f"--hologram: dry mass needs {' and '.join(missing)}, too (--magnification 1 where --pixel-size-um is "
                "the size in the specimen)"
            )
        optics = HologramOptics.from_camera(
            camera_pixel_um=pixel_size_um,
            magnification=magnification,
            wavelength_um=given.wavelength_nm / 1000.0,
            na=given.na,
            medium_index=given.medium_index or WATER_INDEX,
        )
        side = Side.MINUS if given.side == "minus" else Side.PLUS
        self._background = None if given.background is None else _background(given.background, optics, side)
        settings = HologramEngineSettings(optics, ReconstructionSettings(side=side))
        self._engine = HologramEngine(settings, None, self._background)
        self._distance_um = given.distance_um

    def read(self, frame: NDArray[Any], pixel_um: float | None = None, bit_depth: int | None = None) -> OpdMap:
        """See `OpdSource`."""
        from microscoped.models.cells.holographic import HolographicOpd

        if self._background is None:
            # Carrier and background are those of this image, not of the one before.
            self._engine.use(None)
        return HolographicOpd(self._engine, self._distance_um).read(frame)


def _background(path: Path, optics: HologramOptics, side: Side) -> StoredBackground:
    from microscoped.models.hologram.stored import StoredBackground, read_background

    if path.suffix == ".npz":
        return read_background(path)
    try:
        frame = read_image(path)
    except ImageError as error:
        raise ImageError(f"--background {error}") from error
    taken = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    return StoredBackground(frame, taken.isoformat(), optics, side)


__all__ = ["FileSource", "HologramOptions"]
