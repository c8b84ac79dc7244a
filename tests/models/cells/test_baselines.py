"""Both classical ways measure hills whose mass, area and length are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from microscoped.models.cells import (
    BaselineSettings,
    CellTable,
    MapError,
    Quantity,
    ScaleError,
    SettingsError,
    measure_labels,
    score,
    seeded_growing,
    threshold_watershed,
)
from tests.models.cells.hills import Hill, draw, lattice

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Way = Callable[[NDArray[np.floating], float, BaselineSettings], CellTable]

WAYS = pytest.mark.parametrize("way", [seeded_growing, threshold_watershed])
DEFAULT = BaselineSettings()


@WAYS
@pytest.mark.parametrize("pixel_um", [0.8, 1.67])
def test_cells_have_their_true_quantities_at_any_pixel_size(way: Way, pixel_um: float) -> None:
    field = lattice((int(200 / pixel_um), int(260 / pixel_um)), pixel_um)
    result = score([(field.truth, way(field.opd_nm, pixel_um, DEFAULT))])
    assert (result.detection.precision.value, result.detection.recall.value) == (1, 1)
    true = field.truth
    found = way(field.opd_nm, pixel_um, DEFAULT)
    nearest = np.argmin(np.hypot(*(true.places_um[:, None] - found.places_um[None]).transpose(2, 0, 1)), axis=1)
    for got, expected, rel in (
        (found.dry_mass_pg[nearest], true.dry_mass_pg, 0.02),
        (found.area_um2[nearest], true.area_um2, 0.03),
        (found.max_opd_nm[nearest], true.max_opd_nm, 0.05),
        (found.length_um[nearest], true.length_um, 0.03),
    ):
        np.testing.assert_allclose(got, expected, rtol=rel)
    assert np.hypot(*(found.places_um[nearest] - true.places_um).T).max() < 0.3


@WAYS
def test_an_empty_field_has_no_cells(way: Way) -> None:
    rng = np.random.default_rng(0)
    for image in (np.zeros((60, 80)), np.full((60, 80), 3.0), rng.standard_normal((60, 80))):
        found = way(image, 1.67, DEFAULT)
        assert len(found) == 0
        assert found.shape_px == (60, 80)


@WAYS
def test_touching_cells_are_two_and_say_so(way: Way) -> None:
    hills = (Hill(80, 70, 90, 6, 6), Hill(80, 95, 90, 6, 6), Hill(180, 80, 90, 6, 6))
    found = way(draw(hills, (150, 100), 1.67), 1.67, DEFAULT)
    assert len(found) == 3
    assert sorted(zip(found.row_um.round(-1).tolist(), found.touching.tolist(), strict=True)) == [
        (80, True),
        (80, True),
        (180, False),
    ]


@WAYS
def test_cells_cut_by_the_border_say_so(way: Way) -> None:
    found = way(draw((Hill(5, 80), Hill(80, 80)), (100, 100), 1.67), 1.67, DEFAULT)
    assert sorted(zip(found.row_um.round(-1).tolist(), found.border.tolist(), strict=True)) == [(10, True), (80, False)]


@WAYS
def test_debris_is_no_cell(way: Way) -> None:
    image = draw((Hill(80, 80), Hill(30, 30, 60, 1.5, 1.5)), (100, 100), 1.67)
    assert len(way(image, 1.67, DEFAULT)) == 1
    assert len(way(image, 1.67, BaselineSettings(least_area_um2=5.0))) == 2


@WAYS
def test_noise_on_a_smooth_background_leaves_the_count(way: Way) -> None:
    field = lattice((300, 300), 1.67, spacing_um=55.0)
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:300, :300] / 300
    degraded = field.opd_nm + 10 * rng.standard_normal((300, 300)) + 30 * np.sin(4 * down) * np.cos(3 * across)
    result = score([(field.truth, way(degraded, 1.67, BaselineSettings(background_um=120.0, least_area_um2=40.0)))])
    assert result.detection.precision.value > 0.97
    assert result.detection.recall.value > 0.97
    # Without it, hills of the background are cells.
    worse = score([(field.truth, way(degraded, 1.67, DEFAULT))])
    assert worse.detection.f1.value < 0.9


def test_turned_cells_have_one_length() -> None:
    lengths = [
        seeded_growing(draw((Hill(60, 60, 80, 9, 4, angle),), (75, 75), 1.67), 1.67, DEFAULT).length_um[0]
        for angle in np.linspace(0, math.pi, 7)
    ]
    assert lengths == pytest.approx([Hill(0, 0, 80, 9, 4).length_um] * 7, rel=0.03)


def test_both_measure_the_same_of_the_same_regions() -> None:
    field = lattice((200, 200), 1.67)
    labels, _ = ndimage.label(field.opd_nm > 5)
    ours = measure_labels(field.opd_nm, labels, 1.67)
    theirs = threshold_watershed(field.opd_nm, 1.67, replace(DEFAULT, apart_um=30.0))
    assert len(ours) == len(theirs)
    same = np.argmin(np.hypot(*(ours.places_um[:, None] - theirs.places_um[None]).transpose(2, 0, 1)), axis=1)
    for quantity in Quantity:
        np.testing.assert_allclose(ours.column(quantity), theirs.column(quantity)[same], rtol=1e-5)
    np.testing.assert_allclose(ours.places_px, theirs.places_px[same], atol=1e-3)


def test_labels_may_have_gaps_and_regions_without_height() -> None:
    labels = np.zeros((20, 20), int)
    labels[2:6, 2:6], labels[10:14, 10:16] = 3, 7
    image = np.where(labels == 3, 50.0, -1.0)
    found = measure_labels(image, labels, 2.0)
    assert found.area_um2.tolist() == [64, 96]
    assert found.dry_mass_pg.tolist() == pytest.approx([64 * 0.05 / 0.18, -96 * 0.001 / 0.18])
    assert found.places_px.tolist() == [[3.5, 3.5], [11.5, 12.5]]
    assert found.length_um[0] == pytest.approx(4 * math.sqrt((16 - 1) / 12 + 1 / 12) * 2)


@WAYS
@pytest.mark.parametrize(
    ("image", "pixel_um", "error"),
    [
        (np.zeros((4, 5, 3)), 1.67, MapError),
        (np.zeros((0, 5)), 1.67, MapError),
        (np.full((5, 5), np.nan), 1.67, MapError),
        (np.zeros((5, 5)), 0.0, ScaleError),
    ],
)
def test_what_is_no_image_is_refused(
    way: Way, image: NDArray[np.floating], pixel_um: float, error: type[Exception]
) -> None:
    with pytest.raises(error):
        way(image, pixel_um, DEFAULT)


@pytest.mark.parametrize("name", ["threshold_nm", "smoothing_um", "diameter_um", "background_um"])
def test_settings_name_what_is_wrong(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        BaselineSettings(**{name: -1.0})
