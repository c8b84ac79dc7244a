"""The reducer: ``step(state, input, now) → (state, effects)``. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core._hardware import hardware_heard, note_fault
from microscoped.daemon.core._measures import frame_skipped, heartbeat, measure_ended
from microscoped.daemon.core._revoked import revoke
from microscoped.daemon.core.effects import Effect, Exit
from microscoped.daemon.core.handlers import HANDLERS, acquire, camera, hold, lease, record, rules, session, tasks
from microscoped.daemon.core.modes import TABLE, Mode
from microscoped.daemon.core.retries import is_retry
from microscoped.daemon.core.state import Outcome, ReplyTo
from microscoped.daemon.core.turn import Ask, Turn
from microscoped.daemon.protocol import OPS, AlarmCode, ErrorBody, ErrorCode, OpClass, RefusedError
from microscoped.daemon.protocol.envelope import explain
from microscoped.daemon.protocol.events import LOG_TOPIC, LogData
from microscoped.daemon.protocol.ops import DryRun

if TYPE_CHECKING:
    from microscoped.daemon.core.inputs import Input, Now, Peer
    from microscoped.daemon.core.state import State
    from microscoped.daemon.protocol import Op, Request


def step(state: State, heard: Input, now: Now) -> tuple[State, tuple[Effect, ...]]:
    """Handle one input.

    Parameters
    ----------
    state
        What is known; not changed.
    heard
        What happened.
    now
        When.

    Returns
    -------
    state, effects
        What is known now, and what is to be done, in order.
    """
    turn = Turn(state, now)
    match heard:
        case heard_of.StartedSafe():
            session.start_safe(turn, heard.reason)
        case heard_of.RequestReceived():
            _request(turn, heard.peer, heard.request)
        case heard_of.RequestRefused():
            turn.refuse_peer(heard.peer, heard.cause, heard.error)
        case heard_of.MeasureEnded():
            measure_ended(turn, heard)
        case heard_of.FrameSkipped():
            frame_skipped(turn, heard)
        case heard_of.TimerFired():
            _timer(turn, heard.timer)
        case heard_of.HeartbeatDue():
            heartbeat(turn, heard)
        case heard_of.JournalEnded():
            turn.alarm(AlarmCode.JOURNAL_ENDED, heard.detail, heard.data)
        case heard_of.RecordingBegan():
            record.began(turn, heard)
        case heard_of.FramesLeftOut():
            record.frames_left_out(turn, heard)
            acquire.frames_not_stored(turn, f"from {heard.frame} on, {heard.reason}")
        case heard_of.RecordingEnded():
            record.ended(turn, heard)
            if heard.failed:
                acquire.frames_not_stored(turn, f"it has ended: {heard.detail}")
        case heard_of.SequenceChecked():
            acquire.checked(turn, heard)
        case heard_of.InjectionEnded():
            acquire.injected(turn, heard)
            rules.injected(turn, heard)
        case heard_of.AcquisitionProgressed():
            acquire.progressed(turn, heard)
            rules.frames_skipped(turn, heard)
        case heard_of.FocusWanted():
            acquire.focus_wanted(turn, heard)
        case heard_of.AcquisitionEnded():
            acquire.ended(turn, heard)
            if heard.error is not None and heard.error.code is ErrorCode.FAULT_HARDWARE_SILENT:
                note_fault(turn, heard.error)  # of other faults the commands themselves tell
        case heard_of.LogWritten():
            entry = LogData(level=heard.level, logger=heard.logger, message=heard.message, dropped=heard.dropped)
            turn.publish(LOG_TOPIC, entry)
        case heard_of.KeyRevoked():
            revoke(turn, heard.user)
        case heard_of.ShutdownWanted():
            session.close(turn, heard.reason)
        case _:
            hardware_heard(turn, heard)
    acquire.tend(turn)
    hold.tend(turn)
    rules.tend(turn)
    _settle_mode(turn)
    return turn.state, tuple(turn.effects)


def _request(turn: Turn, peer: Peer, request: Request) -> None:
    to = ReplyTo(peer, str(request.id), request.op, turn.now.mono_ns)
    try:
        op = OPS.get(request.op)
        # Only what a client may do at all is answered from memory, or takes a place there.
        may = op is not None and op.allowed_to(peer.scope, keyed=peer.keyed)
        if op is not None and may and op.op_class is not OpClass.READ and is_retry(turn, peer, request):
            return
        ask = _checked(turn, to, op, request)
        if request.dry_run:
            trial = Turn(turn.state, turn.now)
            HANDLERS[request.op](trial, ask)
            begun = (task for name, task in trial.state.tasks.items() if name not in turn.state.tasks)
            turn.reply(to, DryRun(plan=next((dict(task.progress) for task in begun), {})))
        else:
            before = turn.state, len(turn.effects)
            try:
                HANDLERS[request.op](turn, ask)
            except RefusedError:
                # A refused request changes nothing: what the handler did before it found out is undone.
                turn.state = before[0]
                del turn.effects[before[1] :]
                raise
    except RefusedError as refusal:
        turn.refuse(to, refusal.body)


def _checked(turn: Turn, to: ReplyTo, op: Op | None, request: Request) -> Ask:
    """Check a request against registry, scope, state table, parameters and lease.

    Raises
    ------
    RefusedError
        With the code that the client sees.
    """
    if op is None:
        raise RefusedError(ErrorCode.UNKNOWN_OP, f"there is no op {request.op!r}; hello lists them all")
    if request.dry_run and not op.dry_run:
        raise RefusedError(ErrorCode.INVALID, f"{op.name} knows no dry_run; leave it out")
    peer = to.peer
    if not op.allowed_to(peer.scope, keyed=peer.keyed):
        may = peer.scope or "nothing any more"
        needed = op.scope_with_keys if peer.keyed else op.scope
        raise RefusedError(ErrorCode.FORBIDDEN, f"{op.name} needs the scope {needed}; this client may do: {may}")
    verdict = TABLE[turn.state.mode][op.op_class]
    if verdict is not None:
        code, detail = verdict
        raise RefusedError(code, detail.format(reason=turn.state.reason), {"state": turn.state.mode})
    try:
        params = op.params.model_validate(request.params)
    except ValidationError as error:
        raise RefusedError(ErrorCode.INVALID, explain(error, "params")) from None
    not_after_ns = None if request.deadline_ms is None else turn.now.mono_ns + int(request.deadline_ms * 1e6)
    leased = op.op_class is OpClass.MOVE and lease.check(turn, request.lease)
    return Ask(to, params, not_after_ns, leased)


def _timer(turn: Turn, timer: str) -> None:
    kind, _, name = timer.partition(".")
    match kind:
        case "task":
            tasks.wait_over(turn, timer)
        case "frame":
            camera.frame_wait_over(turn, timer)
        case "silent":
            _silent(turn, name)
        case "stop" if timer == session.STOP_REPLY_TIMER:
            session.stop_is_slow(turn)
        case "stop":
            session.stop_is_stuck(turn)
        case "lease":
            lease.expire(turn)
        case "hold":
            hold.timer_fired(turn, timer)
        case record.TIMER:
            record.waited_long(turn)
        case rules.TIMER:
            rules.timer_fired(turn)
        case "close":
            turn.do(Exit(1))


def _silent(turn: Turn, name: str) -> None:
    """A command or measurement has not ended in its time: something hangs."""
    pending = turn.settle(name)
    if pending is None:
        return
    detail = f"{pending.op} has not ended long after it should have: a driver or an engine hangs; restart the daemon"
    error = ErrorBody.of(ErrorCode.FAULT_HARDWARE_SILENT, detail)
    note_fault(turn, error)
    if pending.reply is not None:
        turn.refuse(pending.reply, error)
    if pending.task is not None:
        turn.end_task(turn.state.tasks[pending.task], Outcome("failed", error=error))


def _settle_mode(turn: Turn) -> None:
    """Keep IDLE and ACTIVE true to what goes on."""
    state = turn.state
    if state.mode in (Mode.IDLE, Mode.ACTIVE):
        busy = state.camera.streaming or any(not task.ended for task in state.tasks.values())
        turn.enter(Mode.ACTIVE if busy else Mode.IDLE)
    if state.stage.moving and state.claim is None:
        turn.set(stage=replace(turn.state.stage, moving=False))


__all__ = ["step"]
