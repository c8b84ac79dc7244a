"""Unstained adherent cells: they refract and hardly absorb, so in focus they nearly vanish."""

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


@dataclass(frozen=True, slots=True)
class CellParameters:
    """What unstained cells look like.

    Parameters
    ----------
    cells_per_mm2
        Density of cells.
    radius_um
        Mean radius of a cell.
    height_um
        Height over which a cell's matter is spread.
    n_layers
        Layers that the height is divided into.
    opd_um
        Optical path difference in the middle of a cell.
    granules_per_cell, granule_opd_um, granule_radius_um
        Organelles: mean number, and optical path difference and radius of each.
    absorption_od
        Optical density of the middle of a cell: weak.
    """

    cells_per_mm2: float = 1500.0
    radius_um: float = 8.0
    height_um: float = 1.5
    n_layers: int = 3
    opd_um: float = 0.12
    granules_per_cell: float = 40.0
    granule_opd_um: float = 0.03
    granule_radius_um: float = 0.45
    absorption_od: float = 0.004

    @classmethod
    def draw(cls, rng: np.random.Generator) -> CellParameters:
        """Return random parameters: cell types, confluence and spreading."""
        height = float(rng.uniform(0.8, 3.0))
        return cls(
            cells_per_mm2=float(rng.uniform(400.0, 3000.0)),
            radius_um=float(rng.uniform(5.0, 11.0)),
            height_um=height,
            n_layers=int(np.clip(round(height / 0.6), 1, 5)),
            opd_um=float(rng.uniform(0.05, 0.25)),
            granules_per_cell=float(rng.uniform(10.0, 80.0)),
            granule_opd_um=float(rng.uniform(0.01, 0.05)),
            granule_radius_um=float(rng.uniform(0.3, 0.7)),
            absorption_od=float(rng.uniform(0.0, 0.01)),
        )


def unstained_cells(parameters: CellParameters, shape: tuple[int, int], pixel_um: float, seed: int) -> Specimen:
    """Make a field of cells, periodic in both directions.

    Parameters
    ----------
    parameters
        What they look like.
    shape, pixel_um
        Grid.
    seed
        Which of all fields of this kind.
    """
    p = parameters
    rng = np.random.default_rng(seed)
    depths = layer_depths(p.height_um, p.n_layers)
    body = np.zeros(shape, np.float32)
    opd = np.zeros((p.n_layers, *shape), np.float32)
    area_mm2 = shape[0] * shape[1] * pixel_um**2 * 1e-6
    for _ in range(max(1, rng.poisson(p.cells_per_mm2 * area_mm2))):
        centre = (float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1])))
        radius = p.radius_um * float(np.clip(rng.normal(1.0, 0.2), 0.5, 1.6))
        lobes = rng.normal(0.0, 0.12, 4)
        turns = rng.uniform(0.0, 2.0 * np.pi, 4)
        index, dx, dy = window(centre, 1.6 * radius / pixel_um, shape)
        angle = np.arctan2(dy, dx)
        outline = np.float32(radius) * (
            1.0
            + sum(
                np.float32(a) * np.cos((k + 2) * angle + np.float32(t))
                for k, (a, t) in enumerate(zip(lobes, turns, strict=True))
            )
        )
        from_centre = np.hypot(dx, dy) * np.float32(pixel_um)
        distance = np.asarray(from_centre / np.maximum(outline, np.float32(0.3 * radius)), np.float32)
        dome = np.clip(1.0 - distance**2, 0.0, None) ** np.float32(0.75)
        nucleus = 0.35 * smooth_step((np.float32(0.42) - distance) / np.float32(0.08))
        body[index] = np.maximum(body[index], dome.astype(np.float32) + nucleus * (distance < 1))
        for _ in range(rng.poisson(p.granules_per_cell)):
            away, turn = radius * 0.85 * float(np.sqrt(rng.uniform())), float(rng.uniform(0.0, 2.0 * np.pi))
            place = (centre[0] + away * np.sin(turn) / pixel_um, centre[1] + away * np.cos(turn) / pixel_um)
            size = p.granule_radius_um * float(rng.uniform(0.6, 1.5))
            near, gx, gy = window(place, 3.0 * size / pixel_um, shape)
            spot = np.exp(-(gx * gx + gy * gy) * np.float32((pixel_um / size) ** 2))
            opd[int(rng.integers(p.n_layers))][near] += np.float32(p.granule_opd_um) * spot
    texture = 1.0 + 0.08 * noise_map(rng, shape, pixel_um, 2.0, slope=2.0, finest_um=0.2)
    shares = layer_shares(0.0, p.height_um, depths)[:, None, None]
    opd += shares * (np.float32(p.opd_um) * body * texture)
    density = (shares * (np.float32(p.absorption_od) * body))[None].astype(np.float32)
    return Specimen(density, np.ones((1, 3)), opd, depths, medium_index=1.335, pixel_um=pixel_um)
