"""Measured holograms: phase as others found it, distances that follow a known propagation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from microscoped.models.hologram import (
    Cell,
    CellSettings,
    DistanceRange,
    DistanceSettings,
    Field,
    HologramOptics,
    NoSidebandError,
    ReconstructionSettings,
    Reconstructor,
    Side,
    cell_distances,
    field_distance,
    find_cells,
    find_sideband,
    normalised,
    propagate,
    unwrapped_phase,
)
from microscoped.models.hologram.phase import denser_side

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.data

MINUS = ReconstructionSettings(side=Side.MINUS)


def test_a_cell_over_its_background_hologram(data_dir: Path) -> None:
    holograms = np.load(data_dir / "oa-hl60-holo" / "hologram_cell.npz")
    reconstructor = Reconstructor.prepare(
        holograms["data"], HologramOptics(), background=holograms["bg_data"], settings=MINUS
    )
    field = reconstructor(holograms["data"])
    phase = unwrapped_phase(field)
    assert 4.0 < phase.max() < 5.5
    assert np.median(phase) < 1.0
    assert denser_side(field, Side.MINUS) is Side.MINUS


def test_a_curved_background_is_fitted(data_dir: Path) -> None:
    frame = np.asarray(Image.open(data_dir / "oa-hl60-holo" / "hologram_cell_curved_bg.jpg"))
    field = Reconstructor.prepare(frame, HologramOptics(), settings=MINUS)(frame)
    first = field_distance(field)
    assert first.z_min_contrast is not None
    cells = [cell for cell in find_cells(propagate(field, first.z_min_contrast)) if not cell.border]
    assert len(cells) == 1
    phase = unwrapped_phase(propagate(field, first.z_min_contrast))
    assert phase[round(cells[0].row), round(cells[0].column)] > 3.0
    assert np.abs(phase[8:40, 8:-8]).mean() < 0.3
    for dofs in (-2.0, -0.3, 2.0):
        moved = replace(propagate(field, dofs * field.dof), z=0.0)
        found = field_distance(moved).z_min_contrast
        assert found is not None
        assert (first.z_min_contrast - found) / field.dof == pytest.approx(dofs, abs=0.1)


def test_the_carrier_of_red_cells_is_where_others_found_it(data_dir: Path) -> None:
    frame = np.asarray(Image.open(data_dir / "oa-pydhm" / "RBC.jpg"))
    sideband = find_sideband(frame, HologramOptics())
    assert np.multiply(sideband.carrier, 1023) == pytest.approx((175, 164), abs=0.5)
    field = Reconstructor.prepare(frame, HologramOptics(), settings=MINUS)(frame)
    assert denser_side(field, Side.MINUS) is Side.MINUS
    whole = field_distance(field).z_min_contrast
    assert whole is not None
    cells = [cell for cell in find_cells(propagate(field, whole)) if not cell.border]
    assert len(cells) >= 3
    inner = [d.z_min_contrast for d in cell_distances(field, cells)]
    assert whole == pytest.approx(np.median([z for z in inner if z is not None]), abs=field.dof)


def test_a_spread_out_cell_has_phase_but_no_clear_distance(data_dir: Path) -> None:
    frame = np.asarray(Image.open(data_dir / "oa-pydhm" / "Glioblastoma.jpg"))
    field = Reconstructor.prepare(frame, HologramOptics())(frame)
    assert unwrapped_phase(field)[300:450, 400:560].max() > 2.0


def test_an_in_line_hologram_is_refused(data_dir: Path) -> None:
    with pytest.raises(NoSidebandError):
        find_sideband(np.asarray(Image.open(data_dir / "inline-particles" / "holo1.png")), HologramOptics())


def test_a_measured_field_moves_as_it_was_propagated(data_dir: Path) -> None:
    values = np.load(data_dir / "hl60-field" / "HL60_field.npz")["field"].astype(np.complex64)
    optics = HologramOptics(0.647, 0.139, medium_index=1.3333)
    field = Field(normalised(values), (0.139, 0.139), 0.5 / 0.647, optics)
    cell = Cell(56.0, 56.0, (0, 0, 112, 112), 1.0, False)
    settings = DistanceSettings(cells=CellSettings(diameter=8.0))
    within = DistanceRange(-6.0, 6.0)
    first = cell_distances(field, [cell], within, settings)[0].z_min_contrast
    # Average gradient finds −0.88 µm; a depth of field is 3.4 µm at NA 0.5.
    assert first == pytest.approx(-0.88, abs=0.5)
    for moved in (-2.0, 1.0, 3.0):
        there = replace(propagate(field, moved), z=0.0)
        found = cell_distances(there, [cell], within, settings)[0].z_min_contrast
        assert first is not None
        assert found == pytest.approx(first - moved, abs=0.2)
