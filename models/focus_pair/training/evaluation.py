"""Runs estimators on evaluation sets. Stacks are rendered once and kept."""

from __future__ import annotations

import io
import multiprocessing
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from microscoped.models.focus_pair.engine import FocusPairEngine, PairSettings
from microscoped.models.focus_pair.estimate import EstimateSettings
from microscoped.models.focus_pair.optics import Character, PairOptics
from microscoped.models.focus_pair.preprocess import WORKING_SAMPLING
from microscoped.models.focus_pair.training.draws import take_pair
from microscoped.models.focus_pair.training.sets import BASE_SEED, EvaluationSet, Slide, evaluation_set
from microscoped.models.focus_pair.training.shards import read_shard, render_shard
from microscoped.models.focus_pair.training.statistics import Results
from microscoped.models.runtimes import load_artefact, open_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.engine import Reading
    from microscoped.models.training import Progress

ROW_NOISE = 0.004
"""Standard deviation of the rows' own errors, relative to the frame's mean."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames of a field, as an engine gets them, and the truth.

    Parameters
    ----------
    first, second
        Shape (height, width) or (height, width, 3).
    delta_dof, truth_dof
        Commanded distance, and true defocus of the second frame.
    straddling
        Whether the focus lies between the two.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    delta_dof: float
    truth_dof: float
    straddling: bool


def pairs(folder: Path, chosen: EvaluationSet, specimen: int, field: int) -> tuple[Slide, list[Pair]]:
    """Return all pairs of a field; its stack is rendered if it is not there."""
    slide = chosen.slide(specimen)
    name = f"eval{chosen.number:02d}-{specimen:03d}-{field:02d}"
    stack = read_shard(render_shard(folder, name, lambda: chosen.field(specimen, field)))
    rng = np.random.default_rng((BASE_SEED, chosen.number, specimen, field, 1))
    sensor = replace(slide.conditions.sensor, level=slide.conditions.sensor.level * slide.light)
    found = []
    for first_um in chosen.first_um(specimen, field):
        conditions = replace(slide.conditions, first_dof=float(first_um) / stack.dof_um, sensor=sensor)
        first, second = (_as_recorded(frame, slide, rng) for frame in take_pair(stack, conditions, rng))
        truth = conditions.second_dof
        found.append(Pair(first, second, conditions.delta_dof, truth, conditions.first_dof < 0 < truth))
    return slide, found


def _as_recorded(frame: NDArray[np.float32], slide: Slide, rng: np.random.Generator) -> NDArray[np.float32]:
    if slide.noise == "row":
        frame = frame + rng.normal(0.0, ROW_NOISE * float(frame.mean()), (1, frame.shape[1], 1)).astype(np.float32)
    pixels = np.moveaxis(frame, 0, 2) if frame.shape[0] == 3 else frame[0]
    if slide.jpeg_quality is not None:
        sensor = slide.conditions.sensor
        scale = 255.0 / (2.0**sensor.bit_depth - 1.0 - sensor.offset)
        image = Image.fromarray(np.clip(np.rint(pixels * scale), 0, 255).astype(np.uint8))
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=slide.jpeg_quality)
        pixels = np.asarray(Image.open(packed)).astype(np.float32)
    return pixels


def engine_for(artefact: Path, slide: Slide, settings: EstimateSettings | None = None) -> FocusPairEngine:
    """Return an engine for the frames of a slide, which lie on the working grid already."""
    lateral_um = slide.field.wavelength_um / slide.field.na
    optics = PairOptics(slide.field.na, slide.field.wavelength_um * 1e3, 1.0, lateral_um / WORKING_SAMPLING)
    model = open_model(load_artefact(artefact), "onnxruntime")
    character = slide.field.character if slide.known else Character()
    return FocusPairEngine(PairSettings(optics, estimate=settings or EstimateSettings(), character=character), model)


def evaluate_slide(
    folder: Path, artefacts: list[Path], set_name: str, specimen: int, settings: EstimateSettings, most_fields: int
) -> list[Results]:
    """Return the results of each network on all pairs of a slide's first fields."""
    chosen = evaluation_set(set_name)
    engines = [engine_for(artefact, chosen.slide(specimen), settings) for artefact in artefacts]
    rows: list[list[tuple[float, ...]]] = [[] for _ in engines]
    for field in range(min(chosen.fields, most_fields)):
        slide, found = pairs(folder, chosen, specimen, field)
        dof_um = slide.field.dof_um
        for pair in found:
            inputs = engines[0].prepare(pair.first, pair.second, pair.delta_dof)
            for engine, mine in zip(engines, rows, strict=True):
                mine.append((specimen, field, *_row(engine.interpret(inputs), pair, dof_um)))
    return [_results(mine) for mine in rows]


def _row(reading: Reading, pair: Pair, dof_um: float) -> tuple[float, ...]:
    found = reading.found
    told = found.defocus_dof is not None
    half = (found.interval_dof[1] - found.interval_dof[0]) / 2.0 if found.interval_dof else float("nan")
    # Where the engine abstains its error counts all the same: that of the median tile.
    guess = found.defocus_dof if found.defocus_dof is not None else float(np.median(reading.defocus_dof))
    empty = found.reason == "empty"
    return (
        pair.truth_dof * dof_um,
        (0.0 if empty else guess) * dof_um,
        half * dof_um,
        found.expected_error_dof * dof_um,
        float(not told),
        float(empty),
        float(pair.straddling),
    )


def _results(rows: list[tuple[float, ...]]) -> Results:
    columns = np.array(rows, float).T
    kinds = {"specimen": np.int64, "field": np.int64, "abstained": np.bool_, "empty": np.bool_, "straddling": np.bool_}
    names = [one.name for one in dataclass_fields(Results)]
    return Results(**{n: column.astype(kinds.get(n, np.float64)) for n, column in zip(names, columns, strict=True)})


def _job(
    job: tuple[Path, list[Path], str, int, EstimateSettings, int],
) -> list[Results]:
    return evaluate_slide(*job)


def evaluate_set(
    folder: Path,
    artefacts: list[Path],
    set_name: str,
    progress: Progress,
    processes: int = 1,
    settings: EstimateSettings | None = None,
    most_fields: int | None = None,
) -> list[Results]:
    """Return the results of each network on a set.

    Parameters
    ----------
    folder
        Where rendered stacks are kept.
    artefacts
        ONNX files of the networks.
    set_name
        One of ``sets.SETS``.
    progress
        Told after every slide.
    processes
        How many at once.
    settings
        How tiles are combined.
    most_fields
        Fields of each specimen, where fewer than all shall do.
    """
    chosen = evaluation_set(set_name)
    jobs = [
        (folder, artefacts, set_name, k, settings or EstimateSettings(), most_fields or chosen.fields)
        for k in range(chosen.specimens)
    ]
    parts: list[list[Results]] = []
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for part in pool.imap(_job, jobs):
            parts.append(part)
            progress.update(len(parts), len(jobs))
    return [
        Results(**{n: np.concatenate([getattr(part[k], n) for part in parts]) for n in Results.__dataclass_fields__})
        for k in range(len(artefacts))
    ]


__all__ = ["Pair", "engine_for", "evaluate_set", "evaluate_slide", "pairs"]
