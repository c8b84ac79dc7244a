"""The ops: a closed registry of what a client may ask for, with the models of parameters and results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictBool, StrictFloat, StrictInt

from microscoped.daemon.protocol.envelope import Message

# JSON knows numbers from text and from truth values; so do we. An integer is a float, too.
Number = StrictFloat | StrictInt
WaitMs = Annotated[Number, Field(ge=0, le=60_000)]
Region = tuple[StrictInt, StrictInt, StrictInt, StrictInt]
TaskId = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(max_length=128)]


class Scope(StrEnum):
    """What a client may do; each includes those before it. ``stop`` is open to all."""

    READ = "read"
    CONTROL = "control"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Whether somebody with this scope may do what `other` asks for."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


class OpClass(StrEnum):
    """What an op does to the world: the state table allows or refuses by class."""

    READ = "read"
    STOP = "stop"
    RESUME = "resume"
    CAMERA = "camera"
    MOVE = "move"
    CANCEL = "cancel"
    LEASE = "lease"
    SHUTDOWN = "shutdown"


class Empty(Message):
    """No parameters."""


class SnapshotParams(Message):
    """Parameters of ``snapshot``: topics by prefix; none means all."""

    topics: Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=64)] = []


class MoveParams(Message):
    """Parameters of ``stage.move``: where to, in the stage's own coordinate; `relative` adds to where it is."""

    z_um: Number
    relative: StrictBool = False


class CameraSetParams(Message):
    """Parameters of ``camera.set``: what is given is changed, and nothing else."""

    exposure_ms: Annotated[Number, Field(gt=0, le=3_600_000)] | None = None
    binning: Annotated[StrictInt, Field(ge=1, le=16)] | None = None
    roi: Region | None = None
    gain: Number | None = None
    auto_exposure: StrictBool | None = None
    auto_gain: StrictBool | None = None
    auto_white_balance: StrictBool | None = None


class FrameGetParams(Message):
    """Parameters of ``frame.get``.

    Parameters
    ----------
    frame
        Id of the frame wanted; the newest where neither this nor `newer_than` is given.
    newer_than
        Id of a frame: the newest frame after it is wanted.
    wait_ms
        How long to wait for a newer frame where there is none yet.
    """

    frame: Name | None = None
    newer_than: Name | None = None
    wait_ms: WaitMs = 0


class FocusRunParams(Message):
    """Parameters of ``focus.run``; what is not given comes from the configuration.

    Parameters
    ----------
    method
        ``search``: Brent's method on a sharpness score.
    range_um
        Half width of the search around the present position.
    tolerance_um
        How exactly the focus is wanted.
    extremum
        Whether focus is the maximum of contrast, its minimum, or to be found out.
    metric, roi
        The sharpness score, and the region (x, y, width, height) in pixels that it looks at.
    channel
        The channel that will be imaged next: its configured offset is added at the end.
    """

    method: Literal["search"] = "search"
    range_um: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    tolerance_um: Annotated[Number, Field(gt=0, le=1_000)] | None = None
    extremum: Literal["max", "min", "auto"] | None = None
    metric: Name | None = None
    roi: Region | None = None
    channel: Name | None = None


class EventsSinceParams(Message):
    """Parameters of ``events.since``: which topic, and the last number seen there."""

    topic: Annotated[str, Field(max_length=128)]
    seq: Annotated[StrictInt, Field(ge=0)]


