"""From a checkpoint to the artefact that is shipped: an ONNX file and its sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from microscoped.models import learning
from microscoped.models.cells.inputs import CENTRE_RADIUS_UM, PIXEL_UM, SIDE_PX, UNIT_NM
from microscoped.models.cells.training.network import SHAPE, Architecture, make
from microscoped.models.runtimes import Artefact, BatchProfile, Sidecar, Tensor, sha256_of, write_artefact

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

BATCH = BatchProfile(min=1, opt=1, max=8)
INPUT = Tensor(
    name="opd", shape=(None, *SHAPE), dtype="float32", meaning="optical path difference", unit=f"{UNIT_NM:g} nm"
)
TOLERANCE = {"maps": 2e-3}


def load_checkpoint(path: Path) -> tuple[nn.Module, Architecture, dict[str, Any]]:
    """Return the averaged network of a checkpoint, which it is, and what else the checkpoint holds.

    Raises
    ------
    ValueError
        It is not a checkpoint of this model.
    """
    data = learning.read_checkpoint(path, "cells", "quantities")
    told = data["architecture"]
    architecture = Architecture(**{**told, "quantities": tuple(told["quantities"]), "maps": tuple(told["maps"])})
    network = make(architecture)
    network.load_state_dict(data["average"])
    return network.eval(), architecture, data


def export_checkpoint(
    checkpoint: Path, folder: Path, title: str, name: str, scores: dict[str, Any] | None = None
) -> Artefact:
    """Write ``NAME.onnx`` and ``NAME.json``.

    Parameters
    ----------
    checkpoint
        From training.
    folder
        Where they go.
    title
        What it was trained on, for people.
    name
        Of the files.
    scores
        From the evaluation, for the sidecar.

    Raises
    ------
    ValueError
        The checkpoint is of another model.
    """
    network, architecture, data = load_checkpoint(checkpoint)
    side = SIDE_PX // architecture.stride
    cones = architecture.kind == "unet"
    meaning = (
        "cones round cells; quantities over typical ones, valid near the cones' middles; logarithms of their expected "
        "errors"
        if cones
        else "discs as high as the quantities over typical ones"
    )
    output = Tensor(
        name="maps", shape=(None, architecture.outputs, side, side), dtype="float32", meaning=meaning, unit="1"
    )
    onnx = learning.to_onnx(network, (torch.zeros(2, *SHAPE),), (INPUT,), (output,), BATCH)
    sidecar = Sidecar(
        name=name,
        version="1",
        title=f"Quantities of cells: {title} (Allier 2022)",
        inputs=(INPUT,),
        outputs=(output,),
        batch=BATCH,
        preprocessing={
            "pixel_um": PIXEL_UM,
            "side_px": SIDE_PX,
            "unit_nm": UNIT_NM,
            "centre_radius_um": CENTRE_RADIUS_UM,
            "quantities": list(architecture.quantities),
            "stride": architecture.stride,
            "cones": cones,
        },
        sha256=sha256_of(onnx),
        training=learning.training_facts(checkpoint, data, network),
        scores=scores or {},
        tolerance=TOLERANCE,
        licence="BSD-3-Clause",
    )
    return write_artefact(folder / f"{name}.onnx", onnx, sidecar)


__all__ = ["export_checkpoint", "load_checkpoint"]
