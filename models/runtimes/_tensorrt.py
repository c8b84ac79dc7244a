"""TensorRT: building plans, and running them.

One code path serves TensorRT-RTX and TensorRT 10 and later: named tensors, networks that are always strongly typed, and
never a flag that changes precision, because later releases have none. A network in half precision is an ONNX file in
half precision. TensorRT reports failures as None or False and a line in its log; here each becomes an error.

Building with TensorRT-RTX needs no GPU and was run without one. What runs a plan follows NVIDIA's documentation of
TensorRT-RTX 1.7 and TensorRT 10 and the names in its bindings.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.runtimes._model import BaseModel, check_agrees
from microscoped.models.runtimes._provider import make_log
from microscoped.models.runtimes.errors import (
    BuildFailedError,
    DriverAbsentError,
    ExecutionError,
    UnsupportedGpuError,
    WrongPlanError,
)
from microscoped.models.runtimes.plans import read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact
    from microscoped.models.runtimes._cuda import CudaContext
    from microscoped.models.runtimes._provider import Provider

log = logging.getLogger("microscoped.models")

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Smallest, usual and largest shape of an input."""


def profile_of(artefact: Artefact) -> dict[str, Shapes]:
    """Return the shapes that a plan of this artefact is built for."""
    batch = artefact.sidecar.batch
    return {t.name: (t.at(batch.min), t.at(batch.opt), t.at(batch.max)) for t in artefact.sidecar.inputs}


def build_plan(
    provider: Provider, onnx: bytes, shapes: Mapping[str, Shapes], targets: Sequence[str] = (), *, name: str = "it"
) -> bytes:
    """Build a plan.

    Parameters
    ----------
    provider
        What builds it. ``tensorrt`` needs a GPU for that, whose context is the calling thread's.
    onnx
        Content of the ONNX file.
    shapes
        By input; those of free axes are needed.
    targets
        Compute capabilities such as ``SM89``; none means every GPU that the library's portable plans run on. Only for
        ``tensorrt_rtx``.
    name
        What the network is called in messages.

    Raises
    ------
    BuildFailedError
        The network cannot be read or built, or a target does not exist; the message holds TensorRT's own words.
    """
    trt = provider.module
    words = make_log(trt)
    builder = trt.Builder(words)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, words)
    if not parser.parse(onnx):
        told = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise BuildFailedError(f"{provider.name} {provider.version} cannot read {name} as ONNX: {told or words.told()}")
    config = builder.create_builder_config()
    if targets:
        _set_targets(provider, config, targets)
    if shapes:
        profile = builder.create_optimization_profile()
        for tensor, (smallest, usual, largest) in shapes.items():
            profile.set_shape(tensor, smallest, usual, largest)
        if config.add_optimization_profile(profile) < 0:
            raise BuildFailedError(f"{provider.name} does not take the batch sizes of {name}: {words.told()}")
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        on = f" for {', '.join(targets)}" if targets else ""
        raise BuildFailedError(f"{provider.name} {provider.version} cannot build {name}{on}: {words.told()}")
    return bytes(plan)


def _set_targets(provider: Provider, config: Any, targets: Sequence[str]) -> None:  # noqa: ANN401 - TensorRT is untyped
    known = provider.known_targets() if provider.portable else ()
    for target in targets:
        if target not in known:
            raise BuildFailedError(
                f"{provider.name} {provider.version} has no target {target!r}; "
                + (f"there are {', '.join(known)}" if known else "it builds for the GPU of this computer alone")
            )
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(getattr(provider.module.ComputeCapability, target), index)


