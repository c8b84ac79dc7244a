"""Focus from pairs: few moves where the engine is right, and no belief in it where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.focus import (
    PairEvent,
    PairPolicy,
    PairReading,
    PairResult,
    Shot,
    TakeShot,
    light_sign,
    propose_pair,
)
from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from microscoped.daemon.focus import Approach

Says = Callable[["Bench", float, float], dict[str, Any]]
"""What an engine says of a pair, from the true defocus of its two frames."""

POLICY = PairPolicy(start_um=0.0, low_um=-50.0, high_um=50.0, dof_um=2.0, delta_um=4.0)


def exact(_bench: Bench, _first_um: float, second_um: float) -> dict[str, Any]:
    return {"defocus_um": second_um, "interval_um": (second_um - 1.0, second_um + 1.0)}


@dataclass
class Bench:
    """A stage with play before a specimen, and an engine that says what it is told to say."""

    focus_um: float
    says: Says = exact
    backlash_um: float = 0.0
    overshoot_um: float = 1.0
    motor_um: float = 0.0
    optics_um: float = 0.0
    shots: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    reversed: int = 0
    readings: int = 0
    exposures_ms: list[float] = field(default_factory=list)

    def go(self, z_um: float, side: int) -> None:
        """Move as the driver layer does: a move against the approach goes beyond and comes back."""
        if z_um == self.motor_um:
            return
        self.moves.append(z_um)
        legs = [z_um]
        if (z_um - self.motor_um) * side < 0:
            self.reversed += 1
            legs.insert(0, z_um - side * self.overshoot_um)
        for leg in legs:
            play = self.backlash_um
            self.optics_um = min(max(self.optics_um, leg), leg + play)
            self.motor_um = leg

    def shoot(self, z_um: float, side: int) -> Shot:
        self.go(z_um, side)
        self.shots.append(self.optics_um)
        exposure_ms = self.exposures_ms.pop(0) if self.exposures_ms else 10.0
        return Shot(self.motor_um, exposure_ms)

    def read(self, first: int, second: int) -> PairReading:
        self.readings += 1
        answer = self.says(self, self.shots[first] - self.focus_um, self.shots[second] - self.focus_um)
        return PairReading(first, second, **{"defocus_um": None, **answer})


def run(bench: Bench, policy: PairPolicy = POLICY) -> PairResult:
    history: list[PairEvent] = []
    while not isinstance(step := propose_pair(policy, history), PairResult):
        assert len(history) < 40
        if isinstance(step, TakeShot):
            assert policy.low_um <= step.z_um <= policy.high_um
            history.append(bench.shoot(step.z_um, policy.side))
        else:
            assert step.first < step.second < len(bench.shots)
            gap_um = abs(bench.shots[step.second] - bench.shots[step.first]) - bench.backlash_um
            assert gap_um <= 12.5 * policy.dof_um
            history.append(bench.read(step.first, step.second))
    if step.z_um is not None:
        bench.go(step.z_um, policy.side)
    return step


@pytest.mark.parametrize("approach", ["increasing", "decreasing"])
@pytest.mark.parametrize(
    ("focus_um", "moves", "reversed_moves", "images"),
    [
        (8.0, 2, 0, 3),  # ahead: the last image is one of the second pair
        (11.0, 2, 0, 3),
        (20.0, 2, 0, 3),  # far ahead
        (30.0, 3, 0, 4),  # too far ahead for a pair: one image before the focus
        (4.0, 1, 0, 3),  # the second image is in focus already: the first one checks it
        (0.0, 2, 1, 3),  # the first image was in focus
        (2.0, 2, 1, 3),  # between the two
        (-5.0, 2, 1, 3),  # behind by more than the distance of a pair
        (-30.0, 3, 1, 4),  # too far behind for a pair: below it, and again
    ],
)
def test_a_true_engine_needs_few_moves_and_two_pairs(
    approach: Approach, focus_um: float, moves: int, reversed_moves: int, images: int
) -> None:
    policy = replace(POLICY, approach=approach)
    bench = Bench(focus_um * policy.side)
    result = run(bench, policy)
    assert (result.focused, result.confirmation, result.pairs, result.reason) == (True, "pair", 2, "")
    assert bench.motor_um == pytest.approx(bench.focus_um)
    assert (len(bench.moves), bench.reversed, len(bench.shots)) == (moves, reversed_moves, images)
    assert [check.covered for check in result.checks] == [True]
    assert result.checks[0].residual_um == pytest.approx(0.0)


def test_most_starts_need_three_images_and_as_many_commanded_moves_at_most() -> None:
    rng = np.random.default_rng(0)
    counts, images = [], []
    for _ in range(300):
        bench = Bench(float(rng.uniform(-20, 20)), says=noisy(0.15, rng))
        assert run(bench).focused
        counts.append(len(bench.moves))
        images.append(len(bench.shots))
    assert np.median(counts) <= 3
    assert np.median(images) == 3


def noisy(relative: float, rng: np.random.Generator) -> Says:
    """An engine whose error grows with the distance, and that knows how much."""

    def says(_bench: Bench, _first_um: float, second_um: float) -> dict[str, Any]:
        spread = 0.1 + relative * abs(second_um)
        told = second_um + float(rng.normal(0.0, spread))
        return {"defocus_um": told, "interval_um": (told - 2 * spread, told + 2 * spread)}

    return says


def test_an_honest_engine_ends_within_half_a_depth_of_field_most_times() -> None:
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(300):
        bench = Bench(float(rng.uniform(-25, 25)), says=noisy(0.1, rng))
        result = run(bench)
        if result.focused:
            errors.append(abs(bench.optics_um - bench.focus_um))
    assert len(errors) > 280
    assert np.quantile(errors, 0.9) < 0.5 * POLICY.dof_um


def biased(_bench: Bench, _first_um: float, second_um: float) -> dict[str, Any]:
    told, half_um = 0.8 * second_um, 0.5 + 0.25 * abs(second_um)
    return {"defocus_um": told, "interval_um": (told - half_um, told + half_um)}


def test_an_estimate_that_falls_short_is_corrected_by_the_next() -> None:
    bench = Bench(14.0, says=biased)
    result = run(bench)
    assert (result.focused, result.confirmation) == (True, "corrected")
    assert abs(bench.optics_um - bench.focus_um) < 0.5 * POLICY.dof_um
    [check] = result.checks
    assert check.short_um == pytest.approx(abs(check.residual_um))
    assert check.short_um > 0.5 * POLICY.dof_um


def after(count: int, later: Says, first: Says = exact) -> Says:
    """One thing, by default the truth, for so many pairs, then another."""
    return lambda bench, one, two: (first if bench.readings <= count else later)(bench, one, two)


def from_then(count: int, says: Says) -> Says:
    """Something else for so many pairs, then true."""
    return lambda bench, first, second: (says if bench.readings <= count else exact)(bench, first, second)


def abstains(reason: str) -> Says:
    return lambda _bench, _first, _second: {"reason": reason}


def wrong_by(error_um: float, half_um: float) -> Says:
    def says(_bench: Bench, _first_um: float, second_um: float) -> dict[str, Any]:
        told = second_um + error_um
        return {"defocus_um": told, "interval_um": (told - half_um, told + half_um)}

    return says


def brightness(*ratios: float) -> Says:
    """True, but the light wanders: the n-th pair has this ratio, and all after the last have 1."""
    return lambda bench, first, second: {
        **exact(bench, first, second),
        "mean_ratio": ratios[bench.readings - 1] if bench.readings <= len(ratios) else 1.0,
    }


@pytest.mark.parametrize(
    ("says", "confirmation", "pairs"),
    [
        (from_then(1, wrong_by(6.0, 0.5)), "another_pair", 3),  # the first pair lied about its interval
        (after(1, from_then(2, abstains("uncertain"))), "another_pair", 3),  # the check told nothing
        (from_then(1, wrong_by(1.5, 2.0)), "corrected", 2),  # it was wrong, and knew how much
    ],
)
def test_a_wrong_first_pair_does_not_spoil_the_focus(says: Says, confirmation: str, pairs: int) -> None:
    bench = Bench(10.0, says=says)
    result = run(bench)
    assert (result.focused, result.confirmation, result.pairs) == (True, confirmation, pairs)
    assert bench.optics_um == pytest.approx(bench.focus_um, abs=0.0 if confirmation != "corrected" else 0.31)


@pytest.mark.parametrize(
    ("first_half_um", "check_half_um", "end_um", "half_um"),
    [
        (2.0, 2.0, 10.75, 2.0 / 2**0.5),
        (2.0, 1.0, 10.3, 2.0 / 5**0.5),  # the surer one counts more
        (1.0, 2.0, 11.2, 2.0 / 5**0.5),
        (3.0, 0.0, 10.0 + 1.5 / 37.0, 3.0 / 37.0**0.5),  # none counts as surer than half the tolerance
    ],
)
def test_a_correction_goes_where_both_pairs_together_see_the_focus(
    first_half_um: float, check_half_um: float, end_um: float, half_um: float
) -> None:
    result = run(Bench(10.0, says=after(1, wrong_by(0.0, check_half_um), first=wrong_by(-1.5, first_half_um))))
    assert (result.focused, result.confirmation) == (True, "corrected")
    assert result.z_um == pytest.approx(end_um)
    assert result.interval_um == pytest.approx((end_um - half_um, end_um + half_um))


def test_two_of_three_pairs_settle_it_where_the_one_between_lied() -> None:
    bench = Bench(10.0, says=after(1, after(2, exact, first=wrong_by(-4.0, 0.2)), first=exact))
    result = run(bench)
    assert (result.focused, result.confirmation, result.pairs) == (True, "another_pair", 3)
    assert result.z_um == pytest.approx(10.0)
    assert len(bench.shots) == 4
    assert [check.covered for check in result.checks] == [False, False]


@pytest.mark.parametrize(("apart_um", "pairs"), [(0.4, 2), (0.9, 2)])
def test_pairs_that_agree_within_the_tolerance_agree_however_sure_they_are(apart_um: float, pairs: int) -> None:
    result = run(Bench(10.0, says=after(1, wrong_by(apart_um, 0.01), first=wrong_by(0.0, 0.01))))
    assert (result.focused, result.pairs) == (True, pairs)


def lies(bench: Bench, _first_um: float, second_um: float) -> dict[str, Any]:
    """Each pair says something else, and is sure of it."""
    told = second_um + 3.0 * bench.readings * (-1) ** bench.readings
    return {"defocus_um": told, "interval_um": (told - 0.2, told + 0.2)}


@pytest.mark.parametrize(
    ("focus_um", "says", "pairs", "reason"),
    [
        (10.0, abstains("empty"), 1, "empty"),
        (10.0, abstains("uncertain"), 1, "uncertain"),
        (10.0, after(1, abstains("saturated")), 2, "saturated"),
        (10.0, after(1, abstains("uncertain")), 4, "uncertain"),
        (10.0, lies, 4, "disagree"),
        (10.0, lambda *_: {"defocus_um": 400.0, "interval_um": (399.0, 401.0)}, 1, "-396 µm, outside of -50 … 50"),
        (10.0, brightness(1.1, 1.1, 1.1), 1, "not steady"),
        (10.0, brightness(1.0, 0.9, 0.9, 0.9), 2, "not steady"),
    ],
)
def test_what_no_pair_settles_is_left_to_the_search(focus_um: float, says: Says, pairs: int, reason: str) -> None:
    result = run(Bench(focus_um, says=says))
    assert not result.focused
    assert (result.z_um, result.confirmation, result.pairs) == (None, None, pairs)
    assert reason in result.reason


@pytest.mark.parametrize(
    ("ratios", "retakes", "images"), [((1.029, 0.971), 0, 3), ((1.031,), 1, 4), ((1.2, 0.8), 2, 5), ((1.0, 0.9), 1, 4)]
)
def test_an_image_is_taken_again_where_the_light_had_changed(
    ratios: tuple[float, ...], retakes: int, images: int
) -> None:
    bench = Bench(10.0, says=brightness(*ratios))
    result = run(bench)
    assert (result.focused, result.retakes, len(bench.shots), len(bench.moves)) == (True, retakes, images, 2)


@pytest.mark.parametrize(
    ("exposures_ms", "focused", "retakes"), [([10, 20, 10], True, 1), ([10, 20, 20, 20], False, 2)]
)
def test_images_of_unlike_exposure_are_never_read(exposures_ms: list[float], focused: bool, retakes: int) -> None:
    bench = Bench(10.0, exposures_ms=list(exposures_ms))
    result = run(bench)
    assert (result.focused, result.retakes) == (focused, retakes)
    if not focused:
        assert bench.readings == 0
        assert "exposure time changed from 10 to 20 ms" in result.reason


@pytest.mark.parametrize(
    ("low_um", "high_um", "start_um", "focus_um", "focused"),
    [
        (-50.0, 1.0, 0.0, -9.0, True),  # no room above the start: the first pair goes down
        (-2.0, 50.0, 0.0, -1.5, True),  # no room before the focus: the check comes from beyond
        (-50.0, 5.0, 0.0, 5.0, True),
        (-1.0, 1.0, 0.0, 0.5, False),  # no room for a pair at all
    ],
)
def test_pairs_stay_within_the_limits(
    low_um: float, high_um: float, start_um: float, focus_um: float, focused: bool
) -> None:
    policy = replace(POLICY, low_um=low_um, high_um=high_um, start_um=start_um)
    result = run(Bench(focus_um), policy)
    assert result.focused == focused
    assert focused or "no room" in result.reason


@pytest.mark.parametrize("focus_um", [-20.0, -5.0, 0.0, 3.0, 9.0, 25.0])
def test_play_in_the_thread_does_not_reach_the_focus(focus_um: float) -> None:
    bench = Bench(focus_um, backlash_um=0.8, optics_um=0.8)  # the start was reached from the wrong side
    result = run(bench)
    assert result.focused
    assert bench.optics_um == pytest.approx(bench.focus_um, abs=1e-6)


def two_planes(_bench: Bench, _first_um: float, second_um: float) -> dict[str, Any]:
    modes = sorted((second_um, second_um + 7.0), key=abs)
    return {"defocus_um": modes[0], "interval_um": (modes[0] - 1, modes[0] + 1), "modes_um": tuple(modes)}


def test_of_two_planes_one_is_kept_to_and_both_are_told() -> None:
    bench = Bench(10.0, says=two_planes)
    result = run(bench)
    assert result.focused
    assert result.planes_um == pytest.approx((3.0, 10.0))
    assert result.z_um in (pytest.approx(3.0), pytest.approx(10.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_um": 60.0}, "start_um 60"),
        ({"delta_um": 0.5}, "0.25 depths of field"),
        ({"delta_um": 9.0}, "4.5 depths of field"),
        ({"dof_um": 0.0}, "dof_um 0"),
        ({"max_pairs": 1}, "at least 2"),
    ],
)
def test_policies_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(POLICY, **change)


@pytest.mark.parametrize(
    ("direction", "sign"), [(FocusDirection.TOWARD_SAMPLE, -1), (FocusDirection.AWAY, 1), (FocusDirection.UNKNOWN, 0)]
)
def test_the_plane_in_focus_moves_against_the_light_toward_the_sample(direction: FocusDirection, sign: int) -> None:
    assert light_sign(direction) == sign
