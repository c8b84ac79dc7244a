from __future__ import annotations

import threading

import numpy as np
import pytest

from microscoped.drivers.errors import StageError
from microscoped.drivers.protocols import FocusDirection
from microscoped.simulators import Faults, ManualClock, SimulatedStage, StageModel

MS = 1_000_000


def make(clock: ManualClock, faults: Faults | None = None, seed: int = 0, **model: float) -> SimulatedStage:
    settings = {"speed_um_s": 100.0, "settle_ms": 0.0, **model}
    return SimulatedStage(StageModel(**settings), clock=clock, faults=faults, seed=seed)


def test_a_ramp_runs_at_the_speed_of_the_model() -> None:
    clock = ManualClock()
    stage = make(clock)
    stage.move_to(10.0)
    assert stage.is_busy()
    clock.advance_ms(50)
    assert stage.position_um() == pytest.approx(5.0, abs=0.01)
    clock.advance_ms(60)
    assert stage.position_um() == 10.0
    assert not stage.is_busy()


def test_the_motor_settles_behind_the_ramp_while_the_stage_says_it_is_ready() -> None:
    clock = ManualClock()
    stage = make(clock, settle_ms=10.0)
    stage.move_to(10.0)
    clock.advance_ms(100)
    assert not stage.is_busy()
    assert stage.position_um() == pytest.approx(10.0 - 100.0 * 0.010, abs=0.02)  # v·τ behind
    clock.advance_ms(10)
    assert 10.0 - stage.position_um() == pytest.approx(np.exp(-1.0), abs=0.02)
    clock.advance_ms(100)
    assert stage.position_um() == 10.0


def test_the_truth_does_not_depend_on_who_asked_when() -> None:
    def run(polls: int) -> list[float]:
        clock = ManualClock()
        stage = make(clock, settle_ms=8.0, backlash_um=0.4, jitter_um=0.05, drift_um_s=0.3)
        for target in (3.0, -2.0, 1.0, 1.0, 0.5):
            stage.move_to(target)
            for _ in range(polls):
                clock.advance_ms(60 / polls)
                stage.position_um()
                stage.is_busy()
                stage.optical_z_um(clock())
        first = 1_000_000_000
        return [stage.optical_z_um(first + k * 7 * MS) for k in range(50)]

    assert run(1) == pytest.approx(run(20), abs=1e-9)


