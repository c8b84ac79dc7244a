"""Distances: right over the whole range, honest where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.hologram import (
    CONTRAST_OFFSET_UM,
    Abstention,
    Cell,
    CellSettings,
    DistanceRange,
    DistanceSettings,
    Field,
    HologramOptics,
    Method,
    OpticsError,
    RangeError,
    ReconstructionSettings,
    Reconstructor,
    Side,
    cell_distances,
    compose,
    field_distance,
    find_cells,
    normalised,
    propagate,
    torch_arrays,
    unwrapped_phase,
)
from microscoped.simulators.holograms import (
    HologramScene,
    HologramSetup,
    OffAxisOptics,
    PlacedBody,
    draw_body,
    multislice_field,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.holograms import BodyKind
    from tests.models.hologram.conftest import Bench

PLACES = ((-15.0, -14.0), (2.0, 3.0), (16.0, -12.0))
METHODS = [DistanceSettings(method=method) for method in Method]


def recorded(bench: type[Bench], z: float, **changes: float) -> Field:
    """Return the field of three cells at one distance, reconstructed from the camera's counts."""
    scene = bench(cells=tuple((row, column, z) for row, column in PLACES), **changes)
    frame = scene.frame()
    return Reconstructor.prepare(frame, scene.optics)(frame)


@pytest.mark.parametrize("z", [-15.0, -8.2, -0.25, 0.0, 0.25, 3.71, 9.6, 15.0])
def test_the_truth_is_found_over_the_whole_range(bench: type[Bench], z: float) -> None:
    field = recorded(bench, z, curvature=3e-4, speckle=0.02)
    cells = [cell for cell in find_cells(field) if not cell.border]
    assert len(cells) == len(PLACES)
    for settings in METHODS:
        whole = field_distance(field, settings=settings)
        assert whole.reason is None
        assert whole.z_min_contrast_um == pytest.approx(z, abs=0.1)
        for found in cell_distances(field, cells, settings=settings):
            assert found.reason is None
            assert found.z_min_contrast_um == pytest.approx(z, abs=0.15)
            assert found.half_width is not None
            assert found.half_width < 0.4
            assert found.z_um(CONTRAST_OFFSET_UM["thin red cell"]) == pytest.approx(z, abs=0.15)


@pytest.mark.parametrize("border", [0.2, 3.0, -1.0, 1j])
def test_a_border_that_does_not_fit_draws_the_whole_frame_away_but_not_us(bench: type[Bench], border: complex) -> None:
    field = recorded(bench, 7.3)
    values = field.values.copy()
    values[:3], values[-3:] = border, border
    values[:, :3], values[:, -3:] = border, border
    planes = np.linspace(-20, 20, 41)
    whole_frame = [np.abs(propagate(field.at(values), float(z)).values).std() for z in planes]
    assert abs(planes[np.argmin(whole_frame)] - 7.3) > 3.0
    assert field_distance(field.at(values)).z_min_contrast == pytest.approx(7.3, abs=0.1)


def test_the_wrong_sideband_gives_the_opposite_distance(bench: type[Bench]) -> None:
    scene = bench(cells=((2.0, 3.0, 6.5),))
    frame = scene.frame()
    found = {}
    for side in Side:
        field = Reconstructor.prepare(frame, scene.optics, settings=ReconstructionSettings(side=side))(frame)
        found[side] = field_distance(field).z_min_contrast
    assert found[Side.PLUS] == pytest.approx(6.5, abs=0.1)
    assert found[Side.MINUS] == pytest.approx(-6.5, abs=0.1)


def test_an_empty_field_has_no_distance(bench: type[Bench]) -> None:
    scene = bench(cells=(), speckle=0.02, curvature=3e-4)
    frame = scene.frame()
    field = Reconstructor.prepare(frame, scene.optics)(frame)
    for settings in METHODS:
        found = field_distance(field, settings=settings)
        assert (found.reason, found.z_min_contrast, found.half_width) == (Abstention.EMPTY, None, None)
    assert [cell for cell in find_cells(field) if not cell.border] == []


@pytest.mark.parametrize("settings", METHODS)
@pytest.mark.parametrize("within", [(-10.0, 3.0), (12.0, 25.0)])
def test_a_specimen_beyond_the_range_is_told(
    bench: type[Bench], settings: DistanceSettings, within: tuple[float, float]
) -> None:
    field = recorded(bench, 7.3)
    assert field_distance(field, DistanceRange(*within), settings).reason in (Abstention.EDGE, Abstention.FLAT)


