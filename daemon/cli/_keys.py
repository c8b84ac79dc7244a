"""``microscoped keys``: who may come in, and what each may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microscoped.daemon.cli._console import WRONG_USE, fail

keys = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke the keys of a daemon's users; it asks for them where network.curve is true.",
)
Folder = Annotated[
    Path | None,
    typer.Option(help="The keys folder, as network.keys_folder of the configuration.", show_default="the system's"),
]


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key: a person, a computer or a script.")],
    scope: Annotated[
        str, typer.Option(help="What it may do: read, control (the microscope, too), or admin (all there is).")
    ] = "control",
    out: Annotated[
        Path | None, typer.Option(help="The file to hand over.", show_default="NAME.key.json in this folder")
    ] = None,
    folder: Folder = None,
) -> None:
    """Make a key for a user: a file to hand over, with its secret, which is kept nowhere else.

    A running daemon knows it within a second. Exit code: 0 if it was made, 2 if not.
    """
    from microscoped.daemon.keys import KeyFolder, KeysError, default_folder
    from microscoped.daemon.protocol import Scope

    if scope not in list(Scope):
        fail(f"--scope {scope}: must be one of {', '.join(Scope)}", WRONG_USE)
    found = folder or default_folder()
    path = out or Path(f"{name}.key.json")
    try:
        KeyFolder(found).new(name, Scope(scope), path)
    except KeysError as error:
        fail(str(error), WRONG_USE)
    typer.echo(f"{path}: the key of {name}, scope {scope}; 'microscoped send --key {path} status' uses it.")
    typer.echo(f"Whoever has this file is {name}: hand it over safely, and keep no copy.")
    typer.echo(f"{found}: what the daemon knows of {name}; it asks for keys where network.curve is true.")


@keys.command(name="list")
def list_keys(folder: Folder = None) -> None:
    """List the users: name, scope, public key, since when. Exit code: 2 if a file there cannot be used."""
    from microscoped.daemon.keys import KeyFolder, KeysError, default_folder

    found = KeyFolder(folder or default_folder())
    try:
        typer.echo(f"{'the daemon':<32}  {'':<7}  {found.server().public}")
        users, problems = found.users()
    except KeysError as error:
        fail(str(error), WRONG_USE)
    for user in users:
        typer.echo(f"{user.name:<32}  {user.scope:<7}  {user.public}  {user.created}")
    if problems:
        fail("\n".join(problems), WRONG_USE)


@keys.command()
def revoke(name: Annotated[str, typer.Argument(help="Whose key.")], folder: Folder = None) -> None:
    """Revoke a user's key: a running daemon refuses it within a second, also on connections that live.

    Exit code: 0 if it was revoked, 2 if there is none of this name.
    """
    from microscoped.daemon.keys import KeyFolder, KeysError, default_folder

    try:
        KeyFolder(folder or default_folder()).revoke(name)
    except KeysError as error:
        fail(str(error), WRONG_USE)
    typer.echo(f"the key of {name} is revoked")


__all__ = ["keys"]
