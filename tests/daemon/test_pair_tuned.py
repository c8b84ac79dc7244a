"""A fine-tuned network in the daemon's engine: what it reads, and when it is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.runtime import PairEngine, PairObjective
from microscoped.models.focus_pair import Correction, EstimateSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DOF_UM = 2.0
OPTIONS = {"sign": 1, "pixel_size_um": 0.5, "bit_depth": 12}


class Network:
    """Says the same of every tile."""

    def __init__(self, defocus_dof: float) -> None:
        self.defocus_dof = defocus_dof
        self.closed = 0

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        tiles = len(inputs["images"])
        return {
            "defocus_dof": np.full(tiles, self.defocus_dof, np.float32),
            "log_error": np.full(tiles, -2.0, np.float32),
            "features": np.zeros((tiles, 4), np.float32),
        }

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint16]]:
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.uniform(500.0, 3000.0, (28, 28)), np.ones((8, 8)))
    return [(coarse + rng.normal(0.0, 5.0, coarse.shape)).astype(np.uint16) for _ in range(2)]


@pytest.mark.parametrize(
    ("delta_um", "calibrated", "told_dof"),
    [(4.0, True, 2.0), (4.0, False, 1.0), (-4.0, True, 0.0), (2 * 4.0, True, 2.0), (2 * 6.0, True, 1.0)],
    ids=["short", "another channel", "short, the other way round", "just short", "long"],
)
def test_short_pairs_are_read_by_the_fine_tuned_network_where_the_calibration_holds(
    frames: list[NDArray[np.uint16]], delta_um: float, calibrated: bool, told_dof: float
) -> None:
    objective = PairObjective(0.5, 500.0, calibrated=(EstimateSettings(), Correction()))
    engine = PairEngine(objective, Network(1.0), Network(2.0))  # type: ignore[arg-type]
    told = engine.measure(frames, {**OPTIONS, "delta_um": delta_um, "calibrated": calibrated})
    assert told["defocus_um"] == pytest.approx(told_dof * DOF_UM, abs=1e-5)


def test_a_new_calibration_replaces_the_network_of_the_one_before(frames: list[NDArray[np.uint16]]) -> None:
    shipped, first, second = Network(1.0), Network(2.0), Network(3.0)
    engine = PairEngine(PairObjective(0.5, 500.0), shipped)  # type: ignore[arg-type]

    def told() -> float:
        values = engine.measure(frames, {**OPTIONS, "delta_um": 4.0, "calibrated": True})
        return float(values["defocus_um"]) / DOF_UM

    assert told() == pytest.approx(1.0)
    engine.learn(EstimateSettings(), Correction(), first)  # type: ignore[arg-type]
    assert told() == pytest.approx(2.0)
    engine.learn(EstimateSettings(), Correction(), second)  # type: ignore[arg-type]
    assert told() == pytest.approx(3.0)
    engine.learn(EstimateSettings(), Correction(offset_dof=0.5))
    assert told() == pytest.approx(1.5)
    assert (shipped.closed, first.closed, second.closed) == (0, 1, 1)
