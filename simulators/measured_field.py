"""A measured complex field: read, freed of its background, set into a clear surround."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.optics import ComplexArray

BORDER_PX = 4
"""Width of the border that the background is estimated from."""

TAPER_SHARE = 0.1
"""Share of the width, at each side, over which a field passes into the clear surround."""


@dataclass(frozen=True, eq=False)
class MeasuredField:
    """Light behind a real specimen, as a holographic or wavefront-sensing camera measured it.

    Parameters
    ----------
    values
        Complex amplitude with the time dependence exp(−iωt), so that a wave gains phase along its way and a denser
        specimen has the larger phase; shape (height, width).
    pixel_um
        Micrometres in the specimen per pixel.
    wavelength_nm
        Vacuum wavelength.
    medium_index
        Refractive index around the specimen.
    focus_um
        Distance from the measured plane to the plane of best focus, positive downstream (along the light).
    name
        Where it came from, for people.

    Raises
    ------
    ValueError
        Not a finite complex image of at least 16 × 16 pixels, or a figure out of range.
    """

    values: NDArray[np.complex128]
    pixel_um: float
    wavelength_nm: float
    medium_index: float
    focus_um: float
    name: str = "field"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or min(self.values.shape) < 16 or not np.iscomplexobj(self.values):
            raise ValueError(
                f"{self.name}: {self.values.dtype} of shape {self.values.shape}; a field is a complex image of at "
                "least 16 × 16 pixels"
            )
        if not np.isfinite(self.values).all():
            raise ValueError(f"{self.name}: holds values that are not finite")
        for figure in ("pixel_um", "wavelength_nm", "medium_index"):
            if not getattr(self, figure) > 0:
                raise ValueError(f"{self.name}: {figure} is {getattr(self, figure)}, but must be positive")
        if not math.isfinite(self.focus_um):
            raise ValueError(f"{self.name}: focus_um is {self.focus_um}, but must be a finite distance")

    @property
    def wavelength_um(self) -> float:
        """Vacuum wavelength in micrometres."""
        return self.wavelength_nm / 1000.0

    def without_background(self) -> NDArray[np.complex128]:
        """Return the field divided by its background, a plane wave with a linear gradient of brightness.

        Logarithm and phase of the border are fitted by planes: the tilt of the reference and the uneven light do not
        belong to the specimen, and would make a seam where the field ends.

        Returns
        -------
        Shape (height, width); about 1 + 0i at the border.
        """
        rows, columns = (np.linspace(-1.0, 1.0, size) for size in self.values.shape)
        y, x = np.meshgrid(rows, columns, indexing="ij")
        border = np.ones(self.values.shape, bool)
        border[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False
        mean = self.values[border].mean()
        if not abs(mean) > 0:
            raise ValueError(f"{self.name}: the border is dark, so there is no background to divide by")
        # Relative to its mean the border's phase is small: it needs no unwrapping.
        relative = self.values / mean
        terms = np.stack([np.ones_like(x), x, y], axis=-1)
        amplitude = np.maximum(np.abs(relative[border]), 1e-6)
        logarithm = np.log(amplitude) + 1j * np.angle(relative[border])
        fit, *_ = np.linalg.lstsq(terms[border].astype(np.complex128), logarithm, rcond=None)
        return np.asarray(relative / np.exp(terms @ fit), np.complex128)

    def in_surround(self, guard_um: float) -> ComplexArray:
        """Return the field, freed of its background, in the middle of a clear field, on a good grid for FFTs.

        Parameters
        ----------
        guard_um
            Clear width at each side, at least.

        Returns
        -------
        Square, complex64, 1 in the clear surround; the field passes into it smoothly.
        """
        clean = self.without_background()
        window = np.outer(*(_taper(size) for size in clean.shape))
        size = fft.next_fast_len(max(clean.shape) + 2 * math.ceil(guard_um / self.pixel_um))
        surround = np.ones((size, size), np.complex64)
        top, left = ((size - n) // 2 for n in clean.shape)
        surround[top : top + clean.shape[0], left : left + clean.shape[1]] = 1.0 + (clean - 1.0) * window
        return surround


def read_field(path: str | Path, key: str = "field") -> NDArray[np.complex128]:
    """Return the complex image ``key`` of an ``.npz`` file.

    Raises
    ------
    ValueError
        The file is no ``.npz``, is damaged, or holds no complex image of that name; the message says what to do.
    OSError
        It cannot be opened.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError(
                    f"{path}: is no .npz file, or is cut short; fetch it again or save it with numpy.savez"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                if key not in arrays:
                    raise ValueError(f"{path}: holds no array {key!r}; it holds {', '.join(arrays)}: name one of them")
                values = arrays[key]
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}: is damaged ({error}); fetch or save it again") from error
    if not np.iscomplexobj(values):
        raise ValueError(f"{path}: {key!r} is {values.dtype}, not complex; save amplitude·exp(i·phase)")
    return np.asarray(values, np.complex128)


def _taper(size: int) -> NDArray[np.float64]:
    """Return a window that is 1 in the middle and falls to 0 at the ends as a raised cosine."""
    width = max(2, round(TAPER_SHARE * size))
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
    window = np.ones(size)
    window[:width] = rise
    window[-width:] = rise[::-1]
    return window


__all__ = ["MeasuredField", "read_field"]
