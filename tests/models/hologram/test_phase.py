"""Phase, path, thickness and mass of known specimens; propagation and background."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.hologram import (
    Background,
    BackgroundError,
    Field,
    FrameChangedError,
    HologramOptics,
    OpticsError,
    ReconstructionSettings,
    Reconstructor,
    ScaleUnknownError,
    amplitude,
    background_change,
    dry_mass_pg,
    fit_phase,
    opd_nm,
    propagate,
    tapered,
    thickness_um,
    unwrapped_phase,
)

if TYPE_CHECKING:
    from tests.models.hologram.conftest import Bench

OPTICS = HologramOptics(0.666, 0.1465, 0.75, 1.3345)


def slab(path_um: float, size: int = 128) -> Field:
    """Return a square of even optical path on a background of 1."""
    path = np.zeros((size, size))
    path[48:80, 40:90] = path_um
    return Field(np.exp(2j * np.pi * path / 0.666).astype(np.complex64), (0.43, 0.43), 0.75 / 0.666, OPTICS)


@pytest.mark.parametrize("path_um", [0.05, -0.05, 0.25, 0.33])
def test_a_slab_has_its_path_thickness_and_mass(path_um: float) -> None:
    field = slab(path_um)
    assert opd_nm(field)[60, 60] == pytest.approx(1e3 * path_um, abs=0.01)
    assert opd_nm(field)[5, 5] == pytest.approx(0.0, abs=0.01)
    assert thickness_um(field, 1.39)[60, 60] == pytest.approx(path_um / (1.39 - 1.3345), abs=1e-3)
    area = 32 * 50 * 0.43**2
    assert dry_mass_pg(field, np.ones(field.shape, bool)) == pytest.approx(path_um * area / 0.18, rel=1e-3)
    assert dry_mass_pg(field, (slice(48, 80), slice(40, 90)), refractive_increment=0.2) == pytest.approx(
        path_um * area / 0.2, rel=1e-3
    )
    assert amplitude(field) == pytest.approx(np.ones(field.shape), abs=1e-6)


def test_a_round_bead_of_many_turns_is_unwrapped() -> None:
    y, x = np.mgrid[:160, :160] - 80.0
    path_um = 3.0 * np.sqrt(np.maximum(1 - (y**2 + x**2) / 60.0**2, 0)) ** 2
    field = Field(np.exp(2j * np.pi * path_um / 0.666).astype(np.complex64), (0.43, 0.43), 1.0, OPTICS)
    assert opd_nm(field) == pytest.approx(1e3 * path_um, abs=0.1)


def test_a_whole_instrument_gives_the_cells_path_and_volume(bench: type[Bench]) -> None:
    scene = bench(cells=((2.0, 3.0, 5.0),), curvature=3e-4)
    frame = scene.frame()
    field = propagate(Reconstructor.prepare(frame, scene.optics)(frame), 5.0)
    step = 0.05
    y, x = np.mgrid[-5:5:step, -5:5:step]
    q = np.minimum((2 * np.hypot(y, x) / 7.8) ** 2, 1.0)
    truth = (np.sqrt(1 - q) * (0.81 + 7.83 * q - 4.39 * q**2)).sum() * step**2
    thickness = thickness_um(field, 1.39)
    box = tuple(slice(n // 2 - 20, n // 2 + 35) for n in field.shape)
    assert thickness[box].sum() * field.pixel[0] * field.pixel[1] == pytest.approx(truth, rel=0.04)
    assert thickness[box].max() == pytest.approx(2.52, abs=0.2)


@pytest.mark.parametrize(
    ("optics", "named"),
    [(HologramOptics(None, 0.1465), "wavelength_um"), (HologramOptics(0.666, None), "pixel_size_um")],
)
def test_mass_without_scale_is_refused(optics: HologramOptics, named: str) -> None:
    with pytest.raises(ScaleUnknownError, match=named):
        dry_mass_pg(replace(slab(0.1), optics=optics), (slice(0, 9), slice(0, 9)))


def test_impossible_indices_are_refused() -> None:
    with pytest.raises(OpticsError, match=r"specimen_index 1\.3345"):
        thickness_um(slab(0.1), 1.3345)
    with pytest.raises(OpticsError, match="refractive_increment 0"):
        dry_mass_pg(slab(0.1), (slice(0, 9), slice(0, 9)), refractive_increment=0)


@pytest.mark.parametrize("distance", [-12.3, -0.5, 0.0, 4.0, 20.0])
@pytest.mark.parametrize("optics", [OPTICS, HologramOptics()])
def test_there_and_back_is_the_same_field(distance: float, optics: HologramOptics) -> None:
    field = replace(slab(0.2), optics=optics)
    back = propagate(propagate(field, distance), -distance)
    assert np.abs(back.values - field.values).max() < 1e-4
    assert back.z == pytest.approx(0.0)
    if distance:
        assert np.abs(propagate(field, distance).values - field.values).max() > 0.1


def test_a_beam_travels_as_theory_says() -> None:
    # The half width of a Gaussian beam of waist w grows as √(1 + (z/z₀)²), z₀ = π·n·w²/λ.
    y, x = np.mgrid[:256, :256] - 128.0
    values = np.exp(-(y**2 + x**2) * 0.2**2 / 4.0).astype(np.complex64)
    field = Field(values, (0.2, 0.2), 0.75 / 0.666, OPTICS)
    power = np.abs(propagate(field, 30.0).values) ** 2
    width = 2 * np.sqrt((power * x**2).sum() / power.sum()) * 0.2
    rayleigh = np.pi * 1.3345 * 4.0 / 0.666
    assert width == pytest.approx(2.0 * np.sqrt(1 + (30.0 / rayleigh) ** 2), rel=0.01)


def test_tapered_borders_run_out_to_one() -> None:
    values = np.full((2, 40, 50), 3 + 1j, np.complex64)
    smooth = tapered(values, 6, 8)
    assert np.abs(smooth[:, 0] - 1).max() < 0.05
    assert smooth[:, 10:30, 12:38] == pytest.approx(values[:, 10:30, 12:38])


@pytest.mark.parametrize("order", [2, 3, 4])
def test_a_background_is_fitted_through_cells(order: int) -> None:
    y, x = np.mgrid[:200, :240]
    u, v = y / 100 - 1, x / 120 - 1
    truth = 1.3 + 9 * u - 14 * v + 11 * u**2 + 7 * v**2 - 3 * u * v
    if order > 2:
        truth += 2 * u**3 - 1.5 * u * v**2
    if order > 3:
        truth += 1.2 * (u**2 + v**2) ** 2
    cells = np.zeros(y.shape)
    for row, column in ((40, 50), (100, 130), (150, 60), (60, 190)):
        cells += 3 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 150.0)
    noise = np.random.default_rng(0).normal(0, 0.05, y.shape)
    found = fit_phase(np.exp(1j * (truth + cells + noise)).astype(np.complex64), order)
    rest = np.angle(np.exp(1j * (found - truth)))
    assert np.abs(rest).max() < 0.2
    assert np.sqrt(np.mean(rest**2)) < 0.06


@pytest.mark.parametrize("order", [0, 7])
def test_an_impossible_order_is_refused(order: int) -> None:
    with pytest.raises(BackgroundError, match=f"order {order}"):
        fit_phase(slab(0.1).values, order)


def test_a_background_hologram_takes_curvature_away_and_says_when_it_is_stale(bench: type[Bench]) -> None:
    scene = bench(cells=(), curvature=3e-4)
    reconstructor = Reconstructor.prepare(scene.frame(), scene.optics, background=replace(scene, seed=2).frame())
    fresh = reconstructor(replace(scene, seed=3).frame())
    assert np.angle(fresh.values).std() < 0.05
    still = background_change(fresh)
    assert max(map(abs, still.carrier_px)) < 0.02
    assert still.residual_rad < 0.02
    drifted = replace(scene, carrier=(scene.carrier[0] + 0.8 / 512, scene.carrier[1]), seed=4).frame()
    change = background_change(reconstructor(drifted))
    assert change.carrier_px[0] == pytest.approx(0.8, abs=0.03)
    assert change.carrier_px[1] == pytest.approx(0.0, abs=0.03)
    assert change.residual_rad > 0.3


def test_backgrounds_that_do_not_fit_are_refused(bench: type[Bench]) -> None:
    scene = bench(cells=(), size=256)
    frame = scene.frame()
    with pytest.raises(BackgroundError, match=r"\(128, 256\)"):
        Reconstructor.prepare(frame, scene.optics, background=frame[:128])
    reconstructor = Reconstructor.prepare(frame, scene.optics)
    with pytest.raises(FrameChangedError, match=r"\(4, 4\)"):
        Reconstructor(reconstructor.filter, Background(np.ones((4, 4), np.complex64), "hologram"))
    dark = reconstructor.filter(frame)
    values = dark.values.copy()
    values[:20] = 0
    with pytest.raises(BackgroundError, match="darker"):
        Background.of_hologram(dark.at(values))


def test_settings_choose_the_polynomial(bench: type[Bench]) -> None:
    scene = bench(cells=(), curvature=4e-4)
    frame = scene.frame()
    rests = [
        np.angle(
            Reconstructor.prepare(frame, scene.optics, settings=ReconstructionSettings(background_order=order))(
                frame
            ).values
        )[8:-8, 8:-8].std()
        for order in (1, 2)
    ]
    assert rests[0] > 0.5
    assert rests[1] < 0.05
    assert unwrapped_phase(Reconstructor.prepare(frame, scene.optics)(frame)).std() < 0.1
