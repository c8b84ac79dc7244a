"""What the network reads: independent of the background's phase, of the frame's sampling, and of nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.hologram import Cell, Field, HologramOptics
from microscoped.models.hologram.inputs import CHANNELS, CROP, SAMPLING, cell_inputs, crop_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTICS = HologramOptics(0.666, 0.1465, 0.75)
RADIUS = 0.75 / 0.666


def cell_field(pixel: float, side: int, row_um: float, column_um: float) -> Field:
    """Return a smooth cell, sampled at will: well inside the band."""
    place = np.arange(side) * pixel
    away = ((place - row_um) ** 2)[:, None] + ((place - column_um) ** 2)[None, :]
    values = (1 - 0.2 * np.exp(-away / 8.0)) * np.exp(1.2j * np.exp(-away / 18.0))
    return Field(values.astype(np.complex64), (pixel, pixel), RADIUS, OPTICS)


def inputs_at(pixel: float, side: int) -> NDArray[np.float32]:
    field = cell_field(pixel, side, 20.0, 22.0)
    return cell_inputs(field, [Cell(20.0 / pixel, 22.0 / pixel, (0, 0, 1, 1), 1.0, False)])[0]


def test_an_empty_place_is_all_zero() -> None:
    made = crop_inputs(np.ones((2, CROP, CROP), np.complex64))
    assert made.shape == (2, len(CHANNELS), CROP, CROP)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, 0.0, atol=1e-6)


@pytest.mark.parametrize("turn", [0.3, 2.0, -3.1])
def test_a_phase_of_the_background_does_not_change_them(turn: float) -> None:
    values = cell_field(1 / (RADIUS * SAMPLING), CROP, 13.0, 13.0).values[None]
    np.testing.assert_allclose(crop_inputs(values * np.complex64(np.exp(1j * turn))), crop_inputs(values), atol=1e-5)


def test_a_gain_does_change_them_because_focus_has_no_contrast_to_be_scaled_by() -> None:
    values = cell_field(1 / (RADIUS * SAMPLING), CROP, 13.0, 13.0).values[None]
    assert np.abs(crop_inputs(values * np.float32(1.1)) - crop_inputs(values)).max() > 0.05


@pytest.mark.parametrize("finer", [1.3, 1.7, 0.95])
def test_another_sampling_is_brought_to_the_networks(finer: float) -> None:
    pixel = 1 / (RADIUS * SAMPLING)
    usual = inputs_at(pixel, 110)
    # The same place falls on another fraction of a sample: compare what a shift by less than a sample cannot change.
    other = inputs_at(pixel / finer, round(110 * finer))
    assert other.shape == usual.shape
    np.testing.assert_allclose(other.sum(axis=(2, 3)), usual.sum(axis=(2, 3)), rtol=0.02, atol=0.6)
    assert np.abs(other - usual).max() < 0.15


@pytest.mark.parametrize(("finer", "exact"), [(1.0, False), (0.98, False), (1.02, False), (1.5, True)])
def test_the_unit_of_distances_follows_the_sampling(finer: float, exact: bool) -> None:
    """What a crop looks like depends on z·λ/(n·pixel²) alone."""
    field = cell_field(1 / (RADIUS * SAMPLING * finer), 110, 20.0, 22.0)
    _, scale = cell_inputs(field, [Cell(50.0, 50.0, (0, 0, 1, 1), 1.0, False)])
    assert scale == pytest.approx(1.0 if exact else finer**-2, rel=0.01 if exact else 1e-6)


def test_crops_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="64 × 64"):
        crop_inputs(np.ones((1, 48, 48), np.complex64))
