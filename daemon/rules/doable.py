"""Which actions this version can do: rules with others are refused before they watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.rules.actions import AcquireAction
from microscoped.daemon.rules.errors import RuleProblem

if TYPE_CHECKING:
    from microscoped.daemon.rules.model import RuleSet


def undoable(rules: RuleSet) -> list[RuleProblem]:
    """Return what of these rules nobody could do; nothing where all is well."""
    problems: list[RuleProblem] = []
    for rule in rules.rules:
        match rule.action:
            case AcquireAction():
                detail = "acquire: rules cannot begin acquisitions in this version; publish, and let a script do it"
                problems.append(RuleProblem(f"rules.{rule.name}.action.do", detail))
    return problems


__all__ = ["undoable"]
