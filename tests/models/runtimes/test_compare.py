"""Comparing backends: their answers and their speed."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.runtimes import bench_models, compare_models, open_model, random_inputs
from microscoped.models.runtimes._compare import largest_difference

if TYPE_CHECKING:
    from microscoped.models.runtimes import Artefact

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("ours", "theirs", "largest"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([-1.0, 2.0], [1.0, 2.5], 2.0),
        ([NAN, 1.0], [NAN, 1.25], 0.25),
        ([NAN, 1.0], [0.0, 1.0], INF),
        ([INF, 1.0], [INF, 1.0], 0.0),
        ([INF, 1.0], [-INF, 1.0], INF),
        ([INF, 1.0], [NAN, 1.0], INF),
        ([1.0], [1.0, 1.0], INF),
        ([], [], 0.0),
    ],
)
def test_the_largest_difference(ours: list[float], theirs: list[float], largest: float) -> None:
    assert largest_difference(np.array(ours, np.float32), np.array(theirs, np.float32)) == largest


def test_integers_are_compared_without_wrapping_around() -> None:
    assert largest_difference(np.array([0], np.uint8), np.array([255], np.uint8)) == 255


def test_the_same_seed_gives_the_same_inputs(toy: Artefact) -> None:
    first, again, other = (random_inputs(toy, 3, seed=seed)["frames"] for seed in (7, 7, 8))
    assert (first.shape, first.dtype) == ((3, 2, 16, 16), np.float32)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_backend_agrees_with_itself_in_every_output(toy: Artefact) -> None:
    with open_model(toy, "onnxruntime") as one, open_model(toy, "onnxruntime", threads=2) as two:
        found = compare_models(one, two, toy)
    assert [(d.output, d.tolerance, d.within) for d in found] == [("defocus", 1e-3, True), ("class", 1e-3, True)]


def test_ratios_are_medians_over_rounds_against_the_first(toy: Artefact) -> None:
    # One model takes 4, 4, 40 ms, the other 2, 2, 20 ms; the order turns in every round; the last round is disturbed.
    steps_ms = [4, 2, 2, 4, 40, 20]
    times = iter(chain.from_iterable((0, step * 1_000_000) for step in steps_ms))
    with open_model(toy, "onnxruntime") as one, open_model(toy, "onnxruntime") as two:
        speeds = bench_models([one, two], toy, batch=1, rounds=3, clock=lambda: next(times))
    assert [(s.ratio, s.median_ms, s.smallest_ms) for s in speeds] == [(1.0, 4.0, 4.0), (2.0, 2.0, 2.0)]
    assert next(times, None) is None
