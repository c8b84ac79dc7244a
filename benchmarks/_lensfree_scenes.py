"""Reconstructions of simulated frames by turns: what they are worth against truth and reference, and for the cells."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from _hologram_timing import Job, Turn, interleaved, ratio

from microscoped.models.cells import CellNetwork, CellTable, score
from microscoped.models.lensfree import (
    FAST_ITERATIONS,
    REFERENCE_ITERATIONS,
    NetworkAccelerator,
    NetworkUnwrapper,
    SolveSettings,
    solve,
    solve_accelerated,
)
from microscoped.models.lensfree.training.evaluation import POPULATIONS, SIDE_PX, agreement, held_out_scene
from microscoped.models.lensfree.training.pairs import known_optics
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import load_artefact, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.lensfree import InlineOptics, Progress, Reconstruction
    from microscoped.simulators.lensfree import LensFreeScene

REFERENCE, BARE, SHORT = "153 iterations, unwrapped", "153 iterations alone", "20 iterations alone"
FAST, LIGHT = "10 + network + 10, unwrapped", "10 + light network + 10, unwrapped"
ACCELERATORS = {FAST: "lensfree_accelerate", LIGHT: "lensfree_accelerate_light"}
UNWRAPPER = "lensfree_unwrap"
TRUTH = "the truth"
CELL_NETWORKS = ("cells_b", "cells_a")
FRAMES = 4
QUICK_PX = 96
COURSE = (10, 20, 50, 100, 153)
MOST_OFF_UM = 30.0
"""Of the distances that focus starts from."""
KNOWN = SolveSettings(focus_range_um=0.0)


@dataclass(frozen=True)
class Way:
    """A way to reconstruct.

    Parameters
    ----------
    name
        For people.
    solve
        Takes frames, optics and settings.
    """

    name: str
    solve: Callable[..., Reconstruction]


def ways(weights: Path, stack: ExitStack, *, quick: bool) -> tuple[list[Way], list[str]]:
    """Return the ways for which there are networks, and the networks that are absent; without the unwrapper, none."""
    reference = COURSE[1] if quick else REFERENCE_ITERATIONS
    found, absent = [], []
    unwrapper = _network(weights, UNWRAPPER, NetworkUnwrapper, stack)
    if unwrapper is None:
        return [], [UNWRAPPER]
    found.append(Way(REFERENCE, lambda *given: solve(*given, iterations=reference, unwrapper=unwrapper)))
    for name, artefact in ACCELERATORS.items():
        accelerator = _network(weights, artefact, NetworkAccelerator, stack)
        if accelerator is None:
            absent.append(artefact)
        else:
            found.append(Way(name, _accelerated(accelerator, unwrapper)))
    found.append(Way(SHORT, lambda *given: solve(*given, iterations=sum(FAST_ITERATIONS))))
    found.append(Way(BARE, lambda *given: solve(*given, iterations=reference)))
    return found, absent


def scenes(weights: Path, frames: int, *, quick: bool) -> dict[str, Any]:
    """Return times and errors of all ways on the frames of each set."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        chosen, found["absent"] = ways(weights, stack, quick=quick)
        cells = [_cell_network(name, stack) for name in CELL_NETWORKS]
        for name in POPULATIONS if chosen else ():
            shown = [held_out_scene(name, number, _side_px(quick)) for number in range(frames)]
            found[name] = _compared(chosen, shown, name, cells)
    return found


def _compared(
    chosen: Sequence[Way], shown: Sequence[LensFreeScene], name: str, cells: Sequence[CellNetwork]
) -> list[dict[str, Any]]:
    given = [(scene.expose().intensity(), known_optics(scene, scene.z_um), KNOWN) for scene in shown]
    jobs = [Job(way.name, _job(way, given)) for way in chosen]
    turns = interleaved(jobs, len(given), said=lambda number: _say(f"{name}: frame {number + 1} of {len(given)}"))
    reference = turns[REFERENCE]
    rows = [
        {
            "name": way,
            **_figures(took, reference, shown),
            "over": ratio(reference, took),
            "cells": _cells([turn.value.opd_nm for turn in sorted(took, key=_round)], shown, cells),
        }
        for way, took in turns.items()
    ]
    return [*rows, {"name": TRUTH, "cells": _cells([scene.opd_nm for scene in shown], shown, cells)}]


def _cells(
    maps: Sequence[NDArray[np.float32]], shown: Sequence[LensFreeScene], networks: Sequence[CellNetwork]
) -> dict[str, dict[str, float]]:
    """Return what the cells are worth that each network reads in maps."""
    told = {}
    for network in networks:
        pairs = []
        for opd_nm, scene in zip(maps, shown, strict=True):
            pitch_um = scene.setup.optics.pitch_um
            truth = CellTable.of_truths(scene.truths, (opd_nm.shape[0], opd_nm.shape[1]), pitch_um)
            pairs.append((truth, network.table(opd_nm, pitch_um)))
        scores = score(pairs)
        found = {"precision": scores.detection.precision.value, "recall": scores.detection.recall.value}
        found |= {quantity.value: figures.r2.value for quantity, figures in scores.quantities.items()}
        found |= {f"{quantity.value}_slope": figures.slope.value for quantity, figures in scores.quantities.items()}
        told[network.name] = found
    return told


