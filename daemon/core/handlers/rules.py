"""Rules closed over measurements, camera, stage and recording: what they hear, say and have done."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.arbiter import Claim, Rank
from microscoped.daemon.core.effects import ClearTimer, SetTimer
from microscoped.daemon.core.handlers import acquire, camera, focus, lease, record, stage
from microscoped.daemon.core.inputs import Peer
from microscoped.daemon.core.modes import TABLE
from microscoped.daemon.core.state import MoveWork
from microscoped.daemon.core.turn import Ask, plain
from microscoped.daemon.core.views import Acting, ReplyTo
from microscoped.daemon.protocol import ErrorBody, ErrorCode, OpClass, RefusedError
from microscoped.daemon.protocol.events import CauseData, DecisionData, FrameData, decision_topic
from microscoped.daemon.protocol.instrument import RuleStatus
from microscoped.daemon.protocol.ops import RulesResult, RulesSetParams
from microscoped.daemon.protocol.params import AcquireRunParams, FocusRunParams
from microscoped.daemon.rules import (
    AcquireAction,
    ActionEnded,
    BadRulesError,
    CameraAction,
    DecisionKind,
    FocusAction,
    InjectAction,
    LightGiven,
    Measurement,
    MoveAction,
    Program,
    RecordAction,
    RuleSet,
    TimePassed,
    adopt,
    begin,
    compile_rules,
    next_wake_ns,
    read_rules,
)
from microscoped.daemon.rules import step as step_rules
from microscoped.drivers.errors import MotionRefusedError
from microscoped.drivers.protocols import CameraSettings
from microscoped.drivers.safety import Origin, check_move

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import AcquisitionProgressed, InjectionEnded
    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.rules import Action, Decision, RulesInput

TIMER = "rules"
FRAME = "frame"
"""Under this name the headers of frames are measurements."""
MOST_PROGRAMS = 8
_programs: dict[int, tuple[RuleSet, Program]] = {}
"""Rules made ready, by their identity: what follows from them is no part of the state."""


def program_of(rules: RuleSet) -> Program:
    """Return rules made ready."""
    found = _programs.get(id(rules))
    if found is None:
        if len(_programs) >= MOST_PROGRAMS:
            _programs.clear()
        found = _programs[id(rules)] = rules, compile_rules(rules)
    return found[1]


# --- ops --------------------------------------------------------------------------------------------------------------


def replace_all(turn: Turn, ask: Ask) -> None:
    """Decide by other rules."""
    params: RulesSetParams = ask.params
    data = params.model_dump(exclude_none=True)
    try:
        read_rules(data)
        rules = RuleSet.model_validate(data)
    except BadRulesError as error:
        raise RefusedError(ErrorCode.INVALID, str(error), {"problems": _problems(error)}) from None
    _use(turn, rules)
    list_all(turn, ask)


def clear(turn: Turn, ask: Ask) -> None:
    """Decide by no rules any more; what they have begun goes on."""
    _use(turn, RuleSet())
    list_all(turn, ask)


def list_all(turn: Turn, ask: Ask) -> None:
    """Answer with the rules, and where each is."""
    view = turn.state.rules
    told: list[RuleStatus] = []
    for compiled in program_of(view.rules).rules:
        rule: dict[str, JsonValue] = compiled.rule.model_dump(mode="json")
        where = view.known.rules.get(compiled.name) if view.known is not None else None
        if where is None:
            told.append(RuleStatus(rule=rule))
            continue
        ago_s = None if where.fired_ns is None else (turn.now.mono_ns - where.fired_ns) / 1e9
        status = RuleStatus(
            rule=rule,
            phase=where.phase.value,
            unknown=where.unknown,
            blocked=where.blocked,
            fired_ago_s=ago_s,
            dose_ms_h=sum(charge.dose_ms for charge in where.charges),
        )
        told.append(status)
    turn.reply(ask.to, RulesResult(rules=told, dose_ms_per_h=view.rules.dose_ms_per_h))


def _problems(error: BadRulesError) -> list[JsonValue]:
    names = ("place", "detail", "line", "column", "picture", "code")
    return [{name: getattr(problem, name) for name in names} for problem in error.problems]


def _use(turn: Turn, rules: RuleSet) -> None:
    view, now_ns = turn.state.rules, turn.now.mono_ns
    program = program_of(rules)
    names = {rule.name: rule.rule.action for rule in program.rules}
    before = {rule.name: rule.action for rule in view.rules.rules}
    # A change of the camera is over when its rule is: nobody would be released from it any more.
    over = [one for one in view.acting if one.task is None and names.get(one.rule) != before.get(one.rule)]
    for one in over:
        hear(turn, _finish(turn, one))
    view = turn.state.rules
    known = None if view.known is None else adopt(program, view.known, now_ns)
    turn.set(rules=replace(view, rules=rules, known=known))
    hear(turn, TimePassed())


# --- what they hear ---------------------------------------------------------------------------------------------------


def measured(turn: Turn, engine: str, frame: str, message: Mapping[str, JsonValue]) -> None:
    """Hear a measurement of a frame that was merely offered, by the event that told it."""
    view = turn.state.engines[engine]
    at_ns = next((at_ns for name, at_ns in view.offered if name == frame), None)
    data = message["data"]
    if at_ns is not None and isinstance(data, dict) and isinstance(data["values"], dict):
        _hear_measurement(turn, engine, frame, at_ns, message, data["values"])


def framed(turn: Turn, frame: FrameData, task: str | None, message: Mapping[str, JsonValue]) -> None:
    """Hear of a frame: the light that it took, and its header."""
    if turn.state.rules.known is None:
        return
    _shine(turn, frame, task)
    data = message["data"]
    if isinstance(data, dict):
        _hear_measurement(turn, FRAME, frame.frame, frame.exposure_start_ns, message, data)


def timer_fired(turn: Turn) -> None:
    """Look at the rules again, because it is time to."""
    turn.set(rules=replace(turn.state.rules, wake_ns=None))
    hear(turn, TimePassed())


def command_failed(turn: Turn, command: str, error: ErrorBody) -> None:
    """The camera did not take a change that a rule wanted."""
    for one in turn.state.rules.acting:
        if one.command == command:
            _refuse(turn, one.number, one.rule, error)
            hear(turn, _finish(turn, one))


def injected(turn: Turn, heard: InjectionEnded) -> None:
    """What a rule wanted to add to an acquisition was accepted, or was not."""
    for one in turn.state.rules.acting:
        if one.batch == heard.request and heard.error is not None:
            _refuse(turn, one.number, one.rule, heard.error)
            hear(turn, _finish(turn, one))
        elif one.batch == heard.request:
            _count_injected(turn, one, replace(one, accepted=True, frames_left=one.frames_left + heard.frames))


def frames_skipped(turn: Turn, heard: AcquisitionProgressed) -> None:
    """Frames that a rule has added to an acquisition will not come."""
    skips = heard.progress.get("new_skips")
    batches = [skip["batch"] for skip in skips if isinstance(skip, dict)] if isinstance(skips, list) else []
    for one in turn.state.rules.acting:
        missing = batches.count(one.batch)
        if one.batch is not None and one.task == heard.task and missing:
            _count_injected(turn, one, replace(one, frames_left=one.frames_left - missing))


def tend(turn: Turn) -> None:
    """Begin to watch when the microscope is open, and take note of actions that have ended."""
    view = turn.state.rules
    if view.known is None and view.rules.rules and turn.state.hardware_open:
        turn.set(rules=replace(view, known=begin(program_of(view.rules), turn.now.mono_ns)))
        hear(turn, TimePassed())
    for one in view.acting:
        task = turn.state.tasks.get(one.task) if one.task is not None else None
        if one.task is not None and (task is None or task.ended):
            # An exposure may have been under way when it was cut short.
            more_ms = 0.0 if task is not None and task.state == "done" else _exposure_ms(turn)
            hear(turn, _finish(turn, replace(one, dose_ms=one.dose_ms + more_ms)))


def hear(turn: Turn, heard: RulesInput) -> None:
    """Hear something: say what is decided, and have it done."""
    waiting = deque([heard])
    while waiting and (view := turn.state.rules).known is not None:
        program = program_of(view.rules)
        known, decisions = step_rules(program, view.known, waiting.popleft(), turn.now.mono_ns)
        turn.set(rules=replace(view, known=known))
        for decision in decisions:
            waiting.extend(_decided(turn, decision))
    _set_timer(turn)


def _hear_measurement(
    turn: Turn,
    engine: str,
    frame: str,
    at_ns: int,
    message: Mapping[str, JsonValue],
    values: Mapping[str, JsonValue],
) -> None:
    view = turn.state.rules
    reads = program_of(view.rules).reads
    if engine in reads.engines or any(engine == of for of, _ in reads.ages_ns):
        hear(turn, Measurement(engine, str(message["id"]), frame, at_ns, turn.now.mono_ns, values))


def _shine(turn: Turn, frame: FrameData, task: str | None) -> None:
    """Charge the light of a frame, and of those lost before it, to the action that it is for, or to nobody."""
    dose_ms = frame.exposure_ms * (1 + frame.lost_before)
    batch = frame.acquired.batch if frame.acquired is not None else None
    acting = turn.state.rules.acting
    injected = next((one for one in acting if one.batch is not None and (one.task, one.batch) == (task, batch)), None)
    if injected is not None:
        counted = replace(injected, dose_ms=injected.dose_ms + dose_ms, frames_left=injected.frames_left - 1)
        _count_injected(turn, injected, counted)
        return
    for one in acting:
        if one.task == task and one.batch is None:
            spent = replace(one, dose_ms=one.dose_ms + dose_ms)
            _change(turn, one, spent)
            if task is None and one.most_ms is not None and spent.dose_ms + frame.exposure_ms > one.most_ms:
                hear(turn, _finish(turn, spent))
                # It would go on to give light that nobody allowed.
                camera.submit_change(turn, CameraSettings(exposure_ms=one.before_ms), one.before_fps)
            return
    if turn.state.rules.rules.dose_ms_per_h is not None:
        hear(turn, LightGiven(dose_ms))


def _count_injected(turn: Turn, one: Acting, counted: Acting) -> None:
    """Take note of frames of an injection; it is over with the last of them."""
    _change(turn, one, counted)
    if counted.accepted and counted.frames_left <= 0:
        hear(turn, _finish(turn, counted))


def _set_timer(turn: Turn) -> None:
    view = turn.state.rules
    wake_ns = None if view.known is None else next_wake_ns(program_of(view.rules), view.known)
    if wake_ns != view.wake_ns:
        turn.do(ClearTimer(TIMER) if wake_ns is None else SetTimer(TIMER, wake_ns))
        turn.set(rules=replace(view, wake_ns=wake_ns))


def columns(turn: Turn, engine: str) -> list[JsonValue]:
    """Return the columns of an engine's table that the rules read."""
    reads = program_of(turn.state.rules.rules).reads
    tables = [name for name, table in reads.tables.items() if table.engine == engine]
    return [column for name in tables for column in sorted(reads.columns[name])]


