"""The hardware thread: the only one that talks to camera and stage.

One thread, three lanes of work (stage, camera, queries) that advance in turns, so that a long move holds up neither
the stream nor the next camera command. No job blocks longer than one driver call: it yields instead of waiting. Beside
it the stop lane may halt the stage, and nothing else.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from microscoped.drivers._accessory_work import AccessoryWork
from microscoped.drivers._camera_work import CameraWork
from microscoped.drivers._stage_work import StageWork
from microscoped.drivers._stop_lane import StopLane
from microscoped.drivers.accessories import HasPresets, HasXYStage
from microscoped.drivers.commands import (
    Closed,
    Command,
    Configure,
    HardwareEvent,
    MoveTo,
    MoveXY,
    Opened,
    OpenFailed,
    ReadPosition,
    Result,
    SelectPreset,
    Snap,
    StampedFrame,
    StartStream,
    StepField,
    StopStream,
)
from microscoped.drivers.errors import (
    CommandExpiredError,
    ConnectionFailedError,
    DriverError,
    HardwareBusyError,
    MotionStoppedError,
    SettingError,
)
from microscoped.drivers.motion import Arrival, XYArrival
from microscoped.drivers.protocols import Camera, CameraSettings, Clock, FieldStepper, FocusDirection, Microscope
from microscoped.drivers.safety import XYMotionSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.drivers.safety import MotionSettings

Job: TypeAlias = Generator[int, None, Arrival | XYArrival | StampedFrame | CameraSettings | float | None]
"""Yields nanoseconds to wait before it wants to go on; returns the command's value."""


@dataclass(frozen=True, slots=True)
class HardwareSettings:
    """How the hardware thread works.

    Parameters
    ----------
    motion
        The rules of motion.
    camera
        What the camera is told when it is opened; what it does not have is passed over.
    fps
        Exposures of a stream per second until `Configure` changes it; ``None``: as the camera makes them by itself.
    long_exposure_ms
        A snap longer than this runs as a sequence of one frame, so that it never blocks the thread.
    frame_allowance_s
        How long after its exposure a frame may take to arrive.
    position_interval_s
        How often a resting stage is read.
    queue_length
        How many commands may wait.
    xy
        The rules of motion in the plane; without limits nothing moves there.
    preset_timeout_s
        How long the devices of a preset may take.
    """

    motion: MotionSettings
    camera: CameraSettings = field(default_factory=CameraSettings)
    fps: float | None = None
    long_exposure_ms: float = 50.0
    frame_allowance_s: float = 2.0
    position_interval_s: float = 0.5
    queue_length: int = 64
    xy: XYMotionSettings = field(default_factory=XYMotionSettings)
    preset_timeout_s: float = 10.0


@dataclass(slots=True)
class _Lane:
    """Work of one kind: at most one job at a time, the rest waits in order."""

    waiting: deque[tuple[Command, int]] = field(default_factory=deque)
    command: Command | None = None
    job: Job | None = None
    resume_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Devices:
    """The work on an open microscope."""

    camera: CameraWork
    stage: StageWork
    accessories: AccessoryWork


def _lane_of(command: Command) -> str:
    """A move, the camera's work, and a question about z never wait for each other."""
    match command:
        case MoveTo() | MoveXY():
            return "stage"
        case ReadPosition():
            return "query"
        case _:
            return "camera"