def test_an_even_absorber_and_noise_is_flat() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 128, 128)).astype(np.float32)
    values = (1 + 0.2 * (noise[0] + 1j * noise[1])).astype(np.complex64)
    field = Field(values, (0.43, 0.43), 0.75 / 0.666, HologramOptics(0.666, 0.1465, 0.75))
    assert field_distance(field).reason is Abstention.FLAT


@pytest.mark.parametrize("settings", METHODS)
def test_a_moved_field_moves_the_distance(bench: type[Bench], settings: DistanceSettings) -> None:
    field = recorded(bench, 1.4, speckle=0.02)
    first = field_distance(field, settings=settings).z_min_contrast
    assert first is not None
    for moved in (-6.0, -0.7, 2.3, 8.0):
        there = replace(propagate(field, moved), z=0.0)
        assert field_distance(there, settings=settings).z_min_contrast == pytest.approx(first - moved, abs=0.1)
        # A field knows its plane: distances are from the recording plane, wherever it was propagated.
        assert field_distance(propagate(field, moved), settings=settings).z_min_contrast == pytest.approx(
            first, abs=0.1
        )


def test_without_scale_the_distance_is_the_pure_number(bench: type[Bench]) -> None:
    scene = bench(cells=((2.0, 3.0, 6.0),))
    frame = scene.frame()
    unknown = Reconstructor.prepare(
        frame, HologramOptics(), settings=ReconstructionSettings(radius=scene.optics.band_radius)
    )(frame)
    found = field_distance(unknown)
    assert found.unit == "px2_per_wavelength"
    assert found.z_min_contrast_um is None
    assert found.z_um(0.0) is None
    # The paraxial kernel reads a little too far at NA 0.75.
    assert found.z_min_contrast == pytest.approx(6.0 * 0.666 / (1.3345 * 0.1465**2), rel=0.15)


def test_torch_gives_the_same_distances(bench: type[Bench]) -> None:
    pytest.importorskip("torch")
    field = recorded(bench, -4.2)
    cells = find_cells(field)
    arrays = torch_arrays("cpu")
    for settings in METHODS:
        here = [field_distance(field, settings=settings), *cell_distances(field, cells, settings=settings)]
        there = [
            field_distance(field, settings=settings, arrays=arrays),
            *cell_distances(field, cells, settings=settings, arrays=arrays),
        ]
        for one, other in zip(here, there, strict=True):
            assert other.z_min_contrast == pytest.approx(one.z_min_contrast, abs=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "planes"), [(3.0, 3.0, 90), (5.0, -5.0, 90), (float("nan"), 1.0, 90), (-5.0, 5.0, 4)]
)
def test_an_impossible_range_is_refused(low: float, high: float, planes: int) -> None:
    with pytest.raises(RangeError, match=r"low|planes"):
        DistanceRange(low, high, planes)


def test_no_cells_no_distances(bench: type[Bench]) -> None:
    assert cell_distances(recorded(bench, 0.0), []) == []


def _profile(phase: NDArray[np.float32], row: float, column: float) -> NDArray[np.float32]:
    return phase[round(row), round(column) - 8 : round(column) + 9]


def test_the_odd_cell_is_right_in_the_composite_only(bench: type[Bench]) -> None:
    others = ((-15.0, -14.0, 2.0), (16.0, -12.0, 2.0), (-13.0, 15.0, 2.0))
    scene = bench(cells=(*others, (6.0, 5.0, -6.0)))
    frame = scene.frame()
    field = Reconstructor.prepare(frame, scene.optics)(frame)
    sharp = bench(cells=((6.0, 5.0, 0.0),))
    truth = unwrapped_phase(Reconstructor.prepare(frame, scene.optics)(sharp.frame()))
    cells = [cell for cell in find_cells(propagate(field, 2.0)) if not cell.border]
    found = cell_distances(field, cells)
    odd = min(range(len(cells)), key=lambda k: found[k].z_min_contrast or 0.0)
    assert len(cells) == 4
    assert found[odd].z_min_contrast == pytest.approx(-6.0, abs=0.15)
    whole = field_distance(field).z_min_contrast
    assert whole is not None
    result = compose(field, cells, found)
    place = cells[odd].row, cells[odd].column
    height = float(_profile(truth, *place).max())
    errors = [
        float(np.sqrt(np.mean((_profile(unwrapped_phase(shown), *place) - _profile(truth, *place)) ** 2))) / height
        for shown in (result.field, propagate(field, whole))
    ]
    assert errors[0] < 0.05
    assert errors[1] > 0.15
    assert result.field.z == pytest.approx(2.0, abs=0.15)
    depth = result.depth[round(place[0]), round(place[1])]
    assert depth == pytest.approx(found[odd].z_min_contrast, abs=1e-5)
    assert result.owner[round(place[0]), round(place[1])] == odd
    assert np.isnan(result.depth[result.owner < 0]).all()


