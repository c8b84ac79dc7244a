"""Reading heat maps: each disc once, at its place, with its height."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage, spatial

from microscoped.models.cells import (
    CellTable,
    MapError,
    Quantity,
    ReadingSettings,
    ScaleError,
    SettingsError,
    centre_map,
    disc_maps,
    disc_medians,
    find_places,
    local_maxima,
    read_table,
)
from microscoped.models.cells.quantities import TYPICAL
from microscoped.models.cells.reading import CHUNK, CROWDED
from tests.models.cells.hills import random_places

PIXEL_UM = 1.67
SHAPE = (200, 300)


def population(count: int = 60, apart_um: float = 14.0, pixel_um: float = PIXEL_UM, seed: int = 0) -> CellTable:
    """Cells that may lie anywhere in the frame."""
    shape = round(SHAPE[0] * PIXEL_UM / pixel_um), round(SHAPE[1] * PIXEL_UM / pixel_um)
    places = random_places(SHAPE, count, apart_um / PIXEL_UM, seed) * PIXEL_UM / pixel_um
    rng = np.random.default_rng(seed)
    values = {quantity.value: TYPICAL[quantity] * rng.uniform(0.5, 1.8, count) for quantity in Quantity}
    return CellTable.of_columns(places, values, shape, pixel_um)


def maps_of(table: CellTable, *quantities: Quantity) -> dict[Quantity, np.ndarray]:
    chosen = quantities or tuple(Quantity)
    values = np.stack([table.column(quantity) for quantity in chosen], axis=1)
    return dict(zip(chosen, disc_maps(table.places_px, values, table.shape_px, table.pixel_um), strict=True))


def matched(found: CellTable, true: CellTable) -> np.ndarray:
    """Which row of the truth each found cell is: all of them once, and near it."""
    distance, row = spatial.cKDTree(true.places_um).query(found.places_um)
    assert sorted(row) == list(range(len(true)))
    assert distance.max() < max(2.0, 0.7 * found.pixel_um)
    return row


@pytest.mark.parametrize("pixel_um", [0.835, 1.67, 3.34])
@pytest.mark.parametrize("cones", [False, True])
def test_what_was_drawn_is_read_in_micrometres_at_any_pixel_size(pixel_um: float, cones: bool) -> None:
    true = population(pixel_um=pixel_um)
    cone = centre_map(true.places_px, true.shape_px, pixel_um) if cones else None
    found = read_table(maps_of(true), pixel_um, cones=cone)
    row = matched(found, true)
    for quantity in Quantity:
        np.testing.assert_allclose(found.column(quantity), true.column(quantity)[row], rtol=1e-5)
    np.testing.assert_allclose(found.row_um, found.row_px * pixel_um)
    assert found.field_mm2 == pytest.approx(SHAPE[0] * SHAPE[1] * (1e-3 * PIXEL_UM) ** 2, rel=0.01)


@pytest.mark.parametrize("quantity", Quantity)
def test_one_map_is_enough(quantity: Quantity) -> None:
    true = population()
    found = read_table(maps_of(true, quantity), PIXEL_UM)
    row = matched(found, true)
    np.testing.assert_allclose(found.column(quantity), true.column(quantity)[row], rtol=1e-5)
    assert all(np.isnan(found.column(other)).all() for other in Quantity if other is not quantity)


def test_the_first_and_the_last_pixel_of_a_frame_can_be_a_cell_s() -> None:
    places = np.array([[0.0, 0.0], [0.0, 99.0], [59.0, 50.0], [59.0, 99.0]])
    table = CellTable.of_columns(places, {"dry_mass_pg": np.array([150.0, 200, 250, 300])}, (60, 100), PIXEL_UM)
    found = read_table(maps_of(table, Quantity.DRY_MASS), PIXEL_UM)
    assert found.dry_mass_pg.tolist() == [150, 200, 250, 300]
    assert found.border.all()


@pytest.mark.parametrize(("apart_um", "cones"), [(9.0, False), (6.7, True)])
def test_overlapping_discs_are_two_cells_with_their_own_values(apart_um: float, cones: bool) -> None:
    rng = np.random.default_rng(4)
    for angle in rng.uniform(0, np.pi, 40):
        step = np.array([np.cos(angle), np.sin(angle)]) * apart_um / PIXEL_UM / 2
        middle = 20 + rng.uniform(-0.5, 0.5, 2)
        places, masses = np.array([middle - step, middle + step]), rng.uniform(150, 250, 2)
        disc = disc_maps(places, masses[:, None], (41, 41), PIXEL_UM)[0]
        cone = centre_map(places, (41, 41), PIXEL_UM) if cones else None
        found = read_table({Quantity.DRY_MASS: disc}, PIXEL_UM, cones=cone)
        assert len(found) == 2
        near = spatial.cKDTree(places).query(found.places_px)[1]
        np.testing.assert_allclose(found.dry_mass_pg, masses[near], rtol=1e-5)


def test_equal_discs_that_touch_are_two_cells() -> None:
    disc = disc_maps([[20.0, 15.0], [20.0, 21.0]], [[200.0], [200.0]], (41, 41), PIXEL_UM)[0]
    assert len(read_table({Quantity.DRY_MASS: disc}, PIXEL_UM)) == 2


def test_a_disc_s_edge_does_not_change_its_value() -> None:
    """A network's discs overshoot at their edge or fall off: the maximum is then wrong, the median right."""
    places = random_places((180, 280), 40, 9.0) + 10
    true = CellTable.of_columns(places, {"max_opd_nm": np.linspace(50, 120, 40)}, SHAPE, PIXEL_UM)
    disc = maps_of(true, Quantity.MAX_OPD)[Quantity.MAX_OPD]
    rim = (disc > 0) & ~ndimage.binary_erosion(disc > 0, np.ones((3, 3)))
    rows, columns = np.rint(places).astype(int).T
    for factor in (1.4, 0.6):
        ringed = np.where(rim, np.float32(factor) * disc, disc)
        found = read_table({Quantity.MAX_OPD: ringed}, PIXEL_UM)
        np.testing.assert_allclose(found.max_opd_nm, true.max_opd_nm[matched(found, true)], rtol=1e-5)
        if factor > 1:
            assert (ndimage.maximum_filter(ringed, 7)[rows, columns] > 1.39 * true.max_opd_nm).all()


