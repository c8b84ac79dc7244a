"""Whether two backends give the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.runtimes.errors import DisagreementError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact
    from microscoped.models.runtimes._model import CompiledModel


@dataclass(frozen=True)
class Difference:
    """How far two backends are apart in one output.

    Parameters
    ----------
    output
        Its name.
    largest
        Largest absolute difference, in the output's unit; infinite where one has NaN or infinity and the other not.
    tolerance
        What the sidecar allows.
    """

    output: str
    largest: float
    tolerance: float

    @property
    def within(self) -> bool:
        """Whether it is allowed."""
        return self.largest <= self.tolerance


def random_inputs(artefact: Artefact, batch: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return inputs that are the same for the same seed.

    Floating-point inputs are normally distributed with mean 0 and standard deviation 1; integers fill 0 to 100;
    booleans are either. Which frames they might be made from does not matter for a comparison of arithmetic.
    """
    random = np.random.default_rng(seed)
    made: dict[str, NDArray[Any]] = {}
    for tensor in artefact.sidecar.inputs:
        shape, dtype = tensor.at(batch), tensor.numpy_dtype
        if dtype.kind == "f":
            made[tensor.name] = random.standard_normal(shape).astype(dtype)
        else:
            made[tensor.name] = random.integers(0, 2 if dtype.kind == "b" else 101, shape).astype(dtype)
    return made


def compare_models(
    first: CompiledModel, second: CompiledModel, artefact: Artefact, *, batch: int | None = None, seed: int = 0
) -> tuple[Difference, ...]:
    """Run the same inputs through two compiled models.

    Parameters
    ----------
    first, second
        Both of this artefact.
    artefact
        The network.
    batch
        Batch size; None is the profile's ``opt``.
    seed
        Of `random_inputs`.

    Returns
    -------
    differences
        One for each output.
    """
    inputs = random_inputs(artefact, batch or artefact.sidecar.batch.opt, seed)
    ours, theirs = first.run(inputs), second.run(inputs)
    return tuple(
        Difference(name, largest_difference(ours[name], theirs[name]), artefact.sidecar.tolerance[name])
        for name in ours
    )


def require_agreement(model: CompiledModel, reference: CompiledModel, artefact: Artefact) -> tuple[Difference, ...]:
    """Compare a backend with the reference at the smallest and the usual batch size.

    Returns
    -------
    differences
        One for each output and batch size.

    Raises
    ------
    DisagreementError
        An output differs by more than the sidecar's tolerance.
    """
    sizes = sorted({artefact.sidecar.batch.min, artefact.sidecar.batch.opt})
    found = [d for size in sizes for d in compare_models(model, reference, artefact, batch=size)]
    if wrong := [difference for difference in found if not difference.within]:
        told = "; ".join(f"{d.output} by {d.largest:.3g} where {d.tolerance:.3g} is allowed" for d in wrong)
        raise DisagreementError(
            f"{model.backend} on {model.device} differs from {reference.backend} on {artefact.name}: {told}. It is not"
            f" used; choose the backend {reference.backend}, and report this with the versions of driver and package"
        )
    return tuple(found)


def largest_difference(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Return the largest absolute difference; infinite where shapes, NaN or infinities differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    return float(np.max(np.abs(a[finite] - b[finite]), initial=0.0))


__all__ = ["Difference", "compare_models", "largest_difference", "random_inputs", "require_agreement"]