@pytest.mark.parametrize(("seed", "z"), [(1, -12.0), (3, -4.0), (7, 11.0)])
def test_cells_of_an_independent_simulator_lie_where_they_are(seed: int, z: float) -> None:
    scene = HologramScene(HologramSetup(seed=seed))
    optics = HologramOptics(0.666, 0.1465, 0.75, 1.3345)
    reconstructor = Reconstructor.prepare(
        scene.expose(z, 10.0, shot=1), optics, background=scene.background(10.0, shot=2)
    )
    field = reconstructor(scene.expose(z, 10.0, shot=3))
    whole = field_distance(field).z_min_contrast
    assert whole is not None
    cells = [cell for cell in find_cells(propagate(field, whole)) if not cell.border]
    errors, misses = [], []
    for cell, found in zip(cells, cell_distances(field, cells), strict=True):
        away, truth = min(
            (np.hypot(t.y_um - cell.row * field.pixel[0], t.x_um - cell.column * field.pixel[1]), t.z_um)
            for t in scene.truths(z)
        )
        if away < 2.0 and found.z_min_contrast is not None:
            errors.append(abs(found.z_min_contrast - truth))
            misses.append(errors[-1] > 3 * (found.half_width or 0.0))
    assert len(errors) >= 8
    assert np.median(errors) < 0.06
    assert np.max(errors) < 0.4
    assert np.mean(misses) < 0.2


@pytest.mark.parametrize(("kind", "offset_um"), [("red_cell", -0.03), ("spherocyte", 0.3), ("bead", -0.75)])
def test_the_plane_of_least_contrast_of_thick_bodies_is_not_their_middle(kind: BodyKind, offset_um: float) -> None:
    body = PlacedBody(draw_body(kind, np.random.default_rng(0)), 20.0, 20.0, 4.0)
    light = multislice_field([body], OffAxisOptics(), (272, 272))
    step = 0.4166
    values = np.asarray(light.on_grid((96, 96), step, (0.0, 0.0)), np.complex64)
    field = Field(normalised(values), (step, step), 0.75 / 0.666, HologramOptics(0.666, 0.1465, 0.75, 1.3345))
    cell = Cell(20.0 / step, 20.0 / step, (0, 0, 96, 96), 1.0, False)
    found = cell_distances(field, [cell])[0]
    assert found.z_min_contrast_um == pytest.approx(4.0 + offset_um, abs=0.15)
    assert found.z_um(offset_um) == pytest.approx(4.0, abs=0.15)


@pytest.mark.parametrize("diameter", [4.0, 16.0, 40.0])
def test_a_wrong_diameter_costs_accuracy_at_most(bench: type[Bench], diameter: float) -> None:
    field = recorded(bench, 3.0)
    settings = DistanceSettings(cells=CellSettings(diameter=diameter))
    for found in cell_distances(field, find_cells(field), settings=settings):
        assert found.reason is not None or found.z_min_contrast == pytest.approx(3.0, abs=0.5)


@pytest.mark.parametrize("diameter", [0.0, -1.0, float("nan")])
def test_an_impossible_diameter_is_refused(diameter: float) -> None:
    with pytest.raises(OpticsError, match="diameter"):
        CellSettings(diameter=diameter)


def test_normalising_leaves_the_background_at_one(bench: type[Bench]) -> None:
    field = recorded(bench, 4.0)
    turned = normalised(field.values * np.complex64(3 - 2j))
    edge = turned[10:30, 10:30]
    assert np.abs(edge.mean() - 1) < 0.03
