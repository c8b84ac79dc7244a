"""Bodies in the light: red cells, crenated and spherical ones, and beads, as solids of one refractive index each.

A body is given about its own middle, z along the light. `level` is positive inside, negative outside and, near the
surface, about the distance to it in micrometres; all maps of a body are made from it or from `chord`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.optics import FloatArray

BodyKind = Literal["red_cell", "irregular", "echinocyte", "spherocyte", "bead"]

CELL_INDEX = 1.39
"""Refractive index of a red cell (Jaferzadeh 2019, Fig. 2)."""
BEAD_INDEX = 1.591
"""Refractive index of a polystyrene bead (Jaferzadeh 2019, §2.2)."""
EVANS_FUNG_UM = (0.81, 7.83, -4.39)
"""Thickness of a discocyte: √(1 − q)·(c₀ + c₁q + c₂q²) µm with q = (2r/D)² (Evans and Fung, Microvasc. Res. 4, 335)."""
LINE_SAMPLES = 24
"""Samples along the light where a chord has no formula."""
SPHERE_POINTS = 8000
"""Directions that stand for all in integrals over a crenated cell."""


class Body(Protocol):
    """A solid of one refractive index."""

    @property
    def kind(self) -> BodyKind:
        """What it is."""
        ...

    @property
    def index(self) -> float:
        """Its refractive index."""
        ...

    @property
    def radius_um(self) -> float:
        """How far it reaches sideways, at most."""
        ...

    @property
    def half_height_um(self) -> float:
        """How far it reaches along the light, to each side, at most."""
        ...

    @property
    def volume_um3(self) -> float:
        """Its volume."""
        ...

    def level(self, x_um: FloatArray, y_um: FloatArray, z_um: FloatArray) -> FloatArray:
        """Return what is positive inside; arguments broadcast together."""
        ...

    def chord(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return how long lines along the light run inside, in micrometres; arguments broadcast together."""
        ...


