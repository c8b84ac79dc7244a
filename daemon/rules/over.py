"""Rules tried on measurements that were recorded: when they would have fired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.rules.engine import begin, next_wake_ns, step
from microscoped.daemon.rules.errors import OrderError
from microscoped.daemon.rules.program import Program, compile_rules
from microscoped.daemon.rules.state import ActionEnded, DecisionKind, TimePassed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microscoped.daemon.rules.model import RuleSet
    from microscoped.daemon.rules.state import Decision, Measurement, RulesInput, RulesState


def evaluate_over(rules: RuleSet | Program, measurements: Iterable[Measurement]) -> list[Decision]:
    """Return what rules decide upon measurements, with the timers that they would have set in between.

    Nothing is done: actions end as they begin, having given all the light that was set aside for them. The rules begin
    to watch when the first measurement was heard.

    Parameters
    ----------
    rules
        Rules, or rules made ready.
    measurements
        In the order in which they were heard.

    Raises
    ------
    BadRulesError
        The rules cannot be used.
    OrderError
        A measurement was heard before the one that stands before it.
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

    for measured in measurements:
        now_ns = measured.heard_ns
        if state is None:
            state = begin(program, now_ns)
        if now_ns < state.now_ns:
            raise OrderError(
                f"measurement {measured.id}: heard_ns {now_ns} lies before {state.now_ns}, that of the one before it; "
                "give them in the order in which they were heard"
            )
        while (wake_ns := next_wake_ns(program, state)) is not None and wake_ns < now_ns:
            state = hear(state, TimePassed(), wake_ns)
        state = hear(state, measured, now_ns)
    return decisions


__all__ = ["evaluate_over"]
