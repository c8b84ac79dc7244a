"""What a client can be told that went wrong: a closed list of codes, and the one exception that carries them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, JsonValue

if TYPE_CHECKING:
    from collections.abc import Mapping


class ErrorCode(StrEnum):
    """Every code that an error on the wire can have."""

    INVALID = "invalid"
    UNKNOWN_OP = "unknown_op"
    UNSUPPORTED_VERSION = "unsupported_version"
    LIMIT = "limit"
    LIMIT_Z_HIGH = "limit.z_high"
    LIMIT_Z_LOW = "limit.z_low"
    LIMIT_STEP = "limit.step"
    LIMIT_UNSET = "limit.unset"
    LIMIT_DIRECTION_UNKNOWN = "limit.direction_unknown"
    LIMIT_LIGHT = "limit.light"
    BUSY = "busy"
    TIMEOUT = "timeout"
    NOT_READY = "not_ready"
    STOPPED = "stopped"
    FORBIDDEN = "forbidden"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    GONE = "gone"
    NOT_FOUND = "not_found"
    NOT_FOCUSED = "not_focused"
    FAULT = "fault"
    FAULT_CONNECTION = "fault.connection"
    FAULT_CAMERA = "fault.camera"
    FAULT_FRAME_TIMEOUT = "fault.frame_timeout"
    FAULT_FRAMES_MISSING = "fault.frames_missing"
    FAULT_STAGE = "fault.stage"
    FAULT_STAGE_NOT_ARRIVED = "fault.stage_not_arrived"
    FAULT_HARDWARE_SILENT = "fault.hardware_silent"
    FAULT_ENGINE = "fault.engine"
    FAULT_RECORDING = "fault.recording"


TITLES: Mapping[ErrorCode, str] = {
    ErrorCode.INVALID: "The request is not valid",
    ErrorCode.UNKNOWN_OP: "There is no such op",
    ErrorCode.UNSUPPORTED_VERSION: "This protocol version is not spoken here",
    ErrorCode.LIMIT: "The move was refused",
    ErrorCode.LIMIT_Z_HIGH: "The target is above the upper limit",
    ErrorCode.LIMIT_Z_LOW: "The target is below the lower limit",
    ErrorCode.LIMIT_STEP: "The step is too long",
    ErrorCode.LIMIT_UNSET: "No limits are configured, so nothing moves",
    ErrorCode.LIMIT_DIRECTION_UNKNOWN: "The focus direction is unknown",
    ErrorCode.LIMIT_LIGHT: "The exposure is beyond the light that was granted",
    ErrorCode.BUSY: "Something else has it",
    ErrorCode.TIMEOUT: "It was too late to begin",
    ErrorCode.NOT_READY: "The daemon is not in a state for this",
    ErrorCode.STOPPED: "Motion is stopped until resume",
    ErrorCode.FORBIDDEN: "This user may not do that",
    ErrorCode.PREEMPTED: "Something of higher rank took the stage",
    ErrorCode.CANCELLED: "The task was cancelled",
    ErrorCode.GONE: "It existed, but is no longer kept",
    ErrorCode.NOT_FOUND: "There is no such thing",
    ErrorCode.NOT_FOCUSED: "The search found no focus",
    ErrorCode.FAULT: "A device or the daemon failed",
    ErrorCode.FAULT_CONNECTION: "The microscope could not be opened",
    ErrorCode.FAULT_CAMERA: "The camera failed",
    ErrorCode.FAULT_FRAME_TIMEOUT: "No frame came in time",
    ErrorCode.FAULT_FRAMES_MISSING: "Frames of the acquisition are missing",
    ErrorCode.FAULT_STAGE: "The stage failed",
    ErrorCode.FAULT_STAGE_NOT_ARRIVED: "The stage did not arrive",
    ErrorCode.FAULT_HARDWARE_SILENT: "The hardware does not answer",
    ErrorCode.FAULT_ENGINE: "An engine failed",
    ErrorCode.FAULT_RECORDING: "The recording failed",
}
"""One title for each code: the same words every time."""

RETRYABLE = frozenset({ErrorCode.BUSY, ErrorCode.TIMEOUT, ErrorCode.NOT_READY, ErrorCode.PREEMPTED})
"""Codes after which the same request may succeed later."""


class ErrorBody(BaseModel):
    """The ``error`` of a reply or of a failed task.

    Parameters
    ----------
    code, title
        What kind of error, for programs and for people.
    detail
        What happened, with which value, and what to do about it.
    data
        Values that belong to it, by name.
    retryable
        Whether the same request may succeed later.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: ErrorCode
    title: str
    detail: str
    data: dict[str, JsonValue] = {}
    retryable: bool = False

    @classmethod
    def of(cls, code: ErrorCode | str, detail: str, data: Mapping[str, JsonValue] | None = None) -> ErrorBody:
        """Build the error of a code."""
        known = ErrorCode(code)
        return cls(code=known, title=TITLES[known], detail=detail, data=dict(data or {}), retryable=known in RETRYABLE)


class RefusedError(Exception):
    """A request cannot be fulfilled; `body` says why, for the client."""

    def __init__(self, code: ErrorCode | str, detail: str, data: Mapping[str, JsonValue] | None = None) -> None:
        super().__init__(detail)
        self.body = ErrorBody.of(code, detail, data)


__all__ = ["RETRYABLE", "TITLES", "ErrorBody", "ErrorCode", "RefusedError"]
