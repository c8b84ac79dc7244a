"""The one path to the stage: checked, split, approached from one side, read back and settled."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from microscoped.drivers.errors import MotionStoppedError, StageNotArrivedError
from microscoped.drivers.safety import (
    MotionSettings,
    Origin,
    XYMotionSettings,
    arrives_by_approach,
    check_move,
    check_xy_target,
    way_points,
)

if TYPE_CHECKING:
    from microscoped.drivers.accessories import XYStage
    from microscoped.drivers.protocols import Clock, FocusStage

POLL_NS = 2_000_000
"""How often a moving stage is asked whether it is busy (at least every 5 ms)."""
READ_BACK_NS = 20_000_000
"""How often a moving stage is asked where it is: on a serial line the question costs tens of milliseconds."""

Steps: TypeAlias = Generator[int, None, "Arrival"]
"""Yields nanoseconds to wait, returns the arrival."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A finished move.

    Parameters
    ----------
    target_um, z_um
        What was asked for, and what the stage reads back at rest.
    approached
        Whether the final leg ran in the sense of the approach.
    moves
        Commanded moves, overshoot and split steps included.
    travel_um
        Length of the way.
    duration_ms
        From the first command to the end of settling.
    arrived_ns
        When the stage had settled: exposures that began earlier do not count.
    """

    target_um: float
    z_um: float
    approached: bool
    moves: int
    travel_um: float
    duration_ms: float
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class XYArrival:
    """A finished move in the plane.

    Parameters
    ----------
    target_um, xy_um
        What was asked for, and what the stage reads back at rest: (x, y).
    duration_ms
        From the command to the end of settling.
    arrived_ns
        When the stage had settled: exposures that began earlier do not count.
    """

    target_um: tuple[float, float]
    xy_um: tuple[float, float]
    duration_ms: float
    arrived_ns: int


def move(
    stage: FocusStage,
    settings: MotionSettings,
    target_um: float,
    origin: Origin,
    *,
    clock: Clock,
    stopped: Callable[[], bool],
    trace: Callable[[int, float], None] = lambda _t, _z: None,
) -> Steps:
    """Move the stage; a generator that yields each time it would wait.

    Parameters
    ----------
    stage
        The stage; only this function and the stop lane command it.
    settings, target_um, origin
        See `microscoped.drivers.safety`.
    clock
        Monotonic nanoseconds.
    stopped
        Whether ``stop`` was asked for; looked at before and after every command.
    trace
        Hears each read-back: time and z in µm.

    Raises
    ------
    MotionRefusedError
        The rules refuse the move, or ``stop`` came; in the first case nothing moved.
    StageNotArrivedError
        The read-back did not reach a way point within the deadline. The stage stays where it is.
    StageError
        The device failed.
    """
    started_ns = clock()
    start_um = at_um = stage.position_um()
    trace(started_ns, start_um)
    check_move(settings, start_um, target_um, origin)
    points = way_points(settings, start_um, target_um)
    travel_um = 0.0
    leg_um = 0.0
    for point in points:
        leg_um = point - at_um
        travel_um += abs(leg_um)
        if stopped():
            raise MotionStoppedError("stopped before the next step; the stage stays where it is")
        stage.move_to(point)
        if stopped():
            # The stop lane may have called stop() just before this command: say it again.
            stage.stop()
            raise MotionStoppedError("stopped; the stage stays where it is")
        at_um = yield from _arrive(stage, settings, point, clock=clock, stopped=stopped, trace=trace)
    settled_ns = clock() + int(settings.settle_ms * 1e6)
    while (remaining := settled_ns - clock()) > 0:
        if stopped():
            raise MotionStoppedError("stopped while settling; the stage stays where it is")
        yield min(remaining, POLL_NS)
    if settings.settle_ms > 0:
        at_um = yield from _arrive(stage, settings, target_um, clock=clock, stopped=stopped, trace=trace)
    arrived_ns = clock()
    trace(arrived_ns, at_um)
    return Arrival(
        target_um=target_um,
        z_um=at_um,
        approached=arrives_by_approach(settings, leg_um),
        moves=len(points),
        travel_um=travel_um,
        duration_ms=(arrived_ns - started_ns) / 1e6,
        arrived_ns=arrived_ns,
    )


def _arrive(
    stage: FocusStage,
    settings: MotionSettings,
    point_um: float,
    *,
    clock: Clock,
    stopped: Callable[[], bool],
    trace: Callable[[int, float], None],
) -> Generator[int, None, float]:
    """Wait until the stage rests at `point_um` by its own read-back; return that read-back in µm."""
    deadline_ns = clock() + int(settings.timeout_s * 1e9)
    read_ns = clock() + READ_BACK_NS
    while True:
        if stopped():
            stage.stop()
            raise MotionStoppedError("stopped during a move; the stage stays where it is")
        now = clock()
        if not stage.is_busy():
            z_um = stage.position_um()
            trace(now, z_um)
            if abs(z_um - point_um) <= settings.arrival_tolerance_um:
                return z_um
        elif now >= read_ns:
            trace(now, stage.position_um())
            read_ns = now + READ_BACK_NS
        if now > deadline_ns:
            z_um = stage.position_um()
            raise StageNotArrivedError(
                f"stage {stage.name!r} reads {z_um:g} µm, {abs(z_um - point_um):g} µm from its target {point_um:g} µm, "
                f"{settings.timeout_s:g} s after the command (tolerance {settings.arrival_tolerance_um:g} µm); "
                "check the stage for a block, its speed against stage.timeout_s, and stage.arrival_tolerance_um"
            )
        yield POLL_NS


def move_xy(
    stage: XYStage,
    settings: XYMotionSettings,
    target_um: tuple[float, float],
    *,
    clock: Clock,
    stopped: Callable[[], bool],
) -> Generator[int, None, XYArrival]:
    """Move a stage in the plane; a generator that yields each time it would wait.

    Parameters
    ----------
    stage
        The stage; only this function and the stop lane command it.
    settings, target_um
        The rules, and where to go (x, y).
    clock, stopped
        Monotonic nanoseconds; whether ``stop`` was asked for, looked at before and after every command.

    Raises
    ------
    MotionRefusedError
        The rules refuse the move, or ``stop`` came; in the first case nothing moved.
    StageNotArrivedError
        The read-back did not reach the target within the deadline. The stage stays where it is.
    StageError
        The device failed.
    """
    check_xy_target(settings, target_um)
    started_ns = clock()
    deadline_ns = started_ns + int(settings.timeout_s * 1e9)
    if stopped():
        raise MotionStoppedError("stopped before the move in the plane; the stage stays where it is")
    stage.move_to(*target_um)
    settled_ns: int | None = None
    while True:
        if stopped():
            stage.stop()
            raise MotionStoppedError("stopped during a move in the plane; the stage stays where it is")
        if not stage.is_busy():
            at_um = stage.position_um()
            off_um = max(abs(at - target) for at, target in zip(at_um, target_um, strict=True))
            if off_um > settings.arrival_tolerance_um:
                settled_ns = None
            elif settled_ns is None:
                settled_ns = clock() + int(settings.settle_ms * 1e6)
            if settled_ns is not None and clock() >= settled_ns:
                arrived_ns = clock()
                return XYArrival(target_um, at_um, (arrived_ns - started_ns) / 1e6, arrived_ns)
        if clock() > deadline_ns:
            x_um, y_um = stage.position_um()
            raise StageNotArrivedError(
                f"stage {stage.name!r} reads ({x_um:g}, {y_um:g}) µm, not its target ({target_um[0]:g}, "
                f"{target_um[1]:g}) µm, {settings.timeout_s:g} s after the command (tolerance "
                f"{settings.arrival_tolerance_um:g} µm); check the stage for a block and its speed"
            )
        yield POLL_NS


__all__ = ["Arrival", "XYArrival", "move", "move_xy"]
