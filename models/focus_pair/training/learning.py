"""The training loop: resumable, with a checkpoint every few minutes and a learning curve."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from microscoped.models.focus_pair.training.batches import Batch, Batches, make_batch, noise_banks
from microscoped.models.focus_pair.training.network import Architecture, FocusNetwork
from microscoped.models.focus_pair.training.shards import read_shard

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from microscoped.models.training import Progress

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is trained.

    Parameters
    ----------
    draws
        Tiles until the learning rate has fallen to nothing.
    batch
        Tiles in a step.
    peak_rate, warm_up_draws
        Greatest learning rate, and draws until it is reached; it then falls as half a cosine.
    head_decay, body_decay
        Decoupled weight decay of the head's weights and of all others.
    huber_dof
        Error up to which the loss is a square.
    error_weight
        Weight of the loss of the expected error, which sees the error of the defocus as given.
    average
        Decay of the moving average of weights, which is what is kept.
    checkpoint_s
        Seconds between checkpoints.
    seed
        Of weights and draws.
    """

    draws: int = 300_000
    batch: int = 64
    peak_rate: float = 2e-3
    warm_up_draws: int = 6_000
    head_decay: float = 1e-2
    body_decay: float = 1e-4
    huber_dof: float = 1.0
    error_weight: float = 0.05
    average: float = 0.998
    checkpoint_s: float = 180.0
    seed: int = 20

    def rate(self, draws: int) -> float:
        """Return the learning rate after so many draws."""
        if draws < self.warm_up_draws:
            return self.peak_rate * (draws + self.batch) / self.warm_up_draws
        done = (draws - self.warm_up_draws) / max(1, self.draws - self.warm_up_draws)
        return self.peak_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def tensors(batch: Batch, device: torch.device) -> tuple[Tensor, ...]:
    """Bring the network's inputs to a device."""
    images = torch.from_numpy(batch.images).to(device).float().to(memory_format=torch.channels_last)
    return images, *(torch.from_numpy(part).to(device) for part in (batch.scalars, batch.spectra, batch.character))


def loss(defocus: Tensor, log_error: Tensor, label: Tensor, recipe: Recipe) -> Tensor:
    """Return the loss: Huber for the defocus, and the likelihood of its error under a Laplace distribution."""
    error = defocus - label
    likelihood = log_error + error.detach().abs() * torch.exp(-log_error)
    squared = nn.functional.huber_loss(defocus, label, delta=recipe.huber_dof)
    return squared + recipe.error_weight * likelihood.mean()


class Learner:
    """One run of training in a folder.

    Parameters
    ----------
    folder
        Holds the checkpoint and the learning curve.
    architecture, recipe
        What is trained, and how.
    device
        For example ``cpu`` or ``cuda``.
    """

    def __init__(self, folder: Path, architecture: Architecture, recipe: Recipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.folder = folder
        self.recipe = recipe
        self.device = torch.device(device)
        self.draws = 0
        self.network = FocusNetwork(architecture).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval()
        head = [self.network.head.weight]
        rest = [p for p in self.network.parameters() if p is not self.network.head.weight]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": head, "weight_decay": recipe.head_decay},
                {"params": rest, "weight_decay": recipe.body_decay},
            ],
            lr=recipe.peak_rate,
        )

    @property
    def checkpoint(self) -> Path:
        """The file that training resumes from."""
        return self.folder / CHECKPOINT

    def save(self) -> None:
        """Write the checkpoint; a power cut leaves the old one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.checkpoint.with_suffix(".part")
        torch.save(
            {
                "architecture": asdict(self.network.architecture),
                "recipe": asdict(self.recipe),
                "draws": self.draws,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            part,
        )
        os.replace(part, self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint."""
        data: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if data["architecture"] != asdict(self.network.architecture):
            raise ValueError(f"{self.checkpoint} holds {data['architecture']}, not {asdict(self.network.architecture)}")
        self.network.load_state_dict(data["network"])
        self.average.load_state_dict(data["average"])
        self.optimiser.load_state_dict(data["optimiser"])
        self.draws = int(data["draws"])

    def step(self, batch: Batch) -> float:
        """Learn from one batch; return the mean absolute error before the step, in depths of field."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.draws)
        self.network.train()
        labels = torch.from_numpy(batch.second_dof).to(self.device)
        defocus, log_error, _ = self.network(*tensors(batch, self.device))
        value = loss(defocus, log_error, labels, self.recipe)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.draws += labels.shape[0]
        # The average follows faster at the beginning, when weights still move far.
        decay = min(self.recipe.average, 1.0 - 1.0 / (1.0 + self.draws / self.recipe.batch / 10.0))
        with torch.no_grad():
            for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.lerp_(new, 1.0 - decay)
                else:
                    kept.copy_(new)
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
    validate_every: int = 10_000,
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
    validate_every
        Draws between points of the learning curve.
    """
    recipe = learner.recipe
    saved = time.monotonic()
    error = math.nan
    figures: dict[str, float] = {}
    with Batches(fields, pattern, recipe.batch, recipe.seed + learner.draws, processes) as batches:
        while learner.draws < recipe.draws:
            before = learner.draws
            step_error = learner.step(batches.next())
            error = step_error if math.isnan(error) else 0.98 * error + 0.02 * step_error
            last = learner.draws >= recipe.draws
            if last or before // validate_every != learner.draws // validate_every:
                signed, expected = learner.errors(validation)
                figures = {
                    "valid_mean_dof": round(float(np.abs(signed).mean()), 4),
                    "valid_median_dof": round(float(np.median(np.abs(signed))), 4),
                    "expected_dof": round(float(expected.mean()), 4),
                }
                point = {"draws": learner.draws, "train_mean_dof": round(error, 4), **figures}
                with (learner.folder / CURVE).open("a", encoding="utf-8") as curve:
                    curve.write(json.dumps(point) + "\n")
            if last or time.monotonic() - saved > recipe.checkpoint_s:
                learner.save()
                saved = time.monotonic()
            progress.update(learner.draws, recipe.draws, train_mean_dof=error, **figures)


__all__ = ["Learner", "Recipe", "learn", "validation_batches"]
