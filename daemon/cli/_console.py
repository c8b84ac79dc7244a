"""What all commands share: where they print, and how they fail."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from rich.console import Console

    from microscoped.daemon.config import Config

OK = 0
FAILED = 1
WRONG_USE = 2
"""A wrong configuration, a wrong argument, or an address in use: nothing was begun."""


def never_fail_on_characters(*streams: TextIO) -> None:
    """Print ``?`` for a sign that a console's encoding lacks, instead of failing."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def console(*, stderr: bool = False) -> Console:
    """Return a console for people."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Into a pipe or a file lines go as they are: nothing knows how wide the reader's window is.
    return Console(stderr=stderr, highlight=False, soft_wrap=not stream.isatty())


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Print a message as it is and end with an exit code."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def log_to_stderr(level: int) -> None:
    """Log to standard error: in colour for people, plain for files."""
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.logging import RichHandler

        handler = RichHandler(console=console(stderr=True), show_path=False, log_time_format="%H:%M:%S")
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def read_config(path: Path) -> Config:
    """Load a configuration, or print what is wrong with it and end with exit code 2."""
    from microscoped.daemon.config import ConfigError, load_config

    try:
        return load_config(path)
    except ConfigError as error:
        fail(str(error), WRONG_USE)


__all__ = ["FAILED", "OK", "WRONG_USE", "console", "fail", "log_to_stderr", "never_fail_on_characters", "read_config"]
