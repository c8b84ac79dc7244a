"""Make ``toy.onnx`` and ``toy.json`` anew: ``pip install onnx && python tests/models/runtimes/data/make_toy.py``.

The network: convolution, ReLU, convolution with stride 2, ReLU, global mean, and a linear layer for each of two
outputs. Its weights are multiples of 1/64, so that they are the same on every computer; `answers` computes it in numpy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.runtimes import BatchProfile, Sidecar, Tensor, sha256_of, write_artefact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PATH = Path(__file__).parent / "toy.onnx"
SHAPES = {
    "first.weight": (4, 2, 3, 3),
    "first.bias": (4,),
    "second.weight": (6, 4, 3, 3),
    "second.bias": (6,),
    "defocus.weight": (6, 1),
    "defocus.bias": (1,),
    "class.weight": (6, 3),
    "class.bias": (3,),
}


def weights() -> dict[str, Array]:
    """All weights, between -0.5 and 0.5, with no symmetry that would hide an exchanged axis."""
    made: dict[str, Array] = {}
    for number, (name, shape) in enumerate(SHAPES.items(), start=1):
        index = np.arange(np.prod(shape))
        made[name] = (((index * index * 7 + index * 13 * number + 5 * number) % 65 - 32) / 64).astype(np.float32)
        made[name] = made[name].reshape(shape)
    return made


def answers(frames: Array) -> dict[str, Array]:
    """What the network gives, computed in double precision."""
    w = {name: value.astype(np.float64) for name, value in weights().items()}
    hidden = np.maximum(_convolve(frames.astype(np.float64), w["first.weight"], w["first.bias"], 1), 0)
    hidden = np.maximum(_convolve(hidden, w["second.weight"], w["second.bias"], 2), 0)
    mean = hidden.mean(axis=(2, 3))
    return {
        "defocus": mean @ w["defocus.weight"] + w["defocus.bias"],
        "class": mean @ w["class.weight"] + w["class.bias"],
    }


def _convolve(x: Array, kernel: Array, bias: Array, stride: int) -> Array:
    """A 3 x 3 convolution as neural networks have it (a correlation), padded with one zero."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, kernel) + bias[None, :, None, None]


def sidecar(onnx: bytes) -> Sidecar:
    """What the sidecar says."""
    return Sidecar(
        name="toy",
        version="1",
        title="A network for tests",
        inputs=(Tensor(name="frames", shape=(None, 2, 16, 16), dtype="float32", meaning="two frames", unit="1"),),
        outputs=(
            Tensor(name="defocus", shape=(None, 1), dtype="float32", meaning="a number", unit="um"),
            Tensor(name="class", shape=(None, 3), dtype="float32", meaning="three scores", unit="1"),
        ),
        batch=BatchProfile(min=1, opt=4, max=16),
        preprocessing={},
        sha256=sha256_of(onnx),
        training={"script": "tests/models/runtimes/data/make_toy.py"},
        scores={},
        tolerance={"defocus": 1e-3, "class": 1e-3},
        licence="BSD-3-Clause",
    )


def main() -> None:
    """Write both files."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["frames", "first.weight", "first.bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second.weight", "second.bias"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "defocus.weight", "defocus.bias"], ["defocus"]),
        helper.make_node("Gemm", ["f", "class.weight", "class.bias"], ["class"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", 2, 16, 16])],
        [
            helper.make_tensor_value_info("defocus", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("class", TensorProto.FLOAT, ["n", 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights().items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    onnx = model.SerializeToString(deterministic=True)
    write_artefact(PATH, onnx, sidecar(onnx))


if __name__ == "__main__":
    main()
