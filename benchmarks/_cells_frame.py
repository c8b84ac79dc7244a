"""A frame of the paper's size, 2748 × 3840: how long it takes, and how much memory.

    python benchmarks/_cells_frame.py WEIGHTS.onnx THREADS FRAME.npy ROUNDS BACKEND

reads it in a process of its own, so that its peak of memory is that of one network, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _kept import peak_mib

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _cells_compared import Shown
    from numpy.typing import NDArray

SHAPE = (2748, 3840)
LIMIT_S = 600.0
BATCH = 4
"""Images at once, where the network is timed alone."""


def tiled(shown: Sequence[Shown], shape: tuple[int, int] = SHAPE) -> tuple[NDArray[np.float32], int]:
    """Lay fields side by side, turned and mirrored where they come again.

    Returns
    -------
    frame, cells
        The number is of cells whose middle lies in the frame.
    """
    frame = np.zeros(shape, np.float32)
    rows, columns = shown[0].opd_nm.shape
    across = -(-shape[1] // columns)
    cells = 0
    for k in range(-(-shape[0] // rows) * across):
        top, left = k // across * rows, k % across * columns
        one, again = shown[k % len(shown)], k // len(shown)
        image, places = one.opd_nm, one.truth.places_px
        if again & 1:
            image, places = image[::-1], np.stack([rows - 1 - places[:, 0], places[:, 1]], axis=1)
        if again & 2:
            image, places = image[:, ::-1], np.stack([places[:, 0], columns - 1 - places[:, 1]], axis=1)
        ends = min(rows, shape[0] - top), min(columns, shape[1] - left)
        frame[top : top + ends[0], left : left + ends[1]] = image[: ends[0], : ends[1]]
        cells += int((places < np.array(ends) - 0.5).all(axis=1).sum())
    return frame, cells


def frame_rows(shown: Sequence[Shown], weights: Path, ways: Sequence[tuple[int, str]], rounds: int) -> dict[str, Any]:
    """Return the figures of the frame, each with so many threads on such a backend, in a process of its own."""
    frame, cells = tiled(shown)
    found: dict[str, Any] = {"shape": list(frame.shape), "cells": cells, "pixel_um": shown[0].truth.pixel_um}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.npy"
        np.save(path, frame)
        found["rows"] = [_in_a_process(weights, count, path, rounds, backend) for count, backend in ways]
    return found


def _in_a_process(weights: Path, threads: int, frame: Path, rounds: int, backend: str) -> dict[str, Any]:
    program = [sys.executable, __file__, weights, threads, frame, rounds, backend]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        list(map(str, program)), capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False
    )
    if done.returncode:
        return {
            "threads": threads,
            "backend": backend,
            "reason": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1],
        }
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _read(weights: Path, threads: int, path: Path, rounds: int, backend: str) -> dict[str, Any]:
    from microscoped.models.cells import CellNetwork
    from microscoped.models.cells.inputs import PIXEL_UM, SIDE_PX, UNIT_NM
    from microscoped.models.runtimes import load_artefact, open_model

    frame, artefact = np.load(path), load_artefact(weights)
    with open_model(artefact, backend, threads=threads) as model:
        network = CellNetwork(model, artefact)
        network.table(np.ascontiguousarray(frame[:1024, :1024]), PIXEL_UM)
        times, busy, found = [], [], 0
        for _ in range(rounds):
            worked, began = time.process_time(), time.perf_counter()
            found = len(network.table(frame, PIXEL_UM))
            times.append(time.perf_counter() - began)
            busy.append(time.process_time() - worked)
        peak = peak_mib()
        batch = np.stack([frame[:SIDE_PX, k * SIDE_PX : (k + 1) * SIDE_PX] for k in range(BATCH)])[:, None]
        inputs = {"opd": np.ascontiguousarray(batch / np.float32(UNIT_NM))}
        model.run(inputs)
        alone = [_timed(lambda: model.run(inputs)) for _ in range(rounds)]
        return {
            "threads": threads,
            "backend": model.backend,
            "device": model.device,
            "rounds": rounds,
            "seconds": float(np.median(times)),
            "busy_s": float(np.median(busy)),
            "least_s": min(times),
            "found": found,
            "peak_mib": peak,
            "alone_px_per_s": BATCH * SIDE_PX**2 / float(np.median(alone)),
        }


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    told = _read(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    print(json.dumps(told))

__all__ = ["SHAPE", "frame_rows", "tiled"]
