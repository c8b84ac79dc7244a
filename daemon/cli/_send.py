"""``microscoped send``: one request to a running daemon."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from microscoped.daemon.cli._console import FAILED, WRONG_USE, console, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pydantic import JsonValue

    from microscoped.daemon.client import Scope
    from microscoped.daemon.protocol import Event

ADDRESS = "tcp://127.0.0.1:5770"
Address = Annotated[str, typer.Option("--address", "-a", help="Where the daemon's control socket listens.")]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        "-k",
        envvar="MICROSCOPED_KEY",
        help="Your key file, where the daemon asks for one.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")]
HEARTBEAT = "v1.heartbeat."
SILENCE_S = 10.0
"""A daemon that is alive beats each second."""
RESERVED = ("self", "op", "wait_s", "deadline_ms", "dry_run")
"""Names that the client's own call uses."""
ENDED = ("done", "failed", "cancelled", "preempted")


def send(
    op: Annotated[str, typer.Argument(help="The op, such as status, stage.move or focus.run.")],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="Its parameters: z_um=3, relative=true, roi=[0,0,64,64].", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    key: Key = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end of the task that it begins.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, do nothing.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for an answer.", min=0.01)] = 5.0,
) -> None:
    """Send one request to a running daemon and print its result.

    Values are read as JSON, else as text. Exit code: 0 if it was done, 1 if the daemon refused, failed or did not
    answer, 2 if the parameters or the key cannot be read.
    """
    from microscoped.daemon.client import NoAnswerError, RequestFailedError, Scope
    from microscoped.daemon.keys import KeysError

    params: dict[str, Any] = {**parameters_of(parameters or ())}
    try:
        with Scope(address, timeout, key=key) as scope:
            events = scope.events("v1.task.", HEARTBEAT, timeout_s=SILENCE_S) if wait else iter(())
            result = scope.request(op, dry_run=dry_run, **params)
            if wait and result.get("state") == "accepted":
                with _progress(quiet=as_json) as tell:
                    result = _follow(scope, events, result["task"], tell)
    except RequestFailedError as error:
        _explain(error.error.model_dump(mode="json"), as_json=as_json)
    except NoAnswerError as error:
        fail(str(error), FAILED)
    except KeysError as error:
        fail(str(error), WRONG_USE)
    if result.get("error"):
        if not as_json:
            _show(result.get("result") or {}, as_json=False)
        _explain(result["error"], as_json=as_json)
    _show(result, as_json=as_json)


def parameters_of(words: Sequence[str]) -> dict[str, JsonValue]:
    """Read ``key=value`` words; ends with exit code 2 where one is not of this form."""
    found: dict[str, JsonValue] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            fail(f"{word!r}: parameters are written key=value, such as z_um=3", WRONG_USE)
        if key in RESERVED:
            fail(f"{key}: no op has such a parameter; 'microscoped send --help' lists the options", WRONG_USE)
        if key in found:
            fail(f"{key} is given twice; give it once", WRONG_USE)
        try:
            found[key] = json.loads(text)
        except (ValueError, RecursionError):
            found[key] = text
    return found


def _follow(scope: Scope, events: Iterator[Event], task: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Tell a task's progress until it has ended; return it."""
    for heard in events:
        data: dict[str, Any] = dict(heard.data)
        if heard.topic == HEARTBEAT:
            # Each second the task itself is asked too: an event may be lost on the way.
            data = scope.request("task.get", task=task)["task"]
        if data["task"] != task:
            continue
        if data["state"] in ENDED:
            return data
        tell(f"{data['op']}: {data['state']} {shown(data['progress'])}")
    fail(f"no heartbeat for {SILENCE_S:g} s: the daemon hangs or has gone; the task {task} may go on", FAILED)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield what tells progress on standard error: a status line in a terminal, else lines."""
    if quiet:
        yield lambda _line: None
    elif sys.stderr.isatty():
        with console(stderr=True).status("") as status:
            yield lambda line: status.update(escape(line))
    else:
        yield lambda line: typer.echo(line, err=True)


def shown(values: Mapping[str, Any]) -> str:
    """Write values as ``key=value``, numbers short."""
    return " ".join(f"{key}={_short(value)}" for key, value in values.items())


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return "-" if value is None else str(value)


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    width = max(map(len, result), default=0)
    for key, value in result.items():
        if isinstance(value, dict) and value:
            typer.echo(f"{key}:")
            for name, part in value.items():
                typer.echo(f"  {name}: {_short(part)}")
        else:
            typer.echo(f"{key:<{width}}  {_short(value)}")


def _explain(error: Mapping[str, Any], *, as_json: bool) -> NoReturn:
    """Print an error of the protocol and end."""
    if as_json:
        typer.echo(json.dumps({"error": error}, ensure_ascii=False))
        raise typer.Exit(FAILED)
    again = " (the same request may succeed later)" if error["retryable"] else ""
    fail(f"{error['code']}: {error['detail']}{again}", FAILED)


__all__ = ["ADDRESS", "Address", "AsJson", "Key", "parameters_of", "send", "shown"]
