"""Cells: the engine, and what the reducer knows of it.

What reads them is imported only where it is asked for.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from microscoped.daemon.core import CellsDefaults
from microscoped.daemon.engines._holograms import hologram_reconstruction, transforms
from microscoped.daemon.engines._shared import engine_threads, plans_folder
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import ModelError, open_model

if TYPE_CHECKING:
    from microscoped.daemon.config import Config
    from microscoped.models.cells.engine import CellReader, CellsEngine
    from microscoped.models.cells.opd import OpdSource
    from microscoped.models.hologram.engine import HologramEngine

log = logging.getLogger("microscoped")

CELLS = "cells"
"""Name of the engine, and of its model."""
WATERSHED = "watershed"
"""What reads cells without a network."""


def cells_engine(config: Config, holograms: HologramEngine | None = None) -> tuple[CellsEngine, CellsDefaults] | str:
    """Build the engine of cells.

    Parameters
    ----------
    config
        The configuration.
    holograms
        The engine that measures holograms, where there is one: a new calibration then holds for both.

    Returns
    -------
    engine, defaults
        The engine, and what the reducer knows of it; or instead, in words, why there is none.
    """
    chosen = config.engines.cells
    if not chosen.enabled:
        return "engines.cells.enabled is false in the configuration"
    from microscoped.models.cells import LinkSettings, NetworkUnsuitableError
    from microscoped.models.cells.engine import CellsEngine, CellsEngineSettings

    try:
        reader, sha256 = _reader(config)
    except (ModelError, NetworkUnsuitableError) as error:
        why = f"the network cannot be used: {error}"
        log.warning("no cells: %s; engines.cells.network none measures by threshold and watershed", why)
        return why
    settings = CellsEngineSettings(
        least_opd_nm=chosen.least_opd_nm,
        link=LinkSettings(reach_um=chosen.link_reach_um) if chosen.link else None,
        told=chosen.columns,
    )
    return CellsEngine(_source(config, holograms), reader, settings), cells_defaults(config, sha256)


def cells_defaults(config: Config, sha256: str = "") -> CellsDefaults:
    """What the reducer knows of cells."""
    chosen = config.engines.cells
    return CellsDefaults(
        source=chosen.source,
        network=WATERSHED if chosen.network == "none" else chosen.network,
        network_sha256=sha256,
        pixel_size_um=config.optics.pixel_size_um,
        every=chosen.every,
        links=chosen.link,
    )


def _reader(config: Config) -> tuple[CellReader, str]:
    """Open what makes tables, with the hash of its weights.

    Raises
    ------
    ModelError, NetworkUnsuitableError
        The network cannot be used.
    """
    chosen = config.engines.cells
    if chosen.network == "none":
        from microscoped.models.cells.engine import WatershedReader

        return WatershedReader(), ""
    from microscoped.models.cells import CellNetwork

    artefact = model_spec(CELLS).load(chosen.network)
    model = open_model(artefact, chosen.backend, threads=engine_threads(), cache_folder=plans_folder(), fallback=True)
    return CellNetwork(model, artefact), artefact.sidecar.sha256


def _source(config: Config, holograms: HologramEngine | None) -> OpdSource:
    chosen = config.engines.cells
    if chosen.source == "hologram":
        from microscoped.models.cells.holographic import HolographicOpd
        from microscoped.models.hologram import DistanceRange

        fields = holograms if holograms is not None else hologram_reconstruction(config)
        range_um = config.engines.hologram.range_um
        within = None if range_um is None else DistanceRange(*range_um)
        return HolographicOpd(fields, chosen.distance_um, within, transforms(chosen.backend))
    from microscoped.models.cells.opd import CountedOpd

    if chosen.nm_per_count is None:
        raise ValueError("engines.cells.nm_per_count is not configured")
    return CountedOpd(chosen.nm_per_count, chosen.zero_count, chosen.pixel_size_um)


__all__ = ["CELLS", "cells_defaults", "cells_engine"]
