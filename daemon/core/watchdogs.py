"""Watchdogs: each heartbeat looks at what should go on by itself. An alarm is raised once, and cleared once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.modes import Mode
from microscoped.daemon.protocol import AlarmCode

if TYPE_CHECKING:
    from microscoped.daemon.core.inputs import HeartbeatDue
    from microscoped.daemon.core.turn import Turn

LAG_MS, STALL_MS = 50.0, 500.0
"""Loop lag that is an alarm: p99 of a second (ten times what a busy two-core computer shows), and a single input's."""
DISK_MB = 1_000.0
"""Space on the journal's disk below which somebody should look: three hours at 100 frames/s."""
ENGINE_LATE_S = 5.0
SILENT_MS = 5_000.0
"""How much longer than two exposures one driver call may take."""


def watch_over(turn: Turn, heard: HeartbeatDue) -> None:
    """Compare what is with what should be."""
    _frame_age(turn)
    _engines(turn, heard)
    _hardware(turn, heard)
    _disk(turn, heard)
    lag_ms, stall_ms = heard.loop_lag_ms.get("p99", 0.0), heard.loop_lag_ms.get("max", 0.0)
    turn.watch(
        AlarmCode.LOOP_LAG,
        broken=lag_ms > LAG_MS or stall_ms > STALL_MS,
        detail=f"inputs were handled {lag_ms:.0f} ms late (p99 of the last second), one {stall_ms:.0f} ms",
        data={"p99_ms": lag_ms, "max_ms": stall_ms},
    )


def _disk(turn: Turn, heard: HeartbeatDue) -> None:
    free_mb = heard.disk_free_mb
    if free_mb is not None:
        detail = f"{free_mb:.0f} MB are left on the disk of the journal"
        turn.watch(AlarmCode.DISK, broken=free_mb < DISK_MB, detail=detail, data={"free_mb": free_mb})


def _frame_age(turn: Turn) -> None:
    camera = turn.state.camera
    age_ms = (turn.now.mono_ns - max(camera.newest_ns or 0, camera.streaming_since_ns)) / 1e6
    interval_ms = max(camera.settings.exposure_ms or 0.0, 1000 / camera.fps if camera.fps is not None else 0.0)
    allowed_ms = 3 * interval_ms + 1000 * turn.state.settings.frame_allowance_s
    broken = camera.streaming and age_ms > allowed_ms
    turn.watch(
        AlarmCode.FRAME_AGE,
        broken=broken,
        detail=f"the newest frame is {age_ms:.0f} ms old" if broken else "frames come again, or none are wanted",
        data={"age_ms": age_ms},
    )


def _engines(turn: Turn, heard: HeartbeatDue) -> None:
    """An engine is late that has frames waiting and has measured none for a while."""
    now_ns = turn.now.mono_ns
    common = heard.queues.get("engines", 0)
    marks: dict[str, tuple[int, int]] = {}
    late = []
    for name in turn.state.settings.engines:
        waiting = heard.queues.get(f"engines.{name}", common) > 0
        measured = turn.state.engines[name].measured if name in turn.state.engines else 0
        old_measured, since_ns = turn.state.watches.engines.get(name, (measured, now_ns))
        marks[name] = (measured, since_ns if waiting and measured == old_measured else now_ns)
        if now_ns - marks[name][1] > 1e9 * turn.state.settings.engine_late_s.get(name, ENGINE_LATE_S):
            late.append(name)
    turn.set(watches=replace(turn.state.watches, engines=marks))
    detail = f"{', '.join(late)}: frames wait, and none was measured for seconds" if late else "engines measure again"
    turn.watch(AlarmCode.ENGINE_LATE, broken=bool(late), detail=detail)


def _hardware(turn: Turn, heard: HeartbeatDue) -> None:
    """The hardware thread is silent: a driver call does not return."""
    allowed_ms = SILENT_MS + 2 * (turn.state.camera.settings.exposure_ms or 0.0)
    silent = turn.state.hardware_open and heard.hardware_silent_ms > allowed_ms
    detail = f"a driver call has not returned for {heard.hardware_silent_ms / 1000:.1f} s"
    if silent and AlarmCode.FAULT_HARDWARE_SILENT not in turn.state.alarms and turn.state.mode is not Mode.CLOSING:
        turn.enter(Mode.FAULT, f"{detail}: a driver hangs")
    turn.watch(
        AlarmCode.FAULT_HARDWARE_SILENT,
        broken=silent,
        detail=detail if silent else "the driver has returned; send resume",
    )


__all__ = ["watch_over"]
