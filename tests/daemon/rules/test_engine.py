"""When rules fire, when they do not, and what they say about it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from microscoped.daemon.rules import (
    DecisionKind,
    Measurement,
    Obstacle,
    OrderError,
    Phase,
    evaluate_over,
    next_wake_ns,
)
from tests.daemon.rules_world import Watch, cells, kinds, program, seconds

MANY: dict[str, Any] = {"name": "many", "when": "cells.count > 100"}
FAST: dict[str, Any] = {"do": "camera", "fps": 10}
BURST: dict[str, Any] = {
    "do": "acquire",
    "sequence": {"time_plan": {"interval": 0.1, "loops": 50}},
    "dose_ms_most": 100,
}


def test_a_rule_fires_when_its_condition_begins_to_hold_and_again_only_after_it_was_over() -> None:
    watch = Watch(MANY)
    for at_s, count in enumerate([99, 101, 150, 120, 100, 101]):
        watch.count(at_s, count)
    assert kinds(watch.decisions) == ["fired", "released", "fired"]
    assert watch.fired == [("many", 1.0), ("many", 5.0)]


def test_a_decision_names_the_values_that_made_it_true_and_where_they_come_from() -> None:
    watch = Watch(MANY | {"when": "cells.count > 100 and (sharpness.score > 3 or cells.border > 2)", "action": FAST})
    watch.measure(0.0, "sharpness", score=1.0)
    (fired,) = watch.measure(0.2, late_s=0.1, count=120, border=5)
    assert (fired.number, fired.kind, fired.at_ns) == (2, DecisionKind.FIRED, seconds(0.3))
    assert fired.action is not None
    assert fired.action.do == "camera"
    assert [(cause.what, cause.low, cause.high, cause.measurement, cause.frame) for cause in fired.causes] == [
        ("cells.count", 120.0, 120.0, "m2", "f2"),
        ("cells.border", 5.0, 5.0, "m2", "f2"),
    ]
    assert fired.causes[0].at_ns == seconds(0.2)
    assert fired.measurements == ("m2",)
    assert fired.why.endswith("; cells.count = 120, cells.border = 5")


def test_a_decision_about_cells_names_their_rows() -> None:
    watch = Watch({"when": "any(cells, area_um2 < 400) and mean(cells.count, over 1 s) > 1"})
    rows = [{"area_um2": area} for area in (500.0, 390.0, None, 100.0)]
    watch.measure(0.0, count=4, cells=[])
    (fired,) = watch.measure(0.6, count=4, cells=rows)
    assert [(cause.what, cause.rows, cause.low) for cause in fired.causes] == [
        ("any(cells, area_um2 < 400)", (1, 3), 1.0),
        ("mean(cells.count, over 1 s)", (), 4.0),
    ]


# --- hysteresis -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "counts", "wanted"),
    [
        ({"until": "cells.count < 80"}, [101, 99, 101, 80, 101, 79, 101], ["fired", "released", "fired"]),
        ({"band": 20}, [101, 99, 101, 81, 101, 80, 101], ["fired", "released", "fired"]),
        ({"when": "cells.count >= 100", "band": 20}, [100, 80, 100, 79, 100], ["fired", "released", "fired"]),
        ({"when": "cells.count < 100", "band": 20}, [99, 101, 119, 99, 120, 99], ["fired", "released", "fired"]),
        ({"when": "cells.count <= 100", "band": 20}, [100, 120, 100, 121, 100], ["fired", "released", "fired"]),
        ({"when": "100 < cells.count", "band": 20}, [101, 81, 101, 80, 101], ["fired", "released", "fired"]),
    ],
)
def test_hysteresis_says_when_it_is_over(rule: dict[str, Any], counts: list[float], wanted: list[str]) -> None:
    watch = Watch(MANY | rule)
    for at_s, count in enumerate(counts):
        watch.count(at_s, count)
    assert kinds(watch.decisions) == wanted


def test_a_band_has_a_unit() -> None:
    watch = Watch({"when": "cells.dry_mass_pg.p50 > 0.3 ng", "band": "20 pg"})
    for at_s, mass in enumerate([301.0, 281.0, 280.0]):
        watch.measure(at_s, dry_mass_pg={"p50": mass})
    assert kinds(watch.decisions) == ["fired", "released"]


def test_what_is_not_known_does_not_end_what_a_rule_fired_for() -> None:
    watch = Watch(MANY)
    for at_s, count in enumerate([101, None, 101]):
        watch.count(at_s, count)
    watch.wait(60.0)
    assert kinds(watch.decisions) == ["fired"]
    watch = Watch(MANY | {"until": "cells.count < 80 or age(cells) > 30 s"})
    watch.count(0.0, 101)
    released, _ = watch.wait(60.0)
    assert (released.kind, released.at_ns) == (DecisionKind.RELEASED, seconds(30.0) + 1)


# --- hold, unless, age ------------------------------------------------------------------------------------------------


def test_a_condition_must_hold_without_a_break() -> None:
    watch = Watch(MANY | {"hold_s": 2})
    for at_s, count in [(0, 101), (1, 101), (1.5, 90), (3, 101)]:
        watch.count(at_s, count)
    (near,) = watch.decisions
    assert (near.kind, near.by, near.at_ns) == (DecisionKind.SUPPRESSED, Obstacle.HOLD, seconds(1.5))
    assert near.why.startswith("cells.count > 100 held for 1.5 s of 2 s")
    assert next_wake_ns(watch.program, watch.state) == seconds(5.0)
    (fired,) = watch.wait(6.0)
    assert (fired.kind, fired.at_ns) == (DecisionKind.FIRED, seconds(5.0))


def test_what_is_not_known_breaks_the_hold() -> None:
    watch = Watch(MANY | {"hold_s": 2})
    watch.count(0.0, 101)
    watch.count(1.0, None)
    watch.count(1.5, 101)
    assert watch.wait(3.4) == []
    assert kinds(watch.wait(3.5)) == ["fired"]


def test_measurements_that_are_too_old_are_not_known_and_that_is_said() -> None:
    watch = Watch(MANY | {"hold_s": 5, "max_age_s": 3})
    watch.count(0.0, 101)
    decisions = watch.wait(10.0)
    assert kinds(decisions) == ["hold", "unknown"]
    assert decisions[1].at_ns == seconds(3.0) + 1
    assert decisions[1].why == "the newest measurement of cells is 3 s old, more than max_age_s 3"
    assert watch.fired == []


@pytest.mark.parametrize(
    ("rule", "measured", "why"),
    [
        (
            {"when": "cells.count > 5"},
            ("cells", {"count": None}),
            "cells.count was not measured in the newest measurement",
        ),
        (
            {"when": "cells.count > 5", "unless": "frame.moving"},
            ("cells", {"count": 9}),
            "frame has not measured anything yet",
        ),
        (
            {"when": "mean(cells.count, over 60 s) > 5"},
            ("cells", {"count": 9}),
            "mean(cells.count, over 60 s): its samples span 0 s, less than half of its window",
        ),
        (
            {"when": "any(cells, area_um2 < 5)"},
            ("cells", {"cells": [{"area_um2": None}, {"area_um2": 9}]}),
            "any(cells, area_um2 < 5): in 1 of 2 rows it is not known",
        ),
        (
            {"when": "any(cells, area_um2 < 5)"},
            ("cells", {"count": 4}),
            "the table cells is not in the newest measurement, or has not all columns that rules read",
        ),
        (
            {"when": "5 / cells.count > 2"},
            ("cells", {"count": 0}),
            "5 / cells.count has no value: cells.count may be 0, or the result is too large",
        ),
    ],
)
def test_a_rule_says_what_it_does_not_know(rule: dict[str, Any], measured: tuple[str, Any], why: str) -> None:
    watch = Watch(rule)
    engine, values = measured
    (decision,) = watch.measure(0.0, engine, **values)
    assert (decision.kind, decision.why) == (DecisionKind.UNKNOWN, why)


def test_a_rule_is_looked_at_with_what_it_reads_and_when_it_is_time() -> None:
    watch = Watch({"when": "cells.count > 5", "until": "sharpness.score > 1"})
    assert watch.measure(0.0, "frame", z_um=1.0) == []
    (decision,) = watch.wait(0.0)  # as the daemon does when the rules begin to watch
    assert decision.why == "cells has not measured anything yet"
    assert kinds(watch.count(1.0, 6)) == ["fired"]
    assert watch.measure(2.0, "frame", z_um=2.0) == []
    assert kinds(watch.measure(3.0, "sharpness", score=2.0)) == ["released"]
    assert watch.fired == [("rule_0", 1.0)]
    assert kinds(watch.count(4.0, 7)) == ["fired"]


def test_unless_bars_a_rule_and_its_end_lets_it_fire() -> None:
    watch = Watch(MANY | {"unless": "frame.moving"})
    watch.measure(0.0, "frame", moving=True)
    assert kinds(watch.count(0.1, 101)) == ["unless"]
    assert watch.count(0.2, 105) == []
    assert kinds(watch.measure(0.3, "frame", moving=False)) == ["fired"]


def test_a_silent_engine_is_noticed_on_time_even_one_that_never_spoke() -> None:
    watch = Watch({"name": "silent", "when": "age(cells) > 5 s"})
    watch.wait(4.9)
    assert watch.fired == []
    watch.wait(6.0)
    assert watch.fired == [("silent", pytest.approx(5.0))]
    assert kinds(watch.count(7.0, 1)) == ["released"]
    watch.wait(20.0)
    assert watch.fired[1:] == [("silent", pytest.approx(12.0))]


# --- cool-down, budgets, priority -------------------------------------------------------------------------------------


def test_a_rule_cools_down_and_fires_afterwards_where_the_condition_still_holds() -> None:
    watch = Watch(MANY | {"cool_down_s": 10, "max_age_s": 100})
    for at_s, count in [(0, 101), (1, 90), (2, 101), (3, 102)]:
        watch.count(at_s, count)
    assert kinds(watch.decisions) == ["fired", "released", "cool_down"]
    blocked = watch.decisions[-1]
    assert blocked.retry_ns == seconds(10.0)
    assert "but it cools down for another 8 s" in blocked.why
    assert kinds(watch.wait(30.0)) == ["fired"]
    assert watch.fired[-1] == ("many", 10.0)


def test_a_rule_that_repeats_fires_after_each_cool_down_while_the_condition_goes_on() -> None:
    watch = Watch(MANY | {"cool_down_s": 10, "repeat": True, "max_age_s": 26})
    watch.count(0.0, 101)
    watch.wait(100.0)
    assert [at_s for _, at_s in watch.fired] == [0.0, 10.0, 20.0]


def test_a_rule_fires_no_more_often_than_its_budget_within_any_hour() -> None:
    watch = Watch(MANY | {"budget": {"per_h": 2}, "max_age_s": 86_400})
    for at_s, count in [(0, 101), (10, 1), (600, 101), (610, 1), (700, 101)]:
        watch.count(at_s, count)
    assert kinds(watch.decisions) == ["fired", "released", "fired", "released", "budget"]
    assert watch.decisions[-1].retry_ns == seconds(3600.0)
    watch.wait(7200.0)
    assert [at_s for _, at_s in watch.fired] == [0.0, 600.0, 3600.0]


def test_light_is_set_aside_until_the_action_tells_how_much_it_gave() -> None:
    watch = Watch(MANY | {"action": BURST, "budget": {"dose_ms_per_h": 150}, "max_age_s": 86_400})
    watch.count(0.0, 101)
    watch.count(1.0, 1)
    (blocked,) = watch.count(2.0, 101)
    assert (blocked.by, blocked.retry_ns) == (Obstacle.DOSE, None)
    assert "50 ms of its light per hour are left, and it may take 100 ms" in blocked.why
    assert kinds(watch.end(5.0, number=1, dose_ms=40.0)) == ["fired"]
    watch.end(6.0, number=blocked.number + 1)  # its estimate stands
    watch.count(7.0, 1)
    watch.count(8.0, 101)
    assert watch.wait(3605.9) == []
    watch.wait(3700.0)
    assert watch.fired[-1] == ("many", 3606.0)


def test_the_light_of_the_session_counts_all_light() -> None:
    watch = Watch(MANY | {"action": BURST, "max_age_s": 86_400}, dose_ms_per_h=300)
    watch.shine(0.0, 150.0)
    watch.shine(10.0, 60.0)
    (blocked,) = watch.count(20.0, 101)
    assert (blocked.by, blocked.retry_ns) == (Obstacle.SESSION_DOSE, seconds(3610.0))
    watch.wait(4000.0)
    assert watch.fired == [("many", 3610.0)]


def test_rules_that_give_no_light_need_no_budget_of_it() -> None:
    watch = Watch(MANY, dose_ms_per_h=300)
    watch.shine(0.0, 5000.0)
    assert kinds(watch.count(1.0, 101)) == ["fired"]


def test_a_rule_of_lower_priority_waits_for_the_end_of_one_that_acts_on_the_same() -> None:
    slow = {"name": "slow", "when": "cells.count > 10", "action": FAST, "priority": 1}
    fast = {"name": "fast", "when": "cells.count > 100", "action": FAST, "priority": 2}
    note = {"name": "note", "when": "cells.count > 10"}
    watch = Watch(slow, fast, note)
    decisions = watch.count(0.0, 101)
    assert [(one.rule, str(one.by or one.kind)) for one in decisions] == [
        ("fast", "fired"),
        ("slow", "priority"),
        ("note", "fired"),
    ]
    assert "fast of higher priority has the camera" in decisions[1].why
    assert [(one.rule, str(one.kind)) for one in watch.count(1.0, 50)] == [("fast", "released"), ("slow", "fired")]


def test_of_equal_priority_both_fire_in_the_order_of_their_names() -> None:
    watch = Watch(MANY | {"name": "b", "action": FAST}, MANY | {"name": "a", "action": FAST})
    watch.count(0.0, 101)
    assert watch.fired == [("a", 0.0), ("b", 0.0)]


# --- saying little ----------------------------------------------------------------------------------------------------


def test_what_does_not_fire_is_said_now_and_then_with_how_often_it_was_not_said() -> None:
    watch = Watch(MANY | {"hold_s": 1})
    for at in range(500):
        watch.count(at * 0.1, 101 if at % 2 else 1)
    assert len(watch.decisions) == 5
    assert {one.by for one in watch.decisions} == {Obstacle.HOLD}
    assert [one.unsaid for one in watch.decisions] == [0, 49, 49, 49, 49]


# --- order and change -------------------------------------------------------------------------------------------------


def test_the_order_of_rules_means_nothing() -> None:
    rules = [
        MANY | {"name": "a", "action": BURST, "priority": 1},
        MANY | {"name": "b", "action": BURST, "priority": 1, "hold_s": 1},
        MANY | {"name": "c", "action": BURST},
        MANY | {"name": "d", "action": FAST | {"dose_ms_most": 60}},
    ]
    decided = []
    for order in permutations(rules):
        watch = Watch(*order, dose_ms_per_h=250)
        for at_s, count in [(0, 101), (0.5, 101), (2, 101), (3, 50), (4, 101)]:
            watch.count(at_s, count)
        decided.append(watch.decisions)
    assert len(decided[0]) > 5
    assert all(one == decided[0] for one in decided)


def test_a_measurement_that_is_older_than_the_newest_is_left_out() -> None:
    watch = Watch(MANY)
    watch.count(1.0, 50)
    assert watch.measure(0.5, late_s=1.0, count=101) == []
    assert watch.measure(1.0, late_s=1.0, count=101) == []
    assert watch.state.late == 2
    assert kinds(watch.measure(1.1, late_s=1.0, count=101)) == ["fired"]


def test_an_exposure_in_the_future_and_a_clock_that_goes_back_do_no_harm() -> None:
    watch = Watch(MANY)
    watch.hear(Measurement("cells", "m", "f", seconds(900.0), seconds(1.0), cells(50)), seconds(1.0))
    watch.hear(Measurement("cells", "n", "g", seconds(2.0), seconds(2.0), cells(101)), seconds(2.0))
    assert watch.fired == [("many", 2.0)]
    watch.hear(Measurement("cells", "o", "h", seconds(2.1), seconds(2.1), cells(1)), seconds(1.5))
    assert watch.state.now_ns == seconds(2.0)


def test_a_changed_rule_keeps_its_cool_down_and_what_it_has_spent() -> None:
    watch = Watch(MANY | {"cool_down_s": 100, "budget": {"per_h": 1}})
    watch.count(0.0, 101)
    watch.change(
        1.0,
        MANY | {"when": "cells.count > 50", "cool_down_s": 10, "budget": {"per_h": 1}},
        {"when": "age(cells) > 5 s"},
    )
    assert watch.state.rules["many"].phase is Phase.IDLE
    assert kinds(watch.count(2.0, 60)) == ["cool_down"]
    assert kinds(watch.count(12.0, 60)) == ["budget"]
    watch.change(13.0)
    assert watch.count(14.0, 500) == []
    assert watch.state.rules == {}


def test_windows_that_are_still_needed_outlast_a_change_of_rules() -> None:
    when = "mean(cells.count, over 10 s) > 5"
    watch = Watch({"when": when})
    for at_s in range(7):
        watch.count(at_s, 4)
    watch.change(6.5, {"when": when, "hold_s": 0}, {"when": "count(cells.count > 5, over 10 s) < 1"})
    assert kinds(watch.count(7.0, 40)) == ["fired"]
    assert watch.state.tallies["cells.count > 5 over 10 s"].began_ns == seconds(6.5)


# --- over recorded measurements ---------------------------------------------------------------------------------------


def _recorded(*counts: tuple[float, float]) -> list[Measurement]:
    return [
        Measurement("cells", f"m{at}", f"f{at}", seconds(at_s), seconds(at_s + 0.05), cells(count))
        for at, (at_s, count) in enumerate(counts)
    ]


def test_rules_are_tried_on_measurements_with_the_timers_they_would_have_set() -> None:
    rules = program(MANY | {"hold_s": 2, "action": BURST, "budget": {"dose_ms_per_h": 100}, "max_age_s": 4000})
    decisions = evaluate_over(rules, _recorded((0, 101), (10, 101), (20, 1), (30, 101), (4000, 1)))
    assert [(str(one.by or one.kind), round(one.at_ns * 1e-9, 6)) for one in decisions] == [
        ("fired", 2.05),
        ("released", 20.05),
        ("dose", 32.05),
        ("fired", 3602.05),
        ("released", 4000.05),
    ]


def test_trying_rules_twice_gives_the_same_and_disorder_is_refused() -> None:
    rules = program(MANY)
    recorded = _recorded((0, 101), (1, 1), (2, 101))
    assert evaluate_over(rules, recorded) == evaluate_over(rules, iter(recorded))
    assert evaluate_over(rules, []) == []
    with pytest.raises(OrderError, match="measurement m0: heard_ns"):
        evaluate_over(rules, [recorded[1], recorded[0]])


def test_a_rule_whose_time_comes_with_a_measurement_hears_the_measurement_first() -> None:
    rules = program(MANY | {"hold_s": 2})
    recorded = [replace(one, heard_ns=one.at_ns) for one in _recorded((0, 101), (2, 1))]
    assert kinds(evaluate_over(rules, recorded)) == ["hold"]
