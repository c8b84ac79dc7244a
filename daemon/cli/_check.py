"""``microscoped check``: what a configuration and its microscope amount to."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microscoped.daemon.cli._console import FAILED, console, fail, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from microscoped.daemon.cli._findings import Finding
    from microscoped.daemon.config import Config
    from microscoped.daemon.core import Effect, Input, Now
    from microscoped.drivers.protocols import Camera, FocusDirection, FocusStage, Microscope

READS = 8
"""How often the resting stage is read, to see how steady its readings are."""


def check(
    config: Annotated[Path, typer.Argument(help="The configuration.")] = Path("config.yaml"),
) -> None:
    """Open the microscope, and say what is known of it, what is not, and what follows. Nothing moves.

    Exit code: 0 if it can be used, 1 if it cannot be opened, 2 if the configuration is wrong.
    """
    from microscoped.daemon.cli._findings import findings

    chosen = read_config(config)
    facts = _facts(chosen)
    _print(findings(chosen, facts), facts["microscope"])


def _facts(config: Config) -> dict[str, Any]:
    """Open the microscope in a daemon on free ports, and ask that; ends with exit code 1 where it does not open."""
    from microscoped.daemon.client import ClientError, Scope
    from microscoped.daemon.compose import Daemon
    from microscoped.daemon.core.inputs import HardwareLost, HardwareOpened
    from microscoped.daemon.microscopes import build_microscope

    # The table is what this command says; without a handler Python would print the daemon's alarms between its lines.
    logging.getLogger("microscoped").addHandler(logging.NullHandler())
    opened, failures = threading.Event(), list[str]()

    def note(heard: Input, _now: Now, _effects: tuple[Effect, ...]) -> None:
        if isinstance(heard, HardwareLost):
            failures.append(heard.error.detail)
        if isinstance(heard, HardwareLost | HardwareOpened):
            opened.set()

    network = dict.fromkeys(("control", "events", "frames"), "tcp://127.0.0.1:*")
    apart = config.model_copy(
        update={
            "network": config.network.model_copy(update=network),
            "camera": config.camera.model_copy(update={"stream_at_start": False}),
        }
    )
    try:
        inside = _Listening(build_microscope(apart))
    except (ValueError, OSError) as error:
        fail(f"the microscope cannot be built: {error}", FAILED)
    daemon = Daemon(apart, microscope=inside, watch=note)
    thread = threading.Thread(target=daemon.run, name="daemon")
    thread.start()
    facts: dict[str, Any] = {}
    try:
        opened.wait()
        if not failures:
            with Scope(daemon.endpoints.control) as scope:
                facts = scope.request("describe")
                facts["readings_um"] = [scope.position() for _ in range(READS)]
                facts["driver_direction"] = inside.direction
    except ClientError as error:
        failures.append(str(error))
    finally:
        daemon.shut_down("the check is over")
        thread.join()
    if failures:
        fail(f"the microscope cannot be opened: {failures[0]}", FAILED)
    return facts


class _Listening:
    """A microscope that remembers what its stage's driver says of the direction, before the configuration does."""

    def __init__(self, inner: Microscope) -> None:
        self._inner = inner
        self.direction: FocusDirection | None = None

    @property
    def camera(self) -> Camera:
        return self._inner.camera

    @property
    def stage(self) -> FocusStage:
        return self._inner.stage

    def describe(self) -> Mapping[str, str]:
        return self._inner.describe()

    def __enter__(self) -> _Listening:
        self._inner.__enter__()
        try:
            self.direction = self._inner.stage.focus_direction()
        except BaseException:
            self._inner.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._inner.__exit__(kind, error, trace)


def _print(found: list[Finding], microscope: Mapping[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    for name, value in microscope.items():
        screen.print(f"{name}: {value}", markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("figure", "value", "source"):
        table.add_column(column, no_wrap=column != "value")
    colours = {"measured": "green", "configured": "cyan", "unknown": "yellow"}
    for finding in found:
        style = colours.get(finding.source, "")
        source = f"[{style}]{finding.source}[/]" if style else finding.source
        table.add_row(finding.name, escape(finding.value), source)
    screen.print()
    screen.print(table, soft_wrap=False)
    warnings = [finding for finding in found if finding.warning]
    screen.print()
    for finding in warnings:
        screen.print(f"[yellow]{finding.name}[/]: {escape(finding.warning)}")
    screen.print("nothing to remark" if not warnings else f"{len(warnings)} remarks", style="bold")


__all__ = ["check"]
