from __future__ import annotations

import numpy as np
import pytest

from microscoped.drivers import Optics
from microscoped.simulators.optics import (
    AbbeImager,
    Pupil,
    Source,
    axial_nyquist_um,
    axial_weights,
    hopkins_otf,
    incoherent_images,
    incoherent_otf,
    pixel_matrix,
    resample_periodic,
    to_camera,
)

PUPIL = Pupil.of(Optics(na=0.5, wavelength_nm=550.0, immersion_index=1.0, pixel_size_um=0.325))
N, PIXEL = 96, 0.25
DENSE = np.stack(np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)), axis=-1).reshape(-1, 2)
DENSE = DENSE[np.hypot(*DENSE.T) <= 1]


def blobs(seed: int = 0, n: int = N) -> np.ndarray:
    """A smooth, asymmetric absorption map between 0 and about 0.6."""
    rng = np.random.default_rng(seed)
    fx = np.fft.fftfreq(n, PIXEL)
    f2 = fx[:, None] ** 2 + fx[None, :] ** 2
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((n, n))) * np.exp(-2 * f2)).real
    return (0.3 * np.clip(noise / noise.std(), -1, 1) ** 2).astype(np.float32)


def amplitude(absorption: np.ndarray) -> np.ndarray:
    return np.sqrt(1 - absorption)[None].astype(np.complex64)


@pytest.mark.parametrize("w20", [0.0, 0.3, 0.64, 1.0, 2.0])
def test_the_incoherent_otf_agrees_with_hopkins(w20: float) -> None:
    pupil = Pupil(na=0.2, wavelength_um=0.55)  # nearly paraxial, as Hopkins is
    n, pixel = 400, 0.55 / 0.2 / 5
    z = 2 * w20 * pupil.index * pupil.wavelength_um / pupil.na**2
    otf = incoherent_otf(pupil, (n, n), pixel, [z])[0, 0]
    s = np.fft.rfftfreq(n, pixel) * pupil.wavelength_um / pupil.na
    inside = s < 2
    assert np.abs(otf.imag).max() < 1e-3
    assert otf.real[inside] == pytest.approx(hopkins_otf(s[inside], w20), abs=0.02)


def test_hopkins_without_defocus_is_the_known_formula() -> None:
    s = np.linspace(0, 2, 21)
    known = (2 / np.pi) * (np.arccos(s / 2) - s / 2 * np.sqrt(1 - (s / 2) ** 2))
    assert hopkins_otf(s, 0.0) == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("n_layers", [1, 3, 5])
@pytest.mark.parametrize("combination", ["product", "sum"])
def test_a_clear_field_is_one_whatever_the_number_of_layers(n_layers: int, combination: str) -> None:
    absorption = np.zeros((n_layers, N, N), np.float32)
    depths = np.arange(n_layers) * 0.7
    images = incoherent_images(absorption, depths, PUPIL, PIXEL, [-3.0, 0.0, 5.0], combination)  # type: ignore[arg-type]
    assert np.abs(images - 1).max() < 1e-5
    clear = np.ones((n_layers, N, N), np.complex64)
    imager = AbbeImager(PUPIL, Source.disc(0.6, 7), (N, N), PIXEL, 1.5)
    assert np.abs(imager.images(clear, depths, [-3.0, 0.0, 5.0]) - 1).max() < 1e-4


def test_a_clear_field_is_one_with_an_aplanatic_objective_of_high_aperture() -> None:
    pupil = Pupil(na=0.95, wavelength_um=0.55)
    imager = AbbeImager(pupil, Source.disc(0.7, 19), (64, 64), 0.12)
    clear = np.ones((1, 64, 64), np.complex64)
    assert np.abs(imager.images(clear, [0.0], [0.0, 2.0]) - 1).max() < 1e-4


def test_the_mean_does_not_encode_z() -> None:
    layers = np.stack([blobs(1), blobs(2), blobs(3)])
    z = [-9.0, -2.0, -0.4, 0.0, 3.0, 8.0]
    summed = incoherent_images(layers, [-1.0, 0.0, 1.0], PUPIL, PIXEL, z, "sum").mean(axis=(1, 2))
    assert summed == pytest.approx(np.full(6, 1 - layers.mean(axis=(1, 2)).sum()), abs=1e-4)
    waves = np.concatenate([amplitude(a) for a in layers]) * np.exp(0.4j * blobs(4))
    partly = AbbeImager(PUPIL, Source.disc(0.6, 13), (N, N), PIXEL, 1.5).images(waves, [-1.0, 0.0, 1.0], z)
    assert np.ptp(partly.mean(axis=(1, 2))) < 1e-4
    assert np.ptp(partly.std(axis=(1, 2))) > 0.02


