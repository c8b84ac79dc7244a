"""Radial spectra: known images give known numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from microscoped.models.focus_pair.preprocess import TILE, WORKING_SAMPLING
from microscoped.models.focus_pair.spectra import BANDS, LOG_CENTRE, LOG_SCALE, WIDTH, band_edges, pair_spectra

SIDE = TILE * WORKING_SAMPLING
FREQUENCIES = band_edges(SIDE)


def read(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return powers and coherence of the tile in the corner, each of shape (3, bands)."""
    told = pair_spectra(first.astype(np.float32), second.astype(np.float32), [(0, 0)])
    assert told.shape == (1, WIDTH)
    assert told.dtype == np.float32
    a, b, shared = told.reshape(3, 3, BANDS)
    return np.exp(a * LOG_SCALE + LOG_CENTRE), np.exp(b * LOG_SCALE + LOG_CENTRE), shared


def noise(seed: int, channels: int = 1, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, side, side))


def test_white_noise_has_the_power_of_its_variance_in_every_band() -> None:
    first, second, shared = read(100.0 * (1 + 0.1 * noise(0)), 100.0 * (1 + 0.02 * noise(1)))
    wide = slice(12, None)  # the lowest bands hold few frequencies
    assert np.allclose(first[:, wide], 0.1**2, rtol=0.35)
    assert np.allclose(second[:, wide], 0.02**2, rtol=0.35)
    assert np.abs(shared[:, wide]).max() < 0.3


def test_a_wave_stands_in_its_band() -> None:
    frequency = 0.1
    wave = 1.0 + 0.1 * np.cos(2 * np.pi * frequency * np.arange(SIDE))[None, None, :] * np.ones((1, SIDE, 1))
    first, _, _ = read(wave, wave)
    assert int(np.argmax(first[0])) == int(np.digitize(frequency, FREQUENCIES)) - 1


def test_the_ratio_of_powers_is_that_of_the_transfer_functions() -> None:
    scene = noise(2)
    blurs = (1.0, 2.0)
    images = [1.0 + 0.2 * ndimage.gaussian_filter(scene, (0, blur, blur), mode="wrap") for blur in blurs]
    first, second, shared = read(*images)
    centres = np.sqrt(FREQUENCIES[:-1] * FREQUENCIES[1:])
    expected = -4 * np.pi**2 * centres**2 * (blurs[1] ** 2 - blurs[0] ** 2)
    told = np.log(second / first)[0]
    used = (centres > 0.02) & (centres < 0.12)
    assert np.allclose(told[used], expected[used], atol=0.25)
    assert shared[:, used].min() > 0.95


@pytest.mark.parametrize(("factor", "coherence"), [(1.0, 1.0), (-1.0, -1.0), (-0.3, -1.0)])
def test_reversed_contrast_has_a_coherence_of_minus_one(factor: float, coherence: float) -> None:
    scene = ndimage.gaussian_filter(noise(3), (0, 2, 2), mode="wrap")
    _, _, shared = read(1.0 + 0.1 * scene, 1.0 + 0.1 * factor * scene)
    assert np.allclose(shared[:, :12], coherence, atol=0.05)


def test_gain_does_not_show() -> None:
    pair = [1.0 + 0.1 * noise(4), 1.0 + 0.1 * noise(5)]
    plain = pair_spectra(*(image.astype(np.float32) for image in pair), [(0, 0)])
    scaled = pair_spectra(
        *(np.float32(gain) * image.astype(np.float32) for image, gain in zip(pair, (7, 9), strict=True)), [(0, 0)]
    )
    assert np.allclose(plain, scaled, atol=1e-3)


def test_an_image_without_contrast_gives_finite_numbers() -> None:
    flat = np.ones((1, SIDE, SIDE))
    for image in (flat, 0 * flat):
        told = pair_spectra(image.astype(np.float32), image.astype(np.float32), [(0, 0)])
        assert np.isfinite(told).all()
        assert np.allclose(told.reshape(3, -1)[2], 0.0, atol=1e-3)


def test_monochrome_fills_all_colours_and_colours_stay_apart() -> None:
    first, _, _ = read(1.0 + 0.1 * noise(6), 1.0 + 0.1 * noise(7))
    assert np.array_equal(first[0], first[1])
    coloured = 1.0 + np.array([0.2, 0.1, 0.05])[:, None, None] * noise(8, 3)
    red, green, blue = read(coloured, coloured)[0]
    assert red[20] > 2 * green[20] > 4 * blue[20]


def test_a_tile_is_read_where_it_lies() -> None:
    scene = (1.0 + 0.1 * noise(9, side=SIDE + 64)).astype(np.float32)
    corner = (11, 30)
    cut = np.ascontiguousarray(scene[:, 22 : 22 + SIDE, 60 : 60 + SIDE])
    assert np.array_equal(pair_spectra(scene, scene, [(0, 0), corner])[1], pair_spectra(cut, cut, [(0, 0)])[0])
