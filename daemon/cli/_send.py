"""``microscoped send``: one request to a running daemon."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, console, fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue

    from microscoped.daemon.client import Scope
    from microscoped.daemon.protocol import Event

ADDRESS = "tcp://127.0.0.1:5770"
Address = Annotated[str, typer.Option("--address", "-a", help="Where the daemon's control socket listens.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")]
ENDED = ("done", "failed", "cancelled", "preempted")


def send(
    op: Annotated[str, typer.Argument(help="The op, such as status, stage.move or focus.run.")],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Its parameters: z_um=3, relative=true, roi=[0,0,64,64].", show_default=False),
    ] = None,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end of the task that it begins.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, do nothing.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for an answer.", min=0.01)] = 5.0,
) -> None:
    """Send one request to a running daemon and print its result.

    Values are read as JSON, else as text. Exit code: 0 if it was done, 1 if the daemon refused, failed or did not
    answer, 2 if the parameters cannot be read.
    """
    from microscoped.daemon.client import NoAnswerError, RequestFailedError, Scope

    params = parameters_of(parameters or ())
    try:
        with Scope(address, timeout) as scope:
            events = scope.events("v1.task.", timeout_s=1.0) if wait else iter(())
            result = scope.request(op, dry_run=dry_run, **params)
            if wait and "task" in result and result.get("state") == "accepted":
                result = _follow(scope, events, result["task"], address, quiet=as_json)
    except RequestFailedError as error:
        _explain(error.error.model_dump(mode="json"), as_json=as_json)
    except NoAnswerError as error:
        fail(str(error), FAILED)
    _show(result, as_json=as_json)
    if result.get("error"):
        raise typer.Exit(FAILED)


def parameters_of(words: Sequence[str]) -> dict[str, JsonValue]:
    """Read ``key=value`` words; ends with exit code 2 where one is not of this form."""
    found: dict[str, JsonValue] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            fail(f"{word!r}: parameters are written key=value, such as z_um=3", WRONG_USE)
        if key in found:
            fail(f"{key} is given twice; give it once", WRONG_USE)
        try:
            found[key] = json.loads(text)
        except (ValueError, RecursionError):
            found[key] = text
    return found


def _follow(scope: Scope, events: Iterator[Event], task: str, address: str, *, quiet: bool) -> dict[str, Any]:
    """Tell a task's progress until it has ended; return it."""
    screen = console(stderr=True)
    with screen.status(f"{task} …") if sys.stderr.isatty() and not quiet else _nothing() as status:
        while True:
            heard = next(events, None)
            if heard is None:
                # A second of silence: events may be lost, so the task itself is asked, and we listen anew.
                found: dict[str, Any] = scope.request("task.get", task=task)["task"]
                if found["state"] in ENDED:
                    return found
                events = scope.events("v1.task.", timeout_s=1.0)
                continue
            data: dict[str, Any] = dict(heard.data)
            if data["task"] != task:
                continue
            if data["state"] in ENDED:
                return data
            if data["progress"] and not quiet:
                line = ", ".join(f"{name} {_short(value)}" for name, value in data["progress"].items())
                if status is None:
                    typer.echo(f"{data['op']}: {line}", err=True)
                else:
                    status.update(f"{data['op']}: {line}")
