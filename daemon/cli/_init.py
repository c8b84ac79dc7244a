"""``microscoped init``: a configuration to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microscoped.daemon.cli._console import WRONG_USE, fail

DEFAULT = Path("config.yaml")


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there already.")] = False,
) -> None:
    """Write a complete, commented configuration.

    As written it runs the simulated microscope; its comments say what to change for a real one.
    """
    from microscoped.daemon.config import template

    target = path / DEFAULT if path.is_dir() else path
    try:
        # "x": a file that appears between a check and the writing is not overwritten either.
        with target.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(template())
    except FileExistsError:
        fail(f"{target} is there already; --force overwrites it, or give another path", WRONG_USE)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}; choose another folder", WRONG_USE)
    typer.echo(f"wrote {target}; next: 'microscoped check {target}', then 'microscoped run {target}'")


__all__ = ["init"]
