"""Rules as a pure function: ``step(program, state, heard, now) → (state, decisions)``.

No clock, no randomness, no arithmetic that differs between machines: the same inputs at the same times give the same
decisions, from any state that was kept on the way. A rule fires when its condition begins to hold, once; then again
when the condition was over in between. Each rule goes through the phases of `Phase`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from microscoped.daemon.rules._absorb import absorb
from microscoped.daemon.rules._budget import HOUR_NS, firings_left_ns, light_left_ns, spend, trim
from microscoped.daemon.rules.language import Condition
from microscoped.daemon.rules.look import Look
from microscoped.daemon.rules.series import Numbers, Tallies, add_number
from microscoped.daemon.rules.state import (
    ActionEnded,
    Decision,
    DecisionKind,
    LightGiven,
    Measurement,
    Obstacle,
    Phase,
    RulesState,
    RuleView,
    Said,
    TimePassed,
)

if TYPE_CHECKING:
    from microscoped.daemon.rules.language import Expression
    from microscoped.daemon.rules.program import CompiledRule, Program
    from microscoped.daemon.rules.state import Cause, RulesInput

SAY_AGAIN_NS = 10_000_000_000
"""What does not fire is said once in so long, for each rule and each reason: it might be true of every frame."""


def begin(program: Program, now_ns: int) -> RulesState:
    """Return what is known when the rules begin to watch: nothing."""
    return RulesState(
        began_ns=now_ns,
        now_ns=now_ns,
        tallies={key: Tallies(now_ns) for key in _tallied(program)},
        rules={rule.name: RuleView(since_ns=now_ns) for rule in program.rules},
    )


def adopt(program: Program, state: RulesState, now_ns: int) -> RulesState:
    """Return what is known when the rules have been changed.

    A rule that keeps its name keeps its cool-down and what it has spent; its condition is looked at anew. Windows that
    are still needed stay. Light of rules that are gone counts as anybody's.
    """
    names = {rule.name for rule in program.rules}
    light = state.light.slots
    for name, view in sorted(state.rules.items()):
        for charge in () if name in names else trim(view, now_ns).charges:
            light = add_number(light, max(now_ns, state.now_ns), charge.dose_ms, HOUR_NS)
    kept = {
        name: replace(view, phase=Phase.IDLE, since_ns=now_ns, blocked=None, retry_ns=None, unknown=False, said={})
        for name, view in state.rules.items()
    }
    series, fresh = program.reads.series, RuleView(since_ns=now_ns)
    return replace(
        state,
        now_ns=max(now_ns, state.now_ns),
        # What the old rules did not read was not kept: all is read anew of the next measurements.
        latest={name: replace(latest, values={}, tables={}) for name, latest in state.latest.items()},
        numbers={key: value for key, value in state.numbers.items() if key in series},
        tallies={key: state.tallies.get(key, Tallies(now_ns)) for key in _tallied(program)},
        tracks={key: value for key, value in state.tracks.items() if key in series},
        rules={rule.name: kept.get(rule.name, fresh) for rule in program.rules},
        light=Numbers(light),
    )


def step(
    program: Program, state: RulesState, heard: RulesInput, now_ns: int
) -> tuple[RulesState, tuple[Decision, ...]]:
    """Hear something, and look at the rules that it may concern: those that read what was measured, or all on time.

    Where an action ended or light was given, those that wait for leave to act.

    Parameters
    ----------
    program
        The rules; those that `state` was begun or adopted with.
    state
        What is known.
    heard
        What happened.
    now_ns
        When, on the daemon's monotonic clock; a time before the last one counts as the last one.

    Returns
    -------
    state, decisions
        What is known now, and what follows from it, in the order of the rules' priorities.
    """
    now_ns = max(now_ns, state.now_ns)
    state = replace(state, now_ns=now_ns)
    match heard:
        case Measurement():
            state = absorb(program, state, heard, now_ns)
        case ActionEnded():
            state = _ended(state, heard, now_ns)
        case LightGiven() if heard.dose_ms > 0.0 and program.dose_ms_per_h is not None:
            slots = add_number(state.light.slots, now_ns, heard.dose_ms, HOUR_NS)
            state = replace(state, light=Numbers(slots))
    turn = _Turn(program, state, now_ns)
    for rule in program.rules:
        if _concerns(heard, rule, state.rules[rule.name]):
            turn.look_at(rule)
    return replace(state, rules=turn.views, decided=turn.decided), tuple(turn.decisions)


def _concerns(heard: RulesInput, rule: CompiledRule, view: RuleView) -> bool:
    """Whether a rule may decide otherwise than before: others say the same, or are looked at when it is time."""
    if view.phase is Phase.DUE or (view.phase is Phase.ACTIVE and rule.rule.repeat):
        return True  # it acts as soon as it is allowed to
    if isinstance(heard, Measurement):
        return heard.engine in rule.engines or any(heard.engine == engine for engine, _ in rule.ages_ns)
    return isinstance(heard, TimePassed)


def next_wake_ns(program: Program, state: RulesState) -> int | None:
    """Return when the rules should be looked at again if nothing is heard before; ``None``: never.

    It always lies after the last step.
    """
    times: list[int] = []
    for rule in program.rules:
        view = state.rules[rule.name]
        if view.phase is Phase.HOLDING:
            times.append(view.since_ns + rule.hold_ns)
        elif view.phase is Phase.DUE and view.retry_ns is not None:
            times.append(view.retry_ns)
        elif view.phase is Phase.ACTIVE and rule.rule.repeat and view.fired_ns is not None:
            times.append(max(view.fired_ns + rule.cool_down_ns, view.retry_ns or 0))
        # The first moment at which something is too old, or older than it is compared with.
        heard = [state.latest[engine].at_ns for engine in rule.engines if engine in state.latest]
        times.extend(at_ns + rule.max_age_ns + 1 for at_ns in heard)
        for engine, age_ns in rule.ages_ns:
            since = state.latest[engine].at_ns if engine in state.latest else state.began_ns
            times.extend((since + age_ns, since + age_ns + 1))
    return min((time for time in times if time > state.now_ns), default=None)


class _Turn:
    """One look at all rules."""

    def __init__(self, program: Program, state: RulesState, now_ns: int) -> None:
        self.views: dict[str, RuleView] = {name: trim(view, now_ns) for name, view in state.rules.items()}
        self.decisions: list[Decision] = []
        self.decided = state.decided
        self._program = program
        self._state = state
        self._now_ns = now_ns
        self._look = Look(state, now_ns, 0, program.memory)

    def look_at(self, rule: CompiledRule) -> None:
        """Look at one rule."""
        self._look.max_age_ns = rule.max_age_ns
        view = self.views[rule.name]
        holds = rule.when.condition.truth(self._look)
        if view.phase is Phase.ACTIVE:
            self._look_at_active(rule, holds)
            return
        barred = False
        if holds and rule.unless is not None:
            unless = rule.unless.condition.truth(self._look)
            barred = unless is True
            holds = None if unless is None else not unless
        if not holds:
            self._not_true(rule, unknown=holds is None, barred=barred)
            return
        if view.phase is Phase.IDLE:
            self._change(rule, phase=Phase.HOLDING, since_ns=self._now_ns, unknown=False)
        if self._now_ns - self.views[rule.name].since_ns >= rule.hold_ns:
            self._try_to_fire(rule)

    def _look_at_active(self, rule: CompiledRule, holds: bool | None) -> None:
        """See whether it is over what a rule fired for, or time to fire again."""
        over = rule.until.condition.truth(self._look) if rule.until is not None else holds is False
        if over:
            self._change(rule, phase=Phase.IDLE, since_ns=self._now_ns, unknown=False, blocked=None, retry_ns=None)
            condition = rule.until or rule.when
            why = f"{condition.text}{'' if rule.until else ' does not hold any more'}"
            self._decide(rule, DecisionKind.RELEASED, why, (condition,))
        elif rule.rule.repeat and holds:
            unless = rule.unless.condition.truth(self._look) if rule.unless is not None else False
            if unless is False and self._now_ns >= (self.views[rule.name].fired_ns or 0) + rule.cool_down_ns:
                self._try_to_fire(rule)

    def _not_true(self, rule: CompiledRule, *, unknown: bool, barred: bool) -> None:
        """Fall back to idle, and say what was near."""
        view = self.views[rule.name]
        if view.phase is Phase.IDLE and view.unknown == unknown and view.blocked is None and not barred:
            return
        held_ns = self._now_ns - view.since_ns
        self._change(rule, phase=Phase.IDLE, since_ns=self._now_ns, unknown=unknown, blocked=None, retry_ns=None)
        if barred and rule.unless is not None:
            if view.blocked is not Obstacle.UNLESS:
                why = f"{rule.when.text}, but unless {rule.unless.text}"
                self._say(rule, DecisionKind.SUPPRESSED, why, (rule.when, rule.unless), Obstacle.UNLESS)
            self._change(rule, blocked=Obstacle.UNLESS)
        elif view.phase is Phase.HOLDING:
            why = f"{rule.when.text} held for {held_ns * 1e-9:.3g} s of {rule.rule.hold_s:g} s"
            self._say(rule, DecisionKind.SUPPRESSED, why, (rule.when,), Obstacle.HOLD)
        if unknown and not view.unknown:
            parts = (rule.when, rule.unless) if rule.unless else (rule.when,)
            doubts = dict.fromkeys(doubt for part in parts if part for doubt in part.condition.doubts(self._look))
            self._say(rule, DecisionKind.UNKNOWN, "; ".join(doubts) or "it cannot be told", parts)

    def _try_to_fire(self, rule: CompiledRule) -> None:
        obstacle = self._obstacle(rule)
        if obstacle is None:
            self._fire(rule)
            return
        by, why, retry_ns = obstacle
        view = self.views[rule.name]
        if view.phase is not Phase.ACTIVE:
            self._change(rule, phase=Phase.DUE)
        self._change(rule, blocked=by, retry_ns=retry_ns)
        if view.blocked is not by:
            self._say(rule, DecisionKind.SUPPRESSED, f"{rule.when.text}, but {why}", (rule.when,), by, retry_ns)

    def _obstacle(self, rule: CompiledRule) -> tuple[Obstacle, str, int | None] | None:
        """Return what is in the way of firing, in words, and until when as far as that can be told."""
        view, budget = self.views[rule.name], rule.rule.budget
        resource = rule.rule.action.resource
        for other in self._program.rules:
            if other.rule.priority <= rule.rule.priority or resource is None:
                break
            if other.rule.action.resource == resource and self.views[other.name].phase is Phase.ACTIVE:
                return Obstacle.PRIORITY, f"{other.name} of higher priority has the {resource}", None
        if view.fired_ns is not None and self._now_ns < view.fired_ns + rule.cool_down_ns:
            until = view.fired_ns + rule.cool_down_ns
            left = (until - self._now_ns) * 1e-9
            return Obstacle.COOL_DOWN, f"it cools down for another {left:.3g} s", until
        retry = firings_left_ns(view, budget.per_h)
        if retry is not None:
            return Obstacle.BUDGET, f"it has fired {budget.per_h} times within an hour, as often as it may", retry
        if budget.dose_ms_per_h is not None:
            free, retry = light_left_ns(view.charges, (), rule.dose_ms, float(budget.dose_ms_per_h))
            if free < rule.dose_ms:
                why = f"{free:g} ms of its light per hour are left, and it may take {rule.dose_ms:g} ms"
                return Obstacle.DOSE, why, retry
        limit = self._program.dose_ms_per_h
        if limit is not None and rule.dose_ms > 0.0:
            charges = tuple(charge for other in self.views.values() for charge in other.charges)
            light = [slot for slot in self._state.light.slots if slot.at_ns > self._now_ns - HOUR_NS]
            free, retry = light_left_ns(charges, light, rule.dose_ms, limit)
            if free < rule.dose_ms:
                why = f"{max(free, 0.0):g} ms of all light per hour are left, and it may take {rule.dose_ms:g} ms"
                return Obstacle.SESSION_DOSE, why, retry
        return None

    def _fire(self, rule: CompiledRule) -> None:
        held_ns = self._now_ns - self.views[rule.name].since_ns
        why = f"{rule.when.text}{f' for {held_ns * 1e-9:.3g} s' if rule.hold_ns else ''}"
        charged = rule.rule.budget.dose_ms_per_h is not None or self._program.dose_ms_per_h is not None
        view = spend(
            self.views[rule.name],
            number=self.decided + 1,
            now_ns=self._now_ns,
            counted=rule.rule.budget.per_h is not None,
            dose_ms=rule.dose_ms if charged else 0.0,
        )
        self.views[rule.name] = replace(view, phase=Phase.ACTIVE, blocked=None, retry_ns=None, unknown=False)
        self._decide(rule, DecisionKind.FIRED, why, (rule.when,))

    def _change(self, rule: CompiledRule, **changes: Any) -> None:  # noqa: ANN401 - checked by replace
        self.views[rule.name] = replace(self.views[rule.name], **changes)

    def _say(
        self,
        rule: CompiledRule,
        kind: DecisionKind,
        why: str,
        conditions: tuple[Expression | None, ...],
        by: Obstacle | None = None,
        retry_ns: int | None = None,
    ) -> None:
        """Decide something that might be decided again and again; say it now and then."""
        view, key = self.views[rule.name], str(by or kind)
        before = view.said.get(key)
        if before is not None and self._now_ns - before.at_ns < SAY_AGAIN_NS:
            self._change(rule, said={**view.said, key: replace(before, unsaid=before.unsaid + 1)})
            return
        self._change(rule, said={**view.said, key: Said(self._now_ns)})
        self._decide(rule, kind, why, conditions, by, retry_ns, before.unsaid if before else 0)

    def _decide(
        self,
        rule: CompiledRule,
        kind: DecisionKind,
        why: str,
        conditions: tuple[Expression | None, ...],
        by: Obstacle | None = None,
        retry_ns: int | None = None,
        unsaid: int = 0,
    ) -> None:
        self.decided += 1
        causes = dict.fromkeys(cause for one in conditions if one for cause in one.condition.causes(self._look))
        if kind is not DecisionKind.UNKNOWN and causes:
            why = f"{why}; {', '.join(map(_shown, causes))}"
        self.decisions.append(
            Decision(
                number=self.decided,
                rule=rule.name,
                kind=kind,
                at_ns=self._now_ns,
                why=why,
                causes=tuple(causes),
                action=rule.rule.action if kind is DecisionKind.FIRED else None,
                by=by,
                retry_ns=retry_ns,
                unsaid=unsaid,
            )
        )


def _shown(cause: Cause) -> str:
    """A cause in words: ``cells.count = 120``."""
    low, high = ("?" if bound is None else f"{bound:.6g}" for bound in (cause.low, cause.high))
    value = low if low == high else f"{low}…{high}"
    return f"{cause.what} = {value}{f' {cause.unit}' if cause.unit else ''}"


def _ended(state: RulesState, ended: ActionEnded, now_ns: int) -> RulesState:
    """Put what an action has given in place of what was set aside for it."""
    views = {
        name: replace(
            view,
            charges=tuple(
                replace(
                    charge,
                    dose_ms=charge.dose_ms if ended.dose_ms is None else max(0.0, ended.dose_ms),
                    ended_ns=now_ns,
                )
                if charge.number == ended.number and charge.ended_ns is None
                else charge
                for charge in view.charges
            ),
        )
        if any(charge.number == ended.number for charge in view.charges)
        else view
        for name, view in state.rules.items()
    }
    return replace(state, rules=views)


def _tallied(program: Program) -> list[str]:
    """The windows in which conditions are counted."""
    return [key for key, series in program.reads.series.items() if isinstance(series.of, Condition)]


__all__ = ["SAY_AGAIN_NS", "adopt", "begin", "next_wake_ns", "step"]
