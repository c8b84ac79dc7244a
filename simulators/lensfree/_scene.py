"""Cells before a lens-free microscope: what it records, and what is true."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from microscoped.simulators.cells import CellField, CellSource, CellTruth, PopulationParameters
from microscoped.simulators.lensfree._optics import LensFreeOptics
from microscoped.simulators.lensfree._recording import ThinSpecimen, record
from microscoped.simulators.sensor import SensorModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.optics import FloatArray

DEFAULT_SENSOR = SensorModel(
    full_well_e=6000.0, level=0.4, nominal_exposure_ms=300.0, read_noise_e=4.0, bit_depth=12, prnu=0.008, vignetting=0.1
)
"""Small pixels hold few electrons, and fringes of thick cells are twice as bright as the clear field; 300 ms as in
Allier 2022, §2.1."""


MARGIN_UM = 60.0
"""Cells are set so far beyond the grid, which the longest reach into it."""

GUARD_SEARCH_PX = 40


@dataclass(frozen=True, slots=True)
class LensFreeSetup:
    """Everything that determines the light on the sensor.

    Parameters
    ----------
    optics
        The microscope; its ``z_um`` is what the user believes.
    cells
        Which cells lie on the dish.
    shape_px
        Of the frame (rows, columns).
    seed
        Which of all such fields, distances and sensors.
    z_error_um
        The true distance lies within so much of the believed one.
    cell_absorption, debris_absorption
        Absorption of the amplitude for 100 nm of path difference, in cells and in debris.
    fineness
        Points of the computation for a pixel of the sensor, along each axis; 2 or more.
    guard
        The computation reaches beyond the frame by so many times what the light of a point spreads.

    Raises
    ------
    ValueError
        A figure is out of its range.
    """

    optics: LensFreeOptics = field(default_factory=LensFreeOptics)
    cells: PopulationParameters = field(default_factory=PopulationParameters.matched)
    shape_px: tuple[int, int] = (512, 512)
    seed: int = 0
    z_error_um: float = 20.0
    cell_absorption: float = 0.01
    debris_absorption: float = 0.3
    fineness: int = 2
    guard: float = 1.25

    def __post_init__(self) -> None:
        if self.fineness < 2:
            raise ValueError(
                f"fineness is {self.fineness}, but the grid must be at least twice as fine as the sensor's"
            )
        if not 0 <= self.z_error_um < self.optics.z_um:
            raise ValueError(f"z_error_um {self.z_error_um} must lie between 0 and z_um {self.optics.z_um}")
        for name in ("cell_absorption", "debris_absorption", "guard"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but cannot be negative")


@dataclass(frozen=True, slots=True)
class LensFreeRecording:
    """Holograms, and what is true of them. Arrays are never written to.

    Parameters
    ----------
    pixels
        Digits, shape (colours, rows, columns).
    clear
        Digits of a clear field, offset taken off, for each colour.
    offset
        Digits without light.
    z_um
        The true distance from specimen to sensor.
    optics
        The microscope as the user believes it to be.
    """

    pixels: NDArray[np.uint16]
    clear: tuple[float, ...]
    offset: float
    z_um: float
    optics: LensFreeOptics

    def intensity(self) -> FloatArray:
        """Return the light relative to the clear field, with noise, shape (colours, rows, columns)."""
        clear = np.asarray(self.clear, np.float32)[:, None, None]
        return np.asarray((self.pixels.astype(np.float32) - np.float32(self.offset)) / clear, np.float32)


class LensFreeScene:
    """Adherent cells before a lens-free RGB microscope. Immutable; any thread.

    The field is computed on a grid of its own, finer than the sensor's and wider by a guard band, with cells in both.

    Parameters
    ----------
    setup
        Cells, light and sensor's grid.
    sensor
        The sensor's noise.
    source
        Where the cells come from, see `CellField`; its pixels are those of the sensor.
    """

    def __init__(
        self,
        setup: LensFreeSetup | None = None,
        sensor: SensorModel = DEFAULT_SENSOR,
        *,
        source: CellSource | None = None,
    ) -> None:
        self.setup = setup = setup if setup is not None else LensFreeSetup()
        self.sensor = sensor
        optics, n = setup.optics, setup.fineness
        rng = np.random.default_rng((setup.seed, 41))
        self.z_um = optics.z_um + setup.z_error_um * float(rng.uniform(-1.0, 1.0))
        guard_px = _guard_px(math.ceil(setup.guard * optics.reach_um(self.z_um) / optics.pitch_um), setup.shape_px)
        self.field = CellField(
            setup.cells,
            setup.shape_px,
            optics.pitch_um,
            setup.seed,
            source=source,
            margin_um=guard_px * optics.pitch_um + MARGIN_UM,
        )
        rows, columns = ((size + 2 * guard_px) * n for size in setup.shape_px)
        # The middle of the first point: half a pixel outside of the first pixel's middle, half a point back in.
        first = optics.pitch_um * (-guard_px - 0.5 + 0.5 / n)
        cells, debris = self.field.render(optics.pitch_um / n, (rows, columns), (first, first))
        absorption = np.float32(1e-2 * setup.cell_absorption) * cells
        absorption += np.float32(1e-2 * setup.debris_absorption) * debris
        self.specimen = ThinSpecimen(cells + debris, absorption, n, guard_px)
        self._light: FloatArray = record(self.specimen, optics, self.z_um)
        self._pattern = sensor.fixed_pattern(setup.shape_px, setup.seed)

    @property
    def opd_nm(self) -> FloatArray:
        """The true optical path difference on the sensor's pixels, shape (rows, columns)."""
        return self._on_pixels(self.specimen.opd_nm)

    @property
    def absorption(self) -> FloatArray:
        """The true absorption of the amplitude on the sensor's pixels, shape (rows, columns)."""
        return self._on_pixels(self.specimen.absorption)

    @property
    def truths(self) -> tuple[CellTruth, ...]:
        """What is true of the cells whose centroid lies in the frame."""
        return self.field.truths

    @property
    def light(self) -> FloatArray:
        """The light without noise, relative to the clear field, shape (colours, rows, columns)."""
        return self._light.copy()

    def expose(self, shot: int = 0, exposure_ms: float | None = None) -> LensFreeRecording:
        """Return a fresh recording: one exposure for each colour, each with its own noise.

        Parameters
        ----------
        shot
            Which of all exposures of this scene.
        exposure_ms
            Exposure time, instead of the sensor's nominal one; light is proportional to it.
        """
        rng = np.random.default_rng((self.setup.seed, 42, shot))
        nominal_ms = self.sensor.nominal_exposure_ms
        electrons = np.float32(self.sensor.clear_electrons(nominal_ms if exposure_ms is None else exposure_ms))
        digits, clear = [], []
        for light in self._light:
            brightness, gain = self.sensor.wander(rng)
            expected = light * self._pattern * (electrons * np.float32(brightness))
            digits.append(self.sensor.digits(self.sensor.noisy_electrons(expected, rng), gain).astype(np.uint16))
            clear.append(float(electrons) / self.sensor.electrons_per_digit)
        return LensFreeRecording(np.stack(digits), tuple(clear), self.sensor.offset, self.z_um, self.setup.optics)

    def _on_pixels(self, fine: FloatArray) -> FloatArray:
        n, guard = self.specimen.fineness, self.specimen.guard_px
        rows, columns = self.setup.shape_px
        inner = fine[guard * n : (guard + rows) * n, guard * n : (guard + columns) * n]
        return np.asarray(inner.reshape(rows, n, columns, n).mean(axis=(1, 3)), np.float32)


def _guard_px(least: int, shape_px: tuple[int, int]) -> int:
    """Return a guard band of at least so many pixels with which Fourier transforms are fast, if there is one near."""
    for guard_px in range(least, least + GUARD_SEARCH_PX):
        if all(fft.next_fast_len(size + 2 * guard_px) == size + 2 * guard_px for size in shape_px):
            return guard_px
    return least


__all__ = ["DEFAULT_SENSOR", "LensFreeRecording", "LensFreeScene", "LensFreeSetup"]
