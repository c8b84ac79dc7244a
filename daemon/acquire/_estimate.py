"""What a sequence will cost, without spreading out its time points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from microscoped.daemon.acquire._events import is_image
from microscoped.daemon.acquire.instrument import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import useq

    from microscoped.daemon.acquire.instrument import Instrument, Limits

AXES = ("channels", "z_plan", "grid_plan")


@dataclass(slots=True)
class Slice:
    """What happens at one time point."""

    frames: int = 0
    focus_events: int = 0
    light_ms: float = 0.0


@dataclass(slots=True)
class Slices:
    """What happens at each of the first time points; from the second on it repeats after `period`.

    Parameters
    ----------
    times
        When the time points are planned, in seconds.
    period
        After how many time points all channels have had their turn (``acquire_every``).
    """

    times: Sequence[float]
    period: int
    seen: dict[int, Slice] = field(default_factory=dict)

    def add(self, event: useq.MDAEvent, instrument: Instrument) -> None:
        """Count an event."""
        number = event.index.get("t", 0)
        one = self.seen.setdefault(number, Slice())
        if is_image(event):
            one.frames += 1
            one.light_ms += instrument.exposure_ms if event.exposure is None else float(event.exposure)
        else:
            one.focus_events += 1

    @property
    def spread(self) -> int:
        """How many time points must be seen to know them all."""
        return min(len(self.times), self.period + 1)

    def total(self) -> Slice:
        """All time points together."""
        whole = Slice()
        empty = Slice()
        repeats = len(self.times) - 1
        for number in range(self.spread):
            one = self.seen.get(number, empty)
            # Number 0 is there once, for nothing comes before it; the others repeat.
            times = 1 if number == 0 else (repeats - number) // self.period + 1
            whole.frames += times * one.frames
            whole.focus_events += times * one.focus_events
            whole.light_ms += times * one.light_ms
        return whole


def time_points(sequence: useq.MDASequence) -> Sequence[float]:
    """When the time points are planned, in seconds; one at 0 without a plan."""
    return tuple(sequence.time_plan) if sequence.time_plan is not None else (0.0,)


def period(sequence: useq.MDASequence) -> int:
    """After how many time points all channels have had their turn."""
    channels = [
        *sequence.channels,
        *(channel for place in sequence.stage_positions if place.sequence for channel in place.sequence.channels),
    ]
    return math.lcm(*(channel.acquire_every for channel in channels))


def frames_at_once(sequence: useq.MDASequence) -> int:
    """An upper bound of the frames of one time point."""

    def size(holder: useq.MDASequence, name: str) -> int:
        plan: Any = getattr(holder, name)
        if not plan:
            return 0
        return len(plan) if name == "channels" else int(plan.num_positions())

    def product(position: useq.Position | None) -> int:
        inner = position.sequence if position is not None else None
        sizes = [(size(inner, name) if inner is not None else 0) or size(sequence, name) for name in AXES]
        return math.prod(max(1, number) for number in sizes)

    positions = tuple(sequence.stage_positions)
    return sum(product(position) for position in positions) if positions else product(None)


def estimate(
    slices: Slices, sequence: useq.MDASequence, instrument: Instrument, limits: Limits, position_count: int
) -> Estimate:
    """Add up what was counted."""
    total = slices.total()
    height, width = instrument.frame_shape_px
    busiest = max(slices.seen.values(), key=lambda one: one.frames, default=Slice())
    busy_s = busiest.light_ms / 1e3 + busiest.frames * limits.step_s + busiest.focus_events * limits.focus_s
    order = "".join(sequence.axis_order)
    # Positions that come before time in the order have each a time lapse of their own.
    laps = position_count if "t" in order and "p" in order and order.index("p") < order.index("t") else 1
    busy_s /= max(1, laps)
    gaps = [after - before for before, after in zip(slices.times, slices.times[1:], strict=False)]
    duration_s = laps * (sum(max(gap, busy_s) for gap in gaps) + busy_s)
    warnings = []
    if short := [gap for gap in gaps if 0 < gap < busy_s]:
        warnings.append(
            f"time points are {min(short):g} s apart, and one takes about {busy_s:.3g} s: later ones will be late"
        )
    return Estimate(
        frames=total.frames,
        focus_events=total.focus_events,
        duration_s=duration_s,
        light_ms=total.light_ms + total.focus_events * limits.focus_light_ms,
        disk_bytes=total.frames * height * width * instrument.bytes_per_pixel,
        warnings=tuple(warnings),
    )


def shortened(fields: Mapping[str, Any], slices: Slices) -> dict[str, Any]:
    """The changes to a sequence that leave only the time points that must be seen."""
    return {"time_plan": {"interval": 0, "loops": slices.spread}} if fields.get("time_plan") is not None else {}


__all__ = ["Slices", "estimate", "frames_at_once", "period", "shortened", "time_points"]
