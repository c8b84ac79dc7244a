"""What tests of OpenVINO ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from microscoped.models.runtimes._openvino import OpenVinoModel

if TYPE_CHECKING:
    from microscoped.models.runtimes import CompiledModel


def require(precision: str) -> None:
    """Skip where this computer cannot make or run networks in a precision."""
    openvino = pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    pytest.importorskip("onnx", reason="the extra [openvino] is not installed")
    if precision == "bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor does not compute in bfloat16")


def convolved_in(model: CompiledModel) -> set[str]:
    """Return what the convolutions of a model compute in."""
    assert isinstance(model, OpenVinoModel)
    operations = model._request.get_compiled_model().get_runtime_model().get_ops()
    told = [operation.get_rt_info() for operation in operations]
    return {str(one["runtimePrecision"].astype(str)) for one in told if one["layerType"].astype(str) == "Convolution"}
