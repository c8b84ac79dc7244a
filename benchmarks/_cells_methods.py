"""Ways from an image of the optical path difference to a table of cells: the networks, and what they have to beat."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from microscoped.models.cells import (
    BaselineSettings,
    CellNetwork,
    CellsError,
    Quantity,
    seeded_growing,
    threshold_watershed,
)
from microscoped.models.registry import WEIGHTS, model_spec
from microscoped.models.runtimes import ModelError, compile_lower, load_artefact, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from microscoped.models.cells import CellTable, HeatMaps

    Reader = Callable[[NDArray[np.float32], float], CellTable]

CLEAN, DEGRADED, PAPER = "network A", "network B", "20 × 32 of the paper"
GROWING, WATERSHED = "seeded growing", "threshold, watershed"
BASELINES = (GROWING, WATERSHED)
NETWORKS = {CLEAN: "cells_a", DEGRADED: "cells_b", PAPER: "cells_reference"}
"""Names of their artefacts."""
VARIANTS = {
    "one quantity": "cells_reference-mass",
    "two quantities": "cells_reference-mass-area",
    "all four": "cells_reference",
}
"""The paper's network, by how much it measures at once."""
OPENVINO = "openvino"
BF16 = f"{DEGRADED}, {OPENVINO} bf16"
"""Network B in bfloat16, where the processor computes in it."""
UNEVEN_UM = 120.0
"""Blocks of which the baselines make the background that they take off, where there is one."""


@dataclass(frozen=True, eq=False)
class Method:
    """One way.

    Parameters
    ----------
    name
        In the tables.
    table
        Measures an image in nm with pixels of so many µm.
    quantities
        That it measures.
    maps
        What a network makes of an image; ``None`` for the others.
    slow
        Whether it is given each field but once.
    told
        Weights and what runs them, or the settings.
    """

    name: str
    table: Reader
    quantities: tuple[Quantity, ...] = tuple(Quantity)
    maps: Callable[[NDArray[np.float32], float], HeatMaps] | None = None
    slow: bool = False
    told: dict[str, str] = field(default_factory=dict)


def networks(
    wanted: dict[str, str],
    folders: Sequence[Path | None],
    threads: int,
    backend: str = "onnxruntime",
    precision: str = "fp32",
) -> tuple[list[Method], dict[str, str]]:
    """Open networks.

    Parameters
    ----------
    wanted
        Names of artefacts by how they are called.
    folders
        Where they are looked for, in this order; ``None`` is where the shipped ones are.
    threads
        That each may use.
    backend
        What runs them.
    precision
        Of their arithmetic; a lower one than single precision is compiled first, past its gate.

    Returns
    -------
    methods, absent
        Of those that cannot be opened, why.
    """
    opened: list[Method] = []
    absent: dict[str, str] = {}
    for name, artefact in wanted.items():
        suffix = "" if backend == "onnxruntime" else f", {backend}"
        suffix += "" if precision == "fp32" else f" {precision}"
        try:
            opened.append(_network(name + suffix, artefact, folders, threads, backend, precision))
        except (ModelError, CellsError, OSError) as error:
            absent[name + suffix] = str(error)
    return opened, absent


def _network(
    name: str, artefact: str, folders: Sequence[Path | None], threads: int, backend: str, precision: str
) -> Method:
    paths = [(folder or WEIGHTS) / f"{artefact}.onnx" for folder in folders]
    read = load_artefact(next((path for path in paths if path.exists()), paths[-1]))
    lower = model_spec("cells").in_precision(precision)
    with tempfile.TemporaryDirectory() as plans:
        if lower is not None:
            compile_lower(read, lower, Path(plans))
        model = open_model(read, backend, threads=threads, cache_folder=Path(plans), lower=lower)
    network = CellNetwork(model, read)
    told = {
        "sha256": network.sha256,
        "backend": model.backend,
        "device": model.device,
        "reason": model.choice.reason,
    }
    slow = artefact.startswith("cells_reference")
    return Method(name, network.table, network.quantities, network.maps, slow, told)


def baselines(*, uneven: bool) -> list[Method]:
    """Return the classical ways.

    Parameters
    ----------
    uneven
        Whether images have a background, which is then taken off first.
    """
    settings = BaselineSettings(background_um=UNEVEN_UM if uneven else None)
    told = {"background": f"blocks of {UNEVEN_UM:g} µm" if uneven else "left as it is"}
    return [
        Method(GROWING, lambda opd, pixel: seeded_growing(opd, pixel, settings), told=told),
        Method(WATERSHED, lambda opd, pixel: threshold_watershed(opd, pixel, settings), told=told),
    ]


__all__ = [
    "BASELINES",
    "BF16",
    "CLEAN",
    "DEGRADED",
    "GROWING",
    "NETWORKS",
    "OPENVINO",
    "PAPER",
    "VARIANTS",
    "WATERSHED",
    "Method",
    "baselines",
    "networks",
]
