"""A plain ZeroMQ client of the wire protocol: pyzmq, JSON and the standard library, and nothing of the daemon's."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Self

import zmq

if TYPE_CHECKING:
    from types import TracebackType

VERSION = "1.0"
TIMEOUT_MS = 30_000


class WireError(Exception):
    """The daemon refused a request, or did not answer; ``code`` is the protocol's."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Wire:
    """A DEALER socket on ``control``: one request at a time.

    Parameters
    ----------
    endpoint
        Where ``control`` is bound.
    timeout_ms
        How long a reply may take.
    """

    def __init__(self, endpoint: str, timeout_ms: int = TIMEOUT_MS) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(endpoint)
        self._timeout_ms = timeout_ms

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._socket.close(linger=0)

    def ask(self, op: str, *, timeout_ms: int | None = None, **params: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
        """Send a request, wait for its reply and return the result.

        Raises
        ------
        WireError
            The daemon refused, or did not answer in time.
        """
        request = str(uuid.uuid4())
        self._socket.send_json({"v": VERSION, "id": request, "type": "request", "op": op, "params": params})
        while self._socket.poll(self._timeout_ms if timeout_ms is None else timeout_ms):
            reply = json.loads(self._socket.recv_multipart()[0])
            if reply["cause"] != request:
                continue  # the late answer to a request that was given up
            if not reply["ok"]:
                raise WireError(reply["error"]["code"], reply["error"]["detail"])
            result: dict[str, Any] = reply["result"]
            return result
        raise WireError("no_answer", f"{op} was not answered in time")

    def finish(self, op: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
        """Begin a task, wait for its end and return it: ``state``, ``result``, ``error``."""
        task = self.ask(op, **params)["task"]
        while True:
            found: dict[str, Any] = self.ask("task.get", task=task, wait_ms=10_000)["task"]
            if found["state"] not in ("accepted", "running"):
                return found

    def move(self, z_um: float) -> float:
        """Move the stage, in steps that the daemon accepts of a client; return where it is."""
        at_um = float(self.ask("stage.position")["z_um"])
        while abs(z_um - at_um) > 1e-9:
            step = min(max(z_um - at_um, -90.0), 90.0)
            task = self.finish("stage.move", z_um=at_um + step)
            if task["state"] != "done":
                raise WireError(task["error"]["code"], task["error"]["detail"])
            at_um = at_um + step
        return float(self.ask("stage.position")["z_um"])
