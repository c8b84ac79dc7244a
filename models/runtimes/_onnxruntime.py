"""ONNX Runtime on the CPU: the reference, and what runs where nothing else can."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.runtimes._model import BaseModel, check_agrees
from microscoped.models.runtimes.errors import BackendMissingError, BuildFailedError, ExecutionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact

NAMES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names of element types, where numpy has others."""


class OnnxRuntimeModel(BaseModel):
    """A network in ONNX Runtime.

    Parameters
    ----------
    artefact
        The network.
    threads
        Threads that one run uses. They sleep between runs: spinning would take the cores from the loop and the driver.

    Raises
    ------
    BackendMissingError
        ``onnxruntime`` cannot be imported.
    BuildFailedError
        ONNX Runtime does not take the file.
    ArtefactAlteredError
        The file's inputs or outputs are not those of the sidecar.
    """

    backend = "onnxruntime"

    def __init__(self, artefact: Artefact, threads: int) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendMissingError(
                f"onnxruntime cannot be imported ({error}); install it with: pip install onnxruntime"
            ) from error
        super().__init__(artefact, f"CPU, {threads} thread{'s' if threads > 1 else ''}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3  # errors; they are raised as well
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(artefact.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base but this
            raise BuildFailedError(f"ONNX Runtime {ort.__version__} does not take {artefact.path}: {error}") from error
        check_agrees(artefact, map(_tensor, session.get_inputs()), outputs=False)
        check_agrees(artefact, map(_tensor, session.get_outputs()), outputs=True)
        self._names = [tensor.name for tensor in self.outputs]
        self._session: Any = session

    def _run(self, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        try:
            found = self._session.run(self._names, inputs)
        except Exception as error:
            raise ExecutionError(f"ONNX Runtime failed on {self.name}, batch {batch}: {error}") from error
        return dict(zip(self._names, found, strict=True))

    def _close(self) -> None:
        self._session = None


def _tensor(node: Any) -> tuple[str, tuple[int | None, ...], np.dtype[Any]]:  # noqa: ANN401 - onnxruntime is untyped
    """Name, shape and dtype of a session's input or output; its type reads ``tensor(float)``."""
    found = re.fullmatch(r"tensor\((\w+)\)", node.type)
    kind = found[1] if found else "object"
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return node.name, shape, np.dtype(NAMES.get(kind, kind) if kind not in {"string", "bfloat16"} else "object")


__all__ = ["OnnxRuntimeModel"]
