"""One turn of the reducer: a state being replaced, and the effects collected on the way.

Handlers change a `Turn`; seen from outside, `step` stays a pure function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from pydantic_core import to_jsonable_python

from microscoped.daemon.core.effects import (
    CancelCommand,
    ClearTimer,
    Effect,
    Forget,
    Measure,
    Publish,
    SendReply,
    SetTimer,
    Submit,
)
from microscoped.daemon.core.retries import remember_answer
from microscoped.daemon.core.state import Outcome, Pending, ReplyTo, State, Task, TopicView, Work
from microscoped.daemon.protocol import VERSION, ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.events import ALARM_TOPIC, STATE_TOPIC, AlarmData, StateData, TaskData, task_topic
from microscoped.daemon.protocol.ops import TaskResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from _typeshed import DataclassInstance
    from pydantic import JsonValue

    from microscoped.daemon.core.arbiter import Claim
    from microscoped.daemon.core.inputs import Now, Peer
    from microscoped.daemon.core.modes import Mode
    from microscoped.daemon.protocol import AlarmCode, Message
    from microscoped.drivers.commands import Command

KEPT_TOPICS = ("v1.state.", "v1.decision.", "v1.task.", "v1.alarm.")
"""What ``events.since`` can bring back."""
KEPT_EVENTS = 10_000
SILENCE_NS = 5_000_000_000
"""How much longer than its own time a hardware command may stay unanswered."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request on its way through a handler.

    Parameters
    ----------
    to, params
        Where the answer goes, and the op's parameters.
    not_after_ns
        Until when it may begin.
    leased
        Whether it came with the stage's lease.
    """

    to: ReplyTo
    params: Any
    not_after_ns: int | None
    leased: bool = False


class Turn:
    """See the module's docstring."""

    def __init__(self, state: State, now: Now) -> None:
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    def set(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of State, checked there
        """Replace fields of the state."""
        self.state = self.state.changed(changes)

    def do(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def new_id(self) -> str:
        """Return a fresh UUID: the session's own series, so that a replay hands out the same ones."""
        self.set(ids=self.state.ids + 1)
        return str(uuid5(UUID(self.state.session), str(self.state.ids)))

    # --- messages ---------------------------------------------------------------------------------------------

    def reply(self, to: ReplyTo, result: Message, frame: str | None = None) -> None:
        """Answer a request with its result; `frame` names the frame whose pixels go with it."""
        self._answer(to.peer, to.cause, {"ok": True, "result": result.model_dump(mode="json")}, frame)

    def refuse(self, to: ReplyTo, error: ErrorBody) -> None:
        """Answer a request with an error."""
        self.refuse_peer(to.peer, to.cause, error)

    def refuse_peer(self, peer: Peer, cause: str | None, error: ErrorBody) -> None:
        """Answer a message that may not even have an id."""
        self._answer(peer, cause, {"ok": False, "error": error.model_dump(mode="json")}, None)

    def _answer(self, peer: Peer, cause: str | None, body: Mapping[str, JsonValue], frame: str | None) -> None:
        message = {**self._envelope("reply"), "session": self.state.session, "cause": cause, **body}
        self.do(SendReply(peer, message, frame))
        if cause is not None:
            for other in remember_answer(self, peer, cause, message):
                self.do(SendReply(other, message, frame))

    def publish(
        self,
        topic: str,
        data: Message,
        causes: Sequence[str] = (),
        plain_data: Mapping[str, JsonValue] | None = None,
    ) -> Mapping[str, JsonValue]:
        """Publish an event; return its message.

        Parameters
        ----------
        topic, data, causes
            Of the event.
        plain_data
            Fields of `data` that are JSON already, and too long to be checked and copied: they take the place of its
            own.
        """
        seen = self.state.topics.get(topic)
        view = TopicView(seq=seen.seq + 1 if seen else 1, data={**data.model_dump(mode="json"), **(plain_data or {})})
        message: dict[str, JsonValue] = {
            **self._envelope("event"),
            "topic": topic,
            "seq": view.seq,
            "session": self.state.session,
            "causes": list(causes),
            "data": dict(view.data),
        }
        self.set(topics={**self.state.topics, topic: view})
        if topic.startswith(KEPT_TOPICS):
            self.set(history=(*self.state.history, message)[-KEPT_EVENTS:])
        self.do(Publish(topic, message))
        return message

    def _envelope(self, kind: str) -> dict[str, JsonValue]:
        return {
            "v": VERSION,
            "id": self.new_id(),
            "type": kind,
            "ts": self.now.utc,
            "mono_ns": self.now.mono_ns,
        }

    def alarm(
        self,
        code: AlarmCode,
        detail: str,
        data: Mapping[str, JsonValue] | None = None,
        causes: Sequence[str] = (),
    ) -> None:
        """Say that something needs a person."""
        self.publish(ALARM_TOPIC, AlarmData(code=code, detail=detail, data=dict(data or {})), causes)

    def watch(self, code: AlarmCode, broken: bool, detail: str, data: Mapping[str, JsonValue] | None = None) -> None:
        """Raise an alarm when a condition begins, and clear it when it ends; say each only once."""
        if broken == (code in self.state.alarms):
            return
        self.set(alarms=self.state.alarms | {code} if broken else self.state.alarms - {code})
        self.publish(ALARM_TOPIC, AlarmData(code=code, cleared=not broken, detail=detail, data=dict(data or {})))

    # --- state ------------------------------------------------------------------------------------------------

    def enter(self, mode: Mode, reason: str = "") -> None:
        """Enter a mode and say so; entering the present one for the same reason does nothing."""
        if (mode, reason) != (self.state.mode, self.state.reason):
            self.set(mode=mode, reason=reason)
            self.publish_state()

    def publish_state(self) -> None:
        """Publish ``v1.state.``."""
        state = self.state
        self.publish(
            STATE_TOPIC,
            StateData(
                state=state.mode,
                reason=state.reason,
                z_um=state.stage.z_um,
                moving=state.stage.moving,
                streaming=state.camera.streaming,
                lease=state.lease.holder if state.lease else None,
                recording=state.recording.folder if state.recording and state.recording.state != "ended" else None,
            ),
        )

    # --- hardware and engines ---------------------------------------------------------------------------------

    def submit(
        self,
        build: Callable[[str], Command],
        *,
        op: str,
        own_time_s: float,
        task: str | None = None,
        reply: ReplyTo | None = None,
    ) -> str:
        """Hand a command to the hardware and remember who waits for its end; return its id.

        Raises
        ------
        RefusedError
            The microscope is not open.
        """
        if not self.state.hardware_open:
            raise RefusedError(ErrorCode.NOT_READY, f"the microscope is not open: {self.state.reason}")
        command = self.new_id()
        begins_ns = max([self.now.mono_ns, *(p.due_ns for p in self.state.pending.values())])
        due_ns = begins_ns + int(own_time_s * 1e9) + SILENCE_NS
        self.expect(command, Pending(op=op, due_ns=due_ns, task=task, reply=reply))
        self.do(SetTimer(f"silent.{command}", due_ns))
        self.do(Submit(build(command)))
        return command

    def measure(
        self, engine: str, frame: str, options: Mapping[str, JsonValue], *, task: str, earlier: Sequence[str] = ()
    ) -> None:
        """Have an engine measure a frame for a task, together with frames that were exposed `earlier`."""
        request = self.new_id()
        due_ns = self.now.mono_ns + SILENCE_NS
        self.expect(request, Pending(op=engine, due_ns=due_ns, task=task))
        self.do(SetTimer(f"silent.{request}", due_ns))
        self.do(Measure(request, engine, frame, options, tuple(earlier)))

    def expect(self, name: str, pending: Pending) -> None:
        """Remember who waits for `name`."""
        self.set(pending={**self.state.pending, name: pending})

    def settle(self, name: str) -> Pending | None:
        """Forget who waits for `name`, and return it."""
        pending = self.state.pending.get(name)
        if pending is not None:
            self.set(pending={key: value for key, value in self.state.pending.items() if key != name})
            self.do(ClearTimer(f"silent.{name}"))
        return pending

    # --- tasks ------------------------------------------------------------------------------------------------

    def begin_task(self, ask: Ask, task: str, work: Work) -> None:
        """Enter a task as running, answer its request, and publish it."""
        new = Task(id=task, op=ask.to.op, cause=ask.to.cause, state="running", work=work, user=ask.to.peer.user)
        self.set(tasks={**self.state.tasks, task: new})
        self.publish_task(new)

    def change_task(self, task: Task) -> None:
        """Put a changed task in its place."""
        self.set(tasks={**self.state.tasks, task.id: task})

    def publish_task(self, task: Task) -> None:
        """Publish ``v1.task.<task>.``."""
        self.publish(task_topic(task.id), task_data(task), (task.cause,))

    def end_task(self, task: Task, outcome: Outcome) -> None:
        """End a task: release the stage, forget what it waited for, answer who waited for it."""
        self.drop_pending(task.id)
        if self.state.claim is not None and self.state.claim.task == task.id:
            self.set(claim=None, stage=replace(self.state.stage, moving=False))
        ended = replace(task, state=outcome.state, work=None, result=outcome.result, error=outcome.error)
        self.change_task(ended)
        self.publish_task(ended)
        for timer, wait in list(self.state.task_waits.items()):
            if wait.task == task.id:
                self.reply(wait.reply, TaskResult(task=task_data(ended).model_dump(mode="json")))
                self.do(ClearTimer(timer))
                self.set(task_waits={key: value for key, value in self.state.task_waits.items() if key != timer})
        self._forget_old_tasks()

    def drop_pending(self, task: str) -> None:
        """Cancel and forget what a task waits for."""
        for name in [name for name, pending in self.state.pending.items() if pending.task == task]:
            self.settle(name)
            self.do(CancelCommand(name))

    def claim_stage(self, claim: Claim) -> None:
        """Give the stage to a task (see `microscoped.daemon.core.arbiter.contend`)."""
        self.set(claim=claim)

    def _forget_old_tasks(self) -> None:
        ended = [task for task in self.state.tasks.values() if task.ended]
        for task in ended[: max(0, len(ended) - self.state.settings.kept_tasks)]:
            self.set(
                tasks={key: value for key, value in self.state.tasks.items() if key != task.id},
                topics={key: value for key, value in self.state.topics.items() if key != task_topic(task.id)},
            )

    def forget_frames(self, frames: Sequence[str]) -> None:
        """Drop pixels that nothing refers to any more."""
        for frame in frames:
            if self.state.frame(frame) is None:
                self.do(Forget(frame))


def task_data(task: Task) -> TaskData:
    """A task as it goes over the wire."""
    return TaskData(
        task=task.id,
        op=task.op,
        state=task.state,
        progress=dict(task.progress),
        result=None if task.result is None else dict(task.result),
        error=task.error,
    )


def plain(record: DataclassInstance) -> dict[str, JsonValue]:
    """A plain dataclass as JSON."""
    found: dict[str, JsonValue] = to_jsonable_python(record)
    return found


__all__ = ["Ask", "Turn", "plain", "task_data"]