def test_soft_discs_are_read_without_much_bias() -> None:
    true = population()
    soft = {quantity: ndimage.gaussian_filter(one, 0.7) for quantity, one in maps_of(true).items()}
    found = read_table(soft, PIXEL_UM)
    row = matched(found, true)
    inner = ~true.border[row]
    assert np.median(found.dry_mass_pg[inner] / true.dry_mass_pg[row][inner]) == pytest.approx(1.0, abs=0.025)


def test_half_widths_are_read_as_the_values_are() -> None:
    true = population(20)
    width = {Quantity.AREA: maps_of(true, Quantity.AREA)[Quantity.AREA] * np.float32(0.1)}
    found = read_table(maps_of(true), PIXEL_UM, half_widths=width)
    np.testing.assert_allclose(found.area_um2_half_width, 0.1 * found.area_um2, rtol=1e-5)
    assert np.isnan(found.dry_mass_pg_half_width).all()


@pytest.mark.parametrize("level", [0.0, 0.2])
def test_an_empty_field_is_an_empty_table(level: float) -> None:
    noise = np.float32(0.03) * np.random.default_rng(0).standard_normal((100, 120)).astype(np.float32)
    found = read_table({Quantity.DRY_MASS: (level + noise) * np.float32(TYPICAL[Quantity.DRY_MASS] * 0.8)}, PIXEL_UM)
    assert len(found) == 0
    assert found.values()["count"] == 0


def test_rounding_of_sums_changes_nothing() -> None:
    """Another number of threads adds up in another order: the last digits of a map differ, and no cell may."""
    true = population(80)
    maps = {quantity: ndimage.gaussian_filter(one, 0.7) for quantity, one in maps_of(true).items()}
    rng = np.random.default_rng(1)
    other = {
        quantity: (one * (1 + 2e-6 * rng.standard_normal(one.shape))).astype(np.float32)
        for quantity, one in maps.items()
    }
    one, two = read_table(maps, PIXEL_UM), read_table(other, PIXEL_UM)
    assert len(one) == len(two) == len(true)
    same = spatial.cKDTree(two.places_px).query(one.places_px)[1]
    np.testing.assert_allclose(one.places_px, two.places_px[same], atol=1e-3)
    for quantity in Quantity:
        np.testing.assert_allclose(one.column(quantity), two.column(quantity)[same], rtol=1e-5)


