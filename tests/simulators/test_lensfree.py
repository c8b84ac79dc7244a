from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from microscoped.simulators.cells import CellLibrary, PopulationParameters
from microscoped.simulators.lensfree import (
    DEFAULT_SENSOR,
    LensFreeOptics,
    LensFreeScene,
    LensFreeSetup,
    ThinSpecimen,
    record,
)
from microscoped.simulators.lensfree._scene import _guard_px
from microscoped.simulators.sensor import SensorModel

PITCH_UM = 1.67
POINT = LensFreeOptics(
    wavelengths_um=(0.53,), z_um=400.0, led_um=1e-3, bandwidth_nm=(0.0,), shifts_um=((0.0, 0.0),), lines=1
)
SMALL = LensFreeOptics(z_um=300.0, led_um=170.0, bandwidth_nm=(25.0, 35.0, 25.0))
NOISELESS = SensorModel(
    full_well_e=1e9, level=0.3, read_noise_e=0.0, bit_depth=16, prnu=0.0, flicker=0.0, gain_drift=0.0, vignetting=0.0
)


def clear(rows: int, columns: int, fineness: int = 2, guard_px: int = 10) -> ThinSpecimen:
    shape = ((rows + 2 * guard_px) * fineness, (columns + 2 * guard_px) * fineness)
    return ThinSpecimen(np.zeros(shape, np.float32), np.zeros(shape, np.float32), fineness, guard_px)


def bump(radius_um: float, opd_nm: float, absorption: float, middle_px: tuple[float, float]) -> ThinSpecimen:
    """Return a Gaussian bump on a frame of 64 × 64 pixels, its middle in the frame's pixels."""
    base = clear(64, 64, guard_px=64)
    down, across = (
        ((np.arange(n) + 0.5) / 2 - 0.5 - 64 - middle) * PITCH_UM
        for n, middle in zip(base.opd_nm.shape, middle_px, strict=True)
    )
    profile = np.exp(-(down[:, None] ** 2 + across**2) / radius_um**2).astype(np.float32)
    return replace(base, opd_nm=np.float32(opd_nm) * profile, absorption=np.float32(absorption) * profile)


def radial_hologram(
    radius_um: float, opd_nm: float, absorption: float, wavelength_um: float, z_um: float, at_um: np.ndarray
) -> np.ndarray:
    """Return the intensity behind a Gaussian bump by two Hankel transforms in double precision."""
    r = (np.arange(1500) + 0.5) * (5 * radius_um / 1500)
    profile = np.exp(-((r / radius_um) ** 2))
    scattered = np.exp(profile * (2j * np.pi * opd_nm * 1e-3 / wavelength_um - absorption)) - 1.0
    f = (np.arange(1200) + 0.5) * (0.45 / 1200)
    spectrum = special.j0(2 * np.pi * np.outer(f, r)) @ (scattered * 2 * np.pi * r) * (r[1] - r[0])
    spectrum = spectrum * np.exp(2j * np.pi * z_um * (np.sqrt(wavelength_um**-2 - f**2) - 1 / wavelength_um))
    wave = 1.0 + special.j0(2 * np.pi * np.outer(at_um, f)) @ (spectrum * 2 * np.pi * f) * (f[1] - f[0])
    return np.abs(wave) ** 2


def over_pixels(
    radial_um: np.ndarray, values: np.ndarray, middle_px: tuple[float, float], samples: int = 5
) -> np.ndarray:
    places = (np.arange(64 * samples) + 0.5) / samples - 0.5
    down, across = ((places - middle) * PITCH_UM for middle in middle_px)
    fine = np.interp(np.hypot(down[:, None], across), radial_um, values)
    return fine.reshape(64, samples, 64, samples).mean(axis=(1, 3))


def relative(apart: np.ndarray, signal: np.ndarray) -> float:
    return float(np.sqrt((apart**2).mean() / ((signal - 1.0) ** 2).mean()))


# The light on the sensor


