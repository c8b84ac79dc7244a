"""The line of distance over stage: tables of readings with known truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from microscoped.models.hologram import Side
from microscoped.models.hologram.calibration import (
    Bars,
    CellTracks,
    DistanceReading,
    Line,
    Told,
    find_side,
    fit_line,
    shortfalls,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOOR_UM = 0.015
TOLD = Told(dof_um=1.58, expected=1.3345, overshoot_um=1.0, visits=25, lost=0, duration_s=20.0)


def table(
    slope: float = 1.3345,
    *,
    steps: int = 11,
    visits: int = 2,
    cells: int = 6,
    noise_um: float = 0.0,
    drift_um_s: float = 0.0,
    play_um: float = 0.0,
    half_range_um: float = 5.0,
    seed: int = 1,
) -> list[DistanceReading]:
    """Readings of a stage that visits each place in turn, rising, and then the middle one from above."""
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-3.0, 3.0, cells)
    places = np.linspace(-half_range_um, half_range_um, steps)
    readings = []
    t_s = 0.0
    visited = [(place, visit, False) for visit in range(visits) for place in range(steps)]
    visited += [(steps // 2, visits + k, True) for k in range(3)]
    for place, visit, reverse in visited:
        t_s += 0.5
        off = play_um if reverse else 0.0
        for cell, offset in enumerate(offsets):
            distance = offset + slope * (places[place] + off) + drift_um_s * t_s + rng.normal(0.0, 1.0) * noise_um
            readings.append(DistanceReading(float(places[place]), t_s, place, visit, cell, float(distance), reverse))
    return readings


def fitted(readings: Sequence[DistanceReading]) -> Line:
    line = fit_line(readings, FLOOR_UM)
    assert isinstance(line, Line), line
    return line


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"slope": -1.3345},
        {"slope": 0.1},
        {"noise_um": 0.05},
        {"noise_um": 0.05, "steps": 5},
        {"noise_um": 0.05, "cells": 1},
        {"noise_um": 0.05, "visits": 5, "steps": 51, "cells": 12},
        {"drift_um_s": 0.1},
        {"drift_um_s": -0.2, "noise_um": 0.03},
        {"play_um": 0.7, "noise_um": 0.02},
    ],
    ids=str,
)
def test_the_slope_is_recovered_within_its_interval(case: dict[str, Any]) -> None:
    line = fitted(table(**case))
    slope = case.get("slope", 1.3345)
    assert line.slope == pytest.approx(slope, abs=max(1e-9, 2.0 * line.half_width))
    assert line.half_width < 0.035 * abs(slope) + 0.02
    assert line.drift_um_s == pytest.approx(case.get("drift_um_s", 0.0), abs=0.01)
    assert line.play_um == pytest.approx(case.get("play_um", 0.0), abs=0.05)
    assert line.repeatability_um <= max(1e-9, 2.0 * case.get("noise_um", 0.0))
    assert line.linearity_um <= line.worst_um <= max(1e-9, 3.0 * case.get("noise_um", 0.0))
    assert len(line.places) == case.get("steps", 11)


def test_without_noise_all_is_exact() -> None:
    readings = table(half_range_um=4.0)
    line = fitted(readings)
    offsets = {one.cell: one.distance_um - 1.3345 * one.stage_um for one in readings}
    assert line.slope == pytest.approx(1.3345, abs=1e-12)
    assert line.offset_um == pytest.approx(float(np.median(list(offsets.values()))), abs=1e-9)
    assert line.half_width == pytest.approx(0.003 * 1.3345)
    assert line.outliers == 0
    assert line.places[0].distance_um == pytest.approx(line.offset_um - 4.0 * 1.3345)
    assert [place.visits for place in line.places] == [2] * 11


@pytest.mark.parametrize(
    ("noise_um", "bend", "stage_um", "cells"),
    [(0.3, 0.0, 0.0, 3), (0.02, 0.01, 0.0, 2), (0.02, 0.01, 0.0, 6), (0.02, 0.0, 0.05, 4)],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(
    noise_um: float, bend: float, stage_um: float, cells: int
) -> None:
    """Whatever is uncertain: single readings, each cell's own line, or where the stage was at each place."""
    inside = 0
    widths, errors = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed + 1000)
        bends, places = rng.normal(0.0, bend, cells), rng.normal(0.0, stage_um, 11)
        readings = [
            replace(one, distance_um=one.distance_um + bends[one.cell] * one.stage_um + places[one.place])
            for one in table(noise_um=noise_um, cells=cells, seed=seed)
        ]
        line = fitted(readings)
        inside += abs(line.slope - 1.3345) <= line.half_width
        widths.append(line.half_width)
        errors.append(line.slope - 1.3345)
    assert inside >= 0.8 * 40
    assert np.mean(widths) < 8 * np.std(errors)  # with two cells few degrees of freedom are left


