"""Targets: discs of 10 µm whatever the pixel, each pixel of one cell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from microscoped.models.cells import MapError, ScaleError, centre_map, disc_maps

PIXEL_UM = 1.67


@pytest.mark.parametrize("pixel_um", [0.25, 0.5, 1.0, 1.67])
def test_a_disc_has_ten_micrometres_at_any_pixel_size(pixel_um: float) -> None:
    side = int(40 / pixel_um)
    places = np.random.default_rng(0).uniform(side / 2 - 1, side / 2 + 1, (40, 1, 2))
    areas = [(disc_maps(place, [[3.0]], (side, side), pixel_um)[0] == 3.0).sum() * pixel_um**2 for place in places]
    assert np.mean(areas) == pytest.approx(math.pi * 25, rel=0.03)


def test_a_disc_at_the_paper_s_pixels_is_six_wide() -> None:
    drawn = disc_maps([[9.5, 9.5]], [[1.0]], (20, 20), PIXEL_UM)[0]
    assert (drawn.any(axis=0).sum(), drawn.any(axis=1).sum()) == (6, 6)


def test_every_map_holds_its_own_quantity() -> None:
    drawn = disc_maps([[5, 5], [15, 30]], [[200.0, 80.0], [150.0, 60.0]], (20, 40), PIXEL_UM)
    assert drawn.shape == (2, 20, 40)
    assert drawn.dtype == np.float32
    assert np.unique(drawn[0]).tolist() == [0, 150, 200]
    assert np.unique(drawn[1]).tolist() == [0, 60, 80]
    assert (drawn[0, 5, 5], drawn[1, 15, 30]) == (200, 60)


def test_overlapping_discs_share_pixels_by_distance_and_never_add_up() -> None:
    places, values = np.array([[10.0, 10.0], [10.0, 14.0]]), np.array([[100.0], [40.0]])
    drawn = disc_maps(places, values, (21, 25), PIXEL_UM)[0]
    assert set(np.unique(drawn)) == {0.0, 40.0, 100.0}
    assert (drawn[:, :12] != 40).all()
    assert (drawn[:, 13:] != 100).all()
    # Whoever comes first in the list has no more of it.
    np.testing.assert_array_equal(
        np.delete(drawn, 12, axis=1),
        np.delete(disc_maps(places[::-1], values[::-1], (21, 25), PIXEL_UM)[0], 12, axis=1),
    )


def test_discs_at_the_border_are_cut_and_those_beyond_it_reach_in() -> None:
    drawn = disc_maps([[0.0, 10.0], [10.0, -1.0], [-40.0, 3.0]], [[1.0], [2.0], [3.0]], (20, 20), PIXEL_UM)[0]
    assert 0 < (drawn == 1).sum() < 28
    assert 0 < (drawn == 2).sum() < 14
    assert not (drawn == 3).any()


def test_a_field_without_cells_is_flat() -> None:
    assert not disc_maps(np.zeros((0, 2)), np.zeros((0, 3)), (8, 9), PIXEL_UM).any()
    assert disc_maps(np.zeros((0, 2)), np.zeros((0, 3)), (8, 9), PIXEL_UM).shape == (3, 8, 9)
    assert not centre_map(np.zeros((0, 2)), (8, 9), PIXEL_UM).any()


def test_cones_fall_from_one_at_the_centre_to_nothing_at_the_disc_s_edge() -> None:
    cone = centre_map([[20.0, 20.0]], (41, 41), 0.5)
    assert cone[20, 20] == 1.0
    assert cone[20, 25] == pytest.approx(0.5)
    assert cone[20, 30] == pytest.approx(0.0, abs=1e-6)
    assert cone[20, 31:].max() == 0
    assert cone.max() == 1.0


@pytest.mark.parametrize(
    ("places", "values", "pixel_um", "error", "said"),
    [
        ([[1.0, 2.0]], [[1.0], [2.0]], PIXEL_UM, MapError, "1 places"),
        ([[1.0, 2.0]], [1.0], PIXEL_UM, MapError, "cells, maps"),
        ([[1.0, np.nan]], [[1.0]], PIXEL_UM, MapError, "not finite"),
        ([[1.0, 2.0]], [[np.inf]], PIXEL_UM, MapError, "not finite"),
        ([[1.0, 2.0]], [[1.0]], 5.1, ScaleError, "smaller than a pixel"),
        ([[1.0, 2.0]], [[1.0]], 0.0, ScaleError, "positive"),
        ([[1.0, 2.0]], [[1.0]], np.nan, ScaleError, "positive"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    places: list[list[float]], values: list[list[float]], pixel_um: float, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        disc_maps(places, values, (10, 10), pixel_um)
