"""A stained tissue section: nuclei in one dye, cytoplasm and fibres in another, with clear gaps."""

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
class TissueParameters:
    """What a section looks like.

    Parameters
    ----------
    thickness_um
        Thickness of the section.
    n_layers
        Layers that it is divided into.
    tilt_um, tilt_angle_rad
        Depth difference across the field, and its direction.
    nuclei_per_mm2
        Density of nuclei.
    nucleus_radius_um
        Mean radius of a nucleus.
    nuclear_od, cytoplasm_od
        Typical optical densities at an absorbance of 1.
    clear_fraction
        Part of the field without tissue.
    gap_um
        Typical size of gaps.
    fibre_stretch, fibre_angle_rad
        How elongated the cytoplasm's texture is, and along which direction.
    opd_per_od_um
        Optical path difference per optical density: how much the section also refracts.
    absorbance
        Of the nuclear and of the cytoplasmic dye, in red, green and blue.
    """

    thickness_um: float = 3.0
    n_layers: int = 5
    tilt_um: float = 0.3
    tilt_angle_rad: float = 0.7
    nuclei_per_mm2: float = 7000.0
    nucleus_radius_um: float = 3.2
    nuclear_od: float = 0.55
    cytoplasm_od: float = 0.25
    clear_fraction: float = 0.15
    gap_um: float = 25.0
    fibre_stretch: float = 2.0
    fibre_angle_rad: float = 0.4
    opd_per_od_um: float = 0.04
    absorbance: tuple[Absorbance, Absorbance] = (HAEMATOXYLIN, EOSIN)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> TissueParameters:
        """Return random parameters: the variety of sections, stains and laboratories."""
        thickness = float(rng.uniform(1.0, 5.0))
        absorbance = draw_dyes(rng)
        scale = float(rng.uniform(0.4, 1.4))
        return cls(
            thickness_um=thickness,
            n_layers=int(np.clip(round(thickness / 0.8), 3, 7)),
            tilt_um=float(rng.uniform(0.0, 1.0)),
            tilt_angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
            nuclei_per_mm2=float(rng.uniform(1500.0, 9000.0)),
            nucleus_radius_um=float(rng.uniform(2.2, 4.5)),
            nuclear_od=0.55 * scale,
            cytoplasm_od=0.25 * scale * float(rng.uniform(0.6, 1.4)),
            clear_fraction=float(rng.uniform(0.0, 0.4)),
            gap_um=float(rng.uniform(8.0, 40.0)),
            fibre_stretch=float(rng.uniform(1.0, 5.0)),
            fibre_angle_rad=float(rng.uniform(0.0, np.pi)),
            opd_per_od_um=float(rng.uniform(0.0, 0.08)),
            absorbance=absorbance,
        )


def tissue_section(parameters: TissueParameters, shape: tuple[int, int], pixel_um: float, seed: int) -> Specimen:
    """Make a section, periodic in both directions (only the tilt is not: its step lies on the border).

    Parameters
    ----------
    parameters
        What it looks like.
    shape, pixel_um
        Grid.
    seed
        Which of all sections of this kind.
    """
    p = parameters
    rng = np.random.default_rng(seed)
    depths = layer_depths(p.thickness_um + p.tilt_um, p.n_layers)
    y = (np.arange(shape[0], dtype=np.float32) / shape[0] - 0.5)[:, None]
    x = (np.arange(shape[1], dtype=np.float32) / shape[1] - 0.5)[None, :]
    slope_x, slope_y = np.cos(p.tilt_angle_rad), np.sin(p.tilt_angle_rad)
    span = abs(slope_x) + abs(slope_y)
    tilt = (np.float32(p.tilt_um / span) * (np.float32(slope_x) * x + np.float32(slope_y) * y)).astype(np.float32)

    gaps = noise_map(rng, shape, pixel_um, p.gap_um, slope=3.0)
    if p.clear_fraction > 0:
        present = smooth_step((gaps - np.float32(np.quantile(gaps[::4, ::4], p.clear_fraction))) * np.float32(12.0))
    else:
        present = np.ones(shape, np.float32)
    coarse = noise_map(
        rng, shape, pixel_um, 6.0, slope=1.6, finest_um=0.25, stretch=p.fibre_stretch, angle_rad=p.fibre_angle_rad
    )
    texture = np.clip(1.0 + 0.45 * coarse, 0.05, 3.0)
    cytoplasm = np.float32(p.cytoplasm_od) * present * texture
    # The tissue fills the whole thickness, but not evenly: a slow map moves its middle up and down.
    wander = noise_map(rng, shape, pixel_um, 8.0, slope=3.0) * np.float32(p.thickness_um / 10.0)
    shares = layer_shares(tilt + np.clip(wander, -p.thickness_um / 5, p.thickness_um / 5), p.thickness_um * 0.6, depths)
    density = np.zeros((2, p.n_layers, *shape), np.float32)
    density[1] = shares * cytoplasm

    chromatin = np.clip(1.0 + 0.5 * noise_map(rng, shape, pixel_um, 1.0, slope=1.8, finest_um=0.2), 0.1, 3.0)
    area_mm2 = shape[0] * shape[1] * pixel_um**2 * 1e-6
    for _ in range(rng.poisson(p.nuclei_per_mm2 * area_mm2)):
        centre = (float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1])))
        radius = p.nucleus_radius_um * float(np.clip(rng.normal(1.0, 0.2), 0.5, 1.8))
        stretch, angle = float(rng.uniform(1.0, 1.7)), float(rng.uniform(0.0, np.pi))
        od = p.nuclear_od * float(rng.uniform(0.6, 1.4))
        depth = float(rng.uniform(-0.35, 0.35)) * p.thickness_um
        row, column = int(centre[0]) % shape[0], int(centre[1]) % shape[1]
        if present[row, column] < 0.5:
            continue
        index, dx, dy = window(centre, radius * stretch / pixel_um + 2, shape)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along = (dx * cos + dy * sin) / np.float32(stretch)
        distance = np.hypot(along, dy * cos - dx * sin) * np.float32(pixel_um)
        inside = smooth_step((np.float32(radius) - distance) / np.float32(0.25))
        rim = 1.0 + 0.4 * np.exp(-(((distance - np.float32(radius - 0.4)) / np.float32(0.35)) ** 2))
        body = np.float32(od) * inside * rim * chromatin[index]
        height = float(np.clip(radius, 0.4, 0.5 * p.thickness_um))
        for layer, share in enumerate(layer_shares(float(tilt[row, column]) + depth, height, depths)):
            if share > 0:
                density[0, layer][index] += body * share
    opd = density.sum(axis=0) * np.float32(p.opd_per_od_um)
    return Specimen(density, np.array(p.absorbance), opd, depths, medium_index=1.5, pixel_um=pixel_um)