def _figures(turns: Sequence[Turn], reference: Sequence[Turn], shown: Sequence[LensFreeScene]) -> dict[str, Any]:
    optics = known_optics(shown[0], shown[0].z_um)
    rows = [
        agreement(turn.value.opd_nm, other.value.opd_nm, scene.opd_nm, 1e3 * optics.reference_um)
        for turn, other, scene in zip(sorted(turns, key=_round), sorted(reference, key=_round), shown, strict=True)
    ]
    told = {name: mean_of(row[name] for row in rows) for name in rows[0]}
    told["rmse_nm_of_each"] = [row["rmse_nm"] for row in rows]
    told["busy_s"] = float(np.median([turn.busy_s for turn in turns]))
    told["seconds"] = float(np.median([turn.seconds for turn in turns]))
    return told


def courses(weights: Path, *, quick: bool) -> dict[str, Any]:
    """Return the reference's errors along its iterations, of the first frame of each set."""
    with ExitStack() as stack:
        unwrapper = _network(weights, UNWRAPPER, NetworkUnwrapper, stack)
        return {name: _course(held_out_scene(name, 0, _side_px(quick)), unwrapper, quick=quick) for name in POPULATIONS}


def _course(scene: LensFreeScene, unwrapper: NetworkUnwrapper | None, *, quick: bool) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    optics = known_optics(scene, scene.z_um)
    stops = COURSE[:2] if quick else COURSE

    def look(progress: Progress) -> None:
        if progress.iteration in stops:
            opd_nm, _ = progress.maps()
            told = agreement(opd_nm, opd_nm, scene.opd_nm, 1e3 * optics.reference_um)
            rows.append(
                {
                    "iteration": progress.iteration,
                    "residual": progress.residual,
                    "rmse_nm": told["rmse_nm"],
                    "tall_right": told["tall_right"],
                }
            )

    solve(scene.expose().intensity(), optics, KNOWN, iterations=stops[-1], unwrapper=unwrapper, callback=look)
    return rows


def distances(frames: int, *, quick: bool) -> dict[str, Any]:
    """Return for frames of each set how far the distance is off at the start, and where it was found."""
    rng = np.random.default_rng(7)
    rows = []
    for name in list(POPULATIONS)[:1] if quick else POPULATIONS:
        for number in range(frames):
            scene = held_out_scene(name, number, _side_px(quick))
            start = float(rng.uniform(-MOST_OFF_UM, MOST_OFF_UM))
            optics = known_optics(scene, scene.z_um + start)
            optics = replace(optics, shifts_um=None)
            found = solve(scene.expose().intensity(), optics, SolveSettings(), iterations=1)
            rows.append({"set": name, "start_um": start, "off_um": found.z_um - scene.z_um})
            _say(f"{name}: focus off by {start:.1f} µm, found within {rows[-1]['off_um']:.2f} µm")
    return {"rows": rows}


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of those values that are numbers; NaN where there are none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _side_px(quick: bool) -> int:
    return QUICK_PX if quick else SIDE_PX


def _cell_network(name: str, stack: ExitStack) -> CellNetwork:
    artefact = model_spec("cells").load(name)
    return CellNetwork(stack.enter_context(open_model(artefact, "onnxruntime", threads=1)), artefact)


def _network(
    weights: Path,
    name: str,
    kind: type[NetworkUnwrapper | NetworkAccelerator],
    stack: ExitStack,
) -> Any:  # noqa: ANN401 - one of the kind
    path = weights / f"{name}.onnx"
    if not path.exists():
        _say(f"{path.name} is not in {weights}")
        return None
    artefact = load_artefact(path)
    return kind(stack.enter_context(open_model(artefact, "onnxruntime", threads=1)), artefact)


def _accelerated(accelerator: NetworkAccelerator, unwrapper: NetworkUnwrapper) -> Callable[..., Reconstruction]:
    return lambda light, optics, settings: solve_accelerated(light, optics, accelerator, settings, unwrapper=unwrapper)


def _job(way: Way, given: Sequence[tuple[Any, InlineOptics, SolveSettings]]) -> Callable[[int], Reconstruction]:
    return lambda number: way.solve(*given[number])


def _round(turn: Turn) -> int:
    return turn.round


def _say(words: str) -> None:
    sys.stderr.write(f"  {words}\n")


__all__ = [
    "BARE",
    "FAST",
    "FRAMES",
    "LIGHT",
    "REFERENCE",
    "SHORT",
    "TRUTH",
    "courses",
    "distances",
    "scenes",
]
