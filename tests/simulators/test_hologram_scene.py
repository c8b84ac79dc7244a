from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microscoped.simulators import ManualClock, SensorModel, SimulatedMicroscope, StageModel
from microscoped.simulators.holograms import (
    BodiesParameters,
    Disturbances,
    HologramScene,
    HologramSetup,
    Interferometer,
    OffAxisOptics,
    PlacedBody,
    RedCell,
    Reference,
    field_noise,
    multislice_field,
    thin_field,
)
from tests.simulators._hologram_reading import PIXEL, demodulated, flattest_um

OPTICS = OffAxisOptics()
SHAPE = (256, 256)
CELL = PlacedBody(RedCell(), 18.6, 18.6, 4.0)
QUIET = SensorModel(full_well_e=40_000.0, level=0.7, offset=20.0, bit_depth=12, vignetting=0.0, prnu=0.0, flicker=0.0)
CLEAN = HologramSetup(shape_px=SHAPE, disturbances=Disturbances.none())
AROUND = np.arange(-7.0, 7.01, 0.5)


def relative(scene: HologramScene, z: float, carrier: tuple[float, float] = Reference().carrier_per_um) -> np.ndarray:
    """Return the field of a hologram over that of a background hologram."""
    return demodulated(scene.expose(z, 10.0, 1), carrier) / demodulated(scene.background(10.0, 2), carrier)


@pytest.mark.parametrize("carrier", [(2.2371, 2.2157), (2.26, -2.19), (-2.2, 2.25)])
def test_the_sideband_stands_at_the_carrier_and_holds_the_denser_phase(carrier: tuple[float, float]) -> None:
    setup = replace(CLEAN, reference=Reference(carrier, curvature_per_um2=0.0))
    scene = HologramScene(setup, QUIET, bodies=[replace(CELL, z_um=0.0)])
    window = np.hanning(256)[:, None] * np.hanning(256)
    frame = scene.background(10.0, 1).astype(float)
    spectrum = np.abs(np.fft.fft2((frame - frame.mean()) * window, (4096, 4096)))
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    found = np.fft.fftfreq(4096, PIXEL)[[column, row]]
    bin_width = 1 / (256 * PIXEL)
    sign = np.sign(found[0] * carrier[0])  # the spectrum of real light has the conjugate, too
    assert sign * found == pytest.approx(carrier, abs=0.3 * bin_width)
    phase = np.angle(relative(scene, 0.0, carrier))[110:146, 110:146]
    assert phase.max() == pytest.approx(2 * np.pi * 0.0555 * 2.57 / 0.666, rel=0.1)
    other = np.angle(relative(scene, 0.0, (-carrier[0], -carrier[1])))[110:146, 110:146]
    assert np.abs(other + phase).max() < 1e-6


def test_the_carrier_lies_between_bins() -> None:
    bins = np.array(Reference().carrier_per_um) * PIXEL * 1024
    assert np.abs(bins - np.rint(bins)).min() > 0.05


@pytest.mark.parametrize("amplitude", [0.3, 1.0, 2.5])
def test_fringes_have_the_contrast_that_amplitudes_and_pixels_leave(amplitude: float) -> None:
    reference = Reference(curvature_per_um2=0.0, amplitude=amplitude)
    light = HologramScene(replace(CLEAN, reference=reference), QUIET, bodies=[]).full_model()
    contrast = (light.max() - light.min()) / (light.max() + light.min())
    blur = np.prod(np.sinc(np.array(reference.carrier_per_um) * PIXEL))
    assert contrast == pytest.approx(2 * amplitude / (1 + amplitude**2) * blur, rel=2e-3)


def test_the_reference_is_curved_as_declared() -> None:
    setup = replace(CLEAN, reference=Reference(curvature_per_um2=5e-4, centre=(0.0, 0.0)))
    field = demodulated(HologramScene(setup, QUIET, bodies=[]).light(), setup.reference.carrier_per_um)
    phase = np.unwrap(np.angle(field[128, 20:-20]))
    place = (np.arange(20, 236) - 127.5) * PIXEL
    assert np.polyfit(place, phase, 2)[0] == pytest.approx(-2 * np.pi * 5e-4, rel=0.05)


