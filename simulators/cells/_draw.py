"""Random cells: spindles and many-cornered spread cells with lamellae, rounded cells, cells in mitosis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.cells._fit import fitted
from microscoped.simulators.cells._shape import Arm, CellShape, Ellipse, Wave

if TYPE_CHECKING:
    from microscoped.simulators.cells._fit import Targets
    from microscoped.simulators.cells._shape import CellKind

SPINDLE_FROM = 1.3
"""Length over diameter from which a spread cell is a spindle rather than many-cornered."""


def draw_spread(rng: np.random.Generator, targets: Targets) -> CellShape:
    """Return a random spread cell that measures near to the targets."""
    half = 0.5 * targets.length_um
    diameter = math.sqrt(4.0 * targets.area_um2 / math.pi)
    spindle = targets.length_um > SPINDLE_FROM * diameter
    body, arms = _spindle(rng, half, targets.area_um2) if spindle else _cornered(rng, half, targets.area_um2)
    flat = max(0.93 - targets.fullness, 0.0)
    height = targets.max_opd_nm
    lamellae = []
    # A full cell has no room for thin sheets: they would take area and bring no mass.
    if rng.uniform() < 5.0 * flat - 0.5:
        side = 1.0 if rng.uniform() < 0.5 else -1.0
        sheet = Ellipse(
            side * half * float(rng.uniform(0.35, 0.6)),
            body.half_y_um * float(rng.normal(0.0, 0.2)),
            half * float(rng.uniform(0.25, 0.4)),
            body.half_y_um * float(rng.uniform(0.8, 1.25)),
        )
        lamellae.append((sheet, max(float(rng.uniform(0.12, 0.4)) * height, 7.0)))
    size = math.sqrt(diameter / 28.0)
    nucleus = Ellipse(
        half * float(np.clip(rng.normal(0.0, 0.1), -0.3, 0.3)),
        body.half_y_um * float(np.clip(rng.normal(0.0, 0.1), -0.25, 0.25)),
        min(float(rng.uniform(6.5, 8.5)) * size, 0.75 * half),
        min(float(rng.uniform(5.0, 6.8)) * size, 0.8 * body.half_y_um),
    )
    shape = CellShape(
        kind="spread",
        body=body,
        arms=arms,
        lamellae=tuple(lamellae),
        nucleus=nucleus,
        nucleus_share=float(np.clip(flat * rng.uniform(0.5, 1.2), 0.03, 0.6)),
        height_nm=height,
        edge_um=3.0,
        waves=_waves(rng, int(rng.integers(3, 7)), (7.0, 30.0), 0.055 * min(1.0, body.half_y_um / 8.0)),
        grains=_waves(rng, 5, (4.0, 15.0), 0.0015),
        bend_per_um=float(np.clip(rng.normal(0.0, 0.16), -0.35, 0.35)) / half,
    )
    return fitted(shape, targets)


def draw_rounded(rng: np.random.Generator, targets: Targets, kind: CellKind) -> CellShape:
    """Return a random dome: a cell loosely attached, in mitosis (with its plate of chromosomes) or just divided."""
    radius = 0.5 * math.sqrt(4.0 * targets.area_um2 / math.pi)
    lamellae = []
    if kind == "round" and rng.uniform() < 0.35:
        rim = radius * float(rng.uniform(1.1, 1.3))
        lamellae.append((Ellipse(float(rng.normal(0.0, 1.0)), 0.0, rim, rim), float(rng.uniform(7.0, 15.0))))
    in_mitosis = rng.uniform() < 0.5
    nucleus = Ellipse(0.0, 0.0, 2.0, 0.6 * radius) if in_mitosis else Ellipse(0.5, 0.5, 0.55 * radius, 0.5 * radius)
    shape = CellShape(
        kind=kind,
        body=Ellipse(0.0, 0.0, radius, radius),
        lamellae=tuple(lamellae),
        nucleus=nucleus,
        nucleus_share=float(rng.uniform(0.04, 0.14)),
        height_nm=targets.max_opd_nm,
        edge_um=radius,
        dome=0.5,
        waves=_waves(rng, 4, (6.0, 16.0), 0.02),
        grains=_waves(rng, 3, (4.0, 10.0), 0.002),
    )
    return fitted(shape, targets)


def _spindle(rng: np.random.Generator, half: float, area: float) -> tuple[Ellipse, tuple[Arm, ...]]:
    half_x = half * float(rng.uniform(0.5, 0.7))
    half_y = 0.75 * area / (math.pi * half_x)
    arms = [
        Arm(
            (side * 0.35 * half_x, 0.0),
            (side * half * float(rng.uniform(0.78, 0.97)), half_y * float(rng.normal(0.0, 0.25))),
            half_y * float(rng.uniform(0.5, 0.75)),
            float(rng.uniform(1.3, 2.6)),
        )
        for side in (-1.0, 1.0)
    ]
    for _ in range(int(rng.choice(3, p=(0.5, 0.35, 0.15)))):
        angle = float(rng.uniform(0.3, 0.7)) * math.pi * (1.0 if rng.uniform() < 0.5 else -1.0)
        length = half_y * float(rng.uniform(1.2, 1.8))
        arms.append(_corner(rng, angle, length, half_y))
    return Ellipse(0.0, 0.0, half_x, half_y), tuple(arms)


def _cornered(rng: np.random.Generator, half: float, area: float) -> tuple[Ellipse, tuple[Arm, ...]]:
    half_x = 0.8 * half
    half_y = 0.8 * area / (math.pi * half_x)
    count = int(rng.integers(3, 6))
    first = float(rng.uniform(0.0, 2.0 * math.pi))
    arms = []
    for k in range(count):
        angle = first + 2.0 * math.pi * (k + float(rng.uniform(-0.3, 0.3))) / count
        away = half_x * half_y / math.hypot(half_y * math.cos(angle), half_x * math.sin(angle))
        arms.append(_corner(rng, angle, away * float(rng.uniform(1.05, 1.5)), half_y))
    return Ellipse(0.0, 0.0, half_x, half_y), tuple(arms)


def _corner(rng: np.random.Generator, angle: float, length: float, half_y: float) -> Arm:
    c, s = math.cos(angle), math.sin(angle)
    base = 0.3 * length
    return Arm(
        (base * c, base * s),
        (length * c, length * s),
        half_y * float(rng.uniform(0.3, 0.6)),
        float(rng.uniform(1.1, 2.4)),
    )


def _waves(rng: np.random.Generator, count: int, length_um: tuple[float, float], steepness: float) -> tuple[Wave, ...]:
    """Return waves whose amplitudes grow with their lengths."""
    waves = []
    for _ in range(count):
        length = float(rng.uniform(*length_um))
        k = 2.0 * math.pi / length
        angle, phase = (float(v) for v in rng.uniform(0.0, 2.0 * math.pi, 2))
        waves.append(
            Wave(k * math.cos(angle), k * math.sin(angle), phase, steepness * length * float(rng.uniform(0.3, 1.2)))
        )
    return tuple(waves)


__all__ = ["draw_rounded", "draw_spread"]
