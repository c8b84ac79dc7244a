"""``microscoped run``: the daemon, and its supervisor."""

from __future__ import annotations

import logging
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated

import typer

from microscoped.daemon.cli._console import log_to_stderr
from microscoped.daemon.cli._serve import tell_again
from microscoped.daemon.cli._signals import ending_on_signals


def run(
    config: Annotated[
        Path | None,
        typer.Argument(help="The configuration; by default config.yaml in this folder.", show_default=False),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")] = False,
    no_supervisor: Annotated[
        bool, typer.Option("--no-supervisor", help="Run in this process alone: a crash ends it for good.")
    ] = False,
) -> None:
    """Start the daemon and run until shutdown.

    Prints where it listens, then logs to standard error. Ctrl-C, or 'microscoped send shutdown', ends it.

    The daemon runs in a child process. If a driver crashes it, or its loop hangs, it is started again in the state
    SAFE: nothing moves until 'microscoped send resume'. If it crashes too often it stays down (see the section
    supervisor of the configuration).

    Exit code: 0 after an orderly end, 1 if the microscope cannot be opened or hangs, 2 if the configuration or a key
    is wrong or another daemon listens at the same address, 3 if it crashed too often.
    """
    if no_supervisor:
        from microscoped.daemon.cli._serve import serve_here

        serve_here(config, verbose=verbose)
        return
    raise typer.Exit(_supervise(config, verbose=verbose))


def _supervise(config: Path | None, *, verbose: bool) -> int:
    from microscoped.daemon.supervisor import Supervisor

    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    words = [*(["--verbose"] if verbose else []), *(["--", str(config)] if config is not None else [])]
    # -P: what lies in the user's folder is never imported
    supervisor = Supervisor([sys.executable, "-P", "-m", "microscoped.daemon", "_serve"], words)
    with ending_on_signals(supervisor.shut_down, tell_again):
        return supervisor.run()


__all__ = ["run"]
