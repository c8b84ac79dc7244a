"""Sequences that are accepted: where their events go, how many there are, and what they cost."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import useq

from microscoped.daemon.acquire import Limits, read_events, read_sequence
from microscoped.daemon.acquire._useq import forget_sequences
from tests.daemon.acquire.stand import INSTRUMENT

STACK = {"range": 2, "step": 1}
EVERY = [{"config": "DAPI"}, {"config": "FITC", "acquire_every": 3, "exposure": 20}]

GOOD: list[dict[str, Any]] = [
    {"z_plan": STACK},
    {"z_plan": {"relative": [0, -1, 2], "go_up": False}},
    {"z_plan": {"above": 2, "below": 1, "step": 0.5}},
    {"z_plan": {"top": 3, "bottom": 1, "step": 0.5}},
    {"time_plan": {"interval": 0, "loops": 7}},
    {"time_plan": {"duration": 10, "loops": 5}},
    {"time_plan": {"interval": 2, "duration": 9}},
    {"time_plan": [{"interval": 1, "loops": 3}, {"interval": 2, "loops": 4}]},
    {"time_plan": {"phases": [{"interval": 1, "loops": 3}]}, "channels": ["DAPI"]},
    {"channels": EVERY, "time_plan": {"interval": 1, "loops": 8}},
    {"channels": EVERY, "time_plan": {"interval": 1, "loops": 2}},
    {"channels": EVERY, "time_plan": {"interval": 1, "loops": 1}},
    {"channels": ["DAPI", {"config": "FITC", "do_stack": False}], "z_plan": STACK},
    {"channels": [{"config": "DAPI", "z_offset": 1.5}], "z_plan": {"relative": [0]}},
    {"stage_positions": [[0, 0], [3, 4, 5], {"x": 1, "z": 2, "name": "third"}]},
    {
        "stage_positions": [[0, 0, 1], [3, 4, 5]],
        "autofocus_plan": {"axes": ["p"]},
        "time_plan": {"interval": 0, "loops": 5},
    },
    {
        "stage_positions": [[0, 0, 1], [3, 4, 5]],
        "autofocus_plan": {"axes": ["t"]},
        "time_plan": {"interval": 0, "loops": 5},
    },
    {"stage_positions": [[0, 0, 1]], "autofocus_plan": {"axes": ["p"]}, "time_plan": {"interval": 0, "loops": 5}},
    {"grid_plan": {"rows": 2, "columns": 3}, "z_plan": STACK},
    {"grid_plan": {"num_points": 4, "random_seed": 3, "max_width": 20, "max_height": 20}},
    {
        "axis_order": "ptgcz",
        "channels": EVERY,
        "stage_positions": [[0, 0], [9, 9]],
        "time_plan": {"interval": 1, "loops": 5},
    },
    {
        "channels": ["DAPI", "FITC"],
        "time_plan": {"interval": 0, "loops": 4},
        "stage_positions": [[0, 0, 1], {"x": 1, "y": 1, "z": 2, "sequence": {"z_plan": STACK}}],
    },
    {
        "channels": ["DAPI"],
        "z_plan": STACK,
        "stage_positions": [
            {"x": 1, "y": 1, "sequence": {"channels": ["FITC", "DAPI"], "z_plan": {"range": 4, "step": 1}}},
            {"x": 1, "y": 1, "sequence": {"autofocus_plan": {"axes": ["p"]}}},
            {"x": 1, "y": 1, "z": 2, "sequence": {"grid_plan": {"rows": 2, "columns": 2}}},
        ],
    },
]


@pytest.mark.parametrize("content", GOOD, ids=range(len(GOOD)))
def test_the_estimate_counts_the_events_that_come(content: dict[str, Any]) -> None:
    plan = read_sequence(content, INSTRUMENT)
    for _ in range(2):  # useq's focus plans remember what they saw; ours are new each time
        events = list(plan.events())
        images = [event for event in events if isinstance(event.action, useq.AcquireImage)]
        assert plan.estimate.frames == len(images) > 0
        assert plan.estimate.focus_events == len(events) - len(images)
        assert plan.cost(events) == (len(images), pytest.approx(plan.estimate.light_ms))
    assert plan.estimate.disk_bytes == plan.estimate.frames * 64 * 64 * 2


def z_of(content: dict[str, Any]) -> list[float | None]:
    return [event.z_pos for event in read_sequence(content, INSTRUMENT).events()]


def test_a_relative_stack_lies_round_the_stage_and_not_round_zero() -> None:
    assert z_of({"z_plan": STACK}) == [3.0, 4.0, 5.0]
    assert z_of({"z_plan": STACK, "stage_positions": [[0, 0]]}) == [3.0, 4.0, 5.0]


def test_a_relative_stack_of_a_position_lies_round_its_z() -> None:
    assert z_of({"z_plan": STACK, "stage_positions": [[0, 0, -2]]}) == [-3.0, -2.0, -1.0]
    inner = {"z_plan": STACK}
    assert z_of({"stage_positions": [{"z": -2, "sequence": inner}, {"sequence": inner}]}) == [-3, -2, -1, 3, 4, 5]


def test_an_absolute_stack_stays_where_it_is() -> None:
    assert z_of({"z_plan": {"top": 1, "bottom": -1, "step": 1}}) == [-1.0, 0.0, 1.0]


def test_a_relative_grid_lies_round_the_stage_and_not_round_zero() -> None:
    plan = read_sequence({"grid_plan": {"rows": 1, "columns": 2}}, INSTRUMENT)
    # Its view is the camera's: 64 pixels of 0.5 µm; the stage is at (1, 2).
    assert [(event.x_pos, event.y_pos) for event in plan.events()] == [(-15.0, 2.0), (17.0, 2.0)]


def test_a_single_position_is_focused_every_time_the_plan_is_run() -> None:
    plan = read_sequence({"stage_positions": [[0, 0, 1]], "autofocus_plan": {"axes": ["p"]}}, INSTRUMENT)
    for _ in range(2):
        assert [event.action.type for event in plan.events()] == ["hardware_autofocus", "acquire_image"]


def test_yaml_reads_as_the_same_as_data() -> None:
    text = "z_plan: {range: 2, step: 1}\nchannels: [DAPI]\n"
    one, other = (read_sequence(content, INSTRUMENT) for content in (text, {"z_plan": STACK, "channels": ["DAPI"]}))
    assert [event.model_dump() for event in one.events()] == [event.model_dump() for event in other.events()]


def test_what_useq_writes_can_be_read() -> None:
    sequence = useq.MDASequence(channels=["DAPI"], z_plan=STACK, time_plan={"interval": 1, "loops": 2})
    assert read_sequence(sequence.model_dump(mode="json"), INSTRUMENT).estimate.frames == 6
    assert read_sequence(sequence.yaml() or "", INSTRUMENT).estimate.frames == 6


def test_the_duration_is_that_of_the_plan_or_of_the_work() -> None:
    limits = Limits(step_s=0.0)
    slow = read_sequence({"time_plan": {"interval": 10, "loops": 4}}, INSTRUMENT, limits).estimate
    assert slow.duration_s == pytest.approx(30.005)
    assert slow.warnings == ()
    channel = {"config": "DAPI", "exposure": 2000}
    fast = read_sequence({"time_plan": {"interval": 1, "loops": 4}, "channels": [channel]}, INSTRUMENT, limits).estimate
    assert fast.duration_s == pytest.approx(8.0)
    assert "later ones will be late" in fast.warnings[0]
    lapses = {"axis_order": "ptc", "stage_positions": [[0, 0], [1, 1]], "time_plan": {"interval": 10, "loops": 4}}
    assert read_sequence(lapses, INSTRUMENT, limits).estimate.duration_s == pytest.approx(60.01)


def test_events_are_read_with_absolute_places() -> None:
    events = read_events([{"z_pos": 1}, {"action": {"type": "hardware_autofocus"}, "z_pos": 2}], INSTRUMENT, Limits())
    assert [(event.z_pos, event.action.type) for event in events] == [(1, "acquire_image"), (2, "hardware_autofocus")]


def test_sequences_that_were_run_are_forgotten() -> None:
    sequence = read_sequence({"z_plan": STACK}, INSTRUMENT).sequence()
    list(sequence)
    gone = weakref.ref(sequence)
    del sequence
    forget_sequences()
    gc.collect()
    assert gone() is None
