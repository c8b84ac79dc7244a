"""Arrays of PyTorch, for reconstruction on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microscoped.models.hologram.errors import ArraysMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class TorchArrays:
    """Tensors on one device; see `microscoped.models.hologram.arrays.ArrayBackend`.

    Parameters
    ----------
    device
        As torch names it.

    Raises
    ------
    ArraysMissingError
        torch is not installed, or does not find the device.
    """

    def __init__(self, device: str) -> None:
        try:
            import torch
        except ImportError as error:
            raise ArraysMissingError(
                "torch is not installed: pip install torch, or reconstruct with the default arrays"
            ) from error
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ArraysMissingError(
                f"device {device!r}: torch {torch.__version__} finds no NVIDIA GPU; check it with nvidia-smi, "
                "or reconstruct with the default arrays"
            )
        self._torch: Any = torch
        self._device = torch.device(device)

    @property
    def name(self) -> str:
        """Name of library and device."""
        return f"torch {self._device}"

    def asarray(self, values: NDArray[Any]) -> Any:  # noqa: ANN401 - a tensor
        """Return the array on the device, dtype kept."""
        return self._torch.tensor(values, device=self._device)

    def to_numpy(self, array: Any) -> NDArray[Any]:  # noqa: ANN401
        """Return the array in the processor's memory."""
        values: NDArray[Any] = array.resolve_conj().cpu().numpy()
        return values

    def rfft(self, array: Any, axis: int) -> Any:  # noqa: ANN401
        """Return the transform of real values along one axis."""
        return self._torch.fft.rfft(array, dim=axis)

    def fft(self, array: Any, axis: int) -> Any:  # noqa: ANN401
        """Return the transform along one axis."""
        return self._torch.fft.fft(array, dim=axis)

    def ifft(self, array: Any, axis: int) -> Any:  # noqa: ANN401
        """Return the inverse transform along one axis."""
        return self._torch.fft.ifft(array, dim=axis)

    def cis(self, angle: Any) -> Any:  # noqa: ANN401
        """Return exp(i·angle), complex64, of a float32 array."""
        return self._torch.polar(self._torch.ones_like(angle), angle)

    def conj(self, array: Any) -> Any:  # noqa: ANN401
        """Return the complex conjugate."""
        return self._torch.conj(array)

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:  # noqa: ANN401
        """Return arrays joined along an axis."""
        return self._torch.cat(list(arrays), dim=axis)


__all__ = ["TorchArrays"]
