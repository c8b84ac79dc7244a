"""From the object wave to light on the camera: the tilted reference, and what disturbs both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from microscoped.simulators.optics import ComplexArray, FloatArray, axial_frequency, unit_phasor

if TYPE_CHECKING:
    from microscoped.simulators.holograms._field import ObjectField
    from microscoped.simulators.holograms._optics import OffAxisOptics

GAUSS_POINTS = ((-math.sqrt(0.6), 5.0 / 18.0), (0.0, 4.0 / 9.0), (math.sqrt(0.6), 5.0 / 18.0))
"""Places in halves of a pixel, and weights, of the Gauss-Legendre rule over a pixel."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference wave, plane or slightly curved, tilted against the axis.

    The hologram is ``|O|² + A² + 2A·Re[O·exp(2πi(c·r − κ|r − r₀|²))]``: the sideband of O stands at the carrier c, its
    conjugate opposite; the reference itself is ``A·exp(−2πi(c·r − κ|r − r₀|²))``.

    Parameters
    ----------
    carrier_per_um
        c = (x, y) in cycles per micrometre in the specimen.
    curvature_per_um2
        κ in cycles per square micrometre: the reference's curvature against the object wave's, which the objective
        makes.
    centre
        r₀ from the middle of the frame, in halves of its sides (x, y).
    amplitude
        A, relative to the object wave's in the clear field.
    """

    carrier_per_um: tuple[float, float] = (2.2371, 2.2157)
    curvature_per_um2: float = 2e-4
    centre: tuple[float, float] = (0.2, -0.1)
    amplitude: float = 1.6

    def __post_init__(self) -> None:
        if self.amplitude <= 0:
            raise ValueError(f"amplitude is {self.amplitude}, but must be positive")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Reference:
        """Return a random reference: 3.10 … 3.20 cycles/µm near a diagonal, contrast 0.4 … 0.9, curvature ± 5e-4 /µm².

        The carrier lies in the right half-plane: the sideband of O has positive frequencies along x.
        """
        length, angle = float(rng.uniform(3.10, 3.20)), float(np.radians(rng.uniform(43.5, 46.5)))
        contrast = float(rng.uniform(0.4, 0.9))
        stronger = (1.0 + math.sqrt(1.0 - contrast**2)) / contrast
        vertical = math.sin(angle) if rng.uniform() < 0.5 else -math.sin(angle)
        return cls(
            carrier_per_um=(length * math.cos(angle), length * vertical),
            curvature_per_um2=float(rng.uniform(-5e-4, 5e-4)),
            centre=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5))),
            amplitude=stronger if rng.uniform() < 0.7 else 1.0 / stronger,
        )

    @property
    def fringe_contrast(self) -> float:
        """Contrast 2A/(1 + A²) of the fringes in the clear field, before the camera's pixels blur them."""
        return 2.0 * self.amplitude / (1.0 + self.amplitude**2)


