"""Training on simulated images of cells; see `microscoped.models.learning`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from microscoped.models import learning
from microscoped.models.cells.training.network import Architecture, make

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from microscoped.models.cells.training.draws import Draw, Stream
    from microscoped.models.training import Progress

CENTRE_WEIGHT = 20.0
"""Of the cones' loss: cones fill a tenth of the image."""
DISC_WEIGHT = 10.0
ERROR_FLOOR = -6.0
"""Smallest logarithm of an expected error, relative to a typical quantity."""
SETTLED = 0.85
"""From this part of the draws on, batch normalisation keeps its statistics. Those of a few images, of which some are
empty, differ from the mean ones that are used afterwards: a network trained with them alone reads 3 % too little."""
VALIDATION_IMAGES = 24
VALIDATE_EVERY = 2_000


class Learner(learning.Learner[nn.Module]):
    """One run of training in a folder; parameters as in `microscoped.models.learning.Learner`."""

    def __init__(self, folder: Path, architecture: Architecture, recipe: learning.Recipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(folder, make(architecture), recipe, (), device)
        self.architecture = architecture

    def step(self, draw: Draw) -> float:
        """Learn from one batch; return the mean absolute error of the quantities, relative to typical ones."""
        self.network.train(self.draws < SETTLED * self.recipe.draws)
        value, error = self._loss(self.network, draw)
        self.learn_from(value, len(draw.images))
        return error

    @torch.no_grad()
    def validate(self, draws: list[Draw]) -> dict[str, float]:
        """Return figures of the averaged network, relative to typical quantities."""
        found = [self._loss(self.average, draw) for draw in draws]
        return {
            "valid_loss": round(float(np.mean([float(value) for value, _ in found])), 5),
            "valid_mean_relative": round(float(np.mean([error for _, error in found])), 5),
        }

    def _loss(self, network: nn.Module, draw: Draw) -> tuple[Tensor, float]:
        images, centres, quantities, weights = (
            torch.from_numpy(part).to(self.device)
            for part in (draw.images, draw.centres, draw.quantities, draw.weights)
        )
        told = network(images.to(memory_format=torch.channels_last))
        if self.architecture.kind == "flat":
            inside = (quantities > 0).float()
            error = (told - quantities).abs()
            value = DISC_WEIGHT * nn.functional.mse_loss(told, quantities)
            return value, float(((error * inside).sum() / inside.sum().clamp_min(1.0)).detach())
        count = quantities.shape[1]
        values, log_error = told[:, 1 : 1 + count], told[:, 1 + count :].clamp_min(ERROR_FLOOR)
        total = weights.sum().clamp_min(1.0)
        error = (values - quantities).abs()
        huber = (
            nn.functional.huber_loss(values, quantities, delta=self.recipe.huber, reduction="none") / self.recipe.huber
        )
        likelihood = log_error + error.detach() * torch.exp(-log_error)
        by_pixel = (huber + self.recipe.error_weight * likelihood).sum(dim=1)
        value = CENTRE_WEIGHT * nn.functional.mse_loss(told[:, 0], centres) + (by_pixel * weights).sum() / total
        return value, float(((error.mean(dim=1) * weights).sum() / total).detach())


def learn(learner: Learner, stream: Stream, held_out: Stream, side_px: int, progress: Progress) -> None:
    """Train to the end of the recipe.

    Parameters
    ----------
    learner
        New or resumed.
    stream, held_out
        Draws of cells for training, and of others for the learning curve.
    side_px
        Of an image.
    progress
        Told after every step.
    """
    recipe = learner.recipe
    fixed = np.random.default_rng((recipe.seed, 1))
    images = max(1, min(VALIDATION_IMAGES, recipe.draws // 4) // recipe.batch)
    validation = [held_out.draw(fixed, recipe.batch, side_px) for _ in range(images)]
    rng = np.random.default_rng((recipe.seed, 2, learner.draws))
    learner.run(
        lambda: learner.step(stream.draw(rng, recipe.batch, side_px)),
        lambda: learner.validate(validation),
        progress,
        VALIDATE_EVERY,
        "train_mean_relative",
    )


__all__ = ["Learner", "learn"]
