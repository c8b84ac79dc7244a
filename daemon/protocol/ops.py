"""The ops: a closed registry of what a client may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from microscoped.daemon.protocol.outcomes import (
    AcquireOutcome,
    CalibrateHologramOutcome,
    CalibrateOutcome,
    FocusOutcome,
    HoldOutcome,
    MoveOutcome,
    SnapOutcome,
)
from microscoped.daemon.protocol.params import (
    AcquireCheckParams,
    AcquireInjectParams,
    AcquireRunParams,
    AcquireTaskParams,
    CalibrateNextParams,
    CalibrateRunParams,
    CameraSetParams,
    Empty,
    EventsSinceParams,
    FocusHoldParams,
    FocusRunParams,
    FrameGetParams,
    LeaseParams,
    MoveParams,
    RecordStartParams,
    ReleaseParams,
    RulesSetParams,
    SnapshotParams,
    TaskCancelParams,
    TaskGetParams,
)
from microscoped.daemon.protocol.results import (
    Accepted,
    AcquireCheckResult,
    AcquireInjectResult,
    CameraResult,
    DescribeResult,
    DryRun,
    EventsSinceResult,
    FrameResult,
    HelloResult,
    LeaseResult,
    PingResult,
    PositionResult,
    RecordResult,
    RulesResult,
    SnapshotResult,
    StateResult,
    StatusResult,
    StopResult,
    TaskListResult,
    TaskResult,
    TopicValue,
)

if TYPE_CHECKING:
    from microscoped.daemon.protocol.envelope import Message


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
    RECORD = "record"
    RULES = "rules"
    SHUTDOWN = "shutdown"


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
    outcome
        What the task reports at its end, where the op begins one.
    other_outcomes
        What it reports where a parameter has another value than by default: that, as ``name: value``, and the model.
    """

    name: str
    summary: str
    params: type[Message]
    result: type[Message]
    op_class: OpClass
    dry_run: bool = False
    outcome: type[Message] | None = None
    other_outcomes: tuple[tuple[str, type[Message]], ...] = ()

    @property
    def outcomes(self) -> tuple[type[Message], ...]:
        """Every report that a task of it may end with."""
        return (*((self.outcome,) if self.outcome else ()), *(model for _, model in self.other_outcomes))

    @property
    def scope(self) -> Scope:
        """What a client must be allowed to do where no keys are used."""
        return Scope.READ if self.op_class in (OpClass.READ, OpClass.STOP) else Scope.CONTROL

    @property
    def scope_with_keys(self) -> Scope:
        """What a user must be allowed to do where keys are used: to end the daemon for everybody takes ``admin``."""
        return Scope.ADMIN if self.op_class is OpClass.SHUTDOWN else self.scope

    def allowed_to(self, scope: Scope | None, *, keyed: bool) -> bool:
        """Whether a client may ask for it, by what the client may do; ``None``: nothing any more."""
        return scope is not None and scope.includes(self.scope_with_keys if keyed else self.scope)


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
        Op("stage.move", "Move the focus stage", MoveParams, Accepted, OpClass.MOVE, dry_run=True, outcome=MoveOutcome),
        Op("stage.position", "Read the focus stage", Empty, PositionResult, OpClass.READ),
        Op("stage.lease", "Keep the stage for oneself for a while", LeaseParams, LeaseResult, OpClass.LEASE),
        Op("stage.release", "Give the stage back", ReleaseParams, Empty, OpClass.LEASE),
        Op("camera.snap", "Take one frame", Empty, Accepted, OpClass.CAMERA, outcome=SnapOutcome),
        Op("camera.set", "Change camera settings", CameraSetParams, CameraResult, OpClass.CAMERA),
        Op("camera.start", "Begin to stream frames", Empty, CameraResult, OpClass.CAMERA),
        Op("camera.stop", "End the stream", Empty, CameraResult, OpClass.CAMERA),
        Op("frame.get", "Fetch a frame with its pixels", FrameGetParams, FrameResult, OpClass.READ),
        Op("focus.run", "Find the focus", FocusRunParams, Accepted, OpClass.MOVE, dry_run=True, outcome=FocusOutcome),
        Op("focus.hold", "Keep the focus", FocusHoldParams, Accepted, OpClass.MOVE, dry_run=True, outcome=HoldOutcome),
        Op("focus.release", "End focus.hold", Empty, TaskResult, OpClass.CANCEL),
        Op(
            "calibrate.run",
            "Find out whether focus from pairs can be trusted here, or how holograms follow the stage",
            CalibrateRunParams,
            Accepted,
            OpClass.MOVE,
            dry_run=True,
            outcome=CalibrateOutcome,
            other_outcomes=(("what: hologram", CalibrateHologramOutcome),),
        ),
        Op("calibrate.next", "Go on in the next field, or place", CalibrateNextParams, Empty, OpClass.MOVE),
        Op(
            "acquire.check",
            "What a sequence will cost, or all that is wrong with it",
            AcquireCheckParams,
            AcquireCheckResult,
            OpClass.READ,
        ),
        Op("acquire.run", "Acquire a sequence", AcquireRunParams, Accepted, OpClass.MOVE, outcome=AcquireOutcome),
        Op("acquire.inject", "Add events to an acquisition", AcquireInjectParams, AcquireInjectResult, OpClass.MOVE),
        Op("acquire.pause", "Begin no further event until resumed", AcquireTaskParams, TaskResult, OpClass.CANCEL),
        Op("acquire.resume", "Go on after a pause", AcquireTaskParams, TaskResult, OpClass.MOVE),
        Op("acquire.finish", "End after what waits now", AcquireTaskParams, TaskResult, OpClass.CANCEL),
        Op(
            "record.start",
            "Record all that happens from now on, with the frames",
            RecordStartParams,
            RecordResult,
            OpClass.RECORD,
        ),
        Op("record.stop", "End the recording", Empty, RecordResult, OpClass.RECORD),
        Op("rules.set", "Decide by these rules from now on", RulesSetParams, RulesResult, OpClass.RULES, dry_run=True),
        Op("rules.list", "The rules, and where each is", Empty, RulesResult, OpClass.READ),
        Op("rules.clear", "Decide by no rules any more", Empty, RulesResult, OpClass.RULES),
        Op("task.get", "One task, now or when it has ended", TaskGetParams, TaskResult, OpClass.READ),
        Op("task.list", "All tasks", Empty, TaskListResult, OpClass.READ),
        Op("task.cancel", "End a task early", TaskCancelParams, TaskResult, OpClass.CANCEL),
    )
}
"""Every op by its name."""

__all__ = [
    "OPS",
    "Accepted",
    "AcquireCheckParams",
    "AcquireCheckResult",
    "AcquireInjectParams",
    "AcquireInjectResult",
    "AcquireOutcome",
    "AcquireRunParams",
    "AcquireTaskParams",
    "CalibrateHologramOutcome",
    "CalibrateNextParams",
    "CalibrateOutcome",
    "CalibrateRunParams",
    "CameraResult",
    "CameraSetParams",
    "DescribeResult",
    "DryRun",
    "Empty",
    "EventsSinceParams",
    "EventsSinceResult",
    "FocusHoldParams",
    "FocusOutcome",
    "FocusRunParams",
    "FrameGetParams",
    "FrameResult",
    "HelloResult",
    "HoldOutcome",
    "LeaseParams",
    "LeaseResult",
    "MoveOutcome",
    "MoveParams",
    "Op",
    "OpClass",
    "PingResult",
    "PositionResult",
    "RecordResult",
    "RecordStartParams",
    "ReleaseParams",
    "RulesResult",
    "RulesSetParams",
    "Scope",
    "SnapOutcome",
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
