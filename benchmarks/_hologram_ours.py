"""The project's own ways from a frame to distances, and the cells that both the search and the network measure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from _hologram_agreement import Pair
from _hologram_frames import OPTICS
from _hologram_peers import RANGE_UM

from microscoped.models.hologram import (
    DistanceRange,
    DistanceSettings,
    Method,
    Reconstructor,
    field_distance,
    find_cells,
)
from microscoped.models.hologram.measurement import DistanceMethod, MeasureSettings, measure_cells, measure_field
from microscoped.models.hologram.network import DistanceNetwork
from microscoped.models.registry import UnknownModelError, model_spec
from microscoped.models.runtimes import ModelError, load_artefact, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from _hologram_frames import Shown
    from numpy.typing import NDArray

    from microscoped.models.hologram import Field
    from microscoped.models.hologram.measurement import CellMeasurement
    from microscoped.simulators.holograms import HologramTruth

WITHIN = DistanceRange(-RANGE_UM, RANGE_UM)
"""What all of these search."""
NEAR_UM = 2.5
"""A cell is the body whose middle lies at most so far from it, sideways."""
CLASSICAL = DistanceMethod.PLANES
"""What the network is compared with: 90 planes of each cell, as the paper's ground truth."""
LEARNT = (DistanceMethod.NETWORK_REFINED, DistanceMethod.NETWORK)


def open_network(weights: Path | None, threads: int) -> tuple[DistanceNetwork, str] | str:
    """Open the network of red cells, or another one.

    Returns
    -------
    network, sha256
        Or instead, in words, why there is none.
    """
    try:
        artefact = model_spec("hologram").load() if weights is None else load_artefact(weights)
        return DistanceNetwork(open_model(artefact, "onnxruntime", threads=threads), artefact), artefact.sidecar.sha256
    except (UnknownModelError, ModelError, OSError) as error:
        return f"no network: {error}"


def reconstructor(background: NDArray[np.uint8]) -> Reconstructor:
    """Return what makes fields of an instrument's frames, from its background hologram."""
    return Reconstructor.prepare(background, OPTICS, background=background)


def field_search(method: Method) -> Callable[[NDArray[np.uint8]], Callable[[NDArray[np.uint8]], float | None]]:
    """Return a maker of searches of the whole field's distance, in µm."""
    settings = DistanceSettings(method=method)

    def prepare(background: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], float | None]:
        reconstruct = reconstructor(background)
        return lambda frame: field_distance(reconstruct(frame), WITHIN, settings).z_min_contrast_um

    return prepare


def cells_median(
    method: DistanceMethod, network: DistanceNetwork | None
) -> Callable[[NDArray[np.uint8]], Callable[[NDArray[np.uint8]], float | None]]:
    """Return a maker of measurements of the median distance of all cells, in µm, as the engine makes them."""
    settings = MeasureSettings(method=method, within=WITHIN, phase=False)

    def prepare(background: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], float | None]:
        reconstruct = reconstructor(background)

        def measure(frame: NDArray[np.uint8]) -> float | None:
            found = measure_field(reconstruct(frame), settings, network)
            return found.z if found.z is not None else found.z_min_contrast

        return measure

    return prepare


def measured_cells(
    shown: Sequence[Shown], methods: Sequence[DistanceMethod], network: DistanceNetwork | None
) -> Iterator[tuple[Shown, Field, dict[DistanceMethod, list[CellMeasurement]]]]:
    """Yield each frame with its field, and what each method says of the same cells: those off the border."""
    reconstructors: dict[int, Reconstructor] = {}
    for one in shown:
        number = one.instrument.number
        if number not in reconstructors:
            reconstructors[number] = reconstructor(one.instrument.background)
        field = reconstructors[number](one.frame)
        cells = [cell for cell in find_cells(field) if not cell.border]
        settings = MeasureSettings(within=WITHIN, phase=False)
        found = {
            method: measure_cells(field, cells, WITHIN, replace(settings, method=method), network) for method in methods
        }
        yield one, field, found


def paired(
    shown: Shown, classical: Sequence[CellMeasurement], learnt: Sequence[CellMeasurement]
) -> list[tuple[Pair, bool]]:
    """Return the plane of least contrast of each cell twice, and whether the second was searched after all.

    Parameters
    ----------
    classical, learnt
        Of the same cells in the same order.
    """
    return [
        (
            Pair(shown.instrument.number, first.z_min_contrast, second.z_min_contrast),
            second.method is DistanceMethod.SEARCH,
        )
        for first, second in zip(classical, learnt, strict=True)
    ]


def truth_of(cell: CellMeasurement, field: Field, truths: Sequence[HologramTruth]) -> HologramTruth | None:
    """Return the body that a cell is; ``None`` where none is near."""
    y_um, x_um = cell.cell.row * field.pixel[0], cell.cell.column * field.pixel[1]
    nearest = min(truths, key=lambda body: math.hypot(body.y_um - y_um, body.x_um - x_um), default=None)
    if nearest is None or math.hypot(nearest.y_um - y_um, nearest.x_um - x_um) > NEAR_UM:
        return None
    return nearest


def z_um(cell: CellMeasurement) -> float | None:
    """Return a cell's middle where the method knows it, else its plane of least contrast."""
    return cell.z if cell.z is not None else cell.z_min_contrast


__all__ = [
    "CLASSICAL",
    "LEARNT",
    "NEAR_UM",
    "WITHIN",
    "cells_median",
    "field_search",
    "measured_cells",
    "open_network",
    "paired",
    "reconstructor",
    "truth_of",
    "z_um",
]
