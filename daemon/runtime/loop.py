"""The loop: turns the world into inputs, hands them to the reducer, and carries out its effects."""

from __future__ import annotations

import datetime
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import zmq

from microscoped.daemon.core import Now, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.protocol import BadRequestError, dumps, read_request
from microscoped.daemon.protocol.events import ALARM_TOPIC, STATE_TOPIC
from microscoped.daemon.runtime.acquisitions import AcquiredFrame, Acquisitions
from microscoped.daemon.runtime.engines import EngineThreads, MeasuredWithParts
from microscoped.daemon.runtime.log_feed import NOT_AGAIN, LogFeed
from microscoped.daemon.runtime.mailbox import Mailbox
from microscoped.daemon.runtime.timers import Timers
from microscoped.daemon.runtime.translate import error_body, frame_id, translate
from microscoped.drivers.commands import FrameTaken, HardwareEvent, Opened
from microscoped.drivers.errors import HardwareBusyError
from microscoped.drivers.hardware import HardwareSettings, HardwareThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microscoped.daemon.core import Effect, Input, State
    from microscoped.daemon.runtime.sockets import Sockets
    from microscoped.drivers.protocols import CameraInfo, Clock, Microscope, Pixels
    from microscoped.models import Engine

    Item: TypeAlias = HardwareEvent | Input | MeasuredWithParts | AcquiredFrame
    Watcher: TypeAlias = Callable[[Input, Now, tuple[Effect, ...]], None]

log = logging.getLogger("microscoped")

MOST_PER_TURN = 64
"""Inputs of one kind handled in one turn: no source starves the others."""
CONTROL_PER_TURN = 16
"""Messages of clients handled in one turn. ZeroMQ serves all clients by turns: a flood of one delays no other."""
HEARTBEAT_NS = 1_000_000_000
FILM_END_S = 5.0
"""How long the end may wait for the disk of a recording."""
IDLE_TURN_NS = 100_000_000
"""The loop turns at least so often, so that a stall of the whole process shows as lag."""
FRAMES_WAITING = 32
"""Streamed frames that may wait for the loop; more are dropped and counted as lost."""


class Keeper(Protocol):
    """Keeps the journal (see `microscoped.daemon.record.Recorder`)."""

    @property
    def recorded_seq(self) -> int:
        """Number of the last input that survives the death of the process."""
        ...

    @property
    def durable_seq(self) -> int:
        """Number of the last input that survives a power cut."""
        ...

    @property
    def unrecorded(self) -> int:
        """How many inputs are missing because the journal has ended."""
        ...

    @property
    def disk_free_mb(self) -> float | None:
        """What is left on the disk, in megabytes, as far as it is known."""
        ...

    def waiting(self) -> int:
        """How many inputs wait to be written."""
        ...

    def record(self, heard: Input, now: Now, effects: tuple[Effect, ...], state: State) -> None:
        """Take over an input, what was done about it, and the state after it; never waits."""
        ...


