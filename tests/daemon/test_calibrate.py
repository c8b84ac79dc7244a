"""``calibrate.run`` in the reducer: where the stage goes, what stops it, and what it may cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core import step
from microscoped.daemon.core.works import CalibrateWork
from microscoped.daemon.protocol import ErrorBody, ErrorCode
from microscoped.daemon.protocol.ops import CalibrateOutcome
from microscoped.daemon.record.codec import decode_state, encode_state, parse_json
from microscoped.drivers import CameraSettings
from microscoped.drivers.commands import MoveTo, StepField
from tests.daemon.focus_world import FocusWorld

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG: dict[str, Any] = {
    "optics": {"objective": "20x/0.5", "na": 0.5, "wavelength_nm": 500, "pixel_size_um": 0.325},
    "stage": {"limits_um": [-60, 60], "focus_direction": "toward_sample", "overshoot_um": 1},
}
VERDICT: dict[str, Any] = {
    "path": "/calibrations/focus_pair-20x_0.5-b1.json",
    "accepted": True,
    "reasons": [],
    "rung": "line",
    "deep": None,
    "tuned_sha256": None,
    "sign": -1,
    "slope": 1.1,
    "offset_dof": 0.0,
    "interval_factor": 1.5,
    "stage": None,
    "fields": [],
    "before": None,
    "fitted": None,
    "after": None,
    "long": None,
    "moves": None,
}


class CalibrateWorld(FocusWorld):
    """A `FocusWorld` with an engine that calibrates: what it says can be changed by `answers`, action by action."""

    def __init__(self, config: dict[str, Any] | None = None, **rest: Any) -> None:  # noqa: ANN401 - as in FocusWorld
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.straight: list[float] = []
        self.fits = 0
        merged = {name: {**values, **(config or {}).get(name, {})} for name, values in CONFIG.items()}
        super().__init__(5.0, config={**(config or {}), **merged}, **rest)

    def run(self, steps: int = 10_000) -> None:
        while self._queue and steps > 0:
            first = self._queue[0]
            if isinstance(first, to_do.Submit) and isinstance(first.command, StepField):
                self._queue.popleft()
                self.focus_um += 1.5
                self.hear(heard_of.CommandEnded(first.command.id, 1.0))
            else:
                if isinstance(first, to_do.Submit) and isinstance(first.command, MoveTo) and first.command.direct:
                    self.straight.append(first.command.z_um)
                super().run(1)
            steps -= 1

    def _measure(self, effect: to_do.Measure) -> None:
        if effect.engine != "focus_calibration":
            super()._measure(effect)
            return
        if effect.request not in self.state.pending:
            return
        assert not self.forgotten & {effect.frame, *effect.earlier}
        options = dict(effect.options)
        self.asked.append(options)
        values = self.answers.get(options["action"], self._usual)(options)
        error = values.pop("error", None)
        self.hear(
            heard_of.MeasureEnded(
                effect.engine, effect.frame, effect.request, None if error else values, 5.0, error, effect.earlier
            )
        )

    def _usual(self, options: dict[str, Any]) -> dict[str, Any]:
        match options["action"]:
            case "field":
                return {"focus_um": self.focus_um + 0.1, "reason": "", "flank_um": self.focus_um + 6.0}
            case "stage":
                return {"faults": []}
            case "fit":
                self.fits += 1
                return {"done": self.fits == 3, "doing": "line: mean error 0.2 DoF"}
            case "pair":
                return {"defocus_um": self.z_um - self.focus_um - 0.3}
            case "finish":
                return dict(VERDICT)
            case _:
                return {}

    def calibrate(self, **params: Any) -> str:  # noqa: ANN401 - the op's
        task = self.begin("calibrate.run", **params)
        self.run()
        return task

    def work(self, task: str) -> CalibrateWork:
        work = self.state.tasks[task].work
        assert isinstance(work, CalibrateWork)
        return work

    def go_on(self, task: str) -> None:
        """Answer every wait for another field until it has ended."""
        for _ in range(100):
            if self.state.tasks[task].work is None:
                return
            assert self.work(task).phase == "waiting"
            assert self.ask("calibrate.next", task=task)["ok"]
            self.run()
        raise AssertionError("it never ends")

    def actions(self) -> list[str]:
        return [options["action"] for options in self.asked]


@pytest.fixture
def world() -> CalibrateWorld:
    return CalibrateWorld()


def test_a_calibration_goes_through_its_fields_and_takes_effect_at_once(world: CalibrateWorld) -> None:
    task = world.calibrate(fields=3)
    world.go_on(task)
    assert world.state.tasks[task].state == "done", world.state.tasks[task].error
    result = CalibrateOutcome.model_validate(world.result(task)).model_dump()
    actions = world.actions()
    assert [actions.count(name) for name in ("field", "stage", "fit", "pair", "finish")] == [3, 1, 3, 20, 1]
    assert actions.index("stage") < actions.index("fit") < actions.index("pair") < actions.index("finish")
    assert [options["role"] for options in world.asked if options["action"] == "field"] == ["fit", "fit", "judge"]
    pair = world.state.settings.focus.pair
    assert pair is not None
    assert (pair.calibrated, pair.sign, pair.binning, pair.approach) == (True, -1, 1, "increasing")
    assert result["accepted"]
    assert result["images"] == len([event for event in world.events if event["topic"].startswith("v1.frame.")])
    assert result["dose_ms"] == result["images"] * 10.0
    assert world.state.claim is None
    run = world.begin("focus.run", method="auto")
    world.run()
    assert world.result(run)["method"] == "pair"


def test_a_rejected_calibration_changes_nothing(world: CalibrateWorld) -> None:
    world.answers["finish"] = lambda _options: {**VERDICT, "accepted": False, "reasons": ["mean error 0.9 DoF"]}
    task = world.calibrate(fields=3)
    world.go_on(task)
    assert world.state.tasks[task].state == "done"
    assert world.result(task)["reasons"] == ["mean error 0.9 DoF"]
    assert world.state.settings == world.start.settings
    run = world.begin("focus.run", method="auto")
    world.run()
    assert world.result(run)["method"] == "search"


def test_another_distance_of_the_images_holds_at_once_and_its_key_is_told(world: CalibrateWorld) -> None:
    task = world.calibrate(fields=3, delta_dof=1.5)
    world.go_on(task)
    pair = world.state.settings.focus.pair
    assert pair is not None
    assert pair.delta_um == pytest.approx(3.0)
    assert any("focus.pair.delta_dof to 1.5" in warning for warning in world.result(task)["warnings"])


def test_the_sweep_is_one_sided_and_reaches_ten_depths_of_field(world: CalibrateWorld) -> None:
    world.calibrate(fields=3)
    swept = [options["z_um"] for options in world.asked if options["action"] == "sweep"]
    assert swept == sorted(swept)
    assert len(swept) == 41
    assert swept[0] == pytest.approx(world.focus_um - 20.0, abs=0.5)
    assert swept[-1] == pytest.approx(world.focus_um + 20.0, abs=0.5)
    assert [options["first"] for options in world.asked if options["action"] == "sweep"] == [True] + [False] * 40


def test_a_stage_that_arrives_falling_is_swept_falling() -> None:
    world = CalibrateWorld({"stage": {"focus_direction": "away"}})
    world.calibrate(fields=3)
    swept = [options["z_um"] for options in world.asked if options["action"] == "sweep"]
    assert swept == sorted(swept, reverse=True)


def test_play_is_looked_for_by_arrivals_from_the_other_side(world: CalibrateWorld) -> None:
    world.calibrate(fields=3)
    kinds = [options["kind"] for options in world.asked if options["action"] == "visit"]
    assert kinds == ["rest"] * 5 + ["return"] * 6 + ["reverse"] * 3
    assert world.straight == [pytest.approx(11.0)] * 3


def test_real_moves_begin_on_both_sides_and_how_far_they_miss_is_told(world: CalibrateWorld) -> None:
    task = world.calibrate(fields=3)
    world.go_on(task)
    told = world.asked[-1]["moves_um"]
    assert len(told) == 20
    assert told == [pytest.approx(0.2)] * 20  # the pair was 0.3 off the specimen, whose focus was told 0.1 too high
    deltas = {round(options["delta_um"], 6) for options in world.asked if options["action"] == "pair"}
    assert deltas == {4.0}


def test_a_pair_without_an_answer_and_one_that_leads_out_of_the_limits_move_nothing(world: CalibrateWorld) -> None:
    answers = iter([None, 500.0])
    world.answers["pair"] = lambda _options: {"defocus_um": next(answers, 0.0)}
    task = world.calibrate(fields=3)
    world.go_on(task)
    told = world.asked[-1]["moves_um"]
    assert told[0] is None
    assert told[1] < -100.0
    assert all(-60 <= z_um <= 60 for z_um in world.moves)


PHASES = (
    "searching",
    "sweeping",
    "stage",
    "fitting",
    "moving",
    "correcting",
    "parking",
    "waiting",
    "stepping",
    "judging",
)


@pytest.mark.parametrize("phase", PHASES)
def test_it_can_be_cancelled_in_every_phase_and_the_stage_returns_to_its_start(phase: str) -> None:
    world = CalibrateWorld()
    task = world.begin("calibrate.run", fields=3)
    for _ in range(2000):
        if world.work(task).phase == phase:
            break
        if world.work(task).phase == "waiting":
            world.ask("calibrate.next", task=task)
        else:
            world.run(1)
    assert world.work(task).phase == phase
    world.ask("task.cancel", task=task)
    world.run()
    ended = world.state.tasks[task]
    assert ended.state == "cancelled"
    assert ended.error is not None
    assert ended.error.code == "cancelled"
    assert world.z_um == 0.0
    assert world.state.claim is None
    assert not world.state.pending


@pytest.mark.parametrize("phase", PHASES)
def test_stop_ends_it_in_every_phase_and_nothing_moves_afterwards(phase: str) -> None:
    world = CalibrateWorld()
    task = world.begin("calibrate.run", fields=3)
    while world.work(task).phase != phase:
        if world.work(task).phase == "waiting":
            world.ask("calibrate.next", task=task)
        else:
            world.run(1)
    world.ask("stop")
    moves = len(world.moves)
    world.run()
    assert world.state.tasks[task].state == "cancelled"
    assert len(world.moves) == moves


def test_a_drifting_stage_stops_it_after_the_first_field(world: CalibrateWorld) -> None:
    world.answers["stage"] = lambda _options: {"faults": ["drift of 3 µm/s is 1.5 DoF during a pair"]}
    world.answers["finish"] = lambda options: {**VERDICT, "accepted": False, "reasons": options["reasons"]}
    task = world.calibrate(fields=3)
    result = world.result(task)
    assert not result["accepted"]
    assert result["reasons"] == ["drift of 3 µm/s is 1.5 DoF during a pair"]
    assert world.actions().count("field") == 1
    pair = world.state.settings.focus.pair
    assert pair is not None
    assert not pair.calibrated


def test_a_field_whose_metrics_differ_is_rejected_and_another_is_asked_for(world: CalibrateWorld) -> None:
    fields = iter(["the metrics differ by 2 µm"])

    def judge(options: dict[str, Any]) -> dict[str, Any]:
        reason = next(fields, "")
        return {"focus_um": None, "reason": reason, "flank_um": None} if reason else world._usual(options)

    world.answers["field"] = judge
    task = world.calibrate(fields=3)
    assert world.work(task).rejected == ((1, "the metrics differ by 2 µm"),)
    world.go_on(task)
    result = world.result(task)
    assert result["rejected"] == ["field 1: the metrics differ by 2 µm"]
    assert world.actions().count("field") == 4
    assert world.asked[-1]["unswept"] == []  # the engine knows of it


def test_an_empty_slide_is_rejected_without_a_file(world: CalibrateWorld) -> None:
    world.focus_um = 1e6
    task = world.calibrate(fields=3)
    world.go_on(task)
    result = CalibrateOutcome.model_validate(world.result(task)).model_dump()
    assert world.state.tasks[task].state == "done"
    assert not result["accepted"]
    assert result["path"] is None
    assert "3 of 3 fields were rejected" in result["reasons"][0]
    assert world.asked == []


def test_a_focus_beside_a_limit_leaves_no_room_for_a_sweep() -> None:
    world = CalibrateWorld({"stage": {"limits_um": [-36, 8]}})
    task = world.calibrate(fields=3)
    assert "too near to a limit" in world.work(task).rejected[0][1]


@pytest.mark.parametrize(
    ("config", "camera", "params", "code", "words"),
    [
        ({"optics": {"objective": None}}, None, {}, "not_ready", "optics.objective"),
        ({"optics": {"pixel_size_um": None}}, None, {}, "not_ready", "optics.pixel_size_um"),
        ({"stage": {"focus_direction": "unknown"}}, None, {}, "not_ready", "stage.focus_direction"),
        ({"stage": {"limits_um": None}}, None, {}, "not_ready", "stage.limits_um"),
        ({"stage": {"limits_um": [-15, 15]}}, None, {}, "invalid", "stage.limits_um"),
        ({}, None, {"dose_budget_ms": 100}, "invalid", "dose_budget_ms"),
        ({}, CameraSettings(exposure_ms=10.0, auto_exposure=True), {}, "invalid", "exposure by itself"),
        ({}, CameraSettings(exposure_ms=10.0, binning=4), {}, "invalid", "binning"),
        ({}, None, {"fields": 2}, "invalid", "fields"),
        ({}, None, {"what": "colour"}, "invalid", "what"),
    ],
)
def test_what_is_missing_is_asked_for_by_its_name_before_anything_moves(
    config: dict[str, Any], camera: CameraSettings | None, params: dict[str, Any], code: str, words: str
) -> None:
    world = CalibrateWorld(config, camera=camera)
    answer = world.ask("calibrate.run", **params)
    assert not answer["ok"]
    assert answer["error"]["code"] == code
    assert words in answer["error"]["detail"]
    assert not world._queue


def test_without_the_network_there_is_nothing_to_calibrate() -> None:
    answer = CalibrateWorld(pair=None).ask("calibrate.run")
    assert answer["error"]["code"] == "not_ready"


def test_a_dry_run_tells_what_it_would_do_and_moves_nothing(world: CalibrateWorld) -> None:
    from uuid import UUID

    from microscoped.daemon.core import Peer
    from microscoped.daemon.protocol import Request

    request = Request(v="1.0", id=UUID(int=9), type="request", op="calibrate.run", params={"fields": 4}, dry_run=True)
    world.hear(heard_of.RequestReceived(Peer(b"client"), request))
    plan = world.replies[-1]["result"]["plan"]
    assert plan["dof_um"] == pytest.approx(2.0)
    assert plan["delta_um"] == pytest.approx(4.0)
    assert plan["dose_ms_most"] == plan["images_most"] * 10.0
    assert plan["sweep_um"] == pytest.approx(20.0)
    assert plan["objective"] == "20x/0.5"
    assert not world._queue
    assert not world.state.tasks


def test_it_never_costs_more_than_it_says_before(world: CalibrateWorld) -> None:
    task = world.calibrate(fields=5)
    most = world.work(task).plan.images_most
    world.go_on(task)
    assert 0.5 * most < world.result(task)["images"] <= most


def test_an_engine_that_fails_ends_it_at_the_start(world: CalibrateWorld) -> None:
    error = ErrorBody.of(ErrorCode.FAULT_ENGINE, "focus_calibration: MemoryError")
    world.answers["sweep"] = lambda _options: {"error": error}
    task = world.calibrate(fields=3)
    assert world.state.tasks[task].state == "failed"
    assert world.z_um == 0.0


def test_other_tasks_are_told_who_has_the_stage(world: CalibrateWorld) -> None:
    task = world.calibrate(fields=3)
    assert world.ask("stage.move", z_um=1.0)["error"]["code"] == "busy"
    assert world.ask("calibrate.run")["error"]["code"] == "busy"
    assert world.work(task).phase == "waiting"


def test_only_a_calibration_that_waits_can_be_sent_on(world: CalibrateWorld) -> None:
    assert world.ask("calibrate.next", task="none")["error"]["code"] == "not_found"
    task = world.begin("calibrate.run", fields=3)
    assert world.ask("calibrate.next", task=task)["error"]["code"] == "not_ready"


def test_frames_that_others_snap_meanwhile_do_not_drop_what_is_needed(world: CalibrateWorld) -> None:
    task = world.begin("calibrate.run", fields=3)
    while not world.state.tasks[task].ended:
        if world.work(task).phase == "waiting":
            world.ask("calibrate.next", task=task)
        if world.work(task).phase in ("fitting", "moving"):
            for _ in range(9):
                world._admit(None, streamed=False)
        world.run(1)
    assert world.state.tasks[task].state == "done"


def test_a_life_with_a_calibration_replays_and_its_state_can_be_recorded(world: CalibrateWorld) -> None:
    task = world.calibrate(fields=3)
    recorded = parse_json(b"".join(encode_state(world.state)))
    assert decode_state(recorded) == world.state
    world.go_on(task)
    state = world.start
    for heard, now, effects in world.life:
        state, again = step(state, heard, now)
        assert again == effects
    assert state == world.state


# --- fine-tuning ----------------------------------------------------------------------------------------------------


def with_no_deep(world: CalibrateWorld, why: str) -> None:
    settings = world.state.settings
    assert settings.focus.pair is not None
    pair = replace(settings.focus.pair, no_deep=why)
    world.state = replace(world.state, settings=replace(settings, focus=replace(settings.focus, pair=pair)))


def test_deep_without_its_packages_is_refused_before_anything_moves(world: CalibrateWorld) -> None:
    with_no_deep(world, "torch is not installed; pip install 'microscoped[train]'")
    refused = world.ask("calibrate.run", deep=True, fields=3)
    assert refused["error"]["code"] == "not_ready"
    assert "pip install 'microscoped[train]'" in refused["error"]["detail"]
    world.run()
    assert world.moves == []
    assert world.calibrate(fields=3)  # without deep nothing is missing


def test_pairs_are_kept_of_the_fitted_fields_only_and_only_where_deep_was_asked_for(world: CalibrateWorld) -> None:
    world.answers["finish"] = lambda _options: {
        **VERDICT,
        "rung": "deep",
        "deep": "taken after 250 steps",
        "tuned_sha256": "b" * 64,
    }
    task = world.calibrate(fields=3, deep=True)
    world.go_on(task)
    wanted = {options["field"]: options["deep"] for options in world.asked if options["action"] == "sweep"}
    assert wanted == {1: 2, 2: 2, 3: 0}
    result = CalibrateOutcome.model_validate(world.result(task))
    assert (result.rung, result.deep, result.tuned_sha256) == ("deep", "taken after 250 steps", "b" * 64)
    pair = world.state.settings.focus.pair
    assert pair is not None
    assert pair.tuned_sha256 == "b" * 64
    world.asked.clear()
    world.calibrate(fields=3)
    assert {options["deep"] for options in world.asked if options["action"] == "sweep"} == {0}


def test_a_cancelled_calibration_has_its_training_ended(world: CalibrateWorld) -> None:
    dropped: list[Any] = []
    world.answers["fit"] = lambda _options: {"done": False, "doing": "fine-tuning 1 of 4, step 0 of 300"}
    task = world.begin("calibrate.run", fields=3, deep=True)
    for _ in range(10_000):
        work = world.state.tasks[task].work
        if isinstance(work, CalibrateWork) and work.phase == "waiting":
            world.ask("calibrate.next", task=task)
        if isinstance(work, CalibrateWork) and work.phase == "fitting":
            break
        world.run(1)
    before = len([event for event in world.events if event["topic"].startswith("v1.task.")])
    world.run(20)
    told = len([event for event in world.events if event["topic"].startswith("v1.task.")]) - before
    assert told <= 1  # the same words are not told again and again
    world.ask("task.cancel", task=task)
    dropped += [one for one in world._queue if isinstance(one, to_do.Measure) and one.options == {"action": "drop"}]
    assert len(dropped) == 1
    world.run()
    assert world.state.tasks[task].state == "cancelled"
