"""``focus.run`` with pairs of images, in the reducer: which method, what it costs, what it reports."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.core import step
from microscoped.daemon.focus import WINDOW
from microscoped.daemon.protocol import ErrorBody
from microscoped.daemon.protocol.outcomes import FocusOutcome
from microscoped.daemon.record.codec import decode_input, decode_state, encode_input, encode_state
from microscoped.drivers import CameraSettings
from tests.daemon.focus_world import FocusWorld, exact

if TYPE_CHECKING:
    from tests.daemon.focus_world import Says

CALIBRATED = {"calibrated": True, "why_not": ""}


def ran(world: FocusWorld, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - the op's
    task = world.begin("focus.run", **params)
    world.run()
    report = world.result(task)
    FocusOutcome.model_validate_json(json.dumps(report))
    return {**report, "state": world.state.tasks[task].state}


def test_a_focus_from_pairs_takes_two_moves_and_three_images() -> None:
    world = FocusWorld(8.0)
    report = ran(world, method="pair")
    assert (report["state"], report["method"], report["why"], report["confirmation"]) == (
        "done",
        "pair",
        "asked for",
        "pair",
    )
    assert (report["targets"], report["moves"], report["images"]) == (2, 2, 3)
    assert world.moves == [4.0, 8.0]
    assert (report["z_um"], report["focus_z_um"], report["interval_um"]) == (8.0, 8.0, [7.0, 9.0])
    assert [(pair["first_z_um"], pair["z_um"], pair["defocus_um"]) for pair in report["pairs"]] == [
        (0.0, 4.0, -4.0),
        (4.0, 8.0, 0.0),
    ]
    assert report["warnings"] == ["not to be relied on: this microscope was not calibrated"]
    assert world.state.claim is None


def test_every_measurement_of_a_pair_names_both_frames_as_its_causes() -> None:
    world = FocusWorld(8.0)
    report = ran(world, method="pair")
    causes = [event["causes"] for event in world.events if event["topic"] == "v1.measure.focus_pair."]
    assert causes == [pair["frames"] for pair in report["pairs"]]
    assert [measure.options for measure in world.measures] == [
        {"sign": -1, "pixel_size_um": 0.325, "calibrated": False, "bit_depth": 12, "delta_um": 4.0}
    ] * 2


@pytest.mark.parametrize(
    ("focus_um", "targets", "legs"),
    [
        (8.0, 2, 2),
        (19.0, 2, 2),
        (0.0, 2, 3),  # back over the start: the driver layer goes beyond and returns
        (-10.0, 2, 3),
    ],
)
def test_overshoot_is_counted_as_moves_and_not_as_targets(focus_um: float, targets: int, legs: int) -> None:
    report = ran(FocusWorld(focus_um), method="pair")
    assert (report["targets"], report["moves"]) == (targets, legs)


OLD_CALIBRATION = {**CALIBRATED, "channel": "GFP"}


@pytest.mark.parametrize(
    ("pair", "config", "camera", "params", "method", "why"),
    [
        (CALIBRATED, {}, {}, {}, "pair", "accepted calibration"),
        (CALIBRATED, {}, {}, {"method": "search"}, "search", "asked for"),
        ({}, {}, {}, {}, "search", "was not calibrated"),
        (None, {}, {}, {}, "search", "no engine"),
        (OLD_CALIBRATION, {}, {}, {}, "search", "for channel 'GFP', not for None"),
        (OLD_CALIBRATION, {"focus": {"offsets_um": {"GFP": 0.5}}}, {}, {"channel": "GFP"}, "pair", "accepted"),
        ({**CALIBRATED, "binning": 1}, {}, {}, {}, "pair", "accepted"),
        ({**CALIBRATED, "binning": 1}, {}, {"binning": 2}, {}, "search", "for binning 1, not for 2"),
        ({**CALIBRATED, "approach": "decreasing"}, {}, {}, {}, "search", "for an approach with z decreasing"),
        ({**CALIBRATED, "approach": "increasing"}, {}, {}, {}, "pair", "accepted"),
        (CALIBRATED, {}, {"auto_exposure": True}, {}, "search", "auto_exposure is on"),
        (CALIBRATED, {}, {"auto_gain": True}, {}, "search", "auto_gain is on"),
        ({**CALIBRATED, "pixel_size_um": None}, {}, {}, {}, "search", "size of a pixel is unknown"),
        (CALIBRATED, {"focus": {"range_um": 1.5}}, {}, {}, "search", "a range of 4 µm at least"),
    ],
)
def test_auto_uses_pairs_only_with_a_calibration_that_holds(
    pair: dict[str, Any] | None,
    config: dict[str, Any],
    camera: dict[str, Any],
    params: dict[str, Any],
    method: str,
    why: str,
) -> None:
    world = FocusWorld(1.0, pair=pair, config=config, camera=CameraSettings(exposure_ms=10.0, **camera))
    report = ran(world, **params)
    assert report["method"] == method
    assert why in report["why"]
    assert bool(world.pairs) == (method == "pair") == (report["confirmation"] == "pair")


@pytest.mark.parametrize(
    ("pair", "config", "camera", "code", "says"),
    [
        (None, {}, {}, "not_ready", "no engine"),
        ({}, {}, {"auto_exposure": True}, "invalid", "switch it off"),
        ({"pixel_size_um": None}, {}, {}, "not_ready", "optics.pixel_size_um"),
        (
            CALIBRATED,
            {
                "stage": {"focus_direction": "unknown", "approach": "increasing", "unknown_direction_step_um": 50},
                "focus": {"range_um": 4},
            },
            {},
            "limit.direction_unknown",
            "declare stage.focus_direction",
        ),
    ],
)
def test_pairs_that_cannot_be_read_are_refused_with_the_remedy(
    pair: dict[str, Any] | None, config: dict[str, Any], camera: dict[str, Any], code: str, says: str
) -> None:
    world = FocusWorld(pair=pair, config=config, camera=CameraSettings(exposure_ms=10.0, **camera))
    answer = world.ask("focus.run", method="pair")
    assert not answer["ok"]
    assert answer["error"]["code"] == code
    assert says in answer["error"]["detail"]
    world.run()
    assert world.moves == []


def abstains(_world: FocusWorld, _first_um: float, _second_um: float) -> dict[str, Any]:
    return {"reason": "uncertain"}


def far(_world: FocusWorld, _first_um: float, _second_um: float) -> dict[str, Any]:
    return {"defocus_um": -300.0, "interval_um": [-301.0, -299.0]}


def unsteady(world: FocusWorld, first_um: float, second_um: float) -> dict[str, Any]:
    return {**exact(world, first_um, second_um), "mean_ratio": 1.1}


def refused(_world: FocusWorld, _first_um: float, _second_um: float) -> dict[str, Any]:
    return {"error": ErrorBody.of("invalid", "focus_pair: use a larger frame")}


@pytest.mark.parametrize(
    ("says", "reason", "pairs", "retakes"),
    [
        (abstains, "uncertain", 1, 0),
        (far, "outside of -20 … 20", 1, 0),
        (unsteady, "not steady", 3, 2),
        (refused, "larger frame", 0, 0),
    ],
)
def test_the_search_takes_over_and_the_report_says_why(says: Says, reason: str, pairs: int, retakes: int) -> None:
    world = FocusWorld(6.0, says=says)
    report = ran(world, method="pair")
    assert (report["state"], report["method"], report["confirmation"]) == ("done", "search", None)
    assert reason in report["why"]
    assert (len(report["pairs"]), report["retakes"]) == (pairs, retakes)
    assert report["focus_z_um"] == pytest.approx(6.0, abs=0.5)
    assert all(-20 <= z_um <= 20 for z_um in world.moves)


def test_a_correction_is_made_with_one_move_more() -> None:
    world = FocusWorld(10.0, says=lambda _w, _a, b: {"defocus_um": 0.75 * b, "interval_um": [0.7 * b - 2, 0.7 * b + 2]})
    report = ran(world, method="pair")
    assert (report["confirmation"], report["targets"]) == ("corrected", 3)
    assert report["z_um"] == report["focus_z_um"] == world.z_um
    assert abs(world.z_um - 10.0) < 1.0


def test_the_offset_of_a_channel_is_added_at_the_end() -> None:
    world = FocusWorld(8.0, config={"focus": {"offsets_um": {"GFP": 0.6}}})
    report = ran(world, method="pair", channel="GFP")
    assert (report["focus_z_um"], report["z_um"], world.z_um) == (8.0, 8.6, 8.6)


def test_a_cancelled_pair_returns_to_its_start() -> None:
    world = FocusWorld(8.0)
    task = world.begin("focus.run", method="pair")
    world.run(2)
    assert world.z_um == 4.0
    world.ask("task.cancel", task=task)
    world.run()
    assert (world.state.tasks[task].state, world.z_um) == ("cancelled", 0.0)


def test_frames_of_a_pair_outlast_whatever_else_is_snapped() -> None:
    world = FocusWorld(8.0)
    task = world.begin("focus.run", method="pair")
    world.run(1)
    first = world.state.tasks[task].work
    assert first is not None
    for _ in range(30):
        world.begin("camera.snap")
        world.stream()
    world.run()  # FocusWorld refuses a measurement whose pixels are gone
    assert world.state.tasks[task].state == "done"
    for _ in range(30):
        world.begin("camera.snap")
    world.run()
    assert len(world.state.snaps) == world.state.settings.snaps  # and no longer


@pytest.mark.parametrize(
    ("says", "alarm"),
    [
        (exact, False),
        # Each pair says half the way, and is sure of it: the next never finds the focus where the last one sent it.
        (lambda _w, _a, b: {"defocus_um": 0.5 * b, "interval_um": [0.5 * b - 0.1, 0.5 * b + 0.1]}, True),
    ],
)
def test_an_engine_whose_checks_fail_is_not_used_by_auto_any_more(says: Says, alarm: bool) -> None:
    world = FocusWorld(says=says, pair=CALIBRATED)
    methods = []
    for k in range(WINDOW + 2):
        world.focus_um = 12.0 if k % 2 else -12.0
        report = ran(world, range_um=40)
        methods.append(bool(report["pairs"]))
    assert methods[0]
    assert methods[-1] == (not alarm)
    assert (("focus.pair_untrusted", False) in world.alarms()) == alarm
    if alarm:
        assert "auto: no pairs, because of the last" in report["why"]
        assert any("not to be relied on" in warning for warning in ran(world, method="pair")["warnings"])


def test_a_life_with_pairs_replays_from_what_the_journal_holds() -> None:
    world = FocusWorld(8.0)
    ran(world, method="pair")
    world.focus_um, world.says = -6.0, unsteady
    middle = len(world.life)
    task = world.begin("focus.run", method="pair")
    world.run(5)
    state = world.state
    assert decode_state(json.loads(b"".join(encode_state(state)))) == state  # in the middle of a pair
    world.run()
    assert world.state.tasks[task].state == "done"
    again = world.start
    for heard, now, effects in world.life:
        kept = decode_input(type(heard).__name__, json.loads(encode_input(heard)))
        again, made = step(again, kept, now)
        assert made == effects
    assert again == world.state
    assert middle < len(world.life)


def test_describe_tells_what_pairs_work_with() -> None:
    world = FocusWorld(pair=CALIBRATED)
    facts = world.ask("describe")["result"]["focus"]
    assert facts["pair"]["delta_um"] == 4.0
    assert facts["pair"]["calibrated"] is True
    assert replace(world.state.settings.focus, pair=None).no_pair == ""
