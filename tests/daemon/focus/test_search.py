"""The focus search: finds what is there, says so where nothing is, and stays in its bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from microscoped.daemon.focus import Probe, Sample, SearchResult, SearchSettings, propose
from microscoped.daemon.focus.brent import Bracket, brent
from microscoped.daemon.focus.curve import deepest_dip, prominence, scatter, top
from microscoped.models.sharpness import SharpnessSettings, measure_sharpness

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.daemon.focus import Approach, ExtremumChoice

Curve = Callable[[float], float]

PLAIN = SearchSettings(center_um=0.0, low_um=-10.0, high_um=10.0, tolerance_um=0.3, coarse_step_um=2.5)

SHAPES: dict[str, Curve] = {
    "lorentz": lambda u: 1.0 / (1.0 + u * u),
    "gauss": lambda u: math.exp(-u * u / 2.0) + 1e-3,
    "narrow tails": lambda u: 1.0 / (1.0 + u * u) ** 2 + 1e-4,
    "side lobes": lambda u: float(np.sinc(u / 2.0)) ** 2 + 1e-3,
    "asymmetric": lambda u: 1.0 / (1.0 + (u if u > 0 else 2.0 * u) ** 2),
}


def run(config: SearchSettings, measure: Callable[[float], Sample]) -> tuple[SearchResult, list[Sample]]:
    """Play a search to its end, checking its bounds on the way."""
    samples: list[Sample] = []
    while isinstance(step := propose(config, samples), Probe):
        assert config.low_um <= step.z_um <= config.high_um
        assert len(samples) < config.max_images
        samples.append(measure(step.z_um))
    return step, samples


def on(curve: Curve) -> Callable[[float], Sample]:
    return lambda z_um: Sample(z_um, curve(z_um))


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    focus=st.floats(-7.0, 7.0),
    center=st.floats(-5.0, 5.0),
    coarse=st.floats(0.8, 3.0),
    height=st.floats(1e-6, 1e6),
    approach=st.sampled_from(["increasing", "decreasing"]),
    extremum=st.sampled_from(["max", "auto"]),
)
@settings(max_examples=150, deadline=None)
def test_single_peaks_are_found(
    shape: str, focus: float, center: float, coarse: float, height: float, approach: Approach, extremum: ExtremumChoice
) -> None:
    config = replace(PLAIN, center_um=center, coarse_step_um=coarse, approach=approach, extremum=extremum)
    result, samples = run(config, on(lambda z: height * SHAPES[shape](z - focus)))
    assert result.focused, result.reason
    assert result.extremum == "max"
    assert abs(result.z_um - focus) <= config.tolerance_um
    assert samples[-1].z_um == result.z_um
    assert result.curve == tuple(sorted(samples, key=lambda sample: sample.z_um))


@given(focus=st.floats(-7.0, 7.0), seed=st.integers(0, 1000), noise=st.floats(0.0, 0.05))
@settings(max_examples=60, deadline=None)
def test_noisy_peaks_are_found_about_as_well(focus: float, seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)

    def measure(z_um: float) -> Sample:
        score = SHAPES["lorentz"](z_um - focus)
        return Sample(z_um, score * max(0.1, 1.0 + noise * rng.normal()), noise * score)

    result, _ = run(PLAIN, measure)
    # Where the score falls by five standard errors, no more can be asked: 1/(1 + u²) = 1 − 5·noise.
    blur = math.sqrt(5.0 * noise / (1.0 - 5.0 * noise))
    assert not result.focused or abs(result.z_um - focus) <= PLAIN.tolerance_um + blur


def test_nearly_all_noisy_peaks_are_called_focused() -> None:
    rng = np.random.default_rng(5)
    found = 0
    for focus in rng.uniform(-7.0, 7.0, 100):
        result, _ = run(PLAIN, on(lambda z, focus=focus: SHAPES["lorentz"](z - focus) * (1 + 0.03 * rng.normal())))
        found += result.focused
    assert found >= 97


@given(focus=st.floats(-7.0, 7.0), plane=st.floats(0.2, 0.5), center=st.floats(-3.0, 3.0))
@settings(max_examples=100, deadline=None)
def test_a_recorded_stack_ends_at_its_sharpest_plane_or_beside_it(focus: float, plane: float, center: float) -> None:
    def nearest(z_um: float) -> float:
        return SHAPES["lorentz"](round(z_um / plane) * plane - focus)

    result, _ = run(replace(PLAIN, center_um=center), on(nearest))
    assert result.focused, result.reason
    assert abs(result.z_um - focus) <= PLAIN.tolerance_um + 0.5 * plane


@given(focus=st.floats(-4.0, 4.0), coarse=st.floats(1.0, 3.0), extremum=st.sampled_from(["min", "auto"]))
@settings(max_examples=100, deadline=None)
def test_a_phase_specimen_is_focused_at_its_dip_or_left_alone(
    focus: float, coarse: float, extremum: ExtremumChoice
) -> None:
    config = replace(PLAIN, coarse_step_um=coarse, extremum=extremum)
    result, _ = run(config, on(lambda z: 0.15 + (z - focus) ** 2 * math.exp(-((z - focus) ** 2) / 4.0)))
    if result.focused:
        assert result.extremum == "min"
        assert abs(result.z_um - focus) <= config.tolerance_um
    else:
        assert result.z_um == config.center_um


@pytest.mark.parametrize("extremum", ["min", "auto"])
@pytest.mark.parametrize("focus", [-3.0, -1.3, 0.0, 0.4, 2.2])
def test_dips_between_two_maxima_are_found(extremum: ExtremumChoice, focus: float) -> None:
    config = replace(PLAIN, extremum=extremum)
    result, _ = run(config, on(lambda z: 0.15 + (z - focus) ** 2 * math.exp(-((z - focus) ** 2) / 4.0)))
    assert (result.focused, result.extremum) == (True, "min")
    assert result.z_um == pytest.approx(focus, abs=config.tolerance_um)


@pytest.mark.parametrize("center", [-5.0, -3.0, -1.0, 2.0, 4.5])
def test_a_declared_dip_is_found_far_from_the_brightest_of_few_probes(center: float) -> None:
    config = replace(PLAIN, center_um=center, low_um=-7.0, high_um=7.0, coarse_step_um=10.0, extremum="min")
    result, _ = run(config, on(lambda z: 0.25 + 1.0 - math.exp(-(z**2) / 8.0) - 0.02 * z))
    assert result.focused, result.reason
    assert result.z_um == pytest.approx(0.08, abs=config.tolerance_um)


def test_two_maxima_with_a_shallow_valley_are_undecided() -> None:
    def layers(z_um: float) -> float:
        return SHAPES["gauss"](z_um + 1.5) + 0.8 * SHAPES["gauss"](z_um - 1.5)

    result, _ = run(replace(PLAIN, extremum="auto", coarse_step_um=1.5), on(lambda z: 0.5 + layers(z)))
    assert not result.focused
    assert "undecided" in result.reason


@pytest.mark.parametrize("extremum", ["max", "min", "auto"])
@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (lambda _z: 1.0, "flat"),
        (lambda _z: 1e-12, "flat"),
        (lambda z: 2.0 + z / 9.0, "edge"),
        (lambda z: math.exp(z / 3.0), "edge"),
        (lambda z: math.exp(-z / 3.0), "edge"),
        (lambda z: SHAPES["lorentz"](z - 14.0), "edge"),
    ],
)
def test_curves_without_focus_are_not_focused(curve: Curve, reason: str, extremum: ExtremumChoice) -> None:
    result, _ = run(replace(PLAIN, extremum=extremum), on(curve))
    assert not result.focused
    assert reason in result.reason or (extremum == "min" and "no dip" in result.reason)
    assert result.z_um == PLAIN.center_um
    assert result.extremum is None


@pytest.mark.parametrize("extremum", ["max", "min", "auto"])
def test_an_empty_field_is_not_focused(extremum: ExtremumChoice) -> None:
    rng = np.random.default_rng(2)

    def background(z_um: float) -> Sample:
        sharpness = measure_sharpness(rng.poisson(100, (64, 64)).astype(np.uint16))
        return Sample(z_um, sharpness.score, sharpness.error)

    assert not any(run(replace(PLAIN, extremum=extremum), background)[0].focused for _ in range(40))


@pytest.mark.parametrize("noise", [0.03, 0.1, 0.3])
def test_noise_of_unknown_size_seldom_passes_for_focus(noise: float) -> None:
    rng = np.random.default_rng(4)
    false = sum(run(PLAIN, on(lambda _z: max(1e-9, 1 + noise * rng.normal())))[0].focused for _ in range(100))
    assert false <= 8


def test_a_single_bright_outlier_does_not_repeat_and_is_not_focus() -> None:
    samples: list[Sample] = []

    def once(z_um: float) -> Sample:
        samples.append(Sample(z_um, 5.0 if len(samples) == 4 else 1.0))
        return samples[-1]

    assert not run(PLAIN, once)[0].focused


def test_a_final_image_worse_than_the_start_is_refused() -> None:
    config = replace(PLAIN, center_um=-1.0)
    first, samples = run(config, on(lambda z: SHAPES["lorentz"](z)))
    assert first.focused
    worse = [*samples[:-1], replace(samples[-1], score=0.45)]
    result = propose(config, worse)
    assert isinstance(result, SearchResult)
    assert not result.focused


def test_a_start_in_focus_stays_in_focus() -> None:
    result, _ = run(PLAIN, on(SHAPES["lorentz"]))
    assert result.focused
    assert abs(result.z_um) <= PLAIN.tolerance_um


@pytest.mark.parametrize("focus", [-9.6, 9.6])
def test_focus_close_to_the_end_of_the_range_is_found(focus: float) -> None:
    result, _ = run(PLAIN, on(lambda z: SHAPES["lorentz"](z - focus)))
    assert result.focused, result.reason
    assert result.z_um == pytest.approx(focus, abs=PLAIN.tolerance_um)


def test_a_narrow_peak_between_the_first_probes_is_found_by_a_second_scan() -> None:
    result, _ = run(PLAIN, on(lambda z: 1e-3 + math.exp(-((z - 1.1) ** 2) / 0.08)))
    assert result.focused, result.reason
    assert result.z_um == pytest.approx(1.1, abs=PLAIN.tolerance_um)


def test_a_stage_that_does_not_move_is_not_focused() -> None:
    result, samples = run(PLAIN, lambda _z: Sample(0.0, 1.0))
    assert "did not follow" in result.reason
    assert len(samples) <= PLAIN.max_images


@given(seed=st.integers(0, 10_000), extremum=st.sampled_from(["max", "min", "auto"]), images=st.integers(8, 60))
@settings(max_examples=150, deadline=None)
def test_any_scores_and_any_read_back_end_in_time(seed: int, extremum: ExtremumChoice, images: int) -> None:
    rng = np.random.default_rng(seed)
    config = replace(PLAIN, extremum=extremum, max_images=images, coarse_step_um=float(rng.uniform(0.01, 30.0)))
    grid = float(rng.choice([1e-9, 0.1, 3.0]))

    def wild(z_um: float) -> Sample:
        return Sample(round((z_um + rng.normal() * grid) / grid) * grid, float(rng.exponential()) + 1e-12)

    result, samples = run(config, wild)
    assert len(samples) <= images
    assert result.focused or result.reason


def test_the_search_is_a_function_of_its_samples() -> None:
    _, samples = run(PLAIN, on(lambda z: SHAPES["gauss"](z - 2.0)))
    for count in range(len(samples) + 1):
        step = propose(PLAIN, samples[:count])
        assert step == propose(PLAIN, tuple(samples[:count]))
        assert not isinstance(step, Probe) or step.z_um == samples[count].z_um


@pytest.mark.parametrize(("approach", "sign"), [("increasing", 1), ("decreasing", -1)])
def test_the_first_scan_runs_in_the_direction_of_approach_and_visits_the_start(approach: Approach, sign: int) -> None:
    config = replace(PLAIN, center_um=1.3, approach=approach)
    _, samples = run(config, on(lambda z: SHAPES["lorentz"](z - 2.0)))
    scan = [sign * sample.z_um for sample in samples[:9]]
    assert scan == sorted(scan)
    assert {config.low_um, config.center_um, config.high_um} <= {sample.z_um for sample in samples[:10]}


def test_a_range_of_fifteen_depths_of_field_takes_few_images() -> None:
    config = SearchSettings(0.0, -7.5, 7.5, tolerance_um=0.3, coarse_step_um=3.0)
    counts = [len(run(config, on(lambda z, f=f: SHAPES["lorentz"](z - f)))[1]) for f in np.linspace(-5, 5, 41)]
    assert np.mean(counts) <= 13
    assert max(counts) <= 16


@pytest.mark.parametrize(
    "figures",
    [
        {"center_um": 11.0},
        {"low_um": 10.0, "center_um": 10.0},
        {"high_um": math.inf},
        {"tolerance_um": 0.0},
        {"coarse_step_um": -1.0},
        {"max_images": 3},
        {"min_prominence": 1.0},
    ],
)
def test_settings_without_sense_are_refused(figures: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        replace(PLAIN, **figures)


@given(minimum=st.floats(0.05, 0.95), power=st.sampled_from([2, 4]), tolerance=st.floats(1e-4, 0.05))
def test_brent_reaches_the_minimum_of_a_bracket(minimum: float, power: int, tolerance: float) -> None:
    def value(x: float) -> float:
        return abs(x - minimum) ** power

    middle = 0.5
    steps = brent(Bracket((0.0, value(0.0)), (middle, value(middle)), (1.0, value(1.0))), tolerance)
    seen = [(middle, value(middle))]
    x = next(steps, None)
    while x is not None:
        assert 0.0 <= x <= 1.0
        seen.append((x, value(x)))
        try:
            x = steps.send(seen[-1])
        except StopIteration:
            break
    best = min(seen, key=lambda point: point[1])
    assert abs(best[0] - minimum) <= 3.0 * tolerance
    assert len(seen) < 60


def test_curve_figures() -> None:
    curve = [Sample(float(z), score) for z, score in enumerate([1.0, 4.0, 2.0, 5.0, 5.0, 5.0, 0.5])]
    dip = deepest_dip(curve)
    assert top(curve) == 4
    assert prominence(curve, 4) == 4.0
    assert dip is not None
    assert (dip.index, dip.lower, dip.upper, dip.depth) == (2, 4.0, 5.0, 2.0)
    assert scatter(curve, 4) == pytest.approx(math.sqrt(2.0 / 4.0))


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "step_um", "focus", "accepted", "coarse_um", "extremum"),
    [
        ("fl-psf-beads/stack.tif", 0.3, 16.9, 1.0, 1.65, "max"),
        ("fl-psf-beads/stack.tif", 0.3, 16.9, 1.0, 1.65, "auto"),
        ("lsfm-dfnn/mitochondria.tif", 0.05, 19.0, 2.0, 0.6, "max"),
    ],
)
def test_measured_stacks_are_focused_from_both_sides(
    data_dir: Path, file: str, step_um: float, focus: float, accepted: float, coarse_um: float, extremum: ExtremumChoice
) -> None:
    stack = tifffile.imread(data_dir / file)
    scores = [measure_sharpness(plane, SharpnessSettings()) for plane in stack]
    last_um = (len(stack) - 1) * step_um

    def play(z_um: float) -> Sample:
        sharpness = scores[round(z_um / step_um)]
        return Sample(z_um, sharpness.score, sharpness.error)

    starts = [z for z in range(len(stack)) if abs(z - focus) >= 3 * accepted]
    hits = 0
    for start in starts:
        config = SearchSettings(
            min(start * step_um, last_um), 0.0, last_um, accepted * step_um, coarse_um, extremum=extremum
        )
        result, _ = run(config, play)
        hits += result.focused and abs(result.z_um / step_um - focus) <= accepted
    assert hits >= 0.95 * len(starts)
