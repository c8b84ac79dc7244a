"""The accuracy gate: how far a network in lower precision may be from the reference, on samples that made neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from microscoped.models.runtimes.errors import InaccurateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact
    from microscoped.models.runtimes._model import CompiledModel


@dataclass(frozen=True)
class Limit:
    """How far one figure may be from the reference, in its own unit.

    Parameters
    ----------
    mean
        Largest mean of the absolute difference.
    p99
        Largest 99th percentile of the absolute difference.
    """

    mean: float
    p99: float


@dataclass(frozen=True)
class Deviation:
    """How far one figure is from the reference, in its own unit.

    Parameters
    ----------
    output
        Its name: of an output, or of what is read from the outputs.
    unit
        Its unit; 1 where there is none, or where the name says it.
    mean, p99
        Of the absolute difference over all samples and elements; infinite where an answer is not finite, or there is
        nothing to compare.
    limit
        What is allowed.
    """

    output: str
    unit: str
    mean: float
    p99: float
    limit: Limit

    @property
    def within(self) -> bool:
        """Whether both figures are allowed."""
        return self.mean <= self.limit.mean and self.p99 <= self.limit.p99

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{self.output} differs by {self.mean:.2g} in the mean ({self.limit.mean:g} is allowed) and {self.p99:.2g}"
            f" in the 99th percentile ({self.limit.p99:g}){unit}"
        )


class Judge(Protocol):
    """What a module offers that compares networks by what is read from their outputs."""

    def differences(
        self,
        model: CompiledModel,
        reference: CompiledModel,
        artefact: Artefact,
        samples: Mapping[str, NDArray[Any]],
    ) -> Mapping[str, NDArray[np.float64]]:
        """Return absolute differences between two networks on samples, any number of them, by the name of the figure.

        Parameters are those of `measure_deviations`. A value that is not finite is a difference without bound.
        """
        ...


def measure_deviations(
    model: CompiledModel,
    reference: CompiledModel,
    artefact: Artefact,
    samples: Mapping[str, NDArray[Any]],
    limits: Mapping[str, Limit],
    judge: Judge | None = None,
) -> tuple[Deviation, ...]:
    """Run samples through a model and the reference.

    Parameters
    ----------
    model, reference
        Both of this artefact.
    artefact
        The network.
    samples
        By input, the batch axis first.
    limits
        By figure.
    judge
        Tells the figures; None: each output is one.

    Returns
    -------
    deviations
        One for each figure.

    Raises
    ------
    ValueError
        A figure has no limit.
    """
    found = (_of_outputs if judge is None else judge.differences)(model, reference, artefact, samples)
    if missing := [name for name in found if name not in limits]:
        raise ValueError(f"output {missing[0]} of {artefact.name} has no limit; there are some of {', '.join(limits)}")
    units = {tensor.name: tensor.unit for tensor in artefact.sidecar.outputs}
    return tuple(
        Deviation(name, units.get(name, "1"), *_figures(differences), limits[name])
        for name, differences in found.items()
    )


def require_accuracy(model: CompiledModel, found: tuple[Deviation, ...], count: int) -> None:
    """Refuse a model that goes beyond a limit.

    Raises
    ------
    InaccurateError
        It does; the message holds the figures.
    """
    if wrong := [deviation for deviation in found if not deviation.within]:
        raise InaccurateError(
            f"{model.backend} on {model.device} is not accurate enough for {model.name}: on {count} samples"
            f" {'; '.join(map(str, wrong))}. It is not used; leave the precision at fp32"
        )


def _of_outputs(
    model: CompiledModel, reference: CompiledModel, artefact: Artefact, samples: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.float64]]:
    """Return the absolute differences of all elements of each output."""
    ours, theirs = (_run(each, artefact, samples) for each in (model, reference))
    with np.errstate(invalid="ignore"):
        return {tensor.name: np.abs(ours[tensor.name] - theirs[tensor.name]) for tensor in artefact.sidecar.outputs}


def _run(
    model: CompiledModel, artefact: Artefact, samples: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.float64]]:
    """Run all samples in batches of at most the usual size."""
    count = len(next(iter(samples.values())))
    parts = np.array_split(np.arange(count), -(-count // artefact.sidecar.batch.opt))
    answers = [model.run({name: values[part] for name, values in samples.items()}) for part in parts]
    return {name: np.concatenate([np.asarray(answer[name], np.float64) for answer in answers]) for name in answers[0]}


def _figures(differences: NDArray[np.float64]) -> tuple[float, float]:
    if not (differences.size and np.isfinite(differences).all()):
        return float("inf"), float("inf")
    return float(differences.mean()), float(np.percentile(differences, 99))


__all__ = ["Deviation", "Judge", "Limit", "measure_deviations", "require_accuracy"]
