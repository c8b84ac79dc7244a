"""A small analytic hologram in double precision, on a finer grid with a guard band: not the one of reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.fft

from microscoped.models.hologram import HologramOptics

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAVELENGTH_UM = 0.666
INDEX = 1.3345
NA = 0.75
PIXEL_UM = 5.86 / 40
CELL_INDEX = 1.39
GUARD = 128


def red_cell_um(radius_um: NDArray[np.float64], diameter_um: float = 7.8) -> NDArray[np.float64]:
    """Return the thickness of a red cell (Evans & Fung)."""
    q = np.minimum((2 * radius_um / diameter_um) ** 2, 1.0)
    return np.sqrt(1 - q) * (0.81 + 7.83 * q - 4.39 * q**2)


@dataclass(frozen=True)
class Bench:
    """An off-axis microscope on paper.

    Cells: (row, column, z) in µm from the frame's middle; z is where the cell is in focus, downstream of the recording
    plane.
    """

    cells: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)
    size: int = 512
    carrier: tuple[float, float] = (0.3312, 0.3278)
    curvature: float = 0.0
    visibility: float = 0.8
    speckle: float = 0.0
    electrons: float | None = 8000.0
    seed: int = 1
    width: int | None = None
    optics: HologramOptics = field(
        default_factory=lambda: HologramOptics(WAVELENGTH_UM, PIXEL_UM, NA, INDEX, magnification=40.0)
    )

    @property
    def shape(self) -> tuple[int, int]:
        return self.size, self.width or self.size

    def object_field(self) -> NDArray[np.complex128]:
        """Return the field at the recording plane, on the fine grid with its guard."""
        step = PIXEL_UM / 2
        rows, columns = (2 * (n + 2 * GUARD) for n in self.shape)
        y = (np.arange(rows) - rows / 2 + 0.5)[:, None] * step
        x = (np.arange(columns) - columns / 2 + 0.5)[None, :] * step
        squared = np.fft.fftfreq(rows, step)[:, None] ** 2 + np.fft.fftfreq(columns, step)[None, :] ** 2
        axial = INDEX / WAVELENGTH_UM
        pupil = squared < (NA / WAVELENGTH_UM) ** 2
        rate = 2 * np.pi * (np.sqrt(axial**2 - squared[pupil]) - axial)
        total = np.zeros((rows, columns), complex)
        for z in {cell[2] for cell in self.cells}:
            delay = np.zeros((rows, columns))
            for row, column, own in self.cells:
                if own == z:
                    near = np.ix_(np.abs(y[:, 0] - row) < 4, np.abs(x[0] - column) < 4)
                    delay[near] += red_cell_um(np.hypot(y[near[0][:, 0]] - row, x[:, near[1][0]] - column))
            passed = np.zeros((rows, columns), complex)
            inside = delay > 0
            passed[inside] = np.exp(2j * np.pi / WAVELENGTH_UM * (CELL_INDEX - INDEX) * delay[inside]) - 1
            total[pupil] += scipy.fft.fft2(passed)[pupil] * np.exp(-1j * z * rate)
        if self.speckle:
            rng = np.random.default_rng(self.seed + 1000)
            grains = scipy.fft.fft2(rng.normal(size=total.shape) + 1j * rng.normal(size=total.shape))
            total[pupil] += grains[pupil] * (self.speckle / np.sqrt(2 * pupil.mean()))
        return np.asarray(1 + scipy.fft.ifft2(total))

    def frame(self) -> NDArray[np.uint16]:
        """Return what the camera counts, 12 bits in 16; not to be changed."""
        return _frame(self)


@lru_cache(maxsize=64)
def _frame(bench: Bench) -> NDArray[np.uint16]:
    light = bench.object_field()
    rows, columns = light.shape
    y = ((np.arange(rows) - rows / 2 + 0.5) / 2)[:, None]
    x = ((np.arange(columns) - columns / 2 + 0.5) / 2)[None, :]
    waves = bench.carrier[0] * y + bench.carrier[1] * x
    waves = waves + bench.curvature * PIXEL_UM**2 * ((y - 40) ** 2 + (x + 25) ** 2)
    # |O + R|² with the reference's conjugate: O then lies round +carrier.
    bright = np.abs(light) ** 2 + 1 + 2 * bench.visibility * np.real(light * np.exp(2j * np.pi * waves))
    pixels = bright.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))[GUARD:-GUARD, GUARD:-GUARD]
    counts = pixels / 10.0  # a cell may focus light on the camera: nothing is clipped
    if bench.electrons:
        counts = np.random.default_rng(bench.seed).poisson(counts * bench.electrons) / bench.electrons
    frame = np.clip(np.rint(counts * 4095), 0, 4095).astype(np.uint16)
    frame.flags.writeable = False
    return frame


@pytest.fixture(scope="session")
def bench() -> type[Bench]:
    return Bench
