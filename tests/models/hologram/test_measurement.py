"""What is measured in a field: the hybrid never trusts the network blindly, and every number has its unit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.hologram import (
    Abstention,
    DistanceMethod,
    DistanceRange,
    Field,
    HologramOptics,
    MeasureSettings,
    Reading,
    Reconstructor,
    measure_field,
    refined_distances,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.models.hologram import Cell
    from tests.models.hologram.conftest import Bench

PLACES = ((-15.0, -14.0), (2.0, 3.0), (16.0, -12.0))
DEPTHS = (2.0, 5.0, -3.0)


@dataclass
class Oracle:
    """Tells of each cell its true distance and an error."""

    error: float = 0.0
    offset: float = -0.03
    asked: int = 0

    def read(self, field: Field, cells: Sequence[Cell]) -> Reading:
        self.asked += 1
        middle = np.array(field.shape) / 2
        truth = []
        for cell in cells:
            here = (np.array([cell.row, cell.column]) - middle) * np.array(field.pixel)
            truth.append(DEPTHS[int(np.argmin([np.hypot(*(here - place)) for place in PLACES]))])
        z = np.array(truth, np.float32) + np.float32(self.error)
        count = len(cells)
        offset = np.full(count, self.offset, np.float32)
        return Reading(z, offset, np.full(count, 0.3, np.float32), np.abs(z) < 17.0)


@pytest.fixture(scope="module")
def recorded(bench: type[Bench]) -> Field:
    """Return the field of three cells at three distances."""
    scene = bench(cells=tuple((row, column, z) for (row, column), z in zip(PLACES, DEPTHS, strict=True)))
    frame = scene.frame()
    return Reconstructor.prepare(frame, scene.optics)(frame)


def depths(field: Field, found: Sequence[tuple[Cell, float | None]]) -> dict[float, float | None]:
    """Return what was found by true depth."""
    middle = np.array(field.shape) / 2
    by_depth = {}
    for cell, z in found:
        here = (np.array([cell.row, cell.column]) - middle) * np.array(field.pixel)
        by_depth[DEPTHS[int(np.argmin([np.hypot(*(here - place)) for place in PLACES]))]] = z
    return by_depth


@pytest.mark.parametrize("method", list(DistanceMethod))
def test_every_method_gives_each_cell_its_own_depth(recorded: Field, method: DistanceMethod) -> None:
    measured = measure_field(recorded, MeasureSettings(method), Oracle())  # type: ignore[arg-type]
    found = depths(recorded, [(one.cell, one.z_min_contrast) for one in measured.cells])
    assert set(found) == set(DEPTHS)
    for truth, told in found.items():
        assert told == pytest.approx(truth, abs=0.2)
    assert measured.z_min_contrast == pytest.approx(2.0, abs=0.2)
    assert measured.reason is None


@pytest.mark.parametrize("error", [0.7, -0.7, 3.0, -6.0, 10.0])
def test_a_wrong_reading_is_put_right_by_the_planes_or_by_a_search(recorded: Field, error: float) -> None:
    measured = measure_field(recorded, MeasureSettings(), Oracle(error))  # type: ignore[arg-type]
    for truth, told in depths(recorded, [(one.cell, one.z_min_contrast) for one in measured.cells]).items():
        assert told == pytest.approx(truth, abs=0.25)
    if abs(error) > 2.0:
        assert {one.method for one in measured.cells} == {DistanceMethod.SEARCH}


def test_refined_cells_know_their_middle_and_searched_ones_do_not(recorded: Field) -> None:
    refined = measure_field(recorded, MeasureSettings(), Oracle(offset=-0.5))  # type: ignore[arg-type]
    for one in refined.cells:
        assert one.z is not None
        assert one.z_min_contrast is not None
        assert one.z == pytest.approx(one.z_min_contrast + 0.5, abs=1e-3)
    assert refined.z is not None
    assert refined.z_min_contrast is not None
    assert refined.z == pytest.approx(refined.z_min_contrast + 0.5, abs=1e-3)
    searched = measure_field(recorded)
    assert [one.z for one in searched.cells] == [None] * 3
    assert searched.z is None


def test_without_a_network_all_are_searched(recorded: Field) -> None:
    assert {one.method for one in measure_field(recorded, MeasureSettings()).cells} == {DistanceMethod.SEARCH}


def test_the_network_alone_abstains_beyond_its_range_and_where_it_is_unsure(recorded: Field) -> None:
    settings = MeasureSettings(DistanceMethod.NETWORK)
    beyond = measure_field(recorded, settings, Oracle(error=30.0))  # type: ignore[arg-type]
    assert {one.reason for one in beyond.cells} == {Abstention.EDGE}
    assert beyond.z is None
    assert beyond.reason is Abstention.EDGE

    class Unsure(Oracle):
        def read(self, field: Field, cells: Sequence[Cell]) -> Reading:
            told = super().read(field, cells)
            return Reading(told.z, told.offset, told.half_width + np.float32(5.0), told.inside)

    unsure = measure_field(recorded, settings, Unsure())  # type: ignore[arg-type]
    assert {one.reason for one in unsure.cells} == {Abstention.UNSURE}


def test_a_guess_three_micrometres_off_is_told_as_such(recorded: Field) -> None:
    measured = measure_field(recorded)
    cells = [one.cell for one in measured.cells]
    right = np.array([one.z_min_contrast for one in measured.cells], np.float32)
    for distance in refined_distances(recorded, cells, right + np.float32(3.0)):
        assert distance.reason in (Abstention.EDGE, Abstention.FLAT)
        assert distance.z_min_contrast is None
    for distance, truth in zip(refined_distances(recorded, cells, right + np.float32(0.4)), right, strict=True):
        assert distance.z_min_contrast == pytest.approx(float(truth), abs=0.1)
        assert distance.planes == 5


def test_a_distance_beyond_the_range_that_was_asked_for_is_none(recorded: Field) -> None:
    settings = MeasureSettings(within=DistanceRange(-4.0, 4.0))
    measured = measure_field(recorded, settings, Oracle())  # type: ignore[arg-type]
    found = depths(recorded, [(one.cell, one.z_min_contrast) for one in measured.cells])
    assert found[5.0] is None
    assert found[2.0] is not None


def test_phase_gives_optical_path_area_and_dry_mass(recorded: Field) -> None:
    """A red cell of 7.8 µm: 2.5 µm thick at most, 94 µm³, so 0.0555 · 94 / 0.18 = 29 pg at these indices."""
    for one in measure_field(recorded).cells:
        assert one.phase is not None
        assert one.phase.peak_opd_nm == pytest.approx(1e3 * 0.0555 * 2.55, rel=0.12)
        assert one.phase.area == pytest.approx(np.pi / 4 * 7.8**2, rel=0.15)
        assert one.phase.dry_mass_pg == pytest.approx(29.0, rel=0.12)


def test_values_are_plain_json_with_units_in_their_names(recorded: Field) -> None:
    values = json.loads(json.dumps(measure_field(recorded).values(), allow_nan=False))
    assert values["scale_known"] is True
    assert values["side"] == "object"
    assert values["count"] == 3
    assert values["z_min_contrast_um"] == pytest.approx(2.0, abs=0.2)
    middle = 512 / 2
    rows = sorted(cell["row_px"] for cell in values["cells"])
    wanted = sorted(middle + row / recorded.optics.pixel for row, _ in PLACES)
    assert rows == pytest.approx(wanted, abs=1.5)  # in focus, within a quarter of a micrometre
    deepest = max(values["cells"], key=lambda cell: cell["z_min_contrast_um"])
    assert deepest["depth_um"] == pytest.approx(3.0, abs=0.3)


def test_without_a_scale_no_name_says_micrometres(bench: type[Bench]) -> None:
    scene = bench(cells=((0.0, 0.0, 3.0),))
    unknown = HologramOptics(None, None, None, scene.optics.medium_index)
    frame = scene.frame()
    values = measure_field(Reconstructor.prepare(frame, unknown)(frame)).values()
    assert values["scale_known"] is False
    assert values["cells"]
    names = [*values, *values["cells"][0]]
    assert not [name for name in names if "_um" in name and name != "dry_mass_pg"]
    assert values["cells"][0]["dry_mass_pg"] is None
    assert values["z_min_contrast_px2_per_wavelength"] is not None


def test_an_empty_field_has_a_reason_and_no_distance(bench: type[Bench]) -> None:
    scene = bench(cells=())
    frame = scene.frame()
    measured = measure_field(Reconstructor.prepare(frame, scene.optics)(frame))
    assert measured.cells == ()
    assert measured.z_min_contrast is None
    assert measured.reason is Abstention.EMPTY


def test_a_cell_whose_fringes_the_camera_cuts_off_has_no_distance_and_the_others_have(bench: type[Bench]) -> None:
    scene = bench(cells=tuple((row, column, z) for (row, column), z in zip(PLACES, DEPTHS, strict=True)))
    frame = scene.frame().copy()
    row, column = (round(256 + place / scene.optics.pixel) for place in PLACES[1])
    part = frame[row - 20 : row + 20, column - 20 : column + 20]
    part[part > np.percentile(part, 90)] = frame.max()
    measured = measure_field(Reconstructor.prepare(frame, scene.optics)(frame), MeasureSettings(), Oracle())  # type: ignore[arg-type]
    reasons = depths(measured.field, [(one.cell, one.reason) for one in measured.cells])  # type: ignore[misc]
    assert reasons == {2.0: None, 5.0: Abstention.SATURATED, -3.0: None}
    assert measured.z_min_contrast is not None


def test_a_few_brightest_pixels_are_not_saturated(recorded: Field) -> None:
    assert recorded.saturated is not None
    assert recorded.saturated_share((0, 0, *recorded.shape)) < 1e-3
