"""Scores of the networks on frames that no training has seen, each with cells drawn for it alone."""

from __future__ import annotations

import datetime
import json
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

from microscoped.models.lensfree.network import NetworkAccelerator, NetworkUnwrapper
from microscoped.models.lensfree.settings import REFERENCE_ITERATIONS, SolveSettings
from microscoped.models.lensfree.solve import solve, solve_accelerated
from microscoped.models.lensfree.training.pairs import known_optics
from microscoped.models.runtimes import load_artefact, open_model
from microscoped.simulators.cells import PopulationParameters
from microscoped.simulators.lensfree import LensFreeScene, LensFreeSetup

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from microscoped.models.training import EvaluateOptions

LOG = "evaluations.jsonl"
SEED = 9_100_000
FRAMES = 4
"""Of each set."""
SIDE_PX = 512
TALL_TURNS = 0.5
"""Wavelengths of path difference from which a cell can wrap."""
RIGHT_TURNS = 0.25
"""Wavelengths by which a tall place may be wrong and count as right."""
SSIM_RANGE_NM = 150.0
POPULATIONS = {
    "density_255": replace(PopulationParameters.matched(255), density_per_mm2=(255.0, 255.0)),
    "density_527": replace(PopulationParameters.matched(527), density_per_mm2=(527.0, 527.0)),
    "wide": replace(PopulationParameters.wide(), density_per_mm2=(255.0, 255.0)),
}


def evaluate(options: EvaluateOptions) -> Mapping[str, JsonValue]:
    """Score an artefact; see `microscoped.models.training.Training`.

    A network that unwraps is scored by the reference reconstruction with and without it; one that accelerates by the
    fast reconstruction against the reference, both with the unwrapper ``lensfree_unwrap.onnx`` if that lies beside the
    artefact. Every run is added to ``evaluations.jsonl`` in the folder.

    Returns
    -------
    Of each set the root mean square errors against the truth in nm, seconds of the iterations and the network, the
    standard deviation of the difference in nm, SSIM, and the parts of tall places that are right.
    """
    unknown = set(options.splits) - set(POPULATIONS)
    if unknown:
        raise ValueError(f"split {sorted(unknown)[0]!r}: there are {', '.join(POPULATIONS)}")
    chosen = list(options.splits) or list(POPULATIONS)
    frames = FRAMES if options.fields is None else min(FRAMES, options.fields)
    report: dict[str, Any] = {}
    sha256 = load_artefact(options.artefact).sidecar.sha256
    for number, name in enumerate(chosen):
        rows = []
        for k in range(frames):
            rows.append(_compare(options.artefact, name, k))
            options.progress.update(number * frames + k + 1, len(chosen) * frames)
        report[name] = {key: _mean([row[key] for row in rows]) for key in rows[0]}
    options.folder.mkdir(parents=True, exist_ok=True)
    entry = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "weights_sha256": sha256,
        "frames": frames,
        "scores": report,
    }
    with (options.folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
    return report


def held_out_scene(population: str, number: int, side_px: int = SIDE_PX) -> LensFreeScene:
    """Return a dish and microscope that no training has seen.

    Parameters
    ----------
    population
        Of `POPULATIONS`.
    number
        From 0; no further than 999.
    side_px
        Of the frame.
    """
    seed = SEED + 1_000 * list(POPULATIONS).index(population) + number
    return LensFreeScene(LensFreeSetup(cells=POPULATIONS[population], seed=seed, shape_px=(side_px, side_px)))


def agreement(
    found_nm: NDArray[np.float32], reference_nm: NDArray[np.float32], true_nm: NDArray[np.float32], turn_nm: float
) -> dict[str, float]:
    """Return how near a reconstruction is to the truth and to the reference.

    Parameters
    ----------
    found_nm, reference_nm, true_nm
        Optical path differences of one shape.
    turn_nm
        The wavelength by which they are ambiguous.

    Returns
    -------
    Root mean square error against the truth, the share of tall places that are right, and against the reference the
    standard deviation of the difference and SSIM over 150 nm.
    """
    return {
        "rmse_nm": float(np.sqrt(np.mean(np.square(found_nm - true_nm, dtype=np.float64)))),
        "tall_right": right_share(found_nm, true_nm, turn_nm),
        "difference_sd_nm": float((found_nm - reference_nm).std()),
        "ssim": float(structural_similarity(reference_nm, found_nm, data_range=SSIM_RANGE_NM)),  # type: ignore[no-untyped-call]
    }


def _compare(path: Path, population: str, number: int) -> dict[str, float]:
    scene = held_out_scene(population, number, SIDE_PX)
    light, optics, settings = (
        scene.expose().intensity(),
        known_optics(scene, scene.z_um),
        SolveSettings(focus_range_um=0.0),
    )
    artefact = load_artefact(path)
    beside = path.with_name("lensfree_unwrap.onnx")
    with ExitStack() as stack:
        model = stack.enter_context(open_model(artefact, "onnxruntime", threads=1))
        clock = time.process_time()
        if artefact.sidecar.preprocessing.get("task") == NetworkUnwrapper.task:
            first = solve(light, optics, settings, iterations=REFERENCE_ITERATIONS)
            middle = time.process_time()
            network = NetworkUnwrapper(model, artefact)
            second = solve(light, optics, settings, iterations=REFERENCE_ITERATIONS, unwrapper=network)
        else:
            unwrapper = None
            if beside.exists():
                other = load_artefact(beside)
                unwrapper = NetworkUnwrapper(stack.enter_context(open_model(other, "onnxruntime", threads=1)), other)
            first = solve(light, optics, settings, iterations=REFERENCE_ITERATIONS, unwrapper=unwrapper)
            middle = time.process_time()
            accelerator = NetworkAccelerator(model, artefact)
            second = solve_accelerated(light, optics, accelerator, settings, unwrapper=unwrapper)
        end = time.process_time()
    turn_nm = 1e3 * optics.reference_um
    before, after = (agreement(one.opd_nm, first.opd_nm, scene.opd_nm, turn_nm) for one in (first, second))
    return {
        "reference_rmse_nm": before["rmse_nm"],
        "network_rmse_nm": after["rmse_nm"],
        "reference_cpu_s": middle - clock,
        "network_cpu_s": end - middle,
        "difference_sd_nm": after["difference_sd_nm"],
        "ssim": after["ssim"],
        "reference_tall_right": before["tall_right"],
        "network_tall_right": after["tall_right"],
    }


def right_share(found_nm: NDArray[np.float32], true_nm: NDArray[np.float32], turn_nm: float) -> float:
    """Return which part of the tall places is right; NaN where there are none.

    Parameters
    ----------
    found_nm, true_nm
        Of one shape.
    turn_nm
        The wavelength by which they are ambiguous.
    """
    labels, count = ndimage.label(true_nm > TALL_TURNS * turn_nm)
    if not count:
        return float("nan")
    errors = np.abs(ndimage.median(found_nm - true_nm, labels, np.arange(1, count + 1)))
    return float(np.mean(errors < RIGHT_TURNS * turn_nm))


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return round(float(np.mean(known)), 4) if known else None


__all__ = ["POPULATIONS", "SIDE_PX", "agreement", "evaluate", "held_out_scene", "right_share"]
