"""The table: units, empty fields, what is known of a field in sum, and its binary form."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest

from microscoped.models.cells import (
    COLUMNS,
    CellTable,
    Quantity,
    ScaleError,
    TableError,
    dry_mass_pg,
    from_arrow,
    to_arrow,
)
from tests.models.cells.hills import Hill, lattice

PIXEL_UM = 1.67
SHAPE = (600, 500)


def table(count: int = 5, **columns: object) -> CellTable:
    rng = np.random.default_rng(count)
    values = {quantity.value: rng.uniform(50, 100, count) for quantity in Quantity}
    places = rng.uniform(30, 400, (count, 2))
    return CellTable.of_columns(places, {**values, **columns}, SHAPE, PIXEL_UM)  # type: ignore[dict-item]


def same(one: CellTable, other: CellTable) -> bool:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    return (one.shape_px, one.pixel_um) == (other.shape_px, other.pixel_um)


def test_a_cube_of_known_matter_has_its_dry_mass() -> None:
    # 20 × 20 µm, 90 nm of optical path: 36 µm³, 200 pg at 0.18 µm³/pg.
    assert dry_mass_pg(20 * 20 * 0.090) == pytest.approx(200)


@pytest.mark.parametrize("increment", [0.0, -0.18, math.nan])
def test_an_increment_must_be_positive(increment: float) -> None:
    with pytest.raises(ScaleError, match="refractive_increment"):
        dry_mass_pg(1.0, increment)


def test_pixels_micrometres_and_square_millimetres() -> None:
    found = CellTable.of_columns([[10, 20]], {}, (1000, 2000), 0.5)
    assert (found.row_px[0], found.column_px[0], found.row_um[0], found.column_um[0]) == (10, 20, 5, 10)
    assert found.field_mm2 == pytest.approx(0.5)
    assert found.values()["density_per_mm2"] == pytest.approx(2)


def test_the_truth_of_a_field_is_a_table() -> None:
    field = lattice((192, 240), PIXEL_UM)
    truth = field.truth
    assert len(truth) == len(field.hills)
    np.testing.assert_allclose(truth.row_px * PIXEL_UM, [hill.row_um for hill in field.hills])
    np.testing.assert_allclose(truth.dry_mass_pg, [hill.dry_mass_pg for hill in field.hills])
    flagged = CellTable.of_truths([Hill(5, 5, border=True), Hill(50, 50, touching=True)], (60, 60), 1.0)
    assert (flagged.border.tolist(), flagged.touching.tolist()) == ([True, False], [False, True])


def test_values_are_json_and_tell_the_field() -> None:
    found = table(200)
    values = json.loads(json.dumps(found.values()))
    inner = ~found.border
    assert values["count"] == 200
    assert values["density_per_mm2"] == pytest.approx(200 / (600 * 500 * 1.67e-3**2))
    assert values["dry_mass_pg"]["count"] == inner.sum()
    assert values["dry_mass_pg"]["mean"] == pytest.approx(found.dry_mass_pg[inner].mean())
    assert values["dry_mass_pg"]["p50"] == pytest.approx(np.median(found.dry_mass_pg[inner]))
    assert values["length_um"]["p05"] == pytest.approx(np.percentile(found.length_um[inner], 5))


def test_an_empty_field_says_so() -> None:
    empty = table(0)
    values = json.loads(json.dumps(empty.values(), allow_nan=False))
    assert (values["count"], values["density_per_mm2"], values["border"]) == (0, 0, 0)
    assert all(values[quantity.value] is None for quantity in Quantity)
    assert empty.rows() == []
    assert same(from_arrow(to_arrow(empty)), empty)


def test_what_was_not_measured_is_null_and_no_number() -> None:
    found = CellTable.of_columns([[30, 40]], {"area_um2": [500.0]}, SHAPE, PIXEL_UM)
    (row,) = json.loads(json.dumps(found.rows(), allow_nan=False))
    assert (row["area_um2"], row["dry_mass_pg"], row["area_um2_half_width"]) == (500, None, None)
    assert found.values()["dry_mass_pg"] is None
    assert found.values()["area_um2"]["count"] == 1
    assert list(row) == list(COLUMNS)


def test_cells_at_the_border_are_counted_but_left_out_of_distributions() -> None:
    found = CellTable.of_columns(
        [[5, 250], [300, 250]], {"area_um2": [600.0, 700.0], "dry_mass_pg": [90.0, 200.0]}, SHAPE, PIXEL_UM
    )
    values = found.values()
    assert (values["count"], values["border"]) == (2, 1)
    assert (values["dry_mass_pg"]["count"], values["dry_mass_pg"]["mean"]) == (1, 200)


@pytest.mark.parametrize(
    ("places", "areas", "touching", "border"),
    [
        ([[100, 100], [100, 117]], [700, 700], [True, True], [False, False]),
        ([[100, 100], [100, 119]], [700, 700], [False, False], [False, False]),
        ([[100, 100], [100, 117]], [700, 200], [False, False], [False, False]),
        ([[8, 100], [9.1, 300]], [700, 700], [False, False], [True, False]),
        ([[591, 100], [300, 491]], [700, 700], [False, False], [True, True]),
        ([[8, 100], [300, 300]], [math.nan, 700], [False, False], [True, False]),
    ],
)
def test_touching_and_border_are_told_from_place_and_area(
    places: list[list[float]], areas: list[float], touching: list[bool], border: list[bool]
) -> None:
    found = CellTable.of_columns(places, {"area_um2": areas}, SHAPE, PIXEL_UM)
    assert (found.touching.tolist(), found.border.tolist()) == (touching, border)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 500])
def test_a_table_survives_its_binary_form(count: int) -> None:
    rng = np.random.default_rng(0)
    found = table(
        count,
        area_um2_half_width=np.where(rng.random(count) < 0.5, np.nan, 3.0),
        track=rng.integers(-1, 1000, count),
        touching=rng.random(count) < 0.5,
    )
    assert same(from_arrow(to_arrow(found)), found)


def test_the_binary_form_is_arrow_as_others_read_it() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="a second reader of Arrow")
    found = table(9, dry_mass_pg_half_width=[1.0] * 8 + [math.nan], track=[*range(8), -1])
    read = pyarrow.ipc.open_stream(io.BytesIO(to_arrow(found))).read_all()
    assert read.column_names == list(COLUMNS)
    assert read.schema.metadata[b"pixel_um"] == b"1.67"
    assert read["dry_mass_pg"].to_pylist() == found.dry_mass_pg.tolist()
    assert read["track"].to_pylist() == [*range(8), None]
    assert read["dry_mass_pg_half_width"].to_pylist()[-1] is None
    assert read["border"].to_pylist() == found.border.tolist()


def test_binary_forms_that_are_none_are_refused() -> None:
    stream = to_arrow(table(20))
    for damaged in (b"", b"not arrow", stream[:40], stream[: len(stream) // 2], stream.replace(b"cells.1", b"cells.9")):
        with pytest.raises(TableError, match="table"):
            from_arrow(damaged)


@pytest.mark.parametrize(
    ("columns", "pixel_um", "error", "said"),
    [
        ({"area": [1.0]}, PIXEL_UM, TableError, "area"),
        ({"row_um": [1.0]}, PIXEL_UM, TableError, "row_um"),
        ({"area_um2": [1.0, 2.0], "border": [False]}, PIXEL_UM, TableError, "area_um2"),
        ({}, 0.0, ScaleError, "pixel_um"),
        ({}, math.inf, ScaleError, "pixel_um"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    columns: dict[str, list[float]], pixel_um: float, error: type[Exception], said: str
) -> None:
    columns.setdefault("touching", [False])
    with pytest.raises(error, match=said):
        CellTable.of_columns([[1.0, 2.0]], columns, SHAPE, pixel_um)


def test_rows_can_be_chosen() -> None:
    found = table(10)
    kept = found.where(found.dry_mass_pg > 75)
    assert kept.dry_mass_pg.min() > 75
    assert kept.shape_px == SHAPE
    assert found.where(np.array([3, 1])).row_px.tolist() == found.row_px[[3, 1]].tolist()
