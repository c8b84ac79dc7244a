"""What a rule is, as a person writes it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from microscoped.daemon.protocol.envelope import Message
from microscoped.daemon.protocol.params import Number
from microscoped.daemon.rules.actions import Action, dose_ms
from microscoped.daemon.rules.language import MOST_CHARACTERS

MOST_RULES = 64
Seconds = Annotated[Number, Field(ge=0, le=86_400)]
Light = Annotated[Number, Field(gt=0, le=86_400_000)]
Condition = Annotated[str, Field(max_length=2 * MOST_CHARACTERS)]


class Budget(Message):
    """How much a rule may do within any hour.

    Parameters
    ----------
    per_h
        How often it may fire.
    dose_ms_per_h
        How much light its actions may give, in milliseconds of exposure.
    """

    per_h: Annotated[StrictInt, Field(ge=1, le=3_600)] | None = None
    dose_ms_per_h: Light | None = None


class Rule(Message):
    """A condition over measurements, and what is done when it begins to hold.

    Parameters
    ----------
    name
        Its topic is ``v1.decision.<name>.``.
    when
        The condition.
    unless
        While this holds, or while it is not known whether it does, the rule does not fire.
    until
        When what it fired for is over, so that it can fire again; by default when `when` does not hold any more.
    band
        The same for a `when` that is a single comparison: it is over when the value is back by so much.
    repeat
        Whether it fires again after each `cool_down_s` while the condition goes on.
    hold_s
        How long the condition must have held without a break.
    cool_down_s
        Least time from one firing to the next.
    max_age_s
        Measurements of frames that were exposed longer ago are not known any more.
    budget
        How much it may do within any hour.
    priority
        Of two rules that act on the same thing the higher one goes first, and the lower one waits for its end.
    action
        What is done.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    when: Condition
    unless: Condition | None = None
    until: Condition | None = None
    band: Annotated[str, Field(max_length=100)] | Number | None = None
    repeat: StrictBool = False
    hold_s: Seconds = 0
    cool_down_s: Seconds = 0
    max_age_s: Annotated[Number, Field(ge=0.01, le=86_400)] = 10
    budget: Budget = Budget()
    priority: Annotated[StrictInt, Field(ge=0, le=100)] = 0
    action: Action

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.until is not None and self.band is not None:
            raise ValueError("until and band both say when it is over; give one of them")
        if self.repeat and not self.cool_down_s:
            raise ValueError("repeat needs cool_down_s above 0: else it would fire with every measurement")
        limit, most = self.budget.dose_ms_per_h, dose_ms(self.action)
        if limit is not None and most is None:
            raise ValueError(
                f"budget.dose_ms_per_h {limit:g} needs action.dose_ms_most: how much light one firing gives"
            )
        if limit is not None and most is not None and most > limit:
            raise ValueError(
                f"action.dose_ms_most {most:g} is above budget.dose_ms_per_h {limit:g}, so it could never fire; raise "
                "the budget, or shorten the action"
            )
        return self


class RuleSet(Message):
    """All rules of a session.

    Parameters
    ----------
    dose_ms_per_h
        How much light the specimen may get within any hour before rules stop adding to it: theirs and all other.
    rules
        The rules; their order means nothing.
    """

    dose_ms_per_h: Light | None = None
    rules: Annotated[tuple[Rule, ...], Field(max_length=MOST_RULES)] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules have the name {twice[0]}; give each its own")
        for rule in self.rules:
            most = dose_ms(rule.action)
            if self.dose_ms_per_h is not None and (most is None or most > self.dose_ms_per_h):
                said = "is missing" if most is None else f"{most:g} is above it, so it could never fire"
                raise ValueError(f"dose_ms_per_h {self.dose_ms_per_h:g}: action.dose_ms_most of {rule.name} {said}")
        return self


__all__ = ["MOST_RULES", "Budget", "Rule", "RuleSet"]