@dataclass(frozen=True, slots=True)
class RedCell:
    """A discocyte: biconcave, slightly elliptic, tilted.

    Parameters
    ----------
    diameter_um
        Diameter D; of an elliptic cell the geometric mean of both.
    thickness_scale
        Factor of the thickness.
    ellipticity
        The one half-axis is longer by this part, the other shorter; the area stays.
    ellipse_rad
        Direction of the longer half-axis within the cell.
    tilt_rad, tilt_axis_rad
        Angle by which the cell leans, and the direction in which its plane rises along the light.
    index
        Refractive index.
    """

    diameter_um: float = 7.8
    thickness_scale: float = 1.0
    ellipticity: float = 0.0
    ellipse_rad: float = 0.0
    tilt_rad: float = 0.0
    tilt_axis_rad: float = 0.0
    index: float = CELL_INDEX

    def __post_init__(self) -> None:
        if min(self.diameter_um, self.thickness_scale) <= 0 or abs(self.ellipticity) >= 1:
            raise ValueError("diameter and thickness_scale must be positive, and ellipticity between −1 and 1")
        if not 0 <= self.tilt_rad <= math.pi / 4:
            raise ValueError(f"tilt_rad {self.tilt_rad} is outside 0 … π/4")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> RedCell:
        """Return a random cell: diameter 7.8 ± 0.5 µm, thickness ± 8 %, ellipticity ± 6 %, tilt 0 … 20°."""
        return cls(
            diameter_um=float(np.clip(rng.normal(7.8, 0.5), 6.3, 9.3)),
            thickness_scale=float(np.clip(rng.normal(1.0, 0.08), 0.75, 1.25)),
            ellipticity=float(np.clip(rng.normal(0.0, 0.06), -0.15, 0.15)),
            ellipse_rad=float(rng.uniform(0.0, np.pi)),
            tilt_rad=math.radians(float(rng.uniform(0.0, 20.0))),
            tilt_axis_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        )

    @property
    def kind(self) -> BodyKind:
        """What it is."""
        return "red_cell"

    @property
    def radius_um(self) -> float:
        """How far it reaches sideways, at most."""
        return 0.5 * self.diameter_um * self._stretch + self._half_thickness_um * math.sin(self.tilt_rad)

    @property
    def half_height_um(self) -> float:
        """How far it reaches along the light, to each side, at most."""
        return 0.5 * self.diameter_um * self._stretch * math.sin(self.tilt_rad) + self._half_thickness_um

    @property
    def volume_um3(self) -> float:
        """Its volume: πD²/4·(2/3·c₀ + 4/15·c₁ + 16/105·c₂) times the thickness scale."""
        c0, c1, c2 = EVANS_FUNG_UM
        mean = 2.0 / 3.0 * c0 + 4.0 / 15.0 * c1 + 16.0 / 105.0 * c2
        return 0.25 * math.pi * self.diameter_um**2 * mean * self.thickness_scale

    @property
    def _stretch(self) -> float:
        return max(1.0 + self.ellipticity, 1.0 / (1.0 + self.ellipticity))

    @property
    def _half_thickness_um(self) -> float:
        q = np.linspace(0.0, 1.0, 200)
        return 0.5 * self.thickness_scale * float(_evans_fung(q).max())

    def level(self, x_um: FloatArray, y_um: FloatArray, z_um: FloatArray) -> FloatArray:
        """Return what is positive inside; arguments broadcast together."""
        cos_a, sin_a = np.float32(math.cos(self.tilt_axis_rad)), np.float32(math.sin(self.tilt_axis_rad))
        cos_t, sin_t = np.float32(math.cos(self.tilt_rad)), np.float32(math.sin(self.tilt_rad))
        along, across = x_um * cos_a + y_um * sin_a, y_um * cos_a - x_um * sin_a
        in_plane = along * cos_t + z_um * sin_t
        height = z_um * cos_t - along * sin_t
        q = self._q(in_plane, across)
        half = np.float32(0.5 * self.thickness_scale) * _evans_fung(np.minimum(q, 1.0))
        outside = np.float32(0.5 * self.diameter_um) * (np.sqrt(np.maximum(q, 1.0)) - 1.0)
        return np.asarray(half - outside - np.abs(height), np.float32)

    def chord(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return how long lines along the light run inside, in micrometres; arguments broadcast together."""
        if self.tilt_rad > 0:
            return chord_by_samples(self, x_um, y_um)
        cos_a, sin_a = np.float32(math.cos(self.tilt_axis_rad)), np.float32(math.sin(self.tilt_axis_rad))
        q = self._q(x_um * cos_a + y_um * sin_a, y_um * cos_a - x_um * sin_a)
        return np.asarray(np.float32(self.thickness_scale) * _evans_fung(np.minimum(q, 1.0)), np.float32)

    def _q(self, u: FloatArray, v: FloatArray) -> FloatArray:
        cos_b, sin_b = np.float32(math.cos(self.ellipse_rad)), np.float32(math.sin(self.ellipse_rad))
        long = (u * cos_b + v * sin_b) * np.float32(1.0 / (1.0 + self.ellipticity))
        short = (v * cos_b - u * sin_b) * np.float32(1.0 + self.ellipticity)
        return np.asarray((long * long + short * short) * np.float32(4.0 / self.diameter_um**2), np.float32)


@dataclass(frozen=True, slots=True)
class Sphere:
    """A ball: a spherocyte or a bead.

    Parameters
    ----------
    kind
        What it is.
    diameter_um
        Its diameter.
    index
        Refractive index.
    """

    kind: BodyKind = "bead"
    diameter_um: float = 9.0
    index: float = BEAD_INDEX

    def __post_init__(self) -> None:
        if self.diameter_um <= 0:
            raise ValueError(f"diameter_um is {self.diameter_um}, but must be positive")

    @classmethod
    def draw_bead(cls, rng: np.random.Generator) -> Sphere:
        """Return a random bead: 9 µm, with the spread of a good batch."""
        return cls("bead", float(np.clip(rng.normal(9.0, 0.12), 8.5, 9.5)), BEAD_INDEX)

    @classmethod
    def draw_spherocyte(cls, rng: np.random.Generator) -> Sphere:
        """Return a random spherocyte: 5.9 ± 0.3 µm, about the volume of a discocyte."""
        return cls("spherocyte", float(np.clip(rng.normal(5.9, 0.3), 5.0, 6.8)), CELL_INDEX)

    @property
    def radius_um(self) -> float:
        """How far it reaches sideways."""
        return 0.5 * self.diameter_um

    @property
    def half_height_um(self) -> float:
        """How far it reaches along the light, to each side."""
        return 0.5 * self.diameter_um

    @property
    def volume_um3(self) -> float:
        """Its volume."""
        return math.pi * self.diameter_um**3 / 6.0

    def level(self, x_um: FloatArray, y_um: FloatArray, z_um: FloatArray) -> FloatArray:
        """Return what is positive inside; arguments broadcast together."""
        distance = np.sqrt(x_um * x_um + y_um * y_um + z_um * z_um)
        return np.asarray(np.float32(0.5 * self.diameter_um) - distance, np.float32)

    def chord(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return how long lines along the light run inside, in micrometres; arguments broadcast together."""
        inside = np.float32(0.25 * self.diameter_um**2) - (x_um * x_um + y_um * y_um)
        return np.asarray(2.0 * np.sqrt(np.maximum(inside, 0.0)), np.float32)


@dataclass(frozen=True, slots=True)
class Echinocyte:
    """A crenated cell: a flattened ball with spicules all over; its middle is the centre of its mass.

    Its surface is at ``R(d) = radius·(1 + spicule_height·Σ exp((d·dₖ − 1)/spicule_width²))`` in the direction d, with
    dₖ the directions of the spicules, and then flattened along the light.

    Parameters
    ----------
    base_radius_um
        Radius of the ball.
    flattening
        Factor of its heights.
    spicules
        How many.
    spicule_height, spicule_width
        Their height as a part of the radius, and their width in radians.
    seed
        Where they stand.
    index
        Refractive index.
    """

    base_radius_um: float = 2.75
    flattening: float = 0.75
    spicules: int = 22
    spicule_height: float = 0.16
    spicule_width: float = 0.2
    seed: int = 0
    index: float = CELL_INDEX

    def __post_init__(self) -> None:
        if min(self.base_radius_um, self.spicule_width, self.flattening) <= 0 or self.spicule_height < 0:
            raise ValueError("radius, flattening and spicule_width must be positive and spicule_height not negative")
        if self.spicules < 1:
            raise ValueError(f"spicules is {self.spicules}, but must be at least 1")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Echinocyte:
        """Return a random crenated cell."""
        return cls(
            base_radius_um=float(rng.uniform(2.5, 3.0)),
            flattening=float(rng.uniform(0.6, 0.95)),
            spicules=int(rng.integers(14, 31)),
            spicule_height=float(rng.uniform(0.08, 0.22)),
            spicule_width=float(rng.uniform(0.15, 0.25)),
            seed=int(rng.integers(2**31)),
        )

    @property
    def kind(self) -> BodyKind:
        """What it is."""
        return "echinocyte"

    @property
    def radius_um(self) -> float:
        """How far it reaches sideways, at most."""
        furthest, _, centre = self._measures()
        return furthest + math.hypot(centre[0], centre[1])

    @property
    def half_height_um(self) -> float:
        """How far it reaches along the light, to each side, at most."""
        furthest, _, centre = self._measures()
        return furthest * self.flattening + abs(centre[2])

    @property
    def volume_um3(self) -> float:
        """Its volume."""
        return self._measures()[1]

    def level(self, x_um: FloatArray, y_um: FloatArray, z_um: FloatArray) -> FloatArray:
        """Return what is positive inside; arguments broadcast together."""
        centre = self._measures()[2]
        x, y = x_um + np.float32(centre[0]), y_um + np.float32(centre[1])
        z = (z_um + np.float32(centre[2])) / np.float32(self.flattening)
        distance = np.sqrt(x * x + y * y + z * z)
        least = np.maximum(distance, np.float32(1e-6))
        surface = np.zeros(distance.shape, np.float32)
        for a, b, c in _spicules(self.spicules, self.seed):
            cosine = (x * np.float32(a) + y * np.float32(b) + z * np.float32(c)) / least
            surface += np.exp((cosine - 1.0) * np.float32(1.0 / self.spicule_width**2))
        surface = np.float32(self.base_radius_um) * (1.0 + np.float32(self.spicule_height) * surface)
        return np.asarray(surface - distance, np.float32)

    def chord(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Return how long lines along the light run inside, in micrometres; arguments broadcast together."""
        return chord_by_samples(self, x_um, y_um)

    def _measures(self) -> tuple[float, float, tuple[float, float, float]]:
        """Return greatest radius, volume, and where the centre of mass lies from the ball's centre."""
        return _crenated(
            self.base_radius_um,
            self.flattening,
            self.spicules,
            self.spicule_height,
            self.spicule_width,
            self.seed,
        )


def chord_by_samples(body: Body, x_um: FloatArray, y_um: FloatArray, samples: int = LINE_SAMPLES) -> FloatArray:
    """Return how long lines along the light run inside a body, summed over samples with soft ends.

    Parameters
    ----------
    body
        What the lines cross.
    x_um, y_um
        Where, about the body's middle; broadcast together.
    samples
        Per line, over the body's height.
    """
    step = 2.0 * body.half_height_um / samples
    x, y = np.broadcast_arrays(x_um, y_um)
    near = x * x + y * y <= np.float32(body.radius_um**2)
    x, y = x[near], y[near]
    inside = np.zeros(x.shape, np.float32)
    for k in range(samples):
        z = np.full(1, (k + 0.5) * step - body.half_height_um, np.float32)
        inside += filled(body.level(x, y, z), step)
    chords = np.zeros(near.shape, np.float32)
    chords[near] = inside * np.float32(step)
    return chords


def filled(level: FloatArray, width_um: float) -> FloatArray:
    """Return what part of a voxel lies inside: 0 to 1 over a ramp of ``width_um`` across the surface."""
    return np.asarray(np.clip(level * np.float32(1.0 / width_um) + np.float32(0.5), 0.0, 1.0), np.float32)


def _evans_fung(q: NDArray[np.floating]) -> NDArray[np.floating]:
    c0, c1, c2 = (np.float32(c) for c in EVANS_FUNG_UM)
    return np.asarray(np.sqrt(1.0 - q) * (c0 + q * (c1 + c2 * q)))


def _directions(count: int) -> NDArray[np.float64]:
    """Return evenly spread directions on a golden spiral, shape (count, 3)."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    angle = math.pi * (1.0 + math.sqrt(5.0)) * k
    ring = np.sqrt(1.0 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


@lru_cache(maxsize=256)
def _spicules(count: int, seed: int) -> tuple[tuple[float, float, float], ...]:
    """Return the directions of spicules: evenly spread, turned and shaken at random."""
    rng = np.random.default_rng((seed, 5))
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    shaken = _directions(count) @ turn + rng.normal(0.0, 0.35 / math.sqrt(count), (count, 3))
    shaken /= np.linalg.norm(shaken, axis=1, keepdims=True)
    return tuple((float(a), float(b), float(c)) for a, b, c in shaken)


@lru_cache(maxsize=256)
def _crenated(
    radius: float, flattening: float, spicules: int, height: float, width: float, seed: int
) -> tuple[float, float, tuple[float, float, float]]:
    directions = _directions(SPHERE_POINTS)
    cosines = directions @ np.array(_spicules(spicules, seed)).T
    surface = radius * (1.0 + height * np.exp((cosines - 1.0) / width**2).sum(axis=1))
    solid_angle = 4.0 * math.pi / SPHERE_POINTS
    volume = float((surface**3).sum() / 3.0) * solid_angle
    centre = (surface[:, None] ** 4 * directions).sum(axis=0) / 4.0 * solid_angle / volume
    middle = float(centre[0]), float(centre[1]), float(centre[2]) * flattening
    return float(surface.max()), volume * flattening, middle


__all__ = [
    "BEAD_INDEX",
    "CELL_INDEX",
    "Body",
    "BodyKind",
    "Echinocyte",
    "RedCell",
    "Sphere",
    "chord_by_samples",
    "filled",
]