def test_pixels_integrate_the_fringes() -> None:
    shape, fine = (24, 24), 9
    field = thin_field([PlacedBody(RedCell(), 1.5, 2.0, 3.0)], OPTICS, shape)
    reference = Reference()
    light = Interferometer(OPTICS, reference, shape).full_model(field)
    first = -PIXEL / 2 + PIXEL / fine / 2
    wave = field.on_grid((24 * fine, 24 * fine), PIXEL / fine, (first, first))
    place = first + PIXEL / fine * np.arange(24 * fine)
    middle = 11.5 * PIXEL
    turns = []
    for carrier, centre in ((reference.carrier_per_um[1], -0.1), (reference.carrier_per_um[0], 0.2)):
        turns.append(carrier * place - 2e-4 * (place - middle - centre * 12 * PIXEL) ** 2)
    tilted = 1.6 * np.exp(-2j * np.pi * (turns[0][:, None] + turns[1][None]))
    brute = (np.abs(wave + tilted) ** 2).reshape(24, fine, 24, fine).mean(axis=(1, 3)) / 2.6**2
    assert np.abs(light - brute).max() < 4e-3


@pytest.mark.parametrize("z", [-6.0, 0.0, 5.0])
def test_the_light_that_is_played_is_that_of_the_full_model(z: float) -> None:
    scene = HologramScene(replace(CLEAN, disturbances=Disturbances()), bodies=[CELL])
    played, full = scene.light(z), scene.full_model(z)
    shot_noise = np.sqrt(full.mean() / scene.sensor.clear_electrons(10.0))
    assert (played - full).std() < 0.7 * shot_noise
    assert full.std() > 20 * shot_noise
    sidebands = [demodulated(light, Reference().carrier_per_um)[30:-30, 30:-30] for light in (played, full)]
    assert np.abs(sidebands[0] - sidebands[1]).std() < 0.01 * np.abs(sidebands[1]).mean()


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("full_well", [4_000.0, 20_000.0])
def test_the_noise_of_a_filtered_field_is_what_the_sensor_says(bits: int, full_well: float) -> None:
    sensor = replace(QUIET, bit_depth=bits, offset=4.0, full_well_e=full_well, gain_drift=0.0)
    scene = HologramScene(CLEAN, sensor, bodies=[])
    carrier = Reference().carrier_per_um
    shots = [demodulated(scene.expose(0.0, 10.0, k), carrier) for k in (1, 2)]
    noise = (shots[0] - shots[1])[20:-20, 20:-20] / np.abs(shots[0]).mean() / np.sqrt(2)
    assert np.sqrt((np.abs(noise) ** 2).mean()) == pytest.approx(field_noise(OPTICS, Reference(), sensor), rel=0.08)


def test_a_background_hologram_has_the_instrument_and_no_cells() -> None:
    disturbances = Disturbances(speckle=0.03, speckle_fixed=1.0, parasitic=0.02, dust=3)
    scene = HologramScene(replace(CLEAN, disturbances=disturbances), QUIET, bodies=[CELL])
    empty = HologramScene(replace(CLEAN, disturbances=disturbances), QUIET, bodies=[])
    carrier = Reference().carrier_per_um
    with_cells, without = (np.abs(demodulated(s.background(10.0, 5), carrier)) for s in (scene, empty))
    assert np.array_equal(with_cells, without)
    assert np.angle(relative(empty, -3.0))[20:-20, 20:-20].std() < 0.03
    assert np.angle(relative(scene, 4.0)).max() > 1.0
    # What belongs to the instrument shows in the background itself.
    assert without[20:-20, 20:-20].std() / without.mean() > 0.03


def test_speckle_has_its_strength_and_part_of_it_stays() -> None:
    disturbances = Disturbances(speckle=0.05, speckle_fixed=0.36, parasitic=0.0, dust=0)
    scene = HologramScene(replace(CLEAN, disturbances=disturbances), bodies=[])
    whole = scene.object_field().on_camera(SHAPE) - 1
    fixed = scene.background_field().on_camera(SHAPE) - 1
    assert np.sqrt((np.abs(whole) ** 2).mean()) == pytest.approx(0.05, rel=0.1)
    assert np.sqrt((np.abs(fixed) ** 2).mean()) == pytest.approx(0.03, rel=0.1)
    moved = scene.object_field(9.0).on_camera(SHAPE) - 1
    still = (moved * np.conj(fixed)).mean() / (np.abs(fixed) ** 2).mean()
    assert abs(still) == pytest.approx(1.0, abs=0.25)
    assert np.abs(moved - whole).std() > 0.02


