"""Focus from a pair of images: the engine, and the one that calibrates it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon import __version__
from microscoped.daemon.core import PairDefaults
from microscoped.daemon.engines._shared import calibrations_folder, engine_threads, plans_folder
from microscoped.daemon.runtime import PairEngine, PairObjective
from microscoped.daemon.settings import UNKNOWN_DOF_UM, motion_settings
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

if TYPE_CHECKING:
    from microscoped.daemon.config import Config
    from microscoped.models.focus_pair.calibration import Calibration
    from microscoped.models.runtimes import Artefact, CompiledModel

log = logging.getLogger("microscoped")


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
                config, load_network(calibrations_folder(config.focus.pair.calibration), calibration.tuned_sha256)
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
        threads=engine_threads(),
        cache_folder=plans_folder(),
        fallback=True,
        lower=model_spec(PairEngine.name).in_precision(chosen.precision),
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
    found, why_not = find(calibrations_folder(config.focus.pair.calibration), present, frozenset(later))
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
        folder=calibrations_folder(config.focus.pair.calibration),
        condenser_na=config.optics.condenser_na,
        tiles=told.tiles,
        estimate=told.estimate,
    )
    deep = DeepTools(model_spec(PairEngine.name).load(), lambda artefact: _open_network(config, artefact))
    return CalibrationEngine(setup, engine.model, engine.learn, deep)


__all__ = ["calibration_engine", "pair_defaults", "pair_engine"]
