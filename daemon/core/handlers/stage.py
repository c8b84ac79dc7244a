"""Ops on the focus stage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.arbiter import Claim, Rank, contend
from microscoped.daemon.core.state import HoldWork, MoveWork, Outcome
from microscoped.daemon.core.turn import plain
from microscoped.daemon.protocol import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import Accepted, MoveParams
from microscoped.drivers.commands import MoveTo, ReadPosition
from microscoped.drivers.errors import MotionRefusedError
from microscoped.drivers.motion import Arrival
from microscoped.drivers.safety import Origin, check_move, way_points

if TYPE_CHECKING:
    from microscoped.daemon.core.inputs import CommandEnded
    from microscoped.daemon.core.state import Task
    from microscoped.daemon.core.turn import Ask, Turn


def position(turn: Turn, ask: Ask) -> None:
    """Read the stage now."""
    turn.submit(
        lambda command: ReadPosition(id=command, not_after_ns=ask.not_after_ns),
        op="stage.position",
        own_time_s=1,
        reply=ask.to,
    )


def move(turn: Turn, ask: Ask) -> None:
    """Begin a move."""
    params: MoveParams = ask.params
    start_um = known_position(turn)
    target_um = resting_place(turn) + params.z_um if params.relative else params.z_um
    try:
        check_move(turn.state.settings.motion, start_um, target_um, Origin.CLIENT)
    except MotionRefusedError as error:
        raise RefusedError(error.code, str(error), {"z_um": target_um, "from_um": start_um}) from None
    task = turn.new_id()
    take_stage(turn, Claim(task, ask.to.op, Rank.LEASED_OPERATOR if ask.leased else Rank.OPERATOR))
    turn.reply(ask.to, Accepted(task=task))
    turn.begin_task(ask, task, MoveWork(target_um))
    submit_move(turn, task, target_um, Origin.CLIENT, ask.not_after_ns)


def advance(turn: Turn, task: Task, ended: CommandEnded) -> None:
    """End a move."""
    if ended.error is not None:
        turn.end_task(task, Outcome("failed", error=ended.error))
    elif isinstance(ended.value, Arrival):
        turn.end_task(task, Outcome("done", result=plain(ended.value)))


def cancel(turn: Turn, task: Task, why: str) -> None:
    """Halt a move under way; the task ends at once, the stage where it is."""
    error = ErrorBody.of(ErrorCode.CANCELLED, f"{why}; the stage stays where it is")
    turn.end_task(task, Outcome("cancelled", error=error))


def known_position(turn: Turn) -> float:
    """Where the stage is, in µm.

    Raises
    ------
    RefusedError
        Code ``not_ready``: nobody has read it yet.
    """
    z_um = turn.state.stage.z_um
    if z_um is None:
        raise RefusedError(ErrorCode.NOT_READY, f"the stage's position is unknown: {turn.state.reason}")
    return z_um


def resting_place(turn: Turn) -> float:
    """Where the stage is; during an excursion of ``focus.hold`` the plane that it returns to.

    Raises
    ------
    RefusedError
        Code ``not_ready``, as above.
    """
    z_um = known_position(turn)
    work = turn.state.tasks[turn.state.claim.task].work if turn.state.claim else None
    return work.run.start_um if isinstance(work, HoldWork) and work.run is not None else z_um


def take_stage(turn: Turn, claim: Claim) -> None:
    """Claim the stage, and end the task that is preempted by it; ``focus.hold`` is only suspended.

    Raises
    ------
    RefusedError
        Code ``busy``.
    """
    preempted = contend(turn.state.claim, claim)
    holder = turn.state.tasks[preempted.task] if preempted is not None else None
    if holder is not None and isinstance(holder.work, HoldWork):
        turn.drop_pending(holder.id)
        due = f"{claim.op} interrupted it"
        turn.change_task(replace(holder, work=replace(holder.work.without_run(), plane_um=None, due=due)))
    elif holder is not None:
        error = ErrorBody.of(ErrorCode.PREEMPTED, f"{claim.op} took the stage", {"by": claim.op, "task": claim.task})
        turn.end_task(holder, Outcome("preempted", error=error))
    turn.claim_stage(claim)


def submit_move(
    turn: Turn, task: str, z_um: float, origin: Origin, not_after_ns: int | None = None, *, direct: bool = False
) -> None:
    """Send the stage somewhere for a task; a `direct` move arrives as it comes (see `MoveTo`)."""
    motion = turn.state.settings.motion
    legs = len(way_points(motion, turn.state.stage.z_um or 0.0, z_um))
    turn.set(stage=replace(turn.state.stage, moving=True))
    turn.submit(
        lambda command: MoveTo(id=command, z_um=z_um, origin=origin, direct=direct, not_after_ns=not_after_ns),
        op="move",
        own_time_s=legs * motion.timeout_s + motion.settle_ms / 1000,
        task=task,
    )
