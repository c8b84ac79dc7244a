"""Which convolutions become int8, and that nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.runtimes import open_model, random_inputs
from microscoped.models.runtimes._quantise import convolutions, quantise
from microscoped.models.runtimes.errors import BackendMissingError, BuildFailedError

if TYPE_CHECKING:
    from microscoped.models.runtimes import Artefact


def test_without_onnx_the_extra_is_named(toy: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(BackendMissingError, match=r"microscoped\[openvino\]"):
        quantise(toy.onnx, random_inputs(toy, 4, seed=0))


@pytest.mark.parametrize(
    ("kept", "pairs"), [((), {"first", "second"}), (("Conv_0",), {"second"}), (("Conv_2",), {"first"})]
)
def test_only_convolutions_are_quantised_and_the_answers_stay_near(
    toy: Artefact, kept: tuple[str, ...], pairs: set[str]
) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra [openvino] is not installed")
    import onnxruntime

    assert convolutions(toy.onnx) == ("Conv_0", "Conv_2")
    made = quantise(toy.onnx, random_inputs(toy, 40, seed=1), kept)
    nodes = onnx.load_from_string(made).graph.node
    producers = {name: node for node in nodes for name in node.output}
    quantised = set()
    for node in nodes:
        ahead = {producers[name].op_type for name in node.input if name in producers}
        if node.op_type not in {"Conv", "QuantizeLinear", "DequantizeLinear"}:
            assert "DequantizeLinear" not in ahead, node.op_type
        elif node.op_type == "Conv" and "DequantizeLinear" in ahead:
            quantised.add("first" if node.output[0] == "a" else "second")
    assert quantised == pairs
    inputs = random_inputs(toy, 9, seed=2)
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["defocus", "class"]
    with open_model(toy, "onnxruntime") as reference:
        expected = reference.run(inputs)
    for name, values in zip(expected, session.run(None, inputs), strict=True):
        assert 0 < np.abs(values - expected[name]).max() < 0.05


def test_a_network_with_nothing_left_to_quantise_is_refused(toy: Artefact) -> None:
    pytest.importorskip("onnx", reason="the extra [openvino] is not installed")
    with pytest.raises(BuildFailedError, match="no convolution to quantise beside the 2 that are kept"):
        quantise(toy.onnx, random_inputs(toy, 4, seed=0), convolutions(toy.onnx))


def test_what_is_no_network_is_refused(toy: Artefact) -> None:
    pytest.importorskip("onnx", reason="the extra [openvino] is not installed")
    with pytest.raises(BuildFailedError, match="ONNX Runtime cannot quantise"):
        quantise(toy.onnx, {"frames": np.zeros((4, 3, 16, 16), np.float32)})