# --- what they have done ----------------------------------------------------------------------------------------------


def _decided(turn: Turn, decision: Decision) -> list[RulesInput]:
    """Say a decision; where a rule fired, have its action done. Return what the rules must hear of it."""
    over = decision.kind in (DecisionKind.RELEASED, DecisionKind.FIRED)
    changes = [one for one in turn.state.rules.acting if over and one.task is None and one.rule == decision.rule]
    then: list[RulesInput] = [_finish(turn, one) for one in changes]
    action = decision.action
    data = DecisionData(
        rule=decision.rule,
        number=decision.number,
        kind=decision.kind.value,
        why=decision.why,
        values=[CauseData(**plain(cause)) for cause in decision.causes],
        action=None if action is None else action.model_dump(mode="json", exclude_none=True),
        by=decision.by,
        retry_ns=decision.retry_ns,
        unsaid=decision.unsaid,
    )
    frames = dict.fromkeys(cause.frame for cause in decision.causes if cause.frame is not None)
    topic = decision_topic(decision.rule)
    message = turn.publish(topic, data, (*decision.measurements, *frames))
    if action is None:
        return then
    cause = str(message["id"])
    before = turn.state, len(turn.effects)
    try:
        acting = _begin(turn, decision, action, cause)
    except RefusedError as refusal:
        # As of a request that is refused, nothing is left of what was done before that was found out.
        turn.state = before[0]
        del turn.effects[before[1] :]
        _refuse(turn, decision.number, decision.rule, refusal.body, cause)
        acting = None
    if acting is None:
        return [*then, ActionEnded(decision.number, 0.0)]
    view = turn.state.rules
    turn.set(rules=replace(view, acting=(*view.acting, acting)))
    return then


