"""The sideband: found to a fraction of a bin, cut without loss, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.hologram import (
    ConstantFrameError,
    FrameChangedError,
    FrameShapeError,
    HologramError,
    HologramOptics,
    NoSidebandError,
    OpticsError,
    ReconstructionSettings,
    Reconstructor,
    SaturatedFrameError,
    Side,
    SidebandFilter,
    SidebandOutsideError,
    SidebandOverlapError,
    find_sideband,
    torch_arrays,
    unwrapped_phase,
)
from microscoped.models.hologram.phase import denser_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tests.models.hologram.conftest import Bench

UNKNOWN = HologramOptics()


def fringes(
    carrier: tuple[float, float] = (0.331, 0.327), shape: tuple[int, int] = (256, 256), contrast: float = 0.8
) -> NDArray[np.uint16]:
    """Return even fringes with noise."""
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    noise = np.random.default_rng(3).normal(0, 20, shape)
    return (2000 + 1000 * contrast * np.cos(2 * np.pi * (carrier[0] * y + carrier[1] * x)) + noise).astype(np.uint16)


@pytest.mark.parametrize(
    "carrier",
    [
        (0.3312, 0.3278),
        (0.33046, 0.32981),
        (-0.2871, 0.3019),
        (0.3333, 0.0007),
        (0.0007, 0.3333),
        (-0.0009, 0.3141),
        (0.21, -0.2113),
    ],
)
@pytest.mark.parametrize("shape", [(256, 256), (255, 300)])
def test_the_carrier_is_found_to_a_twentieth_of_a_bin(carrier: tuple[float, float], shape: tuple[int, int]) -> None:
    found = find_sideband(fringes(carrier, shape), UNKNOWN)
    sign = 1 if carrier[1] + carrier[0] / 2 > 0 else -1
    bins = [(f - sign * truth) * n for f, truth, n in zip(found.carrier, carrier, shape, strict=True)]
    assert np.abs(bins).max() < 0.05


def test_the_carrier_is_the_mean_one_under_a_curved_reference_and_cells(bench: type[Bench]) -> None:
    scene = bench(cells=((-15, -14, 6.0), (2, 3, -3.0), (16, -12, 1.0)), curvature=3e-4)
    found = find_sideband(scene.frame(), scene.optics)
    curved = 3e-4 * scene.optics.pixel_size_um**2 * 2
    truth = (scene.carrier[0] - curved * 40, scene.carrier[1] + curved * 25)
    assert np.abs(np.subtract(found.carrier, truth)).max() * 512 < 0.05
    assert found.radius == pytest.approx(0.75 * 0.1465 / 0.666)


@pytest.mark.parametrize("carrier", [(0.331, 0.327), (-0.287, 0.302), (0.0007, 0.3333), (0.3333, -0.0009)])
def test_even_fringes_are_an_even_field(carrier: tuple[float, float]) -> None:
    frame = fringes(carrier)
    field = SidebandFilter((256, 256), find_sideband(frame, UNKNOWN), UNKNOWN)(frame)
    inner = field.values[8:-8, 8:-8]
    assert np.abs(inner).mean() == pytest.approx(400, rel=0.02)
    assert np.angle(inner * np.conj(inner.mean())).std() < 0.03


@pytest.mark.parametrize("side", Side)
def test_the_other_side_is_the_conjugate(bench: type[Bench], side: Side) -> None:
    scene = bench(size=256)
    frame = scene.frame()
    field = Reconstructor.prepare(frame, scene.optics, settings=ReconstructionSettings(side=side))(frame)
    phase = unwrapped_phase(field)
    assert (phase[40:-40, 40:-40].max() > 0.8) == (side is Side.PLUS)
    assert (phase[40:-40, 40:-40].min() < -0.8) == (side is Side.MINUS)
    assert denser_side(field, side) is Side.PLUS


def test_no_phase_says_nothing_of_the_side(bench: type[Bench]) -> None:
    scene = bench(cells=(), size=256)
    frame = scene.frame()
    assert denser_side(Reconstructor.prepare(frame, scene.optics)(frame), Side.PLUS) is None


@pytest.mark.parametrize("shape", [(256, 256), (256, 321), (301, 255)])
def test_places_survive_the_cut(bench: type[Bench], shape: tuple[int, int]) -> None:
    scene = bench(cells=((4.0, -6.0, 0.0),), size=shape[0], width=shape[1])
    frame = scene.frame()
    reconstructor = Reconstructor.prepare(frame, scene.optics)
    field = reconstructor(frame)
    phase = unwrapped_phase(field).astype(float)
    weight = np.where(phase > 0.4, phase, 0)
    weight[:4], weight[-4:], weight[:, :4], weight[:, -4:] = 0, 0, 0, 0  # the cut rings at the very border
    row, column = ((weight * index).sum() / weight.sum() for index in np.indices(phase.shape))
    truth = [n / 2 - 0.5 + place / 0.1465 for n, place in zip(shape, (4.0, -6.0), strict=True)]
    assert np.abs(np.subtract(field.frame_position(row, column), truth)).max() < 1.5


def test_depth_and_memory_layout_of_the_frame_do_not_matter() -> None:
    frame = fringes()
    sideband = find_sideband(frame, UNKNOWN)
    cut = SidebandFilter((256, 256), sideband, UNKNOWN)
    expected = cut(frame).values
    for same in (np.asfortranarray(frame), frame.astype(np.float32), frame.astype(np.int32), np.stack([frame] * 3, -1)):
        assert np.allclose(cut(same).values, expected, atol=1e-2)
    coarse = cut((frame / 16).astype(np.uint8)).values * 16
    assert np.linalg.norm(coarse - expected) < 0.02 * np.linalg.norm(expected)


def test_single_precision_agrees_with_a_plain_double_transform(bench: type[Bench]) -> None:
    scene = bench(size=256)
    frame = scene.frame()
    sideband = find_sideband(frame, scene.optics)
    field = SidebandFilter((256, 256), sideband, scene.optics)(frame)
    spectrum = np.fft.fft2(frame.astype(float))
    fy, fx = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :]
    band = np.where(np.hypot(fy - sideband.carrier[0], fx - sideband.carrier[1]) <= sideband.radius, spectrum, 0)
    y, x = (np.arange(n) * 256 / n for n in field.shape)
    waves = [np.exp(2j * np.pi * np.outer(points, np.fft.fftfreq(256) * 256) / 256) for points in (y, x)]
    plain = waves[0] @ band @ waves[1].T / 256**2
    plain *= np.exp(-2j * np.pi * (sideband.carrier[0] * y[:, None] + sideband.carrier[1] * x[None, :]))
    assert np.linalg.norm(field.values - plain) < 1e-4 * np.linalg.norm(plain)


def test_torch_takes_the_same_path(bench: type[Bench]) -> None:
    pytest.importorskip("torch")
    scene = bench(size=256)
    frame = scene.frame()
    sideband = find_sideband(frame, scene.optics)
    here = SidebandFilter((256, 256), sideband, scene.optics)(frame).values
    there = SidebandFilter((256, 256), sideband, scene.optics, torch_arrays("cpu"))(frame).values
    assert np.linalg.norm(here - there) < 1e-5 * np.linalg.norm(here)


def in_line() -> NDArray[np.uint8]:
    """Return rings round a few places, without a carrier."""
    y, x = np.mgrid[:256, :256]
    rings = sum(np.cos(((y - r) ** 2 + (x - c) ** 2) / 90.0) for r, c in ((60, 80), (150, 190), (200, 40)))
    return (120 + 15 * np.asarray(rings) + np.random.default_rng(0).normal(0, 3, (256, 256))).astype(np.uint8)


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, (256, 256)).astype(np.uint8)


def clipped() -> NDArray[np.uint8]:
    return np.clip(fringes() / 8.0, 0, 255).astype(np.uint8)


def coloured() -> NDArray[np.uint8]:
    frame = (fringes() / 16).astype(np.uint8)
    return np.stack([frame, frame // 2, frame // 3], -1)


def with_nan() -> NDArray[np.float32]:
    frame = fringes().astype(np.float32)
    frame[3, 4] = np.nan
    return frame


PAPER = {"wavelength_um": 0.666, "pixel_size_um": 0.1465, "na": 0.75}
BAD: list[tuple[str, Callable[[], NDArray[Any]], dict[str, float], type[HologramError], str]] = [
    ("in-line", in_line, {}, NoSidebandError, "no off-axis hologram"),
    ("noise", noise, {}, NoSidebandError, "no carrier"),
    ("constant", lambda: np.full((256, 256), 7, np.uint8), {}, ConstantFrameError, "all pixels are 7"),
    ("black", lambda: np.zeros((256, 256), np.uint16), {}, ConstantFrameError, "shutter"),
    ("saturated everywhere", lambda: np.full((256, 256), 255, np.uint8), {}, ConstantFrameError, "all pixels are 255"),
    ("clipped fringes", clipped, {}, SaturatedFrameError, "exposure_ms"),
    ("colours", coloured, {}, FrameShapeError, "one laser line"),
    ("NaN", with_nan, {}, FrameShapeError, "not finite"),
    ("complex", lambda: fringes() * 1j, {}, FrameShapeError, "complex128"),
    ("a line", lambda: np.zeros(64, np.uint8), {}, FrameShapeError, r"\(64,\)"),
    ("a stack", lambda: np.zeros((5, 64, 64), np.uint8), {}, FrameShapeError, r"\(5, 64, 64\)"),
    ("tiny", lambda: np.zeros((32, 256), np.uint8), {}, FrameShapeError, "64 pixels"),
    ("nothing", lambda: np.zeros((0, 0), np.uint8), {}, FrameShapeError, r"\(0, 0\)"),
    ("pixel too large", fringes, {**PAPER, "pixel_size_um": 0.30}, SidebandOutsideError, "pixel_size_um 0.3"),
    ("wavelength too short", fringes, {**PAPER, "wavelength_um": 0.2}, SidebandOverlapError, "wavelength_um 0.2"),
    ("pixel too small", fringes, {**PAPER, "pixel_size_um": 0.01}, OpticsError, "pixel_size_um 0.01"),
    ("beyond Nyquist", lambda: fringes((0.45, 0.2)), PAPER, SidebandOutsideError, "beyond the 0.5"),
    ("over the zero order", lambda: fringes((0.12, 0.12)), PAPER, SidebandOverlapError, "zero order"),
]


@pytest.mark.parametrize(("make", "optics", "error", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_frames_are_refused_with_the_reason(
    make: Callable[[], NDArray[Any]], optics: dict[str, float], error: type[HologramError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        find_sideband(make(), HologramOptics(**optics))
    assert caught.value.code.startswith("hologram.")


LATER: list[tuple[str, Callable[[], NDArray[Any]], type[HologramError], str]] = [
    ("reference blocked", noise, NoSidebandError, "no fringes at the carrier"),
    ("in-line", in_line, NoSidebandError, "no fringes at the carrier"),
    ("laser off", lambda: np.zeros((256, 256), np.uint16), ConstantFrameError, "laser"),
    ("clipped", clipped, SaturatedFrameError, "exposure_ms"),
    ("other region", lambda: fringes(shape=(256, 128)), FrameChangedError, r"\(256, 128\)"),
]


@pytest.mark.parametrize(("make", "error", "said"), [row[1:] for row in LATER], ids=[row[0] for row in LATER])
def test_a_frame_that_lost_its_fringes_is_refused(
    make: Callable[[], NDArray[Any]], error: type[HologramError], said: str
) -> None:
    reconstructor = Reconstructor.prepare(fringes(), UNKNOWN)
    with pytest.raises(error, match=said):
        reconstructor(make())
    assert np.abs(reconstructor(fringes()).values).mean() == pytest.approx(1.0, abs=0.01)


def test_a_frame_of_another_shape_is_refused() -> None:
    frame = fringes()
    cut = SidebandFilter((256, 256), find_sideband(frame, UNKNOWN), UNKNOWN)
    with pytest.raises(FrameChangedError, match=r"\(128, 256\)"):
        cut(frame[:128])


def test_a_filter_wants_the_shape_of_its_frames_only() -> None:
    frame = fringes(shape=(250, 391))
    sideband = find_sideband(frame, UNKNOWN)
    field = SidebandFilter((250, 391), replace(sideband, radius=0.1), UNKNOWN)(frame)
    assert field.pixel[0] == pytest.approx(field.pixel[1], rel=0.12)
    assert all(
        size * step == pytest.approx(n, rel=0.03)
        for size, step, n in zip(field.shape, field.pixel, (250, 391), strict=True)
    )
