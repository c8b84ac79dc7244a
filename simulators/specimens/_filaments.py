"""Stained filaments: hyphae, axons or fibres that cross each other at different depths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microscoped.simulators.specimens._maps import (
    Specimen,
    layer_depths,
    layer_shares,
    noise_map,
    smooth_step,
    window,
)
from microscoped.simulators.specimens._stains import EOSIN, HAEMATOXYLIN, Absorbance, draw_dyes


@dataclass(frozen=True, slots=True)
class FilamentParameters:
    """What a net of filaments looks like.

    Parameters
    ----------
    filaments_per_mm2
        Density of filaments.
    length_um, width_um
        Mean length and width.
    bend_per_um
        How fast a filament changes its direction, standard deviation in radians per square root of a micrometre.
    height_um, n_layers
        Height over which filaments lie, and layers that it is divided into.
    od
        Optical density of a filament at an absorbance of 1.
    opd_per_od_um
        Optical path difference per optical density.
    absorbance
        Of the two dyes, each taken by a part of the filaments, in red, green and blue.
    """

    filaments_per_mm2: float = 1500.0
    length_um: float = 60.0
    width_um: float = 1.5
    bend_per_um: float = 0.08
    height_um: float = 2.0
    n_layers: int = 3
    od: float = 0.4
    opd_per_od_um: float = 0.08
    absorbance: tuple[Absorbance, Absorbance] = (HAEMATOXYLIN, EOSIN)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> FilamentParameters:
        """Return random parameters: sparse and dense, straight and winding."""
        height = float(rng.uniform(0.8, 4.0))
        absorbance = draw_dyes(rng)
        return cls(
            filaments_per_mm2=float(rng.uniform(400.0, 3000.0)),
            length_um=float(rng.uniform(20.0, 100.0)),
            width_um=float(rng.uniform(0.8, 3.0)),
            bend_per_um=float(rng.uniform(0.02, 0.15)),
            height_um=height,
            n_layers=int(np.clip(round(height / 0.8), 1, 5)),
            od=float(rng.uniform(0.2, 0.8)),
            opd_per_od_um=float(rng.uniform(0.0, 0.12)),
            absorbance=absorbance,
        )


def stained_filaments(parameters: FilamentParameters, shape: tuple[int, int], pixel_um: float, seed: int) -> Specimen:
    """Make a net of filaments, periodic in both directions.

    Each filament is a random walk of short steps; every step stamps a soft disc, and the darkest stamp counts.

    Parameters
    ----------
    parameters
        What it looks like.
    shape, pixel_um
        Grid.
    seed
        Which of all nets of this kind.
    """
    p = parameters
    rng = np.random.default_rng(seed)
    depths = layer_depths(p.height_um, p.n_layers)
    density = np.zeros((2, p.n_layers, *shape), np.float32)
    area_mm2 = shape[0] * shape[1] * pixel_um**2 * 1e-6
    for _ in range(max(1, rng.poisson(p.filaments_per_mm2 * area_mm2))):
        width = p.width_um * float(rng.uniform(0.7, 1.4))
        step_um = 0.35 * width
        steps = max(2, int(rng.exponential(p.length_um) / step_um))
        turns = np.cumsum(rng.normal(0.0, p.bend_per_um * np.sqrt(step_um), steps)) + rng.uniform(0.0, 2.0 * np.pi)
        rows = rng.uniform(0, shape[0]) + np.cumsum(np.sin(turns)) * step_um / pixel_um
        columns = rng.uniform(0, shape[1]) + np.cumsum(np.cos(turns)) * step_um / pixel_um
        dye = int(rng.integers(2))
        shares = layer_shares(float(rng.uniform(-0.35, 0.35)) * p.height_um, min(width, 0.5 * p.height_um), depths)
        strength = np.float32(p.od * float(rng.uniform(0.6, 1.4)))
        for row, column in zip(rows, columns, strict=True):
            index, dx, dy = window((float(row), float(column)), 0.5 * width / pixel_um + 2, shape)
            away = np.hypot(dx, dy) * np.float32(2.0 * pixel_um / width)
            stamp = strength * smooth_step((1.0 - away) / np.float32(0.35))
            for layer, share in enumerate(shares):
                if share > 0:
                    density[dye, layer][index] = np.maximum(density[dye, layer][index], stamp * share)
    density *= np.clip(1.0 + 0.3 * noise_map(rng, shape, pixel_um, 1.5, slope=1.8, finest_um=0.2), 0.2, 2.0)
    opd = density.sum(axis=0) * np.float32(p.opd_per_od_um)
    return Specimen(density, np.array(p.absorbance), opd, depths, medium_index=1.5, pixel_um=pixel_um)