class TensorRtModel(BaseModel):
    """A network in TensorRT, with its buffers on the GPU.

    Parameters
    ----------
    artefact
        The network.
    provider
        What built the plan.
    plan
        The plan; only one that this program built.
    context
        The GPU. It is closed with the model.
    kernels
        Where TensorRT-RTX's kernels, which it compiles at the first run on a GPU, are kept; None keeps none.

    Raises
    ------
    WrongPlanError
        TensorRT refuses the plan.
    UnsupportedGpuError
        It does not run on this GPU.
    DriverAbsentError
        The driver is too old.
    ExecutionError
        The GPU's memory is full.
    """

    def __init__(
        self, artefact: Artefact, provider: Provider, plan: bytes, context: CudaContext, kernels: Path | None
    ) -> None:
        self.backend = provider.name
        super().__init__(artefact, str(context.gpu))
        self._cuda = context
        self._provider = provider
        self._words = make_log(provider.module)
        self._cache: Any = None
        self._kernels = kernels
        context.enter()
        self._runtime: Any = provider.module.Runtime(self._words)
        if provider.portable:
            _check_validity(provider, self._runtime, plan, self.device)
        self._engine: Any = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise WrongPlanError(
                f"{self.backend} {provider.version} refuses the plan of {self.name} on {self.device}:"
                f" {self._words.told()}. Delete the plan cache, so that it is built anew"
            )
        found = list(map(self._tensor, range(self._engine.num_io_tensors)))
        check_agrees(artefact, [tensor for is_input, tensor in found if is_input], outputs=False)
        check_agrees(artefact, [tensor for is_input, tensor in found if not is_input], outputs=True)
        self._execution: Any = self._make_execution()
        if self._execution is None:
            raise ExecutionError(f"{self.backend} cannot prepare {self.name} on {self.device}: {self._words.told()}")
        largest = artefact.sidecar.batch.max
        self._addresses = {
            tensor.name: context.allocate(int(np.prod(tensor.at(largest))) * tensor.numpy_dtype.itemsize)
            for tensor in (*self.inputs, *self.outputs)
        }
        for tensor, address in self._addresses.items():
            self._require(self._execution.set_tensor_address(tensor, address), f"no address for {tensor}")

    def _tensor(self, index: int) -> tuple[bool, tuple[str, tuple[int | None, ...], np.dtype[Any]]]:
        """Whether a tensor of the plan is an input; its name, shape and dtype."""
        trt, engine = self._provider.module, self._engine
        name = engine.get_tensor_name(index)
        shape = tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name))
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
        return engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT, (name, shape, dtype)

    def _make_execution(self) -> Any:  # noqa: ANN401 - TensorRT is untyped
        if not self._provider.portable:
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        self._cache = config.create_runtime_cache()
        stored = read_sealed(self._kernels) if self._kernels is not None else None
        if stored is not None and not self._cache.deserialize(stored):
            log.info("the kernels in %s are for another GPU, driver or version; they are compiled anew", self._kernels)
        config.set_runtime_cache(self._cache)
        return self._engine.create_execution_context(config)

    def _run(self, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        self._cuda.enter()
        for name, array in inputs.items():
            self._require(self._execution.set_input_shape(name, array.shape), f"the shape {array.shape} of {name}")
            self._cuda.upload(self._addresses[name], array)
        self._require(self._execution.execute_async_v3(self._cuda.stream), f"a batch of {batch}")
        outputs = {tensor.name: np.empty(tensor.at(batch), tensor.numpy_dtype) for tensor in self.outputs}
        for name, array in outputs.items():
            self._cuda.download(array, self._addresses[name])
        self._cuda.wait()
        return outputs

    def _require(self, done: bool, what: str) -> None:
        if not done:
            raise ExecutionError(
                f"{self.backend} failed on {self.name}, {what}: {self._words.told()}; use the backend onnxruntime, and"
                " report this"
            )

    def _close(self) -> None:
        self._cuda.enter()
        if self._cache is not None and self._kernels is not None:
            compiled = self._cache.serialize()
            if compiled is not None and read_sealed(self._kernels) != bytes(compiled):
                write_sealed(self._kernels, bytes(compiled))
        # TensorRT frees an object when its last reference goes, and each must go before the one that made it.
        self._execution = None
        self._cache = None
        self._engine = None
        self._runtime = None
        self._cuda.close()


def _check_validity(provider: Provider, runtime: Any, plan: bytes, device: str) -> None:  # noqa: ANN401
    """Ask TensorRT-RTX whether a plan runs here, before it tries."""
    trt = provider.module
    validity, bits = runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return
    flags = trt.EngineInvalidityDiagnostics
    causes = [name for name, flag in flags.__members__.items() if int(bits) & int(flag)]
    told = f"TensorRT-RTX {provider.version} refuses the plan on {device}: {', '.join(causes) or 'no cause given'}"
    if "UNSUPPORTED_CC" in causes:
        raise UnsupportedGpuError(f"{told}. Use the backend onnxruntime")
    if "OLD_CUDA_DRIVER" in causes:
        raise DriverAbsentError(f"{told}. Install a newer NVIDIA driver, or use the backend onnxruntime")
    if "INSUFFICIENT_GPU_MEMORY" in causes:
        raise ExecutionError(f"{told}. Close other programs on the GPU, or use the backend onnxruntime")
    raise WrongPlanError(f"{told}. Delete the plan cache, so that it is built anew")


__all__ = ["Shapes", "TensorRtModel", "build_plan", "profile_of"]
