"""Scores of a network of cells on cells that no training has seen."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.metrics import structural_similarity

from microscoped.models.cells.heatmaps import disc_maps
from microscoped.models.cells.network import CellNetwork
from microscoped.models.cells.quantities import TYPICAL, Quantity
from microscoped.models.cells.scores import pair_cells, score
from microscoped.models.cells.training.sets import SETS, evaluation_set
from microscoped.models.runtimes import load_artefact, open_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from microscoped.models.cells.measures import CellTable
    from microscoped.models.cells.network import HeatMaps
    from microscoped.models.cells.scores import Figure
    from microscoped.models.cells.training.sets import EvaluationSet
    from microscoped.models.runtimes import Artefact
    from microscoped.models.training import EvaluateOptions

LOG = "evaluations.jsonl"
COVERAGE = 90.0
"""Percent of the intervals that are to hold the truth."""


def interval_factors(artefact: Artefact, images: Iterable[tuple[NDArray[np.float32], CellTable]]) -> dict[str, float]:
    """Return what makes a network's expected errors half widths of 90 % intervals, by quantity.

    Parameters
    ----------
    artefact
        The network; one that tells no errors has no factors.
    images
        As those of its training, with the tables of perfect measurements, of cells that neither training nor evaluation
        sees.
    """
    with open_model(artefact, "onnxruntime", threads=1) as model:
        network = CellNetwork(model, artefact)
        ratios: dict[Quantity, list[NDArray[np.float64]]] = {quantity: [] for quantity in network.quantities}
        for image, truth in images:
            found = network.table(image, truth.pixel_um)
            pairs = pair_cells(truth, found)
            true, own = pairs.true[pairs.counted], pairs.found[pairs.counted]
            for quantity, parts in ratios.items():
                error = np.abs(found.column(quantity)[own] - truth.column(quantity)[true])
                parts.append(error / (found.half_widths(quantity)[own] / network.factor(quantity)))
    known = {quantity: np.concatenate(parts) for quantity, parts in ratios.items()}
    return {
        quantity.value: float(np.percentile(ratio, COVERAGE))
        for quantity, ratio in known.items()
        if ratio.size and np.isfinite(ratio).all()
    }


def evaluate(options: EvaluateOptions) -> Mapping[str, JsonValue]:
    """Score an artefact; see `microscoped.models.training.Training`.

    Cells at the border do not count. Every run is added to ``evaluations.jsonl`` in the folder, with the hash of the
    weights. ``fields`` is of 24: 6 takes a quarter of each set.
    """
    chosen = [evaluation_set(name) for name in options.splits] or list(SETS)
    artefact = load_artefact(options.artefact)
    part = 1.0 if options.fields is None else min(1.0, options.fields / 24.0)
    report: dict[str, Any] = {}
    with open_model(artefact, "onnxruntime", threads=1) as model:
        network = CellNetwork(model, artefact)
        for done, one in enumerate(chosen):
            report[one.name] = _scored(network, one, part)
            options.progress.update(done + 1, len(chosen))
    options.folder.mkdir(parents=True, exist_ok=True)
    entry = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "weights_sha256": artefact.sidecar.sha256,
        "fields": options.fields,
        "report": report,
    }
    with (options.folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
    return report


def _scored(network: CellNetwork, one: EvaluationSet, part: float) -> dict[str, Any]:
    tables: list[tuple[CellTable, CellTable]] = []
    likeness: dict[Quantity, list[float]] = {quantity: [] for quantity in network.quantities}
    for image, truth in one.images(part):
        tables.append((truth, network.table(image, truth.pixel_um)))
        maps = network.maps(image, truth.pixel_um)
        for quantity, values in likeness.items():
            values.append(_likeness(maps, truth, quantity))
    figures = score(tables)
    summary: dict[str, Any] = {name: _told(value) for name, value in asdict(figures.detection).items()}
    for quantity in network.quantities:
        summary[quantity.value] = {
            **{name: _told(value) for name, value in asdict(figures.quantities[quantity]).items()},
            "ssim": round(float(np.mean(likeness[quantity])), 4),
        }
    return summary


def _likeness(maps: HeatMaps, truth: CellTable, quantity: Quantity) -> float:
    """Return the structural similarity of a heat map and that of the truth."""
    seen = maps.discs(quantity)
    places = (truth.places_px - maps.offset_px) / maps.stride
    (true,) = disc_maps(places, truth.column(quantity)[:, None], (seen.shape[0], seen.shape[1]), maps.pixel_um)
    return float(structural_similarity(true, seen, data_range=2.0 * TYPICAL[quantity]))  # type: ignore[no-untyped-call]


def _told(value: Figure | Mapping[str, float] | Sequence[float] | float) -> object:
    """Return a figure as [value, low, high]."""
    if isinstance(value, dict):
        return [round(float(value[name]), 4) for name in ("value", "low", "high")]
    return value


__all__ = ["evaluate", "interval_factors"]
