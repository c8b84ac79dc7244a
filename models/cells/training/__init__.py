"""Training, export and evaluation of the networks of cells; needs the extra ``train``.

See `microscoped.models.training`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from microscoped.models.cells.network import SCORED
from microscoped.models.cells.quantities import Quantity
from microscoped.models.cells.training.draws import Stream
from microscoped.models.cells.training.evaluation import evaluate, interval_factors
from microscoped.models.cells.training.exporting import export_checkpoint
from microscoped.models.cells.training.learning import Learner, learn
from microscoped.models.cells.training.network import Architecture
from microscoped.models.learning import Recipe, device_of

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.runtimes import Artefact
    from microscoped.models.training import ExportOptions, TrainOptions

RECIPE = Recipe(
    draws=80_000, batch=4, peak_rate=3e-3, warm_up_draws=1_000, huber=0.15, average=0.998, error_weight=0.05
)
FLAT_RECIPE = replace(RECIPE, draws=6_000, batch=4, peak_rate=2e-3, warm_up_draws=200)
VARIANT = "variant.json"
CELLS, FIELDS = 1500, 1600
"""Rendered of each population, and laid out of them; a tenth as many for the learning curve."""
SIDE_PX, FLAT_SIDE_PX = 256, 128
"""Of the images in training."""
HELD_OUT_SEED, HELD_OUT_PART = 1_000, 10


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the networks.

    Parameters
    ----------
    title
        What it is trained on, for people.
    degraded
        Whether on images with noise and background.
    architecture
        Which network.
    """

    title: str
    degraded: bool
    architecture: Architecture = Architecture()  # noqa: RUF009 (frozen)


def _flat(*quantities: Quantity) -> Architecture:
    return Architecture("flat", tuple(quantity.value for quantity in quantities or Quantity))


VARIANTS = {
    "a": Variant("clean images", degraded=False),
    "b": Variant("images with noise and background", degraded=True),
    "reference": Variant("clean images, the paper's network", False, _flat()),
    "reference-mass": Variant("dry mass in clean images, the paper's network", False, _flat(Quantity.DRY_MASS)),
    "reference-mass-area": Variant(
        "dry mass and area in clean images, the paper's network", False, _flat(Quantity.DRY_MASS, Quantity.AREA)
    ),
}
"""``a``, ``b`` and ``reference`` are shipped; the others are there to be compared."""


def train(options: TrainOptions) -> Path:
    """Render cells and train on draws of them; see `microscoped.models.training.Training`."""
    torch.set_num_threads(1)
    name = options.variant or "b"
    if name not in VARIANTS:
        raise ValueError(f"variant {name!r}: there are {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    flat = variant.architecture.kind == "flat"
    recipe = replace(FLAT_RECIPE if flat else RECIPE, seed=options.seed)
    recipe = replace(recipe, draws=options.draws if options.draws is not None else recipe.draws)
    learner = Learner(options.folder, variant.architecture, recipe, device_of(options.device))
    learner.begin(resume=options.resume)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / VARIANT).write_text(json.dumps({"variant": name}), encoding="utf-8")
    quantities = tuple(Quantity(one) for one in variant.architecture.quantities)
    # A short training on few draws needs few cells.
    most = max(8, recipe.draws // 8)
    seen, held_out = (
        Stream(
            options.seed * 10 + seed,
            min(CELLS // part, most),
            min(FIELDS // part, most),
            quantities,
            variant.architecture.stride,
            discs=flat,
            degraded=variant.degraded,
        )
        for seed, part in ((0, 1), (HELD_OUT_SEED, HELD_OUT_PART))
    )
    learn(learner, seen, held_out, FLAT_SIDE_PX if flat else SIDE_PX, options.progress)
    return learner.checkpoint


def export(options: ExportOptions) -> Path:
    """Write the artefact of a checkpoint; see `microscoped.models.training.Training`."""
    noted = options.checkpoint.with_name(VARIANT)
    if not noted.exists():
        raise ValueError(f"{noted}: is missing; it says beside the checkpoint which variant was trained")
    name = json.loads(noted.read_text(encoding="utf-8"))["variant"]
    variant = VARIANTS[name]

    def write(scores: dict[str, Any]) -> Artefact:
        return export_checkpoint(options.checkpoint, options.folder, variant.title, f"cells_{name}", scores)

    factors = interval_factors(write({}), degraded=variant.degraded)
    return write({SCORED: factors} if factors else {}).path


__all__ = ["VARIANTS", "evaluate", "export", "train"]
