"""From two frames to the network's inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from microscoped.models.focus_pair.preprocess import (
    DEVIATION_FLOOR,
    TILE,
    area_weights,
    contrast_ratio,
    extended,
    halve,
    median3,
    network_input,
    normalise,
    pair_planes,
    resample,
    tile_corners,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 120), st.integers(3, 20))
def test_the_median_is_that_of_scipy(seed: int, rows: int, columns: int) -> None:
    image = np.random.default_rng(seed).integers(0, 9, (2, rows, columns)).astype(np.float32)
    expected = np.stack([ndimage.median_filter(channel, 3, mode="nearest") for channel in image])
    assert np.array_equal(median3(image), expected)


def test_halving_averages_two_by_two() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    assert halve(image).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]


@pytest.mark.parametrize(("samples", "pixels", "step"), [(10, 25, 2.5), (8, 17, 2.0), (12, 10, 0.8), (9, 9, 1.0)])
def test_resampling_keeps_a_constant_and_a_slope(samples: int, pixels: int, step: float) -> None:
    weights = area_weights(samples, pixels, step).toarray()
    assert np.allclose(weights.sum(axis=1), 1.0, atol=1e-6)
    centres = (np.arange(samples) + 0.5) * step - 0.5
    # Pixels count as a whole at their centres: where a sample's border divides one, its centre moves a little.
    assert np.allclose((weights @ np.arange(pixels, dtype=np.float32))[1:-1], centres[1:-1], atol=0.06)


@pytest.mark.parametrize(
    ("shape", "sampling", "expected"),
    [
        ((512, 512), 2.0, (1, 512, 512)),
        ((512, 600, 3), 2.0, (3, 512, 600)),
        ((512, 512), 2.26, (1, 452, 452)),
        ((501, 333), 1.0, (1, 1002, 666)),
    ],
)
def test_frames_come_to_two_samples_per_unit(
    shape: tuple[int, ...], sampling: float, expected: tuple[int, ...]
) -> None:
    frame = np.full(shape, 700, np.uint16)
    found = resample(frame, sampling)
    assert found.shape == expected
    assert np.allclose(found, 700, rtol=1e-5)


@pytest.mark.parametrize("shape", [(101, 90), (101, 90, 3)])
@pytest.mark.parametrize("sampling", [1.5, 2.0, 2.7])
def test_every_channel_is_averaged_over_areas_along_both_axes(shape: tuple[int, ...], sampling: float) -> None:
    frame = np.random.default_rng(4).integers(0, 4096, shape).astype(np.uint16)
    found = resample(frame, sampling)
    height, width = found.shape[1:]
    rows, columns = area_weights(height, 101, sampling / 2).toarray(), area_weights(width, 90, sampling / 2).toarray()
    channels = frame[None] if frame.ndim == 2 else np.moveaxis(frame, 2, 0)
    assert np.allclose(found, [rows @ channel.astype(float) @ columns.T for channel in channels], rtol=1e-5)
    # What follows reads rows: sums over samples that do not lie side by side are slower, and less exact.
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("shape", "sampling", "message"),
    [
        ((64, 64), 0.9, r"0\.9 camera pixels per λ/NA: .* less binning"),
        ((64, 64, 4), 2.0, r"\(64, 64, 4\)"),
        ((64,), 2.0, r"\(64,\)"),
    ],
)
def test_frames_that_cannot_be_used_are_refused(shape: tuple[int, ...], sampling: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resample(np.zeros(shape, np.uint8), sampling)


@pytest.mark.parametrize(
    ("height", "width", "most", "count"), [(111, 500, 25, 0), (112, 112, 25, 1), (560, 700, 25, 25), (2000, 300, 9, 6)]
)
def test_tiles_lie_inside_and_are_spread(height: int, width: int, most: int, count: int) -> None:
    corners = tile_corners(height, width, most)
    assert len(set(corners)) == len(corners) == count
    for row, column in corners:
        assert 0 <= row <= height - TILE
        assert 0 <= column <= width - TILE
    if count > 1:
        assert max(row for row, _ in corners) == height - TILE


@pytest.mark.parametrize(
    ("shape", "expected"), [((190, 224), (224, 224)), ((170, 300), (170, 300)), ((230, 260), None)]
)
def test_frames_a_little_too_small_are_extended_by_reflection(
    shape: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    frame = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    found = extended(frame)
    assert found.shape == (1, *(expected or shape))
    if expected == (224, 224):
        assert np.array_equal(found[0, 17:207], frame[0])
        assert np.array_equal(found[0, :17], frame[0, 17:0:-1])


def _scene(rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    return (
        1000.0 * (1.0 + 0.2 * ndimage.gaussian_filter(rng.standard_normal((channels, 256, 256)), (0, 2, 2)))
    ).astype(np.float32)


def test_gain_and_flicker_do_not_show() -> None:
    rng = np.random.default_rng(1)
    first, second = _scene(rng), _scene(rng)
    plain = pair_planes(first, second)
    scaled = pair_planes(first * 3.0, second * 2.5)
    for a, b in zip(plain, scaled, strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_the_difference_is_second_minus_first_and_the_mean_lies_between() -> None:
    first = np.full((1, 8, 8), 10.0, np.float32)
    second = first.copy()
    second[:, :, 4:] = 12.0
    difference, mean = pair_planes(first, second)
    assert (difference[0, :, -1] > 0).all()
    assert (difference[0, :, 0] < 0).all()
    assert np.allclose(mean[0, :, 0] - mean[0, :, -1], -difference[0, :, -1] / 2 + difference[0, :, 0] / 2, atol=1e-5)


def test_a_channel_without_contrast_stays_small() -> None:
    rng = np.random.default_rng(2)
    noise = (0.1 * DEVIATION_FLOOR * rng.standard_normal((1, 64, 64))).astype(np.float32)
    assert normalise(noise).std() == pytest.approx(0.1, rel=0.05)
    assert normalise(noise * 1000).std() == pytest.approx(1.0, rel=0.01)


def test_monochrome_frames_fill_all_three_colours() -> None:
    rng = np.random.default_rng(3)
    difference, mean = pair_planes(_scene(rng), _scene(rng))
    images, scalars = network_input(difference, mean, [(0, 0), (16, 16)], 2.0)
    assert images.shape == (2, 6, TILE, TILE)
    assert np.array_equal(images[:, 0], images[:, 1])
    assert np.array_equal(images[:, 3], images[:, 5])
    assert scalars[:, 0].tolist() == [2.0, 2.0]
    window = (slice(None), slice(16, 16 + TILE), slice(16, 16 + TILE))
    assert scalars[1, 1] == pytest.approx(contrast_ratio(difference[window], mean[window]))
