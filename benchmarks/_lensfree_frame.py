"""A lens-free frame of the paper's size, 2748 × 3840: time of each stage, and the peak of memory.

    python benchmarks/_lensfree_frame.py FRAMES.npy OPTICS.json WEIGHTS.onnx

reads it in a process of its own, so that its peak of memory is that of one reconstruction, and prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from _kept import peak_mib

SHAPE = (2748, 3840)
QUICK_SHAPE = (300, 400)
SCENE_PX = 512
THREADS = 2
LIMIT_S = 1800.0
NETWORK, UNWRAPPER = "lensfree_accelerate_light", "lensfree_unwrap"


def frame_row(weights: Path, shape: tuple[int, int]) -> dict[str, Any]:
    """Return the figures of a frame laid out of simulated ones, or why there are none.

    At the seams it is not as a dish makes it: it serves time and memory alone.
    """
    from microscoped.models.lensfree.training.evaluation import held_out_scene
    from microscoped.models.lensfree.training.pairs import known_optics

    path = weights / f"{NETWORK}.onnx"
    absent = [one.name for one in (path, path.with_stem(UNWRAPPER)) if not one.exists()]
    if absent:
        return {"reason": f"{', '.join(absent)}: not in {weights}"}
    scene = held_out_scene("density_255", 0)
    light = scene.expose().intensity()
    times = -(-shape[0] // SCENE_PX), -(-shape[1] // SCENE_PX)
    frames = np.tile(light, (1, *times))[:, : shape[0], : shape[1]]
    optics = replace(known_optics(scene, scene.z_um), shifts_um=None)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "frames.npy", frames)
        (place / "optics.json").write_text(json.dumps(asdict(optics)), encoding="utf-8")
        program = [sys.executable, __file__, place / "frames.npy", place / "optics.json", path]
        done = subprocess.run(
            list(map(str, program)),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=os.environ | {"OMP_NUM_THREADS": str(THREADS)},
            check=False,
        )
    if done.returncode:
        return {"reason": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]}
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told | {"shape": list(shape)}


def _read(frames: Path, optics: Path, weights: Path) -> dict[str, Any]:
    from microscoped.daemon.heap import keep_pages
    from microscoped.models.hologram.arrays import ScipyArrays
    from microscoped.models.lensfree import InlineOptics, NetworkAccelerator, NetworkUnwrapper, solve_accelerated
    from microscoped.models.runtimes import load_artefact, open_model

    keep_pages()  # as the daemon does where it reconstructs
    told = json.loads(optics.read_text(encoding="utf-8"))
    known = InlineOptics(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})
    artefact, last = load_artefact(weights), load_artefact(weights.with_stem(UNWRAPPER))
    light = np.load(frames)
    with (
        open_model(artefact, "onnxruntime", threads=THREADS) as model,
        open_model(last, "onnxruntime", threads=THREADS) as unwraps,
    ):
        accelerator, unwrapper = NetworkAccelerator(model, artefact), NetworkUnwrapper(unwraps, last)
        before = peak_mib()
        busy, began = time.process_time(), time.perf_counter()
        found = solve_accelerated(light, known, accelerator, unwrapper=unwrapper, arrays=ScipyArrays(THREADS))
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    return {
        "threads": THREADS,
        "network": f"{artefact.name}, {last.name}",
        "seconds": seconds,
        "busy_s": busy,
        "stages_s": found.timings_s,
        "z_um": found.z_um,
        "before_mib": before,
        "peak_mib": peak_mib(),
    }


if __name__ == "__main__":
    print(json.dumps(_read(*map(Path, sys.argv[1:4]))))

__all__ = ["QUICK_SHAPE", "SHAPE", "frame_row"]
