"""What the hardware thread does with the stage."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.drivers.commands import HardwareEvent, MoveTo, PositionRead, StageFailed
from microscoped.drivers.errors import DriverError
from microscoped.drivers.motion import Arrival, move

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from microscoped.drivers.protocols import Clock, FocusStage
    from microscoped.drivers.safety import MotionSettings


class StageWork:
    """Jobs on the stage, and what is known of its position.

    Parameters
    ----------
    stage, motion
        The stage and the rules of its motion.
    read_interval_ns
        How often the resting stage is read.
    clock, stopped, post
        Monotonic nanoseconds; whether ``stop`` was asked for; hears what happens.
    """

    def __init__(
        self,
        stage: FocusStage,
        motion: MotionSettings,
        read_interval_ns: int,
        *,
        clock: Clock,
        stopped: Callable[[], bool],
        post: Callable[[HardwareEvent], None],
    ) -> None:
        self._stage = stage
        self._motion = motion
        self._read_interval_ns = read_interval_ns
        self._clock = clock
        self._stopped = stopped
        self._post = post
        self._trace: deque[tuple[int, float]] = deque(maxlen=256)
        self._under_way = False
        self._rested_ns = 0
        self._read_ns = clock()
        self.z_um = stage.position_um()

    def move(self, command: MoveTo) -> Generator[int, None, Arrival]:
        """Move the stage (see `microscoped.drivers.motion.move`)."""
        motion = replace(self._motion, overshoot_um=0.0) if command.direct else self._motion
        self._under_way = True
        try:
            arrival = yield from move(
                self._stage,
                motion,
                command.z_um,
                command.origin,
                clock=self._clock,
                stopped=self._stopped,
                trace=self._note,
            )
        except DriverError:
            # Where a refused, stopped or failed move left the stage is worth a read-back soon.
            self._read_ns = 0
            raise
        finally:
            self._under_way = False
            self._rested_ns = self._clock()
        self._rested_ns = arrival.arrived_ns
        return arrival

    def position(self) -> Generator[int, None, float]:
        """Read the stage; return z in µm."""
        yield 0
        self._note(self._clock(), self._stage.position_um())
        return self.z_um

    def read_resting(self) -> None:
        """Ask a resting stage now and then where it is: somebody may turn the knob."""
        now = self._clock()
        if self._under_way or now - self._read_ns < self._read_interval_ns:
            return
        known_um, expected = self.z_um, self._read_ns == 0
        self._read_ns = now
        try:
            self._note(now, self._stage.position_um())
        except DriverError as error:
            self._post(StageFailed(error))
            return
        if self.z_um != known_um:
            moved = not expected and abs(self.z_um - known_um) > self._motion.arrival_tolerance_um
            if moved:
                self._rested_ns = now
            self._post(PositionRead(self.z_um, moved))

    def rested_since(self, t_ns: int) -> bool:
        """Whether the stage has rested, settled, from `t_ns` until now."""
        return not self._under_way and t_ns >= self._rested_ns

    def z_at(self, t_ns: int) -> float:
        """Interpolate the read-backs linearly at `t_ns`, in µm; the nearest one outside them."""
        if not self._trace:
            return self.z_um
        after = self._trace[-1]
        for before in reversed(self._trace):
            if before[0] <= t_ns:
                span_ns = after[0] - before[0]
                part = min(1.0, (t_ns - before[0]) / span_ns) if span_ns > 0 else 0.0
                return before[1] + (after[1] - before[1]) * part
            after = before
        return after[1]

    def _note(self, t_ns: int, z_um: float) -> None:
        self._trace.append((t_ns, z_um))
        self.z_um = z_um
        self._read_ns = t_ns


__all__ = ["StageWork"]