class LeaseParams(Message):
    """Parameters of ``stage.lease``.

    Parameters
    ----------
    name
        Who asks, for those who will be told ``busy``.
    ttl_s
        The lease ends so long after this request, unless it is renewed.
    token
        The token of a lease that is to be renewed.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    ttl_s: Annotated[Number, Field(ge=0.1, le=3_600)] = 30.0
    token: Name | None = None


class ReleaseParams(Message):
    """Parameters of ``stage.release``: the token of the lease."""

    token: Name


class TaskGetParams(Message):
    """Parameters of ``task.get``: which task; `wait_ms` delays the answer until it has ended, at most so long."""

    task: TaskId
    wait_ms: WaitMs = 0


class TaskCancelParams(Message):
    """Parameters of ``task.cancel``."""

    task: TaskId


class Accepted(Message):
    """Long work began: progress and end come on ``v1.task.<task>.``, or from ``task.get``."""

    task: str
    state: Literal["accepted"] = "accepted"


class DryRun(Message):
    """The request would have been accepted; nothing was done."""

    dry_run: Literal[True] = True


class PingResult(Message):
    """Result of ``ping``."""

    session: str
    state: str
    uptime_s: float


class HelloResult(Message):
    """Result of ``hello``: all that a client needs to know first.

    Parameters
    ----------
    software, protocol
        Versions.
    session
        Changes when the daemon restarts.
    ops
        Names of all ops.
    endpoints
        Where ``control``, ``events`` and ``frames`` are bound.
    limits
        Sizes that a client must keep to, in bytes.
    scopes
        What this client may do.
    """

    software: str
    protocol: str
    session: str
    ops: list[str]
    endpoints: dict[str, str]
    limits: dict[str, int]
    scopes: list[str]


class StatusResult(Message):
    """Result of ``status``.

    Parameters
    ----------
    state, reason
        State of the daemon, and why.
    uptime_s
        Seconds since the daemon began.
    stage
        The stage's name, position, direction, limits, and whether it moves.
    camera
        The camera's size, settings, whether it streams, frames taken and lost.
    tasks
        Tasks that have not ended.
    engines
        Frames measured and skipped by each engine.
    """

    state: str
    reason: str
    uptime_s: float
    stage: dict[str, JsonValue]
    camera: dict[str, JsonValue]
    tasks: list[dict[str, JsonValue]]
    engines: dict[str, JsonValue]


class DescribeResult(Message):
    """Result of ``describe``: what this microscope is, and what is not known about it.

    Parameters
    ----------
    microscope
        Driver, versions, configuration file, specimen.
    optics
        Aperture, wavelength, pixel size, depth of field and so on; ``null`` where unknown.
    stage, camera, focus
        Facts and settings.
    """

    microscope: dict[str, str]
    optics: dict[str, JsonValue]
    stage: dict[str, JsonValue]
    camera: dict[str, JsonValue]
    focus: dict[str, JsonValue]


class TopicValue(Message):
    """The last event of one topic."""

    topic: str
    seq: int
    data: dict[str, JsonValue]


class SnapshotResult(Message):
    """Result of ``snapshot``: last value and number of each topic; discard events at or below that number."""

    session: str
    topics: list[TopicValue]


class EventsSinceResult(Message):
    """Result of ``events.since``: the events missed, oldest first; where there are `more`, ask again from the last."""

    events: list[dict[str, JsonValue]]
    more: bool


class LeaseResult(Message):
    """Result of ``stage.lease``: put `token` into the ``lease`` field of each request that moves."""

    token: str
    ttl_s: float


class StateResult(Message):
    """Result of ``resume`` and ``shutdown``: the state entered."""

    state: str


class StopResult(Message):
    """Result of ``stop``.

    Parameters
    ----------
    state
        ``stopped``, or ``stopping`` where the stage's driver has not returned yet: an alarm follows if it never does.
    issue_ms
        From receipt to the call of the driver's own stop.
    cancelled
        Tasks that ended because of it.
    detail
        What the driver said, where it cannot halt a move.
    """

    state: Literal["stopped", "stopping"]
    issue_ms: float | None = None
    cancelled: list[str] = []
    detail: str = ""


class PositionResult(Message):
    """Result of ``stage.position``, read from the stage now."""

    z_um: float
    moving: bool
    z_source: Literal["readback"] = "readback"


class CameraResult(Message):
    """Result of the camera's ops: its settings, read back, and whether it streams."""

    settings: dict[str, JsonValue]
    streaming: bool


class FrameResult(Message):
    """Result of ``frame.get``; the pixels follow as one binary frame, rows first, little-endian."""

    frame: dict[str, JsonValue]


