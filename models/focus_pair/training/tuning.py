"""Fine-tuning of the shipped network on the pairs of one calibration: a program of its own, started by the calibration.

``python -m microscoped.models.focus_pair.training.tuning FOLDER RECIPE``: reads what `KeptPairs` kept there and the
network `BASE`; writes what networks that had not seen a field say of it, and the network that was trained on all. Each
line on standard output is one JSON object, ``{"doing": …}`` and at last ``{"steps": …}``. On standard input it hears
that somebody still listens.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch

from microscoped.models.focus_pair.calibration.kept import read_kept
from microscoped.models.focus_pair.calibration.process import BASE, LEFT_OUT, SILENCE_S, TUNED, TuneRecipe
from microscoped.models.focus_pair.training.learning import Recipe
from microscoped.models.learning import estimate_loss
from microscoped.models.runtimes import TorchNetwork, load_artefact, open_model, sha256_of, write_artefact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from microscoped.models.focus_pair.calibration.kept import KeptField
    from microscoped.models.runtimes import Artefact

LEARNING = ("Conv", "Gemm")
"""Operators whose weights and biases are trained; all other constants stay."""
NICE = 10
TELL_EVERY = 10
"""Steps between two reports."""


class Tuner:
    """A copy of the network whose weights move.

    Parameters
    ----------
    artefact
        Where it begins.
    recipe
        How it is trained.
    """

    def __init__(self, artefact: Artefact, recipe: TuneRecipe) -> None:
        self.recipe = recipe
        self.network = TorchNetwork(artefact.onnx, "cpu")
        weights = self.network.weights
        self.trained = {name: weights[name].requires_grad_() for name in sorted(_trained(artefact.onnx) & set(weights))}
        self._start = [weight.detach().clone() for weight in self.trained.values()]
        self._optimiser = torch.optim.Adam(list(self.trained.values()), lr=recipe.rate)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (0, 1, …)."""
        recipe = self.recipe
        if step < recipe.warm_up:
            return recipe.rate * (step + 1) / recipe.warm_up
        done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
        return recipe.rate * 0.5 * (1.0 + math.cos(math.pi * done))

    def step(self, step: int, arrays: Mapping[str, NDArray[Any]], targets_dof: NDArray[np.float32]) -> float:
        """Learn from one batch; return the loss.

        Weights are drawn back towards the shipped ones, which knew many specimens, where this knows one (L2-SP, Li et
        al., ICML 2018).
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self.rate(step)
        said = self.network({name: torch.from_numpy(array) for name, array in arrays.items()})
        value = estimate_loss(said["defocus_dof"], said["log_error"], torch.from_numpy(targets_dof), Recipe())
        moved = sum(
            ((weight - start) ** 2).sum() for weight, start in zip(self.trained.values(), self._start, strict=True)
        )
        self._optimiser.zero_grad(set_to_none=True)
        (value + self.recipe.pull * moved).backward()
        self._optimiser.step()
        return float(value.detach())

    @torch.no_grad()
    def read(self, field: KeptField) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what it says of a field: defocus and logarithm of the expected error, shape (pairs, tiles) each."""
        said = [self.network(_tensors(field, pair)) for pair in range(len(field.targets_dof))]
        defocus, log_error = (np.stack([one[name].numpy() for one in said]) for name in ("defocus_dof", "log_error"))
        return defocus, log_error

    def onnx(self, artefact: Artefact) -> bytes:
        """Return the ONNX file with the weights as they are now."""
        model = onnx.load_model_from_string(artefact.onnx)
        for tensor in model.graph.initializer:
            if tensor.name in self.trained:
                array = self.trained[tensor.name].detach().numpy()
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        content: bytes = model.SerializeToString()
        return content


class Draws:
    """Draws batches of tiles: every field as often as the others, each tile turned and mirrored at random.

    Inputs of four axes are pictures; vectors are the same for a picture that was turned.

    Parameters
    ----------
    fields
        Where tiles come from; fields without content are left out.
    seed
        Of the draws.
    """

    def __init__(self, fields: Sequence[KeptField], seed: int) -> None:
        self._fields = [(field, np.argwhere(field.used)) for field in fields if field.used.any()]
        self._rng = np.random.default_rng(seed)
        if not self._fields:
            raise ValueError("no tile has content: there is nothing to learn from")

    def batch(self, size: int) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
        """Return the network's inputs of so many tiles, and what it should say."""
        rng = self._rng
        tiles: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self._fields[0][0].arrays}
        targets = []
        for _ in range(size):
            field, places = self._fields[int(rng.integers(len(self._fields)))]
            pair, tile = places[int(rng.integers(len(places)))]
            turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
            for name, array in field.arrays.items():
                one = np.asarray(array[pair, tile], np.float32)
                if one.ndim == 3:
                    one = np.rot90(one, turns, axes=(1, 2))
                    one = one[..., ::-1] if mirror else one
                tiles[name].append(one)
            targets.append(field.targets_dof[pair])
        return {name: np.stack(many) for name, many in tiles.items()}, np.array(targets, np.float32)


