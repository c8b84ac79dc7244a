"""Post-training quantisation: the convolutions of an ONNX network in int8, by ONNX Runtime's own quantiser.

Static, with Q/DQ pairs, and symmetric throughout (Jacob et al., CVPR 2018): weights have one scale for each output
channel, inputs of convolutions one each, which holds all values that samples have made there. Without offsets the
processor's kernels need no correction for them. Linear layers, sums, biases and outputs of convolutions stay in single
precision.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.runtimes.errors import BackendMissingError, BuildFailedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray

BATCH = 16
"""Samples that the quantiser looks at together."""


def convolutions(onnx: bytes) -> tuple[str, ...]:
    """Return the names of a network's convolutions, as `quantise` knows them.

    Raises
    ------
    BackendMissingError
        ``onnx`` is not installed.
    """
    return tuple(node.name for node in _read(onnx).graph.node if node.op_type == "Conv")


def quantise(onnx: bytes, samples: Mapping[str, NDArray[Any]], kept: Collection[str] = ()) -> bytes:
    """Return a network whose convolutions are in int8, as an ONNX file with the same inputs and outputs.

    Parameters
    ----------
    onnx
        Content of the ONNX file.
    samples
        By input: what it is quantised with, the batch axis first.
    kept
        Names of the convolutions that stay in single precision.

    Raises
    ------
    BackendMissingError
        ``onnx`` is not installed.
    BuildFailedError
        The network has no convolution left to quantise, or ONNX Runtime cannot quantise it.
    """
    model = _read(onnx)
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    if all(node.name in kept for node in model.graph.node if node.op_type == "Conv"):
        raise BuildFailedError(f"there is no convolution to quantise beside the {len(kept)} that are kept as they are")
    # Exported networks have nothing left to fold; without this mark every run would warn of it.
    add_pre_process_metadata(model)
    with tempfile.TemporaryDirectory(prefix="microscoped-") as folder:
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                path,
                _Reader(samples),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=list(kept),
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": True,
                    "QuantizeBias": False,
                    "OpTypesToExcludeOutputQuantization": ["Conv"],
                },
            )
        except Exception as error:  # the quantiser's errors share no base but this
            raise BuildFailedError(f"ONNX Runtime cannot quantise the network: {error}") from error
        return path.read_bytes()


class _Reader:
    """Hands samples to the quantiser, some at a time."""

    def __init__(self, samples: Mapping[str, NDArray[Any]]) -> None:
        self._parts = _parts(samples)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next ones; None after the last."""
        return next(self._parts, None)


def _parts(samples: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    count = len(next(iter(samples.values())))
    for start in range(0, count, BATCH):
        yield {name: np.ascontiguousarray(values[start : start + BATCH]) for name, values in samples.items()}


def _read(onnx: bytes) -> Any:  # noqa: ANN401 - onnx is untyped
    """Return the network with a name for every node."""
    try:
        import onnx as onnx_package
    except ImportError as error:
        raise BackendMissingError(
            f"quantising needs onnx, which cannot be imported ({error}); install it with:"
            " pip install 'microscoped[openvino]'"
        ) from error
    model = onnx_package.load_from_string(onnx)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return model


__all__ = ["convolutions", "quantise"]