def _refuse(turn: Turn, number: int, rule: str, error: ErrorBody, *causes: str) -> None:
    """Say that an action could not be begun."""
    why = f"its action could not be begun: {error.detail}"
    data = DecisionData(rule=rule, number=number, kind="refused", why=why, error=error)
    turn.publish(decision_topic(rule), data, causes)


def _begin(turn: Turn, decision: Decision, action: Action, cause: str) -> Acting | None:
    """Begin an action; return what goes on, or ``None`` where it is done.

    Raises
    ------
    RefusedError
        It cannot be begun.
    """
    acting = Acting(decision.number, decision.rule)
    match action:
        case RecordAction():
            _check_mode(turn, OpClass.RECORD)
            if action.recording == "start":
                record.begin(turn, None, None, None)
            else:
                record.end(turn, f"the rule {decision.rule} wanted it", None)
        case CameraAction():
            _check_mode(turn, OpClass.MOVE)
            if action.exposure_ms is not None:
                camera.check_free(turn)
            view = turn.state.camera
            return replace(
                acting,
                command=camera.submit_change(turn, CameraSettings(exposure_ms=action.exposure_ms), action.fps),
                most_ms=None if action.dose_ms_most is None else float(action.dose_ms_most),
                before_ms=None if action.exposure_ms is None else view.settings.exposure_ms,
                before_fps=None if action.fps is None else view.fps or "free",
            )
        case MoveAction():
            return replace(acting, task=_move(turn, decision.rule, action, cause))
        case FocusAction():
            return replace(acting, task=_focus(turn, decision.rule, action, cause))
        case AcquireAction():
            return replace(acting, task=_acquire(turn, decision.rule, action, cause))
        case InjectAction():
            return _inject(turn, acting, action, decision)
        case _:
            pass
    return None


