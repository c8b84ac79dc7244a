"""TensorRT's two packages: the same calls, found under different names."""

from __future__ import annotations

import importlib
import logging
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from microscoped.models.runtimes.errors import BackendMissingError, BackendVersionError, UnsupportedGpuError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.models.runtimes._cuda import Gpu

log = logging.getLogger("microscoped.models")

ProviderName = Literal["tensorrt_rtx", "tensorrt"]

MODULES: Mapping[ProviderName, tuple[str, ...]] = {
    "tensorrt_rtx": ("tensorrt_rtx_bindings", "tensorrt_rtx"),
    "tensorrt": ("tensorrt",),
}
OLDEST: Mapping[ProviderName, tuple[int, int]] = {"tensorrt_rtx": (1, 7), "tensorrt": (10, 0)}
INSTALL: Mapping[ProviderName, str] = {
    "tensorrt_rtx": "pip install -U 'microscoped[tensorrt]'",
    "tensorrt": "pip install -U --extra-index-url https://pypi.nvidia.com tensorrt",
}
OWN_TARGET_BELOW = 80
"""GPUs below this compute capability need a plan of their own; a portable plan is for Ampere and later."""


@dataclass(frozen=True)
class Provider:
    """One TensorRT package, imported.

    Parameters
    ----------
    name
        Which of both.
    module
        The package.
    version
        Its exact version.
    """

    name: ProviderName
    module: Any
    version: str

    @property
    def portable(self) -> bool:
        """Whether it builds without a GPU, for any system and several kinds of GPU: TensorRT-RTX does."""
        return self.name == "tensorrt_rtx"

    @property
    def system(self) -> str:
        """Operating system and processor, where its plans depend on them."""
        return "" if self.portable else f"{platform.system()}-{platform.machine()}"

    def known_targets(self) -> tuple[str, ...]:
        """Return the compute capabilities that a plan can be built for by name, such as ``SM89``."""
        enum = getattr(self.module, "ComputeCapability", None)
        return tuple(name for name in getattr(enum, "__members__", {}) if re.fullmatch(r"SM\d+", name))

    def targets_of(self, gpu: Gpu) -> tuple[str, ...]:
        """Return what a plan for this GPU is built for; none means portable, or the GPU that builds it.

        Raises
        ------
        UnsupportedGpuError
            It does not run on this GPU.
        """
        if not self.portable:
            return ()
        known = [int(name[2:]) for name in self.known_targets()]
        if gpu.target not in known and gpu.target < max(known, default=0):
            told = ", ".join(f"{target // 10}.{target % 10}" for target in known)
            raise UnsupportedGpuError(
                f"TensorRT-RTX {self.version} does not run on {gpu}: it knows {told}. Use the backend onnxruntime, or"
                " tensorrt, which is not verified"
            )
        return (f"SM{gpu.target}",) if gpu.target < OWN_TARGET_BELOW else ()


def find_provider(name: ProviderName) -> Provider:
    """Import a TensorRT package. It needs no driver for that.

    Raises
    ------
    BackendMissingError
        It is not installed, or its libraries do not load.
    BackendVersionError
        It is older than what is supported.
    """
    failures = []
    for module_name in MODULES[name]:
        try:
            module = importlib.import_module(module_name)
        except (ImportError, OSError) as error:
            failures.append(f"{module_name}: {error}")
            continue
        version = str(module.__version__)
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if numbers < OLDEST[name]:
            oldest = ".".join(map(str, OLDEST[name]))
            raise BackendVersionError(
                f"{name} {version} is too old, it must be {oldest} or later; install it with: {INSTALL[name]}"
            )
        return Provider(name, module, version)
    raise BackendMissingError(f"{name} cannot be imported ({'; '.join(failures)}); install it with: {INSTALL[name]}")


def make_log(module: Any) -> Any:  # noqa: ANN401 - TensorRT is untyped
    """Return a TensorRT logger that keeps errors in ``lines``: TensorRT reports them nowhere else."""

    class Log(module.ILogger):  # type: ignore[misc] # the base is known only at run time
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if int(severity) <= int(module.ILogger.ERROR):
                self.lines.append(message.strip())
            if int(severity) <= int(module.ILogger.WARNING):
                log.debug("%s: %s", module.__name__, message.strip())

        def told(self) -> str:
            return "; ".join(self.lines) or "it does not say why"

    return Log()


__all__ = ["INSTALL", "Provider", "ProviderName", "find_provider", "make_log"]
