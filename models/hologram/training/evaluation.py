"""Scores of the distance network, alone and refined, beside the search, on bodies that no training has seen."""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from microscoped.models.hologram.distance import DistanceRange
from microscoped.models.hologram.measurement import DistanceMethod, MeasureSettings, measure_cells
from microscoped.models.hologram.network import DistanceNetwork
from microscoped.models.hologram.training.draws import OPTICS, RANGE_UM
from microscoped.models.hologram.training.sets import SETS, calibration_set, evaluation_set
from microscoped.models.runtimes import load_artefact, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from microscoped.models.hologram.measurement import CellMeasurement
    from microscoped.models.hologram.training.sets import EvaluationSet, Truth
    from microscoped.models.runtimes import Artefact
    from microscoped.models.training import EvaluateOptions, Progress

LOG = "evaluations.jsonl"
RESAMPLES = 1000
SEARCH_BEYOND_UM = 3.0
"""The range that is searched goes so far beyond that in which bodies lie."""
PLANES_EVERY = 4
"""The search of 90 planes is run on every fourth batch of crops."""
BINS: Mapping[str, tuple[tuple[str, float, float], ...]] = {
    "abs_z_um": (("0-5", 0.0, 5.0), ("5-10", 5.0, 10.0), ("10-15", 10.0, 15.01)),
    "neighbour_um": (("10-15", 0.0, 15.0), ("15-25", 15.0, 25.01), ("none", 25.01, math.inf)),
    "speckle": (("0-0.017", 0.0, 0.017), ("0.017-0.033", 0.017, 0.033), ("0.033-0.05", 0.033, 0.06)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What a method told of a set; arrays of shape (cells,).

    Parameters
    ----------
    body
        Number of the body.
    z_um, min_contrast_um
        Errors of the middle and of the plane of least contrast; NaN where there is no answer, or no truth.
    half_um
        Half widths of the 90 % intervals.
    abstained
        Whether there is no distance.
    where
        What cells are sorted by.
    """

    body: NDArray[np.int64]
    z_um: NDArray[np.float64]
    min_contrast_um: NDArray[np.float64]
    half_um: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    where: Mapping[str, NDArray[np.float64]]


def evaluate(options: EvaluateOptions) -> Mapping[str, JsonValue]:
    """Score an artefact; see `microscoped.models.training.Training`.

    The network's own interval is given its factor on whole holograms of other bodies. Every run is added to
    ``evaluations.jsonl`` in the folder, with the hash of the weights. ``fields`` is of 40: 4 takes a tenth of each set.
    """
    names = list(options.splits) or [known.name for known in SETS if not known.name.startswith("calibration")]
    chosen = [evaluation_set(name) for name in names]
    artefact = load_artefact(options.artefact)
    part = 1.0 if options.fields is None else min(1.0, options.fields / 40.0)
    report: dict[str, Any] = {}
    with open_model(artefact, "onnxruntime", threads=1) as model:
        network = DistanceNetwork(model, artefact)
        held_back = calibration_set(cast("list[str]", artefact.sidecar.training["kinds"]))
        fixing = measured(held_back, DistanceMethod.NETWORK, network, part, options.progress)
        known = np.isfinite(fixing.half_um) & np.isfinite(fixing.z_um)
        factor = network.factor
        if known.any():
            factor *= float(np.percentile(np.abs(fixing.z_um[known]) / fixing.half_um[known], 90))
        report["calibration"] = {"interval_factor": factor}
        for one in chosen:
            report[one.name] = {
                method.value: summary(
                    measured(one, method, network, part, options.progress),
                    factor / network.factor if method is DistanceMethod.NETWORK else 1.0,
                )
                for method in DistanceMethod
            }
    _log(options, artefact, report)
    return report


def measured(
    chosen: EvaluationSet, method: DistanceMethod, network: DistanceNetwork, part: float, progress: Progress
) -> Results:
    """Measure a set with one method."""
    settings = MeasureSettings(method=method)
    within = DistanceRange(RANGE_UM[0] - SEARCH_BEYOND_UM, RANGE_UM[1] + SEARCH_BEYOND_UM)
    truths: list[Truth] = []
    found: list[CellMeasurement] = []
    for number, truth in enumerate(chosen.fields(part)):
        if method is DistanceMethod.PLANES and number % PLANES_EVERY:
            continue
        found += measure_cells(truth.field, truth.cells, within, settings, network)
        truths.append(truth)
        progress.update(number + 1, number + 2)

    def joined(values: Callable[[Truth], NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.concatenate([values(truth) for truth in truths])

    z, offset = joined(lambda truth: truth.z_um), joined(lambda truth: truth.offset_um)
    least = np.array([np.nan if one.z_min_contrast is None else one.z_min_contrast for one in found])
    return Results(
        body=np.concatenate([truth.body for truth in truths]),
        z_um=np.array([np.nan if one.z is None else one.z for one in found]) - z,
        min_contrast_um=least - z - offset,
        half_um=np.array([np.nan if one.half_width is None else one.half_width for one in found]),
        abstained=np.isnan(least),
        where={
            "abs_z_um": np.abs(z),
            "neighbour_um": joined(lambda truth: truth.neighbour_um),
            "speckle": joined(lambda truth: truth.speckle),
        },
    )


def summary(results: Results, widened: float = 1.0) -> dict[str, Any]:
    """Return the figures of a method on a set.

    Parameters
    ----------
    results
        From `measured`.
    widened
        Factor of the network's own intervals; those of other methods stay.

    Returns
    -------
    Of the middle's errors, and where the method tells only the plane of least contrast of that one's: median, p95, bias
    (median of signed errors), each in µm; the part beyond 2 µm; a 95 % interval of the median by bootstrap over bodies;
    abstentions; how many intervals hold the truth; medians of parts.
    """
    middle = bool(np.isfinite(results.z_um).any())
    error = results.z_um if middle else results.min_contrast_um
    known = np.isfinite(error)
    figures: dict[str, Any] = {"cells": int(error.size), "abstained_fraction": float(results.abstained.mean())}
    if not known.any():
        return figures
    absolute = np.abs(error[known])
    figures |= {
        "of": "z_um" if middle else "z_min_contrast_um",
        "median_um": float(np.median(absolute)),
        "median_interval_um": bootstrap(absolute, results.body[known]),
        "p95_um": float(np.percentile(absolute, 95)),
        "bias_um": float(np.median(error[known])),
        "beyond_2_um_fraction": float(np.mean(absolute > 2.0)),
        "coverage": float(np.mean(absolute <= widened * results.half_um[known])),
    }
    contrast = results.min_contrast_um[np.isfinite(results.min_contrast_um)]
    if middle and contrast.size:
        figures["min_contrast_median_um"] = float(np.median(np.abs(contrast)))
        figures["min_contrast_p95_um"] = float(np.percentile(np.abs(contrast), 95))
    for name, bins in BINS.items():
        values = results.where[name][known]
        for label, low, high in bins:
            here = absolute[(values >= low) & (values < high)]
            if name == "neighbour_um" and label == "none":
                here = absolute[values >= low]
            if here.size >= 20:
                figures[f"{name}_{label}"] = [float(np.median(here)), float(np.percentile(here, 95)), int(here.size)]
    return figures


def bootstrap(absolute: NDArray[np.float64], body: NDArray[np.int64], seed: int = 0) -> list[float]:
    """Return a 95 % interval of the median, by resampling bodies."""
    rng = np.random.default_rng(seed)
    by_body = [absolute[body == k] for k in np.unique(body)]
    medians = [
        float(np.median(np.concatenate([by_body[k] for k in rng.integers(len(by_body), size=len(by_body))])))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(medians, [2.5, 97.5])
    return [float(low), float(high)]


def _log(options: EvaluateOptions, artefact: Artefact, report: Mapping[str, Any]) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    entry = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "weights_sha256": artefact.sidecar.sha256,
        "optics": {"na": OPTICS.na, "wavelength_nm": OPTICS.wavelength_nm},
        "fields": options.fields,
        "report": report,
    }
    with (options.folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")


__all__ = ["Results", "bootstrap", "evaluate", "measured", "summary"]