def unevenness(images: np.ndarray) -> float:
    """Difference between the two sides of focus, relative to the contrast."""
    return float(np.sqrt(((images[0] - images[1]) ** 2).mean()) / images[0].std())


@pytest.mark.parametrize("z", [0.7, 2.2, 6.0])
def test_a_thin_absorber_without_aberrations_looks_the_same_on_both_sides_of_focus(z: float) -> None:
    absorption = blobs()
    incoherent = incoherent_images(absorption[None], [0.0], PUPIL, PIXEL, [-z, z])
    partly = AbbeImager(PUPIL, Source.disc(0.6, 19), (N, N), PIXEL).images(amplitude(absorption), [0.0], [-z, z])
    assert unevenness(incoherent) < 1e-3
    assert unevenness(partly) < 1e-3


@pytest.mark.parametrize("cause", ["spherical", "phase", "depth"])
def test_spherical_aberration_phase_and_thickness_tell_the_side(cause: str) -> None:
    pupil = Pupil(0.5, 0.55, spherical_waves=0.5) if cause == "spherical" else PUPIL
    layers, depths = amplitude(blobs()), [0.0]
    if cause == "phase":
        layers = (layers * np.exp(0.5j * blobs(5))).astype(np.complex64)
    if cause == "depth":
        layers, depths = np.concatenate([layers, amplitude(blobs(6))]), [-1.0, 1.0]
    images = AbbeImager(pupil, Source.disc(0.6, 19), (N, N), PIXEL, 1.5).images(layers, depths, [-2.2, 2.2])
    assert unevenness(images) > 0.05


def phase_transfer(coherence: float, w20: float) -> float:
    """Largest transfer of weak phase over all frequencies, at a defocus: from the image of a single phase step."""
    n, pixel, strength = 256, 0.1, 0.01
    imager = AbbeImager(PUPIL, Source(DENSE * coherence * 0.9999), (1, n), pixel)
    z = 2 * w20 * PUPIL.wavelength_um / PUPIL.na**2
    images = []
    for sign in (1, -1):
        specimen = np.ones((1, 1, n), np.complex64)
        specimen[0, 0, 0] = np.exp(1j * sign * strength)
        images.append(imager.images(specimen, [0.0], [z])[0, 0].astype(float))
    return float(np.abs(np.fft.fft(images[0] - images[1])[1:]).max() / (4 * strength))


@pytest.mark.parametrize(("coherence", "expected"), [(0.3, 0.80), (0.5, 0.53), (0.7, 0.28), (0.9, 0.08)])
def test_side_peaks_of_phase_objects_grow_as_the_condenser_closes(coherence: float, expected: float) -> None:
    assert phase_transfer(coherence, 0.5) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("w20", [0.0, 0.25, 0.5, 1.5])
def test_a_weak_phase_object_is_invisible_with_a_full_condenser_at_every_defocus(w20: float) -> None:
    assert phase_transfer(1.0, w20) < 0.02


@pytest.mark.parametrize("coherence", [0.3, 0.6])
def test_a_weak_phase_object_is_invisible_in_focus(coherence: float) -> None:
    assert phase_transfer(coherence, 0.0) < 0.01


def test_a_full_condenser_makes_weak_absorption_incoherent() -> None:
    weak = 0.1 * blobs()
    z = [0.0, 1.5, 4.0]
    incoherent = incoherent_images(weak[None], [0.0], PUPIL, PIXEL, z)
    points = DENSE[::3]
    points = np.concatenate([points, -points]) * 0.999
    partly = AbbeImager(PUPIL, Source(points), (N, N), PIXEL).images(amplitude(weak), [0.0], z)
    for one, other in zip(incoherent, partly, strict=True):
        assert np.sqrt(((one - other) ** 2).mean()) < 0.05 * one.std()


def test_depth_in_a_medium_is_defocus_divided_by_its_index() -> None:
    pupil = Pupil(0.3, 0.55)
    imager = AbbeImager(pupil, Source.disc(0.5, 13), (N, N), PIXEL, medium_index=1.5)
    layers = amplitude(blobs())
    deep = imager.images(layers, [3.0], [2.0])[0]
    shallow = imager.images(layers, [0.0], [0.0])[0]
    assert np.abs(deep - shallow).max() < 0.02
    clear = np.ones_like(layers)
    two = imager.images(np.concatenate([layers, clear]), [-3.0, 0.0], [-2.0])[0]
    assert np.abs(two - shallow).max() < 0.02


