"""The engine, with a network that tells what it was given, and with the shipped one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage

from microscoped.models.focus_pair import Correction, EstimateSettings, FocusPairEngine, PairOptics, PairSettings
from microscoped.models.focus_pair.correction import LongCorrection
from microscoped.models.focus_pair.estimate import INTERVAL_FACTOR

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTICS = PairOptics(na=0.75, wavelength_nm=562.5, immersion_index=1.0, pixel_size_um=0.375)
"""Depth of field 1 µm, two pixels per λ/NA."""


class Told:
    """A compiled network that answers with a constant, and keeps what it was asked."""

    def __init__(self, defocus_dof: float = 3.0, error_dof: float = 0.2) -> None:
        self.defocus_dof, self.error_dof = defocus_dof, error_dof
        self.asked: list[Mapping[str, Any]] = []

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(inputs)
        count = len(inputs["images"])
        return {
            "defocus_dof": np.full(count, self.defocus_dof, np.float32),
            "log_error": np.full(count, np.log(self.error_dof), np.float32),
            "features": np.ones((count, 4), np.float32),
        }


def frames(seed: int = 0, shape: tuple[int, ...] = (512, 512)) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    sigma = (3.0, 3.0, 0.0)[: len(shape)]
    scene = 2000 + 8000 * ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return [np.clip(scene * gain, 0, 4094).astype(np.uint16) for gain in (1.0, 1.01)]


def engine(network: Told, **settings: Any) -> FocusPairEngine:  # noqa: ANN401 - passed on
    return FocusPairEngine(PairSettings(OPTICS, **settings), network)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sign", "delta_um", "expected_um"),
    [
        (1, 2.0, 3.0),
        (1, -2.0, 3.0 - 2.0),
        (-1, -2.0, -3.0),
        (-1, 2.0, -(3.0 - 2.0)),
    ],
)
def test_the_answer_is_of_the_second_frame_in_stage_micrometres(sign: int, delta_um: float, expected_um: float) -> None:
    network = Told(3.0)
    values = engine(network, sign=sign).measure(frames(), {"delta_um": delta_um, "bit_depth": 12})
    assert values["defocus_um"] == pytest.approx(expected_um)
    low, high = values["interval_um"]
    assert low < values["defocus_um"] < high
    assert network.asked[0]["scalars"][0, 0] == pytest.approx(2.0)


def test_a_falling_pair_is_read_the_other_way_round() -> None:
    first, second = frames(1)[0], frames(2)[0]
    rising, falling = Told(), Told()
    engine(rising).measure([first, second], {"delta_um": 2.0})
    engine(falling).measure([second, first], {"delta_um": -2.0})
    assert np.array_equal(rising.asked[0]["images"], falling.asked[0]["images"])


def test_corrections_act_on_what_the_network_read() -> None:
    head = np.array([0.25, 0.25, 0.0, 0.0, -0.1], np.float32)
    correction = Correction(slope=0.9, offset_dof=0.5, head=head, error_factor=2.0)
    values = engine(Told(2.0, 0.2), correction=correction).measure(frames(), {"delta_um": 2.0})
    assert values["defocus_um"] == pytest.approx(0.9 * 2.0 + 0.5 + 0.5 - 0.1, abs=1e-5)
    assert values["expected_error_um"] == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize(
    ("delta_um", "defocus_um", "half_um"),
    [
        (2.0, 0.9 * 2.0 + 0.5, 1.5 * 0.2),
        (4.0, 0.9 * 2.0 + 0.5, 1.5 * 0.2),
        (4.1, 1.1 * 2.0 - 0.25, 3.0 * 0.2),
        (12.0, 1.1 * 2.0 - 0.25, 3.0 * 0.2),
        (-12.0, 1.1 * 2.0 - 0.25 - 12.0, 3.0 * 0.2),  # what the network says is of the other frame
    ],
)
def test_long_pairs_have_a_correction_and_an_interval_of_their_own(
    delta_um: float, defocus_um: float, half_um: float
) -> None:
    long = LongCorrection(Correction(slope=1.1, offset_dof=-0.25), interval_factor=3.0)
    taught = Correction(slope=0.9, offset_dof=0.5, long=long)
    settings = EstimateSettings(interval_factor=1.5)
    values = engine(Told(2.0, 0.2), correction=taught, estimate=settings).measure(frames(), {"delta_um": delta_um})
    assert values["defocus_um"] == pytest.approx(defocus_um, abs=1e-5)
    low, high = values["interval_um"]
    assert 0.5 * (high - low) == pytest.approx(half_um, abs=1e-5)


def test_a_calibration_of_short_pairs_alone_says_nothing_of_long_ones() -> None:
    taught, settings = Correction(slope=0.9, offset_dof=0.5), EstimateSettings(interval_factor=9.0)
    values = engine(Told(2.0, 0.2), correction=taught, estimate=settings).measure(frames(), {"delta_um": 8.0})
    assert values["defocus_um"] == pytest.approx(2.0, abs=1e-5)
    low, high = values["interval_um"]
    assert 0.5 * (high - low) == pytest.approx(INTERVAL_FACTOR * 0.2, abs=1e-5)


def test_colour_frames_are_read_too() -> None:
    network = Told()
    values = engine(network).measure(frames(shape=(300, 500, 3)), {"delta_um": 2.0, "bit_depth": 12})
    assert values["tiles"] == 2
    assert not np.array_equal(network.asked[0]["images"][:, 0], network.asked[0]["images"][:, 1])


def test_a_frame_a_little_smaller_than_a_tile_is_extended() -> None:
    values = engine(Told()).measure(frames(shape=(190, 224)), {"delta_um": 2.0, "bit_depth": 12})
    assert values["tiles"] == 1


def test_an_empty_field_abstains() -> None:
    rng = np.random.default_rng(0)
    empty = [(3000 + 30 * rng.standard_normal((512, 512))).astype(np.uint16) for _ in range(2)]
    values = engine(Told()).measure(empty, {"delta_um": 2.0, "bit_depth": 12})
    assert values["abstained"]
    assert values["reason"] == "empty"
    assert values["defocus_um"] is None


def test_saturated_frames_abstain() -> None:
    bright = [np.minimum(frame * 3, 4095).astype(np.uint16) for frame in frames()]
    values = engine(Told()).measure(bright, {"delta_um": 2.0, "bit_depth": 12})
    assert values["reason"] == "saturated"
    assert values["saturated_fraction"] > 0.02


def test_the_brightness_of_both_frames_is_compared() -> None:
    values = engine(Told()).measure(frames(), {"delta_um": 2.0})
    assert values["mean_ratio"] == pytest.approx(1.01, abs=1e-3)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(512, 512)], {"delta_um": 2.0}, "1 frames: a pair is two"),
        ([(512, 512), (512, 256)], {"delta_um": 2.0}, r"\(512, 512\) and \(512, 256\)"),
        ([(512, 512)] * 2, {}, "delta_um: is missing"),
        ([(512, 512)] * 2, {"delta_um": 19.0}, r"delta_um 19: the network knows 0\.5 … 12\.5 µm"),
        ([(512, 512)] * 2, {"delta_um": 2.0, "roi": 1}, "roi: no such option"),
        ([(128, 512)] * 2, {"delta_um": 2.0}, r"512 × 128 pixels hold no tile"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    shapes: list[tuple[int, int]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        engine(Told()).measure([np.full(shape, 9, np.uint8) for shape in shapes], options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"na": 1.2}, r"na 1\.2: must be below"), ({"pixel_size_um": 0.0}, r"pixel_size_um 0\.0: must be positive")],
)
def test_impossible_optics_are_refused(changes: dict[str, float], message: str) -> None:
    good = {"na": 0.75, "wavelength_nm": 550.0, "immersion_index": 1.0, "pixel_size_um": 0.3}
    with pytest.raises(ValueError, match=message):
        PairOptics(**{**good, **changes})
