"""How the networks are trained on pairs; the training itself is `microscoped.models.learning`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn

from microscoped.models import learning
from microscoped.models.lensfree.network import UNIT_NM
from microscoped.models.lensfree.training.network import Architecture, ChangeNet
from microscoped.models.lensfree.training.pairs import read_pair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from microscoped.models.training import Progress

    Batch = tuple[NDArray[np.float32], NDArray[np.float32]]

Task = Literal["unwrap", "accelerate"]

PATCH_PX = 128
"""Side of the images in training."""
ABSORPTION_WEIGHT = 0.3
"""Of the absorption's loss against that of the path difference."""
SETTLED = 0.85
"""From this part of the draws on, batch normalisation keeps its statistics; see the training of cells."""
VALIDATION_DRAWS = 32
VALIDATE_EVERY = 1_000


class Patches:
    """Draws from pairs: windows of frames, turned and mirrored. Holds all pairs in memory.

    Parameters
    ----------
    files
        Of the pairs.
    task
        To unwrap is to reach what is true from any of the early maps; to accelerate, the end from the first of them.
    """

    def __init__(self, files: Sequence[Path], task: Task) -> None:
        unwrap = task == "unwrap"
        # Half precision, as in the files.
        self._pairs = [
            ((early if unwrap else early[:1]).astype(np.float16), (true if unwrap else late).astype(np.float16))
            for early, late, true in map(read_pair, files)
        ]

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        """Return what a network sees and what it is to make of it, each of shape (count, 2, rows, columns)."""
        drawn = [self._one(rng) for _ in range(count)]
        return np.stack([seen for seen, _ in drawn]), np.stack([aim for _, aim in drawn])

    def _one(self, rng: np.random.Generator) -> Batch:
        early, aim = self._pairs[int(rng.integers(len(self._pairs)))]
        both = np.concatenate([early[int(rng.integers(len(early)))], aim])
        side = min(PATCH_PX, *both.shape[1:])
        top, left = (int(rng.integers(size - side + 1)) for size in both.shape[1:])
        both = np.rot90(both[:, top : top + side, left : left + side], int(rng.integers(4)), (1, 2))
        if rng.uniform() < 0.5:
            both = both[:, :, ::-1]
        both = both.astype(np.float32)
        return both[:2], both[2:]


class Learner(learning.Learner[ChangeNet]):
    """One run of training in a folder; parameters as in `microscoped.models.learning.Learner`."""

    def __init__(self, folder: Path, architecture: Architecture, recipe: learning.Recipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(folder, ChangeNet(architecture), recipe, (), device)

    def step(self, batch: Batch) -> float:
        """Learn from one batch; return the mean absolute error of the path difference in nm."""
        self.network.train(self.draws < SETTLED * self.recipe.draws)
        value, error = self._loss(self.network, batch)
        self.learn_from(value, len(batch[0]))
        return error

    @torch.no_grad()
    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Return figures of the averaged network, and the error of what it was given."""
        errors = [self._loss(self.average, batch)[1] for batch in batches]
        given = [float(np.abs(seen[:, 0] - aim[:, 0]).mean()) * UNIT_NM for seen, aim in batches]
        return {
            "valid_mean_nm": round(float(np.mean(errors)), 4),
            "valid_unchanged_nm": round(float(np.mean(given)), 4),
        }

    def _loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        seen, aim = (torch.from_numpy(part).to(self.device) for part in batch)
        made = network(seen.to(memory_format=torch.channels_last))
        delta = self.recipe.huber
        opd, absorption = (nn.functional.huber_loss(made[:, k], aim[:, k], delta=delta) / delta for k in range(2))
        error = float((made[:, 0] - aim[:, 0]).abs().mean().detach()) * UNIT_NM
        return opd + ABSORPTION_WEIGHT * absorption, error


def learn(learner: Learner, seen: Patches, held_out: Patches, progress: Progress) -> None:
    """Train to the end of the recipe.

    Parameters
    ----------
    learner
        New or resumed.
    seen, held_out
        Draws for training, and of other frames for the learning curve.
    progress
        Told after every step.
    """
    recipe = learner.recipe
    fixed = np.random.default_rng((recipe.seed, 1))
    validation = [
        held_out.draw(fixed, recipe.batch) for _ in range(max(1, min(VALIDATION_DRAWS, recipe.draws) // recipe.batch))
    ]
    rng = np.random.default_rng((recipe.seed, 2, learner.draws))
    learner.run(
        lambda: learner.step(seen.draw(rng, recipe.batch)),
        lambda: learner.validate(validation),
        progress,
        VALIDATE_EVERY,
        "train_mean_nm",
    )


__all__ = ["PATCH_PX", "Learner", "Patches", "Task", "learn"]