@dataclass(frozen=True, slots=True)
class Disturbances:
    """What coherent light shows besides the specimen; amplitudes are relative to the object wave's.

    Parameters
    ----------
    speckle
        Root mean square of the speckle.
    speckle_na
        Aperture that it fills.
    speckle_fixed
        Part of its power that belongs to the instrument and is the same in every hologram; the rest belongs to the
        field.
    parasitic, parasitic_per_um
        Amplitude of a second reflection, and its tilt (x, y) in cycles per micrometre; inside the pupil.
    dust
        Number of grains on the optics, far out of focus: rings that stay.
    dust_um
        Least and greatest distance of the grains from the recording plane, to either side.
    dust_radius_um
        Least and greatest radius of the grains, in the specimen's scale.
    """

    speckle: float = 0.02
    speckle_na: float = 0.5
    speckle_fixed: float = 0.6
    parasitic: float = 0.015
    parasitic_per_um: tuple[float, float] = (0.06, -0.09)
    dust: int = 4
    dust_um: tuple[float, float] = (40.0, 200.0)
    dust_radius_um: tuple[float, float] = (1.0, 3.0)

    def __post_init__(self) -> None:
        if min(self.speckle, self.parasitic, self.dust) < 0 or not 0 <= self.speckle_fixed <= 1:
            raise ValueError("speckle, parasitic and dust cannot be negative; speckle_fixed lies in 0 … 1")
        if self.speckle_na <= 0 or not 0 < self.dust_um[0] <= self.dust_um[1]:
            raise ValueError("speckle_na and dust_um must be positive, and dust_um rise")

    @classmethod
    def none(cls) -> Disturbances:
        """Return a perfect instrument."""
        return cls(speckle=0.0, parasitic=0.0, dust=0)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Disturbances:
        """Return random disturbances: speckle 1 … 5 %, a parasitic wave of 1 … 3 %, some dust."""
        tilt, angle = float(rng.uniform(0.02, 0.5)), float(rng.uniform(0.0, 2.0 * np.pi))
        return cls(
            speckle=float(rng.uniform(0.01, 0.05)),
            speckle_na=float(rng.uniform(0.25, 0.75)),
            speckle_fixed=float(rng.uniform(0.3, 0.9)),
            parasitic=float(rng.uniform(0.01, 0.03)),
            parasitic_per_um=(tilt * math.cos(angle), tilt * math.sin(angle)),
            dust=int(rng.integers(0, 7)),
        )

    def fixed(self, like: ObjectField, shape_px: tuple[int, int], seed: int) -> ComplexArray:
        """Return the spectrum of what belongs to the instrument, on the grid of a field.

        Parameters
        ----------
        like
            Gives grid and optics.
        shape_px
            Of the frame, where the dust lies.
        seed
            Which instrument.
        """
        rng = np.random.default_rng((seed, 11))
        spectrum = self._speckled(like, self.speckle * math.sqrt(self.speckle_fixed), rng)
        fx, fy = like.frequencies()
        optics = like.optics
        pupil = optics.pupil.transmission(fx, fy)
        axial = axial_frequency(optics.medium_index, optics.wavelength_um, fx, fy)
        f = np.sqrt(fx * fx + fy * fy)
        area = like.period_um[0] * like.period_um[1]
        for _ in range(self.dust):
            radius = float(rng.uniform(*self.dust_radius_um))
            distance = float(rng.uniform(*self.dust_um)) * (1.0 if rng.uniform() < 0.5 else -1.0)
            y, x = (float(rng.uniform(0.0, n * optics.pixel_um)) for n in shape_px)
            place = fy * np.float32(y - like.origin_um[0]) + fx * np.float32(x - like.origin_um[1])
            # The transform of an opaque disc: πR²·2J₁(2πRf)/(2πRf).
            argument = np.maximum(2.0 * np.pi * radius * f, 1e-6)
            disc = (np.pi * radius**2 / area) * 2.0 * special.j1(argument) / argument
            spectrum -= disc.astype(np.float32) * pupil * unit_phasor(-axial * np.float32(distance) - place)
        if self.parasitic:
            # The nearest of the waves that repeat with the period.
            column, row = (
                round(f * length) for f, length in zip(self.parasitic_per_um, like.period_um[::-1], strict=True)
            )
            phase = np.exp(2j * np.pi * rng.uniform())
            spectrum[row % spectrum.shape[0], column % spectrum.shape[1]] += np.complex64(self.parasitic * phase)
        return spectrum

    def moving(self, like: ObjectField, seed: int) -> ComplexArray:
        """Return the spectrum of the speckle that belongs to the field, on the grid of a field."""
        rng = np.random.default_rng((seed, 12))
        return self._speckled(like, self.speckle * math.sqrt(1.0 - self.speckle_fixed), rng)

    def _speckled(self, like: ObjectField, strength: float, rng: np.random.Generator) -> ComplexArray:
        fx, fy = like.frequencies()
        inside = fx * fx + fy * fy <= np.float32(
            (min(self.speckle_na, like.optics.na) / like.optics.wavelength_um) ** 2
        )
        inside[0, 0] = False
        spectrum = np.zeros(inside.shape, np.complex64)
        if strength > 0 and inside.any():
            count = int(inside.sum())
            waves = rng.standard_normal((2, count), dtype=np.float32) * np.float32(strength / math.sqrt(2.0 * count))
            spectrum[inside] = waves[0] + 1j * waves[1]
        return spectrum


