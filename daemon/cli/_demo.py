"""``microscoped demo``: a microscope that focuses, on the screen, in one command."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated

import typer

from microscoped.daemon.cli._console import FAILED, console, fail


def demo(
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Show no frames, only curve and numbers.")] = False,
    seconds: Annotated[float, typer.Option("--seconds", help="How long to stream.", min=0.5, max=3600)] = 5.0,
    away: Annotated[
        float, typer.Option("--away", help="How far to move out of focus first, in µm.", min=-10, max=10)
    ] = 8.0,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Also write the final screen to this file.", show_default=False)
    ] = None,
) -> None:
    """Watch a simulated microscope focus: no hardware, no configuration, under a minute.

    Starts the daemon as a process of its own with a simulated brightfield microscope, driven through Micro-Manager,
    and talks to it as your script would: each line names the message that was sent.
    """
    from microscoped.daemon.cli._child import DaemonFailedError
    from microscoped.daemon.cli._show import play, save_svg
    from microscoped.daemon.client import ClientError

    screen = console()
    try:
        final, code = play(screen, with_pictures=not no_picture, seconds=seconds, away_um=away)
    except (ClientError, DaemonFailedError) as error:
        fail(str(error), FAILED)
    except KeyboardInterrupt:
        fail("interrupted; the daemon was ended too", 130)
    if svg is not None:
        try:
            save_svg(final, svg)
        except OSError as error:
            fail(f"{svg} cannot be written: {error.strerror}", FAILED)
    if code:
        fail(f"the daemon ended with exit code {code}", FAILED)


__all__ = ["demo"]
