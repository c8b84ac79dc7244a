"""The regions of parameters that training never sees, read from ``splits.yaml``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StainRegion:
    """Stains within an angle of one of some directions in optical-density space.

    Parameters
    ----------
    within_deg
        Half the opening of each cone.
    vectors
        Directions by name, in red, green and blue.
    """

    within_deg: float
    vectors: tuple[tuple[str, tuple[float, float, float]], ...]

    def holds(self, absorbance: Sequence[float]) -> bool:
        """Tell whether a dye lies in the region."""
        return any(angle_deg(absorbance, vector) <= self.within_deg for _, vector in self.vectors)

    def draw(self, name: str, rng: np.random.Generator) -> tuple[float, float, float]:
        """Return a random direction inside the cone of ``name``, uniform over its solid angle and not negative."""
        axis = unit(dict(self.vectors)[name])
        while True:
            cosine = rng.uniform(np.cos(np.deg2rad(self.within_deg)), 1.0)
            sideways = rng.standard_normal(3)
            sideways -= sideways @ axis * axis
            dye = cosine * axis + np.sqrt(1.0 - cosine**2) * unit(sideways)
            if dye.min() >= 0:
                return (float(dye[0]), float(dye[1]), float(dye[2]))


@dataclass(frozen=True, slots=True)
class OpticsRegion:
    """Optics, specimens and noise that are kept for evaluation."""

    na_below: float
    na_above: float
    spherical_waves_above: float
    coherence: tuple[float, float]
    image_formation: tuple[str, ...]
    families: tuple[str, ...]
    noise: tuple[str, ...]

    def holds_coherence(self, coherence: float) -> bool:
        """Tell whether a coherence (NA of condenser over NA of objective) lies in the region."""
        return self.coherence[0] <= coherence <= self.coherence[1]


@dataclass(frozen=True, slots=True)
class Regions:
    """All regions that training never sees."""

    stains: dict[str, StainRegion]
    optics: OpticsRegion

    def stain_region(self, absorbance: Sequence[float]) -> str | None:
        """Return the name of the first region that holds a dye."""
        return next((name for name, region in self.stains.items() if region.holds(absorbance)), None)


def unit(vector: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a vector of length 1."""
    values = np.asarray(vector, float)
    return np.asarray(values / np.linalg.norm(values))


def angle_deg(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the angle between two directions."""
    return float(np.rad2deg(np.arccos(np.clip(unit(first) @ unit(second), -1.0, 1.0))))


@functools.cache
def regions() -> Regions:
    """Return the regions of ``splits.yaml``."""
    text = (resources.files(__package__ or "") / "splits.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    stains = {
        name: StainRegion(
            float(region["within_deg"]),
            tuple((dye, (float(v[0]), float(v[1]), float(v[2]))) for dye, v in region["vectors"].items()),
        )
        for name, region in data["stains"].items()
    }
    e2 = data["optics"]["E2"]
    optics = OpticsRegion(
        na_below=float(e2["na_below"]),
        na_above=float(e2["na_above"]),
        spherical_waves_above=float(e2["spherical_waves_above"]),
        coherence=(float(e2["coherence"][0]), float(e2["coherence"][1])),
        image_formation=tuple(e2["image_formation"]),
        families=tuple(e2["families"]),
        noise=tuple(e2["noise"]),
    )
    return Regions(stains, optics)


__all__ = ["OpticsRegion", "Regions", "StainRegion", "angle_deg", "regions", "unit"]
