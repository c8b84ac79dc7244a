"""A small network, its answers in numpy, and stand-ins for the NVIDIA driver and TensorRT, which need a GPU."""

from __future__ import annotations

import ctypes
import enum
import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.runtimes import Artefact, load_artefact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"
FILES = ("toy.onnx", "toy.json")


@pytest.fixture(scope="session")
def make_toy() -> ModuleType:
    """The script that made the fixture."""
    spec = importlib.util.spec_from_file_location("make_toy", DATA / "make_toy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> Artefact:
    return load_artefact(DATA / FILES[0])


@pytest.fixture
def toy_copy(tmp_path: Path) -> Path:
    """Its ONNX file, in a folder where it may be harmed."""
    for name in FILES:
        shutil.copy(DATA / name, tmp_path / name)
    return tmp_path / FILES[0]


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without an NVIDIA driver, also where there is one."""
    monkeypatch.setattr("microscoped.models.runtimes._cuda.LIBRARIES", ("no-such-driver.so",))


class DriverLibrary:
    """The functions of the CUDA driver that we call, on the computer's own memory."""

    def __init__(
        self, gpus: tuple[tuple[str, tuple[int, int]], ...] = (("Toy GPU", (8, 9)),), failing: Mapping[str, int] = {}
    ) -> None:
        self.gpus = gpus
        self.failing = dict(failing)
        self.memory: dict[int, Any] = {}
        self.calls: list[str] = []
        self.contexts = 0
        self.streams = 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("cu"):
            return found
        self.calls.append(name)
        status = self.failing.get(name, 0)
        return (lambda *_: status) if status else lambda *arguments: found(*arguments) or 0

    def cuInit(self, flags: Any) -> None:
        assert flags.value == 0

    def cuGetErrorString(self, status: Any, out: Any) -> None:
        out._obj.value = {100: b"no CUDA-capable device is detected", 2: b"out of memory"}.get(status.value)

    def cuDriverGetVersion(self, out: Any) -> None:
        out._obj.value = 13010

    def cuDeviceGetCount(self, out: Any) -> None:
        out._obj.value = len(self.gpus)

    def cuDeviceGet(self, out: Any, ordinal: Any) -> None:
        out._obj.value = ordinal.value

    def cuDeviceGetName(self, out: Any, size: Any, device: Any) -> None:
        assert size.value == len(out)
        out.value = self.gpus[device.value][0].encode()

    def cuDeviceGetAttribute(self, out: Any, attribute: Any, device: Any) -> None:
        out._obj.value = self.gpus[device.value][1][{75: 0, 76: 1}[attribute.value]]

    def cuDevicePrimaryCtxRetain(self, out: Any, device: Any) -> None:
        out._obj.value = 4711 + device.value
        self.contexts += 1

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> None:
        assert device.value == 0
        self.contexts -= 1

    def cuCtxSetCurrent(self, context: Any) -> None:
        assert context.value == 4711

    def cuStreamCreate(self, out: Any, flags: Any) -> None:
        assert flags.value == 1
        out._obj.value = 815
        self.streams += 1

    def cuStreamDestroy_v2(self, stream: Any) -> None:
        assert stream.value == 815
        self.streams -= 1

    def cuStreamSynchronize(self, stream: Any) -> None:
        assert stream.value == 815

    def cuMemAlloc_v2(self, out: Any, size: Any) -> None:
        block = ctypes.create_string_buffer(size.value)
        out._obj.value = ctypes.addressof(block)
        self.memory[out._obj.value] = block

    def cuMemFree_v2(self, address: Any) -> None:
        del self.memory[address.value]

    def cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        assert size.value <= len(self.memory[target.value])
        ctypes.memmove(target.value, source.value, size.value)

    def cuMemcpyDtoHAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        assert size.value <= len(self.memory[source.value])
        ctypes.memmove(target.value, source.value, size.value)


@pytest.fixture
def driver_library() -> Callable[..., DriverLibrary]:
    return DriverLibrary


class ToyTensorRt(SimpleNamespace):
    """TensorRT's running half for the one network, as its documentation has it: it computes with `answers`.

    With TensorRT-RTX's additions: the check of a plan, and the cache of compiled kernels.
    """

    EngineValidity = enum.IntEnum("EngineValidity", {"VALID": 0, "SUBOPTIMAL": 1, "INVALID": 2})
    EngineInvalidityDiagnostics = enum.IntEnum(
        "EngineInvalidityDiagnostics",
        {
            "VERSION_MISMATCH": 1,
            "UNSUPPORTED_CC": 2,
            "OLD_CUDA_DRIVER": 4,
            "INSUFFICIENT_GPU_MEMORY": 16,
            "MALFORMED_ENGINE": 32,
        },
    )
    ComputeCapability = enum.IntEnum("ComputeCapability", {"NONE": 0, "SM75": 75, "SM80": 80, "SM89": 89, "SM120": 120})

    __name__ = "toy_tensorrt"
    __version__ = "10.9.0"

    def __init__(self, answers: Callable[[NDArray[Any]], dict[str, NDArray[Any]]]) -> None:
        super().__init__()
        self.answers = answers
        self.error = 0.0
        self.refuse_plan = False
        self.refuse_run = False
        self.invalid = 0
        self.kernels: list[bytes] = []
        self.takes_kernels = True
        self.ILogger = type("ILogger", (), {"ERROR": 1, "WARNING": 2, "__init__": lambda _: None})
        self.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
        self.tensors: dict[str, tuple[str, tuple[int, ...]]] = {
            "frames": ("in", (-1, 2, 16, 16)),
            "defocus": ("out", (-1, 1)),
            "class": ("out", (-1, 3)),
        }

    def nptype(self, dtype: type) -> type:
        return dtype

    def Runtime(self, log: Any) -> SimpleNamespace:
        def load(plan: bytes) -> Any:
            if self.refuse_plan:
                log.log(1, "the version does not match")
            return None if self.refuse_plan else self.engine(log)

        validity = self.EngineValidity.INVALID if self.invalid else self.EngineValidity.VALID
        return SimpleNamespace(
            deserialize_cuda_engine=load, get_engine_validity=lambda _: (validity, max(self.invalid, 0))
        )

    def take_kernels(self, stored: bytes) -> bool:
        self.kernels.append(stored)
        return self.takes_kernels

    def engine(self, log: Any) -> SimpleNamespace:
        names = list(self.tensors)
        return SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=lambda index: names[index],
            get_tensor_shape=lambda name: self.tensors[name][1],
            get_tensor_mode=lambda name: self.tensors[name][0],
            get_tensor_dtype=lambda _: np.float32,
            create_execution_context=lambda config=None: ToyExecution(self, log),
            create_runtime_config=lambda: SimpleNamespace(
                create_runtime_cache=lambda: SimpleNamespace(
                    serialize=lambda: b"kernels", deserialize=self.take_kernels
                ),
                set_runtime_cache=lambda _: True,
            ),
        )


class ToyExecution:
    """Runs it, on addresses."""

    def __init__(self, trt: ToyTensorRt, log: Any) -> None:
        self.trt = trt
        self.log = log
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in self.trt.tensors

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = tuple(shape)
        return name == "frames"

    def execute_async_v3(self, stream: int) -> bool:
        if self.trt.refuse_run:
            self.log.log(1, "an illegal memory access was encountered")
            return False
        assert stream == 815
        frames = np.frombuffer(ctypes.string_at(self.addresses["frames"], int(np.prod(self.shape)) * 4), np.float32)
        for name, values in self.trt.answers(frames.reshape(self.shape)).items():
            content = (values + self.trt.error).astype(np.float32).tobytes()
            ctypes.memmove(self.addresses[name], content, len(content))
        return True


@pytest.fixture
def toy_tensorrt(make_toy: ModuleType) -> ToyTensorRt:
    return ToyTensorRt(make_toy.answers)
