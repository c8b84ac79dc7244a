"""OpenVINO on the CPU: the same ONNX file in single precision, or one whose convolutions are in int8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.runtimes._model import BaseModel, check_agrees
from microscoped.models.runtimes.errors import BackendMissingError, BuildFailedError, ExecutionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact


INT8 = "openvino int8"
"""Name of OpenVINO with convolutions in int8; it is opened where int8 is asked for, never by its name."""


class OpenVinoModel(BaseModel):
    """A network in OpenVINO.

    Parameters
    ----------
    artefact
        The network.
    threads
        Threads that one run uses.
    onnx
        Another ONNX file with the same inputs and outputs; None is the artefact's own.

    Raises
    ------
    BackendMissingError
        ``openvino`` cannot be imported.
    BuildFailedError
        OpenVINO does not take the file.
    ArtefactAlteredError
        The file's inputs or outputs are not those of the sidecar.
    """

    backend = "openvino"

    def __init__(self, artefact: Artefact, threads: int, onnx: bytes | None = None) -> None:
        openvino = import_openvino()
        super().__init__(artefact, f"CPU, {threads} thread{'s' if threads > 1 else ''}")
        core = openvino.Core()
        # Processors with AMX would compute in bfloat16 by themselves; the answers are compared in single precision.
        # Convolutions that stand between Q/DQ pairs are in int8 nevertheless.
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
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


class OpenVinoInt8Model(OpenVinoModel):
    """The same with convolutions in int8.

    Parameters
    ----------
    artefact, threads
        As of `OpenVinoModel`.
    onnx
        The quantised file.
    """

    backend = INT8

    def __init__(self, artefact: Artefact, threads: int, onnx: bytes) -> None:
        super().__init__(artefact, threads, onnx)


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


__all__ = ["INT8", "OpenVinoInt8Model", "OpenVinoModel", "import_openvino"]
