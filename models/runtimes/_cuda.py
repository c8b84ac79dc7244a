"""The NVIDIA driver, as far as TensorRT needs it: is it there, which GPUs, memory and a stream.

TensorRT computes on addresses in the GPU's memory. Those could come from torch, cuda-python or the CUDA runtime, each
of which would have to be installed and match the driver. The driver's own library is there wherever a GPU works, so it
is called through ctypes: a dozen functions, and nothing to install.

Asking the driver also comes before every use of TensorRT, because old releases of it crash the process where there is
no driver, and newer ones answer with None.

Source: CUDA Driver API, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from microscoped.models.runtimes.errors import DriverAbsentError, ExecutionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIBRARIES = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1",)
"""The driver's library, which is installed with the driver and nothing else."""
REMEDY = "install the NVIDIA driver and check it with nvidia-smi, or use the backend onnxruntime"

# CUdevice_attribute
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
STREAM_NON_BLOCKING = 1
OUT_OF_MEMORY = 2


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Parameters
    ----------
    ordinal
        Its number in the driver's order.
    name
        As the driver calls it.
    compute_capability
        Major and minor.
    """

    ordinal: int
    name: str
    compute_capability: tuple[int, int]

    @property
    def target(self) -> int:
        """The compute capability as TensorRT writes it: 89 for 8.9."""
        major, minor = self.compute_capability
        return major * 10 + minor

    def __str__(self) -> str:
        return f"{self.name} (compute capability {'.'.join(map(str, self.compute_capability))})"


class CudaDriver:
    """The driver, started.

    Parameters
    ----------
    library
        The loaded library.

    Raises
    ------
    DriverAbsentError
        It does not start, or finds no GPU.
    """

    def __init__(self, library: Any) -> None:  # noqa: ANN401 - a ctypes library has whatever functions it has
        self._library = library
        status = library.cuInit(ctypes.c_uint(0))
        if status:
            raise DriverAbsentError(f"the NVIDIA driver does not start: {self._told(status)}; {REMEDY}")
        version, count = ctypes.c_int(), ctypes.c_int()
        self._first("cuDriverGetVersion", ctypes.byref(version))
        self._first("cuDeviceGetCount", ctypes.byref(count))
        if not count.value:
            raise DriverAbsentError(f"the NVIDIA driver finds no GPU; {REMEDY}")
        self.version = (version.value // 1000, version.value % 1000 // 10)
        """The newest CUDA that it supports."""
        self.gpus = tuple(self._gpu(ordinal) for ordinal in range(count.value))

    def call(self, name: str, *arguments: Any) -> None:  # noqa: ANN401 - ctypes values
        """Call one of the driver's functions.

        Raises
        ------
        ExecutionError
            It failed; the message names the function and what the driver says.
        """
        if status := getattr(self._library, name)(*arguments):
            remedy = "close other programs on the GPU" if status == OUT_OF_MEMORY else "check the GPU with nvidia-smi"
            raise ExecutionError(f"{name}: {self._told(status)}; {remedy}, or use the backend onnxruntime")

    def _first(self, name: str, *arguments: Any) -> None:  # noqa: ANN401 - ctypes values
        """Call a function while it is not yet known whether the driver works."""
        try:
            self.call(name, *arguments)
        except ExecutionError as error:
            raise DriverAbsentError(f"the NVIDIA driver does not answer: {error}") from error

    def _gpu(self, ordinal: int) -> Gpu:
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        self._first("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
        self._first("cuDeviceGetName", name, ctypes.c_int(len(name)), device)
        found = []
        for attribute in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR):
            value = ctypes.c_int()
            self._first("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(attribute), device)
            found.append(value.value)
        return Gpu(ordinal, name.value.decode(errors="replace"), (found[0], found[1]))

    def _told(self, status: int) -> str:
        text = ctypes.c_char_p()
        self._library.cuGetErrorString(ctypes.c_int(status), ctypes.byref(text))
        return f"error {status}" + (f", {text.value.decode(errors='replace')}" if text.value else "")


def find_driver() -> CudaDriver:
    """Load and start the NVIDIA driver.

    Raises
    ------
    DriverAbsentError
        There is none, it does not start, or it finds no GPU; the message says which.
    """
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)  # on 64-bit Windows all functions are called the same way
        except OSError:
            continue
        return CudaDriver(library)
    raise DriverAbsentError(
        f"there is no NVIDIA driver on this computer ({' or '.join(LIBRARIES)} not found); {REMEDY}"
    )


class CudaContext:
    """One GPU's primary context (the one that TensorRT uses, too), with a stream of its own and blocks of memory.

    Parameters
    ----------
    driver
        The driver.
    gpu
        Which of its GPUs.
    """

    def __init__(self, driver: CudaDriver, gpu: Gpu) -> None:
        self.gpu = gpu
        self._driver = driver
        self._blocks: list[ctypes.c_uint64] = []
        self._device, self._context, self._stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        driver.call("cuDeviceGet", ctypes.byref(self._device), ctypes.c_int(gpu.ordinal))
        driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        try:
            self.enter()
            driver.call("cuStreamCreate", ctypes.byref(self._stream), ctypes.c_uint(STREAM_NON_BLOCKING))
        except BaseException:
            self.close()
            raise

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        return self._stream.value or 0

    def enter(self) -> None:
        """Make the context the calling thread's; needed once in every thread before anything else."""
        self._driver.call("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> int:
        """Return the address of a new block of so many bytes."""
        block = ctypes.c_uint64()
        self._driver.call("cuMemAlloc_v2", ctypes.byref(block), ctypes.c_size_t(size))
        self._blocks.append(block)
        return block.value

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to the GPU, in the stream's order."""
        source = ctypes.c_void_p(array.ctypes.data)
        self._copy("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, array.nbytes)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Copy to a contiguous array; it is filled once `wait` has returned."""
        target = ctypes.c_void_p(array.ctypes.data)
        self._copy("cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(address), array.nbytes)

    def wait(self) -> None:
        """Wait until all work of the stream is done."""
        self._driver.call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Give everything back."""
        if self._context.value is None:
            return
        self.enter()
        for block in self._blocks:
            self._driver.call("cuMemFree_v2", block)
        self._blocks.clear()
        if self._stream.value is not None:
            self._driver.call("cuStreamDestroy_v2", self._stream)
        self._driver.call("cuDevicePrimaryCtxRelease_v2", self._device)
        self._context = ctypes.c_void_p()

    def _copy(self, name: str, target: Any, source: Any, size: int) -> None:  # noqa: ANN401 - ctypes values
        self._driver.call(name, target, source, ctypes.c_size_t(size), self._stream)


__all__ = ["CudaContext", "CudaDriver", "Gpu", "find_driver"]
