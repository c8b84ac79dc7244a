"""What the training code of every model offers, and takes.

A model's training code is the module that its `ModelSpec` names. It imports torch and the simulators, so it is imported
only when somebody trains, exports or evaluates. It fulfils `Training`: three functions, each with one frozen bundle of
options. It draws no progress bars; it reports to ``options.progress``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydantic import JsonValue


class Progress(Protocol):
    """Who is told how far a long job is. Called from the thread that runs the job."""

    def update(self, done: int, total: int, **figures: float) -> None:
        """Tell how far it is.

        Parameters
        ----------
        done, total
            Steps that are done, and all steps.
        figures
            What is worth watching, such as ``loss=0.13``; a figure's unit is in its name.
        """
        ...


class Silence:
    """A `Progress` that nobody watches."""

    def update(self, done: int, total: int, **figures: float) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Parameters
    ----------
    folder
        Where checkpoints and the record of the training go; made if absent.
    draws
        How many simulated training samples are drawn in all; None is the recipe's own number.
    device
        ``auto`` (CUDA where torch finds it), ``cpu`` or ``cuda``.
    seed
        Seed of everything random: the same seed and version make the same samples.
    resume
        Go on from the newest checkpoint in `folder`, if there is one.
    processes
        Processes that render samples beside the training.
    variant
        Which of the model's networks is trained; None is the one that is shipped.
    progress
        Who is told of every step.
    """

    folder: Path
    draws: int | None = None
    device: str = "auto"
    seed: int = 0
    resume: bool = False
    processes: int = 1
    variant: str | None = None
    progress: Progress = field(default_factory=Silence)


@dataclass(frozen=True)
class ExportOptions:
    """How to make an artefact from a checkpoint.

    Parameters
    ----------
    checkpoint
        The checkpoint that `Training.train` returned.
    folder
        Where the ONNX file and its sidecar are written.
    progress
        Who is told of every step.
    """

    checkpoint: Path
    folder: Path
    progress: Progress = field(default_factory=Silence)


@dataclass(frozen=True)
class EvaluateOptions:
    """How to score an artefact.

    Parameters
    ----------
    folder
        Where the report goes; made if absent.
    artefact
        The ONNX file; its sidecar lies beside it.
    splits
        Names of the evaluation sets; none is all that the model has. Their samples are fixed, with seeds that no
        training uses.
    fields
        Fields of each specimen, where fewer than all of a set shall do; None is all.
    processes
        Processes that render samples.
    progress
        Who is told of every step.
    """

    folder: Path
    artefact: Path
    splits: Sequence[str] = ()
    fields: int | None = None
    processes: int = 1
    progress: Progress = field(default_factory=Silence)


class Training(Protocol):
    """What a module of training code offers."""

    def train(self, options: TrainOptions) -> Path:
        """Train, and return the last checkpoint.

        Raises
        ------
        ValueError
            An option that this model does not know, such as a variant; the message names value and remedy.
        """
        ...

    def export(self, options: ExportOptions) -> Path:
        """Write the artefact of a checkpoint, and return its ONNX file.

        Raises
        ------
        ValueError
            The checkpoint is not one of this model.
        """
        ...

    def evaluate(self, options: EvaluateOptions) -> Mapping[str, JsonValue]:
        """Score an artefact: split, then figure, then value; a figure's unit is in its name.

        Raises
        ------
        ValueError
            A split that this model does not have.
        """
        ...


__all__ = ["EvaluateOptions", "ExportOptions", "Progress", "Silence", "TrainOptions", "Training"]
