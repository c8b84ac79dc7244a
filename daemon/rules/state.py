"""What the rules hear, know and decide: frozen data, so that the reducer can hold it and the journal can keep it."""
# ruff: noqa: TC001, TC002, TC003 - the journal reads these types at run time

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from pydantic import JsonValue

from microscoped.daemon.rules.actions import Action
from microscoped.daemon.rules.series import Numbers, Tallies
from microscoped.daemon.rules.tracks import Tracks

# --- what is heard ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measurement:
    """An engine's measurement of one frame.

    Parameters
    ----------
    engine
        Which engine.
    id
        Of the measurement: what a decision names as its cause.
    frame
        Of the frame.
    at_ns
        When the frame's exposure began; windows and ages count from it.
    heard_ns
        When the loop handled it: the time of the decisions.
    values
        As in ``v1.measure.<engine>.``; a table is a list of rows, or a mapping of columns to lists.
    """

    engine: str
    id: str
    frame: str
    at_ns: int
    heard_ns: int
    values: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A timer that was set for the rules is due."""


@dataclass(frozen=True, slots=True)
class ActionEnded:
    """What a rule has begun is over.

    Parameters
    ----------
    number
        Of the decision.
    dose_ms
        Light that it gave; 0 where it was refused, ``None`` where that is not known: then its estimate stands.
    """

    number: int
    dose_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LightGiven:
    """Somebody else than a rule's action exposed the specimen for `dose_ms`: a stream, a person, the focus."""

    dose_ms: float


RulesInput: TypeAlias = Measurement | TimePassed | ActionEnded | LightGiven

# --- what is known ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Latest:
    """An engine's newest measurement, as far as rules read it.

    Parameters
    ----------
    id, frame, at_ns
        As in `Measurement`.
    values
        By path; ``None`` where it was not measured.
    tables
        Columns of its tables, by table; ``None`` for what was not measured; a truth value is 1 or 0.
    too_long
        Tables that have more rows than are looked at.
    """

    id: str
    frame: str
    at_ns: int
    values: Mapping[str, float | None]
    tables: Mapping[str, Mapping[str, tuple[float | None, ...]]]
    too_long: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Charge:
    """Light that one firing has given or may still give.

    Parameters
    ----------
    number
        Of the decision.
    dose_ms
        How much.
    ended_ns
        When it was over; ``None`` while it goes on.
    """

    number: int
    dose_ms: float
    ended_ns: int | None = None


class Phase(StrEnum):
    """Where a rule is.

    ::

        idle ──true──▶ holding ──held──▶ due ──nothing in the way──▶ active ──released──▶ idle
          ▲               │                │
          └───not true────┴────not true────┘
    """

    IDLE = "idle"
    """Its condition does not hold, or that is not known."""
    HOLDING = "holding"
    """It holds, but not long enough yet."""
    DUE = "due"
    """It would fire, but a cool-down, a budget or another rule is in the way."""
    ACTIVE = "active"
    """It has fired, and what it fired for is not over."""


class Obstacle(StrEnum):
    """Why a rule did not fire though its condition held, or held for a while."""

    HOLD = "hold"
    UNLESS = "unless"
    PRIORITY = "priority"
    COOL_DOWN = "cool_down"
    BUDGET = "budget"
    DOSE = "dose"
    SESSION_DOSE = "session_dose"


class DecisionKind(StrEnum):
    """What a decision says."""

    FIRED = "fired"
    """The action is to be done."""
    SUPPRESSED = "suppressed"
    """It would have been, but for an obstacle."""
    UNKNOWN = "unknown"
    """It cannot be told whether the condition holds."""
    RELEASED = "released"
    """What it fired for is over; it can fire again."""


@dataclass(frozen=True, slots=True)
class Said:
    """When something was last said of a rule, and how often it was not said again since then."""

    at_ns: int
    unsaid: int = 0


@dataclass(frozen=True, slots=True)
class RuleView:
    """Where one rule is.

    Parameters
    ----------
    phase, since_ns
        Its phase; in ``holding`` and ``due`` since when the condition holds.
    unknown
        Whether it could not be told, at the last look, if the condition holds.
    blocked, retry_ns
        In ``due``: what is in the way, and when that may be over; ``None`` where no time can be told.
    fired_ns
        When it last fired; ``None``: never.
    firings_ns
        When it fired within the last hour; only where a budget counts.
    charges
        Light of the last hour.
    said
        What was said lately, so that it is not said with every frame.
    """

    phase: Phase = Phase.IDLE
    since_ns: int = 0
    unknown: bool = False
    blocked: Obstacle | None = None
    retry_ns: int | None = None
    fired_ns: int | None = None
    firings_ns: tuple[int, ...] = ()
    charges: tuple[Charge, ...] = ()
    said: Mapping[str, Said] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RulesState:
    """All that the rules know.

    Parameters
    ----------
    began_ns
        Since when they watch.
    now_ns
        The time of the last step; it never goes back.
    decided
        How many decisions there were.
    late
        Measurements that were older than one that had come before, and were left out.
    latest
        By engine.
    numbers, tallies, tracks
        What windows hold, by what they are of.
    rules
        By name.
    light
        Others' light of the last hour.
    """

    began_ns: int
    now_ns: int
    decided: int = 0
    late: int = 0
    latest: Mapping[str, Latest] = field(default_factory=dict)
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    tallies: Mapping[str, Tallies] = field(default_factory=dict)
    tracks: Mapping[str, Tracks] = field(default_factory=dict)
    rules: Mapping[str, RuleView] = field(default_factory=dict)
    light: Numbers = field(default_factory=Numbers)


# --- what is decided --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cause:
    """A value that a decision rests on.

    Parameters
    ----------
    what
        Which, as it is written in expressions.
    low, high
        Bounds of the value: equal where it is exact, ``None`` where there is none. A truth value is 1 or 0.
    unit
        Of both.
    engine, measurement, frame, at_ns
        What told it; ``None`` where no measurement did.
    rows
        Of a table: the first rows for which the condition holds.
    """

    what: str
    low: float | None
    high: float | None
    unit: str
    engine: str
    measurement: str | None = None
    frame: str | None = None
    at_ns: int | None = None
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule concludes.

    Parameters
    ----------
    number
        1, 2, 3 … without gaps.
    rule, kind
        Which rule, and what is concluded.
    at_ns
        When.
    why
        The same in words.
    causes
        The values that it rests on.
    action
        What is to be done; only where it fired.
    by, retry_ns
        Where it was suppressed: by what, and when that may be over.
    unsaid
        How often the same was concluded since the last time it was said.
    """

    number: int
    rule: str
    kind: DecisionKind
    at_ns: int
    why: str
    causes: tuple[Cause, ...] = ()
    action: Action | None = None
    by: Obstacle | None = None
    retry_ns: int | None = None
    unsaid: int = 0

    @property
    def measurements(self) -> tuple[str, ...]:
        """Ids of the measurements that led to it, each once."""
        return tuple(dict.fromkeys(cause.measurement for cause in self.causes if cause.measurement is not None))


__all__ = [
    "ActionEnded",
    "Cause",
    "Charge",
    "Decision",
    "DecisionKind",
    "Latest",
    "LightGiven",
    "Measurement",
    "Numbers",
    "Obstacle",
    "Phase",
    "RuleView",
    "RulesInput",
    "RulesState",
    "Said",
    "Tallies",
    "TimePassed",
    "Tracks",
]
