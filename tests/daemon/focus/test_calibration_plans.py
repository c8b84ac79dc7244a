"""Where calibrations go: the sweeps and pairs of the focus, the steps of a hologram's distance."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from microscoped.daemon.focus import CalibrationPlan, StepPlan

# --- the focus from a pair --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [1.2, 2.0, 3.3, 4.0, 7.6])
def test_frames_of_a_sweep_pair_up_at_the_distance_of_the_images(delta: float) -> None:
    plan = CalibrationPlan(2.0, delta, -60.0, 60.0, "increasing", 6, 40, 10.0)
    places = [leg.z_um for leg in plan.sweep(0.0)]
    assert places[plan.apart] - places[0] == pytest.approx(delta)
    assert len(places) == plan.sweep_images
    assert max(places) == pytest.approx(20.0, abs=1.5)


def test_moves_are_spread_over_both_sides_and_each_place_is_used_once() -> None:
    plan = CalibrationPlan(2.0, 4.0, -60.0, 60.0, "increasing", 3, 40, 10.0)
    seconds = [plan.pair(5.0, k)[1].z_um - 5.0 for k in range(plan.moves_per_field)]
    assert len({round(z, 6) for z in seconds}) == 20
    assert min(seconds) == pytest.approx(-15.2)
    assert max(seconds) == pytest.approx(15.2)


@pytest.mark.parametrize(("fields", "fit", "judge"), [(3, 2, 1), (4, 3, 1), (6, 4, 2), (9, 6, 3)])
def test_two_thirds_of_the_fields_are_fitted_to(fields: int, fit: int, judge: int) -> None:
    plan = CalibrationPlan(2.0, 4.0, -60.0, 60.0, "increasing", fields, 40, 10.0)
    assert (plan.fit_fields, plan.judge_fields) == (fit, judge)
    assert plan.moves_per_field * judge >= 20


# --- the distance of a hologram ---------------------------------------------------------------------------------------


def steps_plan(**changes: Any) -> StepPlan:  # noqa: ANN401 - of the plan
    settings: dict[str, Any] = {
        "start_um": 0.0,
        "range_um": 5.0,
        "limits_um": (-40.0, 40.0),
        "approach": "increasing",
        "overshoot_um": 1.0,
        "steps": 11,
        "visits": 2,
        "longest_um": None,
        "exposure_ms": 10.0,
    }
    return StepPlan(**{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "span"),
    [
        ({}, (-5.0, 5.0)),
        ({"start_um": 12.0}, (7.0, 17.0)),
        ({"limits_um": (-3.0, 40.0)}, (-2.0, 5.0)),  # room to arrive from below
        ({"limits_um": (-3.0, 40.0), "approach": "decreasing"}, (-3.0, 5.0)),
        ({"limits_um": (-40.0, 3.0), "approach": "decreasing"}, (-5.0, 2.0)),
        ({"limits_um": (-3.0, 40.0), "overshoot_um": 0.0}, (-3.0, 5.0)),
    ],
)
def test_the_range_ends_where_the_limits_are(changes: dict[str, Any], span: tuple[float, float]) -> None:
    found = steps_plan(**changes)
    assert found.span_um == pytest.approx(span)
    assert found.places_um[0] == pytest.approx(span[0])
    assert found.places_um[-1] == pytest.approx(span[1])
    low, high = found.limits_um
    assert all(low <= leg.z_um <= high for leg in found.legs())


@pytest.mark.parametrize("approach", ["increasing", "decreasing"])
@pytest.mark.parametrize("visits", [2, 4])
@pytest.mark.parametrize("longest_um", [None, 1.5])
def test_every_place_is_visited_as_often_as_was_asked(approach: Any, visits: int, longest_um: float | None) -> None:  # noqa: ANN401 - of the plan
    found = steps_plan(approach=approach, visits=visits, longest_um=longest_um)
    legs = found.legs()
    steps = [leg for leg in legs if leg.use == "step"]
    assert len(steps) == 11 * visits
    assert len([leg for leg in legs if leg.use != "pass"]) == found.images
    for leg in steps:
        assert leg.z_um == pytest.approx(found.places_um[leg.place])
    assert {(leg.place, leg.visit) for leg in steps} == {(p, v) for p in range(11) for v in range(visits)}
    if longest_um is not None:
        places = [found.start_um, *(leg.z_um for leg in legs), *(leg.z_um for leg in found.home(legs[-1].z_um))]
        assert max(abs(b - a) for a, b in pairwise(places)) <= longest_um + 1e-9
        assert places[-1] == found.start_um
