"""The NVIDIA driver: what is said where it is absent or fails, and what is read where it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.runtimes._cuda import CudaContext, CudaDriver, Gpu, find_driver
from microscoped.models.runtimes.errors import DriverAbsentError, ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.models.runtimes.conftest import DriverLibrary


@pytest.mark.usefixtures("no_driver")
def test_no_driver_is_said_with_a_remedy() -> None:
    with pytest.raises(DriverAbsentError, match=r"no-such-driver\.so not found\); install the NVIDIA driver"):
        find_driver()


@pytest.mark.parametrize(
    ("gpus", "failing", "said"),
    [
        ((), {}, "finds no GPU"),
        ((("Toy", (8, 9)),), {"cuInit": 100}, "does not start: error 100, no CUDA-capable device is detected"),
        ((("Toy", (8, 9)),), {"cuInit": 999}, "does not start: error 999; install"),
        ((("Toy", (8, 9)),), {"cuDeviceGetAttribute": 3}, "does not answer: cuDeviceGetAttribute: error 3"),
    ],
)
def test_a_driver_that_does_not_work_is_as_good_as_none(
    driver_library: Callable[..., DriverLibrary],
    gpus: tuple[tuple[str, tuple[int, int]], ...],
    failing: dict[str, int],
    said: str,
) -> None:
    with pytest.raises(DriverAbsentError, match=said):
        CudaDriver(driver_library(gpus, failing))


def test_gpus_are_read(driver_library: Callable[..., DriverLibrary]) -> None:
    driver = CudaDriver(driver_library((("One", (8, 9)), ("Two", (12, 0)))))
    assert driver.version == (13, 1)
    assert driver.gpus == (Gpu(0, "One", (8, 9)), Gpu(1, "Two", (12, 0)))
    assert [gpu.target for gpu in driver.gpus] == [89, 120]
    assert str(driver.gpus[1]) == "Two (compute capability 12.0)"


def test_memory_holds_what_was_put_there(driver_library: Callable[..., DriverLibrary]) -> None:
    library = driver_library()
    driver = CudaDriver(library)
    context = CudaContext(driver, driver.gpus[0])
    sent = np.arange(12, dtype=np.float32).reshape(3, 4)
    back = np.zeros_like(sent)
    address = context.allocate(sent.nbytes)
    context.upload(address, sent)
    context.download(back, address)
    context.wait()
    np.testing.assert_array_equal(back, sent)
    context.close()
    context.close()
    assert (library.memory, library.contexts, library.streams) == ({}, 0, 0)


def test_a_context_that_gets_no_stream_is_given_back(driver_library: Callable[..., DriverLibrary]) -> None:
    library = driver_library(failing={"cuStreamCreate": 2})
    driver = CudaDriver(library)
    with pytest.raises(ExecutionError, match="out of memory"):
        CudaContext(driver, driver.gpus[0])
    assert library.contexts == 0
    assert "cuStreamDestroy_v2" not in library.calls
