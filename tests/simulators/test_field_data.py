"""The measured field of a live HL60 cell: where the scene says focus is, a classical search must find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.simulators.field import FieldScene
from microscoped.simulators.measured_field import MeasuredField, read_field

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.data


def cell(data: Path) -> MeasuredField:
    """Return the cell with its documented focus (nrefocus: average gradient, Helmholtz kernel, ±5 µm)."""
    values = read_field(data / "hl60-field" / "HL60_field.npz")
    return MeasuredField(values, pixel_um=0.139, wavelength_nm=647, medium_index=1.333, focus_um=-0.878, name="HL60")


def amplitude_contrast(image: NDArray[np.floating]) -> float:
    amplitude = np.sqrt(image)
    return float(amplitude.var() / amplitude.mean() ** 2)


def parabola_minimum(z_um: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    lowest = int(np.argmin(score))
    a, b, c = score[lowest - 1 : lowest + 2]
    return float(z_um[lowest] + 0.5 * (a - c) / (a - 2 * b + c) * (z_um[1] - z_um[0]))


@pytest.mark.parametrize("focus_z_um", [0.0, 12.5])
def test_amplitude_contrast_is_least_at_the_declared_focus_and_nowhere_else(data_dir: Path, focus_z_um: float) -> None:
    scene = FieldScene(cell(data_dir), focus_z_um=focus_z_um)
    z_um = scene.focus_z_um + np.arange(-10.0, 10.01, 0.5)
    score = np.array([amplitude_contrast(scene.full_model(z)) for z in z_um])
    assert parabola_minimum(z_um, score) == pytest.approx(scene.focus_z_um, abs=0.3)
    lowest = int(np.argmin(score))
    assert (np.diff(score[: lowest + 1]) < 0).all()
    assert (np.diff(score[lowest:]) > 0).all()
    assert min(score[0], score[-1]) > 3 * score[lowest]


def test_noisy_frames_show_the_same_focus(data_dir: Path) -> None:
    scene = FieldScene(cell(data_dir))
    z_um = np.arange(-5.0, 5.01, 0.5)
    score = np.array([amplitude_contrast(scene.expose(z, 10.0, shot).astype(float)) for shot, z in enumerate(z_um)])
    assert parabola_minimum(z_um, score) == pytest.approx(scene.focus_z_um, abs=0.3)


def test_the_cell_stands_in_a_clear_field_without_a_seam(data_dir: Path) -> None:
    scene = FieldScene(cell(data_dir), frame_shape=(320, 320))
    for z_um in (-15.0, -5.0, 0.0, 15.0):
        image = scene.full_model(z_um)
        edge = np.ones(image.shape, bool)
        edge[55:-55, 55:-55] = False
        assert np.abs(image[edge] - 1.0).max() < 0.02
        assert np.abs(image - 1.0).max() > 0.2
