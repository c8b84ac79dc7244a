"""From a checkpoint to the artefact that is shipped: an ONNX file and its sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from microscoped.models import learning
from microscoped.models.lensfree.network import PITCH_UM, SIDE_PX, UNIT_ABSORPTION, UNIT_NM
from microscoped.models.lensfree.training.network import MAPS, Architecture, ChangeNet
from microscoped.models.runtimes import Artefact, BatchProfile, Sidecar, Tensor, sha256_of, write_artefact

if TYPE_CHECKING:
    from pathlib import Path

BATCH = BatchProfile(min=1, opt=4, max=8)
SHAPE = (MAPS, SIDE_PX, SIDE_PX)
UNIT = f"{UNIT_NM:g} nm; {UNIT_ABSORPTION:g}"
INPUT = Tensor(
    name="maps",
    shape=(None, *SHAPE),
    dtype="float32",
    meaning="optical path difference; absorption of the amplitude",
    unit=UNIT,
)
OUTPUT = INPUT.model_copy(update={"name": "better"})
TOLERANCE = {"better": 2e-3}


def load_checkpoint(path: Path) -> tuple[ChangeNet, dict[str, Any]]:
    """Return the averaged network of a checkpoint, and what else the checkpoint holds.

    Raises
    ------
    ValueError
        It is not a checkpoint of this model.
    """
    data = learning.read_checkpoint(path, "lensfree", "features")
    network = ChangeNet(Architecture(**data["architecture"]))
    network.load_state_dict(data["average"])
    return network.eval(), data


def export_checkpoint(
    checkpoint: Path, folder: Path, name: str, title: str, task: str, pairs: dict[str, Any]
) -> Artefact:
    """Write ``NAME.onnx`` and ``NAME.json``.

    Parameters
    ----------
    checkpoint
        From training.
    folder
        Where they go.
    name, title
        Of the files, and for people.
    task
        ``unwrap`` or ``accelerate``.
    pairs
        What it was trained on, for the sidecar.

    Raises
    ------
    ValueError
        The checkpoint is of another model.
    """
    network, data = load_checkpoint(checkpoint)
    onnx = learning.to_onnx(network, (torch.zeros(2, *SHAPE),), (INPUT,), (OUTPUT,), BATCH)
    sidecar = Sidecar(
        name=name,
        version="1",
        title=title,
        inputs=(INPUT,),
        outputs=(OUTPUT,),
        batch=BATCH,
        preprocessing={
            "task": task,
            "side_px": SIDE_PX,
            "pitch_um": PITCH_UM,
            "unit_nm": UNIT_NM,
            "unit_absorption": UNIT_ABSORPTION,
        },
        sha256=sha256_of(onnx),
        training={**learning.training_facts(checkpoint, data, network), "pairs": pairs},
        scores={},
        tolerance=TOLERANCE,
        licence="BSD-3-Clause",
    )
    return write_artefact(folder / f"{name}.onnx", onnx, sidecar)


__all__ = ["export_checkpoint", "load_checkpoint"]
