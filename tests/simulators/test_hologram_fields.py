from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.simulators.holograms import (
    ObjectField,
    OffAxisOptics,
    PlacedBody,
    RedCell,
    Slicing,
    Sphere,
    body_field,
    mie_body_field,
    mie_field,
    multislice_body_field,
    multislice_field,
    specimen_field,
    thin_body_field,
    thin_field,
)
from tests.simulators._hologram_reading import propagated

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.simulators.holograms import BodyKind

OPTICS = OffAxisOptics()
SHAPE = (256, 256)
MIDDLE_UM = 18.6


@dataclass(frozen=True)
class Slab:
    """A round plate with soft edges: flat in the middle."""

    thickness_um: float = 1.0
    radius_um: float = 9.0
    index: float = 1.39
    kind: BodyKind = "red_cell"

    @property
    def half_height_um(self) -> float:
        return self.thickness_um / 2

    @property
    def volume_um3(self) -> float:
        return float(np.pi * self.radius_um**2 * self.thickness_um)

    def level(self, x_um: np.ndarray, y_um: np.ndarray, z_um: np.ndarray) -> np.ndarray:
        from_rim = np.float32(self.radius_um) - np.hypot(x_um, y_um)
        return np.minimum(from_rim, np.float32(self.half_height_um) - np.abs(z_um)).astype(np.float32)

    def chord(self, x_um: np.ndarray, y_um: np.ndarray) -> np.ndarray:
        return (np.float32(self.thickness_um) * (np.hypot(x_um, y_um) < self.radius_um)).astype(np.float32)


def in_middle(body: object, z_um: float) -> list[PlacedBody]:
    return [PlacedBody(body, MIDDLE_UM, MIDDLE_UM, z_um)]  # type: ignore[arg-type]


def on_axis(field: ObjectField, z: float) -> complex:
    return complex(field.downstream(z).on_grid((1, 1), 0.1, (MIDDLE_UM, MIDDLE_UM))[0, 0])


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((np.abs(values) ** 2).mean()))


def apart(first: ObjectField, second: ObjectField) -> float:
    """Return the difference of two fields over what the second scatters."""
    a, b = first.on_camera(SHAPE), second.on_camera(SHAPE)
    return rms(a - b) / rms(b - 1)


@pytest.mark.parametrize("render", [thin_body_field, multislice_body_field])
@pytest.mark.parametrize("thickness", [0.5, 1.0, 2.0])
def test_a_flat_slab_turns_the_phase_by_its_optical_path(render: Callable[..., ObjectField], thickness: float) -> None:
    field = render(Slab(thickness), OPTICS, 40.0)
    middle = field.on_grid((12, 12), 0.2, (-1.1, -1.1))
    assert np.angle(middle.mean()) == pytest.approx(2 * np.pi * 0.0555 * thickness / 0.666, rel=0.02)
    assert np.angle(middle.mean()) > 0  # denser: later, and with exp(−iωt) the larger phase


def test_light_inside_the_pupil_is_kept_and_no_light_is_made() -> None:
    field = thin_field(in_middle(RedCell(tilt_rad=0.2), 0.0), OPTICS, SHAPE)
    whole = tuple(round(length / OPTICS.pixel_um) for length in field.period_um)
    start = tuple(-origin for origin in field.origin_um)

    def energy(one: ObjectField) -> float:
        grid = one.on_grid((whole[0], whole[1]), OPTICS.pixel_um, (-start[0], -start[1]))
        return float((np.abs(grid) ** 2).mean())

    here = energy(field)
    # A phase object takes no light away; the pupil cuts off what is scattered too far: a little.
    assert 0.999 < here < 0.99999
    for z in (-12.0, 3.3, 15.0):
        assert energy(field.downstream(z)) == pytest.approx(here, rel=1e-4)


@pytest.mark.parametrize("z", [-15.0, -4.0, 4.0, 15.0])
def test_a_gaussian_beam_widens_as_theory_says(z: float) -> None:
    waist, period, n = 2.0, 60.0, 400
    along = (np.arange(n) * period / n - period / 2)[:, None]
    beam = np.exp(-(along**2 + along.T**2) / waist**2).astype(np.complex64)
    field = ObjectField.of_samples(beam, (period, period), (-period / 2, -period / 2), OPTICS).downstream(z)
    rayleigh = np.pi * waist**2 * 1.3345 / 0.666
    on_axis = complex(field.on_grid((1, 1), 1.0, (0.0, 0.0))[0, 0]) - 1
    assert abs(on_axis) == pytest.approx(1 / np.sqrt(1 + (z / rayleigh) ** 2), rel=0.01)
    assert np.angle(on_axis) == pytest.approx(-np.arctan(z / rayleigh), abs=0.02)  # Gouy
    profile = np.abs(field.on_grid((1, 200), 0.05, (0.0, 0.0))[0] - 1)
    width = 0.05 * np.interp(-np.exp(-1) * profile[0], -profile, np.arange(200))
    assert width == pytest.approx(waist * np.sqrt(1 + (z / rayleigh) ** 2), rel=0.01)


