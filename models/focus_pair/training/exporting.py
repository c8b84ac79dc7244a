"""From a checkpoint to the artefact that is shipped: an ONNX file and its sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from microscoped.models import learning
from microscoped.models.focus_pair.engine import DELTA_RANGE_DOF
from microscoped.models.focus_pair.optics import CHARACTER_WIDTH
from microscoped.models.focus_pair.preprocess import DEVIATION_FLOOR, TILE, WORKING_SAMPLING
from microscoped.models.focus_pair.spectra import WIDTH
from microscoped.models.focus_pair.training.draws import FIRST_RANGE_DOF
from microscoped.models.focus_pair.training.network import FEATURES, Architecture, FocusNetwork
from microscoped.models.runtimes import Artefact, BatchProfile, Sidecar, Tensor, sha256_of, write_artefact

if TYPE_CHECKING:
    from pathlib import Path

BATCH = BatchProfile(min=1, opt=25, max=256)
INPUTS = (
    Tensor(
        name="images",
        shape=(None, 6, TILE, TILE),
        dtype="float32",
        meaning="normalised difference and mean of the two frames in red, green and blue",
        unit="standard deviations",
    ),
    Tensor(
        name="scalars",
        shape=(None, 2),
        dtype="float32",
        meaning="distance of the two frames; logarithm of the contrast of the difference over that of the mean",
        unit="depths of field; 1",
    ),
    Tensor(
        name="spectra",
        shape=(None, WIDTH),
        dtype="float32",
        meaning="logarithms of both frames' power, and their coherence, in radial bands of red, green and blue",
        unit="(ln power + 6) / 3; 1",
    ),
    Tensor(
        name="character",
        shape=(None, CHARACTER_WIDTH),
        dtype="float32",
        meaning="coherence: whether it is known, and how large; spherical aberration: the same",
        unit="0 or 1; (coherence - 0.7) / 0.3; 0 or 1; half waves",
    ),
)
OUTPUTS = (
    Tensor(
        name="defocus_dof",
        shape=(None,),
        dtype="float32",
        meaning="how far the second frame lies downstream of the focus",
        unit="depths of field",
    ),
    Tensor(
        name="log_error",
        shape=(None,),
        dtype="float32",
        meaning="natural logarithm of the expected absolute error in depths of field",
        unit="1",
    ),
    Tensor(
        name="features",
        shape=(None, FEATURES),
        dtype="float32",
        meaning="features that the linear head reads: of the images, averaged over the tile, and of the spectra",
        unit="1",
    ),
)
TOLERANCE = {"defocus_dof": 1e-3, "log_error": 1e-3, "features": 2e-3}


def load_checkpoint(path: Path) -> tuple[FocusNetwork, dict[str, Any]]:
    """Return the averaged network of a checkpoint, and what else the checkpoint holds.

    Raises
    ------
    ValueError
        It is not a checkpoint of this model.
    """
    data: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if not {"architecture", "recipe", "draws", "average"} <= set(data):
        raise ValueError(
            f"{path}: is not a checkpoint of focus_pair; train one with `microscoped models train focus_pair`"
        )
    network = FocusNetwork(Architecture(**data["architecture"]))
    network.load_state_dict(data["average"])
    return network.eval(), data


def to_onnx(network: FocusNetwork) -> bytes:
    """Return the network as one ONNX file with a free batch size."""
    example = (
        torch.zeros(2, 6, TILE, TILE),
        torch.tensor([[2.0, 0.0], [1.0, -1.0]]),
        torch.zeros(2, WIDTH),
        torch.zeros(2, CHARACTER_WIDTH),
    )
    return learning.to_onnx(network, example, INPUTS, OUTPUTS, BATCH)


def export_checkpoint(
    checkpoint: Path, folder: Path, name: str = "focus_pair", scores: dict[str, Any] | None = None
) -> Artefact:
    """Write ``NAME.onnx`` and ``NAME.json``.

    Parameters
    ----------
    checkpoint
        From training.
    folder
        Where they go.
    name
        Of the files.
    scores
        From the evaluation, for the sidecar.
    """
    network, data = load_checkpoint(checkpoint)
    onnx = to_onnx(network)
    sidecar = Sidecar(
        name=name,
        version="1",
        title="Focus from a pair of images (Dastidar 2020)",
        inputs=INPUTS,
        outputs=OUTPUTS,
        batch=BATCH,
        preprocessing={
            "tile": TILE,
            "working_sampling": WORKING_SAMPLING,
            "deviation_floor": DEVIATION_FLOOR,
            "delta_dof": list(DELTA_RANGE_DOF),
            "first_dof": list(FIRST_RANGE_DOF),
        },
        sha256=sha256_of(onnx),
        training={
            **learning.training_facts(checkpoint, data, network),
        },
        scores=scores or {},
        tolerance=TOLERANCE,
        licence="BSD-3-Clause",
    )
    return write_artefact(folder / f"{name}.onnx", onnx, sidecar)


__all__ = ["export_checkpoint", "load_checkpoint", "to_onnx"]
