"""Bad rules are refused with their place, the value and what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from microscoped.daemon.rules import (
    BadRulesError,
    BoundRuleError,
    ExpressionError,
    NameRuleError,
    SyntaxRuleError,
    TypeRuleError,
    parse,
    read_rules,
)

SYNTAX, NAME, TYPE, BOUND = SyntaxRuleError, NameRuleError, TypeRuleError, BoundRuleError

BAD: list[tuple[str, int, int, type[ExpressionError], str]] = [
    # expression, line, column, kind, what the message says
    ("", 1, 1, SYNTAX, "is empty; write a condition"),
    ("   ", 1, 4, SYNTAX, "is empty; write a condition"),
    ("cells.count >", 1, 14, SYNTAX, "found the end of the expression"),
    ("cells.count > 5 6", 1, 17, SYNTAX, "found '6'; join two conditions"),
    ("cells.count = 5", 1, 13, SYNTAX, "one compares with '=='"),
    ("cells.count > 5 && cells.count < 9", 1, 17, SYNTAX, "'&' is not a sign of expressions: write 'and'"),
    ("!hologram.scale_known", 1, 1, SYNTAX, "write 'not'"),
    ("cells.count ≥ 5", 1, 13, SYNTAX, "write '>='"),
    ('hologram.z_um == "far"', 1, 18, SYNTAX, "there is no text in expressions"),
    ("cells.count > .5", 1, 15, SYNTAX, "such as 0.5"),
    ("cells.count > 1e999", 1, 15, SYNTAX, "1e999 is too large"),
    ("(cells.count > 5", 1, 17, SYNTAX, "expected ')' to close the parenthesis"),
    ("cells.count > 5)", 1, 16, SYNTAX, "a ')' has no '('"),
    ("1 < cells.count < 5", 1, 17, SYNTAX, "write a < b and b < c"),
    ("and cells.count > 5", 1, 1, SYNTAX, "found 'and'"),
    ("mean > 5", 1, 6, SYNTAX, "'mean' is a function: expected '(' after it"),
    ("mean(cells.count) > 5", 1, 17, SYNTAX, "mean needs a window of time: mean(…, over 60 s)"),
    ("mean(cells.count, 60 s) > 5", 1, 19, SYNTAX, "expected 'over'"),
    ("mean(cells.count, over cells.count) > 5", 1, 24, SYNTAX, "expected a time such as 60 s"),
    ("quantile(cells.count, over 60 s) > 5", 1, 23, SYNTAX, "expected the part of the quantile, such as 0.9"),
    ("cells.count > 5 over 60 s", 1, 17, SYNTAX, "'over' stands only in functions"),
    ("__import__('os')", 1, 12, SYNTAX, "there is no text"),
    ("cels.count > 5", 1, 1, NAME, "'cels.count'; did you mean cells.count"),
    ("cells.dry_mass > 5", 1, 1, NAME, "did you mean cells.dry_mass_pg"),
    ("cells.dry_mass_pg > 5", 1, 1, NAME, "has parts: count, mean, p05"),
    ("sharpness > 5", 1, 1, NAME, "has parts: error, mean, saturated_fraction, score"),
    ("area_um2 < 400", 1, 1, NAME, "write any(cells, area_um2 …)"),
    ("cells.area_um2 < 400 and nothing.here", 1, 1, NAME, "'cells.area_um2' has parts"),
    ("any(cells, cells.max_opd_nm > 5)", 1, 12, NAME, "without its table here: max_opd_nm"),
    ("any(cells, area_um < 400)", 1, 12, NAME, "no column of cells; did you mean area_um2"),
    ("any(cell, area_um2 < 400)", 1, 5, NAME, "found 'cell'; did you mean cells"),
    ("avg(cells.count, over 5 s) > 2", 1, 1, NAME, "there are abs, age, any, change, count"),
    ("eval(cells.count) > 2", 1, 1, NAME, "there is no function 'eval'"),
    ("quantil(cells.count) > 2", 1, 1, NAME, "did you mean quantile; there are"),
    ("hologram.z_um > 5 mum", 1, 19, NAME, "'mum' behind a number is no unit; did you mean um"),
    ("hologram.z_um > um", 1, 17, NAME, "'um' is a unit: it stands behind a number, such as 5 um"),
    ("age(camera) > 5 s", 1, 5, NAME, "age needs an engine, found 'camera': one of cells"),
    ("frame.z > 5\n  and frame.speed > 3", 1, 1, NAME, "did you mean frame.z_um"),
    ("frame.z_um > 5\n  and frame.speed > 3", 2, 7, NAME, "nothing is measured under the name 'frame.speed'"),
    ("cells.count", 1, 1, TYPE, "a rule needs a condition; cells.count is a number: compare it"),
    ("3 > 2", 1, 1, TYPE, "is always the same; put a measurement on one side"),
    ("true", 1, 1, TYPE, "reads no measurement"),
    ("cells.count > true", 1, 13, TYPE, "true is a condition and cells.count a number"),
    ("hologram.scale_known == true", 1, 22, TYPE, "conditions are not compared: write hologram.scale_known"),
    ("not cells.count", 1, 5, TYPE, "'not' needs a condition; cells.count is a number"),
    ("cells.count and cells.count > 2", 1, 1, TYPE, "'and' needs a condition"),
    ("hologram.scale_known + 1 > 2", 1, 1, TYPE, "'+' needs a number; hologram.scale_known is a condition"),
    ("hologram.z_um > 5 pg", 1, 15, TYPE, "hologram.z_um is in um and 5 pg in pg"),
    ("cells.count > 5 um", 1, 13, TYPE, "cells.count is a mere number and 5 um in um"),
    ("hologram.z_um + cells.dry_mass_pg.p50 > 5", 1, 15, TYPE, "'+' needs the same kind of unit"),
    ("hologram.z_um > cells.count", 1, 15, TYPE, "'>' needs the same kind of unit on both sides"),
    ("rate(hologram.z_um, over 5 s) > 3 um", 1, 31, TYPE, "in um/s and 3 um in um"),
    ("cells.count / 0 > 5", 1, 15, TYPE, "a division by 0 has no value"),
    ("cells > 5", 1, 1, TYPE, "'cells' is a table: ask it something, such as any(cells, row_px > 0)"),
    ("any(cells, cells.count > 5)", 1, 12, TYPE, "reads no column of cells"),
    ("any(cells, any(hologram.cells, z_um > 1))", 1, 12, TYPE, "cannot stand within another table"),
    ("any(hologram.cells, rate(z_um, over 5 s) > 1)", 1, 21, TYPE, "are not followed from frame to frame"),
    ("any(cells, quantile(area_um2, 0.5, over 5 s) > 1)", 1, 12, TYPE, "no quantiles; use median"),
    ("any(cells, count(area_um2 > 1, over 5 s) > 1)", 1, 12, TYPE, "a cell's past is not counted"),
    ("any(cells, age(cells) > 5 s)", 1, 12, TYPE, "age stands neither in windows nor in tables"),
    ("age(cells) + 1 s > 5 s", 1, 1, TYPE, "age(cells) can only be compared with a time"),
    ("age(cells) > cells.count", 1, 12, TYPE, "a time that is written out"),
    ("age(cells) == 5 s", 1, 12, TYPE, "by < or >"),
    ("mean(5, over 60 s) > 5", 1, 6, TYPE, "5 never changes; mean needs a measurement"),
    ("mean(max(cells.count, over 5 s), over 60 s) > 5", 1, 6, TYPE, "windows do not nest"),
    ("mean(cells.count + sharpness.score, over 5 s) > 1", 1, 6, TYPE, "cells and sharpness, which measure at"),
    ("count(cells.count, over 60 s) > 5", 1, 7, TYPE, "needs a condition; cells.count is a number"),
    ("mean(cells.count > 5, over 60 s) > 5", 1, 6, TYPE, "mean(…) needs a number; cells.count > 5 is a condition"),
    ("mean(cells.count, over 60) > 5", 1, 24, TYPE, "a window is a time: 60 is none; write over 60 s"),
    ("mean(cells.count, over 5 um) > 5", 1, 24, TYPE, "5 um is none"),
    ("quantile(cells.count, 1.5, over 60 s) > 5", 1, 23, TYPE, "from 0 to 1; 1.5 does not"),
    ("known(cells.count > 5)", 1, 7, TYPE, "known needs the name of a measurement"),
    ("mean(cells.count, over 2 ms) > 5", 1, 24, BOUND, "over 2 ms: a window lasts from 10 ms to 24 h"),
    ("mean(cells.count, over 25 h) > 5", 1, 24, BOUND, "a window lasts from 10 ms to 24 h"),
    ("(" * 40 + "cells.count > 5" + ")" * 40, 1, 33, BOUND, "nested more than 32 deep"),
    ("not " * 40 + "hologram.scale_known", 1, 129, BOUND, "nested more than 32 deep"),
    (" and ".join(["cells.count > 5"] * 60), 1, 1001, BOUND, "an expression has 200 at most"),
    ("cells.count > 5" + " " * 2000, 1, 2001, BOUND, "2015 characters: an expression has 2000 at most"),
]


@pytest.mark.parametrize(
    ("source", "line", "column", "kind", "words"), BAD, ids=[case[0][:40].replace("\n", " ") for case in BAD]
)
def test_a_bad_expression_is_refused_at_its_place(
    source: str, line: int, column: int, kind: type[ExpressionError], words: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(source)
    error = caught.value
    assert words in error.detail
    assert (error.line, error.column, type(error)) == (line, column, kind)
    shown, caret = error.picture.split("\n")
    assert caret.endswith("^")
    assert len(caret) <= len(shown) + 1
    assert str(error).startswith(f"line {line}, column {column}: ")


def test_the_picture_points_below_the_place_also_behind_tabs_and_in_long_lines() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("frame.z_um > 5\n\tand frame.speed > 3")
    assert caught.value.picture == "\tand frame.speed > 3\n\t    ^"
    long = "cells.count > 5 and " * 20
    with pytest.raises(ExpressionError) as caught:
        parse(long + "cels.count > 3 " + "and cells.count > 5 " * 5)
    shown, caret = caught.value.picture.split("\n")
    assert len(shown) <= 100
    assert shown[len(caret) - 1 :].startswith("cels.count")


RULE: dict[str, Any] = {"name": "burst", "when": "cells.count > 5", "action": {"do": "publish"}}
ACQUIRE: dict[str, Any] = {"do": "acquire", "sequence": {"time_plan": {"interval": 0.1, "loops": 50}}}

BAD_RULES: list[tuple[dict[str, Any], str, str]] = [
    # what is said otherwise than in RULE, place, what the message says
    ({"when": "cels.count > 5"}, "rules.burst.when, line 1, column 1", "did you mean cells.count"),
    ({"unless": "frame.moving or"}, "rules.burst.unless, line 1, column 16", "found the end"),
    ({"until": "cells.count"}, "rules.burst.until, line 1, column 1", "needs a condition"),
    ({"band": 0}, "rules.burst.band, line 1, column 1", "a band is a number above 0"),
    ({"band": "5 um"}, "rules.burst.band, line 1, column 1", "in um, what is compared in mere numbers"),
    ({"band": "5 apples"}, "rules.burst.band, line 1, column 3", "is no unit"),
    ({"band": "5 6"}, "rules.burst.band, line 1, column 3", "one number"),
    (
        {"when": "cells.count > 5 and frame.moving", "band": 2},
        "rules.burst.band, line 1, column 1",
        "a band needs a single comparison",
    ),
    ({"until": "cells.count < 3", "band": 2}, "rules.burst", "until and band both say"),
    ({"repeat": True}, "rules.burst", "repeat needs cool_down_s"),
    ({"hold_s": -1}, "rules.burst.hold_s", "-1"),
    ({"hold_s": "2 s"}, "rules.burst.hold_s", "'2 s'"),
    ({"hold_s": float("nan")}, "rules.burst.hold_s", "finite"),
    ({"cool_down_s": 1e9}, "rules.burst.cool_down_s", "86400"),
    ({"max_age_s": 0}, "rules.burst.max_age_s", "0.01"),
    ({"priority": 1.5}, "rules.burst.priority", "integer"),
    ({"name": "Burst mode"}, "rules.Burst mode.name", "pattern"),
    ({"cooldown_s": 5}, "rules.burst.cooldown_s", "there is no such key"),
    ({"budget": {"per_h": 0}}, "rules.burst.budget.per_h", "greater than or equal to 1"),
    ({"budget": {"per_day": 5}}, "rules.burst.budget.per_day", "there is no such key"),
    ({"budget": {"dose_ms_per_h": 100}, "action": ACQUIRE}, "rules.burst", "needs action.dose_ms_most"),
    (
        {"budget": {"dose_ms_per_h": 100}, "action": ACQUIRE | {"dose_ms_most": 200}},
        "rules.burst",
        "dose_ms_most 200 is above budget.dose_ms_per_h 100, so it could never fire",
    ),
    ({"action": {"do": "explode"}}, "rules.burst.action", "explode"),
    ({"action": {"z_um": 5}}, "rules.burst.action", "do"),
    ({"action": {"do": "move"}}, "rules.burst.action.z_um", "is required"),
    ({"action": {"do": "move", "z_um": "up"}}, "rules.burst.action.z_um", "'up'"),
    ({"action": {"do": "camera"}}, "rules.burst.action", "fps or exposure_ms"),
    ({"action": {"do": "camera", "fps": 50, "exposure_ms": 50}}, "rules.burst.action", "do not fit into a second"),
    ({"action": {"do": "record", "recording": "pause"}}, "rules.burst.action.recording", "'start' or 'stop'"),
    ({"action": {"do": "acquire", "sequence": {}}}, "rules.burst.action.sequence", "at least 1"),
    (
        {"action": {"do": "acquire", "sequence": {"metadata": "x" * 70_000}}},
        "rules.burst.action.sequence",
        "more than 65536",
    ),
    ({"action": {"do": "publish", "note": "x" * 201}}, "rules.burst.action.note", "at most 200"),
]


@pytest.mark.parametrize(("changed", "place", "words"), BAD_RULES, ids=[str(case[0])[:60] for case in BAD_RULES])
def test_a_bad_rule_is_refused_at_its_place(changed: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(BadRulesError) as caught:
        read_rules({"rules": [RULE | changed]})
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{place}: ")
    assert words in problem.detail


def test_all_that_is_wrong_is_said_at_once() -> None:
    rules = [RULE | {"when": "cels.count > 5", "until": "cells.count"}, RULE | {"name": "other", "when": "3 > 2"}]
    with pytest.raises(BadRulesError) as caught:
        read_rules({"rules": rules})
    assert [problem.place for problem in caught.value.problems] == [
        "rules.burst.when",
        "rules.burst.until",
        "rules.other.when",
    ]
    assert "    cels.count > 5\n    ^" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        ([], "rules", "dictionary"),
        ({"rules": [RULE, RULE]}, "rules", "two rules have the name burst"),
        ({"rules": [RULE | {"name": f"r{at}"} for at in range(65)]}, "rules", "at most 64"),
        (
            {"rules": [RULE | {"action": ACQUIRE}], "dose_ms_per_h": 500},
            "rules",
            "action.dose_ms_most of burst is missing",
        ),
        (
            {"rules": [RULE | {"action": ACQUIRE | {"dose_ms_most": 501}}], "dose_ms_per_h": 500},
            "rules",
            "501 is above it",
        ),
        (
            {
                "rules": [
                    RULE
                    | {
                        "name": f"r{at}",
                        "when": " or ".join(f"max(cells.count, over {10 * at + n + 1} s) > 1" for n in range(10)),
                    }
                    for at in range(7)
                ]
            },
            "rules",
            "70 different windows, more than 64",
        ),
        (
            {
                "rules": [
                    RULE | {"when": " or ".join(f"any(cells, max(area_um2, over {n} s) > 1)" for n in range(1, 6))}
                ]
            },
            "rules",
            "5 different windows of single cells, more than 4",
        ),
    ],
)
def test_a_bad_set_of_rules_is_refused(data: object, place: str, words: str) -> None:
    with pytest.raises(BadRulesError) as caught:
        read_rules(data)
    assert caught.value.problems[0].place == place
    assert words in caught.value.problems[0].detail
