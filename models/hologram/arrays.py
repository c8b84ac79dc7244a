"""The few array operations that reconstruction needs, so that one code path serves the processor and a GPU.

`ScipyArrays` is the default. `torch_arrays` opens PyTorch, and only then is it imported. Beyond the methods here,
arrays need what NumPy and PyTorch share: arithmetic, ``@``, slices, ``reshape``, ``real`` and ``abs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class ArrayBackend(Protocol):
    """Arrays of one library on one device. Hashable; its identity stands for library and device in caches."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str:
        """Name of library and device."""
        ...

    def asarray(self, values: NDArray[Any]) -> Any:  # noqa: ANN401 - an array of whatever library
        """Return the array on the device, dtype kept."""
        ...

    def to_numpy(self, array: Any) -> NDArray[Any]:  # noqa: ANN401
        """Return the array in the processor's memory."""
        ...

    def rfft(self, array: Any, axis: int) -> Any:  # noqa: ANN401
        """Return the transform of real values along one axis."""
        ...

    def fft(self, array: Any, axis: int) -> Any:  # noqa: ANN401
        """Return the transform along one axis."""
        ...

    def ifft(self, array: Any, axis: int) -> Any:  # noqa: ANN401
        """Return the inverse transform along one axis; the array's values may be lost."""
        ...

    def cis(self, angle: Any) -> Any:  # noqa: ANN401
        """Return exp(i·angle), complex64, of a float32 array."""
        ...

    def conj(self, array: Any) -> Any:  # noqa: ANN401
        """Return the complex conjugate."""
        ...

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:  # noqa: ANN401
        """Return arrays joined along an axis."""
        ...


class ScipyArrays:
    """NumPy arrays, transformed by scipy.fft.

    Parameters
    ----------
    workers
        Threads of a transform. One is right where an engine shares the daemon's process: its thread has one core.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers

    @property
    def name(self) -> str:
        """Name of library and device."""
        return "scipy"

    def asarray(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the array itself."""
        return values

    def to_numpy(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array itself."""
        return array

    def rfft(self, array: NDArray[Any], axis: int) -> NDArray[Any]:
        """Return the transform of real values along one axis."""
        return np.asarray(scipy.fft.rfft(array, axis=axis, workers=self._workers))

    def fft(self, array: NDArray[Any], axis: int) -> NDArray[Any]:
        """Return the transform along one axis."""
        return np.asarray(scipy.fft.fft(array, axis=axis, workers=self._workers))

    def ifft(self, array: NDArray[Any], axis: int) -> NDArray[Any]:
        """Return the inverse transform along one axis; the array's values may be lost."""
        return np.asarray(scipy.fft.ifft(array, axis=axis, overwrite_x=True, workers=self._workers))

    def cis(self, angle: NDArray[Any]) -> NDArray[Any]:
        """Return exp(i·angle), complex64, of a float32 array."""
        result = np.empty(angle.shape, np.complex64)
        np.cos(angle, out=result.real)
        np.sin(angle, out=result.imag)
        return result

    def conj(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the complex conjugate."""
        return np.asarray(np.conj(array))

    def concatenate(self, arrays: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
        """Return arrays joined along an axis."""
        return np.concatenate(arrays, axis=axis)


SCIPY = ScipyArrays()
"""The default arrays."""


def torch_arrays(device: str = "cuda") -> ArrayBackend:
    """Return PyTorch's arrays.

    Parameters
    ----------
    device
        As torch names it: ``cuda``, ``cuda:1``, ``cpu``.

    Raises
    ------
    ArraysMissingError
        torch is not installed, or does not find the device.
    """
    from microscoped.models.hologram._torch_arrays import TorchArrays

    return TorchArrays(device)


__all__ = ["SCIPY", "ArrayBackend", "ScipyArrays", "torch_arrays"]
