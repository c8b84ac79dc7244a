"""Cells keep their numbers from frame to frame; growth and motion come out as they were put in."""

from __future__ import annotations

import math

import numpy as np
import pytest

from microscoped.models.cells import CellTable, Linker, LinkSettings, SettingsError, TimeError
from tests.models.cells.hills import random_places

SHAPE = (600, 600)
FRAME_S = 600.0


def cells(places_um: object, masses: object = 200.0) -> CellTable:
    places = np.asarray(places_um, float).reshape(-1, 2)
    return CellTable.of_columns(
        places, {"dry_mass_pg": np.broadcast_to(np.asarray(masses, float), len(places))}, SHAPE, 1.0
    )


def linked(frames: list[tuple[object, object]], **settings: float) -> list[list[int]]:
    linker = Linker(LinkSettings(**settings))  # type: ignore[arg-type]
    return [linker.link(cells(places, masses), FRAME_S * k).track.tolist() for k, (places, masses) in enumerate(frames)]


@pytest.mark.parametrize(
    ("frames", "settings", "numbers"),
    [
        ([([(10, 10), (50, 50)], 200), ([(52, 50), (12, 10)], 200)], {}, [[0, 1], [1, 0]]),
        ([([(10, 10)], 200), ([(26, 10)], 200)], {}, [[0], [1]]),
        # The nearest alone would leave the other too far away.
        ([([(10, 10), (10, 20)], 200), ([(10, 19), (10, 29)], 200)], {}, [[0, 1], [0, 1]]),
        # Equally far: mass decides, unless it is not asked.
        ([([(10, 10), (10, 20)], [100, 150]), ([(10, 15), (18, 15)], [150, 100])], {}, [[0, 1], [1, 0]]),
        (
            [([(10, 10), (10, 20)], [100, 150]), ([(10, 14), (10, 16.5)], [150, 100])],
            {"mass_weight": 0},
            [[0, 1], [0, 1]],
        ),
        # A gap of two frames, and one too many.
        ([([(10, 10)], 200), ([], 0), ([], 0), ([(15, 10)], 200)], {}, [[0], [], [], [0]]),
        ([([(10, 10)], 200), ([], 0), ([], 0), ([], 0), ([(15, 10)], 200)], {}, [[0], [], [], [], [1]]),
        ([([(10, 10)], 200), ([], 0), ([(15, 10)], 200)], {"gap_frames": 0}, [[0], [], [1]]),
        # After a gap a cell may be farther away, but not after none.
        ([([(10, 10)], 200), ([], 0), ([(30, 10)], 200)], {}, [[0], [], [0]]),
        # Daughters are new cells.
        ([([(50, 50)], 300), ([(46, 50), (54, 50)], 150)], {}, [[0], [1, 2]]),
        # A mass that is not known hinders nothing.
        ([([(50, 50)], 300), ([(52, 50)], math.nan), ([(54, 50)], 300)], {}, [[0], [0], [0]]),
        ([([], 0), ([(1, 1)], 200), ([(1, 1), (90, 90)], 200)], {}, [[], [0], [0, 1]]),
    ],
)
def test_numbers_follow_cells(
    frames: list[tuple[object, object]], settings: dict[str, float], numbers: list[list[int]]
) -> None:
    assert linked(frames, **settings) == numbers


def test_a_crowd_is_followed_through_shuffled_frames() -> None:
    rng = np.random.default_rng(0)
    start = random_places(SHAPE, 90, 28.0)
    masses = rng.uniform(100, 300, 90)
    linker, places = Linker(), start
    first = linker.link(cells(places, masses), 0.0).track
    wrong = 0
    for k in range(1, 12):
        places = places + rng.normal(0, 2.5, places.shape)
        order = rng.permutation(90)
        numbers = linker.link(cells(places[order], masses[order] * rng.normal(1, 0.03, 90)), FRAME_S * k).track
        wrong += int((numbers != first[order]).sum())
    assert wrong <= 0.002 * 11 * 90


