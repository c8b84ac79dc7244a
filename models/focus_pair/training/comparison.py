"""The classical two-image estimator on the evaluation sets, beside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.focus_pair.preprocess import TILE, WORKING_SAMPLING, pair_planes, resample
from microscoped.models.focus_pair.training.baseline import KernelRidge, band_powers
from microscoped.models.focus_pair.training.batches import PERIOD, noise_banks
from microscoped.models.focus_pair.training.draws import DELTA_DOF, Conditions, take_pair
from microscoped.models.focus_pair.training.evaluation import pairs
from microscoped.models.focus_pair.training.shards import read_shard
from microscoped.models.focus_pair.training.statistics import Results

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.focus_pair.training.sets import EvaluationSet
    from microscoped.models.training import Progress

SAMPLES = 4000
HELD_OUT = 0.25


def fit_baseline(folder: Path, pattern: str, seed: int = 0, samples: int = SAMPLES) -> KernelRidge:
    """Fit the estimator to draws of the stained training fields, with the default distance of the two images.

    Parameters
    ----------
    folder, pattern
        Training stacks.
    seed, samples
        Of the draws. Width and ridge of the kernel are chosen on a quarter of the *fields*.
    """
    rng = np.random.default_rng(seed)
    banks = noise_banks(seed)
    stacks = [stack for path in sorted(folder.glob(pattern)) if (stack := read_shard(path)).family != "cells"]
    features, labels, held_out = [], [], []
    for k in rng.integers(len(stacks), size=samples):
        stack = stacks[int(k)]
        conditions = Conditions.draw(rng, stack.codes.shape[0], PERIOD, DELTA_DOF)
        difference, mean = pair_planes(*take_pair(stack, conditions, rng, banks))
        features.append(band_powers(difference, mean, conditions.delta_dof))
        labels.append(conditions.second_dof)
        held_out.append(k < HELD_OUT * len(stacks))
    return KernelRidge.tuned(np.array(features), np.array(labels), np.array(held_out))


def baseline_results(folder: Path, chosen: EvaluationSet, model: KernelRidge, progress: Progress) -> Results:
    """Return the estimator's results on a set: the median over the tiles of each field.

    Parameters
    ----------
    folder
        Where rendered stacks are kept.
    chosen
        The set.
    model
        From `fit_baseline`.
    progress
        Told after every slide.
    """
    rows: list[tuple[float, ...]] = []
    for specimen in range(chosen.specimens):
        for field in range(chosen.fields):
            slide, found = pairs(folder, chosen, specimen, field)
            for pair in found:
                frames = (resample(frame, float(WORKING_SAMPLING)) for frame in (pair.first, pair.second))
                difference, mean = pair_planes(*frames)
                tiles = [
                    (slice(None), slice(row, row + TILE), slice(column, column + TILE))
                    for row in range(0, mean.shape[1] - TILE + 1, TILE)
                    for column in range(0, mean.shape[2] - TILE + 1, TILE)
                ]
                table = np.stack([band_powers(difference[tile], mean[tile], pair.delta_dof) for tile in tiles])
                told = float(np.median(model.predict(table)))
                dof_um = slide.field.dof_um
                rows.append((specimen, field, pair.truth_dof * dof_um, told * dof_um, float(pair.straddling)))
        progress.update(specimen + 1, chosen.specimens)
    specimens, fields, truth, told_um, straddling = np.array(rows).T
    nothing = np.zeros(len(rows), bool)
    unknown = np.full(len(rows), np.nan)
    return Results(
        specimen=specimens.astype(np.int64),
        field=fields.astype(np.int64),
        truth_um=truth,
        estimate_um=told_um,
        half_um=unknown,
        expected_um=unknown,
        abstained=nothing,
        empty=nothing,
        straddling=straddling.astype(np.bool_),
    )


__all__ = ["baseline_results", "fit_baseline"]
