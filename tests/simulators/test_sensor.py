from __future__ import annotations

import numpy as np
import pytest

from microscoped.simulators.sensor import NoiseBank, SensorModel


def flat(electrons: float, n: int = 200_000) -> np.ndarray:
    return np.full(n, electrons, np.float32)


@pytest.mark.parametrize("electrons", [0.0, 2.0, 20.0, 49.0, 51.0, 400.0, 9000.0])
def test_variance_is_the_mean_plus_read_noise(electrons: float) -> None:
    model = SensorModel(read_noise_e=3.0)
    noisy = model.noisy_electrons(flat(electrons), np.random.default_rng(1))
    assert noisy.mean() == pytest.approx(electrons, abs=5 * np.sqrt((electrons + 9) / 200_000))
    assert noisy.var() == pytest.approx(electrons + 9.0, rel=0.02)


def test_few_electrons_are_skewed_as_poisson_says() -> None:
    noisy = SensorModel(read_noise_e=1.0).noisy_electrons(flat(3.0), np.random.default_rng(1))
    skewness = (((noisy - 3.0) / noisy.std()) ** 3).mean()
    assert skewness == pytest.approx(3.0 / 4.0**1.5, abs=0.05)


@pytest.mark.parametrize(("bits", "dtype"), [(8, "uint8"), (10, "uint16"), (12, "uint16"), (16, "uint16")])
def test_digits_fill_the_bit_depth_and_end_there(bits: int, dtype: str) -> None:
    model = SensorModel(bit_depth=bits, offset=4.0, full_well_e=10_000.0)
    digits = model.digits(np.array([0.0, 5_000.0, 10_000.0, 50_000.0, -500.0], np.float32))
    top = 2**bits - 1
    assert digits.dtype == dtype
    assert digits.tolist() == [4, pytest.approx((4 + top) / 2, abs=1), top, top, pytest.approx(0, abs=0.05 * top)]


@pytest.mark.parametrize(
    "wrong", [{"bit_depth": 7}, {"bit_depth": 17}, {"full_well_e": 0.0}, {"bit_depth": 8, "offset": 255.0}]
)
def test_impossible_sensors_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"bit_depth|positive|fit"):
        SensorModel(**wrong)  # type: ignore[arg-type]


def test_the_fixed_pattern_belongs_to_the_sensor() -> None:
    model = SensorModel(prnu=0.01, vignetting=0.2, vignetting_centre=(0.0, 0.0), dust=3)
    pattern = model.fixed_pattern((64, 96), 1)
    assert np.array_equal(pattern, model.fixed_pattern((64, 96), 1))
    assert not np.array_equal(pattern, model.fixed_pattern((64, 96), 2))
    plain = SensorModel(prnu=0.01, vignetting=0.2, vignetting_centre=(0.0, 0.0)).fixed_pattern((64, 96), 1)
    assert plain[28:36, :3].mean() == pytest.approx(0.8, abs=0.02)
    assert plain[28:36, 44:52].mean() == pytest.approx(1.0, abs=0.01)
    assert SensorModel(prnu=0.01, vignetting=0.0).fixed_pattern((200, 200, 3), 1).std() == pytest.approx(0.01, rel=0.03)


def test_light_and_gain_wander_as_declared() -> None:
    model = SensorModel(flicker=0.01, gain_drift=0.003)
    rng = np.random.default_rng(0)
    drawn = np.array([model.wander(rng) for _ in range(4000)])
    assert drawn.mean(axis=0) == pytest.approx([1, 1], abs=1e-3)
    assert drawn.std(axis=0) == pytest.approx([0.01, 0.003], rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_random_sensors_are_possible(seed: int) -> None:
    assert SensorModel.draw(np.random.default_rng(seed), bit_depth=8).electrons_per_digit > 0


def test_the_bank_gives_white_noise_that_differs_from_shot_to_shot() -> None:
    n = 40_000
    bank = NoiseBank(n, seed=1, places=1 << 16)
    shots = np.empty((200, n), np.float32)
    for k, shot in enumerate(shots):
        bank.draw(np.random.default_rng(k), shot)
    assert shots[:20].mean() == pytest.approx(0, abs=0.01)
    assert shots[:20].var() == pytest.approx(1, abs=0.01)
    assert shots.var(axis=0).mean() == pytest.approx(1, abs=0.02)  # at each pixel, over shots
    assert np.abs(np.corrcoef(shots[:60]) - np.eye(60)).max() < 6 / np.sqrt(n)
    lags = [(shots[0, lag:] * shots[0, :-lag]).mean() for lag in (1, 2, 3, 200)]
    assert np.abs(lags).max() < 5 / np.sqrt(n)
    again = np.empty(n, np.float32)
    bank.draw(np.random.default_rng(7), again)
    assert np.array_equal(again, shots[7])
