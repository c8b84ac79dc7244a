"""Scores: figures that can be worked out by hand, and pairs that are the best."""

from __future__ import annotations

import math

import numpy as np
import pytest

from microscoped.models.cells import CellTable, Quantity, SettingsError, pair_cells, score

SHAPE = (1000, 1000)


def cells(places_um: object, masses: object = None, *, border: object = None, half: float = math.nan) -> CellTable:
    places = np.asarray(places_um, float).reshape(-1, 2)
    columns: dict[str, np.ndarray] = {
        "dry_mass_pg": np.full(len(places), 200.0) if masses is None else np.asarray(masses, float),
        "dry_mass_pg_half_width": np.full(len(places), half),
        "border": np.zeros(len(places), bool) if border is None else np.asarray(border, bool),
    }
    return CellTable.of_columns(places, columns, SHAPE, 1.0)


def row(*columns: float) -> list[tuple[float, float]]:
    return [(100.0, column) for column in columns]


@pytest.mark.parametrize(
    ("true", "found", "pairs"),
    [
        (row(100), row(109.9), [(0, 0)]),
        (row(100), row(110.1), []),
        (row(100), [(107, 93)], [(0, 0)]),
        (row(100), [(108, 108)], []),
        (row(100, 108), row(108, 116), [(0, 0), (1, 1)]),  # the nearest pair alone would leave two without
        (row(100, 104), row(104.5), [(1, 0)]),
        (row(100, 105), row(104, 99), [(0, 1), (1, 0)]),
        ([], row(100), []),
        (row(100), [], []),
    ],
)
def test_pairs_are_as_many_as_can_be_and_then_the_nearest(
    true: list[tuple[float, float]], found: list[tuple[float, float]], pairs: list[tuple[int, int]]
) -> None:
    pairing = pair_cells(cells(true), cells(found))
    assert sorted(zip(pairing.true.tolist(), pairing.found.tolist(), strict=True)) == pairs
    assert len(pairing.missed) == len(true) - len(pairs)
    assert len(pairing.false) == len(found) - len(pairs)


def test_many_cells_are_paired_as_by_a_dense_solver() -> None:
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(0)
    true, found = rng.uniform(0, 200, (120, 2)), rng.uniform(0, 200, (110, 2))
    pairing = pair_cells(cells(true), cells(found))
    distance = np.hypot(*(true[:, None] - found[None]).transpose(2, 0, 1))
    one, other = linear_sum_assignment(np.where(distance <= 10, distance, 1e6))
    near = distance[one, other] <= 10
    assert len(pairing.true) == near.sum()
    assert distance[pairing.true, pairing.found].sum() == pytest.approx(distance[one, other][near].sum())


def test_precision_and_recall() -> None:
    result = score([(cells(row(100, 200, 300, 400)), cells(row(101, 202, 500)))]).detection
    assert (result.true, result.found, result.paired) == (4, 3, 2)
    assert (result.precision.value, result.recall.value) == (2 / 3, 0.5)
    assert result.f1.value == pytest.approx(2 * 2 / 7)


def test_figures_of_a_known_error() -> None:
    true = np.array([100.0, 150.0, 200.0, 250.0, 300.0])
    found = 2 * true + 10
    places = row(*(100 * k for k in range(1, 6)))
    result = score([(cells(places, true), cells(places, found))]).quantities[Quantity.DRY_MASS]
    assert (result.count, result.mean, result.sd) == (5, 200, pytest.approx(true.std()))
    assert result.r2.value == pytest.approx(1 - ((found - true) ** 2).sum() / ((true - 200) ** 2).sum())
    assert result.r2.value < 0
    assert result.correlation2.value == pytest.approx(1)
    assert result.slope.value == pytest.approx(0.5)  # of the truth on the prediction
    assert result.intercept.value == pytest.approx(-5)
    assert result.bias.value == 210
    assert result.error_mad.value == pytest.approx(1.4826 * 50)


def test_the_error_is_robust_and_r2_is_not() -> None:
    rng = np.random.default_rng(1)
    places = [(100.0 + 50 * (k // 16), 50.0 + 50 * (k % 16)) for k in range(256)]
    true = rng.normal(200, 50, 256)
    found = true + rng.normal(0, 10, 256)
    one = score([(cells(places, true), cells(places, found))]).quantities[Quantity.DRY_MASS]
    found[:3] += 1000
    two = score([(cells(places, true), cells(places, found))]).quantities[Quantity.DRY_MASS]
    assert one.r2.value == pytest.approx(0.96, abs=0.01)
    assert one.error_mad.value == pytest.approx(10, rel=0.15)
    assert two.error_mad.value == pytest.approx(one.error_mad.value, rel=0.05)
    assert two.r2.value < 0


def test_cells_at_the_border_neither_help_nor_harm() -> None:
    true = cells(row(100, 200, 300), [200, 210, 220], border=[True, True, False])
    found = cells(row(101, 301, 500, 600), [9, 221, 1, 1], border=[False, False, True, False])
    inner = score([(true, found)])
    assert (inner.detection.true, inner.detection.found, inner.detection.paired) == (1, 2, 1)
    assert inner.quantities[Quantity.DRY_MASS].bias.value == 1
    everything = score([(true, found)], border=True).detection
    assert (everything.true, everything.found, everything.paired) == (3, 4, 2)


def test_empty_fields_are_scored_without_a_number() -> None:
    result = score([(cells([]), cells([])), (cells([]), cells([]))])
    assert math.isnan(result.detection.precision.value)
    assert math.isnan(result.quantities[Quantity.AREA].r2.value)
    false = score([(cells([]), cells(row(100)))]).detection
    assert (false.precision.value, false.found) == (0, 1)
    assert math.isnan(false.recall.value)


def test_quantities_that_were_not_measured_have_no_score() -> None:
    result = score([(cells(row(100, 200)), cells(row(100, 200)))]).quantities
    assert result[Quantity.DRY_MASS].count == 2
    assert result[Quantity.AREA].count == 0
    assert math.isnan(result[Quantity.AREA].error_mad.value)


def test_intervals_are_over_fields() -> None:
    rng = np.random.default_rng(2)
    fields = []
    for offset in rng.normal(0, 20, 12):  # each field is off as a whole
        places = [(100.0 + 50 * (k // 8), 50.0 + 50 * (k % 8)) for k in range(64)]
        true = rng.normal(200, 50, 64)
        fields.append((cells(places, true), cells(places, true + offset + rng.normal(0, 1, 64))))
    one, again = score(fields, resamples=200).quantities, score(fields, resamples=200).quantities
    bias = one[Quantity.DRY_MASS].bias
    assert bias.low < bias.value < bias.high
    assert bias.high - bias.low > 10  # of 768 cells taken singly it would be about 2
    assert again[Quantity.DRY_MASS].bias == bias
    alone = score(fields[:1]).quantities[Quantity.DRY_MASS].bias
    assert math.isnan(alone.low)


def test_how_often_an_interval_holds_the_truth() -> None:
    places = row(100, 200, 300, 400)
    found = cells(places, [204, 206, 196, 180], half=5.0)
    assert score([(cells(places), found)]).quantities[Quantity.DRY_MASS].covered.value == 0.5


def test_nothing_cannot_be_scored() -> None:
    with pytest.raises(SettingsError, match="fields"):
        score([])
    with pytest.raises(SettingsError, match="reach_um"):
        pair_cells(cells([]), cells([]), 0.0)
