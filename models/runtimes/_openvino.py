"""OpenVINO on the CPU: an ONNX file in single precision or in bfloat16, or one whose convolutions are in int8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from microscoped.models.runtimes._model import BaseModel, check_agrees
from microscoped.models.runtimes.errors import (
    BackendMissingError,
    BuildFailedError,
    ExecutionError,
    UnsupportedProcessorError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact


Precision = Literal["fp32", "bf16", "int8"]
"""Of a network's arithmetic: single precision, bfloat16 throughout, or convolutions in 8-bit integers."""
HINTS: Mapping[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What OpenVINO is told to compute in; convolutions that stand between Q/DQ pairs are in int8 nevertheless."""
NATIVE: Mapping[Precision, str] = {"bf16": "BF16"}
"""What OpenVINO must find in the processor."""


class OpenVinoModel(BaseModel):
    """A network in OpenVINO.

    Parameters
    ----------
    artefact
        The network.
    threads
        Threads that one run uses.
    precision
        What it computes in.
    onnx
        Another ONNX file with the same inputs and outputs; None is the artefact's own. One in int8 needs it.

    Raises
    ------
    BackendMissingError
        ``openvino`` cannot be imported.
    UnsupportedProcessorError
        The processor does not compute in this precision by itself.
    BuildFailedError
        OpenVINO does not take the file.
    ArtefactAlteredError
        The file's inputs or outputs are not those of the sidecar.
    """

    backend = "openvino"

    def __init__(
        self, artefact: Artefact, threads: int, precision: Precision = "fp32", onnx: bytes | None = None
    ) -> None:
        openvino = import_openvino()
        require_native(precision)
        self.backend = backend_of(precision)
        super().__init__(artefact, f"CPU, {threads} thread{'s' if threads > 1 else ''}")
        core = openvino.Core()
        # Without a hint OpenVINO would take bfloat16 by itself where the processor has it.
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        try:
            network = core.read_model(artefact.onnx if onnx is None else onnx, b"")
            compiled = core.compile_model(network, "CPU", hints)
        except RuntimeError as error:
            raise BuildFailedError(f"OpenVINO does not take {artefact.path}: {error}") from error
        check_agrees(artefact, map(_tensor, compiled.inputs), outputs=False)
        check_agrees(artefact, map(_tensor, compiled.outputs), outputs=True)
        self._names = [tensor.name for tensor in self.outputs]
        self._request: Any = compiled.create_infer_request()

    def _run(self, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        try:
            found = self._request.infer(inputs)
        except RuntimeError as error:
            raise ExecutionError(f"OpenVINO failed on {self.name}, batch {batch}: {error}") from error
        return {name: np.array(found[name]) for name in self._names}

    def _close(self) -> None:
        self._request = None


def backend_of(precision: Precision) -> str:
    """Return how OpenVINO is called in a precision; by its name alone it is opened in single precision."""
    return OpenVinoModel.backend if precision == "fp32" else f"{OpenVinoModel.backend} {precision}"


def processor_name() -> str:
    """Return what OpenVINO calls the processor."""
    return str(import_openvino().Core().get_property("CPU", "FULL_DEVICE_NAME"))


def require_native(precision: Precision) -> None:
    """Refuse a precision that the processor would only emulate, or leave to another.

    Raises
    ------
    BackendMissingError
        OpenVINO cannot be imported.
    UnsupportedProcessorError
        The processor has no arithmetic of it.
    """
    has = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision in NATIVE and NATIVE[precision] not in has:
        raise UnsupportedProcessorError(
            f"precision {precision} needs a processor that computes in it, with AMX or AVX512-BF16; OpenVINO finds"
            f" {', '.join(has)} in this one, {processor_name()}: set the precision to fp32"
        )


def import_openvino() -> Any:  # noqa: ANN401 - openvino is untyped
    """Import OpenVINO.

    Raises
    ------
    BackendMissingError
        It cannot be imported.
    """
    try:
        import openvino
    except ImportError as error:
        raise BackendMissingError(
            f"openvino cannot be imported ({error}); install it with: pip install 'microscoped[openvino]'"
        ) from error
    return openvino


def _tensor(port: Any) -> tuple[str, tuple[int | None, ...], np.dtype[Any]]:  # noqa: ANN401 - openvino is untyped
    """Name, shape and dtype of a compiled network's input or output."""
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
    return port.any_name, shape, np.dtype(port.element_type.to_dtype())


__all__ = ["OpenVinoModel", "Precision", "backend_of", "import_openvino", "processor_name", "require_native"]
