from __future__ import annotations

import numpy as np
import pytest

from microscoped.simulators.holograms import (
    CropParameters,
    CropSource,
    OffAxisOptics,
    PlacedBody,
    RedCell,
    Sphere,
    thin_field,
)
from tests.simulators._hologram_reading import demodulated, flattest_um

OPTICS = OffAxisOptics()
PIXEL = 0.4166
CLEAN = CropParameters(
    neighbours=0.0, noise=(0.0, 0.0), speckle=(0.0, 0.0), parasitic=(0.0, 0.0), gain=(1.0, 1.0), tilt_per_um=0.0
)


def having(**changes: object) -> CropParameters:
    return CropParameters(**{**{name: getattr(CLEAN, name) for name in CLEAN.__slots__}, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source() -> CropSource:
    return CropSource([RedCell(), RedCell(diameter_um=8.4, tilt_rad=0.15)], OPTICS)


@pytest.fixture(scope="module")
def nothing() -> CropSource:
    return CropSource([RedCell(index=OPTICS.medium_index)], OPTICS)


def test_propagating_a_crop_by_its_label_brings_the_cell_into_focus(source: CropSource) -> None:
    crops = source.draw(np.random.default_rng(0), 12, having(z_um=(-9.0, 9.0)))
    around = np.arange(-11.0, 11.1, 0.5)
    errors = [flattest_um(v, around, PIXEL) - z for v, z in zip(crops.values, crops.z_um, strict=True)]
    assert np.abs(errors).max() < 0.4
    assert np.median(np.abs(errors)) < 0.15
    assert np.ptp(crops.z_um) > 8


def test_a_crop_is_what_a_hologram_of_the_field_holds() -> None:
    source = CropSource([RedCell()], OPTICS)
    crops = source.draw(np.random.default_rng(3), 3, having(z_um=(-6.0, 6.0)))
    for value, z, shift in zip(crops.values, crops.z_um, crops.shift_um, strict=True):
        field = thin_field([PlacedBody(RedCell(), 20.0, 20.0, float(z))], OPTICS, (280, 280))
        first = 20.0 - float(shift[0]) - 31.5 * PIXEL, 20.0 - float(shift[1]) - 31.5 * PIXEL
        expected = field.on_grid((64, 64), PIXEL, first)
        turned = value * np.exp(-1j * np.angle((value * np.conj(expected)).sum()))
        # Pixels weaken the sideband's edges, by up to a fifth.
        assert np.abs(turned - expected).std() < 0.12 * np.abs(expected - 1).std()


@pytest.mark.parametrize("noise", [0.01, 0.04])
@pytest.mark.parametrize("speckle", [0.0, 0.05])
def test_noise_and_speckle_have_their_strength(nothing: CropSource, noise: float, speckle: float) -> None:
    crops = nothing.draw(np.random.default_rng(1), 20, having(noise=(noise, noise), speckle=(speckle, speckle)))
    flat = crops.values * np.exp(-1j * np.angle(crops.values.mean(axis=(1, 2), keepdims=True)))
    assert np.sqrt((np.abs(flat - 1) ** 2).mean()) == pytest.approx(np.hypot(noise, speckle), rel=0.12)
    assert (crops.noise == np.float32(noise)).all()
    assert (crops.speckle == np.float32(speckle)).all()


def test_neighbours_stand_where_the_labels_say(source: CropSource) -> None:
    crops = source.draw(np.random.default_rng(2), 60, having(neighbours=0.5, z_um=(0.0, 0.0)))
    alone = np.isinf(crops.neighbour_um)
    assert 5 <= alone.sum() <= 28
    assert crops.neighbour_um[~alone].min() >= 10
    assert crops.neighbour_um[~alone].max() <= 25
    y, x = np.indices((64, 64)) - 31.5
    outside = np.hypot(y, x) * PIXEL > 6.5
    clear = np.median(crops.values.real, axis=(1, 2)) + 1j * np.median(crops.values.imag, axis=(1, 2))
    stray = np.abs(np.angle(crops.values * np.conj(clear)[:, None, None]))[:, outside].max(axis=1)
    near = crops.neighbour_um < 13
    assert stray[near].min() > 0.5
    assert stray[alone].max() < 0.5


def test_cells_stand_off_centre_as_labelled(source: CropSource) -> None:
    crops = source.draw(np.random.default_rng(5), 10, having(z_um=(0.0, 0.0), off_centre_um=3.0))
    y, x = (np.indices((64, 64)) - 31.5) * PIXEL
    for value, shift in zip(crops.values, crops.shift_um, strict=True):
        phase = np.angle(value * np.conj(value[:4].mean()))
        phase *= phase > 0.3
        found = (phase * y).sum() / phase.sum(), (phase * x).sum() / phase.sum()
        assert found == pytest.approx(shift, abs=0.15)
    assert np.abs(crops.shift_um).max() > 1.5


def test_a_generator_s_state_decides_what_is_drawn(source: CropSource) -> None:
    first, again, other = (source.draw(np.random.default_rng(seed), 3) for seed in (1, 1, 2))
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.z_um, other.z_um)
    assert first.values.dtype == np.complex64
    assert first.values.shape == (3, 64, 64)


def test_raw_crops_are_holograms_with_the_noise_of_their_fields(source: CropSource) -> None:
    noisy, quiet = (
        source.draw_holograms(np.random.default_rng(0), 4, 128, having(noise=(noise, noise))) for noise in (0.03, 0.0)
    )
    assert noisy.values.dtype == np.float32
    assert noisy.values.shape == (4, 128, 128)
    assert 0.8 < quiet.values.max() < 2.0
    assert np.array_equal(noisy.z_um, quiet.z_um)
    for value, clean in zip(noisy.values, quiet.values, strict=True):
        spectrum = np.abs(np.fft.fft2(clean - clean.mean()))
        row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
        frequency = np.fft.fftfreq(128, OPTICS.pixel_um)[[column, row]]
        assert 3.0 < np.hypot(*frequency) < 3.3
        carrier = float(frequency[0]), float(frequency[1])
        noise = np.abs(demodulated(value - clean, carrier)) ** 2
        assert np.sqrt(noise.mean()) / np.median(np.abs(demodulated(clean, carrier))) == pytest.approx(0.03, rel=0.2)


@pytest.mark.parametrize(
    ("bodies", "options", "says"),
    [
        ([], {}, "at least one body"),
        ([RedCell()], {"pixel_um": 0.5}, "too coarse"),
        ([RedCell()], {"size_px": 160}, "smaller than size_px"),
        ([Sphere("spherocyte", 5.9, 1.39)], {"period_px": 16, "size_px": 16}, "too small for a body"),
    ],
)
def test_impossible_sources_are_refused(bodies: list[RedCell | Sphere], options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CropSource(bodies, OPTICS, **options)  # type: ignore[arg-type]
