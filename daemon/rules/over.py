"""Rules tried on measurements that were recorded: when they would have fired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.rules.engine import begin, next_wake_ns, step
from microscoped.daemon.rules.errors import OrderError
from microscoped.daemon.rules.program import Program, compile_rules
from microscoped.daemon.rules.state import ActionEnded, DecisionKind, Measurement, TimePassed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microscoped.daemon.rules.model import RuleSet
    from microscoped.daemon.rules.state import Decision, RulesInput, RulesState


def evaluate_over(rules: RuleSet | Program, measurements: Iterable[Measurement]) -> list[Decision]:
    """Return what rules decide upon measurements; see `evaluate`.

    Parameters
    ----------
    rules
        Rules, or rules made ready.
    measurements
        In the order in which they were heard.

    Raises
    ------
    BadRulesError, OrderError
        As of `evaluate`.
    """
    return evaluate(rules, ((measured, measured.heard_ns) for measured in measurements))


def evaluate(rules: RuleSet | Program, heard: Iterable[tuple[RulesInput, int]]) -> list[Decision]:
    """Return what rules decide upon what was heard, with the timers that they would have set in between.

    Nothing is done: actions end as they begin, having given all the light that was set aside for them. The rules begin
    to watch when the first input was heard.

    Parameters
    ----------
    rules
        Rules, or rules made ready.
    heard
        What was heard, and when, in that order.

    Raises
    ------
    BadRulesError
        The rules cannot be used.
    OrderError
        Something was heard before what stands before it.
    """
    program = rules if isinstance(rules, Program) else compile_rules(rules)
    state: RulesState | None = None
    decisions: list[Decision] = []

    def hear(state: RulesState, heard: RulesInput, now_ns: int) -> RulesState:
        state, decided = step(program, state, heard, now_ns)
        decisions.extend(decided)
        for decision in decided:
            if decision.kind is DecisionKind.FIRED:
                state = hear(state, ActionEnded(decision.number), now_ns)
        return state

    for one, now_ns in heard:
        first = state is None
        if state is None:
            state = begin(program, now_ns)
        if now_ns < state.now_ns:
            what = f"measurement {one.id}" if isinstance(one, Measurement) else type(one).__name__
            raise OrderError(
                f"{what}: heard_ns {now_ns} lies before {state.now_ns}, that of the one before it; "
                "give them in the order in which they were heard"
            )
        while (wake_ns := next_wake_ns(program, state)) is not None and wake_ns < now_ns:
            state = hear(state, TimePassed(), wake_ns)
        state = hear(state, one, now_ns)
        if first:
            state = hear(state, TimePassed(), now_ns)  # rules that read something else begin to watch, too
    return decisions


__all__ = ["evaluate", "evaluate_over"]
