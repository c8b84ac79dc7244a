"""All commands in one application."""

from __future__ import annotations

from typing import Annotated

import typer

from microscoped.daemon import __version__
from microscoped.daemon.cli._calibrate import calibrate
from microscoped.daemon.cli._check import check
from microscoped.daemon.cli._demo import demo
from microscoped.daemon.cli._init import init
from microscoped.daemon.cli._journal import journal
from microscoped.daemon.cli._keys import keys
from microscoped.daemon.cli._measure import measure
from microscoped.daemon.cli._measure_cells import cells
from microscoped.daemon.cli._models import models
from microscoped.daemon.cli._recording import recording
from microscoped.daemon.cli._replay import replay
from microscoped.daemon.cli._rules import rules
from microscoped.daemon.cli._run import run
from microscoped.daemon.cli._schema import schema
from microscoped.daemon.cli._send import send
from microscoped.daemon.cli._serve import serve
from microscoped.daemon.cli._watch import watch

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="New here? 'microscoped demo' shows a microscope that focuses; nothing else is needed.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"microscoped {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A daemon that focuses, watches and decides beside a microscope, driven over ZeroMQ."""


for command in (demo, init, check, run, send, watch, replay, schema):
    app.command()(command)
app.command("_serve", hidden=True)(serve)
measure.command()(cells)
app.add_typer(calibrate, name="calibrate")
app.add_typer(journal, name="journal")
app.add_typer(keys, name="keys")
app.add_typer(measure, name="measure")
app.add_typer(models, name="models")
app.add_typer(recording, name="recording")
app.add_typer(rules, name="rules")

__all__ = ["app"]
