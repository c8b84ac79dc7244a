"""Which backend runs a network, and why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from microscoped.models.runtimes._compare import require_agreement
from microscoped.models.runtimes._compile import find_provider_safely, key_of, plan_of
from microscoped.models.runtimes._cuda import CudaContext, find_driver
from microscoped.models.runtimes._lower import open_lower
from microscoped.models.runtimes._model import BaseModel, Choice, CompiledModel
from microscoped.models.runtimes._onnxruntime import OnnxRuntimeModel
from microscoped.models.runtimes._openvino import OpenVinoModel, backend_of
from microscoped.models.runtimes._tensorrt import TensorRtModel
from microscoped.models.runtimes._torch_cuda import TorchCudaModel
from microscoped.models.runtimes.errors import (
    BackendError,
    BackendMissingError,
    DriverAbsentError,
    UnknownBackendError,
    UnsupportedGpuError,
)
from microscoped.models.runtimes.plans import PlanCache

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.runtimes._artefact import Artefact
    from microscoped.models.runtimes._lower import LowerPrecision
    from microscoped.models.runtimes._provider import ProviderName

log = logging.getLogger("microscoped.models")

AUTO = "auto"
REFERENCE = "onnxruntime"
BACKENDS = (REFERENCE, "tensorrt_rtx", "tensorrt", "torch_cuda", "openvino")
PREFERRED = ("tensorrt_rtx", "torch_cuda")
"""What ``auto`` takes where it can, in this order.

Never ``tensorrt``, which is not verified, nor ``openvino``, which is a choice.
"""
ORDINARY = (DriverAbsentError, BackendMissingError, UnsupportedGpuError)
"""Why ``auto`` takes the reference on most computers: nothing to warn of."""


def open_model(
    artefact: Artefact,
    backend: str = AUTO,
    *,
    threads: int = 1,
    cache_folder: Path | None = None,
    fallback: bool = False,
    lower: LowerPrecision | None = None,
) -> CompiledModel:
    """Make a network ready to run.

    Every backend but the reference, ONNX Runtime, is compared with it here, on random batches, and refused if an
    output differs by more than the sidecar's tolerance. A version in lower precision is compared on samples, with
    limits of its own.

    Parameters
    ----------
    artefact
        The network.
    backend
        One of `BACKENDS`, or ``auto``: TensorRT-RTX where its package, an NVIDIA driver and a GPU that it supports are
        there; else torch where it is installed with CUDA and finds a GPU; else ONNX Runtime.
    threads
        Threads of the processor that one run uses.
    cache_folder
        Where plans and compiled kernels are kept; None builds them at every opening.
    fallback
        Whether ONNX Runtime takes over where a backend that was named cannot be used. With ``auto`` it always does.
        Where a lower precision cannot be used, single precision on the same backend is tried first.
    lower
        Only with ``openvino``: run the version that `compile_lower` has made of this. None is single precision.

    Returns
    -------
    model
        Its ``choice`` says why it is this backend; the log says it, too.

    Raises
    ------
    UnknownBackendError
        There is no such backend, or it has no lower precision.
    ArtefactAlteredError
        The ONNX file's inputs or outputs are not those of the sidecar.
    BackendError
        The backend that was named cannot be used, or the reference cannot be; its class says why.
    """
    if backend not in (AUTO, *BACKENDS):
        raise UnknownBackendError(
            f"backend {backend!r}: there is none of this name; use {AUTO} or {', '.join(BACKENDS)}"
        )
    if lower is not None and backend != OpenVinoModel.backend:
        raise UnknownBackendError(
            f"backend {backend!r} has no precision {lower.precision}; use {OpenVinoModel.backend}, or fp32"
        )
    if threads < 1:
        raise ValueError(f"threads {threads}: must be 1 or more")
    asked = backend if lower is None else backend_of(lower.precision)
    wanted = PREFERRED if backend == AUTO else (asked,)
    instead = (REFERENCE,) if lower is None else (backend, REFERENCE)
    may_fall_back = backend == AUTO or (fallback and backend != REFERENCE)
    obstacles: list[str] = []
    level = logging.INFO
    for candidate in (*wanted, *instead) if may_fall_back else wanted:
        try:
            if lower is not None and candidate == asked:
                model, reason = _open_lower(artefact, lower, threads, cache_folder)
            else:
                model, reason = _open(artefact, candidate, threads, cache_folder)
        except BackendError as error:
            if candidate == REFERENCE or not may_fall_back:
                raise
            obstacles.append(f"{candidate} cannot be used: {error}")
            if backend != AUTO or not isinstance(error, ORDINARY):
                level = logging.WARNING
            continue
        break
    if candidate == asked:
        reason = f"{reason}, and it was asked for"
    elif not obstacles:
        reason = f"auto prefers it; {reason}"
    else:
        reason = "; ".join(obstacles)
    model.choice = Choice(model.backend, asked, reason)
    log.log(level, "%s runs on %s, %s: %s", model.name, model.backend, model.device, reason)
    return model


def _open(artefact: Artefact, backend: str, threads: int, folder: Path | None) -> tuple[BaseModel, str]:
    """Open one backend; return it and what speaks for it."""
    if backend == REFERENCE:
        return OnnxRuntimeModel(artefact, threads), "it is the reference"
    model: BaseModel
    if backend == "openvino":
        model = OpenVinoModel(artefact, threads)
    elif backend == "torch_cuda":
        model = TorchCudaModel(artefact)
    else:
        model = _open_tensorrt(artefact, "tensorrt_rtx" if backend == "tensorrt_rtx" else "tensorrt", folder)
    try:
        with OnnxRuntimeModel(artefact, threads) as reference:
            found = require_agreement(model, reference, artefact)
    except BaseException:
        model.close()
        raise
    largest = max(found, key=lambda difference: difference.largest / difference.tolerance)
    return model, (
        f"it agrees with {REFERENCE} ({largest.output} within {largest.largest:.2g} where {largest.tolerance:.2g} is"
        " allowed)"
    )


def _open_lower(artefact: Artefact, lower: LowerPrecision, threads: int, folder: Path | None) -> tuple[BaseModel, str]:
    """Open a version in lower precision past its gate; return it and what speaks for it."""
    model, found = open_lower(artefact, lower, threads, folder)
    return model, f"it is accurate enough on samples that did not make it ({'; '.join(map(str, found))})"


def _open_tensorrt(artefact: Artefact, name: ProviderName, folder: Path | None) -> TensorRtModel:
    driver = find_driver()
    provider = find_provider_safely(name)
    gpu = driver.gpus[0]
    targets = provider.targets_of(gpu)
    cache = PlanCache(folder)
    context = CudaContext(driver, gpu)
    try:
        plan = plan_of(artefact, provider, targets, cache, gpu)
        kernels = cache.path(key_of(artefact, provider, targets, gpu), f".sm{gpu.target}.kernels")
        return TensorRtModel(artefact, provider, plan.content, context, kernels)
    except BaseException:
        context.close()
        raise


__all__ = ["AUTO", "BACKENDS", "REFERENCE", "open_model"]
