"""What a compiled network *is*, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from microscoped.models.runtimes.errors import ArtefactAlteredError, ClosedError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact, Tensor


@dataclass(frozen=True)
class Choice:
    """Which backend was chosen, and why.

    Parameters
    ----------
    backend
        The one that runs.
    asked
        The one that was asked for; ``auto`` leaves it open.
    reason
        Why it is this one, in one sentence.
    """

    backend: str
    asked: str
    reason: str


class CompiledModel(Protocol):
    """A network that is ready to run. Used by one thread at a time; opened, run and closed by any."""

    @property
    def name(self) -> str:
        """Name of the network."""
        ...

    @property
    def backend(self) -> str:
        """What runs it: the name of a backend, or ``openvino`` with a lower precision."""
        ...

    @property
    def device(self) -> str:
        """Where it runs, in words."""
        ...

    @property
    def choice(self) -> Choice:
        """Why it is this backend."""
        ...

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes."""
        ...

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives."""
        ...

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one batch.

        Parameters
        ----------
        inputs
            By name; shapes and dtypes as `inputs` says, the same batch size in all. Not changed.

        Returns
        -------
        outputs
            By name; new arrays that belong to the caller.

        Raises
        ------
        InputError
            A name, shape, dtype or batch size does not suit.
        ExecutionError
            The backend failed.
        ClosedError
            It was closed.
        """
        ...

    def close(self) -> None:
        """Give back memory and devices; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class BaseModel(ABC):
    """What all backends share: inputs are checked against the sidecar before the backend sees them."""

    backend: str

    def __init__(self, artefact: Artefact, device: str) -> None:
        self.artefact = artefact
        self.device = device
        self.choice = Choice(self.backend, self.backend, "it was opened directly")
        self._closed = False

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.artefact.name

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes."""
        return self.artefact.sidecar.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives."""
        return self.artefact.sidecar.outputs

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one batch; see `CompiledModel.run`."""
        if self._closed:
            raise ClosedError(f"{self.name} on {self.backend} was closed; open it again")
        batch = check_inputs(self.artefact, inputs)
        ordered = {tensor.name: np.ascontiguousarray(inputs[tensor.name]) for tensor in self.inputs}
        return self._run(ordered, batch)

    def close(self) -> None:
        """Give back memory and devices; may be called again."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    @abstractmethod
    def _run(self, inputs: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        """Run a batch whose arrays are as the sidecar says, contiguous and in its order."""

    @abstractmethod
    def _close(self) -> None:
        """Give everything back."""


def check_inputs(artefact: Artefact, inputs: Mapping[str, NDArray[Any]]) -> int:
    """Return the batch size, or raise `InputError` saying what does not suit."""
    tensors, profile = artefact.sidecar.inputs, artefact.sidecar.batch
    names = [tensor.name for tensor in tensors]
    if set(inputs) != set(names):
        raise InputError(f"{artefact.name} takes the inputs {', '.join(names)}; given: {', '.join(inputs) or 'none'}")
    batch = 0
    for tensor in tensors:
        array = inputs[tensor.name]
        if array.dtype != tensor.numpy_dtype:
            raise InputError(f"input {tensor.name} of {artefact.name} must be {tensor.dtype}, not {array.dtype}")
        if array.shape[1:] != tensor.at(0)[1:] or array.ndim != len(tensor.shape):
            wanted = ", ".join(["n", *map(str, tensor.at(0)[1:])])
            raise InputError(
                f"input {tensor.name} of {artefact.name} must have the shape ({wanted}), not {array.shape}"
            )
        if not profile.min <= array.shape[0] <= profile.max:
            raise InputError(
                f"input {tensor.name} of {artefact.name} has a batch of {array.shape[0]}; it takes {profile.min} to"
                f" {profile.max}: split it"
            )
        batch = batch or array.shape[0]
        if array.shape[0] != batch:
            raise InputError(
                f"input {tensor.name} of {artefact.name} has a batch of {array.shape[0]}, {names[0]} one of {batch}"
            )
    return batch


def check_agrees(
    artefact: Artefact, found: Iterable[tuple[str, tuple[int | None, ...], np.dtype[Any]]], *, outputs: bool
) -> None:
    """Check what a backend found in an ONNX file against the sidecar.

    Parameters
    ----------
    artefact
        The network.
    found
        Name, shape (None: free) and dtype of each of the file's tensors.
    outputs
        Whether these are outputs; else inputs.

    Raises
    ------
    ArtefactAlteredError
        They differ.
    """
    tensors = artefact.sidecar.outputs if outputs else artefact.sidecar.inputs
    said = {tensor.name: (tensor.shape, tensor.numpy_dtype) for tensor in tensors}
    real = {name: (shape, dtype) for name, shape, dtype in found}
    kind = "outputs" if outputs else "inputs"
    if said != real:
        raise ArtefactAlteredError(
            f"{artefact.path}: the sidecar says the {kind} are {_told(said)}; the ONNX file has {_told(real)}."
            " Export the model again"
        )


def _told(tensors: Mapping[str, tuple[tuple[int | None, ...], np.dtype[Any]]]) -> str:
    shown = (
        f"{name} ({', '.join('n' if size is None else str(size) for size in shape)}) {dtype}"
        for name, (shape, dtype) in tensors.items()
    )
    return "; ".join(shown) or "none"


__all__ = ["BaseModel", "Choice", "CompiledModel", "check_agrees", "check_inputs"]
