"""How every network here is trained: Adam with decoupled decay, a cosine schedule, averaged weights, checkpoints.

And how what was trained becomes an ONNX file.

Needs the extra ``train``; only training code imports it.
"""

from __future__ import annotations

import copy
import json
import math
import os
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from microscoped.models import runtimes
    from microscoped.models.training import Progress

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"
OPSET = 20
GRADIENT_MOST = 5.0
"""Norm to which longer gradients are cut."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    draws
        Samples until the learning rate has fallen to nothing.
    batch
        Samples in a step.
    peak_rate, warm_up_draws
        Greatest learning rate, and draws until it is reached; it then falls as half a cosine.
    body_decay
        Decoupled weight decay.
    huber
        Error up to which the loss is a square, in the label's unit.
    error_weight
        Weight of the loss of the expected error, which sees the error of the estimate as given.
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
    body_decay: float = 1e-4
    huber: float = 1.0
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


def device_of(asked: str) -> str:
    """Return the device to train on: what was asked for, or for ``auto`` CUDA where torch finds it."""
    if asked != "auto":
        return asked
    return "cuda" if torch.cuda.is_available() else "cpu"


def estimate_loss(estimate: Tensor, log_error: Tensor, label: Tensor, recipe: Recipe) -> Tensor:
    """Return the loss of an estimate: Huber, and the likelihood of its error under a Laplace distribution."""
    error = estimate - label
    likelihood = log_error + error.detach().abs() * torch.exp(-log_error)
    squared = nn.functional.huber_loss(estimate, label, delta=recipe.huber)
    return squared + recipe.error_weight * likelihood.mean()


class Learner(Generic[Network]):
    """One run of training in a folder.

    Parameters
    ----------
    folder
        Holds the checkpoint and the learning curve.
    network
        Is trained; has an ``architecture``, a dataclass.
    recipe
        How.
    groups
        Parameters with a weight decay of their own, as the optimiser takes them; all others have the recipe's.
    device
        For example ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        folder: Path,
        network: Network,
        recipe: Recipe,
        groups: Sequence[Mapping[str, Any]] = (),
        device: str = "cpu",
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.device = torch.device(device)
        self.draws = 0
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval()
        own = {id(parameter) for group in groups for parameter in group["params"]}
        rest = [parameter for parameter in self.network.parameters() if id(parameter) not in own]
        self.optimiser = torch.optim.AdamW(
            [*map(dict, groups), {"params": rest, "weight_decay": recipe.body_decay}], lr=recipe.peak_rate
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

    def begin(self, *, resume: bool) -> None:
        """Go on from the checkpoint, where there is one.

        Raises
        ------
        ValueError
            There is one, and nobody has asked to resume from it; or it holds another architecture.
        """
        if self.checkpoint.exists():
            if not resume:
                raise ValueError(f"{self.checkpoint} exists: resume from it, or choose another folder")
            self.resume()

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises
        ------
        ValueError
            It holds another architecture.
        """
        data: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        architecture = asdict(self.network.architecture)
        if data["architecture"] != architecture:
            raise ValueError(f"{self.checkpoint} holds {data['architecture']}, not {architecture}")
        self.network.load_state_dict(data["network"])
        self.average.load_state_dict(data["average"])
        self.optimiser.load_state_dict(data["optimiser"])
        self.draws = int(data["draws"])

    def learn_from(self, value: Tensor, count: int) -> None:
        """Take one step down the gradient of a loss, which saw so many draws."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.draws)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_MOST)
        self.optimiser.step()
        self.draws += count
        # The average follows faster at the beginning, when weights still move far.
        decay = min(self.recipe.average, 1.0 - 1.0 / (1.0 + self.draws / self.recipe.batch / 10.0))
        with torch.no_grad():
            for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.lerp_(new, 1.0 - decay)
                else:
                    kept.copy_(new)

    def run(
        self,
        step: Callable[[], float],
        validate: Callable[[], Mapping[str, float]],
        progress: Progress,
        validate_every: int = 10_000,
        figure: str = "train_mean_dof",
    ) -> None:
        """Train to the end of the recipe.

        Parameters
        ----------
        step
            Learns from one batch (`learn_from`), and returns its mean absolute error before that.
        validate
            Returns the figures of the averaged network on held-out draws.
        progress
            Told after every step.
        validate_every
            Draws between points of the learning curve.
        figure
            What that error is called on the learning curve, with its unit.
        """
        saved = time.monotonic()
        error = math.nan
        figures: Mapping[str, float] = {}
        while self.draws < self.recipe.draws:
            before = self.draws
            step_error = step()
            error = step_error if math.isnan(error) else 0.98 * error + 0.02 * step_error
            last = self.draws >= self.recipe.draws
            if last or before // validate_every != self.draws // validate_every:
                figures = validate()
                point = {"draws": self.draws, figure: round(error, 4), **figures}
                self.folder.mkdir(parents=True, exist_ok=True)
                with (self.folder / CURVE).open("a", encoding="utf-8") as curve:
                    curve.write(json.dumps(point) + "\n")
            if last or time.monotonic() - saved > self.recipe.checkpoint_s:
                self.save()
                saved = time.monotonic()
            progress.update(self.draws, self.recipe.draws, **{figure: error}, **figures)


def to_onnx(
    network: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[runtimes.Tensor],
    outputs: Sequence[runtimes.Tensor],
    batch: runtimes.BatchProfile,
) -> bytes:
    """Return a network as one ONNX file with a free batch size.

    Parameters
    ----------
    network
        In evaluation mode.
    example
        What it takes, two of each.
    inputs, outputs, batch
        As in the sidecar.
    """
    free = torch.export.Dim("n", min=batch.min, max=batch.max)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            dynamic_shapes=({0: free},) * len(example),
            input_names=[tensor.name for tensor in inputs],
            output_names=[tensor.name for tensor in outputs],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        program.save(path)
        return path.read_bytes()


def read_checkpoint(path: Path, model: str, key: str) -> dict[str, Any]:
    """Return what a checkpoint holds.

    Parameters
    ----------
    path
        Of the checkpoint.
    model
        Whose it must be.
    key
        What the architecture of this model alone has.

    Raises
    ------
    ValueError
        It is of another model, or none.
    """
    data: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if not {"architecture", "recipe", "draws", "average"} <= set(data) or key not in data["architecture"]:
        raise ValueError(f"{path}: is not a checkpoint of {model}; train one with `microscoped models train {model}`")
    return data


def training_facts(checkpoint: Path, data: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """Return what a sidecar says of the training.

    Parameters
    ----------
    checkpoint, data
        The file, beside which the learning curve lies, and what it holds.
    network
        The network of it.
    """
    curve = checkpoint.with_name(CURVE)
    points = [json.loads(line) for line in curve.read_text(encoding="utf-8").splitlines()] if curve.exists() else []
    return {
        "architecture": json.loads(json.dumps(data["architecture"])),
        "recipe": data["recipe"],
        "draws": data["draws"],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "curve": points,
        "torch": str(torch.__version__),
    }


__all__ = [
    "CHECKPOINT",
    "CURVE",
    "OPSET",
    "Learner",
    "Recipe",
    "device_of",
    "estimate_loss",
    "read_checkpoint",
    "to_onnx",
    "training_facts",
]
