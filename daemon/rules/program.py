"""Rules made ready to be evaluated: their expressions parsed, and what must be kept of measurements for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from microscoped.daemon.rules.actions import dose_ms
from microscoped.daemon.rules.errors import BadRulesError, ExpressionError, RuleProblem
from microscoped.daemon.rules.language import STANDARD, parse, release, together
from microscoped.daemon.rules.look import Memory
from microscoped.daemon.rules.model import RuleSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from microscoped.daemon.rules.language import Catalogue, Expression, Reads
    from microscoped.daemon.rules.model import Rule

MOST_SERIES: Final = 64
"""Windows of all rules together."""
MOST_TRACK_SERIES: Final = 4
"""And of these, windows of single cells."""
KEYS: Final = ("when", "unless", "until", "band")


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its expressions parsed.

    Parameters
    ----------
    rule
        As it was written.
    when, unless, until
        Its conditions.
    hold_ns, cool_down_ns, max_age_ns
        Its times.
    dose_ms
        What one firing sets aside of a dose budget.
    engines, ages_ns
        Whose measurements it reads, and what their ages are compared with.
    """

    rule: Rule
    when: Expression
    unless: Expression | None
    until: Expression | None
    hold_ns: int
    cool_down_ns: int
    max_age_ns: int
    dose_ms: float
    engines: tuple[str, ...]
    ages_ns: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name


@dataclass(frozen=True, slots=True)
class Program:
    """All rules of a session, in the order in which they are looked at: by priority, then by name.

    Parameters
    ----------
    rules
        The rules.
    reads
        What they read, together.
    dose_ms_per_h
        As in `RuleSet`.
    memory
        Of looks at what is known; no part of the rules.
    """

    rules: tuple[CompiledRule, ...]
    reads: Reads
    dose_ms_per_h: float | None = None
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)


def compile_rules(rules: RuleSet, catalogue: Catalogue = STANDARD) -> Program:
    """Parse the expressions of rules.

    Raises
    ------
    BadRulesError
        With everything that is wrong with them.
    """
    problems: list[RuleProblem] = []
    compiled: list[CompiledRule] = []
    for rule in sorted(rules.rules, key=lambda rule: (-rule.priority, rule.name)):
        found: dict[str, Expression] = {}
        for key in KEYS:
            written = getattr(rule, key)
            if written is None or (key == "band" and "when" not in found):
                continue
            try:
                found[key] = release(found["when"], written, catalogue) if key == "band" else parse(written, catalogue)
            except ExpressionError as error:
                problems.append(RuleProblem(f"rules.{rule.name}.{key}", error.detail, error))
        if "when" in found:
            compiled.append(_compiled(rule, found))
    reads = together([one.reads for rule in compiled for one in (rule.when, rule.unless, rule.until) if one])
    tracks = [key for key, series in reads.series.items() if series.table is not None]
    for what, most, number in (
        ("windows", MOST_SERIES, len(reads.series)),
        ("windows of single cells", MOST_TRACK_SERIES, len(tracks)),
    ):
        if number > most:
            problems.append(RuleProblem("rules", f"{number} different {what}, more than {most}; use the same ones"))
    if problems:
        raise BadRulesError(problems)
    limit = rules.dose_ms_per_h
    return Program(tuple(compiled), reads, None if limit is None else float(limit))


def read_rules(data: object, catalogue: Catalogue = STANDARD) -> Program:
    """Check rules that come from a file or a message, as plain data, and make them ready.

    Raises
    ------
    BadRulesError
        With everything that is wrong with them.
    """
    try:
        rules = RuleSet.model_validate(data)
    except ValidationError as error:
        problems = [_problem(item, data) for item in error.errors(include_url=False)]
        # A number that is neither a float nor an integer is found wrong twice.
        raise BadRulesError(list({one.place: one for one in reversed(problems)}.values())[::-1]) from None
    return compile_rules(rules, catalogue)


def _compiled(rule: Rule, found: Mapping[str, Expression]) -> CompiledRule:
    reads = together([one.reads for one in found.values()])
    return CompiledRule(
        rule=rule,
        when=found["when"],
        unless=found.get("unless"),
        until=found.get("until") or found.get("band"),
        hold_ns=round(rule.hold_s * 1e9),
        cool_down_ns=round(rule.cool_down_s * 1e9),
        max_age_ns=round(rule.max_age_s * 1e9),
        dose_ms=dose_ms(rule.action) or 0.0,
        engines=tuple(sorted(reads.engines)),
        ages_ns=reads.ages_ns,
    )


def _problem(item: ErrorDetails, data: object) -> RuleProblem:
    """What pydantic found, with the rule's name in place of its number, and without the names of alternatives."""
    place, here = [], data
    for at, part in enumerate(item["loc"]):
        missing = item["type"] == "missing" and at == len(item["loc"]) - 1
        if isinstance(here, dict) and (part in here or missing):
            here = here.get(part)
            place.append(str(part))
        elif isinstance(here, list | tuple) and isinstance(part, int) and part < len(here):
            here = here[part]
            name = here.get("name") if isinstance(here, dict) else None
            place.append(name if isinstance(name, str) and name else str(part))
    where = ".".join(place) or "rules"
    if item["type"] == "extra_forbidden":
        return RuleProblem(where, "there is no such key; take it out")
    if item["type"] == "missing":
        return RuleProblem(where, "is required; add it")
    message = item["msg"].removeprefix("Value error, ")
    found = "" if isinstance(item["input"], dict | list | tuple) else f"{str(item['input'])[:80]!r}: "
    return RuleProblem(where, f"{found}{message[:1].lower()}{message[1:]}")


__all__ = ["CompiledRule", "Program", "compile_rules", "read_rules"]
