"""The steps of an acquisition on the hardware: each is submitted to the hardware thread with a deadline and awaited."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from microscoped.daemon.acquire._answers import Answers, Ids
from microscoped.daemon.acquire.errors import CameraStreamsError, StaleFrameError, StepCancelledError
from microscoped.drivers.commands import Configure, MoveTo, MoveXY, Result, SelectPreset, Snap, StampedFrame
from microscoped.drivers.errors import DriverError, MotionStoppedError
from microscoped.drivers.motion import Arrival, XYArrival
from microscoped.drivers.protocols import CameraSettings
from microscoped.drivers.safety import Origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.drivers.commands import Command, HardwareEvent
    from microscoped.drivers.protocols import Clock

V = TypeVar("V")


class Hardware(Protocol):
    """What the steps need of the hardware thread (`microscoped.drivers.hardware.HardwareThread`)."""

    def submit(self, command: Command) -> None:
        """Queue a command; its `Result` is told to `HardwareSteps.hear`.

        Raises
        ------
        HardwareBusyError
            Too many wait already.
        """
        ...

    def cancel(self, command_id: str) -> None:
        """End a command early: a move under way halts, one that waits never begins."""
        ...


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the steps may take, in seconds, each from its submission to its result.

    Parameters
    ----------
    begin_s
        How long a step may wait behind other commands before it begins; then it is never executed.
    move_s, move_xy_s, preset_s, configure_s
        The steps themselves. The driver layer has its own deadlines for arrival, which should be shorter, so that the
        better error comes first.
    frame_s
        A snap, beyond twice its exposure.
    grace_s
        How long after a cancellation a step under way is awaited.
    """

    begin_s: float = 2.0
    move_s: float = 30.0
    move_xy_s: float = 60.0
    preset_s: float = 20.0
    configure_s: float = 5.0
    frame_s: float = 5.0
    grace_s: float = 1.0


