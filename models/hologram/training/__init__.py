"""Training, export and evaluation of the distance networks; needs the extra ``train``.

See `microscoped.models.training`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from microscoped.models.hologram.training.draws import Stream, sources
from microscoped.models.hologram.training.evaluation import evaluate
from microscoped.models.hologram.training.exporting import export_checkpoint
from microscoped.models.hologram.training.learning import Learner, learn
from microscoped.models.hologram.training.network import Architecture
from microscoped.models.learning import Recipe, device_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from microscoped.models.training import ExportOptions, TrainOptions
    from microscoped.simulators.holograms import BodyKind

RECIPE = Recipe(draws=600_000, peak_rate=2e-3, huber=0.3, warm_up_draws=12_000)
VARIANT = "variant.json"
HELD_OUT_PART = 10
"""Bodies for the learning curve: a tenth as many as for training."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the networks.

    Parameters
    ----------
    title
        What it is trained on, for people.
    kinds
        How many bodies of each kind.
    architecture
        What it reads.
    """

    title: str
    kinds: Mapping[BodyKind, int]
    architecture: Architecture = Architecture()  # noqa: RUF009 (frozen)


CELLS: Mapping[BodyKind, int] = {"red_cell": 1200, "irregular": 1500}
"""With as many cells of no particular shape: from red cells alone a network learns their shape by heart."""
BEADS: Mapping[BodyKind, int] = {"bead": 300}
VARIANTS = {
    "both": Variant("cells and 9 µm beads", {**CELLS, **BEADS}),
    "cells": Variant("cells", CELLS),
    "beads": Variant("9 µm beads", BEADS),
    "amplitude": Variant("cells, by amplitude alone", CELLS, Architecture("amplitude")),
    "unfiltered": Variant("cells, in unfiltered holograms", CELLS, Architecture("hologram")),
}
"""``both``, ``cells`` and ``beads`` are shipped; the other two are there to be compared."""


def train(options: TrainOptions) -> Path:
    """Render bodies and train on draws of them; see `microscoped.models.training.Training`."""
    torch.set_num_threads(1)
    name = options.variant or "both"
    if name not in VARIANTS:
        raise ValueError(f"variant {name!r}: there are {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    recipe = replace(RECIPE, seed=options.seed)
    recipe = replace(recipe, draws=options.draws if options.draws is not None else recipe.draws)
    learner = Learner(options.folder, variant.architecture, recipe, device_of(options.device))
    learner.begin(resume=options.resume)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / VARIANT).write_text(json.dumps({"variant": name}), encoding="utf-8")
    raw = variant.architecture.reads == "hologram"
    # A short training on few draws needs few bodies.
    most = max(3, recipe.draws // 100)
    kinds = {kind: min(count, most) for kind, count in variant.kinds.items()}
    fewer = {kind: max(3, count // HELD_OUT_PART) for kind, count in kinds.items()}
    seen, held_out = (
        Stream(sources(bodies, (options.seed, part)), raw=raw) for part, bodies in enumerate((kinds, fewer))
    )
    learn(learner, seen, held_out, options.progress)
    return learner.checkpoint


def export(options: ExportOptions) -> Path:
    """Write the artefact of a checkpoint; see `microscoped.models.training.Training`."""
    noted = options.checkpoint.with_name(VARIANT)
    if not noted.exists():
        raise ValueError(f"{noted}: is missing; it says beside the checkpoint which variant was trained")
    name = json.loads(noted.read_text(encoding="utf-8"))["variant"]
    variant = VARIANTS[name]
    return export_checkpoint(
        options.checkpoint, options.folder, variant.title, list(variant.kinds), f"hologram_{name}"
    ).path


__all__ = ["VARIANTS", "evaluate", "export", "train"]