def _move(turn: Turn, rule: str, action: MoveAction, cause: str) -> str:
    _check_stage(turn)
    start_um = stage.known_position(turn)
    target_um = stage.resting_place(turn) + action.z_um if action.relative else action.z_um
    try:
        check_move(turn.state.settings.motion, start_um, target_um, Origin.CLIENT)
    except MotionRefusedError as error:
        raise RefusedError(error.code, str(error), {"z_um": target_um, "from_um": start_um}) from None
    task = turn.new_id()
    stage.take_stage(turn, Claim(task, f"stage.move by the rule {rule}", Rank.RULE))
    turn.begin_task(_ask(turn, cause, "stage.move"), task, MoveWork(target_um))
    stage.submit_move(turn, task, target_um, Origin.CLIENT)
    return task


def _focus(turn: Turn, rule: str, action: FocusAction, cause: str) -> str:
    _check_stage(turn)
    names = ("method", "range_um", "tolerance_um", "channel")
    work = focus.plan(turn, FocusRunParams(**{name: getattr(action, name) for name in names}), fallback=True)
    task = turn.new_id()
    stage.take_stage(turn, Claim(task, f"focus.run by the rule {rule}", Rank.RULE))
    turn.begin_task(_ask(turn, cause, "focus.run"), task, work)
    focus.go_on(turn, turn.state.tasks[task], work)
    return task


def _acquire(turn: Turn, rule: str, action: AcquireAction, cause: str) -> str:
    _check_stage(turn)
    params = AcquireRunParams(sequence=action.sequence, light_ms=action.dose_ms_most)
    ask = _ask(turn, cause, acquire.OP)
    return acquire.begin(turn, ask, params, Rank.RULE, f"{acquire.OP} by the rule {rule}")


def _inject(turn: Turn, acting: Acting, action: InjectAction, decision: Decision) -> Acting:
    _check_stage(turn)
    batch = f"{decision.rule}-{decision.number}"
    light_ms = None if action.dose_ms_most is None else float(action.dose_ms_most)
    frames = [cause.frame for cause in decision.causes if cause.frame is not None]
    task = acquire.inject_sequence(turn, batch, action.sequence, light_ms, decision.rule, frames)
    return replace(acting, task=task, batch=batch)


def _ask(turn: Turn, cause: str, op: str) -> Ask:
    """What stands for the request of a task that nobody asked for: the decision."""
    return Ask(ReplyTo(Peer(b""), cause, op, turn.now.mono_ns), None, None)


def _check_stage(turn: Turn) -> None:
    _check_mode(turn, OpClass.MOVE)
    lease.check(turn, None)


def _check_mode(turn: Turn, op_class: OpClass) -> None:
    """See that the daemon's state allows it.

    Rules change the camera only where they could move, too: ``stop`` means everything that they do.
    """
    verdict = TABLE[turn.state.mode][op_class]
    if verdict is not None:
        code, detail = verdict
        raise RefusedError(code, detail.format(reason=turn.state.reason), {"state": turn.state.mode})


def _exposure_ms(turn: Turn) -> float:
    return turn.state.camera.settings.exposure_ms or 0.0


def _finish(turn: Turn, one: Acting) -> ActionEnded:
    """An action is over; return what the rules must hear: how much light it gave."""
    view = turn.state.rules
    turn.set(rules=replace(view, acting=tuple(other for other in view.acting if other.number != one.number)))
    return ActionEnded(one.number, one.dose_ms)


def _change(turn: Turn, one: Acting, other: Acting) -> None:
    view = turn.state.rules
    turn.set(rules=replace(view, acting=tuple(other if old == one else old for old in view.acting)))
