"""``calibrate.run`` of holograms in the reducer: where the stage goes, what stops it, and what it may cost."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from microscoped.daemon.core import Peer, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.works import CalibrateHologramWork
from microscoped.daemon.protocol import ErrorBody, ErrorCode, Request
from microscoped.daemon.protocol.ops import CalibrateHologramOutcome
from microscoped.daemon.record.codec import decode_state, encode_state, parse_json
from microscoped.drivers import CameraSettings
from microscoped.drivers.commands import MoveTo, StepField
from tests.daemon.focus_world import FocusWorld

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG: dict[str, Any] = {
    "optics": {"objective": "40x/0.75", "na": 0.5, "wavelength_nm": 500, "pixel_size_um": 0.15},
    "stage": {"limits_um": [-40, 40], "focus_direction": "toward_sample", "overshoot_um": 1},
}
LINE: dict[str, Any] = {
    "slope": 1.25,
    "half_width": 0.005,
    "offset_um": -6.25,
    "drift_um_s": 0.0,
    "repeatability_um": 0.03,
    "linearity_um": 0.02,
    "worst_um": 0.04,
    "play_um": 0.2,
    "cells": 9,
    "readings": 190,
    "outliers": 2,
    "places": [],
}
VERDICT: dict[str, Any] = {
    "path": "/calibrations/hologram-40x_0.75-b1.json",
    "accepted": True,
    "reasons": [],
    "warnings": [],
    "side": -1,
    "side_known": True,
    "side_changed": True,
    "expected": 1.3345,
    "line": LINE,
    "visits": 25,
    "lost": 0,
    "background": None,
}


class HologramWorld(FocusWorld):
    """A `FocusWorld` whose engine calibrates holograms: what it says can be changed by `answers`, action by action."""

    def __init__(self, config: dict[str, Any] | None = None, **rest: Any) -> None:  # noqa: ANN401 - as in FocusWorld
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.commands: list[MoveTo] = []
        self.fields = 0
        merged = {name: {**values, **(config or {}).get(name, {})} for name, values in CONFIG.items()}
        super().__init__(5.0, config={**(config or {}), **merged}, **{"hologram": {}, **rest})

    def run(self, steps: int = 10_000) -> None:
        while self._queue and steps > 0:
            first = self._queue[0]
            if isinstance(first, to_do.Submit) and isinstance(first.command, StepField):
                self._queue.popleft()
                if first.command.id in self.state.pending:
                    self.fields += 1
                    self.hear(heard_of.CommandEnded(first.command.id, 1.0))
            else:
                super().run(1)
            steps -= 1

    def _move(self, command: MoveTo) -> None:
        self.commands.append(command)
        super()._move(command)

    def _measure(self, effect: to_do.Measure) -> None:
        if effect.engine != "hologram_calibration":
            super()._measure(effect)
            return
        options = dict(effect.options)
        if options["action"] == "drop":
            self.asked.append(options)
        if effect.request not in self.state.pending:
            return
        assert effect.frame not in self.forgotten
        self.asked.append(options)
        values = self.answers.get(options["action"], self._usual)(options)
        error = values.pop("error", None)
        told = None if error else values
        self.hear(heard_of.MeasureEnded(effect.engine, effect.frame, effect.request, told, 5.0, error, effect.earlier))

    def _usual(self, options: dict[str, Any]) -> dict[str, Any]:
        match options["action"]:
            case "background":
                return {"sha256": "a" * 64, "taken": options["taken"], "reason": "", "warning": ""}
            case "step":
                return {"distance_um": 1.25 * (self.z_um - self.focus_um), "cells": 9, "reason": "", "stale": ""}
            case _:
                return {**VERDICT, "reasons": list(options["reasons"]), "accepted": not options["reasons"]}

    def calibrate(self, **params: Any) -> str:  # noqa: ANN401 - the op's
        task = self.begin("calibrate.run", what="hologram", **params)
        self.run()
        return task

    def work(self, task: str) -> CalibrateHologramWork:
        work = self.state.tasks[task].work
        assert isinstance(work, CalibrateHologramWork)
        return work

    def go_on(self, task: str) -> None:
        """Answer a wait for another place."""
        assert self.work(task).phase == "waiting"
        assert self.ask("calibrate.next", task=task)["ok"]
        self.run()

    def steps(self) -> list[dict[str, Any]]:
        return [options for options in self.asked if options["action"] == "step"]


@pytest.fixture
def world() -> HologramWorld:
    return HologramWorld()


def test_it_visits_every_place_twice_from_one_side_and_ends_where_it_began(world: HologramWorld) -> None:
    task = world.calibrate(range_um=5)
    assert world.state.tasks[task].state == "done", world.state.tasks[task].error
    result = CalibrateHologramOutcome.model_validate(world.result(task)).model_dump()
    forward = [one for one in world.steps() if not one["reverse"]]
    assert [one["place"] for one in forward] == [*range(11), *range(11)]
    assert [one["z_um"] for one in forward[:11]] == pytest.approx([-5.0 + k for k in range(11)])
    assert [one["visit"] for one in forward] == [0] * 11 + [1] * 11
    assert [one["begin"] for one in world.steps()] == [True] + [False] * 24
    assert not any(command.direct for command in world.commands[: len(forward)])
    assert world.z_um == result["start_um"] == result["z_um"] == 0.0
    assert result["images"] == 25
    assert result["dose_ms"] == 250.0
    assert world.state.claim is None
    assert not world.state.pending


def test_play_is_looked_for_by_arrivals_from_the_other_side(world: HologramWorld) -> None:
    world.calibrate(range_um=5)
    reverse = [one for one in world.steps() if one["reverse"]]
    assert [(one["place"], one["z_um"]) for one in reverse] == [(5, 0.0)] * 3
    assert len({one["visit"] for one in reverse} | {0, 1}) == 5
    straight = [command.z_um for command in world.commands if command.direct]
    assert straight == [0.0] * 3
    before = [a.z_um for a, b in pairwise(world.commands) if b.direct]
    assert before == [5.0] * 3


@pytest.mark.parametrize(
    ("direction", "order"), [("toward_sample", list(range(11))), ("away", list(reversed(range(11))))]
)
def test_the_side_of_the_approach_sets_the_order(direction: str, order: list[int]) -> None:
    world = HologramWorld({"stage": {"focus_direction": direction}})
    world.calibrate()
    assert [one["place"] for one in world.steps()[:11]] == order
    sign = {"toward_sample": -1, "away": 1}[direction]
    assert world.asked[-1]["light_sign"] == sign
    assert world.asked[-1]["conditions"] == {
        "pixel_size_um": pytest.approx(0.15),
        "binning": 1,
        "focus_direction": direction,
    }


def test_an_accepted_calibration_takes_effect_at_once(world: HologramWorld) -> None:
    task = world.calibrate()
    known = world.state.settings.hologram
    assert known is not None
    assert (known.calibrated, known.sign, known.side, known.binning) == (True, 1, -1, 1)
    assert known.stage_per_focus == pytest.approx(0.8)
    assert (known.offset_um, known.repeatability_um) == (-6.25, 0.03)
    result = world.result(task)
    assert (result["side"], result["sign"]) == ("minus", 1)
    assert result["focus_per_stage_interval"] == [pytest.approx(1.245), pytest.approx(1.255)]


def test_a_rejected_calibration_changes_nothing(world: HologramWorld) -> None:
    world.answers["finish"] = lambda _options: {**VERDICT, "accepted": False, "reasons": ["play"], "line": None}
    task = world.calibrate()
    assert world.state.settings == world.start.settings
    result = CalibrateHologramOutcome.model_validate(world.result(task)).model_dump()
    assert result["reasons"] == ["play"]
    assert result["focus_per_stage"] is None
    assert world.z_um == 0.0


def test_a_background_is_taken_at_an_empty_place_before_anything_moves(world: HologramWorld) -> None:
    task = world.calibrate(background="ask")
    assert (world.work(task).phase, world.work(task).wanted) == ("waiting", "empty")
    assert world.state.tasks[task].progress["wanted"] == "empty"
    assert not world.moves
    world.go_on(task)
    assert (world.work(task).phase, world.work(task).wanted) == ("waiting", "specimen")
    assert [options["action"] for options in world.asked] == ["background"]
    assert world.asked[0]["file"] is None
    assert not world.moves
    world.go_on(task)
    assert world.state.tasks[task].state == "done"
    assert {one["background"] for one in world.steps()} == {"taken"}
    assert world.result(task)["images"] == 26
    assert world.fields == 2


def test_a_background_that_cannot_be_used_is_asked_for_again(world: HologramWorld) -> None:
    reasons = iter(["the background cannot be used: no carrier"])
    world.answers["background"] = lambda options: {**world._usual(options), "reason": next(reasons, "")}
    task = world.calibrate(background="ask")
    world.go_on(task)
    progress = world.state.tasks[task].progress
    assert (progress["phase"], progress["wanted"], progress["field"]) == ("waiting", "empty", 2)
    assert "no carrier" in str(progress["doing"])
    world.go_on(task)
    world.go_on(task)
    assert world.state.tasks[task].state == "done"


def test_a_background_from_a_file_waits_for_nobody(world: HologramWorld) -> None:
    task = world.calibrate(background_file="empty.tif")
    assert world.state.tasks[task].state == "done"
    assert world.asked[0] == {
        "action": "background",
        "taken": "2026-01-01T00:00:00.000000+00:00",
        "pixel_size_um": 0.15,
        "file": "empty.tif",
    }
    assert {one["background"] for one in world.steps()} == {"taken"}


def test_a_file_that_cannot_be_used_ends_it_before_anything_is_stepped_through(world: HologramWorld) -> None:
    world.answers["background"] = lambda _options: {
        "sha256": None,
        "taken": None,
        "reason": "no carrier",
        "warning": "",
    }
    task = world.calibrate(background_file="empty.tif")
    ended = world.state.tasks[task]
    assert (ended.state, ended.error.code if ended.error else None) == ("failed", "invalid")
    assert not world.steps()


def test_a_stale_background_ends_it_at_the_first_step(world: HologramWorld) -> None:
    world.answers["step"] = lambda options: {**world._usual(options), "stale": "the carrier has moved by 3 px"}
    task = world.calibrate()
    assert world.state.tasks[task].state == "done"
    assert world.result(task)["reasons"] == ["the carrier has moved by 3 px: take the background again"]
    assert len(world.steps()) == 1
    assert world.z_um == 0.0


def test_a_place_without_cells_ends_it_early(world: HologramWorld) -> None:
    world.answers["step"] = lambda _options: {"distance_um": None, "cells": 0, "reason": "empty", "stale": ""}
    task = world.calibrate()
    assert len(world.steps()) == 5
    assert "none of the first 5 holograms has a distance; the last says: empty" in world.result(task)["reasons"][0]


def test_single_holograms_without_a_distance_do_not_end_it(world: HologramWorld) -> None:
    def now_and_then(options: dict[str, Any]) -> dict[str, Any]:
        lost = options["place"] >= 4
        return {**world._usual(options), **({"distance_um": None, "reason": "edge"} if lost else {})}

    world.answers["step"] = now_and_then
    world.calibrate()
    assert len(world.steps()) == 25


PHASES = ("waiting", "changing", "background", "stepping", "judging")


def in_phase(phase: str) -> tuple[HologramWorld, str]:
    world = HologramWorld()
    task = world.begin("calibrate.run", what="hologram", background="ask")
    for _ in range(2000):
        if world.work(task).phase == phase and (phase != "stepping" or world.z_um < -3):
            return world, task
        if world.work(task).phase == "waiting":
            world.ask("calibrate.next", task=task)
        else:
            world.run(1)
    raise AssertionError(f"it is never {phase}")


@pytest.mark.parametrize("phase", PHASES)
def test_it_can_be_cancelled_in_every_phase_and_the_stage_returns_to_its_start(phase: str) -> None:
    world, task = in_phase(phase)
    world.ask("task.cancel", task=task)
    world.run()
    ended = world.state.tasks[task]
    assert ended.state == "cancelled"
    assert ended.error is not None
    assert ended.error.code == "cancelled"
    assert world.z_um == 0.0
    assert world.state.claim is None
    assert not world.state.pending
    if phase in ("stepping", "judging"):
        assert world.asked[-1] == {"action": "drop"}


@pytest.mark.parametrize("phase", PHASES)
def test_stop_ends_it_in_every_phase_and_nothing_moves_afterwards(phase: str) -> None:
    world, task = in_phase(phase)
    world.ask("stop")
    moves = len(world.moves)
    world.run()
    assert world.state.tasks[task].state == "cancelled"
    assert len(world.moves) == moves


def test_an_engine_that_fails_ends_it_at_the_start(world: HologramWorld) -> None:
    error = ErrorBody.of(ErrorCode.INVALID, "hologram_calibration: frame: no carrier")
    world.answers["step"] = lambda _options: {"error": error}
    task = world.calibrate()
    ended = world.state.tasks[task]
    assert ended.state == "failed"
    assert ended.error == error
    assert world.z_um == 0.0
    assert world.asked[-1] == {"action": "drop"}


def test_a_stage_that_fails_stays_where_it_is(world: HologramWorld) -> None:
    task = world.begin("calibrate.run", what="hologram")
    world.run(8)
    command = next(iter(world.state.pending))
    world._queue.clear()
    world.hear(heard_of.CommandEnded(command, error=ErrorBody.of(ErrorCode.FAULT_STAGE, "it is stuck")))
    assert world.state.tasks[task].state == "failed"
    assert not world._queue


@pytest.mark.parametrize(
    ("config", "camera", "params", "code", "words"),
    [
        ({"optics": {"wavelength_nm": None}}, None, {}, "not_ready", "optics.wavelength_nm"),
        ({"optics": {"pixel_size_um": None}}, None, {}, "not_ready", "optics.pixel_size_um"),
        ({"stage": {"limits_um": None}}, None, {}, "not_ready", "stage.limits_um"),
        ({"stage": {"focus_direction": "unknown"}}, None, {}, "not_ready", "stage.approach"),
        (
            {"stage": {"focus_direction": "unknown", "approach": "increasing"}},
            None,
            {"range_um": 30, "steps": 11},
            "invalid",
            "no move may exceed",
        ),
        ({"stage": {"limits_um": [-2, 2]}}, None, {}, "invalid", "stage.limits_um leave 3 µm of the 16 µm"),
        ({}, None, {"dose_budget_ms": 249}, "invalid", "25 images of 10 ms are 250 ms of light"),
        ({}, CameraSettings(exposure_ms=10.0, auto_exposure=True), {}, "invalid", "exposure by itself"),
        ({}, CameraSettings(exposure_ms=10.0, auto_gain=True), {}, "invalid", "exposure by itself"),
        ({}, None, {"steps": 4}, "invalid", "steps"),
        ({}, None, {"visits": 1}, "invalid", "visits"),
        ({}, None, {"fields": 3}, "invalid", "fields: says nothing to a calibration of hologram"),
        ({}, None, {"deep": True, "channel": "red"}, "invalid", "channel, deep: says nothing"),
        ({}, None, {"background": "ask", "background_file": "a.tif"}, "invalid", "give one of them"),
        ({}, None, {"what": "focus", "steps": 11}, "invalid", "steps: says nothing to a calibration of focus"),
    ],
)
def test_what_is_missing_is_asked_for_by_its_name_before_anything_moves(
    config: dict[str, Any], camera: CameraSettings | None, params: dict[str, Any], code: str, words: str
) -> None:
    world = HologramWorld(config, camera=camera)
    answer = world.ask("calibrate.run", **{"what": "hologram", **params})
    assert not answer["ok"]
    assert answer["error"]["code"] == code
    assert words in answer["error"]["detail"]
    assert not world._queue
    assert not world.state.tasks


def test_without_the_engine_there_is_nothing_to_calibrate() -> None:
    answer = HologramWorld(hologram=None).ask("calibrate.run", what="hologram")
    assert answer["error"]["code"] == "not_ready"
    assert "holograms are not read" in answer["error"]["detail"]


def test_while_the_direction_is_unknown_no_move_is_longer_than_allowed() -> None:
    world = HologramWorld({"stage": {"focus_direction": "unknown", "approach": "increasing"}})
    most_um = world.state.settings.motion.unknown_direction_step_um
    task = world.calibrate(range_um=8)
    assert world.state.tasks[task].state == "done"
    places = [0.0, *(command.z_um for command in world.commands)]
    assert max(abs(b - a) for a, b in pairwise(places)) < most_um
    assert world.asked[-1]["light_sign"] == 0
    assert len([one for one in world.steps() if one["reverse"]]) == 3
    assert world.z_um == 0.0


def test_a_move_that_is_ended_early_while_the_direction_is_unknown_is_taken_back_first() -> None:
    world = HologramWorld({"stage": {"focus_direction": "unknown", "approach": "increasing"}})
    task = world.begin("calibrate.run", what="hologram", range_um=8)
    while world.z_um > -7.0:
        world.run(1)
    while not isinstance(getattr(world._queue[0], "command", None), MoveTo):
        world.run(1)
    rested = world.z_um
    world.ask("task.cancel", task=task)
    home = len(world.commands)
    world.run()
    assert world.commands[home].z_um == pytest.approx(rested)
    assert world.z_um == 0.0


def test_a_dry_run_tells_what_it_would_do_and_moves_nothing(world: HologramWorld) -> None:
    params = {"what": "hologram", "range_um": 4, "background": "ask"}
    request = Request(v="1.0", id=UUID(int=9), type="request", op="calibrate.run", params=params, dry_run=True)
    world.hear(heard_of.RequestReceived(Peer(b"client"), request))
    plan = world.replies[-1]["result"]["plan"]
    assert (plan["steps"], plan["visits"], plan["step_um"]) == (11, 2, pytest.approx(0.8))
    assert plan["range_um"] == [-4.0, 4.0]
    assert plan["images_most"] == 26
    assert plan["dose_ms_most"] == 260.0
    assert plan["focus_direction"] == "toward_sample"
    assert not world._queue
    assert not world.state.tasks


def test_only_a_calibration_that_waits_can_be_sent_on(world: HologramWorld) -> None:
    task = world.begin("calibrate.run", what="hologram")
    refused = world.ask("calibrate.next", task=task)
    assert refused["error"]["code"] == "not_ready"
    assert "does not wait for another place" in refused["error"]["detail"]


def test_other_tasks_are_told_who_has_the_stage(world: HologramWorld) -> None:
    task = world.calibrate(background="ask")
    assert world.ask("stage.move", z_um=1.0)["error"]["code"] == "busy"
    assert world.ask("calibrate.run", what="hologram")["error"]["code"] == "busy"
    assert world.work(task).phase == "waiting"


def test_frames_that_others_snap_meanwhile_do_not_drop_what_is_needed(world: HologramWorld) -> None:
    task = world.begin("calibrate.run", what="hologram")
    while not world.state.tasks[task].ended:
        for _ in range(9):
            world._admit(None, streamed=False)
        world.run(1)
    assert world.state.tasks[task].state == "done"


def test_a_life_with_a_calibration_replays_and_its_state_can_be_recorded(world: HologramWorld) -> None:
    task = world.begin("calibrate.run", what="hologram", background="ask")
    for waits in range(2):
        while world.work(task).phase != "waiting":
            world.run(1)
        recorded = parse_json(b"".join(encode_state(world.state)))
        assert decode_state(recorded) == world.state, waits
        world.ask("calibrate.next", task=task)
    world.run(12)
    recorded = parse_json(b"".join(encode_state(world.state)))
    assert decode_state(recorded) == world.state
    world.run()
    state = world.start
    for heard, now, effects in world.life:
        state, again = step(state, heard, now)
        assert again == effects
    assert state == world.state
