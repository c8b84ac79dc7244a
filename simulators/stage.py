"""A focus stage whose trajectory is a formula, so that the true focus is known at every moment.

The motor follows a ramp of constant speed through a first-order lag (time constant τ); behind the encoder come play in
the thread (backlash), a positioning error drawn for each move, and drift. Nothing is integrated in steps: the answer
for a time does not depend on who asked when.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.drivers.errors import StageError
from microscoped.drivers.protocols import FocusDirection
from microscoped.simulators._motion import Segment
from microscoped.simulators.faults import Faults

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Clock

HISTORY = 4096
"""So many past moves are remembered; frames are rendered after their exposure and ask for the past."""


@dataclass(frozen=True, slots=True)
class StageModel:
    """What a stage can do, and how badly.

    Parameters
    ----------
    speed_um_s
        Speed of the ramp.
    settle_ms
        Time constant τ of the lag with which the motor follows the ramp; 0 for none. The stage says that it is
        ready when the ramp has ended, while the lag still decays: arrival must be judged by read-back.
    jitter_um
        Standard deviation of the positioning error of each move, which the encoder does not see.
    backlash_um
        Play between encoder and optics. Rising moves push the optics along; after a reversal the motor travels this
        far before the optics follow.
    resolution_um
        Targets and readings are multiples of this.
    drift_um_s
        Drift of the specimen against the objective, in optical micrometres, unseen by the encoder.
    low_um, high_um
        Mechanical range in the stage's own coordinate.
    start_um
        Position when the simulation begins.
    focus_um
        Stage coordinate at which the optical position is 0.
    focus_per_stage
        Optical micrometres per micrometre of stage. Negative for a stage that counts the other way; about n for a
        dry objective before a scene that counts micrometres within a medium of index n.
    focus_direction
        What the driver says about the direction; drivers may say ``UNKNOWN``.

    Raises
    ------
    ValueError
        Where the figures contradict each other.
    """

    speed_um_s: float = 500.0
    settle_ms: float = 5.0
    jitter_um: float = 0.0
    backlash_um: float = 0.0
    resolution_um: float = 0.01
    drift_um_s: float = 0.0
    low_um: float = -300.0
    high_um: float = 300.0
    start_um: float = 0.0
    focus_um: float = 0.0
    focus_per_stage: float = 1.0
    focus_direction: FocusDirection = FocusDirection.TOWARD_SAMPLE

    def __post_init__(self) -> None:
        if not self.speed_um_s > 0 or not self.resolution_um > 0:
            raise ValueError(f"speed {self.speed_um_s} µm/s and resolution {self.resolution_um} µm must be positive")
        if min(self.settle_ms, self.jitter_um, self.backlash_um) < 0:
            raise ValueError("settling time, jitter and backlash cannot be negative")
        if not self.low_um <= self.start_um <= self.high_um:
            raise ValueError(f"start {self.start_um} µm lies outside the range {self.low_um} … {self.high_um} µm")
        if self.focus_per_stage == 0:
            raise ValueError("focus_per_stage is 0: the stage would not focus")


class SimulatedStage:
    """A focus stage; satisfies ``FocusStage``.

    All methods may be called from any thread.

    Parameters
    ----------
    model
        What the stage can do.
    clock
        Nanoseconds.
    seed
        Seeds the positioning errors: the k-th move always gets the same one.
    faults
        Faults to obey; none by default.
    name
        The device's label.
    """

    def __init__(
        self,
        model: StageModel | None = None,
        *,
        clock: Clock = time.perf_counter_ns,
        seed: int = 0,
        faults: Faults | None = None,
        name: str = "Z",
    ) -> None:
        self.model = model if model is not None else StageModel()
        self._clock = clock
        self._faults = faults if faults is not None else Faults()
        self._name = name
        self._rng = np.random.default_rng(seed)
        self._lock = threading.RLock()
        self._fault_drift_um_s = 0.0
        start = self._quantised(self.model.start_um)
        self._segments = [
            Segment(
                start_ns=clock(),
                ramp_um=start,
                lag_um=0.0,
                target_um=start,
                speed_um_s=self.model.speed_um_s,
                settle_s=self.model.settle_ms / 1e3,
                play_um=start,
                jitter_from_um=0.0,
                jitter_to_um=0.0,
                drift_um=0.0,
                drift_um_s=self.model.drift_um_s,
            )
        ]

    @property
    def name(self) -> str:
        """The device's label."""
        return self._name

    def focus_direction(self) -> FocusDirection:
        """Return what the driver says about the direction."""
        return self.model.focus_direction

    def position_um(self) -> float:
        """Return what the encoder reads: with lag, without backlash, positioning error and drift.

        Raises
        ------
        StageError
            An injected fault.
        """
        with self._lock:
            self._fail_if_injected()
            now_ns = self._notice_faults()
            segment = self._segments[-1]
            return self._quantised(segment.motor_at(segment.seconds(now_ns)))

    def move_to(self, z_um: float) -> None:
        """Begin to move; returns at once. A new command replaces the one in progress.

        Raises
        ------
        StageError
            The target lies outside the mechanical range, or an injected fault.
        """
        with self._lock:
            self._fail_if_injected()
            now_ns = self._notice_faults()
            if not self.model.low_um <= z_um <= self.model.high_um:  # also refuses NaN
                raise StageError(
                    f"{self._name}: position {z_um} µm is out of range ({self.model.low_um} … {self.model.high_um} µm)"
                )
            if self._faults.stage_stuck:
                return
            target = self._quantised(z_um)
            moved = target != self._segments[-1].target_um
            # Drawn for each command, so that the k-th error does not depend on the targets before it.
            jitter = float(self._rng.normal(0.0, 1.0)) * self.model.jitter_um
            self._begin(now_ns, target_um=target, jitter_um=jitter if moved else None)

    def is_busy(self) -> bool:
        """Return whether the ramp runs; the lag may still settle after it.

        Raises
        ------
        StageError
            An injected fault.
        """
        with self._lock:
            self._fail_if_injected()
            now_ns = self._notice_faults()
            segment = self._segments[-1]
            return not self._faults.busy_lies and segment.seconds(now_ns) < segment.duration_s

    def stop(self) -> None:
        """Brake where the motor is. Any thread, any time."""
        with self._lock:
            self._halt(self._clock())
            hang_s, self._faults.stop_hang_s = self._faults.stop_hang_s, 0.0
        if hang_s > 0:
            time.sleep(hang_s)

    def optical_z_um(self, t_ns: int) -> float:
        """Return the true optical position at a time: the truth that no reading tells.

        Parameters
        ----------
        t_ns
            A time of this stage's clock; the last few thousand moves are remembered.
        """
        with self._lock:
            self._notice_faults()
            k = bisect_right(self._segments, t_ns, key=lambda s: s.start_ns) - 1
            segment = self._segments[max(0, k)]
            t_s = segment.seconds(t_ns)
            mechanical = segment.played_at(t_s, self.model.backlash_um) + segment.jitter_at(t_s)
            drift = segment.drift_um + segment.drift_um_s * t_s
            return (mechanical - self.model.focus_um) * self.model.focus_per_stage + drift

    def _fail_if_injected(self) -> None:
        if self._faults.stage_failures > 0:
            self._faults.stage_failures -= 1
            raise StageError(f"{self._name}: the controller does not answer (simulated)")

    def _quantised(self, z_um: float) -> float:
        step = self.model.resolution_um
        return round(round(z_um / step) * step, 9)

    def _notice_faults(self) -> int:
        """Let faults that were switched since the last call act from now on; return the time."""
        now_ns = self._clock()
        if self._faults.drift_um_s != self._fault_drift_um_s:
            self._fault_drift_um_s = self._faults.drift_um_s
            self._begin(now_ns)
        segment = self._segments[-1]
        if self._faults.stage_stuck and segment.target_um != segment.motor_at(segment.seconds(now_ns)):
            self._halt(now_ns)
        return now_ns

    def _halt(self, now_ns: int) -> None:
        segment = self._segments[-1]
        self._begin(now_ns, target_um=segment.motor_at(segment.seconds(now_ns)), brake=True)

    def _begin(
        self, now_ns: int, *, target_um: float | None = None, jitter_um: float | None = None, brake: bool = False
    ) -> None:
        """Begin a new segment now, continuous in everything; a brake takes motor and profile to one place."""
        old = self._segments[-1]
        t_s = old.seconds(now_ns)
        jitter_now = old.jitter_at(t_s)
        self._segments.append(
            Segment(
                start_ns=max(now_ns, old.start_ns),
                ramp_um=old.motor_at(t_s) if brake else old.ramp_at(t_s),
                lag_um=0.0 if brake else old.lag_at(t_s),
                target_um=old.target_um if target_um is None else target_um,
                speed_um_s=old.speed_um_s,
                settle_s=old.settle_s,
                play_um=old.played_at(t_s, self.model.backlash_um),
                jitter_from_um=jitter_now,
                jitter_to_um=jitter_now if jitter_um is None and brake else _or(jitter_um, old.jitter_to_um),
                drift_um=old.drift_um + old.drift_um_s * t_s,
                drift_um_s=self.model.drift_um_s + self._fault_drift_um_s,
            )
        )
        if len(self._segments) > HISTORY:
            del self._segments[: HISTORY // 4]


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


__all__ = ["SimulatedStage", "StageModel"]
