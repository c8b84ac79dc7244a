"""Training on simulated crops; see `microscoped.models.learning`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from microscoped.models import learning
from microscoped.models.hologram.training.network import Architecture, DistanceNet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from microscoped.models.hologram.training.draws import Draw, Stream
    from microscoped.models.training import Progress

OFFSET_WEIGHT = 0.2
"""Weight of the offset's loss against that of the distance."""
VALIDATION_DRAWS = 2048


class Learner(learning.Learner[DistanceNet]):
    """One run of training in a folder; parameters as in `microscoped.models.learning.Learner`."""

    def __init__(self, folder: Path, architecture: Architecture, recipe: learning.Recipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(folder, DistanceNet(architecture), recipe, (), device)

    def step(self, draw: Draw) -> float:
        """Learn from one batch; return the mean absolute error before the step, in depths of field."""
        self.network.train()
        crops, z, offset = (
            torch.from_numpy(part).to(self.device) for part in (draw.crops, draw.z_dof, draw.offset_dof)
        )
        told, told_offset, log_error = self.network(crops.to(memory_format=torch.channels_last))
        value = learning.estimate_loss(told, log_error, z, self.recipe)
        known = torch.isfinite(offset)
        if bool(known.any()):
            value = value + OFFSET_WEIGHT * nn.functional.huber_loss(told_offset[known], offset[known], delta=0.3)
        self.learn_from(value, z.shape[0])
        return float((told.detach() - z).abs().mean())

    @torch.no_grad()
    def validate(self, draws: Sequence[Draw]) -> dict[str, float]:
        """Return figures of the averaged network, in depths of field."""
        errors, offsets = [], []
        for draw in draws:
            told, offset, _ = self.average(torch.from_numpy(draw.crops).to(self.device))
            errors.append(told.cpu().numpy() - draw.z_dof)
            offsets.append(offset.cpu().numpy() - draw.offset_dof)
        error = np.abs(np.concatenate(errors))
        return {
            "valid_mean_dof": round(float(error.mean()), 4),
            "valid_median_dof": round(float(np.median(error)), 4),
            "valid_p95_dof": round(float(np.percentile(error, 95)), 4),
            "valid_offset_dof": round(float(np.nanmedian(np.abs(np.concatenate(offsets)))), 4),
        }


def learn(learner: Learner, stream: Stream, held_out: Stream, progress: Progress) -> None:
    """Train to the end of the recipe.

    Parameters
    ----------
    learner
        New or resumed.
    stream, held_out
        Draws of bodies for training, and of others for the learning curve.
    progress
        Told after every step.
    """
    recipe = learner.recipe
    fixed = np.random.default_rng((recipe.seed, 1))
    validation = [held_out.draw(fixed, recipe.batch) for _ in range(VALIDATION_DRAWS // recipe.batch)]
    rng = np.random.default_rng((recipe.seed, 2, learner.draws))
    learner.run(lambda: learner.step(stream.draw(rng, recipe.batch)), lambda: learner.validate(validation), progress)


__all__ = ["Learner", "learn"]