@pytest.mark.parametrize("z_um", [250.0, 400.0])
@pytest.mark.parametrize(("opd_nm", "absorption"), [(80.0, 0.0), (400.0, 0.05), (0.0, 0.3)])
def test_holograms_agree_with_a_direct_computation(z_um: float, opd_nm: float, absorption: float) -> None:
    radial_um = np.linspace(0.0, 90.0, 700)
    profile = radial_hologram(6.0, opd_nm, absorption, 0.53, z_um, radial_um)
    for middle_px in ((31.5, 31.5), (28.2, 35.9)):
        got = record(bump(6.0, opd_nm, absorption, middle_px), POINT, z_um)[0]
        wanted = over_pixels(radial_um, profile, middle_px)
        assert relative(got - wanted, wanted) < 0.003
        assert np.abs(wanted - 1.0).max() > 0.02


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_holograms_of_cells_agree_with_a_tilted_wave_for_every_point_of_the_source() -> None:
    """Another grid, twice the guard, double precision, and the blur by as many waves as the source has points."""
    setup = LensFreeSetup(optics=SMALL, shape_px=(40, 48), seed=3, z_error_um=10.0)
    scene = LensFreeScene(setup)
    assert len(scene.truths) + len(scene.field.outside) > 0
    n, guard, colour = 3, 70, 2
    rows, columns = (40 + 2 * guard) * n, (48 + 2 * guard) * n
    first = PITCH_UM * (-guard - 0.5 + 0.5 / n)
    # The scene's own cells do not reach so far out; beyond them the dish is bare.
    cells, debris = (part.astype(float) for part in scene.field.render(PITCH_UM / n, (rows, columns), (first, first)))
    absorption = 1e-2 * setup.cell_absorption * cells + 1e-2 * setup.debris_absorption * debris
    fy, fx = (np.fft.fftfreq(size, PITCH_UM / n) for size in (rows, columns))
    ring = [(0.0, 0.0)] + [
        (radius * np.cos(angle), radius * np.sin(angle))
        for radius, count in ((0.55, 6), (0.92, 12))
        for angle in np.arange(count) * 2 * np.pi / count
    ]
    second = np.mean([x * x for x, _ in ring])
    width = SMALL.bandwidth_nm[colour] * 1e-3
    offsets = np.linspace(-1.2, 1.2, 7) * width
    line_weights = np.exp(-4 * np.log(2) * (offsets / width) ** 2)
    total = np.zeros((rows, columns))
    for offset, line_weight in zip(offsets, line_weights / line_weights.sum(), strict=True):
        wavelength = SMALL.wavelengths_um[colour] + offset
        spectrum = np.fft.fft2(np.exp(-absorption + 2j * np.pi * (cells + debris) * 1e-3 / wavelength))
        for y, x in ring:
            # A point of a disc with second moment 1/4 of its radius squared; tilts are in the sensor's direction.
            scale = 0.5 * SMALL.blur_um(scene.z_um) * 0.5 / np.sqrt(second)
            tilt_y, tilt_x = (
                (part * scale + shift) / scene.z_um / wavelength
                for part, shift in zip((y, x), SMALL.shifts_um[colour], strict=True)
            )
            # The wave exp(2πi·tilt·r) moves every frequency; its own phase takes no part in the intensity.
            axial = np.sqrt(wavelength**-2 - (fy[:, None] + tilt_y) ** 2 - (fx + tilt_x) ** 2)
            wave = np.fft.ifft2(spectrum * np.exp(2j * np.pi * scene.z_um * axial))
            total += line_weight / len(ring) * np.abs(wave) ** 2
    inner = total[guard * n : (guard + 40) * n, guard * n : (guard + 48) * n]
    wanted = inner.reshape(40, n, 48, n).mean(axis=(1, 3))
    got = scene.light[colour]
    assert relative(got - wanted, wanted) < 0.02


def test_a_clear_field_is_one() -> None:
    assert np.abs(record(clear(32, 40), LensFreeOptics(), 1000.0) - 1.0).max() < 1e-5


def test_light_is_kept() -> None:
    # A phase object takes no light away: what it moves out of the frame is small before a wide frame.
    light = record(bump(6.0, 80.0, 0.0, (31.5, 31.5)), POINT, 250.0)
    assert light.mean() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("shift_um", [(PITCH_UM, 0.0), (0.0, 2 * PITCH_UM), (-3 * PITCH_UM, PITCH_UM)])
