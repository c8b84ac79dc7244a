"""Cells of no particular shape: what a network sees beside red cells, lest it learn one shape by heart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from microscoped.simulators.holograms._bodies import BodyKind
    from microscoped.simulators.optics import FloatArray

FLATTEST, STEEPEST = 0.5, 1.5
"""Exponents of the profile: from a lens's, half an ellipsoid, to a bell's."""
TALLEST = 0.75
"""Greatest height over the diameter."""
MOST_GRANULES = 16
VOLUME_SAMPLES = 241


@dataclass(frozen=True, slots=True)
class Irregular:
    """A flat cell with a wavy outline, a rounded profile and granules; both faces are alike.

    Its outline is ``R(θ) = diameter/2·(1 + Σ a_k cos(kθ + φ_k))``; its thickness
    ``height·(1 − (r/R)²)^exponent + Σ granule heights``, nothing outside of the outline.

    Parameters
    ----------
    diameter_um, height_um
        Of the smooth body.
    exponent
        Of its profile.
    lobes
        Amplitude and phase of each wave of the outline, from two periods on.
    granules
        Place (x, y), radius and height of each, in micrometres.
    index
        Refractive index.
    """

    diameter_um: float = 8.0
    height_um: float = 2.5
    exponent: float = 1.0
    lobes: tuple[tuple[float, float], ...] = ()
    granules: tuple[tuple[float, float, float, float], ...] = ()
    index: float = 1.38

    def __post_init__(self) -> None:
        if min(self.diameter_um, self.height_um, self.exponent) <= 0:
            raise ValueError("diameter_um, height_um and exponent must be positive")
        if sum(abs(amplitude) for amplitude, _ in self.lobes) >= 1:
            raise ValueError(f"lobes {self.lobes}: their amplitudes together must be below 1")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Irregular:
        """Return a random cell: 5 … 12 µm wide, 1 … 5.5 µm high, with 0 … 16 granules, index 1.36 … 1.41."""
        diameter = float(rng.uniform(5.0, 12.0))
        lobes = tuple((float(rng.normal(0.0, 0.12 / k)), float(rng.uniform(0.0, 2.0 * np.pi))) for k in range(2, 7))
        most = sum(abs(amplitude) for amplitude, _ in lobes)
        if most > 0.5:
            lobes = tuple((0.5 / most * amplitude, phase) for amplitude, phase in lobes)
        granules = []
        for _ in range(int(rng.integers(MOST_GRANULES + 1))):
            away, angle = 0.5 * diameter * math.sqrt(rng.uniform()), float(rng.uniform(0.0, 2.0 * np.pi))
            granules.append(
                (
                    away * math.cos(angle),
                    away * math.sin(angle),
                    float(rng.uniform(0.4, 1.2)),
                    float(rng.uniform(0.1, 1.0)),
                )
            )
        return cls(
            diameter_um=diameter,
            height_um=float(rng.uniform(1.0, min(5.5, TALLEST * diameter))),
            exponent=float(rng.uniform(FLATTEST, STEEPEST)),
            lobes=lobes,
            granules=tuple(granules),
            index=float(rng.uniform(1.36, 1.41)),
        )

    @property
    def kind(self) -> BodyKind:
        """What it is."""
        return "irregular"

    @property
    def radius_um(self) -> float:
        """How far it reaches sideways, at most."""
        return 0.5 * self.diameter_um * (1.0 + sum(abs(amplitude) for amplitude, _ in self.lobes))

    @property
    def half_height_um(self) -> float:
        """How far it reaches along the light, to each side, at most."""
        return 0.5 * (self.height_um + sum(granule[3] for granule in self.granules))

    @property
    def volume_um3(self) -> float:
        """Its volume."""
        return _volume(self)

    def level(self, x_um: FloatArray, y_um: FloatArray, z_um: FloatArray) -> FloatArray:
        """Return what is positive inside; arguments broadcast together."""
        return np.asarray(0.5 * self.chord(x_um, y_um) - np.abs(z_um), np.float32)

    def chord(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return how long lines along the light run inside, in micrometres; arguments broadcast together."""
        x, y = np.broadcast_arrays(x_um, y_um)
        chords = np.zeros(x.shape, np.float32)
        near = x * x + y * y <= np.float32(self.radius_um**2)
        x, y = x[near], y[near]
        angle = np.arctan2(y, x)
        outline = np.ones(x.shape, np.float32)
        for k, (amplitude, phase) in enumerate(self.lobes, start=2):
            outline += np.float32(amplitude) * np.cos(np.float32(k) * angle + np.float32(phase))
        outline *= np.float32(0.5 * self.diameter_um)
        inner = np.maximum(1.0 - (x * x + y * y) / (outline * outline), 0.0)
        thickness = np.float32(self.height_um) * inner ** np.float32(self.exponent)
        for centre_x, centre_y, radius, height in self.granules:
            squared = (x - np.float32(centre_x)) ** 2 + (y - np.float32(centre_y)) ** 2
            thickness += np.float32(height) * np.exp(squared * np.float32(-1.0 / radius**2)) * (inner > 0)
        chords[near] = thickness
        return chords


@lru_cache(maxsize=256)
def _volume(body: Irregular) -> float:
    along = np.linspace(-body.radius_um, body.radius_um, VOLUME_SAMPLES, dtype=np.float32)
    step = float(along[1] - along[0])
    return float(body.chord(along[None, :], along[:, None]).sum(dtype=np.float64)) * step**2


__all__ = ["Irregular"]
