"""A small dish with cells of known path difference before a lens-free sensor, recorded by the simulator."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.lensfree import InlineOptics
from microscoped.simulators.lensfree import LensFreeOptics, ThinSpecimen, record

if TYPE_CHECKING:
    from numpy.typing import NDArray

PITCH_UM = 1.67
Z_UM = 500.0
FINENESS = 2
SHIFTS_UM = ((2.1, -1.4), (0.0, 0.0), (-1.7, 2.6))
NOISE = 0.02
"""Of the intensity, relative to the clear field: 2500 electrons."""


@dataclass(frozen=True, slots=True, eq=False)
class Dish:
    """Frames, what is true of them, and what the user knows.

    `optics` has the true distance and shifts.
    """

    frames: NDArray[np.float32]
    opd_nm: NDArray[np.float32]
    absorption: NDArray[np.float32]
    optics: InlineOptics


@functools.lru_cache(maxsize=8)
def dish(
    shape_px: tuple[int, int] = (128, 128),
    *,
    z_um: float = Z_UM,
    opd_nm: float = 90.0,
    per_mm2: float = 400.0,
    noise: float = NOISE,
    seed: int = 1,
) -> Dish:
    """Return a dish with cells of about 20 µm and grains that absorb; without any where ``per_mm2`` is 0."""
    light = LensFreeOptics(z_um=z_um, shifts_um=SHIFTS_UM, lines=3)
    guard = int(1.1 * light.reach_um(z_um) / PITCH_UM)
    rng = np.random.default_rng(seed)
    down, across = (
        ((np.arange((size + 2 * guard) * FINENESS) + 0.5) / FINENESS - 0.5 - guard) * PITCH_UM for size in shape_px
    )
    opd = np.zeros((len(down), len(across)), np.float32)
    absorption = np.zeros_like(opd)
    count = round(per_mm2 * 1e-6 * np.ptp(down) * np.ptp(across))
    for index in range(count):
        row, column = rng.uniform(down[0], down[-1]), rng.uniform(across[0], across[-1])
        turn, stretch, grain = rng.uniform(0, np.pi), rng.uniform(1.0, 2.0), index % 8 == 0
        radius, height = (2.5, 40.0) if grain else (rng.uniform(6.0, 10.0), opd_nm * rng.uniform(0.7, 1.0))
        y, x = down[:, None] - row, across[None, :] - column
        along, beside = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        body = height * np.exp(-(((along / (radius * stretch)) ** 2 + (beside / radius) ** 2) ** 2))
        opd = np.maximum(opd, body.astype(np.float32))
        if grain:
            absorption += (0.003 * body).astype(np.float32)
    intensity = record(ThinSpecimen(opd, absorption, FINENESS, guard), light, z_um)
    frames = intensity + (noise * rng.standard_normal(intensity.shape)).astype(np.float32)
    known = InlineOptics(
        z_um=z_um,
        pitch_um=PITCH_UM,
        led_um=light.led_um,
        led_distance_um=light.led_distance_um,
        bandwidths_nm=light.bandwidth_nm,
        shifts_um=SHIFTS_UM,
    )
    return Dish(frames, _on_pixels(opd, guard, shape_px), _on_pixels(absorption, guard, shape_px), known)


def _on_pixels(fine: NDArray[np.float32], guard: int, shape_px: tuple[int, int]) -> NDArray[np.float32]:
    rows, columns = shape_px
    inner = fine[guard * FINENESS :, guard * FINENESS :][: rows * FINENESS, : columns * FINENESS]
    return np.asarray(inner.reshape(rows, FINENESS, columns, FINENESS).mean(axis=(1, 3)), np.float32)


def rms(values: NDArray[np.floating]) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
