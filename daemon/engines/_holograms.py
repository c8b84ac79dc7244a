"""Holograms: the engine, the one that calibrates it, and what the reducer knows of them.

What reads holograms is imported only where it is asked for.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon import __version__
from microscoped.daemon.core import HologramDefaults
from microscoped.daemon.engines._shared import calibrations_folder, engine_threads, plans_folder
from microscoped.daemon.settings import UNKNOWN_DOF_UM, motion_settings
from microscoped.drivers.protocols import FocusDirection
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import ModelError, open_model

if TYPE_CHECKING:
    from microscoped.daemon.config import Config
    from microscoped.models.hologram import ArrayBackend
    from microscoped.models.hologram.calibration import HologramCalibration, HologramCalibrationEngine
    from microscoped.models.hologram.engine import HologramEngine, HologramEngineSettings
    from microscoped.models.hologram.network import DistanceNetwork
    from microscoped.models.hologram.sideband import Side

log = logging.getLogger("microscoped")

HOLOGRAM = "hologram"
"""Name of the engine, and of its model."""


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
    engine = HologramEngine(settings, network, background, transforms(config.engines.hologram.backend))

    def learn(learned: HologramCalibration) -> None:
        read = replace(settings.reconstruction, side=learned.side)
        engine.use(learned.background, replace(settings, reconstruction=read))

    setup = HologramCalibrationSetup(
        settings=settings,
        folder=calibrations_folder(chosen.calibration),
        objective=config.optics.objective,
        software=__version__,
        immersion_index=config.optics.immersion_index,
    )
    return engine, HologramCalibrationEngine(setup, network, background, learn), defaults


def transforms(backend: str) -> ArrayBackend:
    """What transforms fields: the GPU where one runs the network and torch finds it, else the processor."""
    from microscoped.models.hologram import SCIPY, ArraysMissingError, torch_arrays

    if backend not in ("auto", "tensorrt_rtx", "tensorrt"):
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
            artefact, chosen.backend, threads=engine_threads(), cache_folder=plans_folder(), fallback=True
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
    found = load(calibrations_folder(config.engines.hologram.calibration), present, frozenset(later))
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


def hologram_reconstruction(config: Config) -> HologramEngine:
    """Build what makes fields of holograms, with the background of the calibration that holds for this microscope.

    It measures nothing by itself: for engines that read the fields.
    """
    from microscoped.models.hologram import Side
    from microscoped.models.hologram.engine import HologramEngine

    defaults, found = _hologram_calibrated(config)
    settings = hologram_settings(config, Side(defaults.side))
    background = found.background if found is not None else None
    return HologramEngine(settings, None, background, transforms(config.engines.cells.backend))


__all__ = [
    "HOLOGRAM",
    "hologram_defaults",
    "hologram_engine",
    "hologram_reconstruction",
    "hologram_settings",
    "transforms",
]