class HardwareThread:
    """Owns a microscope on a thread of its own.

    Parameters
    ----------
    microscope
        Opened and closed on the thread.
    settings
        See `HardwareSettings`.
    post
        Called on the hardware thread or the stop lane with each `HardwareEvent`; must return at once.
    clock
        Monotonic nanoseconds.
    """

    def __init__(
        self,
        microscope: Microscope,
        settings: HardwareSettings,
        post: Callable[[HardwareEvent], None],
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self._microscope = microscope
        self._settings = settings
        self._post = post
        self._clock = clock
        self._inbox: queue.Queue[tuple[Command, int]] = queue.Queue(settings.queue_length)
        self._epoch = 0
        self._stopped = threading.Event()
        self._cancelled: set[str] = set()
        self._closing = threading.Event()
        self._stop_lane = StopLane(post, clock)
        self._lanes = {"stage": _Lane(), "camera": _Lane(), "query": _Lane()}
        self._more_frames = False
        self._turned_ns = 0
        self._thread = threading.Thread(target=self._run, name="hardware", daemon=True)

    def start(self) -> None:
        """Start the thread and open the microscope: `Opened` or `OpenFailed` follows."""
        self._thread.start()

    def submit(self, command: Command) -> None:
        """Queue a command; a `Result` follows.

        Raises
        ------
        HardwareBusyError
            Too many commands wait already; this one was not accepted.
        """
        try:
            self._inbox.put_nowait((command, self._epoch))
        except queue.Full:
            raise HardwareBusyError(
                f"{self._settings.queue_length} hardware commands wait already; try again later"
            ) from None

    def waiting(self) -> int:
        """How many commands wait to be taken up."""
        return self._inbox.qsize()

    def silent_ns(self) -> int:
        """How long ago the thread last came back from a driver; 0 before it has opened the microscope."""
        return self._clock() - self._turned_ns if self._turned_ns else 0

    def stop(self) -> None:
        """Halt the stage and disable motion until `resume`; a `StopDone` follows. From any thread, at any time."""
        self._epoch += 1
        self._stopped.set()
        self._stop_lane.trigger()

    def resume(self) -> None:
        """Allow motion again. Moves that waited when ``stop`` came stay refused."""
        self._stopped.clear()

    def cancel(self, command_id: str) -> None:
        """End a command early: a move under way halts, one that waits never begins. Its `Result` is an error."""
        self._cancelled.add(command_id)

    def close(self) -> None:
        """Ask the thread to close the hardware and end; `Closed` follows."""
        self._closing.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; return whether it ended."""
        self._stop_lane.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with self._microscope as microscope:
                devices = self._open(microscope)
                try:
                    while not self._closing.is_set():
                        self._turn(devices)
                finally:
                    self._stop_lane.release()
                    devices.camera.close()
                    self._abandon()
        except DriverError as error:
            # Commands answer for their own failures: this device failed to open, or to say what it is.
            self._post(OpenFailed(error))
            return
        except BaseException:  # noqa: BLE001 - the thread's last word: a fault in our own code must reach the loop
            self._post(Closed(traceback.format_exc()))
            return
        self._post(Closed())

    def _open(self, microscope: Microscope) -> _Devices:
        motion = self._settings.motion
        if motion.focus_direction is FocusDirection.UNKNOWN:
            # The configuration does not say; the driver may.
            motion = replace(motion, focus_direction=microscope.stage.focus_direction())
        stage = StageWork(
            microscope.stage,
            motion,
            int(self._settings.position_interval_s * 1e9),
            clock=self._clock,
            stopped=self._stage_must_halt,
            post=self._post,
        )
        try:
            _prepare(microscope.camera, self._settings.camera)
            camera = CameraWork(
                microscope.camera,
                stage,
                long_exposure_ms=self._settings.long_exposure_ms,
                frame_allowance_ns=int(self._settings.frame_allowance_s * 1e9),
                fps=self._settings.fps,
                clock=self._clock,
                post=self._post,
            )
        except SettingError as error:
            raise ConnectionFailedError(f"{error} (in section camera of the configuration)") from error
        accessories = AccessoryWork(
            microscope.xy_stage() if isinstance(microscope, HasXYStage) else None,
            microscope.presets() if isinstance(microscope, HasPresets) else None,
            camera,
            self._settings.xy,
            int(self._settings.preset_timeout_s * 1e9),
            clock=self._clock,
            stopped=self._stage_must_halt,
        )
        opened = Opened(
            camera=microscope.camera.info(),
            settings=microscope.camera.settings(),
            stage_name=microscope.stage.name,
            z_um=stage.z_um,
            focus_direction=motion.focus_direction,
            description=dict(microscope.describe()),
            xy_um=accessories.position_um(),
            presets=accessories.groups(),
        )
        self._stop_lane.adopt(microscope.stage, *(() if accessories.xy is None else (accessories.xy,)))
        self._post(opened)
        return _Devices(camera, stage, accessories)

    def _stage_must_halt(self) -> bool:
        command = self._lanes["stage"].command
        return self._stopped.is_set() or (command is not None and command.id in self._cancelled)

    def _turn(self, devices: _Devices) -> None:
        self._receive(0 if self._more_frames else self._wait_ns(devices.camera.wait_ns()))
        self._more_frames = devices.camera.pump()
        for lane in self._lanes.values():
            self._advance(lane, devices)
        devices.stage.read_resting()
        self._turned_ns = self._clock()

    def _wait_ns(self, wait: int) -> int:
        """How long this turn may sleep for the next command, where frames allow so much."""
        now = self._clock()
        for lane in self._lanes.values():
            if lane.job is not None:
                wait = min(wait, max(0, lane.resume_ns - now))
            elif lane.waiting:
                wait = 0
        return wait

    def _receive(self, wait_ns: int) -> None:
        """Take commands from the inbox into their lanes; wait for the first one at most `wait_ns`."""
        try:
            item = self._inbox.get(timeout=wait_ns / 1e9) if wait_ns > 0 else self._inbox.get_nowait()
            while True:
                self._lanes[_lane_of(item[0])].waiting.append(item)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _advance(self, lane: _Lane, devices: _Devices) -> None:
        """Begin the lane's next command, or go on with the one under way."""
        if lane.job is None:
            if not lane.waiting:
                return
            command, epoch = lane.waiting.popleft()
            if (refusal := self._refusal(command, epoch)) is not None:
                self._post(Result(command, error=refusal))
                return
            lane.command, lane.job = command, self._job(command, devices)
        elif self._clock() < lane.resume_ns and not self._stage_must_halt():
            return
        assert lane.command is not None  # noqa: S101 - a job has its command; narrows the type
        try:
            lane.resume_ns = self._clock() + next(lane.job)
            return
        except StopIteration as end:
            result = Result(lane.command, value=end.value)
        except DriverError as error:
            result = Result(lane.command, error=error)
        self._cancelled.discard(lane.command.id)
        lane.command = lane.job = None
        self._post(result)

    def _refusal(self, command: Command, epoch: int) -> DriverError | None:
        if command.id in self._cancelled:
            self._cancelled.discard(command.id)
            return MotionStoppedError("cancelled before it began; nothing was done")
        if isinstance(command, MoveTo | MoveXY) and (self._stopped.is_set() or epoch != self._epoch):
            return MotionStoppedError("stopped before the move began; nothing moved")
        if command.not_after_ns is not None and self._clock() > command.not_after_ns:
            return CommandExpiredError("the deadline passed before the command began; it was not executed")
        return None

    def _job(self, command: Command, devices: _Devices) -> Job:
        camera, stage = devices.camera, devices.stage
        match command:
            case MoveTo():
                return stage.move(command)
            case MoveXY():
                return devices.accessories.move(command)
            case SelectPreset():
                return devices.accessories.select(command)
            case ReadPosition():
                return stage.position()
            case Snap():
                return camera.snap(command)
            case Configure():
                return camera.configure(command)
            case StartStream():
                return camera.start_stream()
            case StopStream():
                return camera.stop_stream()
            case StepField():
                return self._step_field()
            case _:
                raise TypeError(f"no job for {type(command).__name__}")

    def _step_field(self) -> Job:
        """Show another field, where the microscope can."""
        yield 0
        microscope = self._microscope
        if not isinstance(microscope, FieldStepper):
            return 0.0
        return float(microscope.step_field())

    def _abandon(self) -> None:
        """Answer every command that will not run any more."""
        self._receive(0)
        for lane in self._lanes.values():
            if lane.job is not None:
                lane.job.close()
            for command in (lane.command, *(command for command, _ in lane.waiting)):
                if command is not None:
                    self._post(Result(command, error=DriverError("the hardware is closing")))


def _prepare(camera: Camera, wanted: CameraSettings) -> None:
    """Give a fresh camera its settings. Automatic functions that it does not have need no switching off.

    Raises
    ------
    SettingError
        The camera does not take a setting.
    """
    has = camera.settings()
    automatic = ("auto_exposure", "auto_gain", "auto_white_balance")
    spare = {name: None for name in automatic if getattr(has, name) is None and not getattr(wanted, name)}
    camera.configure(replace(wanted, **spare))


__all__ = ["HardwareSettings", "HardwareThread"]
