"""Which actions this version can do: rules with others are refused before they watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.rules.actions import CameraAction
from microscoped.daemon.rules.errors import RuleProblem

if TYPE_CHECKING:
    from microscoped.daemon.rules.model import RuleSet


def undoable(rules: RuleSet) -> list[RuleProblem]:
    """Return what of these rules nobody could do; nothing where all is well."""
    problems: list[RuleProblem] = []
    for rule in rules.rules:
        if isinstance(rule.action, CameraAction) and rule.action.fps is not None:
            detail = f"{rule.action.fps:g}: the frame rate cannot be set in this version; give exposure_ms alone"
            problems.append(RuleProblem(f"rules.{rule.name}.action.fps", detail))
    return problems


__all__ = ["undoable"]
