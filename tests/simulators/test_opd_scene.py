"""Living cells before a camera of optical path differences: they move, grow and divide as they were told to."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from microscoped.simulators import SimulatedMicroscope
from microscoped.simulators.cells import (
    QUALITY_LEVELS,
    Defocus,
    Mitosis,
    OpdScene,
    OpdSetup,
    PopulationParameters,
)
from microscoped.simulators.cells._scene import _add
from microscoped.simulators.clock import ManualClock

HOUR_NS = 3_600_000_000_000
SETUP = OpdSetup(shape_px=(160, 190), seed=3)
CLEAN = replace(QUALITY_LEVELS[0], noise_nm=0.0, background_nm=0.0)


class Hours:
    """A clock that is set."""

    def __init__(self) -> None:
        self.hours = 0.0

    def __call__(self) -> int:
        return 1_000 + round(self.hours * HOUR_NS)


@pytest.fixture(scope="module")
def scene() -> OpdScene:
    return OpdScene(SETUP, Hours())


def places(scene: OpdScene, hours: float) -> np.ndarray:
    return np.array([(one.row_um, one.column_um) for one in scene.states(hours)])


def masses(scene: OpdScene, hours: float) -> np.ndarray:
    return np.array([one.dry_mass_pg for one in scene.states(hours)])


def test_every_cell_moves_at_its_speed_and_stays_near(scene: OpdScene) -> None:
    steps = [places(scene, 0.01 * k) for k in range(400)]
    paths = np.hypot(*np.moveaxis(np.diff(steps, axis=0), -1, 0)).sum(axis=0)
    np.testing.assert_allclose(paths / 3.99, SETUP.speed_um_per_h, rtol=0.01)
    away = max(float(np.hypot(*(one - steps[0]).T).max()) for one in steps)
    assert 5.0 < away <= 20.0


def test_a_cell_grows_until_it_divides(scene: OpdScene) -> None:
    before, after = masses(scene, 0.0), masses(scene, 1.0)
    grown = after > before
    np.testing.assert_allclose(after[grown] / before[grown], np.exp(SETUP.growth_per_h), rtol=1e-6)
    np.testing.assert_allclose(after[~grown] / before[~grown], np.exp(SETUP.growth_per_h) / 2, rtol=1e-6)
    assert 0.85 < grown.mean() < 1.0
    # After a cycle each has the mass that it began with.
    np.testing.assert_allclose(masses(scene, np.log(2.0) / SETUP.growth_per_h), before, rtol=1e-6)


def test_the_map_holds_each_cell_where_it_is(scene: OpdScene) -> None:
    rows, columns = np.mgrid[:160, :190] * SETUP.pixel_um
    for hours in (0.0, 0.73):
        opd_nm = scene.opd_nm(hours)
        inner = [one for one in scene.states(hours) if 30 < one.row_um < 237 and 30 < one.column_um < 287]
        assert len(inner) > 5
        for one in inner:
            assert opd_nm[np.hypot(rows - one.row_um, columns - one.column_um) < 6.0].max() > 20.0


@pytest.mark.parametrize("place", [(10.0, 12.0), (10.25, 12.0), (10.5, 11.75), (0.0, 0.0)])
def test_a_cell_that_is_moved_between_pixels_keeps_its_mass_and_its_centroid(place: tuple[float, float]) -> None:
    cell = np.pad(np.random.default_rng(1).uniform(0, 80, (9, 7)).astype(np.float32), 1)
    drawn = np.zeros((40, 50), np.float32)
    _add(drawn, cell, place, 1.3)
    assert drawn.sum() == pytest.approx(1.3 * cell.sum(), rel=1e-5)
    rows, columns = np.mgrid[:40, :50]
    inner = cell[1:-1, 1:-1]
    own_rows, own_columns = np.mgrid[:9, :7]
    for axis, own, at in ((rows, own_rows, place[0]), (columns, own_columns, place[1])):
        assert (drawn * axis).sum() / drawn.sum() == pytest.approx((inner * own).sum() / inner.sum() + at, abs=1e-3)


@pytest.mark.parametrize("place", [(-4.3, 10.0), (37.2, 48.9), (-30.0, 5.0), (10.0, 60.0)])
def test_a_cell_at_the_edge_is_cut(place: tuple[float, float]) -> None:
    cell = np.pad(np.full((9, 7), 50.0, np.float32), 1)
    drawn, wide = np.zeros((40, 50), np.float32), np.zeros((140, 150), np.float32)
    _add(drawn, cell, place, 1.0)
    _add(wide, cell, (place[0] + 50, place[1] + 50), 1.0)
    np.testing.assert_allclose(drawn, wide[50:90, 50:100], atol=1e-4)


def test_the_map_is_drawn_anew_only_where_something_can_be_seen_to_move(scene: OpdScene) -> None:
    first = scene.opd_nm(0.2)
    assert scene.opd_nm(0.2 + 0.001) is first
    assert scene.opd_nm(0.3) is not first


def test_frames_are_counts_of_this_moment() -> None:
    clock = Hours()
    scene = OpdScene(replace(SETUP, nm_per_count=0.05, zero_count=3000), clock)
    frame = scene.expose(5.0, 10.0, 1)
    assert (frame.dtype, frame.shape, scene.bit_depth) == (np.uint16, (160, 190), 16)
    noise_nm = (frame.astype(float) - 3000) * 0.05 - scene.opd_nm(0.0)
    assert noise_nm.std() == pytest.approx(1.2, rel=0.05)
    assert abs(noise_nm.mean()) < 0.05
    np.testing.assert_array_equal(frame, scene.expose(-5.0, 1.0, 1))
    assert (scene.expose(5.0, 10.0, 2) != frame).any()
    clock.hours = 1.0
    moved = (scene.expose(5.0, 10.0, 1).astype(float) - 3000) * 0.05
    assert np.abs(moved - scene.opd_nm(1.0)).max() < 10
    assert np.abs(moved - scene.opd_nm(0.0)).max() > 10


@pytest.mark.parametrize("level", range(7))
def test_quality_is_noise_and_background(level: int) -> None:
    quality = QUALITY_LEVELS[level]
    scene = OpdScene(replace(SETUP, quality=quality), Hours())
    frame = scene.expose(0.0, 10.0, 1)
    clean = OpdScene(replace(SETUP, quality=QUALITY_LEVELS[0]), Hours())
    background = scene.opd_nm(0.0) - clean.opd_nm(0.0)
    assert np.abs(background).max() == pytest.approx(quality.background_nm, abs=0.01)
    noise_nm = (frame.astype(float) - SETUP.zero_count) * SETUP.nm_per_count - scene.opd_nm(0.0)
    assert noise_nm.std() == pytest.approx(quality.noise_nm, rel=0.05)


def test_without_growth_a_cell_has_the_mass_that_was_drawn() -> None:
    scene = OpdScene(replace(SETUP, growth_per_h=0.0, speed_um_per_h=0.0), Hours())
    np.testing.assert_array_equal(masses(scene, 0.0), masses(scene, 100.0))
    np.testing.assert_array_equal(places(scene, 0.0), places(scene, 100.0))
    assert scene.opd_nm(0.0) is scene.opd_nm(100.0)


def test_a_frame_costs_little() -> None:
    scene = OpdScene(OpdSetup())
    scene.expose(0.0, 10.0, 0)
    spent = []
    for shot in range(12):
        start = time.process_time()
        scene.expose(0.0, 10.0, shot)
        spent.append(time.process_time() - start)
    assert sorted(spent)[len(spent) // 2] < 0.02


def test_it_is_a_microscope() -> None:
    clock = ManualClock()
    with SimulatedMicroscope(OpdScene(SETUP, clock), clock=clock, sleep=clock.sleep, pixel_size_um=1.67) as scope:
        assert scope.camera.info().bit_depth == 16
        assert "per mm²" in scope.describe()["specimen"]
        assert scope.camera.snap().pixels.shape == SETUP.shape_px


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"pixel_um": 0.0}, "pixel_um"),
        ({"nm_per_count": -1.0}, "nm_per_count"),
        ({"speed_um_per_h": -1.0}, "speed_um_per_h"),
        ({"growth_per_h": -0.1}, "growth_per_h"),
        ({"zero_count": 70_000}, "zero_count"),
    ],
)
def test_a_figure_that_cannot_be_is_named(given: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(SETUP, **given)  # type: ignore[arg-type] # what is tested


MITOTIC = replace(SETUP, growth_per_h=0.35, mitosis=Mitosis(), speed_um_per_h=0.0, quality=CLEAN)


def test_a_cell_rounds_up_divides_and_spreads_again_with_its_mass_kept() -> None:
    scene = OpdScene(MITOTIC, Hours())
    first = scene.divisions(0.5, 1.5)[0]
    states = {at: scene.states(first.hours + at / 60.0)[first.cell] for at in (-29, -24, -19, -1, 1, 7.5, 16)}
    rounds = {at: state.roundness for at, state in states.items()}
    assert (rounds[-29], rounds[-19], rounds[-1], rounds[16]) == (0.0, 1.0, 1.0, 0.0)
    assert rounds[-24] == pytest.approx(0.5)
    assert rounds[7.5] == pytest.approx(0.5)
    assert states[1].dry_mass_pg == pytest.approx(0.5 * states[-1].dry_mass_pg, rel=0.02)
    # The map: the whole mass changes by growth alone while cells round up, and no cell leaves its place.
    quiet = replace(MITOTIC, mitosis=None)
    for at in (-29, -24, -19):
        hours = first.hours + at / 60.0
        as_drawn = OpdScene(quiet, Hours()).states(hours)[first.cell]
        assert as_drawn.dry_mass_pg == pytest.approx(states[at].dry_mass_pg)
        assert (as_drawn.row_um, as_drawn.column_um) == (states[at].row_um, states[at].column_um)


def test_a_round_cell_is_tall_where_the_spread_one_was_flat() -> None:
    scene = OpdScene(MITOTIC, Hours())
    seen = 0
    for division in scene.divisions(0.5, 3.0):
        state = scene.states(division.hours - 0.1)[division.cell]
        row, column = round(state.row_um / SETUP.pixel_um), round(state.column_um / SETUP.pixel_um)
        if not (15 <= row < SETUP.shape_px[0] - 15 and 15 <= column < SETUP.shape_px[1] - 15):
            continue
        window = slice(row - 4, row + 5), slice(column - 4, column + 5)
        before, during = (scene.opd_nm(division.hours - hours)[window].max() for hours in (0.6, 0.1))
        assert during > 1.3 * before
        seen += 1
    assert seen > 3


def test_divisions_are_those_of_the_masses_and_dead_cells_have_none() -> None:
    many = replace(PopulationParameters.matched(), round_share=0.4, dividing_share=0.0)
    scene = OpdScene(replace(MITOTIC, parameters=many), Hours())
    found = scene.divisions(0.0, 4.0)
    assert [one.hours for one in found] == sorted(one.hours for one in found)
    for one in found:
        before, after = (scene.states(one.hours + hours)[one.cell].dry_mass_pg for hours in (-1e-6, 1e-6))
        assert after == pytest.approx(0.5 * before, rel=1e-4)
    still = set(range(len(scene.states(0.0)))) - {one.cell for one in found}
    assert 3 < len(still) < len(scene.states(0.0))
    for cell in still:  # a cycle takes 2 h
        assert scene.states(0.0)[cell].dry_mass_pg == scene.states(3.3)[cell].dry_mass_pg
    assert OpdScene(SETUP, Hours()).divisions(0.0, 4.0)
    assert not OpdScene(replace(SETUP, growth_per_h=0.0), Hours()).divisions(0.0, 4.0)


def test_a_mitosis_fits_into_the_cycle() -> None:
    with pytest.raises(ValueError, match="a mitosis takes 43"):
        OpdSetup(growth_per_h=1.0, mitosis=Mitosis())
    with pytest.raises(ValueError, match="round_min is 0"):
        Mitosis(round_min=0)


def test_maps_blur_out_of_focus_evenly_on_both_sides_and_keep_their_mass() -> None:
    opd_nm = OpdScene(replace(SETUP, quality=CLEAN), Hours()).opd_nm(0.0)
    light = Defocus(wavelength_nm=550.0, illumination_na=0.2)
    assert light.apply(opd_nm, SETUP.pixel_um, 0.0) is opd_nm
    contrast = [float(light.apply(opd_nm, SETUP.pixel_um, z_um).std()) for z_um in (-12, -6, -3, 3, 6, 12)]
    assert contrast[:3] == pytest.approx(contrast[:2:-1], rel=1e-5)
    assert contrast[0] < contrast[1] < contrast[2] < float(opd_nm.std())
    assert light.apply(opd_nm, SETUP.pixel_um, 12.0).mean() == pytest.approx(opd_nm.mean(), rel=0.02)
    scene = OpdScene(replace(SETUP, quality=CLEAN, defocus=light), Hours())
    assert np.ptp(scene.expose(0.0, 10.0, 1)) > np.ptp(scene.expose(12.0, 10.0, 1))
    with pytest.raises(ValueError, match="must be positive"):
        Defocus(0.0)


def test_the_transfer_of_a_grating_is_the_formulas() -> None:
    pixel_um, period_px, z_um = 1.0, 8, 5.0
    grating = np.tile(np.cos(2 * np.pi * np.arange(64) / period_px), (64, 1)).astype(np.float32)
    seen = Defocus(500.0, 0.2).apply(grating, pixel_um, z_um)
    nu = 1.0 / (period_px * pixel_um)
    wanted = np.cos(np.pi * 0.5 * z_um * nu**2) * np.exp(-0.5 * (2 * np.pi * 0.1 * z_um * nu) ** 2)
    middle = slice(16, 48)
    factor = float((seen * grating)[middle, middle].sum() / (grating**2)[middle, middle].sum())
    assert factor == pytest.approx(wanted, rel=0.01)