def test_one_cell_alone_is_never_believed_as_well_as_several() -> None:
    assert fitted(table(cells=1)).half_width == pytest.approx(0.01 * 1.3345)


@pytest.mark.parametrize(
    ("spoilt", "of"),
    [
        ("one cell everywhere in a wrong minimum", lambda one: one.cell == 0 and one.stage_um < 0),
        ("every fifth reading", lambda one: (one.place * 7 + one.cell) % 5 == 0),
        ("one whole visit", lambda one: one.place == 3 and one.visit == 1),
    ],
)
def test_wrong_minima_do_not_move_the_line(spoilt: str, of: Any) -> None:  # noqa: ANN401 - a test of readings
    readings = [
        replace(one, distance_um=one.distance_um - 9.0) if of(one) and not one.reverse else one
        for one in table(noise_um=0.03)
    ]
    line = fitted(readings)
    assert line.slope == pytest.approx(1.3345, abs=0.01), spoilt
    assert line.outliers >= sum(of(one) for one in readings if not one.reverse) * 0.9
    # Of cells that are wrong the places know nothing; a stage that was elsewhere for a whole visit does not repeat.
    assert (line.linearity_um < 0.1) == (line.repeatability_um < 0.1) == (spoilt != "one whole visit")


def test_cells_that_come_and_go_keep_their_own_offsets() -> None:
    """A median over the cells of each hologram would jump where the set of cells changes."""
    readings = [one for one in table(cells=8) if not (one.cell < 4 and one.stage_um > 1.0)]
    line = fitted(readings)
    assert line.slope == pytest.approx(1.3345, abs=1e-9)
    assert line.worst_um < 1e-9


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ([], "distances at 0 places"),
        (table(steps=4), "distances at 4 places of the stage, at least 5"),
        ([one for one in table() if one.place in (0, 1, 9, 10)], "distances at 4 places"),
        ([replace(one, cell=100 * one.place + one.cell) for one in table()], "distances at 0 places"),
        ([replace(one, reverse=True) for one in table()], "distances at 0 places"),
        ([replace(one, stage_um=3.0) for one in table()], "does not move"),
    ],
    ids=["none", "few steps", "few places with readings", "cells seen once", "only reverse", "stage stands"],
)
def test_too_few_readings_are_no_line_and_it_says_why(readings: list[DistanceReading], words: str) -> None:
    found = fit_line(readings, FLOOR_UM)
    assert isinstance(found, str)
    assert words in found


def test_play_shows_only_in_the_visits_from_the_other_side() -> None:
    with_play, without = fitted(table(play_um=0.8)), fitted(table())
    assert with_play.play_um == pytest.approx(0.8)
    assert with_play.slope == pytest.approx(without.slope)
    assert fitted([one for one in table(play_um=0.8) if not one.reverse]).play_um is None


def test_a_stage_whose_steps_are_uneven_is_seen_in_the_residuals() -> None:
    readings = [
        replace(one, distance_um=one.distance_um + 0.3 * np.sin(2 * np.pi * one.stage_um / 5.0)) for one in table()
    ]
    line = fitted(readings)
    assert line.linearity_um == pytest.approx(0.3 / np.sqrt(2), rel=0.3)
    assert line.repeatability_um < 1e-9


def test_a_stage_that_does_not_repeat_is_seen_between_visits() -> None:
    readings = [
        replace(one, distance_um=one.distance_um + (0.2 if one.visit == 1 and one.place % 2 else 0.0))
        for one in table()
    ]
    assert 0.05 < fitted(readings).repeatability_um < 0.2


# --- the verdict ------------------------------------------------------------------------------------------------------

GOOD = Line(
    slope=1.33,
    half_width=0.004,
    offset_um=0.2,
    drift_um_s=0.001,
    repeatability_um=0.03,
    linearity_um=0.03,
    worst_um=0.06,
    play_um=0.3,
    cells=10,
    readings=220,
    outliers=4,
    places=(),
)