@pytest.mark.parametrize("render", [thin_field, multislice_field, mie_field])
@pytest.mark.parametrize(("z", "bright"), [(-12.0, True), (8.0, False)])
def test_a_denser_ball_gathers_light_downstream(render: Callable[..., ObjectField], z: float, bright: bool) -> None:
    field = render(in_middle(Sphere("spherocyte", 5.9, 1.39), z), OPTICS, SHAPE)
    middle = on_axis(field, 0.0)
    assert abs(middle) > 3.0 if bright else abs(middle) < 0.9


@pytest.mark.parametrize(("diameter", "index"), [(3.0, 1.345), (5.9, 1.39)])
def test_slices_agree_with_the_exact_series_on_cells(diameter: float, index: float) -> None:
    ball = in_middle(Sphere("spherocyte", diameter, index), 0.0)
    exact, sliced = mie_field(ball, OPTICS, SHAPE), multislice_field(ball, OPTICS, SHAPE)
    for z in (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0):
        assert abs(on_axis(sliced, z) - on_axis(exact, z)) < 0.13


def test_a_bead_is_a_ball_lens() -> None:
    field = mie_field(in_middle(Sphere(), 0.0), OPTICS, SHAPE)
    planes = np.arange(-14.0, 14.1, 0.5)
    middle = [abs(on_axis(field, z)) for z in planes]
    # Paraxial rays meet n·R/(2(n − 1)) = 14 µm from the middle, with n = 1.591/1.3345; those of the rim much sooner.
    assert 5.5 <= planes[int(np.argmax(middle))] <= 13
    assert max(middle) > 4


def test_slices_come_near_the_exact_series_on_beads_and_thin_elements_do_not() -> None:
    exact, sliced, thin = (
        r(in_middle(Sphere(), 0.0), OPTICS, SHAPE) for r in (mie_field, multislice_field, thin_field)
    )
    assert apart(sliced, exact) < 0.5 * apart(thin, exact)
    assert apart(thin, exact) > 0.4


@pytest.mark.parametrize("z", [-11.3, -0.4, 0.7, 14.0])
def test_propagating_by_the_distance_of_a_cell_brings_it_into_focus(z: float) -> None:
    cell = RedCell(tilt_rad=0.1)
    moved, here = thin_field(in_middle(cell, z), OPTICS, SHAPE), thin_field(in_middle(cell, 0.0), OPTICS, SHAPE)
    assert apart(moved.downstream(z), here) < 2e-3
    assert apart(moved, here) > 0.05 * min(1.0, abs(z))
    # The same by another propagator, in double precision, over the frame alone.
    again = propagated(moved.on_camera(SHAPE).astype(np.complex128), z)
    there = here.on_camera(SHAPE)
    assert rms((again - there)[60:-60, 60:-60]) < 0.03 * rms((there - 1)[60:-60, 60:-60])


def test_cells_behind_each_other_scatter_each_others_light() -> None:
    first, second = (PlacedBody(RedCell(), MIDDLE_UM + dx, MIDDLE_UM, z) for dx, z in ((-1.0, -6.0), (1.5, 5.0)))
    together = thin_field([second, first], OPTICS, SHAPE)
    alone = [thin_field([one], OPTICS, SHAPE) for one in (first, second)]
    added = replace(alone[0], scattered=alone[0].scattered + alone[1].scattered)
    solid = multislice_field([first, second], OPTICS, SHAPE)
    assert apart(together, solid) < 0.09
    assert apart(added, solid) > 3 * apart(together, solid)


@pytest.mark.parametrize(
    ("body", "least", "most"),
    [
        (RedCell(thickness_scale=0.1), 0.0, 0.015),
        (RedCell(), 0.01, 0.06),
        (RedCell(tilt_rad=0.3), 0.03, 0.12),
        (Sphere("spherocyte", 5.9, 1.39), 0.05, 0.15),
        (Sphere(), 0.4, 2.0),
    ],
    ids=["thin and weak", "red cell", "tilted", "spherocyte", "bead"],
)
@pytest.mark.parametrize("z", [6.0])
def test_slices_and_thin_elements_agree_where_a_body_is_thin(
    body: RedCell | Sphere, least: float, most: float, z: float
) -> None:
    assert (
        least
        <= apart(thin_field(in_middle(body, z), OPTICS, SHAPE), multislice_field(in_middle(body, z), OPTICS, SHAPE))
        <= most
    )


