"""A stained smear: single cells on glass, most of them thin discs, some with a dark nucleus."""

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
class SmearParameters:
    """What a smear looks like.

    Parameters
    ----------
    cells_per_mm2
        Density of cells.
    radius_um
        Mean radius of a cell.
    height_um, n_layers
        Height over which cells lie, and layers that it is divided into.
    dimple
        How much thinner a disc is in its middle, 0 … 1.
    nucleated_fraction
        Part of the cells that have a nucleus.
    body_od, nucleus_od
        Typical optical densities at an absorbance of 1.
    opd_per_od_um
        Optical path difference per optical density.
    absorbance
        Of the nuclear dye and of that of the bodies, in red, green and blue.
    """

    cells_per_mm2: float = 6000.0
    radius_um: float = 3.8
    height_um: float = 1.0
    n_layers: int = 2
    dimple: float = 0.5
    nucleated_fraction: float = 0.1
    body_od: float = 0.3
    nucleus_od: float = 0.6
    opd_per_od_um: float = 0.08
    absorbance: tuple[Absorbance, Absorbance] = (HAEMATOXYLIN, EOSIN)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> SmearParameters:
        """Return random parameters: thick and thin smears, blood and cytology, weak and strong stains."""
        height = float(rng.uniform(0.5, 2.5))
        absorbance = draw_dyes(rng)
        scale = float(rng.uniform(0.4, 1.4))
        return cls(
            cells_per_mm2=float(rng.uniform(1500.0, 9000.0)),
            radius_um=float(rng.uniform(2.5, 7.0)),
            height_um=height,
            n_layers=int(np.clip(round(height / 0.8), 1, 3)),
            dimple=float(rng.uniform(0.0, 0.8)),
            nucleated_fraction=float(rng.uniform(0.0, 0.8)),
            body_od=0.3 * scale,
            nucleus_od=0.6 * scale * float(rng.uniform(0.6, 1.4)),
            opd_per_od_um=float(rng.uniform(0.0, 0.12)),
            absorbance=absorbance,
        )


def stained_smear(parameters: SmearParameters, shape: tuple[int, int], pixel_um: float, seed: int) -> Specimen:
    """Make a smear, periodic in both directions.

    Parameters
    ----------
    parameters
        What it looks like.
    shape, pixel_um
        Grid.
    seed
        Which of all smears of this kind.
    """
    p = parameters
    rng = np.random.default_rng(seed)
    depths = layer_depths(p.height_um, p.n_layers)
    density = np.zeros((2, p.n_layers, *shape), np.float32)
    texture = np.clip(1.0 + 0.2 * noise_map(rng, shape, pixel_um, 1.2, slope=1.8, finest_um=0.2), 0.2, 2.0)
    area_mm2 = shape[0] * shape[1] * pixel_um**2 * 1e-6
    for _ in range(max(1, rng.poisson(p.cells_per_mm2 * area_mm2))):
        centre = (float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1])))
        radius = p.radius_um * float(np.clip(rng.normal(1.0, 0.12), 0.6, 1.5))
        stretch, angle = float(rng.uniform(1.0, 1.25)), float(rng.uniform(0.0, np.pi))
        index, dx, dy = window(centre, 1.3 * radius * stretch / pixel_um + 2, shape)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = (dx * cos + dy * sin) / np.float32(stretch), dy * cos - dx * sin
        distance = np.hypot(along, across) * np.float32(pixel_um / radius)
        edge = smooth_step((1.0 - distance) / np.float32(0.15 / radius + 0.03))
        body = edge * (1.0 - np.float32(p.dimple) * np.exp(-((distance / np.float32(0.45)) ** 2)))
        shares = layer_shares(float(rng.uniform(-0.3, 0.3)) * p.height_um, 0.6 * p.height_um, depths)
        strength = np.float32(p.body_od * float(rng.uniform(0.7, 1.3)))
        for layer, share in enumerate(shares):
            if share > 0:
                density[1, layer][index] += strength * body * texture[index] * share
        if rng.uniform() < p.nucleated_fraction:
            shift = rng.uniform(-0.2, 0.2, 2).astype(np.float32) * np.float32(radius / pixel_um)
            away = np.hypot(along - shift[0], across - shift[1]) * np.float32(pixel_um / radius)
            size = float(rng.uniform(0.35, 0.7))
            nucleus = smooth_step((np.float32(size) - away) / np.float32(0.1 / radius + 0.03)) * edge
            for layer, share in enumerate(shares):
                if share > 0:
                    density[0, layer][index] += np.float32(p.nucleus_od) * nucleus * texture[index] * share
    opd = density.sum(axis=0) * np.float32(p.opd_per_od_um)
    return Specimen(density, np.array(p.absorbance), opd, depths, medium_index=1.5, pixel_um=pixel_um)
