"""Figures of an evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

from microscoped.models.focus_pair.training.baseline import KernelRidge, band_powers
from microscoped.models.focus_pair.training.statistics import (
    Results,
    conformal_factor,
    risk_coverage,
    summary,
    with_lines,
)


def results(seed: int = 0, specimens: int = 60, pairs: int = 100) -> Results:
    """Estimates whose errors are Laplace distributed with a known scale, different for every pair."""
    rng = np.random.default_rng(seed)
    count = specimens * pairs
    truth = rng.uniform(-10, 10, count)
    expected = rng.uniform(0.1, 1.0, count)
    return Results(
        specimen=np.repeat(np.arange(specimens), pairs),
        field=np.tile(np.arange(pairs) % 4, specimens),
        truth_um=truth,
        estimate_um=truth + rng.laplace(0.0, expected),
        half_um=2.0 * expected,
        expected_um=expected,
        abstained=np.zeros(count, bool),
        empty=np.zeros(count, bool),
        straddling=np.abs(truth) < 1.0,
    )


def test_the_conformal_factor_covers_what_it_promises() -> None:
    factor = conformal_factor(results(1))
    # 90 % of a Laplace distribution lie within ln 10 = 2.30 scales.
    assert factor == pytest.approx(np.log(10), rel=0.1)
    fresh = results(2)
    assert np.mean(fresh.errors_um <= factor * fresh.expected_um) == pytest.approx(0.9, abs=0.02)


def test_the_figures_are_those_of_the_errors() -> None:
    found = results(3)
    figures = summary(found)
    assert figures["mean_um"] == pytest.approx(found.errors_um.mean())
    low, high = figures["mean_interval_um"]  # type: ignore[misc]
    assert low < found.errors_um.mean() < high
    assert figures["pairs"] == found.specimen.size
    assert figures["coverage"] == pytest.approx(1 - np.exp(-2.0), abs=0.02)
    assert 0 < figures["wrong_sign_fraction"] < 0.1  # type: ignore[operator]


def test_a_line_takes_away_what_a_microscope_adds_to_all_its_fields() -> None:
    found = results(5, specimens=3)
    skewed = replace(found, estimate_um=1.2 * found.estimate_um + np.array([2.0, -1.0, 0.0])[found.specimen])
    assert with_lines(skewed).errors_um.mean() == pytest.approx(found.errors_um.mean(), rel=0.1)


def test_a_field_is_not_corrected_by_itself() -> None:
    found = results(6, specimens=1)
    odd = found.field == 0
    shifted = replace(found, estimate_um=found.truth_um + np.where(odd, 3.0, 0.0))
    assert with_lines(shifted).errors_um[odd].mean() == pytest.approx(3.0)


def test_abstentions_count_with_their_error_and_empty_fields_do_not() -> None:
    found = results(4)
    abstained = found.expected_um > 0.8

    figures = summary(replace(found, abstained=abstained))
    assert figures["mean_um"] == pytest.approx(found.errors_um.mean())
    assert figures["abstained_fraction"] == pytest.approx(abstained.mean())
    assert figures["answered_mean_um"] < figures["mean_um"]  # type: ignore[operator]
    assert summary(replace(found, empty=abstained))["pairs"] == int((~abstained).sum())


def test_risk_falls_where_less_is_answered() -> None:
    curve = risk_coverage(results(5))
    assert curve[0][1] < 0.5 * curve[-1][1]


def test_the_classical_baseline_learns_a_blur() -> None:
    rng = np.random.default_rng(0)
    from scipy import ndimage

    def features(width: float) -> np.ndarray:
        scene = rng.standard_normal((1, 112, 112)).astype(np.float32)
        first, second = (ndimage.gaussian_filter(scene, (0, w, w)) for w in (width, width + 0.5))
        return band_powers(second - first, (first + second) / 2, 2.0)

    widths = rng.uniform(0.5, 3.0, 80)
    table = np.stack([features(width) for width in widths])
    model = KernelRidge.tuned(table[:60], widths[:60], np.arange(60) < 15)
    assert np.abs(model.predict(table[60:]) - widths[60:]).mean() < 0.25
