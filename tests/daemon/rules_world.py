"""Rules that watch, and a clock that stands still until it is told to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microscoped.daemon.rules import (
    ActionEnded,
    DecisionKind,
    LightGiven,
    Measurement,
    TimePassed,
    adopt,
    begin,
    next_wake_ns,
    parse,
    read_rules,
    step,
)
from microscoped.daemon.rules.look import Look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microscoped.daemon.rules import Decision, Program, RulesInput

PUBLISH = {"do": "publish"}


def seconds(time_s: float) -> int:
    return round(time_s * 1e9)


def cells(count: float | None = None, rows: Sequence[Mapping[str, Any]] | None = None, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The values of a measurement of cells."""
    told = dict(values)
    if count is not None:
        told["count"] = count
    if rows is not None:
        told["cells"] = list(rows)
    return told


class Watch:
    """A set of rules, what they know, and what they have decided so far."""

    def __init__(self, *rules: Mapping[str, Any], **more: Any) -> None:  # noqa: ANN401 - of a set of rules
        self.program = program(*rules, **more)
        self.state = begin(self.program, 0)
        self.decisions: list[Decision] = []
        self._measured = 0

    def measure(self, at_s: float, engine: str = "cells", late_s: float = 0.0, **values: Any) -> list[Decision]:  # noqa: ANN401
        """Hear a measurement of a frame that was exposed at a time, `late_s` after it."""
        self._measured += 1
        heard_ns = seconds(at_s + late_s)
        name = f"m{self._measured}"
        return self.hear(Measurement(engine, name, f"f{self._measured}", seconds(at_s), heard_ns, values), heard_ns)

    def count(self, at_s: float, count: float | None) -> list[Decision]:
        return self.measure(at_s, count=count)

    def wait(self, until_s: float) -> list[Decision]:
        """Let time pass, with all timers that the rules want."""
        found: list[Decision] = []
        while (wake := next_wake_ns(self.program, self.state)) is not None and wake <= seconds(until_s):
            assert wake > self.state.now_ns
            found += self.hear(TimePassed(), wake)
        return found + self.hear(TimePassed(), seconds(until_s))

    def end(self, at_s: float, number: int, dose_ms: float | None = None) -> list[Decision]:
        return self.hear(ActionEnded(number, dose_ms), seconds(at_s))

    def shine(self, at_s: float, dose_ms: float) -> list[Decision]:
        return self.hear(LightGiven(dose_ms), seconds(at_s))

    def hear(self, heard: RulesInput, now_ns: int) -> list[Decision]:
        self.state, decided = step(self.program, self.state, heard, now_ns)
        self.decisions += decided
        return list(decided)

    def change(self, at_s: float, *rules: Mapping[str, Any], **more: Any) -> None:  # noqa: ANN401 - as above
        self.program = program(*rules, **more)
        self.state = adopt(self.program, self.state, seconds(at_s))

    @property
    def fired(self) -> list[tuple[str, float]]:
        """Which rules have fired, and when."""
        return [(one.rule, one.at_ns * 1e-9) for one in self.decisions if one.kind is DecisionKind.FIRED]


def program(*rules: Mapping[str, Any], **more: Any) -> Program:  # noqa: ANN401 - of a set of rules
    """Make rules ready; what they do not say is a name, and nothing but publishing."""
    told = [{"name": f"rule_{at}", "action": PUBLISH} | dict(rule) for at, rule in enumerate(rules)]
    return read_rules({"rules": told, **more})


def kinds(decisions: Sequence[Decision]) -> list[str]:
    """What was decided, in short: the kind, and what was in the way."""
    return [str(one.by or one.kind) for one in decisions]


def truth_of(source: str, *measured: tuple[float, str, dict[str, Any]], now_s: float | None = None) -> bool | None:
    """What an expression says after measurements: each a time, an engine and values."""
    watch = Watch({"when": source, "max_age_s": 1000})
    for at_s, engine, values in measured:
        watch.measure(at_s, engine, **values)
    end = now_s if now_s is not None else measured[-1][0]
    return parse(source).condition.truth(Look(watch.state, seconds(end), seconds(1000)))
