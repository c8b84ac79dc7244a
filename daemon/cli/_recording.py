"""``microscoped recording``: what is in a recording, whether it is whole, and its images for other programs."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

recording = typer.Typer(no_args_is_help=True, help="Look at a recording, check it, finish it, and export its images.")
Folder = Annotated[Path, typer.Argument(help="The recording's folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]


@recording.command()
def show(folder: Folder, as_json: AsJson = False) -> None:
    """Say what is in a recording: frames, those left out, acquisitions, and how it ended.

    Exit code: 0 if it can be read, 1 if not.
    """
    from microscoped.daemon.record import Ending, Recorded
    from microscoped.daemon.record.codec import plain_json

    with _told():
        recorded = Recorded(folder)
    stored = [one for one in recorded.frames.values() if one.at is not None]
    reasons = sorted({one.skipped or "" for one in recorded.frames.values() if one.at is None})
    acquisitions = Counter(one.frame.acquired.task for one in stored if one.frame.acquired is not None)
    ending = recorded.ending.end if isinstance(recorded.ending, Ending) else None
    told = {
        "session": recorded.header.session,
        "begun": recorded.header.utc,
        "software": recorded.header.software,
        "inputs": recorded.last - recorded.header.first + 1,
        "frames": len(stored),
        "left_out": len(recorded.frames) - len(stored),
        "reasons": reasons,
        "acquisitions": acquisitions,
        "end": ending,
    }
    if as_json:
        typer.echo(plain_json(told).decode())
        return
    typer.echo(f"session {told['session']}, begun {told['begun']} by version {told['software']}")
    typer.echo(f"{told['inputs']} inputs, {told['frames']} frames, {told['left_out']} left out")
    for reason in reasons:
        typer.echo(f"  left out: {reason}")
    for task, frames in acquisitions.items():
        typer.echo(f"  acquisition {task}: {frames} frames")
    unfinished = "it is being written, or its writer died: 'microscoped recording repair' finishes it"
    typer.echo(f"end: {ending or unfinished}")


@recording.command()
def verify(folder: Folder) -> None:
    """Read every frame and compare its checksum; 'microscoped journal verify' does so for inputs and decisions.

    Exit code: 0 if all frames are those that were recorded, 1 if not.
    """
    from microscoped.daemon.record import Recorded

    with _told():
        found = Recorded(folder).verify()
    typer.echo(f"{found.good} frames are good, {found.skipped} were left out")
    if found.damaged:
        fail("\n".join(f"{frame}: {detail}" for frame, detail in found.damaged.items()), FAILED)


@recording.command()
def repair(folder: Folder) -> None:
    """Finish a recording whose writer died: other programs then find all its frames, and the table of them.

    Nothing is lost and nothing is made up: the store tells of exactly the frames that the journal tells of. Doing it
    again changes nothing; while the daemon still records it must not be done. Exit code: 0 if it is whole now, 1 if it
    cannot be read or written.
    """
    from microscoped.daemon.record import repair as finish

    with _told():
        done = finish(folder)
    typer.echo(f"{done.frames} frames in {done.times} points in time (it told of {done.was}), {done.skipped} left out")


@recording.command()
def export(
    folder: Folder,
    to: Annotated[Path, typer.Argument(help="Where the images go; made if need be.", show_default=False)],
    task: Annotated[
        str | None, typer.Option("--task", help="Of this acquisition only; 'show' lists them.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the frames of acquisitions as images of t, c, z, y, x: an OME-Zarr for each position and each injection.

    A recording holds all frames in the order in which they came; here they lie where their plan has them. Places
    without a frame are 0, and are counted. Where a plan has one place for several frames they lie along t as they came.
    Exit code: 0 if all is written, 1 if not, 2 if there is no such acquisition.
    """
    from microscoped.daemon.record import Recorded, export_acquisitions
    from microscoped.daemon.record.codec import plain_json

    with _told():
        images = export_acquisitions(Recorded(folder), to, task)
    if not images:
        fail(f"{folder}: no frame of {'any acquisition' if task is None else f'the acquisition {task}'}", WRONG_USE)
    if as_json:
        typer.echo(plain_json([{**asdict(image), "path": str(image.path)} for image in images]).decode())
        return
    for image in images:
        times, channels, planes = image.shape
        order = "; one place for several frames: along t as they came" if image.in_order else ""
        missing = f", {image.missing} places empty" if image.missing else ""
        typer.echo(f"{image.path}: {times} × {channels} × {planes} (t, c, z), {image.frames} frames{missing}{order}")


@contextmanager
def _told() -> Iterator[None]:
    """End with the words of what is wrong."""
    from microscoped.daemon.record import FramesError, JournalError, LayoutError

    try:
        yield
    except (JournalError, FramesError, LayoutError, OSError) as error:
        fail(str(error), FAILED)


__all__ = ["recording"]
