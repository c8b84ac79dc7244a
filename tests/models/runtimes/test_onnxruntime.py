"""The reference: its answers, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.runtimes import Artefact, open_model, random_inputs
from microscoped.models.runtimes.errors import BuildFailedError, ClosedError, InputError, UnknownBackendError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microscoped.models.runtimes import CompiledModel


@pytest.fixture
def model(toy: Artefact) -> Iterator[CompiledModel]:
    with open_model(toy, "onnxruntime", threads=1) as opened:
        yield opened


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_answers_are_those_of_numpy(toy: Artefact, make_toy: Any, batch: int, threads: int) -> None:
    inputs = random_inputs(toy, batch, seed=batch)
    with open_model(toy, "onnxruntime", threads=threads) as model:
        found = model.run(inputs)
    expected = make_toy.answers(inputs["frames"])
    assert list(found) == ["defocus", "class"]
    for name, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=2e-6)
    assert np.ptp(expected["class"]) > 0.1, "answers that hardly differ would prove nothing"


def test_arrays_of_any_layout_are_taken_and_not_changed(toy: Artefact, model: CompiledModel) -> None:
    frames = random_inputs(toy, 4, seed=1)["frames"]
    turned = np.asfortranarray(frames)[::-1]
    before = turned.copy()
    found = model.run({"frames": turned})
    np.testing.assert_array_equal(turned, before)
    np.testing.assert_allclose(found["class"][::-1], model.run({"frames": frames})["class"], atol=1e-6)


F = np.float32


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "takes the inputs frames; given: none"),
        ({"frame": np.zeros((1, 2, 16, 16), F)}, "given: frame"),
        ({"frames": np.zeros((1, 2, 16, 16), F), "z": np.zeros(1, F)}, "given: frames, z"),
        ({"frames": np.zeros((1, 2, 16, 16))}, "must be float32, not float64"),
        ({"frames": np.zeros((1, 2, 16, 16), np.uint8)}, "must be float32, not uint8"),
        ({"frames": np.zeros((2, 16, 16), F)}, r"the shape \(n, 2, 16, 16\), not \(2, 16, 16\)"),
        ({"frames": np.zeros((1, 2, 16, 17), F)}, r"not \(1, 2, 16, 17\)"),
        ({"frames": np.zeros((1, 2, 16, 16, 1), F)}, r"not \(1, 2, 16, 16, 1\)"),
        ({"frames": np.zeros((0, 2, 16, 16), F)}, "batch of 0; it takes 1 to 16"),
        ({"frames": np.zeros((17, 2, 16, 16), F)}, "batch of 17; it takes 1 to 16: split it"),
    ],
)
def test_what_does_not_suit_is_named(model: CompiledModel, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        model.run(inputs)


def test_what_is_closed_does_not_run(toy: Artefact, model: CompiledModel) -> None:
    model.close()
    model.close()
    with pytest.raises(ClosedError, match="open it again"):
        model.run(random_inputs(toy, 1, seed=0))


@pytest.mark.parametrize("onnx", [b"", b"garbage" * 99])
def test_a_file_that_is_no_network_is_refused(toy: Artefact, onnx: bytes) -> None:
    with pytest.raises(BuildFailedError, match=r"does not take .*toy\.onnx"):
        open_model(replace(toy, onnx=onnx), "onnxruntime")


def test_an_unknown_backend_and_no_threads_are_wrong_uses(toy: Artefact) -> None:
    with pytest.raises(
        UnknownBackendError, match="use auto or onnxruntime, tensorrt_rtx, tensorrt, torch_cuda, openvino"
    ):
        open_model(toy, "cuda", fallback=True)
    with pytest.raises(ValueError, match="threads 0"):
        open_model(toy, threads=0)


def test_importing_the_rooms_loads_no_backend() -> None:
    heavy = ("onnxruntime", "torch", "onnx", "openvino", "tensorrt", "tensorrt_rtx_bindings")
    code = (
        "import sys, microscoped.models.runtimes, microscoped.models.registry, microscoped.models.training\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert ended.stdout.strip() == "[]"
