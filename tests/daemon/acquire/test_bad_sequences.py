"""Sequences that are refused before anything moves: which field, which value, which remedy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from microscoped.daemon.acquire import Instrument, Limits, SequenceInvalidError, read_events, read_sequence
from microscoped.drivers import FocusDirection
from microscoped.drivers.safety import MotionSettings, XYMotionSettings
from tests.daemon.acquire.stand import INSTRUMENT

STACK = {"range": 4, "step": 1}
LIMITS = Limits(max_frames=1000, max_exposure_ms=500.0, max_duration_s=3600.0, light_ms=10_000.0, disk_bytes=5e6)
DEEP: dict[str, Any] = {"metadata": {}}
_at = DEEP["metadata"]
for _ in range(20):
    _at["a"] = {}
    _at = _at["a"]

BAD: list[tuple[Any, str, str]] = [
    # content, place, words
    ("z_plan: [", "", "is no YAML"),
    ("just words", "", "must be a mapping"),
    ("x" * 1_000_001, "", "at most 1000000"),
    ({}, "", "wants no frame"),
    ({"zplan": STACK}, "zplan", "there is no such field"),
    ({"metadata": {"gain": math.nan}, "z_plan": STACK}, "metadata.gain", "no number"),
    ({"metadata": {"gain": object()}, "z_plan": STACK}, "metadata", "JSON"),
    ({"metadata": {"text": "x" * 70_000}, "z_plan": STACK}, "metadata", "at most 65536 bytes"),
    (DEEP, "metadata" + ".a" * 12, "nested more than 12"),
    ({"axis_order": "tpcq", "z_plan": STACK}, "axis_order", "t, p, g, c, z"),
    ({"axis_order": "zz", "z_plan": STACK}, "axis_order", "each once"),
    ({"axis_order": "tpc", "z_plan": STACK}, "axis_order", "z_plan would be passed over"),
    # z
    ({"z_plan": 5}, "z_plan", "must be a mapping"),
    ({"z_plan": {"rnge": 4, "stp": 1}}, "z_plan", "is no plan that is known"),
    ({"z_plan": {"range": 4, "steps": 1}}, "z_plan.steps", "has no such field"),
    ({"z_plan": {"range": 4}}, "z_plan.step", "is missing"),
    ({"z_plan": {"range": "wide", "step": 1}}, "z_plan.range", "valid number"),
    ({"z_plan": {"range": -4, "step": 1}}, "z_plan.range", "must not be negative"),
    ({"z_plan": {"range": 4, "step": 0}}, "z_plan.step", "greater than 0"),
    ({"z_plan": {"range": 4, "step": -1}}, "z_plan.step", "greater than 0"),
    ({"z_plan": {"range": 4, "step": 1e-9}}, "z_plan.step", "at most 1000"),
    ({"z_plan": {"range": 4, "step": math.inf}}, "z_plan.step", "no number"),
    ({"z_plan": {"top": 1, "bottom": 3, "step": 1}}, "z_plan.top", "exchange them"),
    ({"z_plan": {"above": -1, "below": 3, "step": 1}}, "z_plan.above", "without the sign"),
    ({"z_plan": {"relative": []}}, "z_plan.relative", "names no plane"),
    ({"z_plan": {"absolute": []}}, "z_plan.absolute", "names no plane"),
    ({"z_plan": {"range": 60, "step": 10}}, "z_plan.range", "below the limit of -20 µm"),
    ({"z_plan": {"above": 17, "below": 1, "step": 1}}, "z_plan.above", "above the limit of 20 µm"),
    ({"z_plan": {"above": 1, "below": 30, "step": 1}}, "z_plan.below", "below the limit"),
    ({"z_plan": {"top": 21, "bottom": 18, "step": 1}}, "z_plan.top", "above the limit"),
    ({"z_plan": {"top": 1, "bottom": -21, "step": 1}}, "z_plan.bottom", "below the limit"),
    ({"z_plan": {"absolute": [1, 25]}}, "z_plan.absolute.1", "above the limit"),
    ({"z_plan": {"relative": [0, 1, -30]}}, "z_plan.relative.2", "below the limit"),
    # places
    ({"stage_positions": "here"}, "stage_positions", "must be a list"),
    ({"stage_positions": [5]}, "stage_positions.0", "must be a mapping"),
    ({"stage_positions": [[1, 2, 3, 4]]}, "stage_positions.0", "[x, y, z]"),
    ({"stage_positions": [{"x": 1, "y": 1, "w": 1}]}, "stage_positions.0.w", "has no such field"),
    ({"stage_positions": [{"x": "left"}]}, "stage_positions.0.x", "valid number"),
    ({"stage_positions": [{"z": 1}, {"z": 30}]}, "stage_positions.1.z", "above the limit of 20 µm"),
    ({"stage_positions": [[0, 0], [500, 0]]}, "stage_positions.1", "outside the limits of -100 to 100 µm"),
    ({"stage_positions": [{"x": 1, "y": 1, "properties": [["a", "b", 1]]}]}, "stage_positions.0.properties", "preset"),
    ({"stage_positions": [[0, 0]] * 1001}, "stage_positions", "at most 1000"),
    ({"stage_positions": [{"sequence": 4}]}, "stage_positions.0.sequence", "must be a mapping"),
    (
        {"stage_positions": [{"z": 15, "sequence": {"z_plan": {"range": 20, "step": 5}}}]},
        "stage_positions.0.sequence.z_plan.range",
        "above the limit",
    ),
    (
        {"stage_positions": [{"sequence": {"time_plan": {"interval": 1, "loops": 3}}}]},
        "stage_positions.0.sequence.time_plan",
        "axis_order",
    ),
    (
        {"stage_positions": [{"sequence": {"stage_positions": [[0, 0]]}}]},
        "stage_positions.0.sequence.stage_positions",
        "at the top",
    ),
    ({"stage_positions": [{"sequence": {"zplan": STACK}}]}, "stage_positions.0.sequence.zplan", "no such field"),
    # grids
    ({"grid_plan": {"cells": 4}}, "grid_plan", "is no plan that is known"),
    ({"grid_plan": {"rows": 0, "columns": 2}}, "grid_plan.rows", "greater than or equal to 1"),
    ({"grid_plan": {"rows": 20, "columns": 20}}, "grid_plan", "outside the limits"),
    ({"grid_plan": {"rows": 200, "columns": 200}}, "grid_plan", "at most 1000"),
    ({"grid_plan": {"rows": 2, "columns": 2, "fov_width": 0}}, "grid_plan.fov_width", "greater than 0"),
    ({"grid_plan": {"num_points": 3}}, "grid_plan.random_seed", "is missing"),
    # channels
    ({"channels": "DAPI"}, "channels", "must be a list"),
    ({"channels": [{"exposure": 5}]}, "channels.0.config", "is missing"),
    ({"channels": ["Cy5"]}, "channels.0.config", "choose one of: DAPI, FITC"),
    ({"channels": ["DAPI", {"config": "left", "group": "Paths"}]}, "channels.1.group", "there is no group"),
    ({"channels": [{"config": "DAPI", "exposures": 5}]}, "channels.0.exposures", "has no such field"),
    ({"channels": [{"config": "DAPI", "exposure": 0}]}, "channels.0.exposure", "greater than 0"),
    ({"channels": [{"config": "DAPI", "exposure": 501}]}, "channels.0.exposure", "longer than 500 ms"),
    ({"channels": [{"config": "DAPI", "camera": "B"}]}, "channels.0.camera", "one camera"),
    ({"channels": [{"config": "DAPI", "acquire_every": 0}]}, "channels.0.acquire_every", "greater than 0"),
    ({"channels": [{"config": "DAPI", "z_offset": 2}]}, "channels.0.z_offset", "no effect without a z_plan"),
    # time
    ({"time_plan": {"interval": 1}}, "time_plan.loops", "is missing"),
    ({"time_plan": {"interval": 1, "loops": 0}}, "time_plan.loops", "greater than 0"),
    ({"time_plan": {"interval": -1, "loops": 3}}, "time_plan.interval", "must not be negative"),
    ({"time_plan": {"interval": 0, "duration": 3}}, "time_plan.interval", "greater than 0"),
    ({"time_plan": {"duration": 3, "loops": 1}}, "time_plan.loops", "two or more"),
    ({"time_plan": {"interval": 1, "loops": 1001}}, "time_plan.loops", "at most 1000"),
    ({"time_plan": {"interval": 1e-6, "duration": 3600}}, "time_plan.interval", "at most 1000"),
    ({"time_plan": {"interval": "soon", "loops": 2}}, "time_plan.interval", ""),
    ({"time_plan": [{"interval": 1, "loops": 2}, {"interval": -1, "loops": 2}]}, "time_plan.1.interval", "negative"),
    ({"time_plan": {"phases": [{"interval": 1, "loops": 2, "n": 1}]}}, "time_plan.phases.0.n", "no such field"),
    # focus, and what is not carried out
    ({"z_plan": STACK, "autofocus_plan": {"axes": ["p"]}}, "autofocus_plan.axes", "none is an axis here"),
    ({"z_plan": STACK, "autofocus_plan": {"axes": ["q"]}}, "autofocus_plan.axes", "t, p, g, c, z"),
    ({"z_plan": STACK, "autofocus_plan": {}}, "autofocus_plan.axes", "is missing"),
    (
        {"stage_positions": [[0, 0]], "autofocus_plan": {"axes": ["p"], "autofocus_motor_offset": 5}},
        "autofocus_plan.autofocus_motor_offset",
        "take it out",
    ),
    (
        {"stage_positions": [[0, 0]], "autofocus_plan": {"axes": ["p"], "autofocus_device_name": "PFS"}},
        "autofocus_plan.autofocus_device_name",
        "by itself",
    ),
    (
        {"stage_positions": [[0, 0]], "z_plan": {"absolute": [1]}, "autofocus_plan": {"axes": ["p"]}},
        "",
        "Absolute Z positions cannot be used with autofocus",
    ),
    ({"z_plan": STACK, "setup": {"exposure": 5}}, "setup", "is not carried out"),
    ({"z_plan": STACK, "keep_shutter_open_across": "z"}, "keep_shutter_open_across", "take it out"),
    # the whole
    ({"time_plan": {"interval": 0, "loops": 400}, "z_plan": STACK}, "frames", "at most 1000"),
    ({"time_plan": {"interval": 3600, "loops": 3}}, "duration_s", "fewer time points"),
    ({"channels": [{"config": "DAPI", "exposure": 500}], "z_plan": {"range": 20, "step": 1}}, "light_ms", "are left"),
    ({"time_plan": {"interval": 0, "loops": 700}}, "disk_bytes", "are free"),
]


def refusal(content: Any, instrument: Instrument = INSTRUMENT, limits: Limits = LIMITS) -> SequenceInvalidError:  # noqa: ANN401
    with pytest.raises(SequenceInvalidError) as refused:
        read_sequence(content, instrument, limits)
    assert refused.value.code == "invalid"
    return refused.value


@pytest.mark.parametrize(
    ("content", "place", "words"), BAD, ids=[f"{number}-{place}" for number, (_, place, _) in enumerate(BAD)]
)
def test_a_bad_sequence_is_refused_with_its_place(content: Any, place: str, words: str) -> None:  # noqa: ANN401
    refused = refusal(content)
    found = [problem for problem in refused.problems if problem.place == place]
    assert found, f"{place!r} is not among {[str(problem) for problem in refused.problems]}"
    assert any(words in problem.detail for problem in found), found
    assert all(len(problem.value) <= 60 for problem in refused.problems)


def test_all_problems_are_told_at_once() -> None:
    refused = refusal({"z_plan": {"range": 4}, "channels": [{"config": "DAPI", "exposure": -1}], "tme": 1})
    assert {problem.place for problem in refused.problems} == {"z_plan.step", "channels.0.exposure", "tme"}
    assert "channels.0.exposure = -1: input should be greater than 0" in str(refused)


UNLIKE: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("no limits of z", {"motion": MotionSettings(None)}, {"z_plan": STACK}, "z_plan.range", "stage.limits_um"),
    ("no limits of x", {"xy": XYMotionSettings()}, {"stage_positions": [[0, 0]]}, "stage_positions.0", "limits_x_um"),
    ("no stage in the plane", {"xy_um": None}, {"stage_positions": [[0, 0]]}, "stage_positions.0", "no motorised"),
    ("no presets", {"presets": {}}, {"channels": ["DAPI"]}, "channels.0.group", "none at all"),
    ("no pixel size", {"pixel_size_um": None}, {"grid_plan": {"rows": 2, "columns": 2}}, "grid_plan.fov_height", "µm"),
    (
        "no focus",
        {"can_focus": False},
        {"stage_positions": [[0, 0]], "autofocus_plan": {"axes": ["p"]}},
        "autofocus_plan",
        "nothing can focus",
    ),
    (
        "no direction",
        {"motion": MotionSettings((-20, 20), focus_direction=FocusDirection.UNKNOWN, unknown_direction_step_um=2.0)},
        {"z_plan": STACK},
        "z_plan.range",
        "focus direction is unknown",
    ),
    ("a long exposure as it is", {"exposure_ms": 900.0}, {"channels": ["DAPI"]}, "channels.0.exposure", "shorten it"),
]


@pytest.mark.parametrize(
    ("changes", "content", "place", "words"), [case[1:] for case in UNLIKE], ids=[case[0] for case in UNLIKE]
)
def test_what_this_microscope_cannot_do_is_refused(
    changes: dict[str, Any], content: dict[str, Any], place: str, words: str
) -> None:
    refused = refusal(content, replace(INSTRUMENT, **changes))
    assert [problem.place for problem in refused.problems] == [place]
    assert words in refused.problems[0].detail


BAD_EVENTS: list[tuple[Any, str, str]] = [
    ([], "events", "one event or more"),
    ("z", "events", "must be a list"),
    ([{}] * 1001, "events", "at most 1000"),
    ([5], "events.0", "must be a mapping"),
    ([{"z": 3}], "events.0.z", "is not carried out"),
    ([{"z_pos": 3}, {"z_pos": 30}], "events.1.z_pos", "above the limit"),
    ([{"z_pos": "up"}], "events.0.z_pos", "valid number"),
    ([{"z_pos": math.nan}], "events.0.z_pos", "no number"),
    ([{"x_pos": 500, "y_pos": 0}], "events.0.x_pos", "outside the limits"),
    ([{"exposure": -1}], "events.0.exposure", "greater than 0"),
    ([{"exposure": 600}], "events.0.exposure", "longer than 500 ms"),
    ([{"channel": "Cy5"}], "events.0.channel.config", "choose one of"),
    ([{"roi": [0, 0, 5, 5]}], "events.0.roi", "is not carried out"),
    ([{"properties": [["a", "b", "c"]]}], "events.0.properties", "is not carried out"),
    ([{"min_start_time": -1}], "events.0.min_start_time", "must not be negative"),
    ([{"action": {"type": "custom", "name": "bleach"}}], "events.0.action", "acquire_image"),
    ([{"action": {"type": "dance"}}], "events.0.action", ""),
]


@pytest.mark.parametrize(("content", "place", "words"), BAD_EVENTS)
def test_a_bad_event_is_refused_with_its_place(content: Any, place: str, words: str) -> None:  # noqa: ANN401
    with pytest.raises(SequenceInvalidError) as refused:
        read_events(content, INSTRUMENT, LIMITS)
    found = [problem for problem in refused.value.problems if problem.place == place]
    assert found, [str(problem) for problem in refused.value.problems]
    assert words in found[0].detail


def test_an_event_with_a_channel_is_refused_where_the_light_could_not_come_back() -> None:
    assert read_events([{"channel": "DAPI"}], INSTRUMENT, LIMITS)
    with pytest.raises(SequenceInvalidError, match="could not come back"):
        read_events([{"channel": "DAPI"}], INSTRUMENT, LIMITS, channels_known=False)
