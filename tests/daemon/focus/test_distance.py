"""Keeping a distance: what one hologram after the other leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscoped.daemon.focus import (
    Correct,
    DistancePolicy,
    DistanceReading,
    DistanceResult,
    ReadDistance,
    propose_distance,
)
from microscoped.daemon.focus.distance import MOVES_MOST

POLICY = DistancePolicy(wanted_um=0.0, tolerance_um=0.3, stage_per_distance=-0.75, low_um=-20.0, high_um=20.0)
R = DistanceReading

STEPS = {
    "nothing was read": (POLICY, [], ReadDistance()),
    "it is there": (POLICY, [R(5.0, 0.2)], DistanceResult(True, 0.2, 0.0)),
    "the first distance is the one to keep": (
        replace(POLICY, wanted_um=None),
        [R(5.0, 7.0)],
        DistanceResult(True, 7.0, 7.0),
    ),
    "it is beyond": (POLICY, [R(5.0, 4.0)], Correct(8.0)),
    "it is short of it": (POLICY, [R(5.0, -4.0)], Correct(2.0)),
    "another distance is kept": (replace(POLICY, wanted_um=2.0), [R(5.0, 4.0)], Correct(6.5)),
    "the stage counts the other way": (replace(POLICY, stage_per_distance=0.75), [R(5.0, 4.0)], Correct(2.0)),
    "a second move makes it exact": (POLICY, [R(5.0, 4.0), R(8.0, 0.8)], Correct(8.6)),
    "the second hologram confirms it": (POLICY, [R(5.0, 4.0), R(8.0, -0.1)], DistanceResult(True, -0.1, 0.0)),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_is_done_next(name: str) -> None:
    policy, readings, expected = STEPS[name]
    found = propose_distance(policy, tuple(readings))
    if isinstance(expected, Correct):
        assert isinstance(found, Correct)
        assert found.z_um == pytest.approx(expected.z_um)
    else:
        assert found == expected


LOST = {
    "no distance": ([R(5.0, None, "empty")], ["no distance", "empty"]),
    "no distance after a move": ([R(5.0, 4.0), R(8.0, None, "flat")], ["no distance", "flat"]),
    "the sign is wrong": ([R(5.0, 4.0), R(8.0, 8.0)], ["+4", "+8", "sign", "calibrate hologram"]),
    "the stage moves nothing": ([R(5.0, 4.0), R(8.0, 4.0)], ["sign is wrong", "specimen itself moves"]),
    "the scale is far too large": ([R(5.0, 4.0), R(8.0, -6.0)], ["-6", "scale"]),
    "too far for the limits": ([R(18.0, 4.0)], ["21", "-20 … 20", "stage.limits_um"]),
    "it never settles": ([R(0, 4.0), R(3, 1.0), R(3.75, 0.55), R(4.1, 0.35)], [f"{MOVES_MOST} moves", "+0.35"]),
}


@pytest.mark.parametrize("name", LOST)
def test_it_gives_up_and_says_why(name: str) -> None:
    readings, words = LOST[name]
    found = propose_distance(POLICY, tuple(readings))
    assert isinstance(found, DistanceResult)
    assert not found.held
    assert [word for word in words if word not in found.reason] == [], found.reason


@pytest.mark.parametrize("changes", [{"tolerance_um": 0.0}, {"stage_per_distance": 0.0}])
def test_a_policy_that_leads_nowhere_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="tolerance_um"):
        replace(POLICY, **changes)


def follow(
    policy: DistancePolicy, start_um: float, focus_um: float, per_stage: float
) -> tuple[DistanceResult, list[float]]:
    """Let a stage obey; return the end, and where the stage was."""
    places, readings = [start_um], list[DistanceReading]()
    while True:
        step = propose_distance(policy, tuple(readings))
        if isinstance(step, DistanceResult):
            return step, places
        if isinstance(step, Correct):
            places.append(step.z_um)
        readings.append(R(places[-1], (places[-1] - focus_um) * per_stage))


@given(
    start_um=st.floats(-15, 15),
    focus_um=st.floats(-15, 15),
    scale_error=st.floats(0.9, 1.1),
    sign=st.sampled_from([-1.0, 1.0]),
)
def test_with_about_the_right_scale_it_arrives(
    start_um: float, focus_um: float, scale_error: float, sign: float
) -> None:
    policy = replace(POLICY, stage_per_distance=sign * 0.75)
    found, places = follow(policy, start_um, focus_um, sign * scale_error / 0.75)
    assert found.held, found.reason
    assert abs(places[-1] - focus_um) * scale_error / 0.75 <= policy.tolerance_um + 1e-9
    assert all(policy.low_um <= z_um <= policy.high_um for z_um in places)


@given(start_um=st.floats(-15, 15), focus_um=st.floats(-15, 15), scale_error=st.floats(0.5, 4.0))
def test_with_the_wrong_sign_it_stops_after_one_move_too_many(
    start_um: float, focus_um: float, scale_error: float
) -> None:
    found, places = follow(POLICY, start_um, focus_um, scale_error / 0.75)
    assert all(POLICY.low_um <= z_um <= POLICY.high_um for z_um in places)
    if abs(start_um - focus_um) * scale_error / 0.75 > POLICY.tolerance_um:
        assert not found.held
        assert len(places) <= 1 + MOVES_MOST
        if abs(start_um - focus_um) * scale_error / 0.75 > 2 * POLICY.tolerance_um:
            assert len(places) <= 2