class Film(Protocol):
    """Makes one recording (see `microscoped.daemon.record.Recording`)."""

    @property
    def recorded_seq(self) -> int:
        """Number of the last input that is on the disk with all frames before it; 0: none."""
        ...

    @property
    def frames(self) -> int:
        """Frames that are on the disk."""
        ...

    @property
    def skipped(self) -> int:
        """Frames that came and are not recorded."""
        ...

    def waiting(self) -> int:
        """How many inputs wait to be written."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def record(
        self, heard: Input, now: Now, effects: tuple[Effect, ...], state: State, pixels: Pixels | None = None
    ) -> None:
        """Take over an input, with its pixels where it is a frame; never waits."""
        ...

    def end(self, reason: str) -> None:
        """Write what waits, and end; returns at once, and `RecordingEnded` follows."""
        ...

    def close(self, timeout_s: float) -> bool:
        """End, and wait for it; return whether that was done in time."""
        ...


class Studio(Protocol):
    """Makes recordings."""

    def __call__(self, wanted: to_do.StartRecording, state: State, after: int, post: Callable[[Input], None]) -> Film:
        """Return a recording that has not begun yet, of the inputs after one; `post` hears what becomes of it."""
        ...


class Loop:
    """One life of the daemon.

    Parameters
    ----------
    state
        What is known at the start.
    microscope, hardware, engines
        What it drives and measures with.
    context, sockets
        Where it listens; the loop closes neither.
    clock
        Monotonic nanoseconds.
    watch
        Sees every input and what was done about it, on the loop's thread.
    journal
        Writes them down.
    studio
        Makes recordings.
    """

    def __init__(
        self,
        state: State,
        microscope: Microscope,
        hardware: HardwareSettings,
        engines: Sequence[Engine],
        *,
        context: zmq.Context[zmq.Socket[bytes]],
        sockets: Sockets,
        clock: Clock,
        watch: Watcher | None = None,
        journal: Keeper | None = None,
        studio: Studio | None = None,
    ) -> None:
        self._state = state
        self._sockets = sockets
        self._clock = clock
        self._watch = watch
        self._journal = journal
        self._studio = studio
        self._film: Film | None = None
        self._mail: Mailbox[Item] = Mailbox(context, clock)
        self._hardware = HardwareThread(microscope, hardware, self._from_hardware, clock)
        self._acquisitions = Acquisitions(self._hardware, self._mail.post, hardware.frame_allowance_s, clock)
        self._engines = EngineThreads(engines, self._mail.post, clock)
        self._log_feed = LogFeed(self._mail.post, clock)
        self._timers = Timers()
        self._heartbeat_ns = clock() + HEARTBEAT_NS
        self._local: deque[Input] = deque()
        self._pixels: dict[str, Pixels] = {}
        self._parts: tuple[bytes, ...] = ()
        self._camera: CameraInfo | None = None
        # Each of these is written by one thread only: posted and dropped by the hardware thread, taken by the loop.
        self._frames_posted = 0
        self._frames_dropped = 0
        self._frames_taken = 0
        self._number = 0
        self._lags_ns: list[int] = []
        self._exit: int | None = None

    def start_safe(self, reason: str) -> None:
        """Have the loop begin in SAFE. Before `run`: nothing else is handled first."""
        self._mail.post(heard_of.StartedSafe(reason))

    def tell(self, heard: Input) -> None:
        """Have the loop handle an input. From any thread; after its end: does nothing."""
        self._mail.post(heard)

    def shut_down(self, reason: str) -> None:
        """Ask the loop to end. From any thread, or from a signal handler's thread."""
        self._mail.post(heard_of.ShutdownWanted(reason))

    def run(self) -> int:
        """Run until shutdown; return the exit code."""
        with self._log_feed:
            return self._run()

    def _run(self) -> int:
        poller = zmq.Poller()
        gate = self._sockets.gate
        for socket in (self._mail.wake, self._sockets.control, self._sockets.events, self._sockets.frames):
            poller.register(socket, zmq.POLLIN)
        if gate is not None:
            poller.register(gate.socket, zmq.POLLIN)
            gate.start()
        self._engines.start()
        self._acquisitions.begin()
        self._hardware.start()
        try:
            while self._exit is None:
                due_ns = self._next_due_ns()
                ready = dict(poller.poll(max(0, -(-(due_ns - self._clock()) // 1_000_000))))
                if not ready:
                    self._lags_ns.append(max(0, self._clock() - due_ns))
                self._hear(ready)
        finally:
            self._hardware.close()
            ended = self._acquisitions.close(5.0)
            ended = self._hardware.join(5.0) and self._engines.close(5.0) and ended
            if self._film is not None and not self._film.close(FILM_END_S):
                log.error("the disk hangs; the process ends without the end of its recording")
            self._mail.close()
        if not ended:
            log.error("a driver or an engine hangs; the process ends without it")
        return self._exit if ended else 1

    # --- what it hears ----------------------------------------------------------------------------------------

    def _next_due_ns(self) -> int:
        """When the loop wants to go on at the latest, whatever comes; its lateness then is loop lag, too."""
        now_ns = self._clock()
        if self._local or len(self._mail):
            return now_ns
        first_ns = self._timers.next_ns()
        return min(self._heartbeat_ns, now_ns + IDLE_TURN_NS, *(() if first_ns is None else (first_ns,)))

    def _hear(self, ready: dict[zmq.Socket[bytes], int]) -> None:
        """One turn: bounded work from every source, clients first: one of them may want to stop."""
        if self._sockets.gate is not None:
            self._sockets.gate.answer(MOST_PER_TURN)
            for user in self._sockets.drop_revoked():
                self._handle(heard_of.KeyRevoked(user), self._clock())
        if self._sockets.control in ready:
            arrived_ns = self._clock()
            for peer, frames in self._sockets.receive(CONTROL_PER_TURN):
                self._handle(_read(peer, frames), arrived_ns)
        for posted_ns, item in self._mail.take(MOST_PER_TURN):
            self._handle(self._admitted(item), posted_ns)
        for socket in (self._sockets.events, self._sockets.frames):
            if socket in ready:
                self._sockets.hear_subscriptions(socket, MOST_PER_TURN)
        now_ns = self._clock()
        for due_ns, timer in self._timers.take_due(now_ns, MOST_PER_TURN):
            self._handle(heard_of.TimerFired(timer), due_ns)
        if now_ns >= self._heartbeat_ns:
            self._handle(self._beat(), self._heartbeat_ns)
            self._heartbeat_ns = max(self._heartbeat_ns + HEARTBEAT_NS, now_ns)
        while self._local and self._exit is None:
            self._handle(self._local.popleft(), self._clock())

    def _from_hardware(self, event: HardwareEvent) -> None:
        """Take an event of the hardware thread, on that thread; frames that nobody has time for are counted as lost."""
        if isinstance(event, FrameTaken) and event.frame.streamed:
            if self._frames_posted - self._frames_taken >= FRAMES_WAITING:
                self._frames_dropped += 1 + event.frame.lost_before
                return
            if self._frames_dropped:
                stamped = replace(event.frame, lost_before=event.frame.lost_before + self._frames_dropped)
                event, self._frames_dropped = FrameTaken(stamped), 0
            self._frames_posted += 1
        # In this order: the loop never hears of an acquisition's end before the step that it ended with.
        self._mail.post(self._acquisitions.acquired(event) or event)
        self._acquisitions.hear(event)

    def _admitted(self, item: Item) -> Input:
        """Turn a posted item into an input, keeping a frame's pixels, and a measurement's parts while it is handled."""
        acquired = None
        if isinstance(item, AcquiredFrame):
            acquired = item.acquired
            item = item.taken
        match item:
            case FrameTaken():
                if item.frame.streamed:
                    self._frames_taken += 1
                self._pixels[frame_id(item.frame)] = _contiguous(item.frame.frame.pixels)
            case Opened():
                self._camera = item.camera
            case heard_of.LogWritten():
                self._log_feed.taken()
            case heard_of.RecordingEnded():
                self._film = None
            case MeasuredWithParts():
                self._parts = item.parts
                return item.ended
        if isinstance(item, HardwareEvent):
            return translate(item, self._camera, acquired)
        return item

    def _beat(self) -> Input:
        lags_ms = np.asarray(self._lags_ns or [0], float) / 1e6
        self._lags_ns.clear()
        p50, p99 = np.percentile(lags_ms, (50, 99))
        journal, film = self._journal, self._film
        self._acquisitions.beat()
        progress: heard_of.RecordingProgress | None = None
        if film is not None:
            progress = heard_of.RecordingProgress(film.recorded_seq, film.waiting(), film.frames, film.skipped)
        return heard_of.HeartbeatDue(
            loop_lag_ms={"p50": float(p50), "p99": float(p99), "max": float(lags_ms.max())},
            queues={
                "loop": len(self._mail),
                "frames": self._frames_posted - self._frames_taken,
                "hardware": self._hardware.waiting(),
                **self._engines.queues(),
                "journal": journal.waiting() if journal else 0,
            },
            recorded_seq=journal.recorded_seq if journal else None,
            durable_seq=journal.durable_seq if journal else None,
            unrecorded=journal.unrecorded if journal else 0,
            disk_free_mb=journal.disk_free_mb if journal else None,
            recording=progress,
            hardware_silent_ms=self._hardware.silent_ns() / 1e6,
        )

    # --- what it does -----------------------------------------------------------------------------------------

    def _handle(self, heard: Input, since_ns: int) -> None:
        now_ns = self._clock()
        self._lags_ns.append(max(0, now_ns - since_ns))
        self._number += 1
        now = Now(self._number, now_ns, datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"))
        try:
            self._state, effects = step(self._state, heard, now)
        except Exception:
            if self._journal is not None:
                self._journal.record(heard, now, (), self._state)  # a replay will fail in the same way
            raise
        if self._film is not None:
            # Before the effects: one of them may drop the pixels, another one end the recording.
            pixels = self._pixels.get(heard.frame.frame) if isinstance(heard, heard_of.FrameAdmitted) else None
            self._film.record(heard, now, effects, self._state, pixels)
        for effect in effects:
            self._perform(effect)
        self._parts = ()
        if self._journal is not None:
            self._journal.record(heard, now, effects, self._state)
        if self._watch is not None:
            self._watch(heard, now, effects)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case to_do.Publish():
                self._sockets.publish(effect.topic, dumps(effect.message))
                if effect.topic in (ALARM_TOPIC, STATE_TOPIC):
                    _tell(effect)
            case to_do.PublishFrame():
                if self._sockets.wants_frames(effect.topic):
                    self._sockets.publish_with(effect.topic, dumps(effect.message), [self._pixels[effect.frame]])
            case to_do.PublishParts():
                if self._sockets.wants_frames(effect.topic):
                    self._sockets.publish_with(effect.topic, dumps(effect.message), self._parts)
            case to_do.SendReply():
                pixels = None if effect.frame is None else self._pixels[effect.frame]
                self._sockets.reply(effect.peer, dumps(effect.message), pixels)
            case to_do.Submit():
                try:
                    self._hardware.submit(effect.command)
                except HardwareBusyError as error:
                    self._local.append(heard_of.CommandEnded(effect.command.id, error=error_body(error)))
            case to_do.CancelCommand():
                self._hardware.cancel(effect.command)
            case to_do.HaltStage():
                self._hardware.stop()
            case to_do.AllowMotion():
                self._hardware.resume()
            case to_do.Offer():
                self._engines.offer(effect.engine, effect.frame, self._pixels[effect.frame], effect.options)
            case to_do.Measure():
                frames = {frame: self._pixels[frame] for frame in (*effect.earlier, effect.frame)}
                self._engines.measure(effect.request, effect.engine, frames, effect.options)
            case to_do.Forget():
                self._pixels.pop(effect.frame, None)
            case to_do.SetTimer():
                self._timers.set(effect.timer, effect.due_ns)
            case to_do.ClearTimer():
                self._timers.clear(effect.timer)
            case to_do.StartRecording():
                self._record(effect)
            case to_do.StopRecording():
                if self._film is not None:
                    self._film.end(effect.reason)
            case (
                to_do.CheckSequence()
                | to_do.StartAcquisition()
                | to_do.SteerAcquisition()
                | to_do.InjectEvents()
                | to_do.InjectSequence()
                | to_do.AnswerFocus()
                | to_do.CancelAcquisition()
            ):
                self._acquisitions.perform(effect, self._state)
            case to_do.CloseHardware():
                self._hardware.close()
            case to_do.Exit():
                self._exit = effect.code

    def _record(self, wanted: to_do.StartRecording) -> None:
        if self._studio is None:
            detail = "this daemon was put together without recordings"
            self._local.append(heard_of.RecordingEnded(wanted.name, detail, True, 0, 0, 0))
            return
        self._film = self._studio(wanted, self._state, self._number, self._mail.post)
        self._film.start()


def _contiguous(pixels: Pixels) -> Pixels:
    """The same pixels, rows first in memory, as they go over the wire."""
    return pixels if pixels.flags.c_contiguous else pixels.copy(order="C")


def _read(peer: heard_of.Peer, frames: Sequence[bytes]) -> Input:
    try:
        return heard_of.RequestReceived(peer, read_request(frames))
    except BadRequestError as error:
        return heard_of.RequestRefused(peer, error.cause, error.body)


def _tell(event: to_do.Publish) -> None:
    """Write alarms and changes of state to the log."""
    data = event.message["data"]
    if not isinstance(data, dict):
        return
    if event.topic == ALARM_TOPIC:
        log.warning("alarm %s: %s", data["code"], data["detail"], extra=NOT_AGAIN)
    else:
        log.info("state %s, z %s µm%s", data["state"], data["z_um"], f": {data['reason']}" if data["reason"] else "")


__all__ = ["Loop"]
