"""The networks between iterations that lie among the weights, by name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from microscoped.models import registry
from microscoped.models.lensfree.errors import SettingsError
from microscoped.models.lensfree.network import NetworkAccelerator, NetworkUnwrapper
from microscoped.models.runtimes import load_artefact, open_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from microscoped.models.runtimes import Artefact

log = logging.getLogger("microscoped.models")

AUTO: Final = "auto"
NONE: Final = "none"
ACCELERATORS: Final = ("lensfree_accelerate_light", "lensfree_accelerate")
"""The first that is there is what ``auto`` takes."""
UNWRAPPERS: Final = ("lensfree_unwrap",)


def shipped(name: str, among: Sequence[str]) -> Artefact | None:
    """Return a network by name.

    Parameters
    ----------
    name
        One of them; ``auto`` for the first that lies there, if one does; ``none``.
    among
        `ACCELERATORS` or `UNWRAPPERS`.

    Raises
    ------
    ModelError
        One was asked for by name, and is not there or damaged.
    """
    if name == NONE:
        return None
    if name != AUTO:
        return load_artefact(registry.WEIGHTS / f"{name}.onnx")
    for one in among:
        path = registry.WEIGHTS / f"{one}.onnx"
        if path.exists():
            return load_artefact(path)
    log.info("lens-free frames: none of %s is among the weights; iterations go on without", ", ".join(among))
    return None


def between_iterations(accelerator: str, unwrapper: str, *, reference: bool) -> tuple[Artefact | None, Artefact | None]:
    """Return the accelerator and the unwrapper of a reconstruction.

    Parameters
    ----------
    accelerator, unwrapper
        As of `shipped`.
    reference
        The reference reconstruction has no accelerator.

    Raises
    ------
    SettingsError
        The reference was asked for with an accelerator.
    ModelError
        One was asked for by name, and is not there or damaged.
    """
    if reference and accelerator not in (AUTO, NONE):
        raise SettingsError(f"accelerator {accelerator}: the reference reconstruction has none; take it out")
    return None if reference else shipped(accelerator, ACCELERATORS), shipped(unwrapper, UNWRAPPERS)


def open_accelerator(
    artefact: Artefact, backend: str, *, threads: int = 1, cache_folder: Path | None = None
) -> NetworkAccelerator:
    """Open an accelerator; parameters and errors as of `microscoped.models.runtimes.open_model`, with a fallback.

    Raises
    ------
    NetworkError
        It was trained for something else.
    """
    model = open_model(artefact, backend, threads=threads, cache_folder=cache_folder, fallback=True)
    return NetworkAccelerator(model, artefact)


def open_unwrapper(
    artefact: Artefact, backend: str, *, threads: int = 1, cache_folder: Path | None = None
) -> NetworkUnwrapper:
    """Open an unwrapper; as `open_accelerator`."""
    model = open_model(artefact, backend, threads=threads, cache_folder=cache_folder, fallback=True)
    return NetworkUnwrapper(model, artefact)


__all__ = [
    "ACCELERATORS",
    "AUTO",
    "NONE",
    "UNWRAPPERS",
    "between_iterations",
    "open_accelerator",
    "open_unwrapper",
    "shipped",
]