def test_a_colour_s_shift_moves_its_hologram(shift_um: tuple[float, float]) -> None:
    specimen = bump(6.0, 80.0, 0.0, (30.0, 33.0))
    still = record(specimen, POINT, 400.0)[0]
    moved = record(specimen, replace(POINT, shifts_um=(shift_um,)), 400.0)[0]
    by = tuple(round(shift / PITCH_UM) for shift in shift_um)
    assert np.allclose(np.roll(still, by, axis=(0, 1))[5:-5, 5:-5], moved[5:-5, 5:-5], atol=1e-4)


@pytest.mark.parametrize(
    "change", [{"led_um": 400.0}, {"bandwidth_nm": (60.0,), "lines": 9}, {"led_um": 300.0, "led_distance_um": 2e4}]
)
def test_source_and_bandwidth_take_the_finest_fringes_away(change: dict[str, object]) -> None:
    specimen = bump(3.0, 80.0, 0.0, (31.5, 31.5))
    sharp, blurred = record(specimen, POINT, 400.0)[0], record(specimen, replace(POINT, **change), 400.0)[0]  # type: ignore[arg-type]
    fine, coarse = ((np.abs(np.fft.fft2(light - 1.0)) ** 2)[12:20, 12:20].sum() for light in (blurred, sharp))
    assert fine < 0.5 * coarse
    assert blurred.mean() == pytest.approx(sharp.mean(), abs=1e-4)


def test_five_lines_stand_for_the_whole_spectrum() -> None:
    specimen = bump(3.0, 80.0, 0.0, (31.5, 31.5))
    few, many = (record(specimen, replace(POINT, bandwidth_nm=(40.0,), lines=lines), 1000.0)[0] for lines in (5, 15))
    assert relative(few - many, many) < 0.02


# The scene


@pytest.fixture(scope="module")
def scene() -> LensFreeScene:
    return LensFreeScene(LensFreeSetup(optics=SMALL, shape_px=(96, 112), seed=5))


def test_the_true_map_is_that_of_the_field(scene: LensFreeScene) -> None:
    apart = scene.opd_nm - scene.field.opd_nm
    assert np.sqrt((apart**2).mean()) < 0.03 * scene.field.opd_nm.std()
    assert scene.opd_nm.shape == scene.absorption.shape == scene.light.shape[1:] == (96, 112)
    assert len(scene.truths) > 3
    assert (scene.absorption >= 0).all()
    assert scene.absorption.max() > 0


def test_cells_beyond_the_frame_bear_on_its_border() -> None:
    # Without a guard band the grid would wrap; with a wider one nothing changes.
    base = LensFreeSetup(optics=SMALL, shape_px=(64, 64), seed=2, z_error_um=0.0)
    scene = LensFreeScene(base)
    rows = 64 + 2 * (scene.specimen.guard_px + 40)
    first = PITCH_UM * (-scene.specimen.guard_px - 40 - 0.25)
    cells, debris = scene.field.render(PITCH_UM / 2, (2 * rows, 2 * rows), (first, first))
    absorption = (1e-2 * (base.cell_absorption * cells + base.debris_absorption * debris)).astype(np.float32)
    wider = ThinSpecimen(cells + debris, absorption, 2, scene.specimen.guard_px + 40)
    assert relative(record(wider, SMALL, scene.z_um) - scene.light, scene.light) < 0.03
    bare = ThinSpecimen(*(part.copy() for part in (wider.opd_nm, wider.absorption)), 2, wider.guard_px)
    g = 2 * wider.guard_px
    for part in (bare.opd_nm, bare.absorption):
        part[:g] = part[-g:] = 0.0
        part[:, :g] = part[:, -g:] = 0.0
    assert relative(record(bare, SMALL, scene.z_um) - scene.light, scene.light) > 0.1


@pytest.mark.parametrize("shape_px", [(16, 16), (101, 67), (512, 512), (2748, 3840)])
def test_grids_are_wide_enough_and_fast(shape_px: tuple[int, int]) -> None:
    guard_px = _guard_px(115, shape_px)
    assert 115 <= guard_px < 155
    for size in shape_px:
        total = size + 2 * guard_px
        for factor in (2, 3, 5, 7, 11):
            while total % factor == 0:
                total //= factor
        assert total == 1 or size == 101


