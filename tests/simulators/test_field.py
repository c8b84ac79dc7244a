from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.simulators import ManualClock, SimulatedMicroscope
from microscoped.simulators.field import FieldScene
from microscoped.simulators.measured_field import MeasuredField, read_field
from microscoped.simulators.sensor import SensorModel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WAVELENGTH_UM, INDEX, PIXEL_UM = 0.6, 1.33, 0.15
SENSOR = SensorModel(full_well_e=20_000.0, level=0.4, prnu=0.0, flicker=0.0, gain_drift=0.0, vignetting=0.0)


def propagated(values: NDArray[np.complex128], distance_um: float) -> NDArray[np.complex128]:
    """Propagate downstream by the exact angular spectrum in double precision, written apart from the project's own."""
    fy, fx = (np.fft.fftfreq(size, PIXEL_UM) for size in values.shape)
    squared = (INDEX / WAVELENGTH_UM) ** 2 - fy[:, None] ** 2 - fx[None, :] ** 2
    kernel = np.exp(2j * np.pi * distance_um * (np.sqrt(np.maximum(squared, 0)) - INDEX / WAVELENGTH_UM))
    return np.asarray(np.fft.ifft2(np.fft.fft2(values) * kernel * (squared > 0)))


def spot(size: int = 128, *, sigma_px: float = 2.0, height: complex = -0.6) -> NDArray[np.complex128]:
    """Return a clear field with one soft spot in the middle: dark for a height of -0.6."""
    y, x = np.indices((size, size)) - size / 2
    return 1.0 + height * np.exp(-(x**2 + y**2) / (2 * sigma_px**2)) + 0j


def measured(values: NDArray[np.complex128], focus_um: float = 0.0) -> MeasuredField:
    return MeasuredField(values, PIXEL_UM, WAVELENGTH_UM * 1000, INDEX, focus_um, "spot")


def scene(values: NDArray[np.complex128] | None = None, focus_um: float = 0.0, **options: object) -> FieldScene:
    field = measured(spot() if values is None else values, focus_um)
    return FieldScene(field, **{"frame_shape": (96, 96), "reach_um": 8.0, "sensor": SENSOR, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("coherence", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("measured_at_um", [-4.0, 3.0])
def test_a_field_measured_out_of_focus_gives_the_same_images(coherence: float, measured_at_um: float) -> None:
    """Propagated there and refocused back, in two implementations: so distances are downstream in both."""
    here = scene(coherence=coherence)
    there = scene(propagated(spot(), measured_at_um), -measured_at_um, coherence=coherence)
    for z_um in (-3.0, 0.0, 1.0):
        expected = here.full_model(z_um)
        assert np.abs(there.full_model(z_um) - expected).max() < 0.02 * np.ptp(expected)


@pytest.mark.parametrize("focus_z_um", [-20.0, 0.0, 3.5])
def test_an_absorbing_spot_is_darkest_at_the_declared_focus(focus_z_um: float) -> None:
    shown = scene(propagated(spot(), 2.0), -2.0, focus_z_um=focus_z_um)
    assert shown.focus_z_um == focus_z_um
    z_um = focus_z_um + np.arange(-5.0, 5.01, 0.25)
    darkest = [shown.full_model(z).min() for z in z_um]
    assert z_um[int(np.argmin(darkest))] == pytest.approx(focus_z_um, abs=0.26)


def test_a_denser_specimen_is_bright_above_focus_and_dark_below() -> None:
    """A phase bump gathers light downstream, like a lens."""
    y, x = np.indices((128, 128)) - 64
    bump = np.exp(1j * np.exp(-(x**2 + y**2) / (2 * 6.0**2)))
    shown = scene(bump)
    above, focus, below = (float(shown.full_model(z)[48, 48]) for z in (6.0, 0.0, -6.0))
    assert above > 1.2
    assert focus == pytest.approx(1.0, abs=0.05)
    assert below < 0.9


@pytest.mark.parametrize("coherence", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("z_um", [-8.0, -3.0, 0.0, 8.0])
def test_the_surround_is_clear_and_has_no_seam(coherence: float, z_um: float) -> None:
    y, x = np.indices((128, 128))
    # A tilted reference and uneven light, as in every measurement.
    background = 1.7 * np.exp(0.002 * x - 0.001 * y + 1j * (0.4 + 0.004 * x + 0.002 * y))
    shown = scene(spot() * background, coherence=coherence, frame_shape=(400, 400))
    image = shown.full_model(z_um)
    ring = np.ones(image.shape, bool)
    ring[140:-140, 140:-140] = False
    assert np.abs(image[ring] - 1.0).max() < 0.01
    plain = scene(coherence=coherence, frame_shape=(400, 400)).full_model(z_um)
    assert np.abs(image - plain).max() < 0.01


@pytest.mark.parametrize("coherence", [0.0, 0.2, 0.7])
def test_interpolated_planes_agree_with_the_full_model(coherence: float) -> None:
    shown = scene(coherence=coherence)
    assert shown.z_step_um <= shown.dof_um / 4
    for z_um in np.random.default_rng(1).uniform(-7.9, 7.9, 12):
        full = shown.full_model(z_um)
        assert np.sqrt(np.mean((shown.light(z_um) - full) ** 2)) < 0.02 * full.std()


def test_beyond_its_reach_the_last_plane_is_shown() -> None:
    shown = scene()
    assert np.array_equal(shown.expose(1e6, 10.0, 3), shown.expose(8.0, 10.0, 3))
    assert np.array_equal(shown.expose(-1e6, 10.0, 3), shown.expose(-8.0, 10.0, 3))
    assert not np.array_equal(shown.expose(8.0, 10.0, 3), shown.expose(-8.0, 10.0, 3))


def test_noise_is_that_of_photons_and_readout_and_seeded_by_the_shot() -> None:
    shown = scene(frame_shape=(300, 300))
    shots = [shown.expose(0.0, 10.0, shot).astype(float)[:90] for shot in (0, 0, 1)]
    assert np.array_equal(shots[0], shots[1])
    assert abs(np.corrcoef(shots[0].ravel(), shots[2].ravel())[0, 1]) < 0.03
    electrons = SENSOR.clear_electrons(10.0)
    assert (shots[0].mean() - SENSOR.offset) * SENSOR.electrons_per_digit == pytest.approx(electrons, rel=2e-3)
    noise = np.sqrt(electrons + SENSOR.read_noise_e**2)
    assert shots[0].std() * SENSOR.electrons_per_digit == pytest.approx(noise, rel=0.03)


def test_light_is_proportional_to_the_exposure_and_ends_at_full_scale() -> None:
    shown = scene(frame_shape=(300, 300))
    one, two = (shown.expose(0.0, ms, 0)[:90].mean() - SENSOR.offset for ms in (5.0, 10.0))
    assert two / one == pytest.approx(2.0, rel=0.01)
    saturated = shown.expose(0.0, 1000.0, 0)
    assert saturated.dtype == np.uint16
    assert saturated.max() == 2**shown.bit_depth - 1


def test_prepare_changes_no_image() -> None:
    lazy, ready = scene(), scene()
    ready.prepare()
    assert np.array_equal(lazy.expose(1.234, 10.0, 5), ready.expose(1.234, 10.0, 5))


def test_a_simulated_microscope_looks_at_the_field() -> None:
    clock = ManualClock()
    shown = scene(focus_z_um=2.0)
    with SimulatedMicroscope(shown, clock=clock, sleep=clock.sleep) as microscope:
        frames = []
        for z_um in (2.0, -4.0):
            microscope.stage.move_to(z_um)
            clock.sleep(5.0)
            frames.append(microscope.camera.snap().pixels.astype(float))
        assert microscope.describe()["source"] == "spot"
        assert microscope.describe()["focus"].startswith("2 µm")
    assert frames[0].min() < 0.8 * frames[1].min()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"na": 0.0}, "na 0.0"),
        ({"na": 1.4}, "below the medium's index 1.33"),
        ({"coherence": 1.5}, "coherence 1.5"),
        ({"coherence": -0.1}, "coherence -0.1"),
        ({"n_points": 14}, "14 source points"),
        ({"reach_um": 0.0}, "reach_um"),
        ({"frame_shape": (0, 10)}, "frame_shape"),
        ({"na": 1.3, "coherence": 1.0}, "too coarse"),
    ],
)
def test_figures_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scene(**options)


