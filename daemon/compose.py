"""Where the program is put together: from a configuration to a microscope, its rules of motion, and a loop.

The only module that knows every room; the microscope itself is built in ``microscopes``.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
import uuid
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING

import zmq

from microscoped.daemon import __version__
from microscoped.daemon.config import DEMO, MicroManagerConfig
from microscoped.daemon.core import FocusDefaults, PairDefaults, Settings, State
from microscoped.daemon.keys import KeyFolder, default_folder
from microscoped.daemon.microscopes import build_microscope
from microscoped.daemon.protocol import VERSION
from microscoped.daemon.protocol.strict_json import MAX_BYTES
from microscoped.daemon.record import Facts, Place, Recorder, RecorderSettings, data_folder
from microscoped.daemon.runtime import (
    CONTROL_BYTES,
    SUBSCRIBE_BYTES,
    Endpoints,
    Gate,
    Loop,
    PairEngine,
    PairObjective,
    Sockets,
)
from microscoped.drivers.hardware import HardwareSettings
from microscoped.drivers.protocols import CameraSettings
from microscoped.drivers.safety import Approach, MotionSettings
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
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from microscoped.daemon.config import Config
    from microscoped.daemon.core.inputs import JournalEnded
    from microscoped.daemon.runtime.loop import Watcher
    from microscoped.drivers.protocols import Clock, Microscope
    from microscoped.models import Engine
    from microscoped.models.focus_pair.calibration import Calibration
    from microscoped.models.runtimes import Artefact, CompiledModel

log = logging.getLogger("microscoped")

JOURNAL_END_S = 5.0
"""How long the end may wait for the disk."""
UNKNOWN_DOF_UM = 1.0
"""Depth of field assumed for defaults where the optics are unknown: that of a 20× / 0.75."""


def motion_settings(config: Config) -> MotionSettings:
    """The rules of motion that a configuration means."""
    chosen = config.stage
    step_um = chosen.unknown_direction_step_um
    if step_um is None:
        step_um = 2 * (config.optics.dof_um or 0.0)
    return MotionSettings(
        limits_um=chosen.limits_um,
        max_step_um=chosen.max_step_um,
        focus_direction=chosen.focus_direction,
        approach=chosen.approach,
        overshoot_um=chosen.overshoot_um,
        unknown_direction_step_um=step_um,
        arrival_tolerance_um=chosen.arrival_tolerance_um,
        settle_ms=chosen.settle_ms,
        timeout_s=chosen.timeout_s,
    )


def camera_settings(config: Config) -> CameraSettings:
    """What the camera is told at the start."""
    names = [field.name for field in fields(CameraSettings)]
    return CameraSettings(**{name: getattr(config.camera, name) for name in names})


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
            tuned = _open_network(config, load_network(_calibrations(config), calibration.tuned_sha256))
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
    threads = max(1, (os.cpu_count() or 1) - 1)
    chosen = config.focus.pair
    return open_model(
        artefact,
        chosen.backend,
        threads=threads,
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
    found, why_not = find(_calibrations(config), present, frozenset(later))
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


def core_settings(
    config: Config,
    endpoints: Mapping[str, str],
    expected_z_um: float | None = None,
    pair: PairDefaults | str = "no engine reads them",
) -> Settings:
    """The facts that the reducer works with (see `Settings`); `pair` may say why there is no focus from pairs."""
    dof_um = config.optics.dof_um or UNKNOWN_DOF_UM
    focus = config.focus
    return Settings(
        software=__version__,
        endpoints=endpoints,
        size_limits={"control_bytes": CONTROL_BYTES, "json_bytes": MAX_BYTES, "subscription_bytes": SUBSCRIBE_BYTES},
        motion=motion_settings(config),
        optics=config.optics.known(),
        objective=config.optics.objective,
        focus=FocusDefaults(
            range_um=focus.range_um,
            tolerance_um=focus.tolerance_um or dof_um / 4,
            coarse_step_um=focus.coarse_step_um or 3 * dof_um,
            extremum=focus.extremum,
            metric=focus.metric,
            roi=focus.roi,
            max_images=focus.max_images,
            offsets_um=dict(focus.offsets_um),
            pair=None if isinstance(pair, str) else pair,
            no_pair=pair if isinstance(pair, str) else "",
            hold_per_min=focus.hold.max_per_min,
        ),
        engines=("sharpness",) if config.engines.sharpness.enabled else (),
        frame_allowance_s=config.camera.frame_allowance_s,
        stream_at_start=config.camera.stream_at_start,
        expected_z_um=expected_z_um,
    )


def _place(config: Config) -> Place | None:
    """Where a real stage's resting place is kept; a simulated one begins anew in each life."""
    chosen = config.microscope
    if not (config.journal.enabled and isinstance(chosen, MicroManagerConfig)) or chosen.config_file == DEMO:
        return None
    return Place(_journal_folder(config), chosen.config_file)


