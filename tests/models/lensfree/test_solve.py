"""Reconstructions against the simulator's truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microscoped.models.hologram import torch_arrays
from microscoped.models.lensfree import (
    FramesError,
    InlineOptics,
    LensFreeError,
    Maps,
    PathUnwrapper,
    Progress,
    SettingsError,
    SolveSettings,
    StartError,
    estimate_shifts_um,
    even_light,
    find_distance,
    solve,
    solve_accelerated,
)
from microscoped.models.maps import common_level
from tests.models.lensfree.dish import SHIFTS_UM, Z_UM, dish, rms

GIVEN = SolveSettings(focus_range_um=0.0)
"""The distance is that of the optics."""


def test_cells_are_found_again_and_stand_above_the_medium() -> None:
    made = dish()
    found = solve(made.frames, made.optics, GIVEN, iterations=40)
    cells = made.opd_nm > 5.0
    assert rms(found.opd_nm - made.opd_nm) < 0.12 * rms(made.opd_nm)
    assert found.opd_nm[cells].sum() == pytest.approx(made.opd_nm[cells].sum(), rel=0.1)
    assert rms(found.opd_nm[~cells]) < 4.0
    assert np.corrcoef(found.absorption.ravel(), made.absorption.ravel())[0, 1] > 0.45
    assert found.absorption.min() >= 0.0
    assert len(found.residuals) == 40
    assert found.residuals[-1] < 1.1 * 0.5 * 0.02
    assert found.residuals[-1] < 0.3 * found.residuals[0]


def test_the_conjugate_is_left_again() -> None:
    made = dish()
    start = (np.asarray(-made.opd_nm), np.zeros_like(made.opd_nm))
    found = solve(made.frames, made.optics, GIVEN, start=start, iterations=40)
    assert np.corrcoef(found.opd_nm.ravel(), made.opd_nm.ravel())[0, 1] > 0.9


def test_more_iterations_come_nearer_to_the_truth() -> None:
    made = dish()
    errors = {}

    def look(progress: Progress) -> None:
        if progress.iteration in (2, 10, 30):
            errors[progress.iteration] = rms(progress.maps()[0] - made.opd_nm)

    solve(made.frames, made.optics, GIVEN, iterations=30, callback=look)
    assert errors[30] < 0.8 * errors[10] < 0.8 * errors[2]


def test_what_holograms_hardly_show_does_not_fill_the_background() -> None:
    made = dish(z_um=150.0)  # The nearer the sensor, the less is seen of what is wide.
    axis = np.linspace(-1.0, 1.0, 128, dtype=np.float32)
    haze = 4.0 * np.exp(-2.0 * (axis[:, None] ** 2 + axis[None, :] ** 2))
    between, cells = [], []
    for weight in (0.0, GIVEN.no_haze):
        settings = replace(GIVEN, no_haze=weight)
        found = solve(made.frames, made.optics, settings, start=(made.opd_nm + haze, made.absorption), iterations=40)
        between.append(float(np.std(found.opd_nm[made.opd_nm < 1.0])))
        cells.append(rms((found.opd_nm - made.opd_nm)[made.opd_nm > 20.0]))
    assert between[1] < 0.7 * between[0]
    assert cells[1] < cells[0]


def test_an_empty_dish_stays_empty() -> None:
    made = dish((96, 96), per_mm2=0.0)
    unknown = replace(made.optics, shifts_um=None)
    found = solve(made.frames, unknown, iterations=15)
    assert rms(found.opd_nm) < 2.0
    assert found.opd_nm.max() < 6.0
    assert rms(found.absorption) < 0.01
    assert found.z_um == Z_UM
    assert found.shifts_um == ((0.0, 0.0),) * 3


@pytest.mark.parametrize("shape", [(97, 131), (64, 150)])
def test_frames_of_any_size_keep_it(shape: tuple[int, int]) -> None:
    made = dish(shape)
    found = solve(made.frames, made.optics, GIVEN, iterations=20)
    assert found.opd_nm.shape == found.absorption.shape == shape
    assert rms(found.opd_nm - made.opd_nm) < 0.35 * rms(made.opd_nm)


@pytest.mark.parametrize("error_um", [-17.0, 21.0])
def test_the_distance_is_found(error_um: float) -> None:
    made = dish()
    believed = replace(made.optics, z_um=Z_UM + error_um)
    focus = find_distance(even_light(made.frames, believed), believed, SHIFTS_UM, SolveSettings())
    assert focus.found
    assert abs(focus.z_um - Z_UM) < 5.0


@pytest.mark.parametrize("z_error_um", [0.0, 25.0])
def test_shifts_are_found_to_a_tenth_of_a_pixel(z_error_um: float) -> None:
    made = dish()
    found = estimate_shifts_um(even_light(made.frames, made.optics), made.optics, Z_UM + z_error_um)
    np.testing.assert_allclose(found, SHIFTS_UM, atol=0.16)


def test_what_is_left_open_is_found_on_the_way() -> None:
    made = dish()
    believed = replace(made.optics, z_um=Z_UM + 12.0, shifts_um=None)
    found = solve(made.frames, believed, iterations=20)
    assert abs(found.z_um - Z_UM) < 5.0
    assert rms(found.opd_nm - made.opd_nm) < 0.35 * rms(made.opd_nm)
    assert {"light", "registration", "focus", "start", "iterations"} == set(found.timings_s)


def test_an_uneven_lamp_and_other_units_change_nothing() -> None:
    made = dish()
    across = np.linspace(-1.0, 1.0, 128, dtype=np.float32)
    lamp = 1.0 - 0.15 * across[:, None] ** 2 + 0.1 * across[None, :]
    uneven = solve(made.frames * lamp * 900.0, made.optics, GIVEN, iterations=12)
    even = solve(made.frames, made.optics, GIVEN, iterations=12)
    assert rms(uneven.opd_nm - even.opd_nm) < 1.5


def test_torch_reconstructs_the_same() -> None:
    pytest.importorskip("torch")
    made = dish()
    here = solve(made.frames, made.optics, GIVEN, iterations=8)
    there = solve(made.frames, made.optics, GIVEN, iterations=8, arrays=torch_arrays("cpu"))
    np.testing.assert_allclose(there.opd_nm, here.opd_nm, atol=0.3)
    np.testing.assert_allclose(there.residuals, here.residuals, rtol=1e-3)


# Networks between iterations


def test_an_accelerator_sees_maps_and_its_own_are_gone_on_from() -> None:
    made = dish()
    seen = []

    def watch(opd_nm: np.ndarray, absorption: np.ndarray) -> Maps:
        seen.append((opd_nm.shape, float(absorption.min()), opd_nm.max(), common_level(opd_nm)))
        return np.where(opd_nm > 20.0, 1.1 * opd_nm, 0.0).astype(np.float32), absorption

    found = solve_accelerated(made.frames, made.optics, watch, GIVEN, iterations=(6, 9))
    ((shape, least, greatest, level),) = seen
    assert min(shape) >= 128
    assert least >= 0.0
    assert 50.0 < greatest < 200.0
    assert abs(level) < 1.0
    assert len(found.residuals) == 15
    assert found.timings_s["network"] > 0.0
    plain = solve(made.frames, made.optics, GIVEN, iterations=6)
    assert rms(found.opd_nm - made.opd_nm) < rms(plain.opd_nm - made.opd_nm)


def test_the_unwrapper_is_called_after_the_iterations_that_were_asked() -> None:
    made = dish()
    counts: list[int] = []
    calls: list[int] = []

    def unwrap(opd_nm: np.ndarray, absorption: np.ndarray) -> Maps:
        calls.append(len(counts))
        return opd_nm, absorption

    settings = replace(GIVEN, unwrap_at=(7, 3, 50))
    found = solve(
        made.frames,
        made.optics,
        settings,
        iterations=9,
        unwrapper=unwrap,
        callback=lambda progress: counts.append(progress.iteration),
    )
    assert calls == [3, 7]
    assert counts == list(range(1, 10))
    assert len(found.residuals) == 9


@pytest.mark.parametrize("answer", [np.zeros((3, 3), np.float32), np.full((1, 1), np.nan, np.float32)])
def test_maps_that_do_not_fit_are_refused(answer: np.ndarray) -> None:
    made = dish()
    with pytest.raises(StartError, match=r"accelerator returned opd_nm of shape .*; give maps of the shape"):
        solve_accelerated(made.frames, made.optics, lambda opd, absorption: (answer, absorption), GIVEN)
    with pytest.raises(StartError, match=r"start opd_nm: shape .* finite maps of the frames' shape \(128, 128\)"):
        solve(made.frames, made.optics, GIVEN, start=(answer, answer), iterations=1)


def test_a_wrapped_dome_is_unwrapped() -> None:
    axis = np.linspace(-1.0, 1.0, 96)
    dome = 600.0 * np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 0.3)
    turn_nm = 1e3 * InlineOptics().reference_um
    wrapped = (dome + 0.5 * turn_nm) % turn_nm - 0.5 * turn_nm
    assert abs(wrapped - dome).max() > 500.0
    nothing = np.zeros_like(wrapped, np.float32)
    unwrapped, absorption = PathUnwrapper(InlineOptics().reference_um)(wrapped.astype(np.float32), nothing)
    assert absorption is nothing
    np.testing.assert_allclose(unwrapped, dome, atol=0.1)


# What is refused

FRAMES = np.random.default_rng(0).uniform(0.5, 1.5, (3, 64, 64)).astype(np.float32)


def changed(place: tuple[object, ...], value: float) -> np.ndarray:
    frames = FRAMES.copy()
    frames[place] = value  # type: ignore[index]
    return frames


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (FRAMES[:2], r"frames shape \(2, 64, 64\): \(colours, rows, columns\) with 3 colours is needed"),
        (FRAMES[0], r"frames shape \(64, 64\)"),
        (FRAMES[:, :40], "at least 64 rows and columns"),
        (FRAMES.astype(complex), "frames dtype complex128: real numbers"),
        (changed((1, 4, 4), np.nan), r"frames\[1\]: has values that are not finite"),
        (changed((2,), 7.0), r"frames\[2\]: all pixels are 7.0; check the colour's LED"),
        (np.minimum(FRAMES, 1.2), r"frames\[0\]: 3\d% of the pixels are at the greatest value, 1.2.*shorten exposure"),
        (FRAMES - np.float32(1.2), r"frames\[0\]: the lamp's light, fitted to it, falls to -"),
    ],
)
def test_frames_that_are_no_holograms_are_refused(frames: np.ndarray, words: str) -> None:
    with pytest.raises(FramesError, match=words):
        solve(frames, InlineOptics(), iterations=1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tv_opd": -1.0}, "tv_opd -1.0: must be 0 or a positive number"),
        ({"smoothing": 0.0}, "smoothing 0.0: must be a positive number"),
        ({"no_haze": -1.0}, "no_haze -1.0: must be 0 or a positive number"),
        ({"haze_nm": 0.0}, "haze_nm 0.0: must be a positive number"),
        ({"memory": 0}, "memory 0: at least 1"),
        ({"unwrap_at": (0,)}, r"unwrap_at \(0,\)"),
        ({"focus_range_um": float("nan")}, "focus_range_um nan"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        SolveSettings(**values)  # type: ignore[arg-type]


def test_a_range_that_reaches_the_sensor_and_no_iterations_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"focus_range_um 600.0: must be below z_um 500.0"):
        solve(dish().frames, dish().optics, SolveSettings(focus_range_um=600.0))
    with pytest.raises(SettingsError, match="iterations 0: at least 1"):
        solve(FRAMES, InlineOptics(), iterations=0)


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = LensFreeError.__subclasses__()
    assert len({kind.code for kind in (*kinds, LensFreeError)}) == len(kinds) + 1
    assert all(kind.code.startswith("lensfree.") for kind in kinds)
