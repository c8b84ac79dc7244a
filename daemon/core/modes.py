"""The states of the daemon, and what each of them allows: one table."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from microscoped.daemon.protocol import ErrorCode, OpClass

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(StrEnum):
    """State of the daemon.

    ::

        STARTING ──opened──▶ IDLE ◀──▶ ACTIVE        a task runs or the camera streams
            │                 │  ▲        │
            │                stop resume stop
            │                 ▼  │        │
            │               STOPPED ◀─────┘          motion is off until resume
            │
            │       IDLE, ACTIVE ──camera fails──▶ DEGRADED ──a frame comes──▶ IDLE
            │       any ──stage fails──▶ FAULT ──resume, and the stage answers──▶ IDLE
            └──cannot be opened──▶ FAULT
        SAFE ──resume──▶ IDLE                        came up after a crash: motionless until told
        any ──shutdown──▶ CLOSING
    """

    STARTING = "STARTING"
    IDLE = "IDLE"
    ACTIVE = "ACTIVE"
    STOPPED = "STOPPED"
    DEGRADED = "DEGRADED"
    FAULT = "FAULT"
    SAFE = "SAFE"
    CLOSING = "CLOSING"


_YES = None
_NOT_YET = (ErrorCode.NOT_READY, "the microscope is being opened; try again when the state is IDLE")
_STOPPED = (ErrorCode.STOPPED, "motion is stopped; send resume first")
_FAULT = (ErrorCode.FAULT, "the hardware is in fault ({reason}); mend it, then send resume")
_SAFE = (
    ErrorCode.NOT_READY,
    "the daemon came up motionless ({reason}); check the microscope, then send resume",
)
_CLOSING = (ErrorCode.NOT_READY, "the daemon is shutting down")

_READY: Mapping[OpClass, tuple[ErrorCode, str] | None] = dict.fromkeys(OpClass)

TABLE: Mapping[Mode, Mapping[OpClass, tuple[ErrorCode, str] | None]] = {
    Mode.STARTING: {
        OpClass.READ: _YES,
        OpClass.STOP: _YES,
        OpClass.RESUME: _NOT_YET,
        OpClass.CAMERA: _NOT_YET,
        OpClass.MOVE: _NOT_YET,
        OpClass.CANCEL: _YES,
        OpClass.LEASE: _NOT_YET,
        OpClass.RECORD: _NOT_YET,
        OpClass.RULES: _YES,
        OpClass.SHUTDOWN: _YES,
    },
    Mode.IDLE: _READY,
    Mode.ACTIVE: _READY,
    Mode.DEGRADED: _READY,
    Mode.STOPPED: {**_READY, OpClass.MOVE: _STOPPED},
    Mode.FAULT: {**_READY, OpClass.MOVE: _FAULT},
    Mode.SAFE: {**_READY, OpClass.MOVE: _SAFE},
    Mode.CLOSING: {
        OpClass.READ: _YES,
        OpClass.STOP: _YES,
        OpClass.RESUME: _CLOSING,
        OpClass.CAMERA: _CLOSING,
        OpClass.MOVE: _CLOSING,
        OpClass.CANCEL: _YES,
        OpClass.LEASE: _CLOSING,
        OpClass.RECORD: _CLOSING,
        OpClass.RULES: _CLOSING,
        OpClass.SHUTDOWN: _YES,
    },
}
"""Mode × class of op → ``None`` (allowed), or the error code and what to do."""

__all__ = ["TABLE", "Mode"]
