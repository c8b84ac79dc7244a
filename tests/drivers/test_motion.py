"""One move from its command to its arrival, on a simulated stage in simulated time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from microscoped.drivers import FocusDirection
from microscoped.drivers.errors import LimitHighError, MotionStoppedError, StageError, StageNotArrivedError
from microscoped.drivers.motion import Arrival, move
from microscoped.drivers.safety import MotionSettings, Origin
from microscoped.simulators import Faults, ManualClock, SimulatedStage, StageModel

SETTINGS = MotionSettings(
    limits_um=(-50.0, 50.0),
    focus_direction=FocusDirection.TOWARD_SAMPLE,
    overshoot_um=2.0,
    arrival_tolerance_um=0.05,
    settle_ms=20.0,
    timeout_s=1.0,
)


@dataclass
class Bench:
    """A stage, its clock, and what was heard of a move."""

    model: StageModel = field(default_factory=StageModel)
    faults: Faults = field(default_factory=Faults)
    clock: ManualClock = field(default_factory=ManualClock)
    stop_after: int | None = None
    longest_wait_ns: int = 0
    trace: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage = SimulatedStage(self.model, clock=self.clock, seed=1, faults=self.faults)

    def move(self, target_um: float, settings: MotionSettings = SETTINGS) -> Arrival:
        waits = 0
        job = move(
            self.stage,
            settings,
            target_um,
            Origin.AUTOMATIC,
            clock=self.clock,
            stopped=lambda: self.stop_after is not None and waits >= self.stop_after,
            trace=lambda t_ns, z_um: self.trace.append((t_ns, z_um)),
        )
        try:
            while True:
                wait_ns = next(job)
                waits += 1
                self.longest_wait_ns = max(self.longest_wait_ns, wait_ns)
                self.clock.sleep(wait_ns / 1e9)
        except StopIteration as end:
            arrival: Arrival = end.value
            return arrival


def test_a_move_arrives_by_read_back_and_settles() -> None:
    bench = Bench()
    began = bench.clock()
    arrival = bench.move(10.0)
    assert arrival.z_um == pytest.approx(10.0, abs=0.05)
    assert arrival.approached
    assert arrival.moves == 1
    assert arrival.travel_um == pytest.approx(10.0)
    assert arrival.arrived_ns - began >= 20e6
    assert abs(bench.stage.optical_z_um(arrival.arrived_ns) - 10.0) < 0.05


def test_a_move_down_turns_below_its_target_and_backlash_does_not_show() -> None:
    bench = Bench(StageModel(backlash_um=1.5))
    up = bench.move(5.0)
    z_up = bench.stage.optical_z_um(up.arrived_ns)
    bench.move(12.0)
    down = bench.move(5.0)
    assert down.moves == 2
    assert down.approached
    assert bench.stage.optical_z_um(down.arrived_ns) == pytest.approx(z_up, abs=0.1)


def test_the_stage_is_asked_at_least_every_five_milliseconds() -> None:
    bench = Bench(StageModel(speed_um_s=50.0))
    bench.move(10.0)
    assert bench.longest_wait_ns <= 5_000_000
    assert len(bench.trace) > 5


def test_a_stage_that_lies_about_busy_is_caught_by_its_read_back() -> None:
    bench = Bench(StageModel(speed_um_s=50.0), Faults(busy_lies=True))
    arrival = bench.move(10.0)
    assert arrival.duration_ms >= 200
    assert arrival.z_um == pytest.approx(10.0, abs=0.05)


def test_a_stuck_stage_is_said_to_be_where_it_is() -> None:
    bench = Bench(faults=Faults(stage_stuck=True))
    with pytest.raises(StageNotArrivedError, match=r"reads 0 µm, 10 µm from its target"):
        bench.move(10.0)


def test_a_slow_stage_is_given_up_at_the_deadline() -> None:
    bench = Bench(StageModel(speed_um_s=1.0))
    began = bench.clock()
    with pytest.raises(StageNotArrivedError, match=r"stage\.timeout_s"):
        bench.move(10.0)
    assert 1.0e9 <= bench.clock() - began < 1.1e9


def test_a_refused_move_moves_nothing() -> None:
    bench = Bench()
    with pytest.raises(LimitHighError):
        bench.move(51.0)
    assert not bench.stage.is_busy()
    assert bench.stage.position_um() == 0.0


@pytest.mark.parametrize("stop_after", [0, 1, 5, 20])
def test_stop_halts_at_any_moment(stop_after: int) -> None:
    bench = Bench(StageModel(speed_um_s=100.0), stop_after=stop_after)
    with pytest.raises(MotionStoppedError):
        bench.move(-10.0)
    bench.clock.sleep(1.0)
    halted = bench.stage.position_um()
    bench.clock.sleep(1.0)
    assert bench.stage.position_um() == halted
    assert halted > -10.0


def test_a_failing_stage_ends_the_move() -> None:
    with pytest.raises(StageError):
        Bench(faults=Faults(stage_failures=1)).move(1.0)


def test_long_automatic_moves_go_in_steps() -> None:
    arrival = Bench().move(45.0, replace(SETTINGS, max_step_um=10.0))
    assert arrival.moves == 5
    assert arrival.z_um == pytest.approx(45.0, abs=0.05)