@pytest.mark.parametrize(
    ("line", "told", "words"),
    [
        ({}, {}, ()),
        ({"slope": -1.33}, {}, ()),
        ({"slope": 1.6}, {}, ()),
        ({}, {"lost": 7}, ("no distance at 7 of 25 visits",)),
        ({"slope": 0.01, "half_width": 0.02}, {}, ("distances do not follow the stage",)),
        ({"half_width": 0.05}, {}, ("the scale is known to 3.8%",)),
        ({"slope": 0.133}, {"expected": 1.3345}, ("the scale is known to 3.0%", "not about 1.33")),
        ({"slope": 2.1}, {}, ("2.1 µm per µm of stage",)),
        ({"linearity_um": 0.5, "worst_um": 0.7}, {}, ("0.32 DoF off the line (root mean square",)),
        ({"worst_um": 1.0}, {}, ("one place lies 0.63 DoF off the line",)),
        ({"repeatability_um": 0.5}, {}, ("differs by 0.32 DoF between visits",)),
        ({"drift_um_s": 0.2}, {}, ("2.5 DoF during the calibration",)),
        ({"play_um": 1.2}, {}, ("raise it",)),
        ({"play_um": 1.2}, {"overshoot_um": 2.0}, ()),
        ({"play_um": 0.2}, {"overshoot_um": 0.0}, ()),
        ({"play_um": None}, {}, ()),
        ({"outliers": 80}, {}, ("80 of 220 distances",)),
    ],
    ids=str,
)
def test_each_bar_has_its_reason_and_remedy(line: dict[str, Any], told: dict[str, Any], words: tuple[str, ...]) -> None:
    reasons = shortfalls(replace(GOOD, **line), replace(TOLD, **told), Bars())
    assert len(reasons) == len(words), reasons
    for reason, expected in zip(reasons, words, strict=True):
        assert expected in reason


@pytest.mark.parametrize(
    ("slope", "light_sign", "side", "changed"),
    [
        # The plane in focus goes along the light: distances must fall.
        (-1.3, 1, Side.PLUS, False),
        (1.3, 1, Side.MINUS, True),
        (1.3, -1, Side.PLUS, False),
        (-1.3, -1, Side.MINUS, True),
    ],
)
def test_the_stage_tells_the_sideband(slope: float, light_sign: Literal[-1, 1], side: Side, changed: bool) -> None:
    found = find_side(slope, Side.PLUS, light_sign, None)
    assert (found.side, found.known, found.changed) == (side, True, changed)
    mirrored = find_side(-slope, Side.MINUS, light_sign, None)
    assert mirrored.side is side
    assert len(found.warnings) == changed
    if changed:
        assert "minus is the right sideband, not plus" in found.warnings[0]


@pytest.mark.parametrize(
    ("slope", "denser", "direction"),
    [
        (1.3, Side.PLUS, "toward_sample"),
        (-1.3, Side.PLUS, "away"),
        (1.3, Side.MINUS, "away"),
        (-1.3, Side.MINUS, "toward_sample"),
    ],
)
def test_without_a_direction_the_side_is_kept_and_what_follows_is_said(
    slope: float, denser: Side, direction: str
) -> None:
    found = find_side(slope, Side.PLUS, 0, denser)
    assert (found.side, found.known, found.changed) == (Side.PLUS, False, False)
    assert "stage.focus_direction is unknown" in found.warnings[0]
    assert "may lie upstream" in found.warnings[0]
    assert f"stage.focus_direction is {direction}" in found.warnings[0]
    assert "is denser" not in find_side(slope, Side.PLUS, 0, None).warnings[0]


def test_a_phase_that_contradicts_the_stage_is_told() -> None:
    found = find_side(1.3, Side.PLUS, -1, Side.MINUS)
    assert found.side is Side.PLUS
    assert "the wrong way round, or the specimen is less dense" in found.warnings[0]


# --- tracks -----------------------------------------------------------------------------------------------------------


def test_cells_keep_their_numbers_while_they_creep_and_new_ones_get_new_numbers() -> None:
    tracks = CellTracks(20.0)
    assert tracks.numbers([(10.0, 10.0), (100.0, 50.0)]) == [0, 1]
    assert tracks.numbers([(104.0, 53.0), (13.0, 8.0), (300.0, 300.0)]) == [1, 0, 2]
    assert tracks.numbers([]) == []
    assert tracks.numbers([(117.0, 60.0)]) == [1]  # it has crept further than the reach since the first time
    assert tracks.numbers([(118.0, 60.0), (125.0, 60.0)]) == [1, 3]  # of two in reach the nearer one is it
    assert tracks.numbers([(500.0, 500.0)]) == [4]