class TaskResult(Message):
    """One task (see `microscoped.daemon.protocol.events.TaskData`)."""

    task: dict[str, JsonValue]


class TaskListResult(Message):
    """Result of ``task.list``: tasks under way, and the latest that ended."""

    tasks: list[dict[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Op:
    """One op.

    Parameters
    ----------
    name, summary
        As a client writes it, and what it does.
    params, result
        The models of both.
    op_class
        See `OpClass`.
    dry_run
        Whether ``dry_run`` is allowed.
    """

    name: str
    summary: str
    params: type[Message]
    result: type[Message]
    op_class: OpClass
    dry_run: bool = False

    @property
    def scope(self) -> Scope:
        """What a client must be allowed to do."""
        return Scope.READ if self.op_class in (OpClass.READ, OpClass.STOP) else Scope.CONTROL


OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("hello", "Versions, ops, endpoints, limits, session", Empty, HelloResult, OpClass.READ),
        Op("ping", "Answered by the loop itself", Empty, PingResult, OpClass.READ),
        Op("status", "State, stage, camera, tasks, engines now", Empty, StatusResult, OpClass.READ),
        Op("describe", "What this microscope is and what is unknown", Empty, DescribeResult, OpClass.READ),
        Op("snapshot", "Last value and number of each topic", SnapshotParams, SnapshotResult, OpClass.READ),
        Op("events.since", "Events missed since a number", EventsSinceParams, EventsSinceResult, OpClass.READ),
        Op("stop", "Halt the stage, cancel all tasks, no motion until resume", Empty, StopResult, OpClass.STOP),
        Op("resume", "Allow motion again", Empty, StateResult, OpClass.RESUME),
        Op("shutdown", "End the daemon", Empty, StateResult, OpClass.SHUTDOWN),
        Op("stage.move", "Move the focus stage", MoveParams, Accepted, OpClass.MOVE, dry_run=True),
        Op("stage.position", "Read the focus stage", Empty, PositionResult, OpClass.READ),
        Op("stage.lease", "Keep the stage for oneself for a while", LeaseParams, LeaseResult, OpClass.LEASE),
        Op("stage.release", "Give the stage back", ReleaseParams, Empty, OpClass.LEASE),
        Op("camera.snap", "Take one frame", Empty, Accepted, OpClass.CAMERA),
        Op("camera.set", "Change camera settings", CameraSetParams, CameraResult, OpClass.CAMERA),
        Op("camera.start", "Begin to stream frames", Empty, CameraResult, OpClass.CAMERA),
        Op("camera.stop", "End the stream", Empty, CameraResult, OpClass.CAMERA),
        Op("frame.get", "Fetch a frame with its pixels", FrameGetParams, FrameResult, OpClass.READ),
        Op("focus.run", "Find the focus", FocusRunParams, Accepted, OpClass.MOVE, dry_run=True),
        Op("task.get", "One task, now or when it has ended", TaskGetParams, TaskResult, OpClass.READ),
        Op("task.list", "All tasks", Empty, TaskListResult, OpClass.READ),
        Op("task.cancel", "End a task early", TaskCancelParams, TaskResult, OpClass.CANCEL),
    )
}
"""Every op by its name."""

__all__ = [
    "OPS",
    "Accepted",
    "CameraResult",
    "CameraSetParams",
    "DescribeResult",
    "DryRun",
    "Empty",
    "EventsSinceParams",
    "EventsSinceResult",
    "FocusRunParams",
    "FrameGetParams",
    "FrameResult",
    "HelloResult",
    "LeaseParams",
    "LeaseResult",
    "MoveParams",
    "Op",
    "OpClass",
    "PingResult",
    "PositionResult",
    "ReleaseParams",
    "Scope",
    "SnapshotParams",
    "SnapshotResult",
    "StateResult",
    "StatusResult",
    "StopResult",
    "TaskCancelParams",
    "TaskGetParams",
    "TaskListResult",
    "TaskResult",
    "TopicValue",
]
