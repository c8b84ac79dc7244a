from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.simulators.holograms import (
    BodiesParameters,
    Echinocyte,
    Irregular,
    OffAxisOptics,
    PlacedBody,
    RedCell,
    Sphere,
    draw_body,
    place_bodies,
    thickness_um,
    truths,
)

if TYPE_CHECKING:
    from microscoped.simulators.holograms import Body

STEP = 0.1
MAP = (120, 120)

GRANULES = ((0.5, 1.0, 0.8, 0.6), (-0.5, -1.0, 0.8, 0.6))
BODIES: list[tuple[str, Body]] = [
    ("flat cell", RedCell()),
    ("elliptic cell", RedCell(ellipticity=0.12, ellipse_rad=0.4)),
    ("tilted cell", RedCell(diameter_um=8.2, tilt_rad=math.radians(20), tilt_axis_rad=2.0)),
    ("tilted elliptic cell", RedCell(ellipticity=-0.1, tilt_rad=0.2, thickness_scale=1.1)),
    ("spherocyte", Sphere("spherocyte", 5.9, 1.39)),
    ("bead", Sphere()),
    ("crenated cell", Echinocyte(seed=3)),
    ("irregular cell", Irregular(lobes=((0.1, 0.3), (0.0, 0.0), (0.05, 2.0)), granules=GRANULES)),
]


def mapped(body: Body, centre: tuple[float, float] = (5.93, 6.07)) -> np.ndarray:
    return thickness_um(body, MAP, STEP, centre)


@pytest.mark.parametrize(("name", "body"), BODIES, ids=[name for name, _ in BODIES])
def test_a_thickness_map_holds_the_volume_about_the_middle(name: str, body: Body) -> None:
    thickness = mapped(body)
    assert thickness.sum() * STEP**2 == pytest.approx(body.volume_um3, rel=3e-3)
    y, x = np.indices(MAP) * STEP
    centre = (thickness * y).sum() / thickness.sum(), (thickness * x).sum() / thickness.sum()
    assert centre == pytest.approx((5.93, 6.07), abs=4e-3)


@pytest.mark.parametrize(("name", "body"), BODIES, ids=[name for name, _ in BODIES])
def test_a_body_ends_inside_its_declared_reach(name: str, body: Body) -> None:
    assert mapped(body).max() <= 2 * body.half_height_um
    around = np.linspace(0, 2 * np.pi, 90, dtype=np.float32)
    x, y = np.cos(around) * np.float32(body.radius_um + 0.02), np.sin(around) * np.float32(body.radius_um + 0.02)
    heights = np.linspace(-body.half_height_um, body.half_height_um, 60, dtype=np.float32)
    assert (body.level(x[None], y[None], heights[:, None]) < 0).all()
    plane = np.linspace(-body.radius_um, body.radius_um, 60, dtype=np.float32)
    for end in (-1, 1):
        top = np.full((1, 1), end * (body.half_height_um + 0.02), np.float32)
        assert (body.level(plane[None], plane[:, None], top) < 0).all()
    assert body.level(*(np.zeros((1, 1), np.float32),) * 3) > 0


def test_a_normal_discocyte_has_94_cubic_micrometres() -> None:
    # Evans and Fung 1972: D = 7.82 µm, V = 94.1 µm³.
    assert RedCell(diameter_um=7.82).volume_um3 == pytest.approx(94.1, abs=0.2)


@pytest.mark.parametrize(
    ("r", "thickness"), [(0.0, 0.81), (0.975, 1.2412), (1.95, 2.1591), (2.925, 2.5299), (3.9, 0.0)]
)
def test_a_discocyte_is_as_thick_as_evans_and_fung_measured(r: float, thickness: float) -> None:
    place = np.full((1, 1), r, np.float32)
    assert float(RedCell().chord(place, 0 * place)[0, 0]) == pytest.approx(thickness, abs=1e-3)


@pytest.mark.parametrize("tilt", [5.0, 12.0, 20.0])
def test_light_runs_longer_through_the_middle_of_a_tilted_cell(tilt: float) -> None:
    nothing = np.zeros((1, 1), np.float32)
    chord = float(RedCell(tilt_rad=math.radians(tilt)).chord(nothing, nothing)[0, 0])
    assert chord == pytest.approx(0.81 / math.cos(math.radians(tilt)), rel=0.02)


def test_a_tilted_cell_rises_along_its_axis() -> None:
    cell = RedCell(tilt_rad=0.3, tilt_axis_rad=np.pi / 2)
    rim = np.full((1, 1), 3.0, np.float32)
    nothing, height = 0 * rim, np.full((1, 1), 3.0 * math.tan(0.3), np.float32)
    assert cell.level(nothing, rim, height) > 0
    assert cell.level(nothing, rim, -height) < 0
    assert cell.level(nothing, -rim, -height) > 0


@pytest.mark.parametrize("body", [RedCell(), RedCell(tilt_rad=0.3), Sphere()])
def test_parts_of_a_sample_move_the_map_and_do_not_change_its_content(body: Body) -> None:
    sums = [mapped(body, (6.0 + dy * STEP, 6.0 + dx * STEP)).sum() for dy, dx in ((0, 0), (0.5, 0.25), (0.1, 0.7))]
    assert np.ptp(sums) / sums[0] < 1e-3
    assert np.abs(mapped(body, (6.0, 6.0)) - mapped(body, (6.0, 6.05))).max() > 0.02


