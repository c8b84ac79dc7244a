"""Where the program is put together: from a configuration to a microscope, its rules of motion, and a loop.

The only module that knows every room; the microscope itself is built in ``microscopes``, its engines in ``engines``.
"""

from __future__ import annotations

import logging
import secrets
import time
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING

import zmq

from microscoped.daemon import __version__
from microscoped.daemon.config import DEMO, MicroManagerConfig
from microscoped.daemon.core import RulesView, State
from microscoped.daemon.engines import build_engines
from microscoped.daemon.keys import KeyFolder, default_folder
from microscoped.daemon.microscopes import build_microscope
from microscoped.daemon.protocol import VERSION
from microscoped.daemon.record import (
    Facts,
    Layout,
    Place,
    Recorder,
    RecorderSettings,
    Recording,
    RecordingSettings,
    data_folder,
    prepare,
)
from microscoped.daemon.runtime import Endpoints, Gate, Loop, Sockets
from microscoped.daemon.settings import camera_settings, core_settings, motion_settings, xy_motion_settings
from microscoped.drivers.hardware import HardwareSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from microscoped.daemon.config import Config
    from microscoped.daemon.core import Input
    from microscoped.daemon.core.effects import StartRecording
    from microscoped.daemon.core.inputs import JournalEnded
    from microscoped.daemon.runtime.loop import Studio, Watcher
    from microscoped.drivers.protocols import Clock, Microscope
    from microscoped.models import Engine

log = logging.getLogger("microscoped")

JOURNAL_END_S = 5.0
"""How long the end may wait for the disk."""


def _place(config: Config) -> Place | None:
    """Where a real stage's resting place is kept; a simulated one begins anew in each life."""
    chosen = config.microscope
    if not (config.journal.enabled and isinstance(chosen, MicroManagerConfig)) or chosen.config_file == DEMO:
        return None
    return Place(_journal_folder(config), chosen.config_file)


def _journal_folder(config: Config) -> Path:
    return config.journal.folder or data_folder() / "journal"


def _record_folder(config: Config) -> Path:
    return config.record.folder or data_folder() / "recordings"


def _studio(config: Config, facts: Facts) -> Studio:
    """What makes recordings."""
    chosen, parent = config.record, _record_folder(config)

    def made(wanted: StartRecording, state: State, after: int, post: Callable[[Input], None]) -> Recording:
        settings = RecordingSettings(
            parent / wanted.name,
            Layout(pixel_size_um=wanted.pixel_size_um),
            pixels=wanted.pixels,
            compression=chosen.compression,
            most_waiting_mb=chosen.most_waiting_mb,
            reserve_mb=chosen.reserve_mb,
        )
        return Recording(settings, facts, state, after, post)

    return made


def _recorder(
    config: Config, facts: Facts, state: State, place: Place | None, post: Callable[[JournalEnded], None]
) -> Recorder | None:
    """The keeper of the journal, if one is wanted."""
    chosen = config.journal
    if not chosen.enabled:
        return None
    settings = RecorderSettings(
        folder=_journal_folder(config), rotate_bytes=int(chosen.rotate_mb * 1e6), keep=chosen.keep, place=place
    )
    return Recorder(settings, facts, state, post)


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
        measuring = build_engines(config, engines)
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
        settings = core_settings(
            config,
            asdict(self.endpoints),
            place.z_um() if place else None,
            pair=measuring.pair,
            hologram=measuring.hologram,
            cells=measuring.cells,
            record_folder=str(_record_folder(config)),
        )
        facts = Facts(__version__, VERSION, config.model_dump(mode="json"), measuring.weights)
        self.state = State(
            settings,
            session=str(uuid.uuid4()),
            began_ns=clock(),
            secret=secrets.token_hex(32),
            rules=RulesView(config.rule_set),
        )
        self.journal = _recorder(config, facts, self.state, place, lambda ended: self._loop.tell(ended))
        self._loop = Loop(
            self.state,
            microscope,
            HardwareSettings(
                motion=motion_settings(config),
                xy=xy_motion_settings(config),
                camera=camera_settings(config),
                fps=config.camera.fps,
                frame_allowance_s=config.camera.frame_allowance_s,
                position_interval_s=config.stage.position_interval_s,
            ),
            measuring.engines,
            context=self._context,
            sockets=self._sockets,
            clock=clock,
            watch=watch,
            journal=self.journal,
            studio=_studio(config, facts),
        )
        if safe_reason is not None:
            self._loop.start_safe(safe_reason)

    @property
    def shut_down(self) -> Callable[[str], None]:
        """Ask the loop to end, with a reason; from any thread."""
        return self._loop.shut_down

    def run(self) -> int:
        """Run until shutdown; return the exit code."""
        prepare()  # once frames come, no thread may stand still for so long
        if self.journal is not None:
            self.journal.start()
        try:
            return self._loop.run()
        finally:
            if self.journal is not None and not self.journal.close(JOURNAL_END_S):
                log.error("the disk hangs; the process ends without the end of its journal")
            self._sockets.close()
            self._context.term()


__all__ = ["Daemon"]
