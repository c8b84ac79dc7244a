"""What ends when a user's key is revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.core.handlers import lease, tasks
from microscoped.daemon.protocol import AlarmCode, ErrorBody, ErrorCode

if TYPE_CHECKING:
    from microscoped.daemon.core.turn import Turn


def revoke(turn: Turn, user: str) -> None:
    """End a user's tasks, lease and waiting requests, and say so by an alarm.

    A move ends where the stage is; a search returns to its start, as when it is cancelled.
    """
    why = f"the key of {user} was revoked"
    error = ErrorBody.of(ErrorCode.FORBIDDEN, why)
    state = turn.state
    kept_frames = tuple(wait for wait in state.frame_waits if wait.reply.peer.user != user)
    kept_tasks = {name: wait for name, wait in state.task_waits.items() if wait.reply.peer.user != user}
    waiting = [wait.reply for wait in state.frame_waits] + [wait.reply for wait in state.task_waits.values()]
    turn.set(frame_waits=kept_frames, task_waits=kept_tasks)
    for reply in waiting:
        if reply.peer.user == user:
            turn.refuse(reply, error)
    ended = [task for task in turn.state.tasks.values() if task.user == user and not task.ended]
    for task in ended:
        tasks.end_early(turn, task, why)
    had_lease = lease.take_away(turn, user)
    turn.alarm(
        AlarmCode.KEY_REVOKED,
        f"{why}: {len(ended)} of its tasks and {'its' if had_lease else 'no'} lease of the stage were ended",
        {"user": user, "tasks": [task.id for task in ended], "lease": had_lease},
    )


__all__ = ["revoke"]
