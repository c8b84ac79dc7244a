"""The accuracy gate, with models whose error is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.runtimes import Deviation, Limit, open_model, random_inputs
from microscoped.models.runtimes._gate import measure_deviations, require_accuracy
from microscoped.models.runtimes._onnxruntime import OnnxRuntimeModel
from microscoped.models.runtimes.errors import InaccurateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.runtimes import Artefact

COUNT = 200
LIMITS = {"defocus": Limit(mean=0.05, p99=0.25), "class": Limit(mean=1.0, p99=1.0)}


class _Wrong(OnnxRuntimeModel):
    """Wrong by what is given for each sample in turn, with changing sign."""

    def __init__(self, artefact: Artefact, errors: NDArray[Any]) -> None:
        super().__init__(artefact, 1)
        self._errors = errors

    def _run(self, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        found = super()._run(inputs, batch)
        here, self._errors = self._errors[:batch], self._errors[batch:]
        signs = np.where(np.arange(batch) % 2, -1.0, 1.0)
        found["defocus"] = found["defocus"].astype(np.float64) + (here * signs)[:, None]
        return found


def _judge(toy: Artefact, errors: NDArray[Any]) -> tuple[Deviation, ...]:
    samples = random_inputs(toy, 16, seed=5)
    many = {name: np.concatenate([values] * 13)[:COUNT] for name, values in samples.items()}
    with _Wrong(toy, errors) as model, open_model(toy, "onnxruntime") as reference:
        found = measure_deviations(model, reference, toy, many, LIMITS)
        require_accuracy(model, found, COUNT)
    return found


def _some(size: float, count: int) -> NDArray[Any]:
    return np.where(np.arange(COUNT) < count, size, 0.0)


def test_mean_and_percentile_are_those_of_the_absolute_difference(toy: Artefact) -> None:
    found = _judge(toy, np.linspace(0.0, 0.08, COUNT))
    assert [(d.output, d.unit, d.within) for d in found] == [("defocus", "um", True), ("class", "1", True)]
    assert found[0].mean == pytest.approx(0.04)
    assert found[0].p99 == pytest.approx(0.0792)
    assert (found[1].mean, found[1].p99) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (_some(0.06, COUNT), r"defocus differs by 0\.06 in the mean \(0\.05 is allowed\) and 0\.06 in the 99th"),
        (_some(0.3, 8), r"defocus differs by 0\.012 in the mean .* and 0\.3 in the 99th percentile \(0\.25\) um"),
        (_some(float("nan"), 1), "defocus differs by inf in the mean"),
        (_some(float("inf"), 1), "defocus differs by inf in the mean"),
    ],
)
def test_beyond_a_limit_it_is_refused_with_the_figures(toy: Artefact, errors: NDArray[Any], said: str) -> None:
    with pytest.raises(InaccurateError, match=said) as caught:
        _judge(toy, errors)
    assert f"on {COUNT} samples" in str(caught.value)
    assert "leave the precision at fp32" in str(caught.value)
    assert "class" not in str(caught.value)


def test_one_sample_in_two_hundred_may_be_far_off(toy: Artefact) -> None:
    assert _judge(toy, _some(5.0, 1))[0].p99 == 0.0


def test_an_output_without_a_limit_is_a_wrong_use(toy: Artefact) -> None:
    samples = random_inputs(toy, 2, seed=0)
    with open_model(toy, "onnxruntime") as model, pytest.raises(ValueError, match="output class of toy has no limit"):
        measure_deviations(model, model, toy, samples, {"defocus": LIMITS["defocus"]})


@pytest.mark.parametrize("differences", [[], [0.0, float("nan")]])
def test_where_there_is_nothing_to_compare_it_is_refused(toy: Artefact, differences: list[float]) -> None:
    judge = SimpleNamespace(differences=lambda *_: {"read": np.array(differences)})
    with open_model(toy, "onnxruntime") as model:
        found = measure_deviations(model, model, toy, {}, {"read": Limit(mean=1.0, p99=1.0)}, judge)
        with pytest.raises(InaccurateError, match="read differs by inf in the mean"):
            require_accuracy(model, found, 0)
