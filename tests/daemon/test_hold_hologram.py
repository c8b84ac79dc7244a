"""``focus.hold`` by holograms: the stage follows the distance that they say, or nothing moves at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core import step
from microscoped.daemon.protocol import ErrorBody
from microscoped.daemon.protocol.events import TaskData
from microscoped.daemon.protocol.outcomes import HoldOutcome
from microscoped.daemon.record.codec import decode_input, decode_state, encode_input, encode_state
from microscoped.drivers import CameraSettings
from tests.daemon.focus_world import FocusWorld

CALIBRATED: dict[str, Any] = {"calibrated": True, "sign": -1, "stage_per_focus": 0.8, "tolerance_um": 0.4}
"""As `FocusWorld` is: 1.25 µm of distance per µm of stage, falling."""
NUMERICAL = {**CALIBRATED, "refocus": "numerical", "sign": None, "stage_per_focus": None, "calibrated": False}


def world_of(focus_um: float = 5.0, **changes: Any) -> FocusWorld:  # noqa: ANN401 - FocusWorld's
    return FocusWorld(focus_um, **{"hologram": CALIBRATED, **changes})


def held(world: FocusWorld, **params: Any) -> str:  # noqa: ANN401 - the op's
    task = world.begin("focus.hold", source="hologram", **params)
    world.run()
    return task


def progress(world: FocusWorld, task: str) -> dict[str, Any]:
    found = dict(world.state.tasks[task].progress)
    TaskData(task=task, op="focus.hold", state="running", progress=found)
    return found


def streamed(world: FocusWorld, count: int = 3) -> None:
    """Let holograms come, and do what follows."""
    world.stream(count)
    world.run()


def test_it_keeps_the_distance_that_there_is_at_the_beginning() -> None:
    world = world_of()
    task = held(world)
    assert world.moves == []
    assert progress(world, task)["distance_um"] == pytest.approx(6.25)
    assert world.state.claim is None
    world.focus_um = 7.0  # the specimen drifts
    streamed(world, 2)
    assert world.moves == []  # two may be outliers
    streamed(world)
    assert world.z_um == pytest.approx(2.0)
    found = progress(world, task)
    assert (found["rounds"], found["failed"], found["plane_um"]) == (2, 0, pytest.approx(2.0))
    assert found["last"]["held"]
    readings = [(reading["z_um"], reading["distance_um"]) for reading in found["last"]["readings"]]
    assert readings == [(0.0, pytest.approx(8.75)), (2.0, pytest.approx(6.25))]


def test_it_brings_the_specimen_to_a_distance_that_is_asked_for() -> None:
    world = world_of()
    task = held(world, distance_um=0)
    assert world.z_um == pytest.approx(5.0)
    assert progress(world, task)["distance_um"] == 0.0


def test_a_stage_that_was_moved_comes_back() -> None:
    world = world_of()
    held(world)
    other = world.begin("stage.move", z_um=3.0)
    world.run()
    assert world.state.tasks[other].state == "done"
    streamed(world)
    assert world.z_um == pytest.approx(0.0, abs=0.05)


def test_a_hand_on_the_stage_is_noticed_without_a_stream() -> None:
    world = world_of()
    held(world)
    world.z_um = -4.0
    world.hear(heard_of.PositionSeen(-4.0, moved=True))
    world.run()
    assert world.z_um == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(("params", "seconds", "frames"), [({"every_s": 20}, 21, 0), ({"every_frames": 2}, 0, 2)])
def test_it_looks_by_itself_when_it_is_time(params: dict[str, Any], seconds: float, frames: int) -> None:
    world = world_of()
    task = held(world, **params)
    world.focus_um = 6.0
    world.wait(seconds)
    streamed(world, frames)
    assert world.z_um == pytest.approx(1.0)
    assert progress(world, task)["rounds"] == 2


@pytest.mark.parametrize(
    "seen",
    [
        {"moving": True},
        {"reads": {"z_min_contrast_um": None, "reason": "empty"}},
        {"reads": {"z_min_contrast_um": 6.6}},  # within the tolerance
    ],
)
def test_what_says_nothing_moves_nothing(seen: dict[str, Any]) -> None:
    world = world_of()
    task = held(world)
    if "reads" in seen:
        world.reads = lambda _: seen["reads"]
    world.stream(20, z_um=9.0, moving=seen.get("moving", False))
    world.run()
    assert world.moves == []
    assert progress(world, task)["rounds"] == 1


def test_holograms_exposed_before_the_stage_came_to_rest_do_not_count() -> None:
    world = world_of()
    task = held(world)
    like = world.frames[world.stream()]
    for number in range(4):
        frame = like.model_copy(update={"frame": f"late-{number}", "exposure_start_ns": 0})
        world.hear(heard_of.FrameAdmitted(frame))
        world.hear(heard_of.MeasureEnded("hologram", frame.frame, None, {"z_min_contrast_um": 17.0}, 1.0))
    world.run()
    assert progress(world, task)["rounds"] == 1


def test_excursions_are_bounded_within_a_minute() -> None:
    world = world_of(config={"focus": {"hold": {"max_per_min": 3}}})
    task = held(world)
    for _ in range(20):
        world.focus_um += 1.0
        streamed(world)
    assert progress(world, task)["rounds"] == 3
    assert "3 excursions were made within a minute" in progress(world, task)["blocked"]
    world.wait(61)
    assert progress(world, task)["rounds"] == 4


@pytest.mark.parametrize("op", ["stage.move", "focus.run"])
def test_whoever_wants_the_stage_gets_it(op: str) -> None:
    world = world_of()
    task = held(world)
    world.focus_um = 8.0
    world.stream(3)
    world.run(2)  # in the middle of an excursion
    assert world.state.claim is not None
    assert world.state.claim.task == task
    other = world.begin(op, **({"z_um": 6.0} if op == "stage.move" else {"method": "search"}))
    assert world.state.claim.task == other
    world.run()
    assert world.state.tasks[other].state == "done"
    assert world.z_um == pytest.approx(3.0, abs=0.1)  # afterwards the distance is held again
    assert world.state.tasks[task].state == "running"


@pytest.mark.parametrize("how", ["focus.release", "task.cancel"])
@pytest.mark.parametrize("steps", range(5))
def test_its_end_leaves_the_stage_where_the_excursion_began_or_ended(how: str, steps: int) -> None:
    world = world_of()
    task = held(world)
    world.focus_um = 8.0
    world.stream(3)
    world.run(steps)
    world.ask(how, **({"task": task} if how == "task.cancel" else {}))
    world.run()
    assert world.state.tasks[task].state == ("done" if how == "focus.release" else "cancelled")
    assert world.state.claim is None
    assert min(abs(world.z_um), abs(world.z_um - 3.0)) < 0.05
    outcome = HoldOutcome.model_validate_json(json.dumps(world.result(task)))
    assert outcome.source == "hologram"
    assert outcome.distance_um == pytest.approx(6.25)
    assert outcome.last is None
    assert outcome.last_hologram is not None
    assert not {"hold.round", "hold.limit"} & set(world.timers)


def test_stop_ends_it() -> None:
    world = world_of()
    task = held(world)
    world.focus_um = 8.0
    world.stream(3)
    world.run(2)
    world.ask("stop")
    assert world.state.tasks[task].state == "cancelled"
    moves = len(world.moves)
    world.ask("resume")
    streamed(world, 9)
    assert len(world.moves) == moves


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_a_wrong_sign_does_not_run_away() -> None:
    world = world_of(hologram={**CALIBRATED, "sign": 1}, config={"focus": {"hold": {"max_per_min": 60}}})
    task = held(world)
    world.focus_um = 7.0
    for _ in range(4):
        streamed(world, 30)
    assert world.z_um == pytest.approx(0.0, abs=0.05)  # back where the excursion began, each time
    assert max(map(abs, world.moves)) <= 2.1
    found = progress(world, task)
    assert found["failed"] >= 3
    assert "sign" in found["last"]["reason"]
    assert world.alarms() == [("focus.hold_lost", False)]
    assert world.state.tasks[task].state == "running"


def test_beyond_the_limits_it_stays() -> None:
    world = world_of(config={"stage": {"limits_um": [-1, 1]}})
    task = held(world)
    world.focus_um = 9.0
    streamed(world)
    assert world.moves == []
    assert "stage.limits_um" in progress(world, task)["last"]["reason"]


def test_without_distance_it_stays_calls_somebody_and_goes_on() -> None:
    world = world_of()
    task = held(world, every_s=10)
    says, world.reads = world.reads, lambda _: {"z_min_contrast_um": None, "reason": "empty"}
    world.wait(31)
    assert progress(world, task)["failed"] == 3
    assert world.moves == []
    assert world.alarms() == [("focus.hold_lost", False)]
    world.reads = says
    world.wait(10)
    assert world.alarms() == [("focus.hold_lost", False), ("focus.hold_lost", True)]


def test_a_first_hologram_without_distance_is_tried_again() -> None:
    world = world_of()
    says, world.reads = world.reads, lambda _: {"z_min_contrast_um": None, "reason": "empty"}
    task = held(world)
    assert progress(world, task)["failed"] == 1
    world.reads = says
    world.wait(11)
    assert progress(world, task)["distance_um"] == pytest.approx(6.25)


def test_a_camera_that_fails_once_does_not_end_it() -> None:
    world = world_of()
    task = held(world, every_s=10)
    world.snap_error = ErrorBody.of("fault.frame_timeout", "no frame came")
    world.wait(11)
    assert (progress(world, task)["rounds"], progress(world, task)["failed"]) == (2, 1)
    world.wait(11)
    assert (progress(world, task)["rounds"], progress(world, task)["failed"]) == (3, 1)


def test_a_stage_that_fails_ends_it() -> None:
    world = world_of()
    task = held(world)
    world.focus_um = 8.0
    world.stream(3)
    world.run(2)
    move = next(
        effect.command.id
        for _, _, effects in reversed(world.life)
        for effect in effects
        if isinstance(effect, to_do.Submit)
    )
    world.hear(heard_of.CommandEnded(move, error=ErrorBody.of("fault.stage", "it does not answer")))
    assert world.state.tasks[task].state == "failed"


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "no engine": ({}, {"hologram": None}, "not_ready", "no engine"),
    "no calibration": (
        {},
        {"hologram": {"sign": None, "stage_per_focus": None}},
        "not_ready",
        "engines.hologram.stage_per_focus",
    ),
    "no wavelength": ({}, {"hologram": {**CALIBRATED, "scale_known": False}}, "not_ready", "optics.wavelength_nm"),
    "no pixel size": ({}, {"hologram": {**CALIBRATED, "pixel_size_um": None}}, "not_ready", "optics.pixel_size_um"),
    "another binning": (
        {},
        {"hologram": {**CALIBRATED, "binning": 1}, "camera": CameraSettings(exposure_ms=10.0, binning=2)},
        "not_ready",
        "binning 1, not for 2",
    ),
    "a score": ({"score_drop": 0.2}, {}, "invalid", "score_drop"),
    "a channel": ({"channel": "GFP"}, {}, "invalid", "channel"),
    "a method": ({"method": "pair"}, {}, "invalid", "method"),
    "a distance to refocus in": ({"distance_um": 1.0}, {"hologram": NUMERICAL}, "invalid", "distance_um"),
    "a distance that is none": ({"distance_um": "near"}, {}, "invalid", "distance_um"),
    "no limits": ({}, {"config": {"stage": {"limits_um": None}}}, "limit.unset", "stage.limits_um"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused(name: str) -> None:
    params, changes, code, says = REFUSED[name]
    world = world_of(**changes)
    answer = world.ask("focus.hold", source="hologram", **params)
    assert not answer["ok"]
    assert answer["error"]["code"] == code
    assert says in answer["error"]["detail"]
    assert world.moves == []


def test_a_distance_says_nothing_to_a_hold_by_images() -> None:
    answer = world_of().ask("focus.hold", every_s=5, distance_um=1.0)
    assert answer["error"]["code"] == "invalid"
    assert "source" in answer["error"]["detail"]


# --- numerically ------------------------------------------------------------------------------------------------------


def test_numerical_refocusing_follows_the_distance_and_moves_nothing() -> None:
    world = world_of(hologram=NUMERICAL)
    task = held(world)
    streamed(world, 5)
    assert progress(world, task)["distance_um"] == pytest.approx(6.25)
    world.focus_um = 7.0
    streamed(world, 5)
    found = progress(world, task)
    assert (found["rounds"], found["distance_um"]) == (2, pytest.approx(8.75))
    world.hear(heard_of.PositionSeen(1.0, moved=True))
    streamed(world, 5)
    world.wait(120)
    assert world.moves == []
    assert world.state.claim is None
    events = [event for event in world.events if event["topic"] == f"v1.task.{task}."]
    assert len(events) <= 4  # not one a frame
    world.ask("focus.release")
    outcome = HoldOutcome.model_validate_json(json.dumps(world.result(task)))
    assert (outcome.moves, outcome.images) == (0, 0)


def test_holograms_without_distance_are_an_alarm_when_nothing_can_be_refocused() -> None:
    world = world_of(hologram=NUMERICAL)
    task = held(world)
    streamed(world, 5)
    says, world.reads = world.reads, lambda _: {"z_min_contrast_um": None, "reason": "empty"}
    streamed(world, 9)
    assert world.alarms() == []
    streamed(world, 9)
    assert world.alarms() == [("focus.hold_lost", False)]
    assert progress(world, task)["failed"] == 1
    world.reads = says
    streamed(world, 1)
    assert world.alarms() == [("focus.hold_lost", False), ("focus.hold_lost", True)]


# --- what the engine says beside distances ----------------------------------------------------------------------------


def test_a_stale_background_is_an_alarm_once_and_over_once() -> None:
    world = world_of()
    says = world.reads
    stale = {"kind": "hologram", "stale": True, "why": "the carrier has moved by 0.81 px", "carrier_moved_px": 0.81}
    world.stream(3)
    world.reads = lambda distance_um: {**says(distance_um), "background": stale}
    world.stream(5)
    assert world.alarms() == [("hologram.background_stale", False)]
    alarm = next(event["data"] for event in world.events if event["topic"] == "v1.alarm.")
    assert "0.81" in alarm["detail"]
    assert alarm["data"]["carrier_moved_px"] == 0.81
    world.reads = says
    world.stream(5)
    assert world.alarms() == [("hologram.background_stale", False), ("hologram.background_stale", True)]


def test_an_engine_that_fails_beside_one_that_does_not_is_one_alarm() -> None:
    world = world_of(hologram=None)
    for number in range(6):
        name = world.stream()
        failing = number < 4
        error = ErrorBody.of("invalid", "hologram: no fringes") if failing else None
        values = None if failing else {"z_min_contrast_um": 1.0}
        world.hear(heard_of.MeasureEnded("hologram", name, None, values, 1.0, error))
    assert world.alarms() == [("fault.engine", False), ("fault.engine", True)]


def test_every_frame_is_offered_with_the_size_of_its_pixels() -> None:
    world = world_of(camera=CameraSettings(exposure_ms=10.0, binning=2))
    world.stream()
    offers = {e.engine: e for _, _, effects in world.life for e in effects if isinstance(e, to_do.Offer)}
    assert offers["hologram"].options == {"pixel_size_um": pytest.approx(0.65)}
    assert offers["sharpness"].options == {"bit_depth": 12}


# --- always -----------------------------------------------------------------------------------------------------------

OPS = st.sampled_from(
    [
        ("focus.hold", {"source": "hologram"}),
        ("focus.hold", {"source": "hologram", "distance_um": 0.0}),
        ("focus.hold", {"source": "hologram", "every_s": 1}),
        ("focus.hold", {"every_s": 1}),
        ("focus.release", {}),
        ("focus.run", {"method": "search"}),
        ("stage.move", {"z_um": 3.0}),
        ("stage.move", {"z_um": 0.5, "relative": True}),
        ("camera.snap", {}),
        ("stop", {}),
        ("resume", {}),
        ("frames", {}),
        ("drift", {}),
        ("blind", {}),
        ("time", {}),
        ("work", {}),
    ]
)


@given(st.lists(OPS, max_size=40), st.sampled_from(["stage", "numerical"]))
@settings(max_examples=60, deadline=None)
def test_no_order_of_requests_leaves_two_movers_or_a_claim_of_nobody(
    ops: list[tuple[str, dict[str, Any]]], refocus: str
) -> None:
    world = world_of(focus_um=2.0, hologram={**CALIBRATED, "refocus": refocus})
    says = world.reads
    for op, params in ops:
        if op == "frames":
            world.stream(3)
        elif op == "drift":
            world.focus_um += 1.0
        elif op == "blind":
            sees = world.reads is says
            world.reads = (lambda _: {"z_min_contrast_um": None, "reason": "empty"}) if sees else says
        elif op == "time":
            world.run()
            world.wait(2)
        elif op == "work":
            world.run(3)
        else:
            world.ask(op, **params)
        state = world.state
        running = [task for task in state.tasks.values() if not task.ended]
        assert sum(task.op == "focus.hold" for task in running) <= 1
        assert sum(task.op in ("stage.move", "focus.run") for task in running) <= 1
        if state.claim is not None:
            assert not state.tasks[state.claim.task].ended
        owners = {pending.task for pending in state.pending.values()} - {None}
        assert all(not state.tasks[owner].ended for owner in owners if owner is not None)
        assert all(-40 <= z_um <= 40 for z_um in world.moves)
    world.ask("stop")
    assert all(task.ended for task in world.state.tasks.values())
    assert world.state.claim is None


@pytest.mark.parametrize("hologram", [CALIBRATED, NUMERICAL])
def test_a_life_with_a_hold_replays_from_what_the_journal_holds(hologram: dict[str, Any]) -> None:
    world = world_of(hologram=hologram)
    held(world)
    for number in range(30):
        world.focus_um += 0.2
        world.stream()
        world.run(1)
        assert decode_state(json.loads(b"".join(encode_state(world.state)))) == world.state
        if number % 10 == 9:
            world.run()
            world.wait(30)
    world.ask("focus.release")
    world.run()
    again = world.start
    for heard, now, effects in world.life:
        again, made = step(again, decode_input(type(heard).__name__, json.loads(encode_input(heard))), now)
        assert made == effects
    assert again == world.state
