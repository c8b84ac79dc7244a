"""Measured holograms: phase as others found it, cells refocused, distances that follow a known propagation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from microscoped.models.hologram import (
    Abstention,
    Cell,
    CellSettings,
    DistanceRange,
    DistanceSettings,
    Field,
    HologramOptics,
    Method,
    NoSidebandError,
    ReconstructionSettings,
    Reconstructor,
    Side,
    cell_distances,
    compose,
    denser_side,
    field_distance,
    find_cells,
    find_sideband,
    normalised,
    propagate,
    unwrapped_phase,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.data

MINUS = ReconstructionSettings(side=Side.MINUS)
HALF_RANGE_DOF = 6.0
MOVE_DOF = 0.13
"""What 0.2 µm are in depths of field at 666 nm and NA 0.75."""
INNER = slice(8, -8)


@dataclass(frozen=True, eq=False)
class Specimen:
    """A field at its recording plane, the cells that lie wholly in it, and where they are looked for."""

    field: Field
    cells: list[Cell]
    within: DistanceRange
    settings: DistanceSettings = DistanceSettings()  # noqa: RUF009 - frozen

    def depths(self, field: Field | None = None, method: Method = Method.COARSE_TO_FINE) -> NDArray[np.float64]:
        found = cell_distances(field or self.field, self.cells, self.within, replace(self.settings, method=method))
        assert [distance.reason for distance in found] == [None] * len(self.cells)
        return np.array([distance.z_min_contrast for distance in found])


def specimen(frame: NDArray[np.generic]) -> Specimen:
    """What a frame of unknown scale holds; its background is fitted."""
    field = Reconstructor.prepare(frame, HologramOptics(), settings=MINUS)(frame)
    within = DistanceRange.around(field, HALF_RANGE_DOF)
    whole = field_distance(field, within).z_min_contrast
    assert whole is not None
    return Specimen(field, [cell for cell in find_cells(propagate(field, whole)) if not cell.border], within)


@pytest.fixture(scope="module")
def red_cells(data_dir: Path) -> Specimen:
    return specimen(np.asarray(Image.open(data_dir / "oa-pydhm" / "RBC.jpg")))


@pytest.fixture(scope="module")
def round_cell(data_dir: Path) -> Specimen:
    return specimen(np.asarray(Image.open(data_dir / "oa-hl60-holo" / "hologram_cell_curved_bg.jpg")))


@pytest.fixture(scope="module")
def cell_with_scale(data_dir: Path) -> Specimen:
    """The field of an HL60 cell in micrometres; a depth of field is 3.4 µm at NA 0.5."""
    values = np.load(data_dir / "hl60-field" / "HL60_field.npz")["field"].astype(np.complex64)
    field = Field(normalised(values), (0.139, 0.139), 0.5 / 0.647, HologramOptics(0.647, 0.139, medium_index=1.3333))
    cell = Cell(56.0, 56.0, (0, 0, 112, 112), 1.0, False)
    settings = DistanceSettings(cells=CellSettings(diameter=8.0))
    return Specimen(field, [cell], DistanceRange(-6.0, 6.0), settings)


def test_the_carrier_of_red_cells_is_where_others_found_it(data_dir: Path) -> None:
    sideband = find_sideband(np.asarray(Image.open(data_dir / "oa-pydhm" / "RBC.jpg")), HologramOptics())
    assert np.multiply(sideband.carrier, 1023) == pytest.approx((175, 164), abs=0.5)


def test_red_cells_are_high_discs_in_an_even_field(red_cells: Specimen) -> None:
    distances = cell_distances(red_cells.field, red_cells.cells, red_cells.within)
    assert len(distances) == 5
    focused = compose(red_cells.field, red_cells.cells, distances)
    assert denser_side(focused.field, Side.MINUS) is Side.MINUS
    phase = unwrapped_phase(focused.field)
    for cell in red_cells.cells:
        top, left, bottom, right = cell.box
        inside = phase[top:bottom, left:right]
        assert 2.0 < np.percentile(inside, 99) < 5.0
        assert 0.1 < (inside > 1.5).mean() < 0.75  # most in the box of the pair
    around = phase[INNER, INNER][focused.owner[INNER, INNER] < 0]
    assert abs(float(np.median(around))) < 0.15
    # The sixth cell, at the right border, and the halves of a pair lie outside of the boxes.
    assert (np.abs(around) > 1.0).mean() < 0.05


def test_red_cells_lie_where_the_whole_field_does(red_cells: Specimen) -> None:
    whole = field_distance(red_cells.field, red_cells.within).z_min_contrast
    assert whole == pytest.approx(np.median(red_cells.depths()), abs=red_cells.field.dof)


def test_a_round_cell_before_a_curved_background(round_cell: Specimen) -> None:
    (z,) = round_cell.depths()
    phase = unwrapped_phase(propagate(round_cell.field, z))
    (cell,) = round_cell.cells
    assert 3.0 < phase[round(cell.row), round(cell.column)] < 5.0
    assert np.sqrt(np.mean(np.square(phase[8:40, INNER]))) < 0.2
    high = phase > 1.0
    rows, columns = (np.ptp(np.flatnonzero(high[INNER, INNER].any(axis=axis))) for axis in (1, 0))
    assert rows == pytest.approx(columns, rel=0.15)


def test_a_round_cell_over_its_background_hologram(data_dir: Path) -> None:
    holograms = np.load(data_dir / "oa-hl60-holo" / "hologram_cell.npz")
    frame = holograms["data"]
    field = Reconstructor.prepare(frame, HologramOptics(), background=holograms["bg_data"], settings=MINUS)(frame)
    phase = unwrapped_phase(field)
    assert 4.0 < phase.max() < 5.5
    assert np.median(phase) < 1.0
    assert denser_side(field, Side.MINUS) is Side.MINUS


def test_spread_out_cells_have_phase_but_no_clear_distance(data_dir: Path) -> None:
    frame = np.asarray(Image.open(data_dir / "oa-pydhm" / "Glioblastoma.jpg"))
    field = Reconstructor.prepare(frame, HologramOptics())(frame)
    assert unwrapped_phase(field)[300:450, 400:560].max() > 2.0
    found = field_distance(field, DistanceRange.around(field, HALF_RANGE_DOF))
    assert (found.z_min_contrast, found.reason) == (None, Abstention.FLAT)


def test_an_in_line_hologram_is_refused(data_dir: Path) -> None:
    with pytest.raises(NoSidebandError):
        find_sideband(np.asarray(Image.open(data_dir / "inline-particles" / "holo1.png")), HologramOptics())


def test_a_field_with_a_scale_is_in_focus_where_its_source_says(cell_with_scale: Specimen) -> None:
    # nrefocus: average gradient, −0.878 µm
    for method in Method:
        assert cell_with_scale.depths(method=method) == pytest.approx([-0.878], abs=0.2)


@pytest.mark.parametrize("by_um", [-3.0, -1.0, -0.25, 0.25, 1.0, 3.0])
def test_an_estimate_follows_a_known_propagation_in_micrometres(cell_with_scale: Specimen, by_um: float) -> None:
    there = replace(propagate(cell_with_scale.field, by_um), z=0.0)
    moved = cell_with_scale.depths() - cell_with_scale.depths(there)
    assert moved == pytest.approx([by_um], abs=0.2)


@pytest.mark.parametrize("dofs", [-3.0, -0.3, 0.3, 3.0])
@pytest.mark.parametrize("name", ["red_cells", "round_cell"])
def test_an_estimate_follows_a_known_propagation_without_a_scale(
    request: pytest.FixtureRequest, name: str, dofs: float
) -> None:
    chosen: Specimen = request.getfixturevalue(name)
    field = chosen.field
    there = replace(propagate(field, dofs * field.dof), z=0.0)
    shifted = replace(
        chosen.within, low=chosen.within.low - dofs * field.dof, high=chosen.within.high - dofs * field.dof
    )
    moved = (chosen.depths() - replace(chosen, within=shifted).depths(there)) / field.dof
    assert moved == pytest.approx([dofs] * len(moved), abs=MOVE_DOF)
