"""``microscoped rules``: rules before they decide anything."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from microscoped.daemon.cli._console import FAILED, fail

rules = typer.Typer(no_args_is_help=True, help="Try rules before they decide anything.")


@rules.callback()
def _group() -> None:
    """Try rules before they decide anything."""


@rules.command()
def test(
    file: Annotated[Path, typer.Argument(help="A file with rules, or a configuration.", show_default=False)],
    on: Annotated[Path, typer.Option("--on", help="A recording's folder, or a session's journal.", show_default=False)],
    until: Annotated[
        int | None, typer.Option("--until", help="Stop after the input of this number.", min=1, show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print all decisions, not only what fired.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")] = False,
) -> None:
    """Print when rules would have fired, upon what was measured while a recording was made; nothing is executed.

    What they would have done did not happen: measurements after it are as they were. Exit code: 0, 1 if the recording
    cannot be read or is damaged before its end, 2 if a rule cannot be used: its place is shown.
    """
    import json

    from microscoped.daemon.cli._trial import as_data, rules_of, tell
    from microscoped.daemon.record import JournalError, try_rules

    program = rules_of(file)
    try:
        trial = try_rules(on, program, until=until)
    except JournalError as error:
        fail(str(error), FAILED)
    if as_json:
        typer.echo(json.dumps(as_data(trial)))
    else:
        tell(trial, program, everything=everything)


__all__ = ["rules"]