def test_crenated_cells_have_spicules_and_differ() -> None:
    first, other = mapped(Echinocyte(seed=1)), mapped(Echinocyte(seed=2))
    assert np.abs(first - other).max() > 0.2
    angles = np.linspace(0, 2 * np.pi, 200, dtype=np.float32)
    radii = np.linspace(0, 5, 500, dtype=np.float32)[:, None]
    for height, rough in ((0.16, True), (0.0, False)):
        cell = Echinocyte(seed=1, spicule_height=height)
        outline = (cell.chord(radii * np.cos(angles), radii * np.sin(angles)) > 0.05).sum(axis=0)
        assert (outline.max() / outline.min() > 1.05) == rough


def test_red_cells_are_drawn_with_the_spread_of_blood() -> None:
    rng = np.random.default_rng(0)
    cells = [RedCell.draw(rng) for _ in range(600)]
    assert np.mean([c.diameter_um for c in cells]) == pytest.approx(7.8, abs=0.08)
    assert np.std([c.diameter_um for c in cells]) == pytest.approx(0.5, abs=0.06)
    assert np.std([c.thickness_scale for c in cells]) == pytest.approx(0.08, abs=0.012)
    tilts = np.degrees([c.tilt_rad for c in cells])
    assert tilts.min() < 1
    assert 19 < tilts.max() <= 20


@pytest.mark.parametrize("kind", ["red_cell", "irregular", "echinocyte", "spherocyte", "bead"])
def test_every_kind_can_be_drawn_and_says_what_it_is(kind: str) -> None:
    rng = np.random.default_rng(4)
    bodies = [draw_body(kind, rng) for _ in range(6)]  # type: ignore[arg-type]
    assert {body.kind for body in bodies} == {kind}
    assert len({body.volume_um3 for body in bodies}) == 6
    low, high = {"bead": (350, 430), "irregular": (10, 600)}.get(kind, (55, 160))
    assert all(low < body.volume_um3 < high for body in bodies)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (RedCell, {"diameter_um": 0.0}),
        (Irregular, {"height_um": 0.0}),
        (Irregular, {"lobes": ((0.6, 0.0), (-0.5, 0.0))}),
        (RedCell, {"ellipticity": 1.0}),
        (RedCell, {"tilt_rad": -0.1}),
        (RedCell, {"tilt_rad": 1.0}),
        (Sphere, {"diameter_um": -1.0}),
        (Echinocyte, {"flattening": 0.0}),
        (Echinocyte, {"spicules": 0}),
        (BodiesParameters, {"kinds": ()}),
        (BodiesParameters, {"z_um": (1.0, 0.0)}),
        (OffAxisOptics, {"na": 1.4}),
        (OffAxisOptics, {"wavelength_nm": 0.0}),
    ],
)
def test_impossible_figures_are_refused(make: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|outside|between"):
        make(**wrong)


def test_bodies_are_placed_apart_inside_the_frame_and_at_their_depths() -> None:
    optics = OffAxisOptics()
    chosen = BodiesParameters(("red_cell", "bead"), count=40, z_um=(-4.0, 2.0), clearance_um=12.0, border_um=3.0)
    placed = place_bodies(chosen, (600, 1000), optics, seed=5)
    assert 25 <= len(placed) <= 40
    assert {p.body.kind for p in placed} == {"red_cell", "bead"}
    places = np.array([(p.y_um, p.x_um) for p in placed])
    apart = np.hypot(*(places[:, None] - places[None]).T) + 99 * np.eye(len(placed))
    assert apart.min() >= 12.0
    assert places.min() >= 3.0
    assert (places.max(axis=0) <= np.array([600, 1000]) * optics.pixel_um - 3.0).all()
    assert places[:, 1].max() > 600 * optics.pixel_um
    depths = [p.z_um for p in placed]
    assert -4 <= min(depths) < -2.5
    assert 0.5 < max(depths) <= 2
    assert place_bodies(chosen, (600, 1000), optics, seed=5) == placed
    assert place_bodies(chosen, (600, 1000), optics, seed=6) != placed


def test_truth_counts_distances_from_the_plane_in_focus() -> None:
    cell = RedCell(diameter_um=7.82)
    (truth,) = truths([PlacedBody(cell, 3.0, 4.0, 5.0)], medium_index=1.3345, focus_um=1.5)
    assert (truth.x_um, truth.y_um, truth.z_um) == (3.0, 4.0, 3.5)
    assert truth.opd_um3 == pytest.approx(94.1 * (1.39 - 1.3345), rel=3e-3)
    assert truth.height_um == pytest.approx(2.57, abs=0.03)


def test_distances_on_the_camera_side_are_longer_by_the_square_of_the_magnification() -> None:
    assert OffAxisOptics().camera_side_um(1.0) == pytest.approx(1600 / 1.3345)
    assert OffAxisOptics().dof_um == pytest.approx(1.58, abs=0.01)
    assert OffAxisOptics().pixel_um == pytest.approx(0.1465)
