"""Batches of draws, made by processes of their own while the network learns."""

from __future__ import annotations

import multiprocessing
import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.focus_pair.optics import CHARACTER_WIDTH
from microscoped.models.focus_pair.preprocess import TILE, WORKING_SAMPLING
from microscoped.models.focus_pair.spectra import WIDTH
from microscoped.models.focus_pair.training.draws import Conditions, draw_character, draw_tile
from microscoped.models.focus_pair.training.shards import Stack, read_shard
from microscoped.simulators.sensor import NoiseBank

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event
    from pathlib import Path

    from numpy.typing import NDArray

REFRESH_BATCHES = 20
"""Batches after which a process looks for stacks that have been rendered since."""
FLUORESCENCE_PART = 0.25
"""Part of the draws of incoherent stacks, which are two fifths of all, that are fluorescence."""
PERIOD = TILE * WORKING_SAMPLING


@dataclass(frozen=True, slots=True)
class Batch:
    """Draws for one step.

    Parameters
    ----------
    images, scalars, spectra, character
        The network's inputs, shapes (n, 6, 112, 112) in half precision, (n, 2),
        (n, ``spectra.WIDTH``) and (n, ``optics.CHARACTER_WIDTH``).
    second_dof
        Labels, shape (n,).
    """

    images: NDArray[np.float16]
    scalars: NDArray[np.float32]
    spectra: NDArray[np.float32]
    character: NDArray[np.float32]
    second_dof: NDArray[np.float32]


def noise_banks(seed: int) -> dict[int, NoiseBank]:
    """Return banks of noise for tiles of one and of three channels."""
    return {channels: NoiseBank(channels * PERIOD * PERIOD, seed) for channels in (1, 3)}


def make_batch(stacks: list[Stack], size: int, rng: np.random.Generator, banks: dict[int, NoiseBank]) -> Batch:
    """Draw stacks and conditions at random."""
    images = np.empty((size, 6, TILE, TILE), np.float16)
    scalars = np.empty((size, 2), np.float32)
    spectra = np.empty((size, WIDTH), np.float32)
    character = np.empty((size, CHARACTER_WIDTH), np.float32)
    labels = np.empty(size, np.float32)
    for k in range(size):
        stack = stacks[int(rng.integers(len(stacks)))]
        fluorescence = FLUORESCENCE_PART if stack.image_formation == "incoherent" else 0.0
        conditions = Conditions.draw(rng, stack.codes.shape[0], PERIOD, fluorescence=fluorescence)
        drawn = draw_tile(stack, conditions, rng, banks, draw_character(stack, rng))
        images[k], scalars[k], spectra[k] = drawn.images[0], drawn.scalars[0], drawn.spectra[0]
        character[k], labels[k] = drawn.character[0], conditions.second_dof
    return Batch(images, scalars, spectra, character, labels)


def _produce(folder: Path, pattern: str, size: int, seed: int, ready: Queue[Batch], stop: Event) -> None:
    rng = np.random.default_rng(seed)
    banks = noise_banks(seed)
    known: dict[Path, Stack] = {}
    parent = multiprocessing.parent_process()

    def over() -> bool:
        """Tell whether to end: asked to, or the parent was killed."""
        return stop.is_set() or (parent is not None and not parent.is_alive())

    while not over():
        for path in folder.glob(pattern):
            if path not in known:
                known[path] = read_shard(path)
        stacks = list(known.values())
        for _ in range(REFRESH_BATCHES):
            batch = make_batch(stacks, size, rng, banks)
            while not over():
                try:
                    ready.put(batch, timeout=1.0)
                    break
                except queue.Full:
                    continue
            if over():
                break
    ready.cancel_join_thread()


class Batches:
    """An endless iterator of batches; a context manager.

    Parameters
    ----------
    folder, pattern
        Where stacks are, and which of them are for training.
    size
        Draws in a batch.
    seed
        Of the draws; with more than one process the order of batches is not repeatable.
    processes
        How many make batches.
    """

    def __init__(self, folder: Path, pattern: str, size: int, seed: int, processes: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready: Queue[Batch] = context.Queue(4)
        self._stop = context.Event()
        self._processes = [
            context.Process(
                target=_produce, args=(folder, pattern, size, seed * 1000 + k, self._ready, self._stop), daemon=True
            )
            for k in range(processes)
        ]

    def __enter__(self) -> Batches:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._processes:
            process.join(5.0)
            process.terminate()

    def next(self) -> Batch:
        """Return a batch; wait for it.

        Raises
        ------
        RuntimeError
            All processes have ended.
        """
        while True:
            try:
                return self._ready.get(timeout=2.0)
            except queue.Empty:
                if not any(process.is_alive() for process in self._processes):
                    raise RuntimeError("all processes that make batches have ended; their message is above") from None


__all__ = ["Batch", "Batches", "make_batch", "noise_banks"]
