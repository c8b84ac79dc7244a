"""``microscoped run``: the daemon itself."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, console, fail, read_config
from microscoped.daemon.cli._signals import ending_on_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.daemon.compose import Daemon
    from microscoped.daemon.config import Config
    from microscoped.daemon.core import Effect, Input, Now

HERE = Path("config.yaml")
SWITCH_INTERVAL_S = 0.0005
"""How soon Python takes the interpreter from a busy thread: beside one, at the default of 5 ms, the loop is late."""

log = logging.getLogger("microscoped")


def run(
    config: Annotated[
        Path | None,
        typer.Argument(help="The configuration; by default config.yaml in this folder.", show_default=False),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")] = False,
) -> None:
    """Start the daemon and run until shutdown.

    Prints where it listens, then logs to standard error. Ctrl-C, or 'microscoped send shutdown', ends it. Exit code:
    0 after an orderly end, 1 if the microscope cannot be opened or hangs, 2 if the configuration is wrong or another
    daemon listens at the same address.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    try:
        daemon, failures = _build(_config(config))
    except KeyboardInterrupt:
        fail("interrupted before the daemon had begun", 130)
    with ending_on_signals(daemon.shut_down, _tell_again):
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


def _build(config: Config) -> tuple[Daemon, list[str]]:
    """Build the daemon, and a list that will hold why its microscope was lost."""
    from microscoped.daemon.compose import Daemon
    from microscoped.daemon.runtime.sockets import AddressInUseError

    failures: list[str] = []
    log.info("building the microscope")
    try:
        return Daemon(config, watch=_noting(failures)), failures
    except AddressInUseError as error:
        fail(str(error), WRONG_USE)
    except (ValueError, OSError) as error:
        fail(f"the microscope cannot be built: {error}", FAILED)


def _noting(failures: list[str]) -> Callable[[Input, Now, tuple[Effect, ...]], None]:
    from microscoped.daemon.core.inputs import HardwareLost

    def note(heard: Input, _now: Now, _effects: tuple[Effect, ...]) -> None:
        if isinstance(heard, HardwareLost):
            failures.append(heard.error.detail)

    return note


def _tell_again(name: str) -> None:
    log.warning("%s again: the microscope is being closed, which takes 15 s at most", name)


def _log_to_stderr(level: int) -> None:
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.logging import RichHandler

        handler = RichHandler(console=console(stderr=True), show_path=False, log_time_format="%H:%M:%S")
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


__all__ = ["run"]
