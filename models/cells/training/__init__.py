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
from microscoped.models.cells.training.draws import Field, Stream, simulated_fields
from microscoped.models.cells.training.evaluation import evaluate, interval_factors
from microscoped.models.cells.training.exporting import export_checkpoint
from microscoped.models.cells.training.learning import Learner, learn
from microscoped.models.cells.training.network import Architecture
from microscoped.models.cells.training.reconstructed import reconstructed_images
from microscoped.models.cells.training.sets import calibration_sets
from microscoped.models.learning import Recipe, device_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from microscoped.models.cells.measures import CellTable
    from microscoped.models.cells.training.draws import Images
    from microscoped.models.runtimes import Artefact
    from microscoped.models.training import ExportOptions, Progress, TrainOptions

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
RECONSTRUCTED, LENSFREE_SEED = 96, 500
"""Lens-free frames reconstructed for training, and what is added to their seed: other dishes than those that the
reconstruction's networks were trained on."""
HELD_OUT_FROM, CALIBRATION_FROM, CALIBRATION = 1_000_000, 2_000_000, 12
"""First indices of the reconstructions of the learning curve and of those that fix the intervals, and their number."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the networks.

    Parameters
    ----------
    title
        What it is trained on, for people.
    images
        What it is trained on.
    architecture
        Which network.
    """

    title: str
    images: Images
    architecture: Architecture = Architecture()  # noqa: RUF009 (frozen)


def _flat(*quantities: Quantity) -> Architecture:
    return Architecture("flat", tuple(quantity.value for quantity in quantities or Quantity))


VARIANTS = {
    "a": Variant("clean images", "clean"),
    "b": Variant("images with noise and background", "degraded"),
    "lensfree": Variant("fast lens-free reconstructions", "lensfree"),
    "reference": Variant("clean images, the paper's network", "clean", _flat()),
    "reference-mass": Variant("dry mass in clean images, the paper's network", "clean", _flat(Quantity.DRY_MASS)),
    "reference-mass-area": Variant(
        "dry mass and area in clean images, the paper's network", "clean", _flat(Quantity.DRY_MASS, Quantity.AREA)
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
    # A short training needs few cells.
    most = max(8, recipe.draws // 8)

    def stream(seed: int, part: int) -> Stream:
        if variant.images == "lensfree":
            first = HELD_OUT_FROM if seed else 0
            indices = range(first, first + min(RECONSTRUCTED // part, most))
            made = reconstructed_images(options.folder, options.seed + LENSFREE_SEED, indices, options.progress)
            fields = [Field.of(image, truth, quantities) for image, truth in made]
        else:
            cells, count = min(CELLS // part, most), min(FIELDS // part, most)
            fields = simulated_fields(options.seed * 10 + seed, cells, count, quantities)
        return Stream(fields, variant.architecture.stride, discs=flat, images=variant.images)

    seen, held_out = stream(0, 1), stream(HELD_OUT_SEED, HELD_OUT_PART)
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

    images = calibration_images(variant.images, options.checkpoint.parent, options.progress)
    factors = interval_factors(write({}), images)
    return write({SCORED: factors} if factors else {}).path


def calibration_images(
    images: Images, folder: Path, progress: Progress
) -> Iterator[tuple[NDArray[np.float32], CellTable]]:
    """Yield what fixes the intervals: images as a training's are, of cells that neither it nor evaluation sees.

    Parameters
    ----------
    images
        Which.
    folder
        Keeps reconstructions.
    progress
        Told after each of them.
    """
    if images == "lensfree":
        indices = range(CALIBRATION_FROM, CALIBRATION_FROM + CALIBRATION)
        yield from reconstructed_images(folder, LENSFREE_SEED, indices, progress)
    else:
        for one in calibration_sets(images):
            yield from one.images()


__all__ = ["VARIANTS", "calibration_images", "evaluate", "export", "train"]
