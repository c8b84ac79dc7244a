"""What both kinds of calibration share: how far it is, other places of the slide, refusals."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, fail
from microscoped.daemon.cli._send import ENDED, HEARTBEAT, SILENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from microscoped.daemon.client import Scope
    from microscoped.daemon.protocol import Event

END_S = 60.0
"""How long a cancelled calibration may take to bring the stage back."""


def calibrated(
    params: Mapping[str, Any],
    *,
    address: str,
    key: Path | None,
    yes: bool,
    as_json: bool,
    show_plan: Callable[[Mapping[str, Any]], None],
    say: Callable[[str], None],
    line: Callable[[Mapping[str, Any]], str],
    prompt: Callable[[Mapping[str, Any]], str],
) -> dict[str, Any]:
    """Make a calibration and return its result; where there is none the command ends.

    Parameters
    ----------
    params
        Of ``calibrate.run``.
    address, key
        The daemon's control socket, and the user's key.
    yes, as_json
        Whether nothing is asked, and whether the result goes to standard output as JSON.
    show_plan
        Prints what would be done.
    say
        Prints one line.
    line, prompt
        Of the task's progress: what is said of it, and how a person is asked for another place of the slide.
    """
    from microscoped.daemon.client import NoAnswerError, RequestFailedError, Scope
    from microscoped.daemon.keys import KeysError

    try:
        with Scope(address, key=key) as scope:
            show_plan(scope.request("calibrate.run", dry_run=True, **params)["plan"])
            if not yes and not typer.confirm("Begin?", err=as_json):
                fail("nothing was done", FAILED)
            events = scope.events("v1.task.", HEARTBEAT, timeout_s=SILENCE_S)
            task = scope.request("calibrate.run", **params)["task"]
            ended = _follow(scope, events, task, say, line, None if yes else prompt)
    except RequestFailedError as error:
        _refused(error.error.model_dump(mode="json"), as_json=as_json)
    except NoAnswerError as error:
        fail(str(error), FAILED)
    except KeysError as error:
        fail(str(error), WRONG_USE)
    if ended["state"] != "done":
        _refused(ended["error"], as_json=as_json)
    result: dict[str, Any] = ended["result"]
    return result


def _follow(
    scope: Scope,
    events: Iterator[Event],
    task: str,
    say: Callable[[str], None],
    line: Callable[[Mapping[str, Any]], str],
    prompt: Callable[[Mapping[str, Any]], str] | None,
) -> dict[str, Any]:
    """Tell how far it is, and ask for other places, until it has ended; return the task."""
    told: tuple[Any, ...] = ()
    answered = 0
    try:
        for heard in events:
            data: dict[str, Any] = dict(heard.data)
            if heard.topic == HEARTBEAT:
                data = scope.request("task.get", task=task)["task"]
            if data["task"] != task:
                continue
            if data["state"] in ENDED:
                return data
            progress = data["progress"]
            if "doing" not in progress:
                continue
            now = progress["phase"], progress["field"], progress["doing"]
            if now != told:
                told = now
                say(line(progress))
            if progress["phase"] == "waiting" and progress["field"] > answered:
                if prompt is not None:
                    _ask(prompt(progress))
                answered = progress["field"]
                scope.request("calibrate.next", task=task)
    except KeyboardInterrupt:
        say("cancelling; the stage returns to its start")
        scope.request("task.cancel", task=task)
        return dict(scope.request("task.get", wait_s=END_S, task=task, wait_ms=1000 * END_S)["task"])
    fail(f"no heartbeat for {SILENCE_S:g} s: the daemon hangs or has gone; the task {task} may go on", FAILED)


def _ask(words: str) -> None:
    """Wait until a person has moved the slide."""
    typer.echo(f"{words} and press Enter: ", err=True, nl=False)
    if not sys.stdin.readline():
        raise KeyboardInterrupt  # nobody is there to press it


def _refused(error: Mapping[str, Any], *, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"error": error}, ensure_ascii=False))
        raise typer.Exit(FAILED)
    fail(f"{error['code']}: {error['detail']}", FAILED)


__all__ = ["calibrated"]
