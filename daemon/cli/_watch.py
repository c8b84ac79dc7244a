"""``microscoped watch``: what a running daemon publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, fail
from microscoped.daemon.cli._send import ADDRESS, Address, AsJson, Key, shown

if TYPE_CHECKING:
    from microscoped.daemon.protocol import Event

INNER = ("v1.heartbeat.", "v1.state.")
"""Always heard, printed only where asked for: whether the daemon lives, and whether it closes."""
SILENCE_S = 10.0


def watch(
    topics: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOPIC",
            help="Topics by prefix, such as state or measure.sharpness; all by default.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    key: Key = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", help="End after so many events.", min=1, show_default=False)
    ] = None,
) -> None:
    """Print the events of a running daemon as they come, until it closes or you press Ctrl-C.

    Says so where events are missing. Exit code: 0 at the end, 1 if the daemon does not answer or falls silent.
    """
    from microscoped.daemon.client import NoAnswerError, Scope
    from microscoped.daemon.keys import KeysError

    wanted = tuple(topic if topic.startswith("v1") else f"v1.{topic}" for topic in topics or ("v1.",))
    gaps = Gaps()
    left = count
    try:
        with Scope(address, key=key) as scope:
            for event in scope.events(*wanted, *INNER, timeout_s=SILENCE_S):
                for remark in gaps.hear(event):
                    typer.echo(remark, err=True)
                if event.topic.startswith(wanted):
                    typer.echo(event.model_dump_json() if as_json else line_of(event))
                    left = None if left is None else left - 1
                if left == 0 or (event.topic == "v1.state." and event.data["state"] == "CLOSING"):
                    return
    except NoAnswerError as error:
        fail(str(error), FAILED)
    except KeysError as error:
        fail(str(error), WRONG_USE)
    except KeyboardInterrupt:
        return
    fail(f"no heartbeat for {SILENCE_S:g} s: the daemon hangs or has gone", FAILED)


def line_of(event: Event) -> str:
    """Write an event on one line: time of day (UTC), topic, number, data."""
    return f"{event.ts[11:23]} {event.topic} {event.seq} {shown(event.data)}"


class Gaps:
    """Notices events that are missing, by their numbers, and a daemon that was started anew."""

    def __init__(self) -> None:
        self._session: object = None
        self._last: dict[str, int] = {}

    def hear(self, event: Event) -> list[str]:
        """Take the next event; return what there is to say."""
        remarks = []
        if event.session != self._session:
            if self._session is not None:
                remarks.append("the daemon was started anew; its events count from 1 again")
            self._session = event.session
            self._last.clear()
        last = self._last.get(event.topic)
        if last is not None and event.seq > last + 1:
            missing = event.seq - last - 1
            lost = f"event {last + 1}" if missing == 1 else f"events {last + 1} to {event.seq - 1}"
            remarks.append(f"{event.topic} {lost} did not arrive: this reader was too slow")
        self._last[event.topic] = event.seq
        return remarks


__all__ = ["Gaps", "line_of", "watch"]