def brute_force(heights: np.ndarray, radius: float, least: float) -> list[list[int]]:
    found = []
    rows, columns = heights.shape
    for i in range(rows):
        for k in range(columns):
            rivals = [
                (-heights[y, x], y, x)
                for y in range(rows)
                for x in range(columns)
                if (y - i) ** 2 + (x - k) ** 2 <= radius**2
            ]
            if heights[i, k] >= least and min(rivals) == (-heights[i, k], i, k):
                found.append([i, k])
    return found


@settings(deadline=None)
@given(
    heights=arrays.arrays(
        np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])
    ),
    radius=st.sampled_from([1.0, 1.5, 2.4, 3.0]),
)
def test_maxima_are_those_of_the_definition(heights: np.ndarray, radius: float) -> None:
    assert local_maxima(heights, radius, 0.5).tolist() == brute_force(heights, radius, 0.5)


def test_crowded_maps_have_the_same_maxima() -> None:
    heights = np.random.default_rng(2).random((60, 70)).astype(np.float32)
    found = local_maxima(heights, 2.4, 0.0)
    candidates = heights == ndimage.maximum_filter(heights, footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert candidates.sum() > CROWDED * heights.size
    steps = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2.4
    expected = np.argwhere(heights == ndimage.maximum_filter(heights, footprint=steps, mode="constant", cval=-1))
    assert found.tolist() == expected.tolist()


def test_a_plateau_is_one_maximum() -> None:
    assert local_maxima(np.ones((300, 300), np.float32), 3.0, 0.5).tolist() == [[0, 0]]
    heights = np.zeros((40, 40), np.float32)
    heights[10:16, 10:16] = 1
    assert local_maxima(heights, 10.0, 0.5).tolist() == [[10, 10]]


def test_more_candidates_than_are_compared_at_once() -> None:
    heights = np.zeros((600, 600), np.float32)
    heights[::4, ::4] = 1
    assert (heights > 0).sum() > CHUNK
    assert len(local_maxima(heights, 2.0, 0.5)) == 150 * 150


def test_the_median_of_two_middles_is_their_mean() -> None:
    heights = np.arange(25, dtype=np.float32).reshape(5, 5)
    assert disc_medians([heights], np.array([[2.0, 2.0]]), 1.0)[0, 0] == 12
    assert disc_medians([heights], np.array([[0.0, 0.0]]), 1.0)[0, 0] == 1  # 0, 1, 5
    assert disc_medians([heights], np.array([[0.0, 2.5]]), 0.6)[0, 0] == 2.5  # 2, 3


def test_a_place_between_pixels_has_a_pixel() -> None:
    heights = np.arange(25, dtype=np.float32).reshape(5, 5)
    assert disc_medians([heights], np.array([[1.5, 1.5]]), 0.3)[0, 0] in heights[1:3, 1:3]


@pytest.mark.parametrize(
    ("maps", "pixel_um", "error", "said"),
    [
        ({}, PIXEL_UM, MapError, "none"),
        ({Quantity.AREA: np.zeros((4, 5)), Quantity.LENGTH: np.zeros((5, 4))}, PIXEL_UM, MapError, "one shape"),
        ({Quantity.AREA: np.zeros((4, 5, 1))}, PIXEL_UM, MapError, "one shape"),
        ({Quantity.AREA: np.zeros((0, 5))}, PIXEL_UM, MapError, "one shape"),
        ({Quantity.AREA: np.full((9, 9), np.nan)}, PIXEL_UM, MapError, "finite"),
        ({Quantity.AREA: np.zeros((9, 9))}, 6.0, ScaleError, "smaller than a pixel"),
        ({Quantity.AREA: np.zeros((9, 9))}, -1.0, ScaleError, "positive"),
    ],
)
def test_maps_that_cannot_be_read_are_refused(
    maps: dict[Quantity, np.ndarray], pixel_um: float, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        read_table(maps, pixel_um)


def test_cones_must_fit_the_maps() -> None:
    with pytest.raises(MapError, match="one shape"):
        read_table({Quantity.AREA: np.zeros((9, 9))}, PIXEL_UM, cones=np.zeros((8, 9)))


@pytest.mark.parametrize(("name", "value"), [("radius_um", 0.0), ("least", -1.0), ("read_um", 5.1), ("apart", np.nan)])
def test_settings_name_what_is_wrong(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=name):
        ReadingSettings(**{name: value})


def test_places_come_in_reading_order() -> None:
    true = population(40)
    places = find_places(maps_of(true, Quantity.DRY_MASS)[Quantity.DRY_MASS] / np.float32(194.9), PIXEL_UM)
    assert (np.diff(places[:, 0]) > -1.0).all()
