"""Training, export and evaluation of the networks between iterations; needs the extra ``train``.

See `microscoped.models.training`. Pairs are made first, in the folder that the variants share, and go on being made
where they were left; all variants learn from the same ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch

from microscoped.models.learning import Recipe, device_of
from microscoped.models.lensfree.training.evaluation import evaluate
from microscoped.models.lensfree.training.exporting import export_checkpoint
from microscoped.models.lensfree.training.learning import Learner, Patches, Task, learn
from microscoped.models.lensfree.training.network import FLAT, LIGHT, Architecture
from microscoped.models.lensfree.training.pairs import PairRecipe, make_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.training import ExportOptions, TrainOptions

VARIANT = "variant.json"
FRAMES = 200
"""Reconstructed for training."""
HELD_OUT_FROM = 1_000_000
"""First index of the frames of the learning curve, a tenth of those of training."""
DRAWS_OF_A_PAIR = 40
"""At least, so that a short training makes few pairs."""
FEWEST_PAIRS = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the networks.

    Parameters
    ----------
    title
        For people.
    task
        What it is for.
    architecture
        Which network.
    recipe
        How it is trained.
    """

    title: str
    task: Task
    architecture: Architecture
    recipe: Recipe


RECIPE = Recipe(draws=20_000, batch=8, peak_rate=2e-3, warm_up_draws=500, huber=0.15, average=0.998)
LIGHT_RECIPE = replace(RECIPE, draws=60_000)
VARIANTS = {
    "unwrap": Variant(
        "Unwraps path differences within a reconstruction (after Allier 2022)", "unwrap", LIGHT, LIGHT_RECIPE
    ),
    "accelerate": Variant("From 10 iterations to 153, the paper's network (Allier 2022)", "accelerate", FLAT, RECIPE),
    "accelerate-light": Variant(
        "From 10 iterations to 153, a lighter network (after Allier 2022)",
        "accelerate",
        LIGHT,
        LIGHT_RECIPE,
    ),
}
PAIRS = PairRecipe()


def train(options: TrainOptions) -> Path:
    """Make the pairs that are missing and train on them; see `microscoped.models.training.Training`.

    The checkpoint goes into a folder of the variant's name.
    """
    torch.set_num_threads(1)
    name = options.variant or "accelerate-light"
    if name not in VARIANTS:
        raise ValueError(f"variant {name!r}: there are {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    recipe = replace(variant.recipe, seed=options.seed)
    recipe = replace(recipe, draws=options.draws if options.draws is not None else recipe.draws)
    learner = Learner(options.folder / name, variant.architecture, recipe, device_of(options.device))
    learner.begin(resume=options.resume)
    pairs = replace(PAIRS, seed=options.seed)
    count = max(FEWEST_PAIRS, min(FRAMES, recipe.draws // DRAWS_OF_A_PAIR))
    kept = max(1, count // 10)
    indices = [*range(count), *range(HELD_OUT_FROM, HELD_OUT_FROM + kept)]
    files = make_pairs(pairs, options.folder, indices, options.processes, options.progress)
    learner.folder.mkdir(parents=True, exist_ok=True)
    told = {**asdict(pairs), "folder": pairs.name, "frames": count}
    (learner.folder / VARIANT).write_text(json.dumps({"variant": name, "pairs": told}), encoding="utf-8")
    learn(learner, Patches(files[:count], variant.task), Patches(files[count:], variant.task), options.progress)
    return learner.checkpoint


def export(options: ExportOptions) -> Path:
    """Write the artefact of a checkpoint; see `microscoped.models.training.Training`."""
    noted = options.checkpoint.with_name(VARIANT)
    if not noted.exists():
        raise ValueError(f"{noted}: is missing; it says beside the checkpoint which variant was trained")
    told = json.loads(noted.read_text(encoding="utf-8"))
    name = told["variant"]
    variant = VARIANTS[name]
    return export_checkpoint(
        options.checkpoint, options.folder, artefact_name(name), variant.title, variant.task, told["pairs"]
    ).path


def artefact_name(variant: str) -> str:
    """Return the name of a variant's network in ``models/weights``."""
    return "lensfree_" + variant.replace("-", "_")


__all__ = ["VARIANTS", "artefact_name", "evaluate", "export", "train"]