@pytest.mark.parametrize(
    ("values", "figures", "message"),
    [
        (np.ones((32, 32)), {}, "spot: float64 of shape"),
        (np.ones((32, 8), complex), {}, "at least 16 × 16"),
        (np.ones((2, 32, 32), complex), {}, "a complex image"),
        (np.full((32, 32), np.nan + 0j), {}, "not finite"),
        (spot(32), {"pixel_um": 0.0}, "pixel_um is 0.0"),
        (spot(32), {"wavelength_nm": -1.0}, "wavelength_nm is -1.0"),
        (spot(32), {"medium_index": 0.0}, "medium_index"),
        (spot(32), {"focus_um": float("inf")}, "focus_um is inf"),
    ],
)
def test_a_field_that_is_none_is_refused(
    values: NDArray[np.complex128], figures: dict[str, float], message: str
) -> None:
    good = {"pixel_um": PIXEL_UM, "wavelength_nm": 600.0, "medium_index": INDEX, "focus_um": 0.0}
    with pytest.raises(ValueError, match=message):
        MeasuredField(values, **{**good, **figures}, name="spot")


def test_a_dark_border_is_no_background() -> None:
    dark = measured(spot() - 1.0)
    dark.values[:4] = dark.values[-4:] = dark.values[:, :4] = dark.values[:, -4:] = 0
    with pytest.raises(ValueError, match="border is dark"):
        FieldScene(dark)


def test_field_comes_back_from_its_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", field=spot(32).astype(np.complex64), other=np.ones(3))
    values = read_field(tmp_path / "f.npz")
    assert values.dtype == np.complex128
    assert values == pytest.approx(spot(32), abs=1e-6)


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        ("good", "phase", r"f\.npz: holds no array 'phase'; it holds field, real"),
        ("good", "real", "'real' is float64, not complex"),
        (b"not a zip", "field", r"f\.npz: is no \.npz file"),
        (b"", "field", r"f\.npz: is no \.npz file"),
        ("npy", "field", r"f\.npz: is no \.npz file"),
        ("cut", "field", r"f\.npz: is no \.npz file"),
    ],
)
def test_a_file_without_a_field_is_refused(tmp_path: Path, content: str | bytes, key: str, message: str) -> None:
    path = tmp_path / "f.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "npy":
        with path.open("wb") as file:
            np.save(file, spot(32))
    else:
        np.savez(path, field=spot(32), real=np.ones((32, 32)))
        if content == "cut":
            path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=message):
        read_field(path, key)