def test_a_few_source_points_are_nearly_many() -> None:
    layers = amplitude(blobs())
    z = [-10.0, 0.0, 5.0]
    many = AbbeImager(PUPIL, Source(DENSE * 0.6), (N, N), PIXEL).images(layers, [0.0], z)
    few_source = Source.disc(0.6, 19)
    few = AbbeImager(PUPIL, few_source, (N, N), PIXEL).images(layers, [0.0], z)
    points_only = AbbeImager(PUPIL, Source(few_source.points), (N, N), PIXEL).images(layers, [0.0], z)
    error = np.sqrt(((few - many) ** 2).mean(axis=(1, 2)))
    assert (error < 0.01).all()
    assert error[0] < 0.7 * np.sqrt(((points_only - many) ** 2).mean(axis=(1, 2)))[0]


@pytest.mark.parametrize("n_points", [7, 13, 19, 37, 61])
def test_a_source_is_symmetric_and_has_the_moments_of_a_disc(n_points: int) -> None:
    points = Source.disc(0.8, n_points).points
    assert len(points) == n_points
    assert points.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert (points**2).sum(axis=1).mean() == pytest.approx(0.8**2 / 2, rel=0.03)
    distances = np.hypot(*(points[:, None] + points[None, :]).transpose(2, 0, 1))
    assert distances.min(axis=1) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("coherence", "n_points"), [(0.5, 12), (0.0, 19), (1.1, 19)])
def test_impossible_sources_are_refused(coherence: float, n_points: int) -> None:
    with pytest.raises(ValueError, match=r"source points|coherence"):
        Source.disc(coherence, n_points)


def test_grids_too_coarse_for_the_optics_are_refused() -> None:
    with pytest.raises(ValueError, match="too coarse"):
        AbbeImager(PUPIL, Source.disc(0.6), (64, 64), 0.5)
    with pytest.raises(ValueError, match="cannot hold"):
        incoherent_otf(PUPIL, (64, 64), 0.6, [0.0])


@pytest.mark.parametrize(
    ("layers", "depths"), [(np.ones((2, N, N)), [0.0]), (np.ones((2, N, N)), [1.0, 0.0]), (np.ones((1, 4, N)), [0.0])]
)
def test_layers_must_fit_and_rise(layers: np.ndarray, depths: list[float]) -> None:
    imager = AbbeImager(PUPIL, Source.disc(0.6, 7), (N, N), PIXEL)
    with pytest.raises(ValueError, match=r"shape|rise"):
        imager.images(layers.astype(np.complex64), depths, [0.0])


def wave(n: int, cycles: int, phase: float) -> np.ndarray:
    return np.cos(2 * np.pi * cycles * (np.arange(n) + 0.5) / n + phase)


@pytest.mark.parametrize(("cycles", "n"), [(3, 72), (20, 72), (30, 80), (3, 128), (40, 128)])
def test_camera_pixels_integrate_and_alias(cycles: int, n: int) -> None:
    fine = wave(64 * 500, cycles, 0.4).reshape(64, 500).mean(axis=1)
    assert pixel_matrix(64, n) @ wave(n, cycles, 0.4) == pytest.approx(fine, abs=1e-4)


def test_camera_images_keep_the_mean() -> None:
    image = blobs()[None]
    assert to_camera(image, (64, 80)).shape == (1, 64, 80)
    assert to_camera(image, (64, 80)).mean() == pytest.approx(image.mean(), abs=1e-5)


def test_resampling_keeps_band_limited_maps() -> None:
    fine = (wave(96, 5, 0.3)[:, None] * wave(128, 11, -0.2)[None, :]).astype(np.complex64)
    coarse = wave(40, 5, 0.3)[:, None] * wave(50, 11, -0.2)[None, :]
    assert resample_periodic(fine[None], (40, 50))[0] == pytest.approx(coarse, abs=1e-4)
    with pytest.raises(ValueError, match="finer"):
        resample_periodic(fine, (200, 200))


def test_images_are_band_limited_along_z() -> None:
    spacing = 0.66 * axial_nyquist_um(PUPIL)
    known = np.arange(-9, 10) * spacing
    wanted = np.array([-4.3, -1.1, 0.0, 0.37, 2.0, 5.9])
    imager = AbbeImager(PUPIL, Source.disc(0.6, 7), (N, N), PIXEL)
    layers = (amplitude(blobs()) * np.exp(0.5j * blobs(5))).astype(np.complex64)
    planes = imager.images(layers, [0.0], known).reshape(known.size, -1)
    direct = imager.images(layers, [0.0], wanted).reshape(wanted.size, -1)
    error = axial_weights(wanted, known) @ planes - direct
    assert np.abs(error).max() < 2e-3
    assert error.std() < 5e-3 * direct.std()
    with pytest.raises(ValueError, match="reach"):
        axial_weights([known[-1]], known)