def test_the_truth_is_continuous_through_reversals() -> None:
    clock = ManualClock()
    stage = make(clock, settle_ms=8.0, backlash_um=0.4, jitter_um=0.05)
    begin = clock()
    for target in (5.0, -5.0, 2.0):
        stage.move_to(target)
        clock.advance_ms(30)  # each replaces the one before in mid-flight
    stage.stop()
    z = np.array([stage.optical_z_um(begin + k * MS // 10) for k in range(900)])
    assert np.abs(np.diff(z)).max() < 1.5 * 100.0 * 1e-4
    assert np.ptp(z) > 1.0


def test_backlash_appears_on_reversal_and_the_encoder_does_not_see_it() -> None:
    clock = ManualClock()
    stage = make(clock, backlash_um=0.5)
    for target, optical in ((2.0, 2.0), (1.0, 1.5), (0.0, 0.5), (1.0, 1.0), (0.8, 1.0), (1.0, 1.0), (3.0, 3.0)):
        stage.move_to(target)
        clock.advance_ms(1000)
        assert stage.position_um() == target
        assert stage.optical_z_um(clock()) == pytest.approx(optical, abs=1e-9), target


def test_a_late_reversal_of_the_motor_is_played_at_its_turning_point() -> None:
    clock = ManualClock()
    stage = make(clock, backlash_um=0.2, settle_ms=20.0)
    begin = clock()
    stage.move_to(5.0)
    clock.advance_ms(40)
    stage.move_to(0.0)  # the motor lags: it still rises for a while
    clock.advance_ms(400)
    times = range(begin, clock(), MS // 5)
    segment = stage._segments
    motor = np.array(
        [
            next(s for s in reversed(segment) if s.start_ns <= t).motor_at(
                next(s for s in reversed(segment) if s.start_ns <= t).seconds(t)
            )
            for t in times
        ]
    )
    played = motor[0]
    expected = []
    for m in motor:  # the same play, stepped
        played = min(max(played, m), m + 0.2)
        expected.append(played)
    assert [stage.optical_z_um(t) for t in times] == pytest.approx(expected, abs=2e-3)


def test_positioning_errors_are_seeded_and_have_the_declared_size() -> None:
    def errors(seed: int) -> list[float]:
        clock = ManualClock()
        stage = make(clock, seed=seed, jitter_um=0.1)
        found = []
        for k in range(300):
            target = float(1 + k % 2)
            stage.move_to(target)
            clock.advance_ms(200)
            assert stage.position_um() == target
            found.append(stage.optical_z_um(clock()) - target)
        return found

    assert errors(1) == errors(1)
    assert errors(1) != errors(2)
    assert np.std(errors(3)) == pytest.approx(0.1, rel=0.15)


def test_drift_is_optical_only() -> None:
    clock = ManualClock()
    stage = make(clock, drift_um_s=0.2)
    clock.advance_ms(5000)
    assert stage.position_um() == 0.0
    assert stage.optical_z_um(clock()) == pytest.approx(1.0)


def test_injected_drift_begins_and_ends_when_switched() -> None:
    clock, faults = ManualClock(), Faults()
    stage = make(clock, faults)
    faults.drift_um_s = 1.0
    stage.position_um()
    clock.advance_ms(2000)
    faults.drift_um_s = 0.0
    stage.position_um()
    clock.advance_ms(9000)
    assert stage.optical_z_um(clock()) == pytest.approx(2.0)


def test_stop_halts_where_the_motor_is() -> None:
    clock = ManualClock()
    stage = make(clock, settle_ms=10.0)
    stage.move_to(50.0)
    clock.advance_ms(100)
    stage.stop()
    there = stage.position_um()
    assert not stage.is_busy()
    clock.advance_ms(1000)
    assert stage.position_um() == there
    assert 8.0 < there < 10.0


@pytest.mark.parametrize("target", [301.0, -301.0, float("nan"), float("inf")])
def test_targets_outside_the_mechanical_range_are_refused(target: float) -> None:
    stage = make(ManualClock())
    with pytest.raises(StageError, match="out of range"):
        stage.move_to(target)
    assert stage.position_um() == 0.0


def test_a_stuck_stage_accepts_and_does_not_move() -> None:
    clock, faults = ManualClock(), Faults()
    stage = make(clock, faults)
    stage.move_to(10.0)
    clock.advance_ms(50)
    faults.stage_stuck = True
    there = stage.position_um()
    stage.move_to(-10.0)
    clock.advance_ms(1000)
    assert stage.position_um() == there == pytest.approx(5.0, abs=0.01)
    faults.stage_stuck = False
    stage.move_to(-10.0)
    clock.advance_ms(1000)
    assert stage.position_um() == -10.0


def test_a_lying_stage_is_never_busy() -> None:
    clock, faults = ManualClock(), Faults(busy_lies=True)
    stage = make(clock, faults)
    stage.move_to(10.0)
    assert not stage.is_busy()
    assert stage.position_um() == 0.0


def test_injected_failures_are_counted_down() -> None:
    faults = Faults(stage_failures=1)
    stage = make(ManualClock(), faults)
    with pytest.raises(StageError, match="does not answer"):
        stage.move_to(1.0)
    stage.move_to(1.0)


def test_focus_follows_scale_and_direction_of_the_stage() -> None:
    clock = ManualClock()
    model = StageModel(focus_um=100.0, focus_per_stage=-1.33, start_um=90.0, focus_direction=FocusDirection.AWAY)
    stage = SimulatedStage(model, clock=clock)
    assert stage.optical_z_um(clock()) == pytest.approx(13.3)
    assert stage.focus_direction() is FocusDirection.AWAY


@pytest.mark.parametrize(
    "wrong",
    [{"speed_um_s": 0.0}, {"backlash_um": -1.0}, {"start_um": 1e4}, {"focus_per_stage": 0.0}, {"resolution_um": 0.0}],
)
def test_contradictory_models_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|cannot|outside|not focus"):
        StageModel(**wrong)


def test_any_thread_may_stop_a_moving_stage() -> None:
    clock = ManualClock()
    stage = make(clock)
    stage.move_to(200.0)
    clock.advance_ms(100)
    stopper = threading.Thread(target=stage.stop)
    stopper.start()
    while stopper.is_alive():
        stage.position_um()
        stage.optical_z_um(clock())
    stopper.join()
    clock.advance_ms(5000)
    assert stage.position_um() == pytest.approx(10.0, abs=0.01)