def test_the_slices_are_fine_enough() -> None:
    cell = in_middle(RedCell(tilt_rad=0.2), 2.0)
    fine = multislice_field(cell, OPTICS, SHAPE, slicing=Slicing(0.07, 0.06, 10.0, 4.0))
    assert apart(multislice_field(cell, OPTICS, SHAPE), fine) < 0.01


def test_far_bodies_are_computed_alone_and_add_up() -> None:
    near = [PlacedBody(RedCell(), 8.0, 8.0, 1.0), PlacedBody(Sphere(), 29.0, 28.0, -1.0)]
    both = multislice_field(near, OPTICS, SHAPE)
    alone = [multislice_field([one], OPTICS, SHAPE) for one in near]
    assert np.abs(both.scattered - alone[0].scattered - alone[1].scattered).max() < 1e-6


def test_beads_are_computed_exactly_and_cells_as_thin_elements() -> None:
    cell, bead = PlacedBody(RedCell(), 8.0, 8.0, 1.0), PlacedBody(Sphere(), 29.0, 28.0, -1.0)
    thin, solid = thin_field([cell], OPTICS, SHAPE), mie_field([bead], OPTICS, SHAPE)
    mixed = specimen_field([bead, cell], OPTICS, SHAPE)
    assert np.abs(mixed.scattered - thin.scattered - solid.scattered).max() < 1e-6
    alone = body_field(Sphere(), OPTICS, 40.0).scattered
    assert np.array_equal(alone, mie_body_field(Sphere(), OPTICS, 40.0).scattered)
    assert np.array_equal(
        body_field(RedCell(), OPTICS, 40.0).scattered, thin_body_field(RedCell(), OPTICS, 40.0).scattered
    )


@pytest.mark.parametrize("render", [thin_field, multislice_field])
def test_what_leaves_on_one_side_does_not_enter_on_the_other(render: Callable[..., ObjectField]) -> None:
    beyond = PlacedBody(RedCell(), -3.0, MIDDLE_UM, -10.0)
    light = np.abs(render([beyond], OPTICS, SHAPE).on_camera(SHAPE))
    assert light[:, :40].std() > 0.03
    assert light[:, -40:].std() < 0.1 * light[:, :40].std()


@pytest.mark.parametrize("render", [thin_field, multislice_field])
@pytest.mark.parametrize("shape", [(200, 256), (256, 192), (240, 300)])
def test_fields_need_not_be_square(render: Callable[..., ObjectField], shape: tuple[int, int]) -> None:
    body = [PlacedBody(RedCell(tilt_rad=0.2), 12.0, 16.0, 3.0)]
    square = thin_field(body, OPTICS, (300, 300)).on_camera((300, 300))[: shape[0], : shape[1]]
    other = render(body, OPTICS, shape).on_camera(shape)
    assert rms(other - square) < (0.015 if render is thin_field else 0.08) * rms(square - 1)


def test_a_field_is_the_same_on_every_grid() -> None:
    field = thin_field(in_middle(RedCell(), 2.0), OPTICS, SHAPE)
    camera = field.on_camera(SHAPE)
    assert np.abs(field.on_grid(SHAPE, OPTICS.pixel_um, (0.0, 0.0)) - camera).max() < 1e-4
    shifted = field.on_camera(SHAPE, (0.03, -0.05))
    assert np.abs(field.on_grid(SHAPE, OPTICS.pixel_um, (0.03, -0.05)) - shifted).max() < 1e-4
    assert np.abs(shifted - camera).max() > 0.01


def test_a_strong_body_that_is_no_ball_is_sliced() -> None:
    hard = RedCell(index=1.55)
    field, solid = (
        specimen_field(in_middle(hard, 1.0), OPTICS, SHAPE),
        multislice_field(in_middle(hard, 1.0), OPTICS, SHAPE),
    )
    assert np.abs(field.scattered - solid.scattered).max() < 1e-6
    assert np.array_equal(body_field(hard, OPTICS, 40.0).scattered, multislice_body_field(hard, OPTICS, 40.0).scattered)
    with pytest.raises(ValueError, match="is no ball"):
        mie_field(in_middle(hard, 0.0), OPTICS, SHAPE)


def test_grids_that_do_not_fit_the_camera_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of the pixel"):
        thin_body_field(RedCell(), OPTICS, 40.0).on_camera((64, 64))
    with pytest.raises(ValueError, match="does not fit"):
        thin_field([], OPTICS, SHAPE).on_camera((1024, 1024))
    with pytest.raises(ValueError, match="too small for a body"):
        thin_body_field(Sphere(), OPTICS, 8.0)


@pytest.mark.parametrize("wrong", [{"step_um": 0.0}, {"margin_um": 2.0}, {"slice_um": -0.1}])
def test_impossible_slices_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Slicing(**wrong)
