"""Closed loop: focus from a pair against its peers, on one simulated microscope that charges all of them alike.

A 20×/0.75 objective (540 nm, 0.325 µm pixels) looks at stained sections, in monochrome and in colour, through a noisy
12-bit camera. Every method starts from the same places, uniform in ±10 µm, reached from the same side, with the same
positioning errors and the same noise, on three stages: an ideal one, one with 0.5 µm of play, and one with positioning
errors (σ 0.1 µm) that drifts by 0.1 µm/s. Charged are exposure, readout (10 ms), settling, travel (500 µm/s) and the
wall time of the method's own computing, at two settings: 10 ms exposures and 50 ms settling; 100 ms and 200 ms.

The error is that of the optical position at the end from the plane where the specimen is sharpest (mean of both scores
without noise), which no method is told. Dyes refract a little, by which it lies a few tenths of a micrometre from the
middle of the specimen: the columns beside it tell the error from there. Failures stay in all figures.

- *pair, calibrated*: what ``focus.run`` does by itself. Each camera is calibrated first, as by ``microscoped calibrate
  focus``: the daemon's plan, engine and bars, in simulated time, six fields of one slide on the ideal stage. Neither
  the slide nor its seeds are among those of the runs. Where the calibration is rejected, the row searches, and says so.
- *pair*: the daemon's policy with the shipped network, with its checks, and its search where pairs do not settle it.
- *search*: the daemon's search alone.
- *Brent*: Commons Math's, on a range of 24 µm to 0.3 µm, with the better of two scores on each stage: *one-sided* with
  every move ending from the same side, *two-sided* without.
- *OughtaFocus*, *JAF(H&P)*: as shipped with Micro-Manager, settings and scores untouched. They cannot reach starts
  beyond ±5 and about ±3 µm.

*pair* and *search* look within the same 24 µm round the start, and arrive from one side. Which specimens are drawn is
stated in ``_slides.py``; no setting of any method was chosen by looking at them.

Targets, of *pair, calibrated* on each stage: medians of at most 3 images and 3 commanded moves; at most 0.45 × the
images and dose and 0.5 × the time of one-sided Brent (means); at least 95 % within half a depth of field. *pair* stands
beside it. Deciding on a frame of 25 tiles: at most 80 ms on one thread. What the calibration itself costs is told.

    OMP_NUM_THREADS=1 python benchmarks/focus.py [--starts 300] [--specimens 6] [--cache DIR] [--json FILE [--resume]]
        [--plot FILE.png] [--zero sharpest|middle] [--calibration-fields 6] [--calibration-slides 1] [--quick]

Rendering takes about a minute a specimen the first time, and as long for each field of the calibrations. The figures
are written after each specimen; with ``--resume`` an interrupted run goes on with the next one. The plot needs
matplotlib.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from _calibrated import OBJECTIVE, Extent, auto_focus, calibrate, trusted
from _figures import plain
from _focus_report import COSTS, STAGES, ZEROS, calibration_line, judge, plot, rows_of, tables
from _ours import DELTA_DOF, pair_focus, search_focus
from _peers import SCORES, brent_focus, jaf_focus, oughta_focus
from _scope import Scope, Start, camera_of
from _slides import OPTICS, make_slide
from rich.console import Console

from microscoped.daemon.runtime import PairEngine
from microscoped.models.focus_pair import FocusPairEngine, PairOptics, PairSettings
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import ModelError, load_artefact, open_model
from microscoped.simulators.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _calibrated import Trusted
    from _slides import Slide
    from numpy.typing import NDArray

    from microscoped.models.runtimes import Artefact, CompiledModel

RANGE_UM = 24.0
BRENT_TOLERANCE_UM = 0.3
REACH_UM = 10.0
SEED = 20
FRAME_RESOLUTIONS = 560
"""Side of the frame whose decision is timed, in λ/NA: 25 tiles."""
FEW_FIELDS = 3
"""Fields of a calibration in a quick run: the fewest that there can be."""
SAME = ("weights", "starts", "specimen_count", "side", "calibration_fields", "calibration_slides")
"""What must be the same in a run that is gone on with."""


@dataclass(frozen=True)
class Method:
    """One way to focus.

    Parameters
    ----------
    name, score
        What it is called, and its score where several are tried.
    run
        Focuses a microscope; returns how it ended.
    one_sided
        Whether its moves end from one side.
    """

    name: str
    score: str
    run: Callable[[Scope], str]
    one_sided: bool


def methods(model: CompiledModel, own: Mapping[str, Trusted]) -> list[Method]:
    """Return all methods; `own` says what came of the calibration of each camera."""
    engine, dof_um = PairEngine(OBJECTIVE, model), OPTICS.dof_um

    def brent(score: str) -> Callable[[Scope], str]:
        return lambda scope: brent_focus(scope, SCORES[score], RANGE_UM, BRENT_TOLERANCE_UM)

    return [
        Method("pair, calibrated", "", lambda scope: auto_focus(scope, own[scope.camera], dof_um, RANGE_UM), True),
        Method("pair", "", lambda scope: pair_focus(scope, engine, dof_um, RANGE_UM), True),
        Method("search", "", lambda scope: search_focus(scope, dof_um, RANGE_UM), True),
        *(Method("Brent, one-sided", score, brent(score), True) for score in SCORES),
        *(Method("Brent, two-sided", score, brent(score), False) for score in SCORES),
        Method("OughtaFocus", "", oughta_focus, False),
        Method("JAF(H&P)", "", jaf_focus, False),
    ]


def main() -> int:
    """Compare; return 1 where a target is missed."""
    arguments = _arguments()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.stderr.write("OMP_NUM_THREADS is not 1: computing may use several threads and gain nothing\n")
    artefact = model_spec("focus_pair").load() if arguments.weights is None else load_artefact(arguments.weights)
    model = open_model(artefact, "onnxruntime", threads=1)
    figures = begun(arguments, artefact.sidecar.sha256)
    first = make_slide(0, arguments.side, arguments.cache)
    figures["decision"] = decision(first, artefact, model, 3 if arguments.quick else 40)
    for camera in sorted({camera_of(colour=number % 2 == 1) for number in range(arguments.specimens)}):
        if camera not in figures["calibrations"]:
            figures["calibrations"][camera] = _calibrated(arguments, model, artefact.sidecar.sha256, camera)
            keep(arguments.json, figures)
        sys.stderr.write(f"{calibration_line(camera, figures['calibrations'][camera])}\n")
    own = {camera: trusted(told, model) for camera, told in figures["calibrations"].items()}
    compare(arguments, first, methods(model, own), figures)
    figures["targets"] = judge(figures["rows"], figures["decision"], arguments.zero)
    keep(arguments.json, figures)
    if arguments.plot:
        plot(figures["runs"], OPTICS.dof_um, arguments.plot, arguments.zero)
    tables(figures, Console(width=220, highlight=False))
    return 0 if all(target["met"] for target in figures["targets"]) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--specimens", type=int, default=6)
    parser.add_argument("--side", type=int, default=512, help="pixels along each side of the camera's image")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where rendered specimens are kept (5 GB)")
    parser.add_argument("--weights", type=Path, help="another network than the shipped one")
    parser.add_argument("--zero", choices=list(ZEROS), default="sharpest", help="where targets and plot count from")
    parser.add_argument("--calibration-fields", type=int, default=6, help="fields of each calibration")
    parser.add_argument("--calibration-slides", type=int, default=1, help="slides that these fields lie on")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--resume", action="store_true", help="go on with the run whose figures --json names")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--quick", action="store_true", help="one small specimen and few starts: only to see it run")
    arguments = parser.parse_args()
    if arguments.resume and arguments.json is None:
        parser.error("--resume needs --json FILE")
    if arguments.calibration_slides < 1:
        parser.error(f"--calibration-slides {arguments.calibration_slides}: must be at least 1")
    if arguments.quick:
        arguments.starts, arguments.specimens, arguments.side = min(arguments.starts, 4), 1, 256
        arguments.calibration_fields = FEW_FIELDS
    arguments.specimens = min(arguments.specimens, arguments.starts)
    return arguments


def begun(arguments: argparse.Namespace, sha256: str) -> dict[str, Any]:
    """Return the figures to go on with: none so far, or those of a run that was interrupted.

    Raises
    ------
    SystemExit
        That run was another one; the message says in what.
    """
    figures: dict[str, Any] = {
        "weights": sha256,
        "starts": arguments.starts,
        "specimen_count": arguments.specimens,
        "side": arguments.side,
        "calibration_fields": arguments.calibration_fields,
        "calibration_slides": arguments.calibration_slides,
        "calibrations": {},
        "runs": [],
        "specimens": [],
    }
    if not arguments.resume or not arguments.json.exists():
        return figures
    found: dict[str, Any] = json.loads(arguments.json.read_text(encoding="utf-8"))
    other = [f"{name} {found.get(name)!r}, not {figures[name]!r}" for name in SAME if found.get(name) != figures[name]]
    if other:
        raise SystemExit(f"{arguments.json} is of another run: {'; '.join(other)}. Take its settings, or omit --resume")
    return {name: found[name] for name in figures}


def keep(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures so far, whole or not at all."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(plain(figures)), encoding="utf-8")
    part.replace(path)


def _calibrated(arguments: argparse.Namespace, model: CompiledModel, sha256: str, camera: str) -> dict[str, Any]:
    extent = Extent(arguments.calibration_fields, arguments.calibration_slides, arguments.side)
    began = time.perf_counter()
    told = calibrate(model, sha256, extent, arguments.cache, colour=camera == camera_of(colour=True))
    return {**told, "wall_s": time.perf_counter() - began}


def compare(arguments: argparse.Namespace, first: Slide, compared: list[Method], figures: dict[str, Any]) -> None:
    """Run all methods from all starts on all stages, and keep the figures after each specimen."""
    z_um = np.random.default_rng(SEED).uniform(-REACH_UM, REACH_UM, arguments.starts)
    starts = [Start(number, number % arguments.specimens, float(z)) for number, z in enumerate(z_um)]
    for number in range(len(figures["specimens"]), arguments.specimens):
        slide = first if number == 0 else make_slide(number, arguments.side, arguments.cache)
        began = time.perf_counter()
        sharpest_um = float(np.mean(list(slide.sharpest_um.values())))
        for start in (start for start in starts if start.specimen == number):
            for stage, costs in ((stage, costs) for stage in STAGES for costs in COSTS):
                if costs is not COSTS[0] and not stage.drift_um_s:
                    continue  # the images would be the same: only their costs differ
                for method in compared:
                    scope = Scope(slide.scene, stage, costs, start, one_sided=method.one_sided)
                    figures["runs"].append(_run(scope, method, stage.name, costs.name, start, sharpest_um))
        spent_s = time.perf_counter() - began
        figures["specimens"].append({"name": slide.name, "sharpest_um": slide.sharpest_um, "wall_s": spent_s})
        figures["rows"] = rows_of(figures["runs"], OPTICS.dof_um)
        keep(arguments.json, figures)
        where = ", ".join(f"{score} {at:+.2f} µm" for score, at in slide.sharpest_um.items())
        sys.stderr.write(f"specimen {number}: {slide.name}; sharpest at {where}; {spent_s:.0f} s\n")
    figures["rows"] = rows_of(figures["runs"], OPTICS.dof_um)


def _run(scope: Scope, method: Method, stage: str, costs: str, start: Start, sharpest_um: float) -> dict[str, Any]:
    end = method.run(scope)
    return {
        "method": method.name,
        "score": method.score,
        "stage": stage,
        "costs": costs,
        **asdict(start),
        "end": end,
        "images": scope.images,
        "moves": scope.moves,
        "rests": scope.rests,
        "travel_um": scope.travel_um,
        "time_ms": scope.elapsed_ms,
        "compute_ms": scope.compute_ms,
        "defocus_um": scope.defocus_um,
        "from_sharpest_um": scope.defocus_um - sharpest_um,
    }


def decision(slide: Slide, artefact: Artefact, model: CompiledModel, repeats: int) -> dict[str, Any]:
    """Time what the engine does between the second image and its answer, on a frame of 25 tiles of 12 bit."""
    side = round(FRAME_RESOLUTIONS * OPTICS.resolution_um / OPTICS.pixel_size_um) + 1
    frames = [_mirrored(slide.scene.expose(z_um, 10.0, shot), side) for shot, z_um in ((1, 3.0), (2, 5.0))]
    optics = PairOptics(OPTICS.na, OPTICS.wavelength_nm, OPTICS.immersion_index, OPTICS.pixel_size_um)
    engine = FocusPairEngine(PairSettings(optics), model)
    options = {"delta_um": DELTA_DOF * OPTICS.dof_um, "bit_depth": slide.scene.bit_depth}
    inputs = engine.prepare(frames[0], frames[1], DELTA_DOF)
    whole, busy, network = [], [], []
    for _ in range(repeats + 3):
        busy_s = time.process_time()
        whole.append(_timed_ms(lambda: engine.measure(frames, options)))
        busy.append((time.process_time() - busy_s) * 1e3)
        network.append(_timed_ms(lambda: model.run(inputs.arrays)))
    whole, busy, network = whole[3:], busy[3:], network[3:]
    found: dict[str, Any] = {
        "tiles": len(inputs.contents),
        "side_px": side,
        "ms": median(whole),
        "processor_ms": median(busy),
        "network_ms": median(network),
        "tiles_per_s": {"onnxruntime, 1 thread": 1e3 * len(inputs.contents) / median(network)},
    }
    try:
        other = open_model(artefact, "openvino", threads=2)
    except ModelError:
        return found
    times = [_timed_ms(lambda: other.run(inputs.arrays)) for _ in range(repeats + 3)][3:]
    found["tiles_per_s"]["OpenVINO, 2 threads"] = 1e3 * len(inputs.contents) / median(times)
    return found


def _mirrored(frame: NDArray[Any], side: int) -> NDArray[Any]:
    """Return a larger frame, continued by its mirror images."""
    rows = np.pad(frame, [(0, max(0, side - frame.shape[0])), (0, max(0, side - frame.shape[1]))], mode="reflect")
    return np.ascontiguousarray(rows[:side, :side])


def _timed_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    sys.exit(main())
