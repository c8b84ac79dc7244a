"""How fast backends are, against one another."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING

from microscoped.models.runtimes._compare import random_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microscoped.models.runtimes._artefact import Artefact
    from microscoped.models.runtimes._model import CompiledModel

WARM_UP = 3
"""Runs of each model that are not counted: memory is allocated and kernels are compiled in them."""


@dataclass(frozen=True)
class Speed:
    """How fast one model ran.

    Parameters
    ----------
    backend, device
        What ran.
    ratio
        How many times as fast as the first model, as the median over rounds: both ran in each round, so what else the
        computer did meanwhile cancels for the most part.
    median_ms, smallest_ms
        Time of one run.
    """

    backend: str
    device: str
    ratio: float
    median_ms: float
    smallest_ms: float


def bench_models(
    models: Sequence[CompiledModel],
    artefact: Artefact,
    *,
    batch: int,
    rounds: int,
    clock: Callable[[], int] = perf_counter_ns,
) -> tuple[Speed, ...]:
    """Time models in turns, in this process.

    Parameters
    ----------
    models
        Open models of this artefact; the first is what the others are compared with.
    artefact
        The network.
    batch
        Batch size.
    rounds
        How often each runs. The order changes from round to round.
    clock
        In ns.
    """
    inputs = random_inputs(artefact, batch, seed=0)
    for model in models:
        for _ in range(WARM_UP):
            model.run(inputs)
    times_ms: list[list[float]] = [[] for _ in models]
    for number in range(rounds):
        for place in range(len(models)):
            index = (place + number) % len(models)
            start = clock()
            models[index].run(inputs)
            times_ms[index].append((clock() - start) / 1e6)
    return tuple(
        Speed(
            model.backend,
            model.device,
            median(first / own for first, own in zip(times_ms[0], times, strict=True)),
            median(times),
            min(times),
        )
        for model, times in zip(models, times_ms, strict=True)
    )


__all__ = ["Speed", "bench_models"]