def _journal_folder(config: Config) -> Path:
    return config.journal.folder or data_folder() / "journal"


def _recorder(
    config: Config, state: State, place: Place | None, post: Callable[[JournalEnded], None]
) -> Recorder | None:
    """The keeper of the journal, if one is wanted."""
    chosen = config.journal
    if not chosen.enabled:
        return None
    settings = RecorderSettings(
        folder=_journal_folder(config), rotate_bytes=int(chosen.rotate_mb * 1e6), keep=chosen.keep, place=place
    )
    return Recorder(settings, Facts(__version__, VERSION, config.model_dump(mode="json")), state, post)


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
        folder=_calibrations(config),
        condenser_na=config.optics.condenser_na,
        tiles=told.tiles,
        estimate=told.estimate,
    )
    deep = DeepTools(model_spec(PairEngine.name).load(), lambda artefact: _open_network(config, artefact))
    return CalibrationEngine(setup, engine.model, engine.learn, deep)


def _calibrations(config: Config) -> Path:
    return config.focus.pair.calibration or data_folder() / "calibrations"


def _engines(config: Config, given: Sequence[Engine] | None) -> tuple[Sequence[Engine], PairDefaults | str]:
    """The engines, and what the reducer knows of focus from a pair."""
    if given is not None:
        reads = any(engine.name == PairEngine.name for engine in given) and config.optics.dof_um is not None
        return given, pair_defaults(config, "") if reads else "no engine reads them"
    opened = pair_engine(config)
    if isinstance(opened, str):
        return [SharpnessEngine()], opened
    engine, defaults = opened
    return [SharpnessEngine(), engine, calibration_engine(config, engine, defaults.model_sha256)], defaults


class Daemon:
    """A daemon ready to run: sockets bound, hardware not yet open.

    Parameters
    ----------
    config
        See `microscoped.daemon.config`.
    microscope, engines
        Instead of the configured ones.
    clock
        Monotonic nanoseconds.
    watch
        Sees every input and what was done about it (see `Loop`).
    safe_reason
        Come up in SAFE, because of this: nothing moves until ``resume``.

    Raises
    ------
    AddressInUseError
        Another daemon listens there.
    KeysError
        Keys are wanted, and cannot be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        microscope: Microscope | None = None,
        engines: Sequence[Engine] | None = None,
        clock: Clock = time.perf_counter_ns,
        watch: Watcher | None = None,
        safe_reason: str | None = None,
    ) -> None:
        microscope = microscope or build_microscope(config)
        measuring, pair = _engines(config, engines)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        network = config.network
        gate: Gate | None = None
        try:
            if network.curve:
                gate = Gate(self._context, KeyFolder(network.keys_folder or default_folder()), clock)
            self._sockets = Sockets(self._context, Endpoints(network.control, network.events, network.frames), gate)
        except BaseException:
            self._context.term()
            raise
        self.endpoints = self._sockets.endpoints()
        place = _place(config)
        settings = core_settings(config, asdict(self.endpoints), place.z_um() if place else None, pair)
        self.state = State(settings, session=str(uuid.uuid4()), began_ns=clock(), secret=secrets.token_hex(32))
        self.journal = _recorder(config, self.state, place, lambda ended: self._loop.tell(ended))
        self._loop = Loop(
            self.state,
            microscope,
            HardwareSettings(
                motion=motion_settings(config),
                camera=camera_settings(config),
                frame_allowance_s=config.camera.frame_allowance_s,
                position_interval_s=config.stage.position_interval_s,
            ),
            measuring,
            context=self._context,
            sockets=self._sockets,
            clock=clock,
            watch=watch,
            journal=self.journal,
        )
        if safe_reason is not None:
            self._loop.start_safe(safe_reason)

    @property
    def shut_down(self) -> Callable[[str], None]:
        """Ask the loop to end, with a reason; from any thread."""
        return self._loop.shut_down

    def run(self) -> int:
        """Run until shutdown; return the exit code."""
        if self.journal is not None:
            self.journal.start()
        try:
            return self._loop.run()
        finally:
            if self.journal is not None and not self.journal.close(JOURNAL_END_S):
                log.error("the disk hangs; the process ends without the end of its journal")
            self._sockets.close()
            self._context.term()


__all__ = [
    "Daemon",
    "build_microscope",
    "calibration_engine",
    "camera_settings",
    "core_settings",
    "motion_settings",
    "pair_defaults",
    "pair_engine",
]
