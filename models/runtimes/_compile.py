"""Building a plan ahead of time, on a computer that may have no GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from microscoped.models.runtimes._cuda import CudaContext, Gpu, find_driver
from microscoped.models.runtimes._provider import Provider, ProviderName, find_provider
from microscoped.models.runtimes._tensorrt import build_plan, profile_of
from microscoped.models.runtimes.plans import Plan, PlanCache, PlanKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from microscoped.models.runtimes._artefact import Artefact

PORTABLE = "portable"


@dataclass(frozen=True)
class CompiledPlan:
    """A plan that lies in a cache.

    Parameters
    ----------
    path
        Where; None if it could not be written.
    size
        In bytes.
    built_s
        How long building took; None if it was there.
    version
        The library's exact version; no other runs it.
    """

    path: Path | None
    size: int
    built_s: float | None
    version: str


def key_of(artefact: Artefact, provider: Provider, targets: Sequence[str], gpu: Gpu | None) -> PlanKey:
    """Return what a plan depends on.

    Parameters
    ----------
    artefact, provider, targets
        As of `build_plan`.
    gpu
        The one it is built on; only where the plan runs on no other.
    """
    own = () if provider.portable or gpu is None else (f"SM{gpu.target}",)
    return PlanKey(
        onnx_sha256=artefact.sidecar.sha256,
        library=provider.name,
        version=provider.version,
        targets=tuple(targets) or own or (PORTABLE,),
        system=provider.system,
        shapes=profile_of(artefact),
        flags=("strongly_typed",),
    )


def plan_of(
    artefact: Artefact,
    provider: Provider,
    targets: Sequence[str],
    cache: PlanCache,
    gpu: Gpu | None = None,
    *,
    anew: bool = False,
) -> Plan:
    """Return a plan from the cache, or build it."""

    def build() -> bytes:
        return build_plan(provider, artefact.onnx, profile_of(artefact), targets, name=str(artefact.path))

    return cache.get_or_build(key_of(artefact, provider, targets, gpu), build, anew=anew)


def compile_artefact(
    artefact: Artefact,
    provider: ProviderName = "tensorrt_rtx",
    targets: Sequence[str] = (),
    folder: Path | None = None,
    *,
    anew: bool = False,
) -> CompiledPlan:
    """Build the plan of a network.

    With ``tensorrt_rtx`` this needs no GPU: the plan can be copied to the computer that has one.

    Parameters
    ----------
    artefact
        The network.
    provider
        ``tensorrt_rtx``, or ``tensorrt``, which builds for the first GPU of this computer.
    targets
        Compute capabilities such as ``SM89``, only with ``tensorrt_rtx``; none means Ampere and later.
    folder
        The plan cache; None keeps nothing.
    anew
        Build it also if it is there.

    Raises
    ------
    BackendMissingError, BackendVersionError
        The package is missing or too old.
    DriverAbsentError
        ``tensorrt`` without a GPU.
    BuildFailedError
        TensorRT cannot build it.
    """
    found = find_provider_safely(provider)
    if found.portable:
        plan = plan_of(artefact, found, targets, PlanCache(folder), anew=anew)
    else:
        driver = find_driver()
        context = CudaContext(driver, driver.gpus[0])
        try:
            plan = plan_of(artefact, found, targets, PlanCache(folder), context.gpu, anew=anew)
        finally:
            context.close()
    return CompiledPlan(plan.path, len(plan.content), plan.built_s, found.version)


def find_provider_safely(name: ProviderName) -> Provider:
    """Import a package; ``tensorrt`` only where there is a driver, since parts of it crash the process without one."""
    if name == "tensorrt":
        find_driver()
    return find_provider(name)


__all__ = ["CompiledPlan", "compile_artefact", "find_provider_safely", "key_of", "plan_of"]
