"""Optics: what follows from what is known, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from microscoped.models.hologram import HologramOptics, OpticsError, ScaleUnknownError

PAPER = HologramOptics.from_camera(camera_pixel_um=5.86, magnification=40, wavelength_um=0.666, na=0.75)


def test_the_papers_instrument() -> None:
    assert PAPER.scale_known
    assert PAPER.pixel_size_um == pytest.approx(0.1465)
    assert PAPER.band_radius == pytest.approx(0.75 * 0.1465 / 0.666)
    assert PAPER.dof(0.75 / 0.666) == pytest.approx(1.3345 * 0.666 / 0.75**2)
    assert PAPER.camera_side_um(1.0) == pytest.approx(1600 / 1.3345)


@pytest.mark.parametrize("known", [{}, {"wavelength_um": 0.666}, {"pixel_size_um": 0.1465}, {"na": 0.75}])
def test_without_wavelength_or_pixel_size_the_scale_is_unknown(known: dict[str, float]) -> None:
    optics = HologramOptics(**known)
    assert not optics.scale_known
    assert (optics.length_unit, optics.distance_unit) == ("px", "px2_per_wavelength")
    assert optics.pixel == 1.0
    with pytest.raises(ScaleUnknownError, match="camera-side"):
        optics.camera_side_um(1.0)


def test_the_unknown_scale_is_the_paraxial_limit_of_the_known_one() -> None:
    frequency = np.array([0.0, 0.01, 0.02])  # cycles per pixel, small angles
    z_um = 3.0
    known = PAPER.axial_rate((frequency / 0.1465) ** 2) * z_um
    pure = z_um * 0.666 / (1.3345 * 0.1465**2)
    assert HologramOptics().axial_rate(frequency**2) * pure == pytest.approx(known, rel=0.01)


def test_evanescent_waves_have_a_rate() -> None:
    assert np.isfinite(PAPER.axial_rate(np.array([0.0, 100.0]))).all()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"wavelength_um": 0.0}, "wavelength_um 0.0"),
        ({"wavelength_um": -0.5}, "wavelength_um -0.5"),
        ({"pixel_size_um": float("nan")}, "pixel_size_um nan"),
        ({"na": float("inf")}, "na inf"),
        ({"medium_index": 0.0}, "medium_index 0.0"),
        ({"magnification": -40.0}, "magnification -40.0"),
        ({"na": 1.4}, "na 1.4: must be below medium_index"),
    ],
)
def test_impossible_optics_are_refused_by_name(values: dict[str, float], named: str) -> None:
    with pytest.raises(OpticsError, match=named):
        HologramOptics(**values)


def test_an_impossible_camera_is_refused() -> None:
    with pytest.raises(OpticsError, match="magnification 0"):
        HologramOptics.from_camera(camera_pixel_um=5.86, magnification=0)
