"""A blocking client: one connection to a daemon, its ops as calls, its events as an iterator."""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import zmq

from microscoped.daemon.client.connect import reachable, secure, why_silent
from microscoped.daemon.client.errors import NoAnswerError, RequestFailedError, TaskFailedError
from microscoped.daemon.client.events import Events
from microscoped.daemon.client.reading import read_error, read_event, read_reply
from microscoped.daemon.client.sequences import plain
from microscoped.daemon.client.subscription import Subscription
from microscoped.daemon.client.tables import Tables, read_tables
from microscoped.daemon.keys import read_client_key
from microscoped.daemon.protocol import VERSION, dumps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from microscoped.daemon.client.sequences import Plain

Frame: TypeAlias = "tuple[dict[str, Any], NDArray[Any]]"
"""A frame's header (see `microscoped.daemon.protocol.events.FrameData`) and its pixels."""
RECORD_S = 5.0
"""How long a recording may take to begin or to end."""
READ_S = 30.0
"""How long a long sequence may take to be read."""
DEFAULT_ADDRESS = "tcp://127.0.0.1:5770"


class Scope:
    """A microscope, seen through its daemon. One thread only; use it in a ``with`` statement.

    Parameters
    ----------
    address
        Where the daemon's ``control`` socket listens.
    timeout_s
        How long to wait for an answer.
    key
        The key file that ``microscoped keys new`` wrote, where the daemon asks for keys.

    Raises
    ------
    KeysError
        The key file cannot be used.

    Examples
    --------
    >>> from microscoped.daemon.client import Scope
    >>> with Scope() as scope:  # doctest: +SKIP
    ...     report = scope.focus()
    ...     header, pixels = scope.snap()
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, timeout_s: float = 5.0, *, key: str | Path | None = None
    ) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._key = None if key is None else read_client_key(Path(key))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._control = self._connect_control()
        self._hello: dict[str, Any] | None = None
        self._lease: dict[str, JsonValue] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._context.destroy(linger=0)

    # --- any op -----------------------------------------------------------------------------------------------

    def request(
        self,
        op: str,
        *,
        wait_s: float = 0.0,
        deadline_ms: float | None = None,
        dry_run: bool = False,
        **params: JsonValue,
    ) -> dict[str, Any]:
        """Send one request and return its result.

        Parameters
        ----------
        op, params
            As in the protocol.
        wait_s
            How much longer than usual the answer may take.
        deadline_ms
            After which the op must not begin any more.
        dry_run
            Check everything, do nothing.

        Raises
        ------
        RequestFailedError
            The daemon refused.
        NoAnswerError
            No answer in time.
        """
        return self._exchange(op, wait_s, deadline_ms, dry_run, params)[0]

    def run(self, op: str, *, timeout_s: float = 120.0, **params: JsonValue) -> dict[str, Any]:
        """Begin a task, wait for its end, and return its result.

        Raises
        ------
        TaskFailedError
            It did not end as ``done``.
        RequestFailedError
            The daemon refused it.
        NoAnswerError
            It did not end within `timeout_s`; it goes on.
        """
        task = self._exchange(op, 0.0, None, False, params)[0]["task"]
        return self.wait(task, timeout_s=timeout_s)

    def wait(self, task: str, *, timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait for the end of a task and return its result; errors as in `run`."""
        until = time.monotonic() + timeout_s
        while True:
            wait_s = min(30.0, max(0.0, until - time.monotonic()))
            found = self.request("task.get", wait_s=wait_s, task=task, wait_ms=1000 * wait_s)["task"]
            if found["state"] == "done":
                result: dict[str, Any] = found["result"] or {}
                return result
            if found["error"] is not None:
                raise TaskFailedError(found["op"], read_error(found["error"]), found["result"])
            if time.monotonic() >= until:
                raise NoAnswerError(f"{found['op']} (task {task}) has not ended within {timeout_s:g} s; it goes on")

    # --- the common ones --------------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Versions, ops, endpoints, limits, session; asked once."""
        if self._hello is None:
            self._hello = self.request("hello")
        return self._hello

    def status(self) -> dict[str, Any]:
        """State, stage, camera, tasks, engines now."""
        return self.request("status")

    def move(self, z_um: float, *, relative: bool = False) -> dict[str, Any]:
        """Move the stage, wait for its arrival, and return it."""
        return self.run("stage.move", z_um=z_um, relative=relative)

    def position(self) -> float:
        """Where the stage is, in µm."""
        z_um: float = self.request("stage.position")["z_um"]
        return z_um

    def snap(self) -> Frame:
        """Take one frame; return its header and its pixels."""
        return self.frame(self.run("camera.snap")["frame"])

    def frame(self, frame: str | None = None, *, newer_than: str | None = None, wait_s: float = 0.0) -> Frame:
        """Fetch a frame that was taken: a certain one, or the newest, or one newer than another."""
        params: dict[str, Any] = {"frame": frame, "newer_than": newer_than, "wait_ms": 1000 * wait_s}
        given = {name: value for name, value in params.items() if value is not None}
        result, pixels = self._exchange("frame.get", wait_s, None, False, given)
        header: dict[str, Any] = result["frame"]
        return header, _image(header, pixels[0])

    def focus(self, **params: JsonValue) -> dict[str, Any]:
        """Find the focus; return the report.

        Raises
        ------
        TaskFailedError
            Not focused, among others; its ``result`` is the report.
        """
        return self.run("focus.run", timeout_s=300.0, **params)

    def acquire(
        self,
        sequence: Plain,
        *,
        focus_failure: Literal["skip", "keep", "end"] = "skip",
        light_ms: float | None = None,
        timeout_s: float = math.inf,
    ) -> dict[str, Any]:
        """Acquire a sequence, wait for its end, and return the report.

        Parameters
        ----------
        sequence
            A ``useq.MDASequence``, or the same as a mapping (``docs/acquisition.md``).
        focus_failure
            What happens where a focus event finds no focus (see ``acquire.run``).
        light_ms
            Exposure time that it may spend; by default without limit.
        timeout_s
            How long to wait.

        Raises
        ------
        TaskFailedError
            It is not complete; its ``result`` is the report.
        RequestFailedError
            The stage belongs to somebody else, among others.
        NoAnswerError
            It did not end within `timeout_s`; it goes on.
        """
        return self.wait(
            self.begin_acquisition(sequence, focus_failure=focus_failure, light_ms=light_ms), timeout_s=timeout_s
        )

    def begin_acquisition(
        self,
        sequence: Plain,
        *,
        focus_failure: Literal["skip", "keep", "end"] = "skip",
        light_ms: float | None = None,
        hold_open: bool = False,
    ) -> str:
        """Begin to acquire a sequence, and return the task; parameters and errors as of `acquire`.

        It can then be paused, resumed and finished (``request("acquire.pause", task=task)`` …), cancelled
        (``task.cancel``), and awaited (`wait`). With `hold_open` it waits for injected events until ``acquire.finish``.
        """
        begun = self.request(
            "acquire.run",
            sequence=plain(sequence),
            focus_failure=focus_failure,
            light_ms=light_ms,
            hold_open=hold_open,
        )
        task: str = begun["task"]
        return task

    def check_sequence(self, sequence: Plain, *, light_ms: float | None = None) -> dict[str, Any]:
        """Return what a sequence will cost.

        Raises
        ------
        RequestFailedError
            It is not valid; ``error.data["problems"]`` names each field, its value and the remedy.
        """
        return self.request("acquire.check", wait_s=READ_S, sequence=plain(sequence), light_ms=light_ms)

    def inject(self, task: str, events: Sequence[Plain], *, after: Literal["now", "end"] = "end") -> str:
        """Add events to an acquisition, and return the name of the batch, which their frames bear.

        Parameters
        ----------
        task
            The acquisition.
        events
            Each a ``useq.MDAEvent``, or the same as a mapping; their places are absolute.
        after
            ``now``: right after the event under way, before all that waits. ``end``: after all else.

        Raises
        ------
        RequestFailedError
            One of them is not valid, or the acquisition has ended; none was taken.
        """
        given: list[JsonValue] = [plain(event) for event in events]
        batch: str = self.request("acquire.inject", wait_s=READ_S, task=task, events=given, after=after)["batch"]
        return batch

    @contextmanager
    def lease(self, name: str, ttl_s: float = 30.0) -> Iterator[None]:
        """Keep the stage for the body of the ``with`` statement; others are told ``busy`` and this name.

        Parameters
        ----------
        name
            Who holds it, for others to read.
        ttl_s
            The lease ends so long after it was taken or last renewed: call `renew` in time.

        Raises
        ------
        RequestFailedError
            Somebody else holds it.
        """
        token = self.request("stage.lease", name=name, ttl_s=ttl_s)["token"]
        self._lease = {"name": name, "ttl_s": ttl_s, "token": token}
        try:
            yield
        finally:
            self._lease = None
            with suppress(RequestFailedError):  # it had expired
                self.request("stage.release", token=token)

    def renew(self) -> None:
        """Renew the lease for another ``ttl_s``.

        Raises
        ------
        RequestFailedError
            It has expired.
        """
        if self._lease is None:
            raise ValueError("there is no lease to renew: use renew() inside 'with scope.lease(name):'")
        self._exchange("stage.lease", 0.0, None, False, self._lease)

    def start_recording(self, folder: str | None = None, *, pixels: bool | None = None) -> dict[str, Any]:
        """Record all that happens from now on; return the recording, whose folder is made.

        Parameters
        ----------
        folder
            Its name; by default made of the time.
        pixels
            Whether frames are in it; by default as configured.

        Raises
        ------
        RequestFailedError
            A recording is being made already, or the disk does not take it.
        """
        params: dict[str, JsonValue] = {"folder": folder, "pixels": pixels}
        given = {name: value for name, value in params.items() if value is not None}
        recording: dict[str, Any] = self._exchange("record.start", RECORD_S, None, False, given)[0]["recording"]
        return recording

    def stop_recording(self) -> dict[str, Any]:
        """End the recording, and return it: it is on the disk.

        Raises
        ------
        RequestFailedError
            Nothing is recorded, or the disk did not take all of it.
        """
        recording: dict[str, Any] = self.request("record.stop", wait_s=RECORD_S)["recording"]
        return recording

    @contextmanager
    def recording(self, folder: str | None = None, *, pixels: bool | None = None) -> Iterator[dict[str, Any]]:
        """Record what happens in the body of the ``with`` statement; parameters and errors as of `start_recording`."""
        begun = self.start_recording(folder, pixels=pixels)
        try:
            yield begun
        finally:
            with suppress(RequestFailedError):  # it had ended by itself: an alarm says why
                self.stop_recording()

    def set_rules(
        self, rules: Sequence[Mapping[str, JsonValue]], *, dose_ms_per_h: float | None = None
    ) -> list[dict[str, Any]]:
        """Decide by these rules from now on; return them, and where each is.

        Parameters
        ----------
        rules
            As in the configuration (``docs/rules.md``).
        dose_ms_per_h
            Light within any hour at which they stop adding to it, in milliseconds of exposure.

        Raises
        ------
        RequestFailedError
            One of them cannot be used; the message shows the place.
        """
        params: dict[str, JsonValue] = {"rules": [dict(rule) for rule in rules]}
        if dose_ms_per_h is not None:
            params["dose_ms_per_h"] = dose_ms_per_h
        told: list[dict[str, Any]] = self._exchange("rules.set", 0.0, None, False, params)[0]["rules"]
        return told

    def rules(self) -> list[dict[str, Any]]:
        """The rules, and where each is."""
        told: list[dict[str, Any]] = self.request("rules.list")["rules"]
        return told

    def stop(self) -> dict[str, Any]:
        """Halt the stage and cancel all tasks; no motion until `resume`."""
        return self.request("stop")

    def resume(self) -> dict[str, Any]:
        """Allow motion again."""
        return self.request("resume")

    def events(self, *topics: str, timeout_s: float | None = None) -> Events:
        """Subscribe, and return an iterator of events: none that happens after this call is missed unsaid.

        Parameters
        ----------
        topics
            Prefixes of topics; none for all.
        timeout_s
            End after so long without an event; by default never.
        """
        socket = self._subscribe("events", topics)
        return Events(socket, self.request, self._published_at, topics, timeout_s)

    def frames(self, camera: str = "", *, timeout_s: float | None = None) -> Subscription[Frame]:
        """Subscribe, and return an iterator of frames: their headers and pixels. A slow reader loses some."""
        return Subscription(self._subscribe("frames", (f"v1.frame.{camera}",)), _frame, timeout_s)

    def tables(self, engine: str = "cells", *, timeout_s: float | None = None) -> Subscription[Tables]:
        """Subscribe, and return an iterator of an engine's measurements with their tables. A slow reader loses some."""
        return Subscription(self._subscribe("frames", (f"v1.measure.{engine}.",)), read_tables, timeout_s)

    # --- inside -----------------------------------------------------------------------------------------------

    def _connect_control(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        secure(socket, self.address, self._key)
        socket.connect(self.address)
        return socket

    def _subscribe(self, name: str, topics: tuple[str, ...]) -> zmq.Socket[bytes]:
        """Subscribe, and return once the subscription is live: what happens from now on is seen."""
        socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        for topic in topics or ("",):
            socket.subscribe(topic)
        endpoint = self._endpoint(name)
        secure(socket, endpoint, self._key)
        socket.connect(endpoint)
        if not monitor.poll(int(1000 * self.timeout_s)):
            why = why_silent(self._context, endpoint, self._key)
            raise NoAnswerError(f"the daemon at {self.address} does not let us subscribe to {name}: {why}")
        socket.disable_monitor()
        monitor.close()
        # The subscription travels before anything that we send after the handshake: one round trip makes it sure.
        self.request("ping")
        return socket

    def _published_at(self, *, anew: bool = False) -> str:
        """Return where events are published; `anew`: the daemon may be another than before."""
        if anew:
            self._hello = None
        return self._endpoint("events")

    def _endpoint(self, name: str) -> str:
        return reachable(self.hello()["endpoints"][name], self.address)

    def _exchange(
        self, op: str, wait_s: float, deadline_ms: float | None, dry_run: bool, params: Mapping[str, JsonValue]
    ) -> tuple[dict[str, Any], list[bytes]]:
        cause = str(uuid.uuid4())
        message: dict[str, Any] = {"v": VERSION, "id": cause, "type": "request", "op": op, "params": dict(params)}
        if deadline_ms is not None:
            message["deadline_ms"] = deadline_ms
        if dry_run:
            message["dry_run"] = True
        if self._lease is not None:
            message["lease"] = self._lease["token"]
        until = time.monotonic() + self.timeout_s + wait_s
        # A connection that the daemon has hung up on takes nothing more, and it may hang up between these two lines:
        # sending would wait for ever.
        if self._control.poll(int(1000 * self.timeout_s), zmq.POLLOUT):
            with contextlib.suppress(zmq.Again):
                self._control.send(dumps(message), zmq.NOBLOCK)
        while self._control.poll(max(0, int(1000 * (until - time.monotonic())))):
            payload, *pixels = self._control.recv_multipart()
            reply = read_reply(payload)
            if str(reply.cause) != cause:
                continue  # the answer to a request that was given up
            if reply.error is not None:
                raise RequestFailedError(op, reply.error)
            return reply.result or {}, pixels
        why = why_silent(self._context, self.address, self._key)
        raise NoAnswerError(f"no answer to {op} from {self.address} within {self.timeout_s + wait_s:g} s: {why}")


def _frame(message: list[bytes]) -> Frame:
    header = read_event(message[1]).data
    return header, _image(header, message[2])


def _image(header: Mapping[str, Any], pixels: bytes) -> NDArray[Any]:
    return np.frombuffer(pixels, np.dtype(header["dtype"]).newbyteorder("<")).reshape(header["shape"])


__all__ = ["DEFAULT_ADDRESS", "Scope"]
