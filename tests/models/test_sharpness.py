"""Focus scores: blind to brightness and noise, peaked in focus on measured stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from microscoped.models.sharpness import METRICS, SharpnessEngine, SharpnessSettings, measure_sharpness

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.sharpness import Colour, MetricName

SHAPE = (256, 256)
NOISE_FREE = ("band", "vollath")


def specimen(blur_px: float, seed: int = 0) -> NDArray[np.float64]:
    """Return bright discs on a background of 1, blurred."""
    rng = np.random.default_rng(seed)
    points = np.zeros(SHAPE)
    points[rng.integers(0, SHAPE[0], 40), rng.integers(0, SHAPE[1], 40)] = 200.0
    return 1.0 + ndimage.gaussian_filter(points, (2.0**2 + blur_px**2) ** 0.5)


def exposed(image: NDArray[np.float64], electrons: float, seed: int = 1) -> NDArray[np.uint16]:
    """Return the image as a camera with Poisson noise counts it."""
    return np.random.default_rng(seed).poisson(image * electrons).astype(np.uint16)


@pytest.mark.parametrize("metric", METRICS)
def test_a_sharper_image_scores_higher(metric: MetricName) -> None:
    settings = SharpnessSettings(metric=metric)
    scores = [measure_sharpness(exposed(specimen(blur), 1000), settings).score for blur in (0.0, 1.0, 2.0, 4.0, 8.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.parametrize("metric", METRICS)
def test_brightness_does_not_change_the_score(metric: MetricName) -> None:
    settings = SharpnessSettings(metric=metric)
    dim, bright = (measure_sharpness(exposed(specimen(1.0), level), settings) for level in (1000, 4000))
    assert bright.score == pytest.approx(dim.score, rel=0.02)
    assert bright.mean == pytest.approx(4 * dim.mean, rel=0.01)


@pytest.mark.parametrize("metric", NOISE_FREE)
def test_noise_alone_scores_zero_within_its_stated_error(metric: MetricName) -> None:
    powers = [METRICS[metric](exposed(np.ones(SHAPE), 50, seed).astype(np.float32)) for seed in range(100)]
    deviations = np.array([power.value / power.error for power in powers])
    assert abs(deviations.mean()) < 0.4
    assert 0.7 < deviations.std() < 1.3


@pytest.mark.parametrize("metric", NOISE_FREE)
def test_the_stated_error_of_a_structured_frame_matches_its_repeats(metric: MetricName) -> None:
    image = specimen(1.0)
    repeats = [measure_sharpness(exposed(image, 20, seed), SharpnessSettings(metric=metric)) for seed in range(60)]
    observed = np.std([repeat.score for repeat in repeats])
    assert 0.3 < observed / np.mean([repeat.error for repeat in repeats]) < 1.5


@pytest.mark.parametrize("metric", NOISE_FREE)
def test_hot_pixels_do_not_count_as_structure(metric: MetricName) -> None:
    frame = np.full(SHAPE, 100, np.uint16)
    frame[8::32, 8::32] = 4000
    blurred = measure_sharpness(exposed(specimen(1.0), 100), SharpnessSettings(metric=metric)).score
    assert abs(METRICS[metric](frame.astype(np.float32)).value) / 100.0**2 < 0.2 * blurred


def test_dark_level_is_taken_off_the_brightness() -> None:
    frame = exposed(specimen(1.0), 1000)
    plain = measure_sharpness(frame)
    offset = measure_sharpness(frame + np.uint16(500), SharpnessSettings(dark_level=500.0))
    assert offset.score == pytest.approx(plain.score, rel=1e-3)


def test_a_region_counts_alone() -> None:
    frame = exposed(specimen(8.0), 1000)
    frame[32:96, 64:160] = exposed(specimen(0.0), 1000)[32:96, 64:160]
    inside = measure_sharpness(frame, SharpnessSettings(roi=(64, 32, 96, 64)))
    assert inside == measure_sharpness(np.ascontiguousarray(frame[32:96, 64:160]))
    assert inside.score > measure_sharpness(frame).score


@pytest.mark.parametrize(("colour", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_a_colour_is_scored_as_its_own_plane(colour: Colour, channel: int) -> None:
    frame = np.stack([exposed(specimen(blur), 1000) for blur in (0.0, 2.0, 4.0)], axis=-1)
    alone = measure_sharpness(np.ascontiguousarray(frame[..., channel]))
    assert measure_sharpness(frame, SharpnessSettings(colour=colour)).score == pytest.approx(alone.score, rel=1e-5)


def test_equal_colours_score_like_a_monochrome_frame() -> None:
    frame = exposed(specimen(1.0), 1000)
    assert measure_sharpness(np.stack([frame] * 3, axis=-1)).score == pytest.approx(
        measure_sharpness(frame).score, rel=1e-4
    )


@pytest.mark.parametrize(
    ("dtype", "bit_depth", "level", "expected"),
    [
        (np.uint8, None, 255, 0.25),
        (np.uint8, None, 254, 0.0),
        (np.uint16, None, 4095, 0.0),
        (np.uint16, 12, 4095, 0.25),
    ],
)
def test_saturated_pixels_are_counted(
    dtype: type[np.uint8 | np.uint16], bit_depth: int | None, level: int, expected: float
) -> None:
    frame = np.full(SHAPE, 10, dtype)
    frame[:128, :128] = level
    assert measure_sharpness(frame, SharpnessSettings(bit_depth=bit_depth)).saturated_fraction == expected


@pytest.mark.parametrize("pixels", [np.zeros(SHAPE, np.uint16), np.full(SHAPE, 255, np.uint8)])
def test_a_featureless_frame_has_the_smallest_score(pixels: NDArray[np.generic]) -> None:
    assert 0 < measure_sharpness(pixels).score < 1e-9


def test_large_frames_are_binned() -> None:
    frame = np.random.default_rng(0).poisson(100, (2048, 1600)).astype(np.uint16)
    assert measure_sharpness(frame) == measure_sharpness(frame, SharpnessSettings(binning=2))


@pytest.mark.parametrize(
    ("pixels", "settings", "message"),
    [
        (np.zeros(SHAPE), SharpnessSettings(), "unsigned"),
        (np.zeros((4, 64, 64), np.uint8), SharpnessSettings(), "shape"),
        (np.zeros(SHAPE, np.uint8), SharpnessSettings(roi=(200, 0, 100, 100)), "leaves the frame"),
        (np.zeros(SHAPE, np.uint8), SharpnessSettings(binning=32), "are needed"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    pixels: NDArray[np.generic], settings: SharpnessSettings, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_sharpness(pixels, settings)


@pytest.mark.parametrize(
    "figures",
    [{"metric": "nice"}, {"colour": "pink"}, {"binning": 0}, {"bit_depth": 20}, {"roi": (0, 0, 4, 4)}],
)
def test_wrong_settings_are_refused(figures: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(figures))):
        SharpnessSettings(**figures)


@pytest.mark.parametrize("count", [0, 2])
def test_the_engine_takes_one_frame(count: int) -> None:
    engine = SharpnessEngine()
    frame = np.full((64, 64), 100, np.uint16)
    assert engine.frames == 1
    assert engine.measure([frame], {})["mean"] == pytest.approx(100.0)
    with pytest.raises(ValueError, match=f"{count} frames: sharpness is that of one"):
        engine.measure([frame] * count, {})


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "focus", "accepted"), [("fl-psf-beads/stack.tif", 16.9, 1.0), ("lsfm-dfnn/mitochondria.tif", 19.0, 2.0)]
)
@pytest.mark.parametrize("metric", METRICS)
def test_measured_stacks_peak_in_focus(
    data_dir: Path, metric: MetricName, file: str, focus: float, accepted: float
) -> None:
    stack = tifffile.imread(data_dir / file)
    scores = [measure_sharpness(plane, SharpnessSettings(metric=metric)).score for plane in stack]
    assert abs(int(np.argmax(scores)) - focus) <= accepted
