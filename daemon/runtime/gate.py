"""The gate: who may come in (ZAP, ZeroMQ RFC 27), and what each message's sender may do now."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

import zmq
from zmq.utils import z85

from microscoped.daemon.keys import KeysError
from microscoped.daemon.keys.folder import check_curve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.keys import KeyFolder, User
    from microscoped.daemon.protocol import Scope
    from microscoped.drivers.protocols import Clock

ZAP_ADDRESS = "inproc://zeromq.zap.01"
READ_EVERY_S = 0.25
"""How often the keys folder is read; a revocation bites so soon."""
TELL_EVERY_NS = 10_000_000_000
"""Refused strangers are told to the log so often at most, with their number."""

log = logging.getLogger("microscoped")


class Gate:
    """Lets those in whose keys are known, and knows what they may do.

    ZeroMQ asks it once for each connection, through a socket that the loop polls. A client is then known by its public
    key, which its messages carry as ``User-Id``: a user who is given a new key does not bring the old one back to life.
    A thread of its own reads the keys folder, which may lie on a slow disk.

    Parameters
    ----------
    context
        That of the sockets which are guarded.
    folder
        The keys.
    clock
        Monotonic nanoseconds.

    Raises
    ------
    KeysError
        A key file cannot be used, or this ZeroMQ knows no encryption.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: KeyFolder, clock: Clock) -> None:
        check_curve()
        self._folder = folder
        self._clock = clock
        self._server = folder.server()
        users, problems = folder.users()
        if problems:
            raise KeysError("\n".join(problems))
        if not users:
            raise KeysError(f"{folder.path}: holds no user's key; 'microscoped keys new NAME' makes one")
        # Exchanged as a whole by the thread, never changed: the loop always sees one state of it.
        self._users: Mapping[str, User] = {user.public: user for user in users}
        self._names = {user.public: user.name for user in users}
        self._gone: deque[str] = deque()
        self._revoked: deque[str] = deque()
        self._admitted: dict[str, set[str]] = {}
        self._refused = 0
        self._told_ns = clock() - TELL_EVERY_NS
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_reading, name="keys", daemon=True)
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        """Where ZeroMQ asks; for the loop's poller."""
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ZAP_ADDRESS)

    def guard(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Have a socket encrypt, and ask this gate about each connection. Before it is bound."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._server.secret.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, name.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody comes in while nobody answers at the gate

    def start(self) -> None:
        """Begin to watch the folder."""
        self._thread.start()

    def answer(self, most: int) -> None:
        """Answer up to `most` questions whether somebody may come in. The loop's thread only."""
        for _ in range(most):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(frames) < 8:
                continue
            routing, empty, version, request, domain, address, _identity, mechanism, *credentials = frames
            status, text, user = b"400", b"this key is not known here", b""
            if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
                key = z85.encode(credentials[0]).decode()
                if key in self._users:
                    status, text, user = b"200", b"welcome", key.encode()
                    self._admitted.setdefault(domain.decode(), set()).add(key)
            if status != b"200":
                self._tell_refusal(address.decode(errors="replace"))
            self.socket.send_multipart([routing, empty, version, request, status, text, user, b""], zmq.NOBLOCK)

    def who(self, message: zmq.Frame) -> tuple[str, Scope | None]:
        """Return whose message this is, and what that user may do now; ``None``: the key was revoked."""
        key = str(message.get("User-Id"))
        user = self._users.get(key)
        return (self._names.get(key, ""), None) if user is None else (user.name, user.scope)

    def take_gone(self) -> set[str]:
        """Return which of the guarded sockets, by name, a user had come to whose key has been revoked since.

        Those sockets are forgotten to have visitors: the caller sends all of them away, and they come in anew.
        """
        sockets: set[str] = set()
        while self._gone:
            key = self._gone.popleft()
            self._revoked.append(self._names[key])
            sockets.update(name for name, keys in self._admitted.items() if key in keys)
        for name in sockets:
            del self._admitted[name]
        return sockets

    def take_revoked(self) -> list[str]:
        """Return whose keys `take_gone` has found revoked since this was asked last."""
        users = list(self._revoked)
        self._revoked.clear()
        return users

    def close(self) -> None:
        """End the thread and close the socket. A thread that waits for a hanging disk is left behind."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        self.socket.close(linger=0)

    def _tell_refusal(self, address: str) -> None:
        self._refused += 1
        if self._clock() - self._told_ns >= TELL_EVERY_NS:
            log.warning(
                "%d connections with unknown or revoked keys were refused, the last from %s", self._refused, address
            )
            self._refused, self._told_ns = 0, self._clock()

    def _keep_reading(self) -> None:
        told: list[str] = []
        while not self._closing.wait(READ_EVERY_S):
            try:
                users, problems = self._folder.users()
            except KeysError as error:
                # Whoever could stop the microscope a moment ago still can: only revoking takes that away.
                users, problems = list(self._users.values()), [f"{error}; the keys known before stay in force"]
            for problem in problems:
                if problem not in told:
                    log.error("%s", problem)
            told = problems
            fresh = {user.public: user for user in users}
            if fresh == self._users:
                continue
            self._names.update((user.public, user.name) for user in users)
            gone = self._users.keys() - fresh.keys()
            for key in fresh.keys() - self._users.keys():
                log.info("the key of %s (%s) is new", self._names[key], fresh[key].scope)
            self._users = fresh
            for key in gone:
                log.warning("the key of %s was revoked", self._names[key])
                self._gone.append(key)


__all__ = ["Gate"]
