"""Motion of a stage between two commands, as formulas of time."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """The motion between two commands.

    ``ramp`` is where the profile is, ``lag`` how far the motor is behind it; both at the beginning, ``start_ns``.
    """

    start_ns: int
    ramp_um: float
    lag_um: float
    target_um: float
    speed_um_s: float
    settle_s: float
    play_um: float
    jitter_from_um: float
    jitter_to_um: float
    drift_um: float
    drift_um_s: float

    @property
    def duration_s(self) -> float:
        """How long the ramp lasts."""
        return abs(self.target_um - self.ramp_um) / self.speed_um_s

    @property
    def velocity_um_s(self) -> float:
        """Signed speed of the ramp."""
        return math.copysign(self.speed_um_s, self.target_um - self.ramp_um) if self.target_um != self.ramp_um else 0.0

    def seconds(self, t_ns: int) -> float:
        """Return the time since the beginning of the segment."""
        return max(0, t_ns - self.start_ns) / 1e9

    def ramp_at(self, t_s: float) -> float:
        """Return the profile's position."""
        return self.target_um if t_s >= self.duration_s else self.ramp_um + self.velocity_um_s * t_s

    def lag_at(self, t_s: float) -> float:
        """Return ramp minus motor: the solution of de/dt = v − e/τ."""
        if self.settle_s == 0:
            return 0.0
        steady = self.velocity_um_s * self.settle_s
        on_ramp = min(t_s, self.duration_s)
        lag = steady + (self.lag_um - steady) * math.exp(-on_ramp / self.settle_s)
        return lag * math.exp(-(t_s - on_ramp) / self.settle_s)

    def motor_at(self, t_s: float) -> float:
        """Return the position at the encoder."""
        return self.ramp_at(t_s) - self.lag_at(t_s)

    def turning_s(self) -> float | None:
        """Return when the motor reverses within the ramp: it moves with e/τ, so where the lag changes its sign."""
        steady = self.velocity_um_s * self.settle_s
        if steady == 0 or self.lag_um * steady >= 0:
            return None
        t_s = self.settle_s * math.log(1.0 - self.lag_um / steady)
        return t_s if t_s < self.duration_s else None

    def played_at(self, t_s: float, backlash_um: float) -> float:
        """Return the position behind the play: clamped to [motor, motor + backlash] along the motor's path."""
        turn_s = self.turning_s()
        played = self.play_um
        for moment in (t_s,) if turn_s is None or turn_s >= t_s else (turn_s, t_s):
            motor = self.motor_at(moment)
            played = min(max(played, motor), motor + backlash_um)
        return played

    def jitter_at(self, t_s: float) -> float:
        """Return the positioning error, which builds up along the ramp."""
        part = 1.0 if self.duration_s == 0 else min(1.0, t_s / self.duration_s)
        return self.jitter_from_um + (self.jitter_to_um - self.jitter_from_um) * part


__all__ = ["Segment"]
