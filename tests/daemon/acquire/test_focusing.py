"""Focus events of acquisitions on hardware that does as it is told."""

from __future__ import annotations

import threading

import pytest

from microscoped.daemon.acquire import EngineSettings, FocusDesk, FocusFailure, FocusOutcome, FocusRequest
from tests.daemon.acquire.stand import Finds, Stand

FOCUSED = {
    "stage_positions": [{"z": 1}, {"z": 5}],
    "z_plan": {"relative": [0, 1]},
    "autofocus_plan": {"axes": ["p", "t"]},
}


def test_a_focus_found_moves_the_planes_of_its_position() -> None:
    focus = Finds([1.5, 4.0])
    stand = Stand(FOCUSED, focus=focus)
    outcome = stand.run()
    assert outcome.state == "completed"
    assert [frame.z_um for frame in stand.sink.frames] == [1.5, 2.5, 4.0, 5.0]
    assert all(frame.focused for frame in stand.sink.frames)
    assert [request.z_um for request in focus.requests] == [1, 5]
    assert outcome.progress.focus_found == 2
    assert outcome.progress.focus is not None
    assert outcome.progress.focus.correction_um == -1.0
    assert outcome.progress.focus.index["p"] == 1


def test_the_next_focus_begins_where_the_last_one_was_found() -> None:
    focus = Finds([1.5, 4.0, 1.75, None, None])
    stand = Stand({**FOCUSED, "time_plan": {"interval": 0, "loops": 2}}, focus=focus)
    stand.run()
    assert [request.z_um for request in focus.requests] == [1, 5, 1.5, 4.0, 4.0]
    assert [frame.z_um for frame in stand.sink.frames] == [1.5, 2.5, 4.0, 5.0, 1.75, 2.75]


def test_frames_without_focus_are_skipped_with_the_reason_and_the_next_position_is_taken() -> None:
    stand = Stand(FOCUSED, focus=Finds([None, None, 5.0]))
    outcome = stand.run()
    assert outcome.state == "completed"
    assert [skip.event.index["p"] for skip in stand.sink.skips] == [0, 0]
    assert {skip.reason for skip in stand.sink.skips} == {"no focus: the image has no contrast"}
    assert [frame.event.index["p"] for frame in stand.sink.frames] == [1, 1]
    assert [frame.number for frame in stand.sink.frames] == [0, 1]
    assert outcome.progress.skips == {"no focus: the image has no contrast": 2}
    assert (outcome.progress.frames_done, outcome.progress.frames_skipped, outcome.progress.frames_expected) == (
        2,
        2,
        4,
    )
    assert (outcome.progress.focus_found, outcome.progress.focus_failed) == (1, 1)


def test_frames_without_focus_may_be_taken_all_the_same_and_say_so() -> None:
    settings = EngineSettings(FocusFailure.KEEP, focus_attempts=1)
    stand = Stand(FOCUSED, focus=Finds([None, 5.0]), settings=settings)
    assert stand.run().state == "completed"
    assert [frame.focused for frame in stand.sink.frames] == [False, False, True, True]
    assert [frame.z_um for frame in stand.sink.frames] == [1, 2, 5, 6]


def test_a_missing_focus_may_end_the_run() -> None:
    stand = Stand(FOCUSED, focus=Finds([None] * 3), settings=EngineSettings(FocusFailure.END, focus_attempts=3))
    outcome = stand.run()
    assert (outcome.state, outcome.code) == ("failed", "not_focused")
    assert "event (p 0, z 0): no focus: the image has no contrast, after 3 attempts" in outcome.reason


def test_without_a_way_to_focus_frames_are_skipped_with_that_reason() -> None:
    stand = Stand(FOCUSED)
    assert stand.run().state == "completed"
    assert not stand.sink.frames
    assert {skip.reason for skip in stand.sink.skips} == {"no focus: this acquisition was given no way to focus"}


def test_a_controller_on_another_thread_answers_at_the_desk() -> None:
    asked: list[FocusRequest] = []
    came = threading.Event()

    def ask(request: FocusRequest) -> None:
        asked.append(request)
        came.set()

    desk = FocusDesk(ask, timeout_s=20.0)
    stand = Stand({"stage_positions": [{"z": 1}], "autofocus_plan": {"axes": ["p"]}}, focus=desk)
    stand.acquisition.start()
    assert came.wait(10)
    assert not desk.answer("another", FocusOutcome(True, 9.0))
    assert desk.answer(asked[0].id, FocusOutcome(True, 3.0))
    assert stand.end().state == "completed"
    assert [frame.z_um for frame in stand.sink.frames] == [3.0]


@pytest.mark.parametrize("cancel", [False, True])
def test_a_controller_that_never_answers_does_not_hang_the_run(cancel: bool) -> None:
    came = threading.Event()
    desk = FocusDesk(lambda _request: came.set(), timeout_s=500.0 if cancel else 0.05, grace_s=0.05)
    stand = Stand({"stage_positions": [{"z": 1}], "autofocus_plan": {"axes": ["p"]}}, focus=desk)
    stand.acquisition.start()
    assert came.wait(10)
    if cancel:
        stand.acquisition.cancel()
    outcome = stand.end()
    assert (outcome.state, outcome.code) == (
        ("cancelled", "cancelled") if cancel else ("failed", "fault.hardware_silent")
    )
    assert "focusing at 1 µm" in outcome.reason
