"""The document of the rules says what is: its examples are accepted, its table of functions is complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from microscoped.daemon.rules import BadRulesError, DecisionKind, Obstacle, Rule, read_rules
from microscoped.daemon.rules.actions import Action
from microscoped.daemon.rules.language import FUNCTIONS, MOST_CHARACTERS, MOST_DEPTH, MOST_PARTS, UNITS, parse
from microscoped.daemon.rules.series import MOST_SLOTS
from microscoped.daemon.rules.tracks import MOST_TRACK_SLOTS
from tests.daemon.rules_world import Watch, kinds

TEXT = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_the_examples_are_accepted() -> None:
    programs = [read_rules(yaml.safe_load(example)) for example in EXAMPLES]
    assert [[rule.name for rule in program.rules] for program in programs] == [
        ["crowded"],
        ["rounding"],
        ["blurred"],
        ["fast", "slow"],
    ]


def _example(name: str) -> Watch:
    (found,) = [data for data in map(yaml.safe_load, EXAMPLES) if data["rules"][0]["name"] == name]
    rules = found.pop("rules")
    return Watch(*rules, **found)


def test_the_burst_fires_when_a_cell_has_rounded_up() -> None:
    watch = _example("rounding")
    watch.measure(0.0, "frame", moving=False)
    for at in range(0, 300, 20):
        row = {"track": 1, "area_um2": 700.0 - 2.0 * at, "max_opd_nm": 70.0 + at / 3.0, "border": False}
        watch.measure(at + 0.5, "frame", moving=False)
        watch.measure(at + 1.0, cells=[row])
    assert watch.fired == [("rounding", 161.0)]


def test_the_focus_is_sought_when_sharpness_was_lost_for_a_while() -> None:
    watch = _example("blurred")
    for at in range(0, 1500, 5):
        watch.measure(at, "frame", moving=False)
        watch.measure(at + 0.1, "sharpness", score=10.0 if at < 1000 or at > 1200 else 7.0)
        watch.wait(at + 3.0)
    assert [round(at_s) for _, at_s in watch.fired] == [1002, 1062, 1122, 1182]
    assert kinds(watch.decisions)[-1] == "released"


def test_the_frame_rate_is_high_only_while_much_happens_and_falls_when_nothing_is_seen() -> None:
    watch = _example("fast")
    few, many = [{"area_um2": 600.0}] * 20, [{"area_um2": 300.0}] * 2 + [{"area_um2": 600.0}] * 18
    for at_s, rows in [(0, few), (20, few), (40, many), (60, many)]:
        watch.wait(at_s)
        watch.measure(at_s, cells=rows)
    watch.wait(200.0)
    assert [(rule, round(at_s)) for rule, at_s in watch.fired] == [("slow", 10), ("fast", 40), ("slow", 130)]


@pytest.mark.parametrize("call", sorted(FUNCTIONS))
def test_each_function_stands_in_the_table(call: str) -> None:
    table = TEXT.partition("### Functions")[2].partition("Tables are")[0]
    assert f"`{call}(" in table


def test_keys_units_kinds_and_bounds_are_those_of_the_code() -> None:
    keys = re.findall(r"^\| `([a-z_]+)(?:\.[a-z_]+)?` \|", TEXT.partition("## A rule")[2].partition("Beside")[0], re.M)
    assert set(keys) == set(Rule.model_fields)
    units = re.search(r"Units are `([^`]*)`", TEXT)
    assert units is not None
    assert units[1].split() == list(UNITS)
    actions = {get_args(kind.model_fields["do"].annotation)[0]: kind for kind in get_args(get_args(Action)[0])}
    for name, kind in actions.items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", TEXT, re.M)
        assert set(re.findall(r"`([a-z_]+)`", row)) >= set(kind.model_fields) - {"do"}
    assert all(f"`{kind}`" in TEXT for kind in (*DecisionKind, *Obstacle))
    assert f"| {MOST_CHARACTERS}, {MOST_PARTS}, {MOST_DEPTH} |" in TEXT
    assert f"kept in {MOST_SLOTS} slots" in TEXT
    assert f"with {MOST_TRACK_SLOTS} measurements each" in TEXT


def test_the_picture_of_an_error_is_the_one_that_is_shown() -> None:
    (picture,) = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
    rule = {"name": "burst", "when": "any(cells, area_um < 400)", "action": {"do": "publish"}}
    with pytest.raises(BadRulesError) as caught:
        read_rules({"rules": [rule]})
    assert str(caught.value) == picture.rstrip("\n")


def test_the_conditions_in_the_text_are_accepted() -> None:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    written = [" ".join(one.split()) for one in re.findall(r"`([^`…]*[<>][^`…]*)`", prose)]
    conditions = [one.removeprefix("until: ") for one in written if one.startswith(("any(", "age(", "until: "))]
    assert len(conditions) >= 4
    assert all(parse(one).text for one in conditions)
