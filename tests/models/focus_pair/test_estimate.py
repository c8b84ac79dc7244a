"""From tiles to one estimate for the field."""

from __future__ import annotations

import numpy as np
import pytest

from microscoped.models.focus_pair.estimate import (
    CONTENT_FLOOR,
    Estimate,
    EstimateSettings,
    coarsened,
    content,
    estimate,
    weighted_median,
)

GRID = [(x, y) for y in (-0.4, -0.2, 0.0, 0.2, 0.4) for x in (-0.4, -0.2, 0.0, 0.2, 0.4)]


def found(
    values: list[float], errors: list[float] | None = None, contents: list[float] | None = None, **settings: object
) -> Estimate:
    count = len(values)
    return estimate(
        np.array(values),
        np.array(errors or [0.3] * count),
        np.array(contents or [0.05] * count),
        GRID[:count],
        EstimateSettings(**settings),  # type: ignore[arg-type]
    )


def test_the_median_ignores_outliers() -> None:
    assert found([1.0, 1.1, 0.9, 1.0, 1.05, 7.0]).defocus_dof == pytest.approx(1.0, abs=0.1)


def test_sure_tiles_count_more_than_unsure_ones() -> None:
    assert found([1.0, 1.0, 2.0, 2.0, 2.0], [0.1, 0.1, 1.0, 1.0, 1.0]).defocus_dof == pytest.approx(1.0)


def test_empty_tiles_do_not_count() -> None:
    result = found([1.0, 1.0, 9.0, 9.0, 9.0], contents=[0.05, 0.05, 0.0, 0.0, 0.0])
    assert result.defocus_dof == pytest.approx(1.0)
    assert (result.tiles, result.tiles_used) == (5, 2)


def test_an_empty_field_abstains() -> None:
    result = found([1.0, 1.0], contents=[CONTENT_FLOOR / 2] * 2)
    assert result.defocus_dof is None
    assert result.interval_dof is None
    assert result.reason == "empty"


def test_an_uncertain_field_abstains() -> None:
    result = found([1.0, 1.0, 1.0], [4.0, 4.0, 4.0])
    assert result.defocus_dof is None
    assert result.reason == "uncertain"


def test_the_interval_grows_with_expected_error_and_spread() -> None:
    widths = []
    for values, errors in (([1.0] * 4, [0.2] * 4), ([1.0] * 4, [0.4] * 4), ([0.0, 0.7, 1.3, 2.0], [0.4] * 4)):
        low, high = found(values, errors, interval_factor=1.5).interval_dof or (0.0, 0.0)
        assert (low + high) / 2 == pytest.approx(1.0)
        widths.append(high - low)
    assert widths[0] == pytest.approx(2 * 1.5 * 0.2)
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize(("choose", "first"), [("nearest", -1.0), ("upper", 4.0), ("lower", -1.0)])
def test_two_planes_are_told_apart(choose: str, first: float) -> None:
    result = found([-1.0, -1.1, -0.9, -1.0, 4.0, 4.1, 3.9], choose=choose)
    assert len(result.modes_dof) == 2
    assert result.defocus_dof == result.modes_dof[0] == pytest.approx(first, abs=0.1)


def test_one_plane_with_spread_is_not_two() -> None:
    assert len(found([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]).modes_dof) == 1


def test_tilt_is_the_slope_over_the_field() -> None:
    values = [2.0 + 0.8 * x - 0.3 * y for x, y in GRID]
    tilt = found(values).tilt_dof
    assert tilt is not None
    assert tilt == pytest.approx((0.8, -0.3), abs=1e-6)


def test_tilt_cannot_be_told_from_few_tiles() -> None:
    assert found([1.0] * 4).tilt_dof is None


def test_content_ignores_noise_and_shading_but_not_structure() -> None:
    rng = np.random.default_rng(0)
    noise = 1.0 + 0.005 * rng.standard_normal((1, 112, 112)).astype(np.float32)
    shading = noise + 0.05 * np.linspace(-1, 1, 112, dtype=np.float32)[None, None, :]
    structure = noise + 0.02 * np.sin(np.arange(112, dtype=np.float32) / 3.0)[None, :, None]
    assert content(coarsened(noise)) < CONTENT_FLOOR
    assert content(coarsened(shading)) < CONTENT_FLOOR
    assert content(coarsened(structure)) > 2 * CONTENT_FLOOR


def test_the_contents_of_many_tiles_are_those_of_each() -> None:
    contrasts = np.arange(1, 5, dtype=np.float32)[:, None, None, None]
    tiles = contrasts * np.random.default_rng(1).standard_normal((4, 3, 28, 28)).astype(np.float32)
    together = content(tiles)
    assert together.shape == (4,)
    assert np.allclose(together, [content(tile) for tile in tiles], rtol=1e-5)
    assert (np.diff(together) > 0.5).all()


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [([1, 2, 3], [1, 1, 1], 2), ([1, 2, 3, 4], [1, 1, 1, 1], 2.5), ([1, 2, 3], [5, 1, 1], 1), ([3, 1], [1, 3], 1)],
)
def test_weighted_median(values: list[float], weights: list[float], expected: float) -> None:
    assert weighted_median(np.array(values, float), np.array(weights, float)) == expected
