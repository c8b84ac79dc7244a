"""ONNX networks as torch functions: the few operators that the shipped networks are made of.

torch has no reader of ONNX files of its own. Each node becomes a closure over its attributes; initialisers become
tensors on the device. Shapes and indices stay numpy arrays on the host, so that nothing waits for the GPU and a run can
be captured as a CUDA graph.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from microscoped.models.runtimes.errors import BackendMissingError, BuildFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Value: TypeAlias = Any
"""A torch tensor, or a numpy array of integers."""
Operator: TypeAlias = "Callable[[Sequence[Value], Mapping[str, Any], Any], Value]"


def _symmetric(pads: Sequence[int] | None) -> tuple[list[int], list[int]]:
    """Return (padding that convolution can do itself, what must be padded before, in torch's order)."""
    if not pads:
        return [0, 0], []
    top, left, bottom, right = pads
    return ([top, left], []) if (top, left) == (bottom, right) else ([0, 0], [left, right, top, bottom])


def _conv(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401 - torch is imported late
    padding, before = _symmetric(a.get("pads"))
    image = torch.nn.functional.pad(x[0], before) if before else x[0]
    bias = x[2] if len(x) > 2 else None
    strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    return torch.nn.functional.conv2d(image, x[1], bias, strides, padding, dilations, a.get("group", 1))


def _max_pool(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    padding, before = _symmetric(a.get("pads"))
    image = torch.nn.functional.pad(x[0], before, value=-math.inf) if before else x[0]
    kernel = a["kernel_shape"]
    strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    ceil = bool(a.get("ceil_mode", 0))
    return torch.nn.functional.max_pool2d(image, kernel, strides, padding, dilations, ceil)


def _reshape(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    # A size of 0 stands for that of the input, unless the operator says that it means none.
    shape = [x[0].shape[k] if size == 0 and not a.get("allowzero", 0) else int(size) for k, size in enumerate(x[1])]
    return x[0].reshape(shape)


def _clip(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    low, high = ((x[k] if len(x) > k else None) for k in (1, 2))
    return torch.clamp(x[0], low, high)


def _slice(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    starts, ends = np.atleast_1d(x[1]), np.atleast_1d(x[2])
    axes = np.atleast_1d(x[3]) if len(x) > 3 and x[3] is not None else np.arange(starts.size)
    steps = np.atleast_1d(x[4]) if len(x) > 4 and x[4] is not None else np.ones(starts.size, int)
    index = [slice(None)] * x[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[int(axis)] = slice(int(start), int(min(end, 2**31)), int(step))
    return x[0][tuple(index)]


def _unsqueeze(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    axes = np.atleast_1d(x[1])
    rank = x[0].ndim + axes.size
    result = x[0]
    for axis in sorted(int(axis) % rank for axis in axes):
        result = np.expand_dims(result, axis) if isinstance(result, np.ndarray) else result.unsqueeze(axis)
    return result


def _expand(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    shape = torch.broadcast_shapes(tuple(x[0].shape), tuple(int(size) for size in x[1]))
    return x[0].expand(shape)


def _mean(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    axes = [int(axis) for axis in x[1]] if len(x) > 1 else list(range(x[0].ndim))
    return x[0].mean(dim=axes, keepdim=bool(a.get("keepdims", 1)))


def _gemm(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    left = x[0].T if a.get("transA") else x[0]
    right = x[1].T if a.get("transB") else x[1]
    product = a.get("alpha", 1.0) * (left @ right)
    return product + a.get("beta", 1.0) * x[2] if len(x) > 2 else product


def _gather(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    axis, index = a.get("axis", 0), np.asarray(x[1])
    if isinstance(x[0], np.ndarray):
        return np.take(x[0], index, axis=axis)
    if index.ndim == 0:
        return x[0].select(axis, int(index))
    taken = torch.as_tensor(index.reshape(-1), device=x[0].device)
    return x[0].index_select(axis, taken).reshape(*x[0].shape[:axis], *index.shape, *x[0].shape[axis + 1 :])


def _depth_to_space(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    if a.get("mode", b"DCR") not in (b"CRD", "CRD"):
        raise BuildFailedError("DepthToSpace: only mode CRD, that of a pixel shuffle, is known; export it so")
    return torch.nn.functional.pixel_shuffle(x[0], a["blocksize"])


def _concat(x: Sequence[Value], a: Mapping[str, Any], torch: Any) -> Value:  # noqa: ANN401
    return np.concatenate(x, a["axis"]) if isinstance(x[0], np.ndarray) else torch.cat(list(x), a["axis"])


OPERATORS: Mapping[str, Operator] = {
    "Add": lambda x, a, torch: x[0] + x[1],
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Exp": lambda x, a, torch: torch.exp(x[0]),
    "Expand": _expand,
    "Flatten": lambda x, a, torch: x[0].flatten(a.get("axis", 1)),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda x, a, torch: x[0].mean(dim=(2, 3), keepdim=True),
    "MaxPool": _max_pool,
    "Mul": lambda x, a, torch: x[0] * x[1],
    "ReduceMean": _mean,
    "Relu": lambda x, a, torch: torch.relu(x[0]),
    "Reshape": _reshape,
    "Shape": lambda x, a, torch: np.array(x[0].shape[a.get("start", 0) :], np.int64),
    "Slice": _slice,
    "Sub": lambda x, a, torch: x[0] - x[1],
    "Unsqueeze": _unsqueeze,
}


class TorchNetwork:
    """A network read from ONNX, to be called with tensors.

    Parameters
    ----------
    content
        The ONNX file.
    device
        Where it runs, as torch names it.

    Raises
    ------
    BackendMissingError
        torch or onnx is not installed.
    BuildFailedError
        The file cannot be read, or has an operator that is not known here.
    """

    def __init__(self, content: bytes, device: str) -> None:
        try:
            import onnx
            import torch
        except ImportError as error:
            raise BackendMissingError(
                f"{error.name} is not installed; install torch with CUDA, and onnx: pip install torch onnx"
            ) from error
        try:
            graph = onnx.load_model_from_string(content).graph
        except Exception as error:  # protobuf's errors share no base but this
            raise BuildFailedError(f"the ONNX file cannot be read: {error}") from error
        unknown = sorted({node.op_type for node in graph.node} - set(OPERATORS))
        if unknown:
            raise BuildFailedError(f"operators {', '.join(unknown)} are not known to the backend torch_cuda")
        self._torch = torch
        self._outputs = [output.name for output in graph.output]
        self._constants: dict[str, Value] = {"": None}
        for tensor in graph.initializer:
            array = onnx.numpy_helper.to_array(tensor)
            on_host = array.dtype.kind != "f"
            self._constants[tensor.name] = array if on_host else torch.from_numpy(array.copy()).to(device)
        self._nodes = [
            (
                OPERATORS[node.op_type],
                list(node.input),
                node.output[0],
                {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute},
            )
            for node in graph.node
        ]

    @property
    def weights(self) -> dict[str, Any]:
        """Its constants by name, of floating point only: the tensors themselves, which training may change."""
        return {name: value for name, value in self._constants.items() if isinstance(value, self._torch.Tensor)}

    def __call__(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Run it on tensors that are on its device."""
        values: dict[str, Value] = {**self._constants, **inputs}
        for operator, names, output, attributes in self._nodes:
            values[output] = operator([values[name] for name in names], attributes, self._torch)
        return {name: values[name] for name in self._outputs}


__all__ = ["OPERATORS", "TorchNetwork"]
