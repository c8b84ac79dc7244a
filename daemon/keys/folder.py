"""The keys folder of a daemon: ``server.json``, and ``user-NAME.json`` for each user. Deleting that file revokes it."""

from __future__ import annotations

import datetime
import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from microscoped.daemon.keys.errors import KeysError
from microscoped.daemon.keys.files import (
    NAME,
    OPEN_TO_OTHERS,
    WRITABLE_BY_OTHERS,
    ClientKey,
    ServerKey,
    User,
    check_mode,
    check_pair,
    read_file,
    write_new,
)

if TYPE_CHECKING:
    from microscoped.daemon.protocol import Scope

SERVER_FILE = "server.json"


class KeyFolder:
    """The keys that a daemon knows.

    Parameters
    ----------
    path
        The folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def new(self, name: str, scope: Scope, out: Path) -> ClientKey:
        """Make a key for a user, and the server's own if there is none.

        Parameters
        ----------
        name, scope
            Who, and what the user may do.
        out
            The file to hand over; the secret stands there and nowhere else.

        Raises
        ------
        KeysError
            The name is taken or unusable, or a file cannot be written.
        """
        check_curve()
        if not re.fullmatch(NAME, name):
            raise KeysError(
                f"{name!r} cannot be a name: take 1 to 32 of the letters a to z, digits, '.', '_', '-', "
                "a letter or digit at both ends"
            )
        known = self._user_file(name)
        if known.exists():
            raise KeysError(f"{known}: there is a user {name} already; 'microscoped keys revoke {name}' removes it")
        self._make_folder()
        server = self._server_or_new()
        public, secret = (half.decode() for half in zmq.curve_keypair())
        key = ClientKey(name=name, server=server.public, public=public, secret=secret)
        try:
            write_new(out, key)
        except FileExistsError:
            raise KeysError(f"{out}: exists already; name another file with --out") from None
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        try:
            write_new(known, User(name=name, scope=scope, public=public, created=now))
        except KeysError:
            out.unlink()
            raise
        except FileExistsError:
            out.unlink()
            raise KeysError(f"{known}: was made by somebody else just now") from None
        return key

    def revoke(self, name: str) -> None:
        """Remove a user's key; a running daemon refuses it within a second.

        Raises
        ------
        KeysError
            There is no such user.
        """
        found = self._user_file(name) if re.fullmatch(NAME, name) else None
        try:
            if found is None:
                raise FileNotFoundError
            found.unlink()
        except FileNotFoundError:
            names = ", ".join(user.name for user in self.users()[0]) or "nobody"
            raise KeysError(f"{self.path}: there is no user {name!r}; known here: {names}") from None
        except OSError as error:
            raise KeysError(f"{found}: cannot be deleted: {error.strerror}; delete it as its owner") from None

    def users(self) -> tuple[list[User], list[str]]:
        """Read the users, in the order of their names, and say which files cannot be used and why.

        Raises
        ------
        KeysError
            The folder cannot be read, or others may change it.
        """
        try:
            check_mode(self.path, stat.S_IMODE(self.path.stat().st_mode), WRITABLE_BY_OTHERS)
            paths = sorted(self.path.glob("user-*.json"))
        except FileNotFoundError:
            raise KeysError(f"{self.path}: no such folder; 'microscoped keys new NAME' makes it") from None
        except OSError as error:
            raise KeysError(f"{self.path}: cannot be read: {error.strerror}; give its owner the right to") from None
        users: dict[str, User] = {}
        problems: list[str] = []
        for path in paths:
            remedy = f"delete it, and make a new key with 'microscoped keys new {path.stem.removeprefix('user-')}'"
            try:
                user = read_file(path, User, WRITABLE_BY_OTHERS, remedy)
                if self._user_file(user.name) != path:
                    raise KeysError(f"{path}: holds the key of {user.name!r}; {remedy}")
                if user.public in users:
                    raise KeysError(f"{path}: holds the same key as {users[user.public].name}; {remedy}")
                users[user.public] = user
            except KeysError as error:
                if path.exists():  # it was not deleted just now
                    problems.append(str(error))
        return list(users.values()), problems

    def server(self) -> ServerKey:
        """Read the server's own pair.

        Raises
        ------
        KeysError
            It is absent, open to others, or damaged.
        """
        path = self.path / SERVER_FILE
        remedy = "'microscoped keys new NAME' makes a key for the first user, and the daemon's own"
        if path.exists():
            remedy = "put its backup back; or delete it and make all keys anew: the daemon is then another one to them"
        key = read_file(path, ServerKey, OPEN_TO_OTHERS, remedy)
        check_pair(path, key)
        return key

    def _server_or_new(self) -> ServerKey:
        path = self.path / SERVER_FILE
        if not path.exists():
            public, secret = (half.decode() for half in zmq.curve_keypair())
            with suppress(FileExistsError):  # made by another process just now
                write_new(path, ServerKey(public=public, secret=secret))
        return self.server()

    def _make_folder(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KeysError(f"{self.path}: cannot be made: {error.strerror}; choose another with --folder") from None

    def _user_file(self, name: str) -> Path:
        # Lower case: Windows and macOS do not tell Ada from ada.
        return self.path / f"user-{name.lower()}.json"


def check_curve() -> None:
    """Refuse to go on without encryption.

    Raises
    ------
    KeysError
        This ZeroMQ was built without it.
    """
    if not zmq.has("curve"):
        raise KeysError(
            "this pyzmq was built without CURVE encryption; install the one from PyPI: "
            "pip install --force-reinstall --only-binary pyzmq pyzmq"
        )


def default_folder() -> Path:
    """Return where keys are kept by default."""
    return config_folder() / "keys"


def config_folder() -> Path:
    """Return where settings go: ``$MICROSCOPED_CONFIG_HOME``, or where the system keeps programs' settings."""
    if configured := os.environ.get("MICROSCOPED_CONFIG_HOME"):
        return Path(configured)
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "microscoped"


__all__ = ["SERVER_FILE", "KeyFolder", "check_curve", "config_folder", "default_folder"]
