"""Cells: the engine, and what the reducer knows of it.

What reads them is imported only where it is asked for.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from microscoped.daemon.core import CellsDefaults
from microscoped.daemon.engines._holograms import hologram_reconstruction, transforms
from microscoped.daemon.engines._lensfree import lensfree_source, networks_between
from microscoped.daemon.engines._shared import engine_threads, plans_folder
from microscoped.daemon.runtime import ProcessEngine
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import ModelError, open_model

if TYPE_CHECKING:
    from microscoped.daemon.config import Config
    from microscoped.models import Engine
    from microscoped.models.cells.engine import CellReader, CellsEngine
    from microscoped.models.cells.opd import OpdSource
    from microscoped.models.hologram.engine import HologramEngine
    from microscoped.models.runtimes import Artefact

log = logging.getLogger("microscoped")

CELLS = "cells"
"""Name of the engine, and of its model."""
WATERSHED = "watershed"
"""What reads cells without a network."""
SERIES_OF_A_LIFE = 100_000
"""More series of links than a process begins."""


def cells_engine(
    config: Config, holograms: HologramEngine | None = None
) -> tuple[Engine, CellsDefaults, tuple[Artefact, ...]] | str:
    """Build the engine of cells; that of lens-free frames measures in a process of its own.

    Parameters
    ----------
    config
        The configuration.
    holograms
        The engine that measures holograms, where there is one: a new calibration then holds for both.

    Returns
    -------
    engine, defaults, between
        The engine, what the reducer knows of it, and the networks between the iterations of a lens-free reconstruction;
        or instead, in words, why there is none.
    """
    chosen = config.engines.cells
    if not chosen.enabled:
        return "engines.cells.enabled is false in the configuration"
    from microscoped.models.cells import NetworkUnsuitableError

    engine: Engine
    accelerator = unwrapper = None
    try:
        network = _network(config)
        if chosen.source == "lensfree":
            accelerator, unwrapper = networks_between(chosen)
            engine = ProcessEngine(CELLS, 1, partial(_built_apart, config), config.engines.cells.lensfree.hung_s)
        else:
            engine = _built(config, holograms)
    except (ModelError, NetworkUnsuitableError) as error:
        why = f"the network cannot be used: {error}"
        log.warning("no cells: %s; engines.cells.network none measures by threshold and watershed", why)
        return why
    between = tuple(one for one in (accelerator, unwrapper) if one is not None)
    defaults = replace(
        cells_defaults(config, "" if network is None else network.sidecar.sha256),
        accelerator="" if accelerator is None else accelerator.name,
        unwrapper="" if unwrapper is None else unwrapper.name,
    )
    return engine, defaults, between


def cells_defaults(config: Config, sha256: str = "") -> CellsDefaults:
    """What the reducer knows of cells, without networks between iterations."""
    chosen = config.engines.cells
    return CellsDefaults(
        source=chosen.source,
        network=WATERSHED if chosen.network == "none" else chosen.network,
        network_sha256=sha256,
        pixel_size_um=config.optics.pixel_size_um,
        every=chosen.every,
        links=chosen.link,
    )


def _built_apart(config: Config, life: int) -> CellsEngine:
    """Build what measures in a process of its own; cells of an earlier process are not taken for its own."""
    return _built(config, series=life * SERIES_OF_A_LIFE)


def _built(config: Config, holograms: HologramEngine | None = None, series: int = 0) -> CellsEngine:
    """Build what measures, in the process where it will.

    Raises
    ------
    ModelError, NetworkUnsuitableError, LensFreeError
        A network cannot be used.
    """
    from microscoped.models.cells import LinkSettings
    from microscoped.models.cells.engine import CellsEngine, CellsEngineSettings

    chosen = config.engines.cells
    settings = CellsEngineSettings(
        least_opd_nm=chosen.least_opd_nm,
        link=LinkSettings(reach_um=chosen.link_reach_um) if chosen.link else None,
        told=chosen.columns,
    )
    reader = _reader(config)
    return CellsEngine(_source(config, holograms), reader, settings, series=series)


def _network(config: Config) -> Artefact | None:
    """Return the network that makes tables; ``None`` without one."""
    chosen = config.engines.cells
    return None if chosen.network == "none" else model_spec(CELLS).load(chosen.network)


def _reader(config: Config) -> CellReader:
    """Open what makes tables."""
    artefact, chosen = _network(config), config.engines.cells
    if artefact is None:
        from microscoped.models.cells.engine import WatershedReader

        return WatershedReader()
    from microscoped.models.cells import CellNetwork

    model = open_model(
        artefact,
        chosen.backend,
        threads=engine_threads(),
        cache_folder=plans_folder(),
        fallback=True,
        lower=model_spec(CELLS).in_precision(chosen.precision),
    )
    return CellNetwork(model, artefact)


def _source(config: Config, holograms: HologramEngine | None) -> OpdSource:
    chosen = config.engines.cells
    if chosen.source == "lensfree":
        return lensfree_source(chosen)
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
