"""``microscoped journal``: what a daemon heard and decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microscoped.daemon.cli._console import FAILED, fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.record import Ending, Entry, Header, TornTail

journal = typer.Typer(
    no_args_is_help=True, help="Read the journal of a daemon: every input of its loop, and every decision."
)
JournalPath = Annotated[Path, typer.Argument(help="A session's folder, or one of its files.", show_default=False)]


@journal.command()
def show(
    path: JournalPath,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", help="Inputs of this type only, such as RequestReceived; may be repeated."),
    ] = None,
    first: Annotated[int, typer.Option("--from", help="Begin with the input of this number.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")] = False,
) -> None:
    """Print a journal: number, time of day (UTC), type and content of each input, and what was decided upon it.

    Also while the daemon writes it. Exit code: 0 at its end, 1 if there is none or it is damaged before its end.
    """
    from microscoped.daemon.record import Entry, JournalError, TornTail, read_journal

    try:
        for line in read_journal(path):
            if isinstance(line, Entry) and (line.n < first or (types and line.input not in types)):
                continue
            if isinstance(line, TornTail):
                typer.echo(told(line), err=True)
            else:
                typer.echo(line.model_dump_json(exclude_defaults=True) if as_json else told(line))
    except JournalError as error:
        fail(str(error), FAILED)


@journal.command()
def verify(
    path: JournalPath,
    replay: Annotated[
        bool, typer.Option("--replay", help="Also decide everything anew from the inputs, and compare.")
    ] = False,
) -> None:
    """Check a journal: every checksum, the order of lines and files, nothing missing; with --replay every decision.

    An end that is torn, because the daemon was killed or the power failed, is told and is no error: all before it is
    good. Exit code: 0 if the journal is good, 1 if it is damaged, or decides otherwise when it is replayed.
    """
    from microscoped.daemon.record import Ending, Entry, JournalError, read_journal, replay_journal

    inputs = decisions = 0
    last: Header | Entry | Ending | TornTail | None = None
    try:
        for last in read_journal(path):
            if isinstance(last, Entry):
                inputs += 1
                decisions += len(last.decisions)
        typer.echo(f"good: {inputs} inputs, {decisions} decisions")
        if not isinstance(last, Ending):
            typer.echo(told(last) if last is not None and not isinstance(last, Entry) else "it has no closing line")
        elif last.end != "closed":
            typer.echo(told(last))
        if not replay:
            return
        found = replay_journal(path)
    except JournalError as error:
        fail(str(error), FAILED)
    if found.difference is not None:
        fail(f"the replay differs (the journal is by version {found.software}): {found.difference}", FAILED)
    typer.echo(f"replayed: the same effects after all {found.inputs} inputs, the same {found.decisions} decisions")


def told(line: Header | Entry | Ending | TornTail) -> str:
    """Write a line of the journal for people."""
    from microscoped.daemon.cli._send import shown
    from microscoped.daemon.record import Ending, Entry, Header

    match line:
        case Header():
            return f"file {line.file} of session {line.session}, begun {line.utc} by version {line.software}"
        case Entry():
            data = line.data if isinstance(line.data, dict) else {"data": line.data}
            decided = "".join(f"\n{'':>8} → {event['topic']} {shown(_data(event))}" for event in line.decisions)
            return f"{line.n:>8} {line.utc[11:23]} {line.input} {shown(data)}{decided}"
        case Ending():
            lost = f"; {line.unrecorded} later inputs are not recorded" if line.unrecorded else ""
            return f"the file ends after input {line.last}: {line.end}{lost}"
    return f"torn end: {line.path}:{line.line}: {line.detail} ({line.size} bytes); all before it is good"


def _data(event: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    data = event["data"]
    return data if isinstance(data, dict) else {}


__all__ = ["journal", "told"]
