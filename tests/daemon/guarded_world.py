"""A daemon that asks for keys, its users, and plain sockets: the bench of the tests of keys on the wire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import zmq

from microscoped.daemon.client import RequestFailedError, Scope
from microscoped.daemon.keys import KeyFolder
from microscoped.daemon.protocol import Scope as Rights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from microscoped.daemon.keys import ClientKey
    from tests.conftest import Rig

BITES_S = 1.0
PATIENCE_S = 20.0


class Guarded:
    """A running daemon that asks for keys, and the keys of Ada (admin), Carl (control) and Rea (read)."""

    def __init__(
        self, tmp_path: Path, start_rig: Callable[..., Rig], changes: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        self.tmp_path = tmp_path
        self.folder = KeyFolder(tmp_path / "keys")
        for name, rights in (("ada", Rights.ADMIN), ("carl", Rights.CONTROL), ("rea", Rights.READ)):
            self.folder.new(name, rights, self.key(name))
        changes = {"network": {}, **(changes or {})}
        changes["network"] = {"curve": True, "keys_folder": str(self.folder.path), **changes["network"]}
        self.rig = start_rig(changes, key=self.key("ada"))
        self.address = self.rig.scope.address

    def key(self, name: str) -> Path:
        return self.tmp_path / f"{name}.json"

    def client(self, name: str) -> Scope:
        return Scope(self.address, 10, key=self.key(name))


class Plain:
    """Plain sockets, as any program makes them; all of them are closed at the end."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._made: list[zmq.Socket[bytes]] = []

    def socket(self, kind: int, key: ClientKey | None = None) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        if key is not None:
            socket.curve_serverkey = key.server.encode()
            socket.curve_publickey, socket.curve_secretkey = key.public.encode(), key.secret.encode()
        self._made.append(socket)
        return socket

    def monitor(self, socket: zmq.Socket[bytes], events: int = zmq.EVENT_ALL) -> zmq.Socket[bytes]:
        self._made.append(socket.get_monitor_socket(events))
        return self._made[-1]

    def close(self) -> None:
        for socket in self._made:
            socket.close(linger=0)
        self._context.term()


def code_of(scope: Scope, op: str, **params: Any) -> str:  # noqa: ANN401 - whatever an op takes
    """The error code of a request, or ``ok``."""
    try:
        scope.request(op, **params)
    except RequestFailedError as error:
        return str(error.error.code)
    return "ok"


def eventually(told: Callable[[], bool], within_s: float) -> float:
    """Ask again and again; return after how many seconds it was so."""
    began = time.monotonic()
    while not told():
        assert time.monotonic() - began < within_s
    return time.monotonic() - began