@pytest.mark.parametrize("z", [-5.0, 2.3])
@pytest.mark.parametrize("solid", [False, True])
def test_a_cell_is_found_at_its_distance(z: float, solid: bool) -> None:
    cell = [replace(CELL, z_um=z)]
    scattered = multislice_field(cell, OPTICS, SHAPE) if solid else None
    scene = HologramScene(CLEAN, QUIET, bodies=cell, scattered=scattered)
    assert flattest_um(relative(scene, 0.0), AROUND) == pytest.approx(scene.truths()[0].z_um, abs=0.25)


def test_moving_the_stage_changes_every_distance() -> None:
    scene = HologramScene(CLEAN, QUIET, bodies=[CELL])
    clock = ManualClock()
    stage = StageModel(settle_ms=0.0, focus_per_stage=OPTICS.focus_per_stage)
    distances = []
    with SimulatedMicroscope(scene, stage, clock=clock, sleep=clock.sleep) as microscope:
        for target in (0.0, 1.5, 4.0):
            microscope.stage.move_to(target)
            clock.sleep(1.0)
            frame = microscope.camera.snap()
            background = demodulated(scene.background(10.0, 2), Reference().carrier_per_um)
            field = demodulated(np.asarray(frame.pixels), Reference().carrier_per_um) / background
            distances.append(flattest_um(field, AROUND))
    # A rising position moves the focal plane downstream, n times as far in the medium.
    assert distances == pytest.approx([4.0, 4.0 - 1.5 * 1.3345, 4.0 - 4.0 * 1.3345], abs=0.25)
    assert scene.truths(1.5 * 1.3345)[0].z_um == pytest.approx(4.0 - 1.5 * 1.3345)


def test_dust_and_parasitic_waves_stay_when_the_stage_moves() -> None:
    disturbances = Disturbances(speckle=0.0, parasitic=0.02, dust=3)
    scene = HologramScene(replace(CLEAN, disturbances=disturbances), bodies=[])
    assert np.abs(scene.light(0.0) - scene.light(10.0)).max() < 1e-6
    bare = HologramScene(CLEAN, bodies=[])
    assert np.abs(scene.light(0.0) - bare.light(0.0)).max() > 0.005


def test_the_same_shot_is_the_same_image_and_another_is_not() -> None:
    scene = HologramScene(CLEAN, bodies=[CELL])
    first = scene.expose(1.0, 10.0, 7)
    scene.expose(-2.0, 10.0, 1)
    assert np.array_equal(scene.expose(1.0, 10.0, 7), first)
    assert not np.array_equal(scene.expose(1.0, 10.0, 8), first)
    assert not np.array_equal(scene.background(10.0, 7), scene.background(10.0, 8))
    assert first.dtype == np.uint8
    assert scene.expose(1.0, 5.0, 7).mean() == pytest.approx((first.mean() - 4) / 2 + 4, rel=0.02)


def test_random_instruments_stay_within_what_is_stated() -> None:
    rng = np.random.default_rng(1)
    setups = [HologramSetup.draw(rng) for _ in range(200)]
    lengths = [np.hypot(*s.reference.carrier_per_um) for s in setups]
    contrasts = [s.reference.fringe_contrast for s in setups]
    assert 3.10 <= min(lengths) < 3.12 < 3.18 < max(lengths) <= 3.20
    assert 0.4 <= min(contrasts) < 0.45 < 0.85 < max(contrasts) <= 0.9
    assert max(abs(s.reference.curvature_per_um2) for s in setups) <= 5e-4
    assert min(s.disturbances.speckle for s in setups) >= 0.01
    assert max(s.disturbances.speckle for s in setups) <= 0.05
    assert len({s.seed for s in setups}) == 200
    described = HologramScene(replace(CLEAN, bodies=BodiesParameters(count=2))).describe()
    assert "red cell" in described["specimen"]


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (Reference, {"amplitude": 0.0}),
        (Disturbances, {"speckle": -0.1}),
        (Disturbances, {"speckle_fixed": 1.1}),
        (Disturbances, {"dust_um": (0.0, 5.0)}),
    ],
)
def test_impossible_figures_are_refused(make: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|cannot"):
        make(**wrong)
