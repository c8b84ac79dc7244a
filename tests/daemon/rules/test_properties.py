"""What holds whatever is measured: cool-downs and budgets are kept, and the same inputs give the same decisions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter

from microscoped.daemon.rules import (
    ActionEnded,
    Decision,
    DecisionKind,
    LightGiven,
    Measurement,
    Phase,
    RulesState,
    TimePassed,
    begin,
    next_wake_ns,
    step,
)
from tests.daemon.rules_world import program, seconds

if TYPE_CHECKING:
    from microscoped.daemon.rules import Program, RulesInput

HOUR_NS = seconds(3600)
STATE: TypeAdapter[Any] = TypeAdapter(
    RulesState | None, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", extra="forbid", frozen=True)
)

RULES: list[dict[str, Any]] = [
    {
        "name": "burst",
        "when": "any(cells, area_um2 < 400 and rate(area_um2, over 200 s) < 0)",
        "cool_down_s": 300,
        "budget": {"per_h": 3, "dose_ms_per_h": 900},
        "priority": 5,
        "action": {"do": "acquire", "sequence": {"stage_positions": []}, "dose_ms_most": 400},
    },
    {
        "name": "focus",
        "when": "sharpness.score < 0.8 * median(sharpness.score, over 20 min)",
        "until": "sharpness.score > 0.9 * median(sharpness.score, over 20 min)",
        "unless": "cells.count > 90",
        "hold_s": 30,
        "cool_down_s": 120,
        "repeat": True,
        "max_age_s": 600,
        "action": {"do": "focus", "dose_ms_most": 50},
    },
    {
        "name": "crowded",
        "when": "cells.count > 50",
        "band": 20,
        "budget": {"per_h": 2},
        "max_age_s": 900,
        "action": {"do": "camera", "fps": 5, "dose_ms_most": 300},
    },
    {"name": "often", "when": "count(cells.count > 50, over 30 min) >= 3", "action": {"do": "publish"}},
    {"name": "silent", "when": "age(sharpness) > 200 s", "action": {"do": "publish"}},
]
LIMIT_MS = 1000.0

GAPS = st.sampled_from([0.0, 0.1, 1.0, 30.0, 30.0, 119.9, 300.0, 700.0, 1800.0])
NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, 20.0, 45.0, 55.0, 95.0]))
CELL = st.fixed_dictionaries({"track": st.integers(-1, 3), "area_um2": st.sampled_from([None, 200.0, 390.0, 500.0])})
HEARD = st.one_of(
    st.fixed_dictionaries({"cells": st.lists(CELL, max_size=4), "count": NUMBERS}).map(lambda told: ("cells", told)),
    st.fixed_dictionaries({"score": NUMBERS}).map(lambda told: ("sharpness", told)),
    st.sampled_from([10.0, 200.0]).map(lambda dose: ("light", dose)),
    st.floats(0.0, 1.0).map(lambda part: ("ended", part)),
)
LIVES = st.lists(st.tuples(GAPS, HEARD, st.booleans()), max_size=40)


class Life:
    """Rules that hear a random life, and the light that their actions give."""

    def __init__(self, rules: Program) -> None:
        self.program = rules
        self.state = begin(rules, 0)
        self.decisions: list[Decision] = []
        self.light: list[tuple[int, int, str, float]] = []
        """When it began and ended, of which rule it is, and how much."""
        self._running: list[Decision] = []
        self._measured = 0

    def live(self, life: list[tuple[float, tuple[str, Any], bool]], turn: int | None = None) -> None:
        """Hear it all; before number `turn` the state is written as JSON and read back."""
        now_ns = 0
        for at, (gap_s, (kind, told), timers) in enumerate(life):
            now_ns += seconds(gap_s)
            while timers and (wake_ns := next_wake_ns(self.program, self.state)) is not None and wake_ns <= now_ns:
                assert wake_ns > self.state.now_ns
                self._hear(TimePassed(), wake_ns)
            if at == turn:
                self.state = STATE.validate_json(STATE.dump_json(self.state))
            self._tell(kind, told, now_ns)

    def _tell(self, kind: str, told: Any, now_ns: int) -> None:  # noqa: ANN401 - see HEARD
        if kind == "light":
            self.light.append((now_ns, now_ns, "", told))
            self._hear(LightGiven(told), now_ns)
        elif kind == "ended" and self._running:
            ended = self._running.pop(0)
            assert ended.action is not None
            most = getattr(ended.action, "dose_ms_most", 0.0) or 0.0
            self.light.append((ended.at_ns, now_ns, ended.rule, told * most))
            self._hear(ActionEnded(ended.number, told * most), now_ns)
        elif kind in ("cells", "sharpness"):
            self._measured += 1
            self._hear(Measurement(kind, f"m{self._measured}", "f", now_ns, now_ns, told), now_ns)

    def _hear(self, heard: RulesInput, now_ns: int) -> None:
        self.state, decided = step(self.program, self.state, heard, now_ns)
        self.decisions += decided
        self._running += [one for one in decided if one.kind is DecisionKind.FIRED]


def _fired(life: Life, rule: str) -> list[int]:
    return [one.at_ns for one in life.decisions if one.rule == rule and one.kind is DecisionKind.FIRED]


def _most_within_an_hour(light: list[tuple[int, int, str, float]], rules: set[str]) -> float:
    """The most light within any hour, where each action may have given all of its light at its worst moment."""
    mine = [one for one in light if one[2] in rules]
    ends = sorted({one[1] for one in mine})
    return max(
        (sum(dose for began, ended, _, dose in mine if ended > end - HOUR_NS and began <= end) for end in ends),
        default=0.0,
    )


@settings(deadline=None, max_examples=40)
@given(LIVES)
def test_cool_downs_and_budgets_are_kept(life: list[tuple[float, tuple[str, Any], bool]]) -> None:
    rules = program(*RULES)
    lived = Life(rules)
    lived.live(life)
    for rule in rules.rules:
        fired = _fired(lived, rule.name)
        assert all(later - earlier >= rule.cool_down_ns for earlier, later in pairwise(fired))
        most = rule.rule.budget.per_h
        if most is not None:
            assert all(later - earlier >= HOUR_NS for earlier, later in zip(fired, fired[most:], strict=False))
    assert _most_within_an_hour(lived.light, {"burst"}) <= 900.0


@settings(deadline=None, max_examples=40)
@given(LIVES)
def test_rules_add_no_light_beyond_that_of_the_session(life: list[tuple[float, tuple[str, Any], bool]]) -> None:
    lived = Life(program(*RULES, dose_ms_per_h=LIMIT_MS))
    # Light that others give may exceed any budget; here there is none.
    lived.live([one for one in life if one[1][0] != "light"])
    assert _most_within_an_hour(lived.light, {rule["name"] for rule in RULES}) <= LIMIT_MS


@settings(deadline=None, max_examples=40)
@given(LIVES)
def test_no_rule_fires_once_others_have_used_up_the_light(life: list[tuple[float, tuple[str, Any], bool]]) -> None:
    lived = Life(program(*RULES, dose_ms_per_h=LIMIT_MS))
    lived.live([(0.0, ("light", 700.1), True), *[(min(gap, 50.0), told, timers) for gap, told, timers in life]])
    assert {one.rule for one in lived.decisions if one.kind is DecisionKind.FIRED and one.at_ns < HOUR_NS} <= {
        *("focus", "often", "silent")
    }


@settings(deadline=None, max_examples=40)
@given(LIVES, st.integers(0, 40))
def test_the_same_life_gives_the_same_decisions_also_from_a_state_that_was_written(
    life: list[tuple[float, tuple[str, Any], bool]], turn: int
) -> None:
    lived, again = Life(program(*RULES)), Life(program(*reversed(RULES)))
    lived.live(life)
    again.live(life, turn)
    assert again.decisions == lived.decisions
    assert again.state == lived.state
    assert [one.number for one in lived.decisions] == list(range(1, len(lived.decisions) + 1))


@settings(deadline=None, max_examples=40)
@given(LIVES)
def test_decisions_alternate_and_fired_ones_have_causes(life: list[tuple[float, tuple[str, Any], bool]]) -> None:
    lived = Life(program(*RULES))
    lived.live(life)
    for rule in lived.program.rules:
        mine = [one for one in lived.decisions if one.rule == rule.name]
        told = [one.kind for one in mine if one.kind in (DecisionKind.FIRED, DecisionKind.RELEASED)]
        if not rule.rule.repeat:
            assert all(one is not other for one, other in pairwise(told))
        assert (lived.state.rules[rule.name].phase is Phase.ACTIVE) == (told[-1:] == [DecisionKind.FIRED])
        for one in mine:
            assert (one.action is not None) == (one.kind is DecisionKind.FIRED)
            assert (one.by is not None) == (one.kind is DecisionKind.SUPPRESSED)
            assert one.causes
            assert one.at_ns <= lived.state.now_ns
