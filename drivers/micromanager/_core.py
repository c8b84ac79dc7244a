"""Making a Micro-Manager core, and closing it so that the process can end."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import mm_test_adapters  # type: ignore[import-untyped] # it says nothing of its types
import pymmcore

# Must be set before the first core is made: with a Qt application in the process, events would need its event loop.
os.environ.setdefault("PYMM_SIGNALS_BACKEND", "psygnal")

from pymmcore_plus import CMMCorePlus, find_micromanager

from microscoped.drivers.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

CORE_ERRORS = (RuntimeError, OSError, ValueError, LookupError, MemoryError)
"""What a core raises when a device or a call fails."""

_open_cores: weakref.WeakSet[CMMCorePlus] = weakref.WeakSet()


class _Wrapping:
    """How cores are wrapped before they are used; only `testing` changes it."""

    wrap: Callable[[CMMCorePlus], CMMCorePlus] | None = None


def demo_config_path() -> Path:
    """Return the configuration of Micro-Manager's demonstration camera: beads at 512 × 512, 16 bit, and a stage."""
    return Path(__file__).with_name("demo.cfg")


def default_adapter_paths(config_file: str | Path | None = None) -> list[str]:
    """Return where device adapters are looked for, in this order.

    First the Micro-Manager that the user has: ``$MICROMANAGER_PATH``, else the installation that pymmcore-plus finds.
    Last the demonstration adapters that are installed with this program; for the packaged demonstration they stand
    alone.

    Parameters
    ----------
    config_file
        The configuration that will be loaded.
    """
    packaged = mm_test_adapters.device_adapter_path()
    if config_file is not None and Path(config_file).resolve() == demo_config_path().resolve():
        return [packaged]
    installed = find_micromanager()
    return [packaged] if installed is None or installed == packaged else [installed, packaged]


def new_core(adapter_paths: Sequence[str | Path]) -> CMMCorePlus:
    """Return a core without devices. It must be closed with `close_core`."""
    core = CMMCorePlus(adapter_paths=[str(path) for path in adapter_paths])
    register(core)
    return core


def register(core: CMMCorePlus) -> None:
    """Note a core, so that it is silenced at the end of the process even when nobody closes it."""
    _open_cores.add(core)


def wrapped(core: CMMCorePlus) -> CMMCorePlus:
    """Return the core as the devices shall call it: itself, but for tests that watch its threads."""
    return core if _Wrapping.wrap is None else _Wrapping.wrap(core)


def close_core(core: CMMCorePlus) -> None:
    """Stop the sequence, silence the callbacks and unload all devices. Idempotent, and never raises.

    Without the silencing the process aborts at its end (exit code 134): the core delivers events from a thread of its
    own, and an interpreter that is being finalised ends that thread by an exception which C++ does not let through.

    Call it from the thread that owns the core, never from one of the core's event handlers.
    """
    _attempt("the sequence could not be stopped", lambda: _stop_sequence(core))
    _attempt("the callbacks could not be silenced", lambda: _silence(core))
    _attempt("the devices could not be unloaded", core.unloadAllDevices)
    _open_cores.discard(core)


def _stop_sequence(core: CMMCorePlus) -> None:
    if core.isSequenceRunning():
        core.stopSequenceAcquisition()


def _attempt(what: str, step: Callable[[], object]) -> None:
    try:
        step()
    except (*CORE_ERRORS, DriverError) as error:
        logger.warning("while closing Micro-Manager: %s: %s", what, error)


def _silence(core: CMMCorePlus) -> None:
    # The base class's method: pymmcore-plus forbids its own, and joins the delivery thread only when it is collected.
    cast("Any", pymmcore.CMMCore).registerCallback(core, None)


@atexit.register
def _silence_all() -> None:
    for core in list(_open_cores):
        _attempt("the callbacks could not be silenced", lambda core=core: _silence(core))  # type: ignore[misc]


__all__ = [
    "CORE_ERRORS",
    "close_core",
    "default_adapter_paths",
    "demo_config_path",
    "new_core",
    "register",
    "wrapped",
]
