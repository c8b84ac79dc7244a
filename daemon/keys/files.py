"""The three kinds of key files: the server's pair, a user's public key and scope, a client's pair.

All are JSON with a version. Keys are CURVE25519 keys of 32 bytes, written in Z85 (ZeroMQ RFC 32) as 40 characters.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import zmq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microscoped.daemon.keys.errors import KeysError
from microscoped.daemon.protocol import Scope

if TYPE_CHECKING:
    from pathlib import Path

Z85 = Annotated[str, Field(pattern=r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$")]
Secret = Annotated[Z85, Field(repr=False)]
NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,30}[A-Za-z0-9])?$"
"""A user's name: also a part of a file's name, on every system."""
UserName = Annotated[str, Field(pattern=NAME)]
MOST_BYTES = 10_000
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class _KeyFile(BaseModel):
    # An error of pydantic shows what stands in the file: here that is a secret.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    microscoped_key: Literal[1] = 1


class ServerKey(_KeyFile):
    """The daemon's own pair, in its keys folder; the secret never leaves it."""

    kind: Literal["server"] = "server"
    public: Z85
    secret: Secret


class User(_KeyFile):
    """What the daemon keeps of a user: the public key, and what may be done with it. The scope may be edited."""

    kind: Literal["user"] = "user"
    name: UserName
    scope: Scope
    public: Z85
    created: Annotated[str, Field(max_length=64)]


class ClientKey(_KeyFile):
    """What a user is given: the own pair, and the public key by which the daemon is known."""

    kind: Literal["client"] = "client"
    name: UserName
    server: Z85
    public: Z85
    secret: Secret


T = TypeVar("T", bound=_KeyFile)


def read_client_key(path: Path) -> ClientKey:
    """Read the key file that ``microscoped keys new`` wrote.

    Raises
    ------
    KeysError
        It is absent, unreadable, open to others, damaged, or of another kind.
    """
    key = read_file(path, ClientKey, OPEN_TO_OTHERS, "take the file that 'microscoped keys new NAME' wrote")
    check_pair(path, key)
    return key


def read_file(path: Path, kind: type[T], forbidden_mode: int, remedy: str) -> T:
    """Read a key file.

    Parameters
    ----------
    path
        The file.
    kind
        What it must hold.
    forbidden_mode
        Permissions that it must not give (where the system has them).
    remedy
        What to do if it cannot be used.

    Raises
    ------
    KeysError
        Naming the file and the remedy.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        raise KeysError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise KeysError(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
    check_mode(path, mode, forbidden_mode)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise KeysError(f"{path}: is not JSON: damaged or not a key file; {remedy}") from None
    if not isinstance(found, dict) or "microscoped_key" not in found:
        raise KeysError(f"{path}: is not a key file of microscoped; {remedy}")
    if found["microscoped_key"] != 1:
        raise KeysError(f"{path}: was written by a later version, in another format; update microscoped here")
    wanted = kind.model_fields["kind"].default
    if found.get("kind") != wanted:
        raise KeysError(f"{path}: is the file of a {str(found.get('kind'))[:20]}, not of a {wanted}; {remedy}")
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        wrong = {".".join(map(str, item["loc"])) for item in error.errors(include_input=False, include_url=False)}
        raise KeysError(f"{path}: was changed or cut off: wrong {', '.join(sorted(wrong))}; {remedy}") from None


def check_mode(path: Path, mode: int, forbidden_mode: int) -> None:
    """Refuse a file or folder that others of this computer may read or change. Windows has other means: not checked.

    Raises
    ------
    KeysError
        With the command that mends it.
    """
    if os.name == "nt" or not mode & forbidden_mode:
        return
    allowed = mode & ~OPEN_TO_OTHERS
    what = "read" if forbidden_mode & stat.S_IRGRP else "change"
    raise KeysError(
        f"{path}: others on this computer may {what} it (mode {mode:o}); run 'chmod {allowed:o} {path}', "
        "and if somebody may have done so, revoke its keys and make new ones"
    )


def check_pair(path: Path, key: ServerKey | ClientKey) -> None:
    """Refuse a pair whose halves do not belong together.

    Raises
    ------
    KeysError
        The file was changed.
    """
    if zmq.curve_public(key.secret.encode()).decode() != key.public:
        raise KeysError(f"{path}: was changed: its public and secret keys do not belong together; make a new key")


def write_new(path: Path, key: _KeyFile) -> None:
    """Write a key file that only its owner can read; never over another one.

    Raises
    ------
    FileExistsError
        There is one.
    KeysError
        It cannot be written.
    """
    payload = json.dumps(key.model_dump(mode="json"), indent=2).encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(payload)
            os.fsync(file.fileno())
    except FileExistsError:
        raise
    except OSError as error:
        raise KeysError(f"{path}: cannot be written: {error.strerror}; choose a folder that you may write") from None


__all__ = [
    "OPEN_TO_OTHERS",
    "WRITABLE_BY_OTHERS",
    "ClientKey",
    "ServerKey",
    "User",
    "check_mode",
    "check_pair",
    "read_client_key",
    "read_file",
    "write_new",
]
