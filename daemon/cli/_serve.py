"""The daemon itself, in this process: what ``microscoped run`` starts, or is with ``--no-supervisor``."""

from __future__ import annotations

import faulthandler
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, fail, log_to_stderr, read_config
from microscoped.daemon.cli._logging import log_to_file, take_over_log
from microscoped.daemon.cli._signals import ending_on_signals
from microscoped.daemon.heap import set_aside, share_heaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.daemon.compose import Daemon
    from microscoped.daemon.config import Config
    from microscoped.daemon.core import Effect, Input, Now
    from microscoped.daemon.supervisor import ParentLink

    Watch = Callable[[Input, Now, tuple[Effect, ...]], None]

HERE = Path("config.yaml")
SWITCH_INTERVAL_S = 0.0005
"""How soon Python takes the interpreter from a busy thread: beside one, at the default of 5 ms, the loop is late."""

log = logging.getLogger("microscoped")


def serve(
    config: Annotated[Path | None, typer.Argument(help="The configuration.", show_default=False)] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")] = False,
    link: Annotated[str | None, typer.Option(help="Pipes from and to the supervisor: READ:WRITE.")] = None,
    safe: Annotated[str | None, typer.Option(help="Come up in SAFE, for this reason.")] = None,
) -> None:
    """Be the child of 'microscoped run'; not for people."""
    from microscoped.daemon.supervisor import ParentLink

    try:
        parent = None if link is None else ParentLink.from_text(link)
    except (ValueError, OSError):
        fail("this command is for the supervisor; use 'microscoped run'", WRONG_USE)
    serve_here(config, verbose=verbose, parent=parent, safe_reason=safe)


def serve_here(
    path: Path | None, *, verbose: bool, parent: ParentLink | None = None, safe_reason: str | None = None
) -> None:
    """Run the daemon in this process; ends it with the exit code."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    share_heaps()
    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    # A driver that ends the process shows where. Not for all threads: they run on, and reading them could crash again.
    faulthandler.enable(all_threads=False)
    failures: list[str] = []
    try:
        config = _config(path)
        log_to_file(config)
        if parent is not None:
            _tell_limits(parent, config)
        daemon = _build(config, _noting(failures, parent), safe_reason)
    except KeyboardInterrupt:
        fail("interrupted before the daemon had begun", 130)
    set_aside()
    if parent is not None:
        _hand_over(parent, daemon)
    with ending_on_signals(daemon.shut_down, tell_again):
        for name in ("control", "events", "frames"):
            typer.echo(f"{name} {getattr(daemon.endpoints, name)}")
        sys.stdout.flush()
        code = daemon.run()
    if code and failures:
        typer.echo(f"the microscope could not be used: {failures[0]}", err=True)
    raise typer.Exit(code)


def _config(path: Path | None) -> Config:
    if path is not None:
        return read_config(path)
    if HERE.exists():
        return read_config(HERE)
    from microscoped.daemon.config import parse_config, template

    log.info("there is no %s here: this is the simulated microscope; 'microscoped init' writes a configuration", HERE)
    return parse_config(template())


def _tell_limits(parent: ParentLink, config: Config) -> None:
    from microscoped.daemon.supervisor import Limits, limits_line

    chosen = config.supervisor
    limits = Limits(chosen.enabled, chosen.silence_s, chosen.crashes, 60 * chosen.window_min)
    parent.tell(limits_line(limits))


def _hand_over(parent: ParentLink, daemon: Daemon) -> None:
    """From here on the loop is to be heard, and the parent's wishes are the loop's business."""
    from microscoped.daemon.supervisor import BEAT

    parent.attach(daemon.shut_down)
    parent.tell(BEAT)


def _build(config: Config, watch: Watch, safe_reason: str | None) -> Daemon:
    level = logging.getLogger().level
    from microscoped.daemon.compose import Daemon
    from microscoped.daemon.keys import KeysError
    from microscoped.daemon.runtime.sockets import AddressInUseError

    take_over_log("pymmcore-plus")
    logging.getLogger().setLevel(level)  # its import has opened it for whatever anybody says

    log.info("building the microscope")
    try:
        return Daemon(config, watch=watch, safe_reason=safe_reason)
    except (AddressInUseError, KeysError) as error:
        fail(str(error), WRONG_USE)
    except (ValueError, OSError) as error:
        fail(f"the microscope cannot be built: {error}", FAILED)


def _noting(failures: list[str], parent: ParentLink | None) -> Watch:
    """Return what watches the loop, on the loop's own thread: it keeps why the microscope was lost, and beats.

    A loop that hangs watches nothing, and so falls silent.
    """
    from microscoped.daemon.core.effects import CloseHardware
    from microscoped.daemon.core.inputs import HardwareLost, HardwareOpened, HeartbeatDue
    from microscoped.daemon.supervisor import BEAT, CLOSING, OPEN

    def note(heard: Input, _now: Now, effects: tuple[Effect, ...]) -> None:
        if isinstance(heard, HardwareLost):
            failures.append(heard.error.detail)
        if parent is None:
            return
        if isinstance(heard, HeartbeatDue):
            parent.tell(BEAT)
        elif isinstance(heard, HardwareOpened):
            parent.tell(OPEN)
        if any(isinstance(effect, CloseHardware) for effect in effects):
            parent.tell(CLOSING)

    return note


def tell_again(name: str) -> None:
    """Say that a further signal changes nothing."""
    log.warning("%s again: the microscope is being closed, which takes 15 s at most", name)


__all__ = ["serve", "serve_here", "tell_again"]
