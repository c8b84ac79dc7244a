"""Frames become maps in nanometres, with the zero and the pixel size that they ought to have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.cells import CellTable, MapError, ScaleError, SettingsError
from microscoped.models.cells.opd import CountedOpd, NanometreOpd, OpdMap

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from microscoped.models.cells.opd import OpdSource


def hill(dtype: DTypeLike = np.uint16, zero: float = 2000.0, shape: tuple[int, int] = (61, 47)) -> NDArray[Any]:
    """A hill of 800 counts on an even ground."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (zero + 800.0 * np.exp(-((rows - 30) ** 2 + (columns - 20) ** 2) / 50.0)).round().astype(dtype)


@pytest.mark.parametrize(
    ("source", "zero"),
    [
        (CountedOpd(0.1, 2000.0), 2000.0),
        (CountedOpd(0.1), 2000.0),
        (CountedOpd(0.1, 1990.5), 1990.5),
        (CountedOpd(0.1, 2000.0, pixel_um=0.5), 2000.0),
    ],
)
def test_counts_become_nanometres(source: CountedOpd, zero: float) -> None:
    frame = hill()
    before = frame.copy()
    found = source.read(frame, pixel_um=1.67, bit_depth=16)
    assert found.opd_nm.dtype == np.float32
    assert found.opd_nm.shape == frame.shape
    # The most frequent count is known to the width of a bin.
    assert found.opd_nm == pytest.approx((frame - zero) * 0.1, abs=0.4)
    assert found.made["zero_count"] == pytest.approx(zero, abs=4)
    assert found.pixel_um == (source.pixel_um or 1.67)
    assert (found.first_px, found.scale, source.kind) == ((0.0, 0.0), (1.0, 1.0), "opd")
    np.testing.assert_array_equal(frame, before)


def test_the_zero_of_each_frame_follows_a_drifting_camera() -> None:
    read = [CountedOpd(0.1).read(hill(zero=zero), 1.0).opd_nm for zero in (500, 20_000)]
    np.testing.assert_allclose(read[0], read[1], atol=0.8)


@pytest.mark.parametrize(
    ("bit_depth", "pixels", "share"),
    [
        (16, {(0, 0): 65_535}, 1),
        (12, {(0, 0): 4_095, (1, 1): 0}, 2),
        (12, {}, 0),
        (None, {(0, 0): 4_095}, 0),
    ],
)
def test_it_is_told_how_much_is_beyond_the_range(
    bit_depth: int | None, pixels: dict[tuple[int, int], int], share: int
) -> None:
    frame = hill()
    for place, value in pixels.items():
        frame[place] = value
    found = CountedOpd(0.1, 2000).read(frame, 1.0, bit_depth)
    assert found.made["clipped_share"] == pytest.approx(share / frame.size)


@pytest.mark.parametrize("zero", [None, 12.5])
def test_nanometres_stay_what_they_are_but_for_their_zero(zero: float | None) -> None:
    image = 12.5 + 0.1 * (hill(np.float64, 0.0))
    found = NanometreOpd(zero, 0.8).read(image)
    assert found.opd_nm == pytest.approx(image - 12.5, abs=0.4)
    assert found.pixel_um == 0.8


def test_grey_in_colour_is_one_channel() -> None:
    frame = hill(np.uint8, 20.0) // 4
    found = CountedOpd(1.0, 5).read(np.stack([frame] * 3, axis=-1), 1.0)
    np.testing.assert_array_equal(found.opd_nm, frame.astype(np.float32) - 5)


COLOURS = np.stack([hill(), hill() // 2, hill()], axis=-1)
BAD: list[tuple[str, OpdSource, NDArray[Any], type[ValueError], str]] = [
    ("floats as counts", CountedOpd(0.1), hill(np.float32), MapError, "float32.*unsigned"),
    ("signed counts", CountedOpd(0.1), hill(np.int16), MapError, "int16.*unsigned"),
    ("counts as nanometres", NanometreOpd(), hill(), MapError, "uint16.*counts"),
    ("colours", CountedOpd(0.1), COLOURS, MapError, "colours.*one channel"),
    ("a stack", CountedOpd(0.1), np.stack([hill()] * 5), MapError, r"\(5, 61, 47\)"),
    ("nothing", CountedOpd(0.1), np.zeros((0, 4), np.uint8), MapError, r"\(0, 4\)"),
    ("no number", NanometreOpd(), np.full((4, 4), np.nan), MapError, "not finite"),
]


@pytest.mark.parametrize(("source", "frame", "error", "says"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_frames_that_are_no_maps_are_refused(
    source: OpdSource, frame: NDArray[Any], error: type[ValueError], says: str
) -> None:
    with pytest.raises(error, match=says):
        source.read(frame, 1.0)


@pytest.mark.parametrize(
    ("pixel_um", "says"),
    [(None, "engines.cells.pixel_size_um"), (0.0, "must be a positive"), (math.nan, "must be a positive")],
)
def test_without_a_pixel_size_nothing_is_measured(pixel_um: float | None, says: str) -> None:
    with pytest.raises(ScaleError, match=says):
        CountedOpd(0.1).read(hill(), pixel_um)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"nm_per_count": 0.0}, "nm_per_count 0.0"),
        ({"nm_per_count": math.inf}, "nm_per_count inf"),
        ({"nm_per_count": 0.1, "zero_count": -1.0}, "zero_count -1.0"),
    ],
)
def test_settings_name_what_is_wrong(given: dict[str, float], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        CountedOpd(**given)


def test_places_of_a_computed_map_are_told_in_the_camera_s_pixels() -> None:
    table = CellTable.of_columns([[0.0, 0.0], [10.0, 4.0]], {}, (20, 20), 0.5)
    found = OpdMap(np.zeros((20, 20), np.float32), 0.5, (3.0, 7.0), (2.5, 2.0)).camera_px(table)
    assert found.tolist() == [[3.0, 7.0], [28.0, 15.0]]
