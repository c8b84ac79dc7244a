"""From a configuration to the engines that measure frames, and what the reducer knows of them.

Engines of holograms are imported only where they are asked for.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from microscoped.daemon import __version__
from microscoped.daemon.core import HologramDefaults, PairDefaults
from microscoped.daemon.record import data_folder
from microscoped.daemon.runtime import PairEngine, PairObjective
from microscoped.daemon.settings import UNKNOWN_DOF_UM, motion_settings
from microscoped.drivers.protocols import FocusDirection
from microscoped.drivers.safety import Approach
from microscoped.models.focus_pair import Character, Correction, EstimateSettings
from microscoped.models.focus_pair.calibration import (
    CalibrationEngine,
    CalibrationFileError,
    CalibrationSetup,
    Conditions,
    DeepTools,
    find,
    load_network,
    missing_for_training,
)
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import ModelError, open_model
from microscoped.models.sharpness import SharpnessEngine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from microscoped.daemon.config import Config
    from microscoped.models import Engine
    from microscoped.models.focus_pair.calibration import Calibration
    from microscoped.models.hologram import ArrayBackend
    from microscoped.models.hologram.calibration import HologramCalibration, HologramCalibrationEngine
    from microscoped.models.hologram.engine import HologramEngine, HologramEngineSettings
    from microscoped.models.hologram.network import DistanceNetwork
    from microscoped.models.hologram.sideband import Side
    from microscoped.models.runtimes import Artefact, CompiledModel

log = logging.getLogger("microscoped")

HOLOGRAM = "hologram"
"""Name of the engine of holograms, and of its model."""
NO_READER = "no engine reads them"


@dataclass(frozen=True, slots=True, eq=False)
class EngineSet:
    """The engines.

    Parameters
    ----------
    engines
        All of them.
    pair, hologram
        What the reducer knows of focus from pairs and of holograms; or instead, in words, why there is no such thing.
    """

    engines: tuple[Engine, ...]
    pair: PairDefaults | str
    hologram: HologramDefaults | str


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
        return EngineSet(tuple(given), pair, hologram_defaults(config) if HOLOGRAM in names else NO_READER)
    engines: list[Engine] = [SharpnessEngine()]
    pairs = pair_engine(config)
    if not isinstance(pairs, str):
        engine, pair_knows = pairs
        engines += [engine, calibration_engine(config, engine, pair_knows.model_sha256)]
    holograms = hologram_engine(config)
    if not isinstance(holograms, str):
        engines += holograms[:2]
    return EngineSet(
        tuple(engines),
        pairs if isinstance(pairs, str) else pairs[1],
        holograms if isinstance(holograms, str) else holograms[2],
    )


def _threads() -> int:
    return max(1, (os.cpu_count() or 1) - 1)


def _folder(chosen: Path | None) -> Path:
    """Where calibrations are kept."""
    return chosen or data_folder() / "calibrations"


# --- pairs of images --------------------------------------------------------------------------------------------------


def pair_engine(config: Config) -> tuple[PairEngine, PairDefaults] | str:
    """Open the network of focus from a pair, and look for the calibration of this microscope.

    Returns
    -------
    engine, defaults
        The engine, and what the reducer knows of it; or instead, in words, why there is none.
    """
    chosen, optics = config.focus.pair, config.optics
    if not chosen.enabled:
        return "focus.pair.enabled is false in the configuration"
    if optics.na is None or optics.wavelength_nm is None:
        return "optics.na and optics.wavelength_nm are not both configured"
    try:
        artefact = model_spec(PairEngine.name).load()
        model = _open_network(config, artefact)
    except ModelError as error:
        log.warning("no focus from pairs: %s", error)
        return f"the network cannot be used: {error}"
    shipped = replace(pair_defaults(config, artefact.sidecar.sha256), no_deep=missing_for_training())
    defaults, calibration = _calibrated(config, shipped)
    tuned: CompiledModel | None = None
    if calibration is not None and calibration.tuned_sha256 is not None:
        try:
            tuned = _open_network(
                config, load_network(_folder(config.focus.pair.calibration), calibration.tuned_sha256)
            )
        except (ModelError, CalibrationFileError) as error:
            defaults, calibration = replace(shipped, why_not=f"the calibration's network cannot be used: {error}"), None
    plain = EstimateSettings(choose=chosen.choose)
    learned: tuple[EstimateSettings, Correction] | None = None
    if calibration is not None:
        learned = replace(plain, interval_factor=calibration.interval_factor), calibration.correction()
    objective = PairObjective(
        optics.na,
        optics.wavelength_nm,
        optics.immersion_index,
        chosen.tiles,
        plain,
        learned,
        Character.of_condenser(optics.na, optics.condenser_na),
    )
    return PairEngine(objective, model, tuned), defaults


def _open_network(config: Config, artefact: Artefact) -> CompiledModel:
    """Make a network of focus from a pair ready to run, with the configured backend."""
    chosen = config.focus.pair
    return open_model(
        artefact,
        chosen.backend,
        threads=_threads(),
        cache_folder=data_folder() / "plans",
        fallback=True,
        int8=model_spec(PairEngine.name).int8 if chosen.precision == "int8" else None,
    )


def pair_defaults(config: Config, sha256: str) -> PairDefaults:
    """What the reducer knows of focus from a pair, without a calibration."""
    dof_um = config.optics.dof_um or UNKNOWN_DOF_UM
    return PairDefaults(
        dof_um=dof_um,
        delta_um=config.focus.pair.delta_dof * dof_um,
        pixel_size_um=config.optics.pixel_size_um,
        model=PairEngine.name,
        model_sha256=sha256,
        why_not="this microscope was not calibrated",
    )


def _calibrated(config: Config, defaults: PairDefaults) -> tuple[PairDefaults, Calibration | None]:
    """Look for an accepted calibration that holds for this microscope."""
    optics, side = config.optics, motion_settings(config).approach_side
    assert optics.na is not None  # noqa: S101 - `pair_engine` has seen to it; narrows the type
    assert optics.wavelength_nm is not None  # noqa: S101 - as above
    present = Conditions(
        objective=optics.objective,
        na=optics.na,
        wavelength_nm=optics.wavelength_nm,
        immersion_index=optics.immersion_index,
        pixel_size_um=optics.pixel_size_um,
        condenser_na=optics.condenser_na,
        delta_um=defaults.delta_um,
        approach=(side or Approach.INCREASING).value,
        model_sha256=defaults.model_sha256,
    )
    # The reducer compares these with each request; the side is known only to the driver where nobody configured it.
    later = {"binning", "channel"}
    later |= {"approach"} if side is None else set()
    later |= {"pixel_size_um"} if optics.pixel_size_um is None else set()
    found, why_not = find(_folder(config.focus.pair.calibration), present, frozenset(later))
    if found is None:
        return replace(defaults, why_not=why_not), None
    holds = found.conditions
    calibrated = replace(
        defaults,
        calibrated=True,
        why_not="",
        channel=holds.channel,
        binning=holds.binning,
        approach=holds.approach,
        sign=found.sign,
        tuned_sha256=found.tuned_sha256,
    )
    return calibrated, found


def calibration_engine(config: Config, engine: PairEngine, sha256: str) -> CalibrationEngine:
    """The engine that calibrates another, which uses what was learned as soon as a calibration is accepted."""
    told = engine.objective
    setup = CalibrationSetup(
        na=told.na,
        wavelength_nm=told.wavelength_nm,
        immersion_index=told.immersion_index,
        objective=config.optics.objective,
        model_sha256=sha256,
        software=__version__,
        folder=_folder(config.focus.pair.calibration),
        condenser_na=config.optics.condenser_na,
        tiles=told.tiles,
        estimate=told.estimate,
    )
    deep = DeepTools(model_spec(PairEngine.name).load(), lambda artefact: _open_network(config, artefact))
    return CalibrationEngine(setup, engine.model, engine.learn, deep)


# --- holograms --------------------------------------------------------------------------------------------------------


def hologram_defaults(config: Config) -> HologramDefaults:
    """What the reducer knows of holograms, without a calibration."""
    chosen, optics = config.engines.hologram, config.optics
    dof_um = UNKNOWN_DOF_UM
    if optics.na is not None and optics.wavelength_nm is not None:
        dof_um = chosen.medium_index * optics.wavelength_nm / 1000 / optics.na**2
    configured = chosen.stage_per_focus
    unknown = (
        "this microscope was not calibrated for holograms: run 'microscoped calibrate hologram', or set "
        "engines.hologram.stage_per_focus"
    )
    return HologramDefaults(
        dof_um=dof_um,
        medium_index=chosen.medium_index,
        pixel_size_um=optics.pixel_size_um,
        scale_known=optics.wavelength_nm is not None,
        tolerance_um=config.focus.tolerance_um or dof_um / 4,
        refocus=chosen.refocus,
        side=1 if chosen.side == "plus" else -1,
        why_not=unknown if configured is None else "engines.hologram.stage_per_focus is configured",
        # Where the plane in focus goes along the light as z rises, distances from it fall.
        sign=None if configured is None else -1 if configured > 0 else 1,
        stage_per_focus=None if configured is None else abs(configured),
    )


def hologram_engine(config: Config) -> tuple[HologramEngine, HologramCalibrationEngine, HologramDefaults] | str:
    """Build the engine of holograms and the one that calibrates it, and look for the calibration of this microscope.

    Returns
    -------
    engine, calibration, defaults
        The engines, and what the reducer knows; or instead, in words, why there are none.
    """
    chosen = config.engines.hologram
    if not chosen.enabled:
        return "engines.hologram.enabled is false in the configuration"
    from microscoped.models.hologram import NetworkUnsuitableError, Side
    from microscoped.models.hologram.calibration import HologramCalibrationEngine, HologramCalibrationSetup
    from microscoped.models.hologram.engine import HologramEngine

    try:
        network = _distance_network(config)
    except (ModelError, NetworkUnsuitableError) as error:
        log.warning("no holograms: %s", error)
        return f"the network cannot be used: {error}"
    defaults, found = _hologram_calibrated(config)
    settings = hologram_settings(config, Side(defaults.side))
    background = found.background if found is not None else None
    engine = HologramEngine(settings, network, background, _transforms(config))

    def learn(learned: HologramCalibration) -> None:
        read = replace(settings.reconstruction, side=learned.side)
        engine.use(learned.background, replace(settings, reconstruction=read))

    setup = HologramCalibrationSetup(
        settings=settings,
        folder=_folder(chosen.calibration),
        objective=config.optics.objective,
        software=__version__,
        immersion_index=config.optics.immersion_index,
    )
    return engine, HologramCalibrationEngine(setup, network, background, learn), defaults


def _transforms(config: Config) -> ArrayBackend:
    """What transforms fields: the GPU where one runs the network and torch finds it, else the processor."""
    from microscoped.models.hologram import SCIPY, ArraysMissingError, torch_arrays

    if config.engines.hologram.backend not in ("auto", "tensorrt_rtx", "tensorrt"):
        return SCIPY
    try:
        return torch_arrays()
    except ArraysMissingError as error:
        log.info("fields of holograms are transformed on the processor: %s", error)
        return SCIPY


def hologram_settings(config: Config, side: Side) -> HologramEngineSettings:
    """How holograms are read; the size of a pixel is said with each frame, where it is known."""
    from microscoped.models.hologram import (
        CellSettings,
        DistanceRange,
        DistanceSettings,
        HologramOptics,
        ReconstructionSettings,
    )
    from microscoped.models.hologram.engine import HologramEngineSettings
    from microscoped.models.hologram.measurement import DistanceMethod, MeasureSettings

    chosen, optics = config.engines.hologram, config.optics
    methods = {
        "network": DistanceMethod.NETWORK_REFINED if chosen.refine else DistanceMethod.NETWORK,
        "search": DistanceMethod.SEARCH,
        "planes": DistanceMethod.PLANES,
    }
    cells = CellSettings(diameter=chosen.cell_diameter_um, most=chosen.most_cells)
    return HologramEngineSettings(
        optics=HologramOptics(
            wavelength_um=None if optics.wavelength_nm is None else optics.wavelength_nm / 1000,
            pixel_size_um=optics.pixel_size_um,
            na=optics.na,
            medium_index=chosen.medium_index,
            magnification=chosen.magnification,
        ),
        reconstruction=ReconstructionSettings(side=side),
        measure=MeasureSettings(
            method=methods[chosen.method],
            within=None if chosen.range_um is None else DistanceRange(*chosen.range_um),
            distance=DistanceSettings(cells=cells),
            refractive_increment=chosen.refractive_increment,
        ),
    )


def _distance_network(config: Config) -> DistanceNetwork | None:
    """Open the network that reads distances; ``None`` where they are searched.

    Raises
    ------
    ModelError, NetworkUnsuitableError
        One was asked for by name, and cannot be used.
    """
    chosen = config.engines.hologram
    if chosen.network == "none" or chosen.method != "network":
        return None
    from microscoped.models.hologram import NetworkUnsuitableError
    from microscoped.models.hologram.network import DistanceNetwork

    try:
        artefact = model_spec(HOLOGRAM).load(None if chosen.network == "auto" else chosen.network)
        model = open_model(
            artefact, chosen.backend, threads=_threads(), cache_folder=data_folder() / "plans", fallback=True
        )
        return DistanceNetwork(model, artefact)
    except (ModelError, NetworkUnsuitableError) as error:
        if chosen.network != "auto":
            raise
        log.warning("distances of holograms are searched: the network cannot be used: %s", error)
        return None


def _hologram_calibrated(config: Config) -> tuple[HologramDefaults, HologramCalibration | None]:
    """Look for an accepted calibration that holds for this microscope."""
    from microscoped.models.hologram.calibration import Conditions as HologramConditions
    from microscoped.models.hologram.calibration import load

    plain, optics = hologram_defaults(config), config.optics
    if optics.wavelength_nm is None:
        return plain, None
    direction = motion_settings(config).focus_direction
    present = HologramConditions(
        objective=optics.objective,
        na=optics.na,
        wavelength_nm=optics.wavelength_nm,
        immersion_index=optics.immersion_index,
        medium_index=plain.medium_index,
        pixel_size_um=optics.pixel_size_um,
        binning=1,
        focus_direction=direction.value,
    )
    later = {"binning"}
    later |= {"pixel_size_um"} if optics.pixel_size_um is None else set()
    later |= {"focus_direction"} if direction is FocusDirection.UNKNOWN else set()
    found = load(_folder(config.engines.hologram.calibration), present, frozenset(later))
    if isinstance(found, str):
        return (plain if plain.stage_per_focus is not None else replace(plain, why_not=found)), None
    if found.no_background:
        log.warning("the background of holograms is fitted: %s", found.no_background)
    calibrated = replace(
        plain,
        calibrated=True,
        why_not="",
        binning=found.record.conditions.binning,
        sign=found.sign,
        stage_per_focus=found.stage_per_focus,
        offset_um=found.offset_um,
        repeatability_um=found.repeatability_um,
        side=1 if found.side > 0 else -1,
    )
    return calibrated, found


__all__ = [
    "EngineSet",
    "build_engines",
    "calibration_engine",
    "hologram_defaults",
    "hologram_engine",
    "hologram_settings",
    "pair_defaults",
    "pair_engine",
]
