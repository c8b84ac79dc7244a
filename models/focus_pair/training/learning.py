"""Training on rendered fields; see `microscoped.models.learning`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from microscoped.models import learning
from microscoped.models.focus_pair.training.batches import Batch, Batches, make_batch, noise_banks
from microscoped.models.focus_pair.training.network import Architecture, FocusNetwork
from microscoped.models.focus_pair.training.shards import read_shard

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from microscoped.models.training import Progress


@dataclass(frozen=True, slots=True)
class Recipe(learning.Recipe):
    """How the network is trained; tiles are its samples.

    Parameters
    ----------
    head_decay
        Decoupled weight decay of the head's weights.
    """

    head_decay: float = 1e-2


def tensors(batch: Batch, device: torch.device) -> tuple[Tensor, ...]:
    """Bring the network's inputs to a device."""
    images = torch.from_numpy(batch.images).to(device).float().to(memory_format=torch.channels_last)
    return images, *(torch.from_numpy(part).to(device) for part in (batch.scalars, batch.spectra, batch.character))


class Learner(learning.Learner[FocusNetwork]):
    """One run of training in a folder; parameters as in `microscoped.models.learning.Learner`."""

    recipe: Recipe

    def __init__(self, folder: Path, architecture: Architecture, recipe: Recipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        network = FocusNetwork(architecture)
        head = {"params": [network.head.weight], "weight_decay": recipe.head_decay}
        super().__init__(folder, network, recipe, [head], device)

    def step(self, batch: Batch) -> float:
        """Learn from one batch; return the mean absolute error before the step, in depths of field."""
        self.network.train()
        labels = torch.from_numpy(batch.second_dof).to(self.device)
        defocus, log_error, _ = self.network(*tensors(batch, self.device))
        self.learn_from(learning.estimate_loss(defocus, log_error, labels, self.recipe), labels.shape[0])
        return float((defocus.detach() - labels).abs().mean())

    @torch.no_grad()
    def errors(self, batches: list[Batch]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return signed errors and expected absolute errors of the averaged network, in depths of field."""
        found = [self.average(*tensors(batch, self.device)) for batch in batches]
        error = np.concatenate([z.cpu().numpy() - b.second_dof for (z, _, _), b in zip(found, batches, strict=True)])
        return error, np.exp(np.concatenate([log_error.cpu().numpy() for _, log_error, _ in found]))


def validation_batches(folder: Path, pattern: str, count: int, seed: int) -> list[Batch]:
    """Return fixed draws of the stacks that match ``pattern``."""
    stacks = [read_shard(path) for path in sorted(folder.glob(pattern))]
    rng = np.random.default_rng((seed, 1))
    return [make_batch(stacks, 64, rng, noise_banks(seed)) for _ in range(count)]


def learn(
    learner: Learner,
    fields: Path,
    pattern: str,
    validation: list[Batch],
    progress: Progress,
    processes: int = 1,
) -> None:
    """Train to the end of the recipe.

    Parameters
    ----------
    learner
        New or resumed.
    fields, pattern
        Folder of rendered stacks, and those of them that are for training.
    validation
        From `validation_batches`.
    progress
        Told after every step.
    processes
        How many make batches.
    """

    def validate() -> dict[str, float]:
        signed, expected = learner.errors(validation)
        return {
            "valid_mean_dof": round(float(np.abs(signed).mean()), 4),
            "valid_median_dof": round(float(np.median(np.abs(signed))), 4),
            "expected_dof": round(float(expected.mean()), 4),
        }

    recipe = learner.recipe
    with Batches(fields, pattern, recipe.batch, recipe.seed + learner.draws, processes) as batches:
        learner.run(lambda: learner.step(batches.next()), validate, progress)


__all__ = ["Learner", "Recipe", "learn", "validation_batches"]
