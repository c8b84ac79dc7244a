from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from microscoped.drivers.errors import StageError
from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.drivers.protocols import FocusStage, Microscope
    from tests.contract.conftest import Case, Collector


@pytest.mark.parametrize("z_um", [5.0, -3.2, 0.0])
def test_a_move_arrives_and_is_read_back(case: Case, microscope: Microscope, collect: Collector, z_um: float) -> None:
    stage = microscope.stage
    stage.move_to(z_um)
    collect.wait(lambda: not stage.is_busy() and abs(stage.position_um() - z_um) <= case.tolerance_um)


def test_a_command_replaces_the_one_in_progress(case: Case, microscope: Microscope, collect: Collector) -> None:
    stage = microscope.stage
    stage.move_to(20.0)
    stage.move_to(-2.0)
    collect.wait(lambda: not stage.is_busy() and abs(stage.position_um() + 2.0) <= case.tolerance_um)


@pytest.mark.finite_speed
def test_a_stage_with_finite_speed_says_that_it_moves(microscope: Microscope, collect: Collector) -> None:
    stage = microscope.stage
    stage.move_to(40.0)
    assert stage.is_busy()
    assert stage.position_um() < 39.0
    collect.wait(lambda: not stage.is_busy())


def stop_here(stage: FocusStage) -> None:
    stage.stop()


def stop_elsewhere(stage: FocusStage) -> None:
    lane = threading.Thread(target=stage.stop, name="stop lane")
    lane.start()
    lane.join(5.0)
    assert not lane.is_alive()


@pytest.mark.finite_speed
@pytest.mark.parametrize("stop", [stop_here, stop_elsewhere])
def test_stop_halts_in_the_middle_of_a_move(
    case: Case, microscope: Microscope, collect: Collector, stop: Callable[[FocusStage], None]
) -> None:
    stage = microscope.stage
    start_um = stage.position_um()
    stage.move_to(start_um + 100.0)
    collect.wait(lambda: stage.position_um() > start_um + 2.0)
    stop(stage)
    collect.wait(lambda: not stage.is_busy())
    halted_um = stage.position_um()
    assert start_um < halted_um < start_um + 90.0
    collect.wait(lambda: abs(stage.position_um() - halted_um) <= case.tolerance_um)
    stage.move_to(start_um)
    collect.wait(lambda: not stage.is_busy() and abs(stage.position_um() - start_um) <= case.tolerance_um)


def test_stop_at_rest_changes_nothing(case: Case, microscope: Microscope) -> None:
    stage = microscope.stage
    before_um = stage.position_um()
    stage.stop()
    stage.stop()
    assert stage.position_um() == pytest.approx(before_um, abs=case.tolerance_um)
    assert not stage.is_busy()


def test_a_target_that_is_no_number_is_refused(case: Case, microscope: Microscope) -> None:
    stage = microscope.stage
    before_um = stage.position_um()
    for nonsense in (float("nan"), float("inf")):
        with pytest.raises(StageError):
            stage.move_to(nonsense)
    assert stage.position_um() == pytest.approx(before_um, abs=case.tolerance_um)


@pytest.mark.limited
def test_a_target_beyond_the_mechanics_is_refused_and_nothing_moves(case: Case, microscope: Microscope) -> None:
    stage = microscope.stage
    before_um = stage.position_um()
    with pytest.raises(StageError):
        stage.move_to(1e6)
    assert stage.position_um() == pytest.approx(before_um, abs=case.tolerance_um)


def test_the_stage_moves_while_a_sequence_runs(case: Case, microscope: Microscope, collect: Collector) -> None:
    microscope.camera.start()
    microscope.stage.move_to(4.0)
    collect.wait(
        lambda: not microscope.stage.is_busy() and abs(microscope.stage.position_um() - 4.0) <= case.tolerance_um
    )
    assert microscope.camera.is_running()


def test_the_direction_is_one_of_three(microscope: Microscope) -> None:
    assert isinstance(microscope.stage.focus_direction(), FocusDirection)
    assert microscope.stage.name
