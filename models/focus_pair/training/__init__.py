"""Training, export and evaluation of the network; needs the extra ``train``. See `microscoped.models.training`."""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from microscoped.models.focus_pair.estimate import EstimateSettings
from microscoped.models.focus_pair.training.evaluation import evaluate_set
from microscoped.models.focus_pair.training.exporting import export_checkpoint
from microscoped.models.focus_pair.training.learning import Learner, Recipe, learn, validation_batches
from microscoped.models.focus_pair.training.network import Architecture
from microscoped.models.focus_pair.training.rendering import (
    TRAINING_PATTERN,
    VALIDATION_PATTERN,
    Renderers,
    validation_fields,
)
from microscoped.models.focus_pair.training.sets import SETS, evaluation_set
from microscoped.models.focus_pair.training.statistics import (
    Results,
    conformal_factor,
    risk_coverage,
    summary,
    with_lines,
)
from microscoped.models.learning import device_of
from microscoped.models.runtimes import load_artefact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue

    from microscoped.models.training import EvaluateOptions, ExportOptions, TrainOptions

VARIANTS = {
    "pair": Architecture("pair", "pooled"),
    "pair-flattened": Architecture("pair", "flattened"),
    "difference": Architecture("difference", "pooled"),
    "single": Architecture("single", "pooled"),
}
MOST_FIELDS = 1300
DRAWS_PER_FIELD = 100
"""Fields are rendered for at least so many draws each, up to `MOST_FIELDS`."""
LOG = "evaluations.jsonl"


def train(options: TrainOptions) -> Path:
    """Render fields and train on them; see `microscoped.models.training.Training`."""
    torch.set_num_threads(1)
    if options.variant is not None and options.variant not in VARIANTS:
        raise ValueError(f"variant {options.variant!r}: there are {', '.join(VARIANTS)}")
    recipe = Recipe(seed=options.seed)
    recipe = replace(recipe, draws=options.draws if options.draws is not None else recipe.draws)
    learner = Learner(options.folder, VARIANTS[options.variant or "pair"], recipe, device_of(options.device))
    learner.begin(resume=options.resume)
    fields = options.folder / "fields"
    count = min(MOST_FIELDS, max(8, math.ceil(recipe.draws / DRAWS_PER_FIELD)))
    with Renderers(fields, options.seed, count, options.processes) as renderers:
        # The first fields are those for validation; training begins when there is some variety beside them.
        renderers.wait_for(min(count, 2 * validation_fields(count) + 4))
        batches = max(1, min(16, recipe.draws // 1000))
        validation = validation_batches(fields, VALIDATION_PATTERN, batches, options.seed)
        learn(learner, fields, TRAINING_PATTERN, validation, options.progress, options.processes)
    return learner.checkpoint


def export(options: ExportOptions) -> Path:
    """Write the artefact of a checkpoint; see `microscoped.models.training.Training`."""
    return export_checkpoint(options.checkpoint, options.folder).path


def evaluate(options: EvaluateOptions) -> Mapping[str, JsonValue]:
    """Score an artefact; see `microscoped.models.training.Training`.

    Figures named ``line_…`` are those after `statistics.with_lines`. The interval's factor comes from the set
    ``calibration``, whose result stands in the report. Every run is added to ``evaluations.jsonl`` in the folder, with
    the hash of the weights.
    """
    names = list(options.splits) or [known.name for known in SETS]
    for name in names:
        evaluation_set(name)
    artefact = load_artefact(options.artefact)
    fields = options.folder / "fields"
    options.folder.mkdir(parents=True, exist_ok=True)
    settings = EstimateSettings(interval_factor=1.0)

    def results(name: str) -> Results:
        found = evaluate_set(
            fields, [options.artefact], name, options.progress, options.processes, settings, options.fields
        )
        return found[0]

    fixing = results("calibration")
    settings = replace(settings, interval_factor=conformal_factor(fixing))
    report: dict[str, Any] = {"calibration": {"interval_factor": settings.interval_factor, **summary(fixing)}}
    for name in names:
        if name != "calibration":
            scored = results(name)
            lines = summary(with_lines(scored))
            report[name] = {
                **summary(scored),
                "line_mean_um": lines["mean_um"],
                "line_mean_interval_um": lines["mean_interval_um"],
                "risk_coverage": [list(point) for point in risk_coverage(scored)],
            }
    entry = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "weights_sha256": artefact.sidecar.sha256,
        "fields": options.fields,
        "report": report,
    }
    with (options.folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, allow_nan=True) + "\n")
    return report


__all__ = ["VARIANTS", "evaluate", "export", "train"]
