"""Ops on tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.core.effects import SetTimer
from microscoped.daemon.core.handlers import acquire, calibrate, calibrate_hologram, focus, hold, stage
from microscoped.daemon.core.state import (
    AcquireWork,
    CalibrateHologramWork,
    CalibrateWork,
    FocusWork,
    HoldWork,
    MoveWork,
    Outcome,
    TaskWait,
)
from microscoped.daemon.core.turn import task_data
from microscoped.daemon.protocol import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import TaskCancelParams, TaskGetParams, TaskListResult, TaskResult

if TYPE_CHECKING:
    from microscoped.daemon.core.state import Task
    from microscoped.daemon.core.turn import Ask, Turn


def get(turn: Turn, ask: Ask) -> None:
    """Answer with a task, now or when it has ended."""
    params: TaskGetParams = ask.params
    task = _find(turn, params.task)
    if task.ended or params.wait_ms == 0:
        turn.reply(ask.to, _result(task))
        return
    timer = f"task.{turn.new_id()}"
    turn.set(task_waits={**turn.state.task_waits, timer: TaskWait(task.id, ask.to)})
    turn.do(SetTimer(timer, turn.now.mono_ns + int(params.wait_ms * 1e6)))


def wait_over(turn: Turn, timer: str) -> None:
    """Answer a client that has waited long enough with the task as it is."""
    wait = turn.state.task_waits.get(timer)
    if wait is not None:
        turn.set(task_waits={key: value for key, value in turn.state.task_waits.items() if key != timer})
        turn.reply(wait.reply, _result(_find(turn, wait.task)))


def list_all(turn: Turn, ask: Ask) -> None:
    """Answer with all tasks that are remembered."""
    tasks = [task_data(task).model_dump(mode="json") for task in turn.state.tasks.values()]
    turn.reply(ask.to, TaskListResult(tasks=tasks))


def cancel(turn: Turn, ask: Ask) -> None:
    """End a task early; one that has ended already is left as it is."""
    params: TaskCancelParams = ask.params
    end_early(turn, _find(turn, params.task), "the task was cancelled")
    turn.reply(ask.to, _result(_find(turn, params.task)))


def end_early(turn: Turn, task: Task, why: str) -> None:
    """End a task, or have it end as soon as it can; one that has ended already is left as it is."""
    match task.work:
        case None:
            pass
        case MoveWork():
            stage.cancel(turn, task, why)
        case FocusWork():
            focus.cancel(turn, task, why)
        case HoldWork():
            hold.cancel(turn, task, why)
        case CalibrateWork():
            calibrate.cancel(turn, task, why)
        case CalibrateHologramWork():
            calibrate_hologram.cancel(turn, task, why)
        case AcquireWork():
            acquire.cancel(turn, task, why)
        case _:
            turn.end_task(task, Outcome("cancelled", error=ErrorBody.of(ErrorCode.CANCELLED, why)))


def _find(turn: Turn, task: str) -> Task:
    found = turn.state.tasks.get(task)
    if found is None:
        kept = turn.state.settings.kept_tasks
        raise RefusedError(ErrorCode.NOT_FOUND, f"no task {task!r}; the last {kept} that ended are remembered")
    return found


def _result(task: Task) -> TaskResult:
    return TaskResult(task=task_data(task).model_dump(mode="json"))
