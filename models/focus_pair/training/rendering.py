"""Rendering of training fields, one process per core; what is there already is not rendered again."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.focus_pair.training.fields import Field, draw_training_field
from microscoped.models.focus_pair.training.shards import render_shard

if TYPE_CHECKING:
    from pathlib import Path


VALIDATION_PART = 1 / 24
"""Part of the fields that is kept for the learning curve: the first ones."""
TRAINING_PATTERN = "train-??????.json"
VALIDATION_PATTERN = "valid-??????.json"


def training_field(seed: int, index: int) -> Field:
    """Return training field number ``index``."""
    return draw_training_field(np.random.default_rng((seed, index)))


def validation_fields(count: int) -> int:
    """Return how many of so many fields are kept for the learning curve."""
    return max(1, int(count * VALIDATION_PART))


def _render_some(folder: Path, seed: int, start: int, count: int, step: int) -> None:
    parent = multiprocessing.parent_process()
    for index in range(start, count, step):
        if parent is not None and not parent.is_alive():
            return  # it was killed
        purpose = "valid" if index < validation_fields(count) else "train"
        render_shard(folder, f"{purpose}-{index:06d}", lambda index=index: training_field(seed, index))  # type: ignore[misc]


class Renderers:
    """Processes that render training fields in the background. Ends with its context.

    Parameters
    ----------
    folder
        Where stacks go.
    seed, count
        Which fields, and how many.
    processes
        How many at once.
    """

    def __init__(self, folder: Path, seed: int, count: int, processes: int) -> None:
        self._folder = folder
        context = multiprocessing.get_context("spawn")
        self._processes = [
            context.Process(target=_render_some, args=(folder, seed, k, count, processes), daemon=True)
            for k in range(processes)
        ]

    def __enter__(self) -> Renderers:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()

    def ready(self) -> list[Path]:
        """Return the descriptions of the stacks that are there."""
        return [*self._folder.glob(VALIDATION_PATTERN), *self._folder.glob(TRAINING_PATTERN)]

    def wait_for(self, count: int) -> list[Path]:
        """Wait until so many stacks are there, or all processes have ended."""
        while len(found := self.ready()) < count and any(process.is_alive() for process in self._processes):
            time.sleep(0.5)
        failed = [process.exitcode for process in self._processes if process.exitcode not in (0, None)]
        if failed:
            raise RuntimeError(f"a rendering process ended with exit code {failed[0]}; its message is above")
        return found


__all__ = ["TRAINING_PATTERN", "VALIDATION_PATTERN", "Renderers", "training_field", "validation_fields"]
