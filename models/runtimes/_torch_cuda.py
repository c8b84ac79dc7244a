"""torch on an NVIDIA GPU, with CUDA graphs: for GPUs that no TensorRT here serves. Never run on a GPU so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from microscoped.models.runtimes._model import BaseModel
from microscoped.models.runtimes._onnx_torch import TorchNetwork
from microscoped.models.runtimes.errors import BackendMissingError, DriverAbsentError, ExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact

WARM_UPS = 3
"""Runs before a graph is captured: kernels are chosen and memory is taken in them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Captured:
    """One batch size as a CUDA graph: fixed inputs, fixed outputs."""

    graph: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


class TorchCudaModel(BaseModel):
    """A network in torch. The first run of each batch size captures a CUDA graph, all others replay it.

    Parameters
    ----------
    artefact
        The network.
    device
        ``cuda``; ``cpu`` runs the same operators without graphs, which is what tests can do without a GPU.

    Raises
    ------
    BackendMissingError
        torch with CUDA, or onnx, is not installed.
    DriverAbsentError
        torch finds no GPU.
    BuildFailedError
        The network has an operator that this backend does not know.
    """

    backend = "torch_cuda"

    def __init__(self, artefact: Artefact, device: str = "cuda") -> None:
        try:
            import torch
        except ImportError as error:
            raise BackendMissingError(
                "torch is not installed; install torch with CUDA, and onnx: pip install torch onnx"
            ) from error
        if device == "cuda" and torch.version.cuda is None:
            raise BackendMissingError(
                f"torch {torch.__version__} was built without CUDA; install a torch with CUDA, or use onnxruntime"
            )
        if device == "cuda" and not torch.cuda.is_available():
            raise DriverAbsentError("torch finds no NVIDIA GPU; check it with nvidia-smi, or use onnxruntime")
        super().__init__(artefact, torch.cuda.get_device_name() if device == "cuda" else "CPU")
        self._torch: Any = torch
        self._device = device
        self._network = TorchNetwork(artefact.onnx, device)
        self._captured: dict[int, _Captured] = {}

    def _run(self, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        torch = self._torch
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        try:
            with torch.inference_mode():
                outputs = self._network(tensors) if self._device == "cpu" else self._replayed(tensors, batch)
        except RuntimeError as error:
            raise ExecutionError(f"torch failed on {self.name}, batch {batch}: {error}") from error
        return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}

    def _replayed(self, tensors: Mapping[str, Any], batch: int) -> Mapping[str, Any]:
        if batch not in self._captured:
            self._captured[batch] = self._capture(tensors)
        captured = self._captured[batch]
        for name, tensor in tensors.items():
            captured.inputs[name].copy_(tensor)
        captured.graph.replay()
        return captured.outputs

    def _capture(self, tensors: Mapping[str, Any]) -> _Captured:
        torch = self._torch
        fixed = {name: tensor.to(self._device) for name, tensor in tensors.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._network(fixed)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._network(fixed)
        return _Captured(graph, fixed, outputs)

    def _close(self) -> None:
        self._captured.clear()
        self._network = None  # type: ignore[assignment] # gives the weights' memory back


__all__ = ["TorchCudaModel"]
