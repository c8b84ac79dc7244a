"""From a configuration to the engines that measure frames, and what the reducer knows of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from microscoped.daemon.engines._cells import CELLS, cells_defaults, cells_engine
from microscoped.daemon.engines._holograms import HOLOGRAM, hologram_defaults, hologram_engine, hologram_settings
from microscoped.daemon.engines._pairs import calibration_engine, pair_defaults, pair_engine
from microscoped.daemon.runtime import PairEngine
from microscoped.models.sharpness import SharpnessEngine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microscoped.daemon.config import Config
    from microscoped.daemon.core import CellsDefaults, HologramDefaults, PairDefaults
    from microscoped.models import Engine

NO_READER = "no engine reads them"


@dataclass(frozen=True, slots=True, eq=False)
class EngineSet:
    """The engines.

    Parameters
    ----------
    engines
        All of them.
    pair, hologram, cells
        What the reducer knows of focus from pairs, of holograms, and of cells; or instead, in words, why there is no
        such thing.
    weights
        SHA-256 of the weights of each engine that has some, and of the networks between iterations by their own names.
    """

    engines: tuple[Engine, ...]
    pair: PairDefaults | str
    hologram: HologramDefaults | str
    cells: CellsDefaults | str
    weights: Mapping[str, str] = field(default_factory=dict)


def build_engines(config: Config, given: Sequence[Engine] | None = None) -> EngineSet:
    """Build the configured engines.

    Parameters
    ----------
    config
        The configuration.
    given
        Instead of the configured ones.
    """
    if given is not None:
        names = {engine.name for engine in given}
        pair = pair_defaults(config, "") if PairEngine.name in names and config.optics.dof_um is not None else NO_READER
        return EngineSet(
            tuple(given),
            pair,
            hologram_defaults(config) if HOLOGRAM in names else NO_READER,
            cells_defaults(config) if CELLS in names else NO_READER,
        )
    engines: list[Engine] = [SharpnessEngine()]
    weights: dict[str, str] = {}
    pairs = pair_engine(config)
    if not isinstance(pairs, str):
        engine, pair_knows = pairs
        engines += [engine, calibration_engine(config, engine, pair_knows.model_sha256)]
        weights[engine.name] = pair_knows.tuned_sha256 or pair_knows.model_sha256
    holograms = hologram_engine(config)
    if not isinstance(holograms, str):
        engines += holograms[:2]
        weights[HOLOGRAM] = holograms[0].network_sha256
    cells = cells_engine(config, None if isinstance(holograms, str) else holograms[0])
    if not isinstance(cells, str):
        engines.append(cells[0])
        weights[CELLS] = cells[1].network_sha256
        weights |= {artefact.name: artefact.sidecar.sha256 for artefact in cells[2]}
    return EngineSet(
        tuple(engines),
        pairs if isinstance(pairs, str) else pairs[1],
        holograms if isinstance(holograms, str) else holograms[2],
        cells if isinstance(cells, str) else cells[1],
        {name: sha256 for name, sha256 in weights.items() if sha256},
    )


__all__ = [
    "EngineSet",
    "build_engines",
    "calibration_engine",
    "cells_defaults",
    "cells_engine",
    "hologram_defaults",
    "hologram_engine",
    "hologram_settings",
    "pair_defaults",
    "pair_engine",
]
