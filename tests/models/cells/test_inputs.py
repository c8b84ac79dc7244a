"""What the networks see: the unit, other pixel sizes, and images that they cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from microscoped.models.cells import MapError, ScaleError
from microscoped.models.cells.inputs import PIXEL_UM, UNIT_NM, network_image


def _hill(pixel_um: float, side_um: float = 200.0) -> np.ndarray:
    place = (np.arange(round(side_um / pixel_um)) + 0.5) * pixel_um - 0.5 * side_um
    return np.asarray(100.0 * np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 10.0**2)), np.float32)


def test_an_image_of_the_networks_scale_is_only_brought_to_its_unit() -> None:
    image = np.linspace(-50.0, 150.0, 12, dtype=np.float32).reshape(3, 4)
    seen, pixel_um = network_image(image, PIXEL_UM)
    np.testing.assert_allclose(seen, image / UNIT_NM, rtol=1e-6)
    assert pixel_um == PIXEL_UM


@pytest.mark.parametrize("pixel_um", [0.2, 0.417, 0.835, 1.0, 1.67, 2.4, 3.34])
def test_what_a_cell_weighs_does_not_hang_on_the_cameras_pixels(pixel_um: float) -> None:
    image = _hill(pixel_um)
    seen, seen_um = network_image(image, pixel_um)
    assert seen_um == pytest.approx(PIXEL_UM, rel=0.02)
    before, after = image.sum() * pixel_um**2, seen.sum() * UNIT_NM * seen_um**2
    assert after == pytest.approx(before, rel=0.01)
    top = np.unravel_index(seen.argmax(), seen.shape)
    assert np.allclose((np.array(top) + 0.5) * seen_um, 100.0, atol=2.0)


def test_noise_of_finer_pixels_is_averaged() -> None:
    noise = np.random.default_rng(0).normal(0.0, 30.0, (800, 800)).astype(np.float32)
    seen, _ = network_image(noise, PIXEL_UM / 4)
    assert seen.std() * UNIT_NM < 30.0 / 3


@pytest.mark.parametrize(
    ("image", "pixel_um", "error", "message"),
    [
        (np.zeros((2, 3, 3), np.float32), 1.67, MapError, r"shape \(2, 3, 3\); must be \(rows, columns\)"),
        (np.zeros(5, np.float32), 1.67, MapError, r"shape \(5,\)"),
        (np.zeros((0, 4), np.float32), 1.67, MapError, r"shape \(0, 4\)"),
        (np.array([[1.0, np.nan]]), 1.67, MapError, "not finite; leave out what could not be reconstructed"),
        (np.zeros((4, 4), np.float32), 0.0, ScaleError, "pixel_um 0.0"),
        (np.zeros((4, 4), np.float32), -1.0, ScaleError, "pixel_um -1.0"),
        (np.zeros((4, 4), np.float32), np.nan, ScaleError, "pixel_um nan"),
        (np.zeros((4, 4), np.float32), 6.0, ScaleError, "measured at 0.05 … 5.0 µm per pixel"),
        (np.zeros((4, 4), np.float32), 0.01, ScaleError, "measured at 0.05 … 5.0 µm per pixel"),
    ],
)
def test_what_the_networks_cannot_see_is_refused(
    image: np.ndarray, pixel_um: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        network_image(image, pixel_um)