class HardwareSteps:
    """Does one step after another; raises what the driver layer says.

    Used by one thread; `hear` and `interrupt` by any.

    Parameters
    ----------
    hardware
        The hardware thread.
    name
        Begins the ids of the commands; unique within the session.
    deadlines
        How long each step may take.
    clock
        The hardware thread's clock.
    """

    def __init__(
        self,
        hardware: Hardware,
        name: str = "acquire",
        deadlines: Deadlines | None = None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self._hardware = hardware
        self._deadlines = deadlines or Deadlines()
        self._clock = clock
        self._ids = Ids(name)
        self._answers: Answers[Result] = Answers(clock, self._deadlines.grace_s)
        self._arrived_ns = 0
        self._serial = 0

    @property
    def interrupted(self) -> bool:
        """Whether the acquisition was cancelled."""
        return self._answers.interrupted

    def owns(self, command: str) -> bool:
        """Whether a command is the step under way. From any thread."""
        return command in self._answers.outstanding()

    def hear(self, event: HardwareEvent) -> bool:
        """Hear what the hardware thread posts; return whether it ends one of these steps. From any thread."""
        return isinstance(event, Result) and self._answers.give(event.command.id, event)

    def interrupt(self) -> None:
        """Cancel: a move under way halts, what waits never begins, an exposure is awaited for the grace only."""
        self._answers.interrupt()
        for command in self._answers.outstanding():
            self._hardware.cancel(command)

    def move_z(self, z_um: float) -> Arrival:
        """Move the focus stage; the safety layer checks the limits again.

        Raises
        ------
        DriverError
            The move was refused or failed.
        StepTimeoutError, StepCancelledError
            As everywhere here.
        """
        arrival = self._do(
            lambda key, due: MoveTo(id=key, not_after_ns=due, z_um=z_um, origin=Origin.AUTOMATIC),
            Arrival,
            f"the move to z = {z_um:g} µm",
            self._deadlines.move_s,
        )
        self._arrived_ns = max(self._arrived_ns, arrival.arrived_ns)
        return arrival

    def move_xy(self, x_um: float, y_um: float) -> XYArrival:
        """Move the stage in the plane; raises as `move_z`."""
        arrival = self._do(
            lambda key, due: MoveXY(id=key, not_after_ns=due, x_um=x_um, y_um=y_um),
            XYArrival,
            f"the move to ({x_um:g}, {y_um:g}) µm",
            self._deadlines.move_xy_s,
        )
        self._arrived_ns = max(self._arrived_ns, arrival.arrived_ns)
        return arrival

    def select(self, group: str, preset: str) -> None:
        """Select a preset and wait for its devices; raises as `move_z`."""
        self._do(
            lambda key, due: SelectPreset(id=key, not_after_ns=due, group=group, preset=preset),
            type(None),
            f"the preset {preset!r} of {group!r}",
            self._deadlines.preset_s,
        )
        # Light and filters have settled only now: exposures that began earlier do not count.
        self._arrived_ns = max(self._arrived_ns, self._clock())

    def expose_for(self, exposure_ms: float) -> float:
        """Set the exposure; return what the camera reads back, in ms. Raises as `move_z`."""
        settings = self._do(
            lambda key, due: Configure(id=key, not_after_ns=due, change=CameraSettings(exposure_ms=exposure_ms)),
            CameraSettings,
            f"the exposure of {exposure_ms:g} ms",
            self._deadlines.configure_s,
        )
        return exposure_ms if settings.exposure_ms is None else settings.exposure_ms

    def exposure_ms(self) -> float:
        """Return the exposure that the camera reads back, in ms. Raises as `move_z`."""
        settings = self._do(
            lambda key, due: Configure(id=key, not_after_ns=due, change=CameraSettings()),
            CameraSettings,
            "reading the exposure",
            self._deadlines.configure_s,
        )
        return settings.exposure_ms or 0.0

    def snap(self, exposure_ms: float) -> StampedFrame:
        """Take a frame.

        Raises
        ------
        DriverError, StepTimeoutError, StepCancelledError
            As `move_z`.
        CameraStreamsError
            The camera streams.
        StaleFrameError
            The frame was exposed before the stages had arrived, while they moved, or was given out before.
        """
        frame = self._do(
            lambda key, due: Snap(id=key, not_after_ns=due),
            StampedFrame,
            f"the exposure of {exposure_ms:g} ms",
            self._deadlines.frame_s + 2e-3 * exposure_ms,
        )
        if frame.streamed:
            raise CameraStreamsError(
                "the camera streams, so its light is not the acquisition's own; stop the stream first"
            )
        if frame.serial <= self._serial:
            raise StaleFrameError(
                f"the camera's frame {frame.serial} was given out before (the last was {self._serial}); "
                "check the driver's buffer"
            )
        if frame.moving or frame.frame.earliest_start_ns < self._arrived_ns:
            raise StaleFrameError(
                f"the camera's frame {frame.serial} was exposed before the stages had arrived and settled; check the "
                "driver's buffer and stage.settle_ms"
            )
        self._serial = frame.serial
        return frame

    def _do(self, make: Callable[[str, int], Command], kind: type[V], what: str, timeout_s: float) -> V:
        """Submit a command and await its value."""
        key = self._ids()
        self._answers.expect(key)
        # Only now: what is expected when a cancellation comes is cancelled with it.
        if self.interrupted:
            self._answers.forget(key)
            raise StepCancelledError(f"cancelled before {what}")
        timeout_s += self._deadlines.begin_s
        command = make(key, self._clock() + int(self._deadlines.begin_s * 1e9))
        try:
            self._hardware.submit(command)
        except DriverError:
            self._answers.forget(key)
            raise
        result = self._answers.wait(key, what, timeout_s)
        if result.error is not None:
            if self._answers.interrupted and isinstance(result.error, MotionStoppedError):
                raise StepCancelledError(f"cancelled during {what}; the stage stays where it is") from result.error
            raise result.error
        if not isinstance(result.value, kind):
            raise StaleFrameError(f"{what} ended without its result: the driver returned {result.value!r}")
        return result.value


__all__ = ["Deadlines", "Hardware", "HardwareSteps"]
