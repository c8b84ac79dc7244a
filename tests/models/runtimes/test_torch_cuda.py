"""torch as a backend: its operators on the processor, and what it says where there is no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.registry import MODELS
from microscoped.models.runtimes import BackendError, load_artefact, open_model, random_inputs

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="the backend torch_cuda needs torch")
pytest.importorskip("onnx", reason="the backend torch_cuda needs onnx")

from microscoped.models.runtimes._onnx_torch import TorchNetwork  # noqa: E402
from microscoped.models.runtimes._torch_cuda import TorchCudaModel  # noqa: E402
from microscoped.models.runtimes.errors import BuildFailedError  # noqa: E402

SHIPPED = [spec.artefact_path(name) for spec in MODELS.values() for name in spec.artefacts]
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("batch", [1, 3])
def test_its_operators_agree_with_the_reference(path: Path, batch: int) -> None:
    artefact = load_artefact(path)
    inputs = random_inputs(artefact, batch, 0)
    with TorchCudaModel(artefact, "cpu") as model, open_model(artefact, "onnxruntime") as reference:
        found, expected = model.run(inputs), reference.run(inputs)
    for name, tolerance in artefact.sidecar.tolerance.items():
        assert found[name].shape == expected[name].shape
        assert np.abs(found[name] - expected[name]).max() <= tolerance, name


@WITHOUT_GPU
def test_without_a_gpu_it_is_refused_in_words() -> None:
    with pytest.raises(BackendError, match=r"built without CUDA|finds no NVIDIA GPU"):
        open_model(load_artefact(SHIPPED[0]), "torch_cuda")


@WITHOUT_GPU
def test_auto_says_why_it_takes_neither_of_both_gpu_backends() -> None:
    with open_model(load_artefact(SHIPPED[0])) as model:
        assert model.backend == "onnxruntime"
        assert "tensorrt_rtx cannot be used" in model.choice.reason
        assert "torch_cuda cannot be used" in model.choice.reason


def test_an_operator_that_it_does_not_know_is_named() -> None:
    import onnx

    node = onnx.helper.make_node("Softmax", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy")
    content = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y])).SerializeToString()
    with pytest.raises(BuildFailedError, match="operators Softmax are not known"):
        TorchNetwork(content, "cpu")
    with pytest.raises(BuildFailedError, match="cannot be read"):
        TorchNetwork(b"garbage", "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_captured_graphs_agree_with_the_reference(path: Path) -> None:
    artefact = load_artefact(path)
    with open_model(artefact, "torch_cuda") as model, open_model(artefact, "onnxruntime") as reference:
        for seed, batch in enumerate((1, 3, 1, 25)):
            inputs = random_inputs(artefact, batch, seed)
            found, expected = model.run(inputs), reference.run(inputs)
            for name, tolerance in artefact.sidecar.tolerance.items():
                assert np.abs(found[name] - expected[name]).max() <= tolerance, name
