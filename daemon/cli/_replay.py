"""``microscoped replay``: whether a recording decides the same again."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from microscoped.daemon.cli._console import FAILED, fail

if TYPE_CHECKING:
    from microscoped.daemon.record import Recomputation, Replay, Tolerance

LEARNING = ("focus_calibration", "hologram_calibration")
"""Engines that keep what they learn, and write it down: they are not run again."""


def replay(
    folder: Annotated[Path, typer.Argument(help="A recording's folder, or a session's journal.", show_default=False)],
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Have the engines measure the recorded frames again.")
    ] = False,
    with_rules: Annotated[
        Path | None,
        typer.Option("--with-rules", help="Say when the rules of this file would have fired.", show_default=False),
    ] = None,
    until: Annotated[
        int | None, typer.Option("--until", help="Stop after the input of this number.", min=1, show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")] = False,
) -> None:
    """Decide everything anew from what was recorded, and compare; nothing is executed.

    Without options from the recorded measurements: every decision must be the same on any computer. With --recompute
    the engines measure the recorded frames again, with the recorded configuration; values must agree within the
    tolerance of their model, and a decision that turns out otherwise is shown with its margin. With --with-rules other
    rules hear what was measured then, and what they would have decided is shown. Exit code: 0 if all is the same, 1 if
    something differs or the recording is damaged: the first difference is shown with its place; 2 if a rule of the file
    cannot be used.
    """
    from dataclasses import asdict

    from microscoped.daemon.cli._trial import as_data, rules_of, tell
    from microscoped.daemon.record import FramesError, JournalError, replay_journal, try_rules
    from microscoped.daemon.record.codec import plain_json

    program = None if with_rules is None else rules_of(with_rules)
    try:
        again = _recomputation(folder) if recompute else None
        found = replay_journal(folder, until=until, recompute=again)
        trial = None if program is None else try_rules(folder, program, until=until)
    except (JournalError, FramesError) as error:
        fail(str(error), FAILED)
    if as_json:
        told = {**asdict(found), "torn": None if found.torn is None else found.torn.detail}
        if trial is not None:
            told["with_rules"] = as_data(trial)
        typer.echo(plain_json(told).decode())
    else:
        _tell(found)
        if trial is not None and program is not None:
            tell(trial, program, everything=False)
    if found.difference is not None:
        raise typer.Exit(FAILED)


def _tell(found: Replay) -> None:
    again = found.recomputed
    if again is not None:
        typer.echo(
            f"measured again: {again.measured}; {again.differing} differ, {again.flipped} decide otherwise"
            + "".join(f"\n  left out: {count}, because {reason}" for reason, count in again.left_out.items())
        )
        for engine, fields in again.largest.items():
            worst = ", ".join(f"{name} {apart:.3g}" for name, apart in fields.items() if apart)
            typer.echo(f"  {engine}: largest differences: {worst or 'none'}")
    if found.difference is not None:
        typer.echo(f"it differs (recorded by version {found.software}): {found.difference}", err=True)
        return
    torn = "" if found.torn is None else f"; torn end: {found.torn.detail}"
    typer.echo(f"the same effects after all {found.inputs} inputs, the same {found.decisions} decisions{torn}")


def _recomputation(folder: Path) -> Recomputation:
    """Build the engines as they were configured."""
    from pydantic import ValidationError

    from microscoped.daemon.config import Config
    from microscoped.daemon.engines import build_engines
    from microscoped.daemon.record import Recomputation, Recorded

    recorded = Recorded(folder)
    try:
        config = Config.model_validate(recorded.header.config)
    except ValidationError as error:
        fail(f"the recorded configuration is of another version ({recorded.header.software}): {error}", FAILED)
    if not recorded.store.times:
        fail(f"{folder}: it has no frames to measure again", FAILED)
    built = build_engines(config)
    for name, sha256 in recorded.header.weights.items():
        now = built.weights.get(name, "none")
        if now != sha256:
            typer.echo(f"{name} had other weights when it was recorded: {sha256[:12]}, now {now[:12]}", err=True)
    engines = [engine for engine in built.engines if engine.name not in LEARNING]
    unit_um = max(1.0, config.optics.dof_um or 0.0)
    return Recomputation(recorded, engines, {engine.name: _tolerance(engine.name, unit_um) for engine in engines})


def _tolerance(engine: str, unit_um: float) -> Tolerance:
    """Return how far an engine's values may lie off: what the sidecar of its model allows between backends.

    Parameters
    ----------
    engine
        Name of the engine, and of its model if it has one.
    unit_um
        What an output of 1 stands for at most: networks tell distances in depths of field.
    """
    from microscoped.daemon.record import Tolerance
    from microscoped.models.registry import UnknownModelError, model_spec
    from microscoped.models.runtimes import ModelError

    try:
        greatest = max(model_spec(engine).load().sidecar.tolerance.values())
    except (UnknownModelError, ModelError):
        return Tolerance()
    return Tolerance(absolute=greatest * unit_um, relative=greatest)


__all__ = ["replay"]
