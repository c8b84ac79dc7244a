"""What expressions mean: numbers with units, three truth values, tables, windows of time."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.rules import STANDARD, ExpressionError, parse
from microscoped.daemon.rules.language import FLAG, FUNCTIONS, PLAIN, UNITS
from microscoped.daemon.rules.look import Look
from microscoped.daemon.rules.state import Latest, RulesState
from microscoped.daemon.rules.tracks import MOST_TRACK_SLOTS, Tracks, add_cells, of_cells
from microscoped.models.cells import COLUMNS, CellTable
from microscoped.models.sharpness import Sharpness
from tests.daemon.rules_world import Watch, cells, seconds, truth_of

ROUND = {"area_um2": 350.0, "max_opd_nm": 140.0, "border": False, "touching": False, "track": 1}
FLAT = {"area_um2": 700.0, "max_opd_nm": 70.0, "border": False, "touching": True, "track": 2}
UNSURE = {"area_um2": 380.0, "max_opd_nm": None, "border": True, "touching": False, "track": -1}
FIELD = cells(
    3,
    [ROUND, FLAT, UNSURE],
    dry_mass_pg={"p50": 250.0, "p95": None},
    area_um2={"p50": 380.0},
    density_per_mm2=250.0,
)
HOLOGRAM = {"z_um": -2.5, "half_width_um": None, "scale_known": True, "background": {"stale": False}}

TRUTHS: list[tuple[str, bool | None]] = [
    ("cells.count > 2", True),
    ("cells.count > 3", False),
    ("cells.count >= 3", True),
    ("cells.count < 3", False),
    ("cells.count <= 3", True),
    ("cells.count == 3", True),
    ("cells.count != 3", False),
    ("2 < cells.count", True),
    ("not cells.count > 2", False),
    # 'and' binds more strongly than 'or', 'not' more strongly than both
    ("cells.count > 2 or cells.count > 9 and cells.count > 9", True),
    ("(cells.count > 2 or cells.count > 9) and cells.count > 9", False),
    ("not cells.count > 9 and cells.count > 2", True),
    ("not (cells.count > 9 and cells.count > 2)", True),
    # arithmetic
    ("cells.count - 1 - 1 == 1", True),
    ("cells.count - (1 - 1) == 3", True),
    ("12 / cells.count / 2 == 2", True),
    ("1 + cells.count * 2 == 7", True),
    ("-cells.count == -3", True),
    ("- (cells.count - 5) == 2", True),
    ("abs(hologram.z_um) > 2.4", True),
    ("abs(-2) < cells.count", True),
    ("cells.count / (cells.count - 3) > 0", None),
    # units
    ("cells.dry_mass_pg.p50 > 249", True),
    ("cells.dry_mass_pg.p50 > 249 pg", True),
    ("cells.dry_mass_pg.p50 > 0.249 ng", True),
    ("cells.dry_mass_pg.p50 > 0.251 ng", False),
    ("hologram.z_um < -2400 nm", True),
    ("hologram.z_um < -2600 nm", False),
    ("2400 nm < -hologram.z_um", True),
    ("hologram.z_um + 3000 nm > 0.4 um", True),
    ("cells.density_per_mm2 > 200/mm2", True),
    ("cells.density_per_mm2 * 1 mm2 > 200", True),
    ("cells.area_um2.p50 / 10 um > 37 um", True),
    ("hologram.z_um < -2.4 µm", True),
    ("cells.count > 290 %", True),
    ("cells.count > 310 %", False),
    # truth values
    ("hologram.scale_known", True),
    ("not hologram.background.stale", True),
    # what was not measured is not known; the rest is still told
    ("hologram.half_width_um < 5", None),
    ("not hologram.half_width_um < 5", None),
    ("hologram.half_width_um < 5 or cells.count > 2", True),
    ("cells.count > 2 or hologram.half_width_um < 5", True),
    ("hologram.half_width_um < 5 or cells.count > 9", None),
    ("hologram.half_width_um < 5 and cells.count > 9", False),
    ("cells.count > 9 and hologram.half_width_um < 5", False),
    ("hologram.half_width_um < 5 and cells.count > 2", None),
    ("hologram.half_width_um * 0 == 0", True),
    ("abs(hologram.half_width_um) >= 0", True),
    ("cells.dry_mass_pg.p95 > 1", None),
    ("sharpness.score > 1", None),
    ("known(hologram.z_um)", True),
    ("known(hologram.half_width_um)", False),
    ("known(sharpness.score)", None),
    # tables
    ("any(cells, area_um2 < 400 and max_opd_nm > 120)", True),
    ("any(cells, area_um2 < 400 um2 and max_opd_nm > 0.12 um)", True),
    ("any(cells, area_um2 > 800)", False),
    ("any(cells, max_opd_nm > 200)", None),
    ("any(cells, max_opd_nm > 200 and area_um2 > 600)", False),
    ("any(cells, touching)", True),
    ("any(cells, touching and border)", False),
    ("any(cells, area_um2 < 0.95 * cells.area_um2.p50)", True),
    ("any(cells, area_um2 < 0.9 * cells.area_um2.p50)", False),
    ("count(cells, area_um2 < 400) == 2", True),
    ("count(cells, area_um2 < 400 and max_opd_nm > 120) >= 1", True),
    ("count(cells, area_um2 < 400 and max_opd_nm > 120) >= 2", None),
    ("count(cells, area_um2 < 400 and max_opd_nm > 120) >= 3", False),
    ("count(cells, area_um2 < 400 and max_opd_nm > 120) <= 2", True),
    ("count(cells, not border) / cells.count > 0.6", True),
    ("share(cells, area_um2 < 400) > 66 %", True),
    ("share(cells, area_um2 < 400) > 67 %", False),
    ("share(cells, max_opd_nm > 100) > 30 %", True),
    ("share(cells, max_opd_nm > 100) > 40 %", None),
    ("any(cells, max_opd_nm / (area_um2 - 350) > 1000000)", None),
    ("any(hologram.cells, z_um > 1)", None),
]


@pytest.mark.parametrize(("source", "holds"), TRUTHS)
def test_expressions_hold_do_not_hold_or_are_not_known(source: str, holds: bool | None) -> None:
    assert truth_of(source, (1.0, "cells", FIELD), (1.0, "hologram", HOLOGRAM)) is holds


@pytest.mark.parametrize(("source", "holds"), TRUTHS)
def test_the_plain_form_of_an_expression_means_the_same(source: str, holds: bool | None) -> None:
    plain = parse(source).text
    assert parse(plain).text == plain
    assert truth_of(plain, (1.0, "cells", FIELD), (1.0, "hologram", HOLOGRAM)) is holds


def test_a_table_may_come_as_columns() -> None:
    told = {"cells": {"area_um2": [350.0, 700.0], "border": [True, False]}}
    assert truth_of("count(cells, area_um2 < 400) == 1", (0.0, "cells", told)) is True
    assert truth_of("any(cells, border and area_um2 > 400)", (0.0, "cells", told)) is False
    ragged = {"cells": {"area_um2": [350.0, 700.0], "border": [True]}}
    assert truth_of("any(cells, border and area_um2 < 400)", (0.0, "cells", ragged)) is None


def test_of_an_empty_table_there_is_no_part_and_of_a_table_too_long_nothing_is_known() -> None:
    assert truth_of("any(cells, area_um2 < 400)", (0.0, "cells", cells(0, []))) is False
    assert truth_of("share(cells, area_um2 < 400) > 1 %", (0.0, "cells", cells(0, []))) is None
    assert truth_of("any(cells, area_um2 < 400)", (0.0, "cells", cells(0, [ROUND] * 4096))) is True
    assert truth_of("any(cells, area_um2 < 400)", (0.0, "cells", cells(0, [ROUND] * 4097))) is None


@pytest.mark.parametrize("value", [None, "many", math.nan, math.inf, [], 10**400])
def test_what_is_no_finite_number_is_not_known(value: Any) -> None:  # noqa: ANN401 - anything at all
    assert truth_of("cells.count > 2", (0.0, "cells", {"count": value})) is None


# --- windows ----------------------------------------------------------------------------------------------------------

TIMES = [0.0, 1.0, 2.5, 4.0, 6.0, 7.0, 9.0, 10.0]
COUNTS = [10.0, 12.0, 11.0, 15.0, 30.0, 14.0, 16.0, 18.0]
WITHIN = slice(3, None)  # over 7 s at 10 s: what is 7 s old lies outside


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("mean(cells.count, over 7 s)", float(np.mean(COUNTS[WITHIN]))),
        ("median(cells.count, over 7 s)", float(np.median(COUNTS[WITHIN]))),
        ("min(cells.count, over 7 s)", 14.0),
        ("max(cells.count, over 7 s)", 30.0),
        ("quantile(cells.count, 0.9, over 7 s)", float(np.quantile(COUNTS[WITHIN], 0.9))),
        ("quantile(cells.count, 0, over 7 s)", 14.0),
        ("quantile(cells.count, 1, over 7000 ms)", 30.0),
        ("change(cells.count, over 7 s)", 3.0),
        ("rate(cells.count, over 7 s)", float(np.polyfit(TIMES[WITHIN], COUNTS[WITHIN], 1)[0])),
        ("mean(2 * cells.count - 1, over 7 s)", 2 * float(np.mean(COUNTS[WITHIN])) - 1),
        ("count(cells.count > 14.5, over 7 s)", 4.0),
    ],
)
def test_functions_of_windows_agree_with_numpy(call: str, value: float) -> None:
    measured = [(time, "cells", cells(count)) for time, count in zip(TIMES, COUNTS, strict=True)]
    assert truth_of(f"abs({call} - {value!r}) < 0.000001", *measured) is True
    assert truth_of(f"{call} > {value + 0.001!r}", *measured) is False


@pytest.mark.parametrize(
    ("span_s", "holds"), [(0.0, None), (3.9, None), (4.0, True), (7.9, True)], ids=["one", "short", "half", "full"]
)
def test_a_window_says_nothing_until_half_of_it_is_covered(span_s: float, holds: bool | None) -> None:
    measured = [(time, "cells", cells(5)) for time in (0.0, span_s)][: 2 if span_s else 1]
    assert truth_of("mean(cells.count, over 8 s) > 1", *measured) is holds


def test_samples_that_are_not_known_are_left_out_of_windows() -> None:
    measured = [(time, "cells", cells(count)) for time, count in [(0, 4.0), (3, None), (6, 8.0), (8, None)]]
    assert truth_of("mean(cells.count, over 10 s) == 6", *measured) is True


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("count(cells.count > 5, over 10 s) >= 2", True),
        ("count(cells.count > 5, over 10 s) >= 3", None),  # one was not known
        ("count(cells.count > 5, over 10 s) >= 4", False),
        ("count(cells.count > 5, over 60 s) >= 2", True),  # enough already, though the rules watch for 12 s only
        ("count(cells.count > 5, over 60 s) < 1", False),
        ("count(cells.count < 1, over 60 s) < 1", None),  # what was before they watched is not known
        ("count(cells.count < 1, over 10 s) < 2", True),
    ],
)
def test_counts_of_windows_tell_what_follows_from_what_is_known(source: str, holds: bool | None) -> None:
    measured = [(time, "cells", cells(count)) for time, count in [(3, 9.0), (6, None), (9, 7.0), (12, 2.0)]]
    assert truth_of(source, *measured) is holds


def test_the_rate_of_each_cell_is_followed() -> None:
    def field(at_s: float) -> tuple[float, str, dict[str, Any]]:
        rows = [
            {"track": 1, "area_um2": 600.0},
            {"track": 2, "area_um2": 600.0 - 20.0 * at_s},
            {"track": -1, "area_um2": 600.0 - 50.0 * at_s},
        ]
        return (at_s, "cells", cells(3, rows[int(at_s) % 2 :] + rows[: int(at_s) % 2]))

    measured = [field(at_s) for at_s in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert truth_of("count(cells, rate(area_um2, over 5 s) < -15 um2/s) == 1", *measured[:2]) is None
    assert truth_of("any(cells, rate(area_um2, over 5 s) < -15 um2/s)", *measured) is True
    assert truth_of("any(cells, rate(area_um2, over 5 s) < -21 um2/s)", *measured) is None  # one cell is not followed
    assert truth_of("any(cells, area_um2 < 550 and change(area_um2, over 5 s) < -75)", *measured) is True
    assert truth_of("any(cells, track >= 0 and rate(area_um2, over 5 s) < -21)", *measured) is False
    assert truth_of("any(cells, area_um2 < 0.95 * mean(area_um2, over 5 s))", *measured) is True


def test_windows_stay_small_and_keep_sums_counts_and_extremes_exact() -> None:
    watch = Watch({"when": "mean(cells.count, over 10 s) > 1 and count(cells.count > 50, over 10 s) > 1"})
    values = np.random.default_rng(3).uniform(0, 100, 1_200)
    for at, value in enumerate(values):
        watch.count(at * 0.01, float(value))
    numbers = watch.state.numbers["cells.count over 10 s"].slots
    tallies = watch.state.tallies["cells.count > 50 over 10 s"].slots
    assert len(numbers) <= 257
    assert len(tallies) <= 257
    samples = sum(slot.n for slot in numbers)
    kept = values[-samples:]
    assert abs(samples - 1_000) <= 4
    assert sum(slot.total for slot in numbers) == pytest.approx(kept.sum())
    assert max(slot.high for slot in numbers) == kept.max()
    assert sum(slot.true for slot in tallies) == (kept > 50).sum()


@pytest.mark.parametrize(
    ("name", "known", "fitted"),
    [
        ("mean", np.mean, False),
        ("median", np.median, False),
        ("min", np.min, False),
        ("max", np.max, False),
        ("change", lambda values: values[-1] - values[0], False),
        ("rate", None, True),
    ],
)
def test_functions_of_cells_agree_with_numpy_also_where_cells_are_missed(name: str, known: Any, fitted: bool) -> None:  # noqa: ANN401
    rng = np.random.default_rng(5)
    times, values = np.arange(9.0), rng.uniform(300, 900, (9, 40))
    values[rng.uniform(size=values.shape) < 0.3] = np.nan
    past = Tracks()
    for time, row in zip(times, values, strict=True):
        mixed = rng.permutation(40)
        past = add_cells(past, seconds(time), mixed.astype(float), row[mixed], seconds(10.0))
    order = rng.permutation(40).astype(float)
    found = of_cells(name, past, seconds(8.0), seconds(10.0), np.append(order, -1.0))
    assert np.isnan(found[-1])
    assert np.isfinite(found).sum() > 30
    for track, value in zip(order.astype(int), found[:-1], strict=True):
        there = np.isfinite(values[:, track])
        mine, when = values[there, track], times[there]
        if not len(mine) or when[-1] - when[0] < 5.0:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(np.polyfit(when, mine, 1)[0] if fitted else known(mine))


def test_the_past_of_cells_is_bounded() -> None:
    past = Tracks()
    for at in range(1000):
        past = add_cells(past, seconds(at * 0.1), np.array([at % 7.0]), np.array([1.0]), seconds(60.0))
    assert len(past.slots) <= MOST_TRACK_SLOTS + 1
    assert past.slots[-1].at_ns == seconds(99.9)
    assert past.slots[0].at_ns > seconds(39.9)
    assert len(add_cells(past, seconds(500.0), np.array([-1.0]), np.array([1.0]), seconds(60.0)).slots) == 1


# --- the parser -------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *(
            "cells.count",
            "hologram.z_um",
            "hologram.scale_known",
            "cells",
            "area_um2",
            "and",
            "or",
            "not",
            "over",
            "true",
        ),
        *(
            "(",
            ")",
            ",",
            ">",
            "<=",
            "==",
            "+",
            "-",
            "*",
            "/",
            "%",
            "5",
            "0.5",
            "1e3",
            "s",
            "um",
            "pg",
            "min",
            "\n",
            ".",
        ),
        *FUNCTIONS,
    ]
)


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=30).map(" ".join)))
def test_whatever_is_written_is_parsed_or_refused_within_the_text(source: str) -> None:
    try:
        found = parse(source)
    except ExpressionError as error:
        lines = source.split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
    else:
        assert parse(found.text).text == found.text
        empty = Look(RulesState(0, 0), 0, 1)
        assert found.condition.truth(empty) in (True, False, None)
        assert found.condition.doubts(empty) or found.condition.truth(empty) is not None


@given(
    st.sampled_from(["a + b", "a - b", "a * b", "a / b", "-a", "abs(a)", "a * a - b", "a / (b - a)"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.lists(st.tuples(st.booleans(), st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0])), min_size=2, max_size=2),
    st.integers(-3, 3),
)
def test_what_is_told_of_the_unknown_is_true_of_each_of_its_values(
    formula: str, sign: str, given_: list[tuple[bool, float]], against: int
) -> None:
    """Kleene: a verdict with unknowns must hold for whatever they turn out to be."""
    names = {"a": "cells.count", "b": "cells.border"}
    source = re.sub(r"\b[ab]\b", lambda found: names[found[0]], formula)
    expression = parse(f"{source} {sign} {against}").condition

    def truth(a: float | None, b: float | None) -> bool | None:
        latest = Latest("m", "f", 0, {"cells.count": a, "cells.border": b}, {})
        return expression.truth(Look(RulesState(0, 0, latest={"cells": latest}), 0, 1))

    verdict = truth(*(value if known else None for known, value in given_))
    if verdict is not None:
        choices = [[value] if known else [-100.0, -1.0, 0.0, 0.25, 7.0, 1e6] for known, value in given_]
        assert all(truth(a, b) in (verdict, None) for a in choices[0] for b in choices[1])


# --- the catalogue ----------------------------------------------------------------------------------------------------


def _paths(values: dict[str, Any], above: str) -> set[str]:
    found: set[str] = set()
    for name, value in values.items():
        path = f"{above}.{name}"
        found |= _paths(value, path) if isinstance(value, dict) else {path}
    return found


def test_what_the_engines_measure_can_be_named() -> None:
    table = CellTable.of_columns(
        [[50.0, 50.0], [90.0, 90.0]],
        {name: [1.0, 2.0] for name in ("dry_mass_pg", "area_um2", "max_opd_nm", "length_um")},
        (200, 200),
        1.0,
    )
    assert _paths(table.values(), "cells") == {path for path in STANDARD.values if path.startswith("cells.")}
    assert set(STANDARD.tables["cells"].columns) == set(COLUMNS)
    sharpness = {f"sharpness.{field.name}" for field in fields(Sharpness)}
    assert sharpness == {path for path in STANDARD.values if path.startswith("sharpness.")}
    frame = {path.removeprefix("frame.") for path in STANDARD.values if path.startswith("frame.")}
    assert frame <= set(FrameData.model_fields)


def test_units_are_those_of_the_names() -> None:
    assert STANDARD.values["cells.dry_mass_pg.p50"] == UNITS["pg"]
    assert STANDARD.values["cells.dry_mass_pg.count"] == PLAIN
    assert STANDARD.values["cells.density_per_mm2"] == PLAIN.per(UNITS["mm2"])
    assert STANDARD.values["hologram.background.residual_rad"] == UNITS["rad"]
    assert STANDARD.values["hologram.scale_known"] == FLAG
    assert STANDARD.tables["cells"].columns["max_opd_nm_half_width"] == UNITS["nm"]
    assert str(UNITS["um2"].per(UNITS["s"])) == "um2/s"
    assert seconds(1.5) == 1_500_000_000


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        ([1.5, -2.0], (1.5, -2.0)),
        ([1.5, math.inf], (1.5, None)),
        ([1.5, None], (1.5, None)),
        ([True, False], (1.0, 0.0)),
        ([3, -4], (3.0, -4.0)),
        ([3, 10**400], (3.0, None)),
        ([2**53 + 1, 1], (float(2**53 + 1), 1.0)),
        ([3, 2.5, True, None, "x"], (3.0, 2.5, 1.0, None, None)),
        ([], ()),
    ],
)
def test_columns_are_numbers_or_not_known(column: list[Any], kept: tuple[float | None, ...]) -> None:
    watch = Watch({"when": "any(cells, area_um2 < 400)"})
    watch.measure(1.0, cells={"area_um2": column})
    assert watch.state.latest["cells"].tables["cells"]["area_um2"] == kept


@pytest.mark.parametrize("name", ["mean", "median", "min", "max", "rate", "change"])
def test_cells_that_are_in_every_measurement_are_told_as_among_others(name: str) -> None:
    rng = np.random.default_rng(5)
    steady = past = Tracks()
    tracks = np.array([4.0, 1.0, 7.0])
    for at_s in range(9):
        values = rng.normal(size=3)
        steady = add_cells(steady, seconds(at_s), tracks, values, seconds(10))
        # The same with another cell that comes and goes: no measurement has the cells that are asked for alone.
        past = add_cells(past, seconds(at_s), np.append(tracks, 9.0 + at_s), np.append(values, 1.0), seconds(10))
    alone, among = (of_cells(name, one, seconds(9), seconds(10), tracks) for one in (steady, past))
    assert alone.tobytes() == among.tobytes()
    assert np.isfinite(alone).all()


def test_a_look_finds_the_same_with_any_memory() -> None:
    when = "any(cells, rate(area_um2, over 5 s) < -3 and max_opd_nm > 1.1 * min(max_opd_nm, over 4 s))"
    watch, condition, rng = Watch({"when": when}), parse(when).condition, np.random.default_rng(3)
    seen: set[bool | None] = set()
    for at in range(40):
        tracks = [1, 2, 3] if at % 7 else [2, 3, 4]  # a cell is missed now and then
        rows = [
            {"track": track, "area_um2": 600.0 - 2.0 * track * at, "max_opd_nm": float(rng.uniform(70, 90))}
            for track in tracks
        ]
        watch.measure(0.4 * at, **cells(rows=rows))
        for later_s in (0.0, 0.15, 0.3, 2.0):
            now_ns = seconds(0.4 * at + later_s)
            with_memory = condition.truth(Look(watch.state, now_ns, seconds(9), watch.program.memory))
            assert with_memory == condition.truth(Look(watch.state, now_ns, seconds(9)))
            seen.add(with_memory)
    assert seen == {True, False, None}
