"""How a socket of a client reaches a daemon: with its key, and what to say if it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq
from zmq.utils.monitor import recv_monitor_message

if TYPE_CHECKING:
    from microscoped.daemon.keys import ClientKey

ANY_HOST = ("0.0.0.0", "*", "[::]")  # noqa: S104 - recognised, not bound
DIAGNOSIS_MS = 1000
NOT_RUNNING = "is the daemon running? 'microscoped run' or 'microscoped demo' starts one"


def secure(socket: zmq.Socket[bytes], address: str, key: ClientKey | None) -> None:
    """Prepare a socket for an address; with a key it encrypts, and proves whose it is. Before it connects."""
    socket.setsockopt(zmq.IPV6, int("[" in address))
    if key is not None:
        socket.setsockopt(zmq.CURVE_SERVERKEY, key.server.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, key.public.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, key.secret.encode())


def reachable(endpoint: str, address: str) -> str:
    """Return an endpoint of ``hello`` as this client reaches it.

    A daemon that listens on all addresses of its computer names none: it is where `address`, which was reached, is.
    """
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return f"{address.rpartition(':')[0]}:{port}" if host in ANY_HOST else endpoint


def why_silent(context: zmq.Context[zmq.Socket[bytes]], address: str, key: ClientKey | None) -> str:
    """Say why a daemon does not answer, as far as a new connection to it shows."""
    with context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        secure(socket, address, key)
        monitor = socket.get_monitor_socket()
        socket.connect(address)
        why = NOT_RUNNING
        while monitor.poll(DIAGNOSIS_MS):
            match recv_monitor_message(monitor)["event"]:
                case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    why = "it takes connections, but its loop does not answer: it hangs; restart it"
                case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    why = "it does not know this key (was it revoked?); 'microscoped keys new NAME' makes another"
                # ZeroMQ does not tell a wrong key of the server from a server without keys.
                case zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL if key is None:
                    why = "it hangs up: it asks for a key; give the file that 'microscoped keys new NAME' wrote"
                case zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                    why = (
                        "it hangs up: it uses no keys (its network.curve is false), or this key is for another daemon: "
                        "'microscoped keys new NAME' makes one for it"
                    )
                case zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED:
                    pass
                case _:
                    continue
            break
        socket.disable_monitor()
        monitor.close(linger=0)
        return why


__all__ = ["reachable", "secure", "why_silent"]
