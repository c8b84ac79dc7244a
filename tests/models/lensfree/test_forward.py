"""Light behind a known specimen, and the gradient of the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microscoped.models.hologram import torch_arrays
from microscoped.models.lensfree import ForwardModel, InlineOptics, OpticsError, SolveSettings
from microscoped.models.lensfree.objective import Objective
from microscoped.models.lensfree.penalties import above, below, near_zero, total_variation
from tests.models.lensfree.dish import SHIFTS_UM, Z_UM, dish, rms


def test_the_light_is_that_of_the_simulator_which_sums_wavelengths_on_a_finer_grid() -> None:
    made = dish((160, 160), noise=0.0)
    model = ForwardModel((160, 160), made.optics, Z_UM, SHIFTS_UM)
    light = model.modulus(model.state(made.opd_nm, made.absorption)) ** 2
    # Beyond the frame the model knows of no cells: compare where their light does not reach.
    inner = (slice(None), slice(60, 100), slice(60, 100))
    assert rms(light[inner] - made.frames[inner]) < 0.15 * rms(made.frames[inner] - 1.0)
    unshifted = ForwardModel((160, 160), made.optics, Z_UM, ((0.0, 0.0),) * 3)
    wrong = unshifted.modulus(unshifted.state(made.opd_nm, made.absorption)) ** 2
    assert rms(wrong[inner] - made.frames[inner]) > 3.0 * rms(light[inner] - made.frames[inner])


def test_a_clear_specimen_leaves_clear_light() -> None:
    model = ForwardModel((70, 91), dish().optics, Z_UM, SHIFTS_UM)
    light = model.modulus(model.state(np.zeros((70, 91)), np.zeros((70, 91))))
    assert light.shape == (3, 70, 91)
    np.testing.assert_allclose(light, 1.0, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (65, 79)])
@pytest.mark.parametrize("part", ["phase", "transmission", "both"])
@pytest.mark.parametrize("whole", [False, True], ids=["data term", "with penalties"])
def test_the_gradient_is_that_of_finite_differences(shape: tuple[int, int], part: str, whole: bool) -> None:
    rng = np.random.default_rng(3)
    optics = replace(dish().optics, z_um=120.0)
    model = ForwardModel(shape, optics, 120.0, SHIFTS_UM)
    moduli = list((1.0 + 0.2 * rng.standard_normal((3, *shape))).astype(np.float32))
    state = model.state(np.zeros(shape), np.zeros(shape))
    state += (0.3 * rng.standard_normal(state.shape)).astype(np.float32)
    objective = Objective(model, moduli, SolveSettings(smoothing=0.3, tv_opd=0.5, tv_absorption=0.5))

    def loss(place: np.ndarray) -> tuple[float, np.ndarray]:
        return objective(place) if whole else model.loss(place, moduli)

    direction = rng.standard_normal(state.shape).astype(np.float32)
    direction *= {"phase": [[[1]], [[0]]], "transmission": [[[0]], [[1]]], "both": [[[1]], [[1]]]}[part]
    gradient = loss(state)[1]
    # Mostly along the gradient, so that rounding is small beside the difference.
    kept = np.asarray(direction != 0)
    direction = 0.3 * direction / np.linalg.norm(direction) + kept * gradient / np.linalg.norm(kept * gradient)
    step = 0.05
    measured = (loss(state + step * direction)[0] - loss(state - step * direction)[0]) / (2.0 * step)
    assert measured == pytest.approx(float((gradient * direction).sum()), rel=2e-3)


@pytest.mark.parametrize(
    "penalty",
    [
        lambda u: total_variation(u, 0.1),
        lambda u: below(u, 0.2),
        lambda u: above(u, -0.1),
        lambda u: near_zero(u, 0.7),
    ],
)
def test_each_penalty_has_its_gradient(penalty) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    rng = np.random.default_rng(1)
    image, direction = rng.standard_normal((2, 9, 12))
    measured = (penalty(image + 1e-5 * direction)[0] - penalty(image - 1e-5 * direction)[0]) / 2e-5
    assert measured == pytest.approx(float((penalty(image)[1] * direction).sum()), rel=1e-4)
    assert penalty(np.full((4, 4), 0.1))[0] == pytest.approx(penalty(np.full((4, 4), 0.1)[:2])[0] * 2)


def test_what_is_near_zero_counts_by_its_square_and_the_rest_alike() -> None:
    values, slopes = zip(*(near_zero(np.full((1, 1), u), 0.05) for u in (0.001, 0.002, 5.0, 50.0)), strict=True)
    assert values[1] == pytest.approx(4.0 * values[0], rel=0.01)
    assert values[2] == pytest.approx(values[3], rel=0.001) == pytest.approx(0.05**2, rel=0.001)
    assert slopes[2] < 1e-3 * slopes[1]


def test_the_conjugate_specimen_does_not_explain_the_light() -> None:
    made = dish()
    model = ForwardModel((128, 128), made.optics, Z_UM, SHIFTS_UM)
    moduli = list(np.sqrt(np.maximum(made.frames, 0.0)))
    true, twin, nothing = (
        model.loss(model.state(sign * made.opd_nm, abs(sign) * made.absorption), moduli)[0] for sign in (1, -1, 0)
    )
    assert true < 0.5 * nothing
    assert twin > 1.2 * nothing


def test_torch_takes_the_same_path() -> None:
    pytest.importorskip("torch")
    made = dish()
    here = ForwardModel((128, 128), made.optics, Z_UM, SHIFTS_UM)
    there = ForwardModel((128, 128), made.optics, Z_UM, SHIFTS_UM, torch_arrays("cpu"))
    moduli = np.sqrt(np.maximum(made.frames, 0.0))
    settings = SolveSettings()
    loss, gradient = Objective(here, list(moduli), settings)(here.state(made.opd_nm, made.absorption))
    torch_moduli = [there.arrays.asarray(modulus) for modulus in moduli]
    torch_loss, torch_gradient = Objective(there, torch_moduli, settings)(there.state(made.opd_nm, made.absorption))
    assert torch_loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(there.arrays.to_numpy(torch_gradient), gradient, atol=2e-4)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"z_um": -1000.0}, "z_um -1000.0: must be a positive number"),
        ({"pitch_um": float("nan")}, "pitch_um nan"),
        ({"led_um": 50.0}, "led_distance_um None: give both"),
        ({"wavelengths_um": ()}, "a positive number for each colour"),
        ({"wavelengths_um": (450.0, 530.0, 630.0)}, "both are micrometres"),
        ({"bandwidths_nm": (20.0,)}, r"bandwidths_nm \(20.0,\): give one for each of 3 colours"),
        ({"shifts_um": ((0.0, 0.0),)}, "give .row, column. for each of 3 colours"),
        ({"shifts_um": ((0.0, float("inf")),) * 3}, "give .row, column. for each of 3 colours"),
    ],
)
def test_impossible_optics_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(OpticsError, match=words):
        InlineOptics(**values)  # type: ignore[arg-type]


def test_light_spreads_less_where_less_of_it_is_coherent() -> None:
    point = InlineOptics(z_um=1000.0)
    assert InlineOptics(bandwidths_nm=(40.0, 40.0, 40.0)).reach_um(1000.0) < 0.9 * point.reach_um(1000.0)
    assert point.reach_um(500.0) == pytest.approx(0.5 * point.reach_um(1000.0))
