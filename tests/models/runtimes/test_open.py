"""Which backend is chosen, what is said of it, and when another takes over."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.models.runtimes import Artefact, open_model
from microscoped.models.runtimes._cuda import CudaDriver
from microscoped.models.runtimes._onnxruntime import OnnxRuntimeModel
from microscoped.models.runtimes._provider import Provider
from microscoped.models.runtimes.errors import (
    BackendError,
    BackendMissingError,
    BackendVersionError,
    DisagreementError,
    DriverAbsentError,
    ExecutionError,
    UnsupportedGpuError,
    WrongPlanError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.models.runtimes.conftest import DriverLibrary, ToyTensorRt

OPEN = "microscoped.models.runtimes._open"


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_auto_takes_the_reference_and_says_why(
    toy: Artefact, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "microscoped.models"), open_model(toy) as model:
        assert (model.backend, model.choice.asked) == ("onnxruntime", "auto")
        assert "there is no NVIDIA driver" in model.choice.reason
        assert model.choice.reason in caplog.text
    assert [record.levelname for record in caplog.records] == ["INFO"]


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize("backend", ["tensorrt_rtx", "tensorrt"])
def test_a_backend_that_was_named_is_an_error_or_falls_back_as_told(
    toy: Artefact, caplog: pytest.LogCaptureFixture, backend: str
) -> None:
    with pytest.raises(DriverAbsentError, match=r"no-such-driver\.so not found"):
        open_model(toy, backend)
    with open_model(toy, backend, fallback=True) as model:
        assert model.choice.backend == "onnxruntime"
        assert model.choice.reason.startswith(f"{backend} cannot be used: there is no NVIDIA driver")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_reference_is_never_replaced(toy: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(BackendMissingError, match="pip install onnxruntime"):
        open_model(toy, "onnxruntime", fallback=True)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, driver_library: Callable[..., DriverLibrary]) -> Callable[..., DriverLibrary]:
    """A computer whose driver finds one GPU of a compute capability."""

    def make(*capability: int) -> DriverLibrary:
        library = driver_library((("Toy GPU", capability),))
        monkeypatch.setattr(f"{OPEN}.find_driver", lambda: CudaDriver(library))
        return library

    return make


def test_auto_never_looks_for_the_provider_that_is_not_verified(
    toy: Artefact, gpu: Callable[..., DriverLibrary], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(9, 0)
    asked = []

    def missing(name: str) -> Provider:
        asked.append(name)
        raise BackendMissingError(f"{name} cannot be imported")

    monkeypatch.setattr(f"{OPEN}.find_provider_safely", missing)
    with open_model(toy) as model:
        assert (model.choice.backend, model.choice.asked) == ("onnxruntime", "auto")
        assert model.choice.reason.startswith(
            "tensorrt_rtx cannot be used: tensorrt_rtx cannot be imported; torch_cuda"
        )
    assert asked == ["tensorrt_rtx"]


def test_a_package_that_is_missing_names_its_extra(
    toy: Artefact, gpu: Callable[..., DriverLibrary], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(8, 9)
    modules = {"tensorrt_rtx": ("no_such_module", "nor_this")}
    monkeypatch.setattr("microscoped.models.runtimes._provider.MODULES", modules)
    with pytest.raises(BackendMissingError, match=r"no_such_module.*nor_this.*microscoped\[tensorrt\]"):
        open_model(toy, "tensorrt_rtx")


def test_a_package_that_is_too_old_is_refused(toy: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType

    from microscoped.models.runtimes._provider import find_provider

    old = ModuleType("tensorrt")
    old.__version__ = "8.6.1"  # type: ignore[attr-defined] # as the package sets it
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", old)
    with pytest.raises(BackendVersionError, match=r"tensorrt 8\.6\.1 is too old, it must be 10\.0 or later"):
        find_provider("tensorrt")


class _Off(OnnxRuntimeModel):
    """A backend whose first output is wrong by a little."""

    error = 0.0
    closed = 0

    def _run(self, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        found = super()._run(inputs, batch)
        found["defocus"] = found["defocus"] + self.error
        return found

    def _close(self) -> None:
        type(self).closed += 1
        super()._close()


@pytest.mark.parametrize("error", [2e-3, -2e-3, float("nan"), float("inf")])
def test_a_backend_that_answers_otherwise_is_refused_and_closed(
    toy: Artefact, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: float
) -> None:
    wrong = type("Wrong", (_Off,), {"error": error, "backend": "openvino", "closed": 0})
    monkeypatch.setattr(f"{OPEN}.OpenVinoModel", wrong)
    with pytest.raises(DisagreementError, match=r"differs from onnxruntime on toy: defocus by .* 0\.001 is allowed"):
        open_model(toy, "openvino")
    with open_model(toy, "openvino", fallback=True) as model:
        assert model.backend == "onnxruntime"
    assert wrong.closed == 2
    assert caplog.records[-1].levelname == "WARNING"


def test_a_backend_that_answers_nearly_the_same_is_used(toy: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    near = type("Near", (_Off,), {"error": 5e-4, "backend": "openvino"})
    monkeypatch.setattr(f"{OPEN}.OpenVinoModel", near)
    with open_model(toy, "openvino") as model:
        assert model.choice.backend == "openvino"
        assert "agrees with onnxruntime (defocus within 0.0005 where 0.001 is allowed)" in model.choice.reason


@pytest.fixture
def stand_ins(
    gpu: Callable[..., DriverLibrary], toy_tensorrt: ToyTensorRt, monkeypatch: pytest.MonkeyPatch
) -> DriverLibrary:
    """Both stand-ins, as either provider; what they cannot show is that the real ones behave like them."""
    monkeypatch.setattr(f"{OPEN}.find_provider_safely", lambda name: Provider(name, toy_tensorrt, "10.9.0"))
    monkeypatch.setattr("microscoped.models.runtimes._compile.build_plan", lambda *_, **__: b"plan")
    return gpu(8, 9)


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_rtx"])
def test_tensorrt_runs_on_buffers_and_returns_them(
    toy: Artefact, stand_ins: DriverLibrary, tmp_path: Path, backend: str
) -> None:
    with open_model(toy, backend, cache_folder=tmp_path) as model:
        assert (model.backend, model.device) == (backend, "Toy GPU (compute capability 8.9)")
        assert "it agrees with onnxruntime" in model.choice.reason
        assert len(stand_ins.memory) == 3
        assert (stand_ins.contexts, stand_ins.streams) == (1, 1)
    assert (stand_ins.memory, stand_ins.contexts, stand_ins.streams) == ({}, 0, 0)
    assert len(list(tmp_path.glob("*.plan"))) == 1


@pytest.mark.usefixtures("stand_ins")
def test_auto_prefers_tensorrt_rtx_where_it_can_be_used(toy: Artefact) -> None:
    with open_model(toy) as model:
        assert model.choice.backend == "tensorrt_rtx"
        assert model.choice.reason.startswith("auto prefers it; it agrees with onnxruntime")


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("taken", [True, False])
def test_compiled_kernels_are_kept(
    toy: Artefact, toy_tensorrt: ToyTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture, taken: bool
) -> None:
    toy_tensorrt.takes_kernels = taken
    with caplog.at_level(logging.INFO, "microscoped.models"):
        for known in ([], [b"kernels"]):
            open_model(toy, "tensorrt_rtx", cache_folder=tmp_path).close()
            assert toy_tensorrt.kernels == known
    assert ("are compiled anew" in caplog.text) == (not taken)
    assert [path.name.split(".", 1)[1] for path in tmp_path.glob("*.kernels")] == ["sm89.kernels"]


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ({"refuse_plan": True}, WrongPlanError, "the version does not match"),
        ({"refuse_run": True}, ExecutionError, "an illegal memory access"),
        ({"error": 0.01}, DisagreementError, "by 0.01 where 0.001 is allowed"),
    ],
)
def test_tensorrt_that_fails_gives_all_back_and_says_why(
    toy: Artefact,
    stand_ins: DriverLibrary,
    toy_tensorrt: ToyTensorRt,
    backend: str,
    fault: dict[str, Any],
    error: type[BackendError],
    said: str,
) -> None:
    toy_tensorrt.__dict__.update(fault)
    with pytest.raises(error, match=said):
        open_model(toy, backend)
    assert (stand_ins.memory, stand_ins.contexts, stand_ins.streams) == ({}, 0, 0)


@pytest.mark.parametrize(
    ("bits", "error", "said"),
    [
        (1, WrongPlanError, "VERSION_MISMATCH. Delete the plan cache"),
        (1 | 32, WrongPlanError, "VERSION_MISMATCH, MALFORMED_ENGINE"),
        (2, UnsupportedGpuError, "UNSUPPORTED_CC. Use the backend onnxruntime"),
        (4, DriverAbsentError, "OLD_CUDA_DRIVER. Install a newer NVIDIA driver"),
        (16, ExecutionError, "INSUFFICIENT_GPU_MEMORY. Close other programs"),
        (-1, WrongPlanError, "no cause given"),
    ],
)
def test_a_plan_that_tensorrt_rtx_calls_invalid_is_refused_with_its_cause(
    toy: Artefact,
    stand_ins: DriverLibrary,
    toy_tensorrt: ToyTensorRt,
    bits: int,
    error: type[BackendError],
    said: str,
) -> None:
    toy_tensorrt.invalid = bits
    with pytest.raises(error, match=re.escape(said)):
        open_model(toy, "tensorrt_rtx")
    assert (stand_ins.memory, stand_ins.contexts) == ({}, 0)


def test_a_full_gpu_is_said(toy: Artefact, stand_ins: DriverLibrary) -> None:
    stand_ins.failing["cuMemAlloc_v2"] = 2
    with pytest.raises(ExecutionError, match="cuMemAlloc_v2: error 2, out of memory; close other programs"):
        open_model(toy, "tensorrt")
    assert (stand_ins.contexts, stand_ins.streams) == (0, 0)


@pytest.mark.parametrize("capability", [(9, 0), (8, 7), (10, 0), (7, 0)])
def test_a_gpu_that_tensorrt_rtx_does_not_know_is_refused_and_auto_falls_back(
    toy: Artefact, gpu: Callable[..., DriverLibrary], capability: tuple[int, int]
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="the extra [tensorrt] is not installed")
    gpu(*capability)
    with pytest.raises(UnsupportedGpuError, match=rf"capability {capability[0]}\.{capability[1]}.*it knows 7\.5, 8\.0"):
        open_model(toy, "tensorrt_rtx")
    with open_model(toy) as model:
        assert "TensorRT-RTX" in model.choice.reason