def fine_tune(folder: Path, recipe: TuneRecipe, tell: Callable[[str], None]) -> int:
    """Fine-tune on what was kept; return the number of steps.

    Groups of fields are left out in turn. The error on them, averaged over all, chooses the number of steps; then one
    network is trained so long on all fields.

    Raises
    ------
    ValueError, OSError, ModelError
        What was kept is not whole, or nothing can be learned from it.
    """
    artefact, fields = load_artefact(folder / BASE), read_kept(folder)
    folds = min(recipe.folds, len(fields))
    checks = range(recipe.check_every, recipe.steps + 1, recipe.check_every)
    said: list[dict[str, NDArray[np.float32]]] = [{} for _ in checks]
    errors: list[list[float]] = [[] for _ in checks]
    for fold in range(folds):
        left_out = fields[fold::folds]
        tuner = Tuner(artefact, recipe)
        draws = Draws([field for field in fields if field not in left_out], recipe.seed + fold)
        for step in range(recipe.steps):
            if step % TELL_EVERY == 0:
                tell(f"fine-tuning {fold + 1} of {folds + 1}, step {step} of {recipe.steps}")
            tuner.step(step, *draws.batch(recipe.batch))
            if (step + 1) % recipe.check_every == 0:
                check = (step + 1) // recipe.check_every - 1
                for field in left_out:
                    defocus, log_error = tuner.read(field)
                    said[check] |= {f"{field.number}.defocus_dof": defocus, f"{field.number}.log_error": log_error}
                    errors[check].append(_error_dof(field, defocus))
    best = int(np.argmin([np.mean(each) for each in errors]))
    steps = checks[best]
    tuner, draws = Tuner(artefact, recipe), Draws(fields, recipe.seed + folds)
    for step in range(steps):
        if step % TELL_EVERY == 0:
            tell(f"fine-tuning {folds + 1} of {folds + 1}, step {step} of {steps}")
        tuner.step(step, *draws.batch(recipe.batch))
    arrays: dict[str, Any] = dict(said[best])
    np.savez(folder / LEFT_OUT, **arrays)
    curve = [{"steps": k, "left_out_dof": float(np.mean(each))} for k, each in zip(checks, errors, strict=True)]
    _write(folder / TUNED, artefact, tuner, steps, curve)
    _require_agreement(load_artefact(folder / TUNED), tuner, fields[0])
    return steps


def _error_dof(field: KeptField, defocus_dof: NDArray[np.float32]) -> float:
    """Return the mean over pairs of how far the middle of the tiles is from the truth."""
    pairs = field.used.any(axis=1)
    middle = [float(np.median(said[used])) for said, used in zip(defocus_dof[pairs], field.used[pairs], strict=True)]
    return float(np.mean(np.abs(middle - field.targets_dof[pairs]))) if middle else 0.0


def _write(path: Path, artefact: Artefact, tuner: Tuner, steps: int, curve: list[dict[str, float]]) -> None:
    content = tuner.onnx(artefact)
    base = artefact.sidecar
    training = {"base_sha256": base.sha256, "steps": steps, "curve": curve, "torch": str(torch.__version__)}
    changed = {
        "title": f"{base.title}, fine-tuned by a calibration",
        "sha256": sha256_of(content),
        "training": training,
        "scores": {},
    }
    write_artefact(path, content, base.model_copy(update=changed))


def _require_agreement(artefact: Artefact, tuner: Tuner, field: KeptField) -> None:
    """Refuse a file that does not say what was trained."""
    arrays = {name: np.asarray(array[0], np.float32) for name, array in field.arrays.items()}
    with open_model(artefact, "onnxruntime") as model, torch.no_grad():
        theirs, ours = model.run(arrays), tuner.network(_tensors(field, 0))
    for name, tolerance in artefact.sidecar.tolerance.items():
        apart = float(np.max(np.abs(ours[name].numpy() - theirs[name])))
        if not apart <= tolerance:
            raise ValueError(f"the file's {name} is {apart:.3g} off what was trained ({tolerance:g} is allowed)")


def _tensors(field: KeptField, pair: int) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array[pair], np.float32)) for name, array in field.arrays.items()}


def _trained(content: bytes) -> set[str]:
    """Return the names of what convolutions and linear layers multiply with and add."""
    nodes = onnx.load_model_from_string(content).graph.node
    return {name for node in nodes if node.op_type in LEARNING for name in node.input[1:]}


def _end_when_nobody_listens() -> None:
    """Read beats until the pipe closes or falls silent, then end the process: nobody waits for it any more."""

    def listen() -> None:
        heard = threading.Event()

        def read() -> None:
            while os.read(0, 4096):
                heard.set()
            os._exit(1)

        threading.Thread(target=read, daemon=True).start()
        while heard.wait(SILENCE_S):
            heard.clear()
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


def main(arguments: Sequence[str]) -> None:
    """Fine-tune in a folder, and report."""
    _end_when_nobody_listens()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, whose end ends this, too
    if hasattr(os, "nice"):
        os.nice(NICE)
    torch.set_num_threads(1)
    folder, recipe = Path(arguments[0]), TuneRecipe(**json.loads(arguments[1]))
    torch.manual_seed(recipe.seed)
    steps = fine_tune(folder, recipe, lambda doing: _say({"doing": doing}))
    _say({"steps": steps})


def _say(report: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])


__all__ = ["Draws", "Tuner", "fine_tune", "main"]