def test_the_true_distance_is_near_the_believed_one_and_not_on_it() -> None:
    empty = replace(PopulationParameters.matched(183), density_per_mm2=(0.0, 0.0), debris_per_mm2=(0.0, 0.0))
    distances = [
        LensFreeScene(LensFreeSetup(optics=SMALL, cells=empty, shape_px=(16, 16), seed=seed)).z_um - SMALL.z_um
        for seed in range(12)
    ]
    assert 5.0 < max(np.abs(distances)) <= 20.0
    assert min(distances) < 0 < max(distances)


def test_digits_are_the_light_with_the_sensor_s_noise(scene: LensFreeScene) -> None:
    recording = scene.expose()
    assert recording.pixels.dtype == np.uint16
    assert recording.pixels.shape == (3, 96, 112)
    assert recording.pixels.max() < 2**12
    assert recording.z_um == scene.z_um
    assert recording.optics.z_um == SMALL.z_um
    noise = recording.intensity() / scene._pattern - scene.light
    plain = np.abs(scene.light - 1.0) < 0.1
    # Shot noise of some thousand electrons is 2 %; brightness and gain wander by 0.2 % each.
    electrons = DEFAULT_SENSOR.clear_electrons(300.0)
    assert noise[plain].std() == pytest.approx(1 / np.sqrt(electrons), rel=0.06)
    assert abs(noise[plain].mean()) < 0.006


def test_shots_differ_and_repeat(scene: LensFreeScene) -> None:
    first, again, second = (scene.expose(shot).pixels for shot in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_a_perfect_sensor_shows_the_light() -> None:
    scene = LensFreeScene(LensFreeSetup(optics=SMALL, shape_px=(32, 32), seed=1), NOISELESS)
    assert np.abs(scene.expose().intensity() - scene.light).max() < 1e-3


def test_scenes_take_cells_from_a_library_of_the_sensor_s_pixels() -> None:
    population = PopulationParameters.matched(364)
    cells = CellLibrary(population, PITCH_UM, count=12, seed=2)
    scene = LensFreeScene(LensFreeSetup(optics=SMALL, cells=population, shape_px=(64, 64)), source=cells)
    masses = {round(cell.measures.dry_mass_pg, 4) for cell in cells.cells}
    assert {round(truth.dry_mass_pg, 4) for truth in scene.truths} <= masses
    assert scene.truths


def test_drawn_instruments_stay_in_the_stated_ranges() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        optics = LensFreeOptics.draw(rng)
        assert 800 <= optics.z_um <= 1500
        assert all(20 <= width <= 40 for width in optics.bandwidth_nm)
        assert np.abs(optics.shifts_um).max() <= 4.0


def test_a_spectrum_has_its_mean_and_width() -> None:
    lines = LensFreeOptics(bandwidth_nm=(30.0, 30.0, 30.0)).spectrum(1)
    weights = np.array([line.weight for line in lines])
    wavelengths = np.array([line.wavelength_um for line in lines])
    assert weights.sum() == pytest.approx(1.0)
    mean = weights @ wavelengths
    assert mean == pytest.approx(0.53)
    assert np.sqrt(weights @ (wavelengths - mean) ** 2) * 2.3548 == pytest.approx(0.030, rel=1e-3)


def test_the_pinhole_blurs_by_a_micrometre_at_a_millimetre() -> None:
    assert LensFreeOptics().blur_um(1000.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"z_um": 0.0}, "z_um is 0.0"),
        ({"pitch_um": -1.0}, "pitch_um is -1.0"),
        ({"bandwidth_nm": (20.0,)}, "one of each for every colour"),
        ({"wavelengths_um": ()}, "wavelengths_um"),
        ({"lines": 0}, "lines is 0"),
    ],
)
def test_impossible_optics_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LensFreeOptics(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"fineness": 1}, "fineness is 1"), ({"z_error_um": 2000.0}, "z_error_um"), ({"guard": -1.0}, "guard is -1.0")],
)
def test_impossible_setups_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LensFreeSetup(**wrong)  # type: ignore[arg-type]
