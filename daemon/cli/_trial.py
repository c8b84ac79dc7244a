"""Rules from a file, and what they would have decided, as commands print it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from microscoped.daemon.cli._console import WRONG_USE, fail

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.daemon.record import Trial, Tried
    from microscoped.daemon.rules import Program

KEYS = ("dose_ms_per_h", "rules")


def rules_of(path: Path) -> Program:
    """Read the rules of a file of rules, or of a configuration; ends with exit code 2 where they cannot be used."""
    import yaml

    from microscoped.daemon.rules import BadRulesError, read_rules

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path}: cannot be read: {error.strerror}; give the path of a file with rules", WRONG_USE)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        fail(f"{path}: is no YAML: {error}", WRONG_USE)
    if isinstance(content, list):
        content = {"rules": content}
    if not isinstance(content, dict) or not content.get("rules"):
        fail(f"{path}: has no rules; write them as a list under 'rules:'", WRONG_USE)
    try:
        return read_rules({key: content[key] for key in KEYS if content.get(key) is not None})
    except BadRulesError as error:
        fail("\n".join(f"{path}: {problem}" for problem in error.problems), WRONG_USE)


def tell(trial: Trial, program: Program, *, everything: bool) -> None:
    """Print when rules would have fired, and how often."""
    for one in trial.decisions:
        decision = one.decision
        if everything or decision.kind == "fired":
            action = f" -> {decision.action.do}" if decision.action is not None else ""
            why_not = f" by {decision.by}" if decision.by is not None else ""
            typer.echo(f"{one.at_s:10.3f} s  {decision.rule}  {decision.kind}{why_not}: {decision.why}{action}")
    typer.echo(f"{trial.measurements} measurements in {trial.duration_s:.1f} s; nothing was executed")
    for rule in program.rules:
        counts = ((kind, trial.count(rule.name, kind)) for kind in ("suppressed", "unknown"))
        rest = "".join(f", {kind} {count}" for kind, count in counts if count)
        typer.echo(f"{rule.name}: would have fired {trial.count(rule.name, 'fired')}{rest}")


def as_data(trial: Trial) -> dict[str, Any]:
    """What was found, for programs."""
    return {
        "inputs": trial.inputs,
        "measurements": trial.measurements,
        "duration_s": trial.duration_s,
        "decisions": [_decision(one) for one in trial.decisions],
    }


def _decision(one: Tried) -> dict[str, Any]:
    decision = one.decision
    frames = dict.fromkeys(cause.frame for cause in decision.causes if cause.frame is not None)
    return {
        "at_s": one.at_s,
        "utc": one.utc,
        "number": decision.number,
        "rule": decision.rule,
        "kind": decision.kind.value,
        "why": decision.why,
        "by": decision.by,
        "action": None if decision.action is None else decision.action.model_dump(mode="json", exclude_none=True),
        "causes": [*decision.measurements, *frames],
    }


__all__ = ["as_data", "rules_of", "tell"]
