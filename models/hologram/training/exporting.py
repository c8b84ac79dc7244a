"""From a checkpoint to the artefact that is shipped: an ONNX file and its sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from microscoped.models import learning
from microscoped.models.hologram.inputs import CHANNELS, CROP, RING, SAMPLING
from microscoped.models.hologram.training.draws import OPTICS, TRAINING
from microscoped.models.hologram.training.network import Architecture, DistanceNet
from microscoped.models.runtimes import Artefact, BatchProfile, Sidecar, Tensor, sha256_of, write_artefact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BATCH = BatchProfile(min=1, opt=16, max=256)
INPUTS = (
    Tensor(
        name="crops",
        shape=(None, len(CHANNELS), CROP, CROP),
        dtype="float32",
        meaning="filtered hologram round a cell: " + ", ".join(CHANNELS),
        unit="1",
    ),
)
OUTPUTS = (
    Tensor(
        name="z_dof",
        shape=(None,),
        dtype="float32",
        meaning="distance of the body's middle from the recording plane, positive downstream, object-side",
        unit="depths of field at the nominal sampling",
    ),
    Tensor(
        name="offset_dof",
        shape=(None,),
        dtype="float32",
        meaning="how far beyond the middle the plane of least amplitude contrast lies",
        unit="depths of field at the nominal sampling",
    ),
    Tensor(
        name="log_error",
        shape=(None,),
        dtype="float32",
        meaning="natural logarithm of the expected absolute error of the distance in depths of field",
        unit="1",
    ),
)
TOLERANCE = {"z_dof": 1e-3, "offset_dof": 1e-3, "log_error": 2e-3}


def load_checkpoint(path: Path) -> tuple[DistanceNet, dict[str, Any]]:
    """Return the averaged network of a checkpoint, and what else the checkpoint holds.

    Raises
    ------
    ValueError
        It is not a checkpoint of this model.
    """
    data = learning.read_checkpoint(path, "hologram", "reads")
    network = DistanceNet(Architecture(**data["architecture"]))
    network.load_state_dict(data["average"])
    return network.eval(), data


def to_onnx(network: DistanceNet) -> bytes:
    """Return the network as one ONNX file with a free batch size."""
    example = (torch.zeros(2, *network.architecture.shape),)
    return learning.to_onnx(network, example, INPUTS, OUTPUTS, BATCH)


def export_checkpoint(
    checkpoint: Path,
    folder: Path,
    bodies: str,
    kinds: Sequence[str],
    name: str,
    scores: dict[str, Any] | None = None,
) -> Artefact:
    """Write ``NAME.onnx`` and ``NAME.json``.

    Parameters
    ----------
    checkpoint
        From training.
    folder
        Where they go.
    bodies, kinds
        What it was trained on, for people and for programs.
    name
        Of the files.
    scores
        From the evaluation, for the sidecar.

    Raises
    ------
    ValueError
        The checkpoint is of another model, or of a variant that is only for comparison.
    """
    network, data = load_checkpoint(checkpoint)
    if network.architecture.reads != "field":
        raise ValueError(
            f"{checkpoint}: reads {network.architecture.reads}; only networks that read the field are shipped"
        )
    onnx = to_onnx(network)
    sidecar = Sidecar(
        name=name,
        version="1",
        title=f"Distance of {bodies} in a hologram (Jaferzadeh 2019)",
        inputs=INPUTS,
        outputs=OUTPUTS,
        batch=BATCH,
        preprocessing={
            "crop": CROP,
            "samples_per_wavelength_over_na": SAMPLING,
            "ring": RING,
            "range_dof": [end / OPTICS.dof_um for end in TRAINING.z_um],
        },
        sha256=sha256_of(onnx),
        training={
            "bodies": bodies,
            "kinds": list(kinds),
            **learning.training_facts(checkpoint, data, network),
        },
        scores=scores or {},
        tolerance=TOLERANCE,
        licence="BSD-3-Clause",
    )
    return write_artefact(folder / f"{name}.onnx", onnx, sidecar)


__all__ = ["export_checkpoint", "load_checkpoint", "to_onnx"]
