"""The path in holograms of cells: in nanometres, in focus, at its own scale, and where it lies in the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.cells import CellTable, ScaleError
from microscoped.models.cells.holographic import SEARCH_EVERY, HolographicOpd
from microscoped.models.hologram import HologramEngine, HologramEngineSettings, HologramOptics
from microscoped.models.hologram.stored import StoredBackground
from microscoped.simulators.holograms import (
    BodiesParameters,
    Disturbances,
    HologramScene,
    HologramSetup,
    OffAxisOptics,
)

if TYPE_CHECKING:
    from microscoped.models.cells.opd import OpdMap

OPTICS = OffAxisOptics()
TOLD = HologramOptics(OPTICS.wavelength_um, OPTICS.pixel_um, OPTICS.na, OPTICS.medium_index)
AT_UM = 3.0
AROUND_UM = 7.0


@pytest.fixture(scope="module")
def scene() -> HologramScene:
    """Cells that lie in one plane, as adherent ones do."""
    bodies = BodiesParameters(count=4, z_um=(AT_UM, AT_UM), clearance_um=16.0, border_um=10.0)
    return HologramScene(HologramSetup(OPTICS, bodies, seed=5, shape_px=(400, 448), disturbances=Disturbances.none()))


def engine(scene: HologramScene, optics: HologramOptics = TOLD) -> HologramEngine:
    background = StoredBackground(scene.background(10.0, 1), "2026-01-01T00:00:00+00:00", optics)
    return HologramEngine(HologramEngineSettings(optics), None, background)


def masses(found: OpdMap, scene: HologramScene) -> list[float]:
    """The path summed round each cell, in µm³."""
    rows, columns = (np.arange(n) for n in found.opd_nm.shape)
    sums = []
    for truth in scene.truths():
        place = np.array([truth.y_um, truth.x_um]) / OPTICS.pixel_um
        row, column = (place - found.first_px) / found.scale
        away = np.hypot((rows - row)[:, None], (columns - column)[None, :]) * found.pixel_um
        sums.append(float(found.opd_nm[away < AROUND_UM].sum()) * 1e-3 * found.pixel_um**2)
    return sums


@pytest.mark.parametrize("distance_um", [AT_UM, None])
def test_each_cell_s_path_is_where_and_what_it_is(scene: HologramScene, distance_um: float | None) -> None:
    source = HolographicOpd(engine(scene), distance_um)
    found = source.read(scene.expose(0.0, 10.0, 1), None, 8)
    assert (source.kind, found.opd_nm.dtype) == ("hologram", np.float32)
    # The map has the samples of the band: coarser than the camera's pixels.
    assert OPTICS.pixel_um * 1.5 < found.pixel_um < OPTICS.wavelength_um / OPTICS.na
    assert [size * OPTICS.pixel_um for size in found.scale] == pytest.approx([found.pixel_um] * 2, rel=0.002)
    assert found.made["distance_um"] == pytest.approx(AT_UM, abs=0.3)
    assert found.made["background"]["kind"] == "hologram"
    assert abs(float(np.median(found.opd_nm))) < 3.0
    for measured, truth in zip(masses(found, scene), scene.truths(), strict=True):
        assert measured == pytest.approx(truth.opd_um3, rel=0.1)
    table = CellTable.of_columns([[0.0, 0.0]], {}, (10, 10), found.pixel_um)
    assert found.camera_px(table).tolist() == [list(found.first_px)]


def test_the_plane_is_searched_now_and_then(scene: HologramScene, monkeypatch: pytest.MonkeyPatch) -> None:
    from microscoped.models.cells import holographic

    searched = []
    search = holographic.field_distance
    monkeypatch.setattr(holographic, "field_distance", lambda *given: searched.append(1) or search(*given))
    source = HolographicOpd(engine(scene))
    told = [source.read(scene.expose(0.0, 10.0, shot)).made["distance_um"] for shot in range(3)]
    assert (len(searched), len(set(told))) == (1, 1)
    source._seen = SEARCH_EVERY
    source.read(scene.expose(1.0, 10.0, 9))
    assert len(searched) == 2


def test_pixels_may_be_binned(scene: HologramScene) -> None:
    """The size that comes with a frame counts, not the configured one."""
    read = engine(scene, HologramOptics(OPTICS.wavelength_um, 2 * OPTICS.pixel_um, OPTICS.na, OPTICS.medium_index))
    found = HolographicOpd(read, AT_UM).read(scene.expose(0.0, 10.0, 1), OPTICS.pixel_um)
    assert found.scale[0] * OPTICS.pixel_um == pytest.approx(found.pixel_um, rel=0.01)


@pytest.mark.parametrize("missing", ["wavelength_um", "pixel_size_um"])
def test_without_scale_there_is_no_mass(scene: HologramScene, missing: str) -> None:
    known = {"wavelength_um": OPTICS.wavelength_um, "pixel_size_um": OPTICS.pixel_um, missing: None}
    read = engine(scene, HologramOptics(known["wavelength_um"], known["pixel_size_um"], OPTICS.na))
    with pytest.raises(ScaleError, match=f"{missing} None"):
        HolographicOpd(read).read(scene.expose(0.0, 10.0, 1))
