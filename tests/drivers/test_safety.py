"""The rules of motion, as tables and as properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscoped.drivers import FocusDirection
from microscoped.drivers.errors import MotionRefusedError
from microscoped.drivers.safety import Approach, MotionSettings, Origin, check_automatic, check_move, way_points

KNOWN = MotionSettings(
    limits_um=(-10.0, 20.0), max_step_um=5.0, focus_direction=FocusDirection.TOWARD_SAMPLE, overshoot_um=1.0
)
UNKNOWN = replace(KNOWN, focus_direction=FocusDirection.UNKNOWN, unknown_direction_step_um=2.0)
UNKNOWN_WITH_SIDE = replace(UNKNOWN, approach=Approach.INCREASING)


@pytest.mark.parametrize(
    ("settings", "start_um", "target_um", "origin", "code"),
    [
        (KNOWN, 0.0, 5.0, Origin.CLIENT, None),
        (KNOWN, 0.0, -5.0, Origin.CLIENT, None),
        (KNOWN, 0.0, 5.01, Origin.CLIENT, "limit.step"),
        (KNOWN, 0.0, 5.01, Origin.AUTOMATIC, None),
        (KNOWN, 18.0, 20.0, Origin.CLIENT, None),
        (KNOWN, 18.0, 20.001, Origin.CLIENT, "limit.z_high"),
        (KNOWN, 18.0, 20.001, Origin.AUTOMATIC, "limit.z_high"),
        (KNOWN, -9.0, -10.001, Origin.AUTOMATIC, "limit.z_low"),
        (KNOWN, 0.0, float("nan"), Origin.CLIENT, "limit.z_high"),
        (KNOWN, 0.0, float("inf"), Origin.AUTOMATIC, "limit.z_high"),
        (KNOWN, 25.0, 20.0, Origin.CLIENT, None),  # moved beyond by hand: the way back is open
        (replace(KNOWN, limits_um=None), 0.0, 0.0, Origin.CLIENT, "limit.unset"),
        (UNKNOWN, 0.0, 5.0, Origin.CLIENT, None),
        (UNKNOWN, 0.0, 1.0, Origin.AUTOMATIC, "limit.direction_unknown"),
        (UNKNOWN_WITH_SIDE, 0.0, 2.0, Origin.AUTOMATIC, None),
        (UNKNOWN_WITH_SIDE, 0.0, 2.1, Origin.AUTOMATIC, "limit.direction_unknown"),
    ],
)
def test_moves_are_refused_by_the_first_rule_they_break(
    settings: MotionSettings, start_um: float, target_um: float, origin: Origin, code: str | None
) -> None:
    if code is None:
        check_move(settings, start_um, target_um, origin)
        return
    with pytest.raises(MotionRefusedError) as refused:
        check_move(settings, start_um, target_um, origin)
    assert refused.value.code == code
    assert "stage." in str(refused.value)  # the setting that is the remedy


@pytest.mark.parametrize(
    ("direction", "approach", "side"),
    [
        (FocusDirection.TOWARD_SAMPLE, None, Approach.INCREASING),
        (FocusDirection.AWAY, None, Approach.DECREASING),
        (FocusDirection.UNKNOWN, None, None),
        (FocusDirection.TOWARD_SAMPLE, Approach.DECREASING, Approach.DECREASING),
    ],
)
def test_the_approach_is_toward_the_sample_unless_configured(
    direction: FocusDirection, approach: Approach | None, side: Approach | None
) -> None:
    assert MotionSettings(limits_um=None, focus_direction=direction, approach=approach).approach_side == side


@pytest.mark.parametrize(
    ("start_um", "target_um", "points"),
    [
        (0.0, 3.0, (3.0,)),
        (3.0, 0.0, (-1.0, 0.0)),
        (0.0, 12.0, (4.0, 8.0, 12.0)),
        (9.0, 0.0, (4.0, -1.0, 0.0)),
        (-8.0, -9.5, (-10.0, -9.5)),
        (-8.0, -10.0, (-10.0,)),
        (2.0, 2.0, (2.0,)),
    ],
)
def test_moves_from_the_wrong_side_overshoot_and_turn(
    start_um: float, target_um: float, points: tuple[float, ...]
) -> None:
    assert way_points(KNOWN, start_um, target_um) == pytest.approx(points)


def test_an_unknown_direction_is_only_the_automatic_moves_business() -> None:
    check_automatic(KNOWN, 1e6)
    with pytest.raises(MotionRefusedError, match="focus_direction"):
        check_automatic(UNKNOWN, 0.1)


positions = st.floats(-10, 20)


@given(start_um=st.floats(-30, 40), target_um=positions, overshoot_um=st.floats(0, 50), step_um=st.floats(0.1, 100))
def test_way_points_keep_to_limits_and_steps_and_end_at_the_target(
    start_um: float, target_um: float, overshoot_um: float, step_um: float
) -> None:
    settings = replace(KNOWN, overshoot_um=overshoot_um, max_step_um=step_um)
    points = way_points(settings, start_um, target_um)
    assert points[-1] == target_um
    low, high = min(-10.0, start_um), max(20.0, start_um)
    assert all(low - 1e-9 <= point <= high + 1e-9 for point in points)
    legs = [abs(b - a) for a, b in zip((start_um, *points), points, strict=False)]
    assert max(legs) <= step_um * (1 + 1e-6)