def test_growth_and_speed_are_those_that_were_put_in() -> None:
    rng = np.random.default_rng(1)
    start, rates = random_places(SHAPE, 40, 60.0), rng.uniform(-0.01, 0.06, 40)
    angle, speed = rng.uniform(0, 2 * np.pi, 40), rng.uniform(0, 20, 40)
    steps = np.stack([np.sin(angle), np.cos(angle)], axis=1) * speed[:, None]
    linker = Linker()
    for k in range(25):
        hours = k * FRAME_S / 3600
        masses = 150 * np.exp(rates * hours) * rng.normal(1, 0.02, 40)
        linker.link(cells(start + steps * hours, masses), 1e9 + FRAME_S * k)
    motions = linker.motions()
    assert [one.track for one in motions] == list(range(40))
    assert all(one.points == 25 and one.duration_h == pytest.approx(4) for one in motions)
    growth = np.array([one.growth_per_h for one in motions], float)
    half = np.array([one.growth_half_width_per_h for one in motions], float)
    assert np.median(np.abs(growth - rates)) < 0.005
    assert 0.75 <= (np.abs(growth - rates) <= half).mean() <= 1.0
    shared = np.array(linker.drift_um) / 4
    expected = np.hypot(*(steps - shared).T)
    np.testing.assert_allclose([one.displacement_um for one in motions], 4 * expected, rtol=1e-6, atol=0.5)
    np.testing.assert_allclose([one.speed_um_per_h for one in motions], expected, rtol=0.1, atol=2.0)


def test_the_stage_s_motion_is_not_the_cells() -> None:
    rng = np.random.default_rng(2)
    start = random_places(SHAPE, 60, 45.0)
    linker = Linker()
    for k in range(6):
        moved = start + np.array([9.0, -4.0]) * k + rng.normal(0, 0.1, start.shape)
        assert linker.link(cells(moved), FRAME_S * k).track.tolist() == list(range(60))
    assert linker.drift_um == pytest.approx((45, -20), abs=0.3)
    assert max(one.displacement_um for one in linker.motions()) < 1.0


def test_few_cells_move_by_themselves() -> None:
    linker = Linker()
    for k in range(3):
        linker.link(cells([(10 + 5 * k, 10), (90 + 5 * k, 90)]), FRAME_S * k)
    assert linker.drift_um == (0, 0)
    assert [one.displacement_um for one in linker.motions()] == [10, 10]
    assert linker.motions()[0].speed_um_per_h == pytest.approx(30)


def test_two_points_are_no_growth() -> None:
    linker = Linker()
    linker.link(cells([(10, 10)]), 0)
    assert linker.motions() == []
    linker.link(cells([(10, 10)]), 1)
    assert linker.motions()[0].growth_per_h is None


def test_a_long_series_keeps_no_more_than_was_allowed() -> None:
    linker = Linker(LinkSettings(most_points=8))
    for k in range(50):
        linker.link(cells([(10, 10), (100.0 * (k % 5), 300)]), float(k))
    assert max(one.points for one in linker.motions()) == 8
    assert len(linker._tracks) < 8


@pytest.mark.parametrize("time_s", [5.0, 4.0, math.nan])
def test_frames_must_come_in_order(time_s: float) -> None:
    linker = Linker()
    linker.link(cells([(10, 10)]), 5.0)
    with pytest.raises(TimeError, match="later"):
        linker.link(cells([(10, 10)]), time_s)
    assert linker.link(cells([(10, 10)]), 6.0).track.tolist() == [0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("reach_um", 0.0), ("gap_frames", -1), ("mass_weight", -1.0), ("most_mass_change", 0.0), ("most_points", 1)],
)
def test_settings_name_what_is_wrong(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=name):
        LinkSettings(**{name: value})  # type: ignore[arg-type]
