"""``focus.hold``: by its policy, between the frames, and never in anybody's way."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core import step
from microscoped.daemon.protocol import ErrorBody
from microscoped.daemon.protocol.outcomes import HoldOutcome
from microscoped.daemon.record.codec import decode_input, decode_state, encode_input, encode_state
from tests.daemon.focus_world import SECOND, FocusWorld

CALIBRATED = {"calibrated": True, "why_not": ""}


def world_of(focus_um: float = 5.0, **changes: Any) -> FocusWorld:  # noqa: ANN401 - FocusWorld's
    return FocusWorld(focus_um, **{"pair": CALIBRATED, **changes})


def held(world: FocusWorld, **params: Any) -> str:  # noqa: ANN401 - the op's
    """Begin a hold and let it find the focus for the first time."""
    task = world.begin("focus.hold", **params)
    world.run()
    assert progress(world, task)["rounds"] == 1
    return task


def progress(world: FocusWorld, task: str) -> dict[str, Any]:
    return dict(world.state.tasks[task].progress)


def rounds(world: FocusWorld, task: str) -> int:
    found: int = progress(world, task)["rounds"]
    return found


def test_a_hold_focuses_at_once_and_keeps_the_stage_only_while_it_does() -> None:
    world = world_of()
    task = world.begin("focus.hold", every_s=10)
    assert world.state.claim is not None
    assert world.state.claim.op == "focus.hold"
    world.run()
    assert world.state.claim is None
    assert world.z_um == pytest.approx(5.0)
    found = progress(world, task)
    assert (found["rounds"], found["failed"], found["plane_um"], found["last"]["method"]) == (1, 0, 5.0, "pair")
    assert world.state.tasks[task].state == "running"


def test_every_so_many_frames_in_the_plane() -> None:
    world = world_of()
    task = held(world, every_frames=5)
    world.stream(4)
    world.stream(10, z_um=9.0)  # off the plane: they do not count
    world.run()
    assert rounds(world, task) == 1
    world.focus_um = 6.0
    world.stream()
    world.run()
    assert rounds(world, task) == 2
    assert world.z_um == pytest.approx(6.0)
    world.stream(5)
    world.run()
    assert rounds(world, task) == 3


def test_every_so_many_seconds() -> None:
    world = world_of()
    task = held(world, every_s=20)
    world.wait(19)
    assert rounds(world, task) == 1
    world.wait(2)
    assert rounds(world, task) == 2
    world.wait(41)
    assert rounds(world, task) == 4


@pytest.mark.parametrize(("extremum", "worse", "better"), [("max", 0.7, 1.3), ("min", 1.3, 0.7)])
def test_when_the_score_drifts(extremum: str, worse: float, better: float) -> None:
    world = world_of(config={"focus": {"extremum": extremum}})
    task = held(world, score_drop=0.2)
    world.stream(5, score=1.0)
    world.stream(10, score=0.9 if extremum == "max" else 1.1)
    world.stream(10, score=better)
    world.run()
    assert rounds(world, task) == 1
    world.stream(2, score=worse)  # two of five are outliers
    world.run()
    assert rounds(world, task) == 1
    world.stream(5, score=worse)
    world.run()
    assert rounds(world, task) == 2
    world.stream(30, score=worse)  # which is the new reference
    world.run()
    assert rounds(world, task) == 2


def test_frames_exposed_off_the_plane_are_flagged_and_no_others() -> None:
    world = world_of(0.0)
    task = held(world, every_frames=3)
    flags = []

    def see(z_um: float | None = None, *, moving: bool = False) -> None:
        name = world.stream(z_um=z_um, moving=moving)
        event = [e for e in world.events if e["topic"] == "v1.frame.Camera." and e["data"]["frame"] == name]
        flags.append(event[-1]["data"]["off_plane"])

    see()
    see()
    see()  # an excursion begins
    see(0.0)  # exposed before the stage left
    see(2.0, moving=True)
    world.run(2)
    assert world.z_um == 4.0
    see()
    world.run()
    see()
    world.ask("focus.release")
    see(9.0)
    assert flags == [False, False, False, False, True, True, False, False]
    assert rounds(world, task) == 2


def test_excursions_are_bounded_within_a_minute() -> None:
    world = world_of(config={"focus": {"hold": {"max_per_min": 3}}})
    task = held(world, every_frames=1)
    for _ in range(20):
        world.stream()
        world.run()
    assert rounds(world, task) == 3
    assert "3 excursions were made within a minute" in progress(world, task)["blocked"]
    world.wait(61)
    assert rounds(world, task) == 4  # by itself: the limit's timer fires
    began = [effect for _, _, effects in world.life for effect in effects if isinstance(effect, to_do.SetTimer)]
    assert sum(effect.timer == "hold.limit" for effect in began) <= 3


# --- others -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["stage.move", "focus.run"])
def test_whoever_wants_the_stage_gets_it_and_the_hold_goes_on_afterwards(op: str) -> None:
    world = world_of()
    task = held(world, every_s=10)
    world.focus_um = 7.0
    world.wait(0)
    world.hear(heard_of.TimerFired("hold.round"))
    world.run(2)  # in the middle of an excursion
    assert world.state.claim is not None
    assert world.state.claim.task == task
    other = world.begin(op, **({"z_um": 6.0} if op == "stage.move" else {"method": "search"}))
    assert world.state.claim.task == other
    assert world.state.tasks[task].state == "running"
    world.run()
    assert world.state.tasks[other].state == "done"
    assert world.state.claim is None
    assert rounds(world, task) == 2
    assert world.z_um == pytest.approx(7.0)


def test_a_relative_move_counts_from_the_plane_and_not_from_the_excursion() -> None:
    world = world_of()
    held(world, every_s=10)
    world.hear(heard_of.TimerFired("hold.round"))
    world.run(2)
    assert world.z_um == pytest.approx(9.0)
    other = world.begin("stage.move", z_um=1.0, relative=True)
    world.run()
    assert world.result(other)["target_um"] == pytest.approx(6.0)


@pytest.mark.parametrize("own", [True, False])
def test_a_lease_holds_it_back_unless_it_was_begun_with_it(own: bool) -> None:
    world = world_of()
    token = world.ask("stage.lease", name="a script", ttl_s=30)["result"]["token"]
    if not own:
        world.ask("stage.release", token=token)
    task = world.begin("focus.hold", every_s=10, **({"lease": token} if own else {}))
    world.run()
    if not own:
        token = world.ask("stage.lease", name="a script", ttl_s=30)["result"]["token"]
    world.wait(11)
    assert rounds(world, task) == (2 if own else 1)
    if not own:
        assert "a script holds the lease" in progress(world, task)["blocked"]
        world.ask("stage.release", token=token)
        world.run()
        assert rounds(world, task) == 2


def test_stop_ends_it_and_it_does_not_come_back() -> None:
    world = world_of()
    task = held(world, every_s=10)
    world.hear(heard_of.TimerFired("hold.round"))
    world.run(2)
    world.ask("stop")
    assert world.state.tasks[task].state == "cancelled"
    moves = len(world.moves)
    world.ask("resume")
    world.wait(100)
    world.run()
    assert len(world.moves) == moves
    assert world.state.claim is None


@pytest.mark.parametrize("how", ["focus.release", "task.cancel"])
@pytest.mark.parametrize("away", [False, True])
def test_its_end_leaves_the_stage_in_the_plane(how: str, away: bool) -> None:
    world = world_of()
    task = held(world, every_s=10)
    if away:
        world.hear(heard_of.TimerFired("hold.round"))
        world.run(2)
        assert world.z_um == pytest.approx(9.0)
    world.ask(how, **({"task": task} if how == "task.cancel" else {}))
    world.run()
    assert world.z_um == pytest.approx(5.0)
    assert world.state.tasks[task].state == ("done" if how == "focus.release" else "cancelled")
    HoldOutcome.model_validate_json(json.dumps(world.result(task)))
    assert world.result(task)["images"] == (4 if away else 3)
    assert world.state.claim is None
    assert not {"hold.round", "hold.limit"} & set(world.timers)


OPS = st.sampled_from(
    [
        ("focus.hold", {"every_frames": 2}),
        ("focus.hold", {"every_s": 1}),
        ("focus.release", {}),
        ("focus.run", {"method": "pair"}),
        ("stage.move", {"z_um": 3.0}),
        ("stage.move", {"z_um": 0.5, "relative": True}),
        ("camera.snap", {}),
        ("stop", {}),
        ("resume", {}),
        ("frames", {}),
        ("time", {}),
        ("work", {}),
    ]
)


@given(st.lists(OPS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_order_of_requests_leaves_two_movers_or_a_claim_of_nobody(ops: list[tuple[str, dict[str, Any]]]) -> None:
    world = world_of(focus_um=2.0)
    for op, params in ops:
        if op == "frames":
            world.stream(3)
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
    world.ask("stop")
    assert all(task.ended for task in world.state.tasks.values())
    assert world.state.claim is None


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_without_focus_it_stays_in_its_plane_calls_somebody_and_goes_on() -> None:
    world = world_of()
    task = held(world, every_s=10)
    world.says = lambda *_: {"reason": "empty"}
    world.wait(21)
    assert (rounds(world, task), progress(world, task)["failed"]) == (3, 2)
    assert world.z_um == pytest.approx(5.0)
    assert world.alarms() == []
    world.wait(10)
    assert world.alarms() == [("focus.hold_lost", False)]
    world.says = world_of().says
    world.wait(10)
    assert world.alarms() == [("focus.hold_lost", False), ("focus.hold_lost", True)]
    assert progress(world, task)["last"]["focused"]


def test_the_alarm_is_over_when_the_hold_is() -> None:
    world = world_of(says=lambda *_: {"reason": "empty"})
    held(world, every_s=10)
    world.wait(30)
    world.ask("focus.release")
    assert world.alarms() == [("focus.hold_lost", False), ("focus.hold_lost", True)]


def test_pairs_that_settle_nothing_are_not_followed_by_a_search() -> None:
    world = world_of(says=lambda *_: {"reason": "uncertain"})
    held(world, every_s=10)
    assert {measure.engine for measure in world.measures} == {"focus_pair"}


def test_a_camera_that_fails_once_does_not_end_it() -> None:
    world = world_of()
    task = held(world, every_s=10)
    world.hear(heard_of.TimerFired("hold.round"))
    world.run(2)
    world.snap_error = ErrorBody.of("fault.frame_timeout", "no frame came")
    world.run()
    assert (rounds(world, task), progress(world, task)["failed"]) == (2, 1)
    assert world.z_um == pytest.approx(5.0)
    world.wait(11)
    assert (rounds(world, task), progress(world, task)["failed"]) == (3, 1)


def test_a_stage_that_fails_ends_it() -> None:
    world = world_of()
    task = held(world, every_s=10)
    effects = world.hear(heard_of.TimerFired("hold.round"))
    command = next(effect.command.id for effect in effects if isinstance(effect, to_do.Submit))
    world.hear(heard_of.CommandEnded(command, error=ErrorBody.of("fault.stage", "it does not answer")))
    assert world.state.tasks[task].state == "failed"
    assert world.state.tasks[task].error is not None
    assert world.state.tasks[task].error.code == "fault.stage"


def test_a_hand_on_the_stage_makes_it_focus() -> None:
    world = world_of()
    task = held(world, every_s=1000)
    world.z_um = 9.0
    world.hear(heard_of.PositionSeen(9.0, moved=True))
    world.run()
    assert rounds(world, task) == 2
    assert world.z_um == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("params", "changes", "code", "says"),
    [
        ({}, {}, "invalid", "every_frames, every_s or score_drop"),
        ({"every_s": 0}, {}, "invalid", "every_s"),
        ({"every_s": 5, "channel": "GFP"}, {}, "invalid", "no offset"),
        ({"score_drop": 0.2}, {"config": {"engines": {"sharpness": {"enabled": False}}}}, "invalid", "engines.sharp"),
        ({"every_s": 5, "method": "pair"}, {"pair": None}, "not_ready", "no engine"),
    ],
)
def test_what_cannot_work_is_refused(params: dict[str, Any], changes: dict[str, Any], code: str, says: str) -> None:
    answer = world_of(**changes).ask("focus.hold", **params)
    assert not answer["ok"]
    assert answer["error"]["code"] == code
    assert says in answer["error"]["detail"]


def test_there_is_one_hold_at_a_time() -> None:
    world = world_of()
    assert world.ask("focus.release")["error"]["code"] == "not_found"
    task = held(world, every_s=10)
    answer = world.ask("focus.hold", every_s=5)
    assert answer["error"]["code"] == "busy"
    assert answer["error"]["data"]["task"] == task


def test_a_life_with_a_hold_replays_from_what_the_journal_holds() -> None:
    world = world_of()
    task = held(world, every_frames=4, score_drop=0.1)
    for k in range(40):
        world.focus_um += 0.3
        world.stream(1, score=1.0 - 0.01 * k)
        world.run(1)
        if k == 20:
            assert decode_state(json.loads(b"".join(encode_state(world.state)))) == world.state
        if k % 10 == 9:
            world.run()
            world.wait(30)
    world.ask("focus.release")
    world.run()
    assert world.state.tasks[task].state == "done"
    again = world.start
    for heard, now, effects in world.life:
        again, made = step(again, decode_input(type(heard).__name__, json.loads(encode_input(heard))), now)
        assert made == effects
    assert again == world.state
    seqs = [event["seq"] for event in world.events if event["topic"].startswith("v1.task.")]
    assert all(after == before + 1 for before, after in pairwise(seqs))
    assert world.now_ns > 60 * SECOND