class Interferometer:
    """Turns object waves of one grid into light on the camera; 1 is the brightest fringe of the clear field.

    Immutable; any thread.

    Parameters
    ----------
    optics
        The microscope.
    reference
        The reference wave.
    shape_px
        Of the frame.
    """

    def __init__(self, optics: OffAxisOptics, reference: Reference, shape_px: tuple[int, int]) -> None:
        self.optics = optics
        self.reference = reference
        self.shape_px = shape_px
        cx, cy = reference.carrier_per_um
        self.brightest = (1.0 + reference.amplitude) ** 2
        self.carrier_gain = float(np.sinc(cx * optics.pixel_um) * np.sinc(cy * optics.pixel_um))
        self._faded = self._reference_wave((0.0, 0.0)) * np.float32(self.carrier_gain)

    def _reference_wave(self, shift_um: tuple[float, float]) -> ComplexArray:
        """Return the reference at the middles of the pixels, moved by a shift (y, x)."""
        height, width = self.shape_px
        pixel, (cx, cy) = self.optics.pixel_um, self.reference.carrier_per_um
        kappa = self.reference.curvature_per_um2
        turns = []
        for size, shift, carrier, centre in (
            (height, shift_um[0], cy, self.reference.centre[1]),
            (width, shift_um[1], cx, self.reference.centre[0]),
        ):
            place = np.arange(size) * pixel + shift
            away = place - 0.5 * (size - 1) * pixel - centre * 0.5 * size * pixel
            turns.append(np.exp(-2j * np.pi * (carrier * place - kappa * away**2)))
        wave = self.reference.amplitude * turns[0][:, None] * turns[1][None, :]
        return np.asarray(wave, np.complex64)

    def full_model(self, field: ObjectField) -> FloatArray:
        """Return |O + R|² integrated over each pixel, by a Gauss-Legendre rule of 3 × 3 points; slow.

        Returns
        -------
        Shape ``shape_px``, relative to the brightest fringe of the clear field.
        """
        half = 0.5 * self.optics.pixel_um
        light = np.zeros(self.shape_px, np.float32)
        for y, weight_y in GAUSS_POINTS:
            for x, weight_x in GAUSS_POINTS:
                shift = y * half, x * half
                total = field.on_camera(self.shape_px, shift) + self._reference_wave(shift)
                light += np.float32(weight_y * weight_x) * (total.real**2 + total.imag**2)
        return light / np.float32(self.brightest)

    def pixel_weights(self, field: ObjectField) -> FloatArray:
        """Return by how much pixels weaken each frequency of the sideband, relative to the carrier itself.

        Returns
        -------
        Shape of ``field.scattered``.
        """
        fx, fy = field.frequencies()
        pixel = np.float32(self.optics.pixel_um)
        cx, cy = self.reference.carrier_per_um
        weights = np.sinc((fx + np.float32(cx)) * pixel) * np.sinc((fy + np.float32(cy)) * pixel)
        return np.asarray(weights / np.float32(self.carrier_gain), np.float32)

    def light(self, weighted: ComplexArray) -> FloatArray:
        """Return the light of a frame whose object wave was weakened by `pixel_weights` already; fast.

        The interference is exact but for the reference's curvature within a pixel. The zero order |O|² is taken of the
        weighted wave, which is wrong by the weights' deviation from 1, and only where the specimen scatters.

        Parameters
        ----------
        weighted
            At the middles of the pixels, shape ``shape_px``; overwritten.

        Returns
        -------
        Shape ``shape_px``, relative to the brightest fringe of the clear field.
        """
        # |O|² + A² + 2gA·Re(O·R*) = |O + gR|² + (1 − g²)A²
        weighted += self._faded
        light = weighted.real * weighted.real
        light += weighted.imag * weighted.imag
        light += np.float32((1.0 - self.carrier_gain**2) * self.reference.amplitude**2)
        light *= np.float32(1.0 / self.brightest)
        return light


__all__ = ["Disturbances", "Interferometer", "Reference"]
