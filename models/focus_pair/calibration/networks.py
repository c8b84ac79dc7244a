"""Fine-tuned networks beside the calibrations that use them, each named after its hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.models.focus_pair.calibration.errors import CalibrationFileError
from microscoped.models.runtimes import Artefact, ArtefactError, load_artefact, write_artefact

if TYPE_CHECKING:
    from collections.abc import Set
    from pathlib import Path

STEM = "tuned-"
HASH_SIGNS = 16
"""Signs of the hash in a file's name."""


def network_path(folder: Path, sha256: str) -> Path:
    """Return where a network of this hash is kept."""
    return folder / f"{STEM}{sha256[:HASH_SIGNS]}.onnx"


def keep_network(artefact: Artefact, folder: Path) -> Path:
    """Write a network and its sidecar; return the ONNX file.

    Raises
    ------
    CalibrationFileError
        The folder cannot be written to.
    """
    path = network_path(folder, artefact.sidecar.sha256)
    try:
        write_artefact(path, artefact.onnx, artefact.sidecar)
    except OSError as error:
        raise CalibrationFileError(
            f"{path} cannot be written ({error.strerror}); set focus.pair.calibration to a folder that can"
        ) from error
    return path


def load_network(folder: Path, sha256: str) -> Artefact:
    """Read the network of this hash.

    Raises
    ------
    CalibrationFileError
        It is missing, or was altered.
    """
    try:
        artefact = load_artefact(network_path(folder, sha256))
    except ArtefactError as error:
        raise CalibrationFileError(f"its fine-tuned network cannot be used: {error}") from error
    if artefact.sidecar.sha256 != sha256:
        raise CalibrationFileError(f"its fine-tuned network {artefact.path} is another one: it was altered")
    return artefact


def prune_networks(folder: Path, named: Set[str]) -> None:
    """Take away the networks that no calibration names any more; `named` are the hashes of those that one does."""
    kept = {network_path(folder, sha256).stem for sha256 in named}
    for path in folder.glob(f"{STEM}*"):
        if path.stem not in kept:
            path.unlink(missing_ok=True)


__all__ = ["keep_network", "load_network", "network_path", "prune_networks"]
