"""Acquisitions in the reducer: who may begin one, what ends it, and what it is answered. No runner, no hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon import acquire
from microscoped.daemon.core import Mode
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.arbiter import Rank
from microscoped.daemon.protocol import ErrorBody, ErrorCode
from microscoped.daemon.protocol.events import AcquiredData
from microscoped.daemon.record.codec import decode_state, encode_state, parse_json
from microscoped.drivers.commands import Configure, StartStream, StopStream
from microscoped.drivers.motion import XYArrival
from microscoped.drivers.protocols import CameraSettings
from tests.daemon.focus_world import FocusWorld

if TYPE_CHECKING:
    from collections.abc import Callable

STACK: dict[str, Any] = {"z_plan": {"range": 4, "step": 1}}


class AcquireWorld(FocusWorld):
    """A world whose runner says what a test says."""

    def acquire(self, **params: Any) -> str:  # noqa: ANN401 - of acquire.run
        return self.begin("acquire.run", sequence=STACK, **params)

    def did(self, kind: type[Any], since: int = 0) -> list[Any]:
        """The effects of a kind."""
        return [effect for _, _, effects in self.life[since:] for effect in effects if isinstance(effect, kind)]

    def commands(self, kind: type[Any], since: int = 0) -> list[Any]:
        return [one.command for one in self.did(to_do.Submit, since) if isinstance(one.command, kind)]

    def frame(
        self,
        task: str,
        number: int = 0,
        batch: str = "plan",
        *,
        xy_um: tuple[float, float] | None = None,
        score: float | None = None,
    ) -> None:
        """A frame of an acquisition comes, and is measured; its step is unknown here."""
        acquired = AcquiredData(task=task, number=number, batch=batch, index={"z": number}, xy_um=xy_um)
        self._admit("step-1", streamed=False, acquired=acquired)
        if score is not None:
            self.measure(score)

    def measure(self, score: float) -> None:
        """The newest frame is measured, which was merely offered."""
        frame = self.state.newest_frame()
        assert frame is not None
        self.hear(heard_of.MeasureEnded("sharpness", frame.frame, None, {"score": score, "error": 0.01}, 1.0))

    def light_of(self, rule: str) -> float:
        """Light within an hour of a rule's actions."""
        told = {one["rule"]["name"]: one["dose_ms_h"] for one in self.ask("rules.list")["result"]["rules"]}
        return float(told[rule])

    def ends(self, task: str, frames: int = 0, error: ErrorBody | None = None) -> int:
        """The runner has ended; return the number of the input."""
        since = len(self.life)
        result = {"frames": frames, "skipped": 0, "z_um": 0.0}
        self.hear(heard_of.AcquisitionEnded(task, {"phase": "ended"}, result, error))
        return since

    def code(self, answer: dict[str, Any]) -> str | None:
        return None if answer["ok"] else answer["error"]["code"]


def test_an_acquisition_claims_the_stage_and_ends_the_stream_which_comes_back() -> None:
    world = AcquireWorld()
    world.state = replace(world.state, camera=replace(world.state.camera, streaming=True))
    task = world.acquire(light_ms=70, focus_failure="keep", hold_open=True)
    assert world.state.claim is not None
    assert (world.state.claim.task, world.state.claim.rank) == (task, Rank.ACQUISITION)
    (start,) = world.did(to_do.StartAcquisition)
    assert start == to_do.StartAcquisition(task, STACK, 70, 0.0, 0.325, "keep", True)
    (stopped,) = world.commands(StopStream)
    world.hear(heard_of.CommandEnded(stopped.id))
    # A step sets the exposure: the camera's own word is heard, whoever asked for it.
    world.hear(heard_of.CommandEnded("step-1", CameraSettings(exposure_ms=3.0)))
    world.hear(heard_of.CommandEnded("step-2", XYArrival((1.0, 2.0), (1.0, 2.0), 1.0, 0)))
    assert world.state.camera.settings.exposure_ms == 3.0
    assert world.state.stage.xy_um == (1.0, 2.0)
    world.frame(task)
    since = world.ends(task, 1)
    assert world.state.tasks[task].state == "done"
    assert world.state.claim is None
    assert [command.change.exposure_ms for command in world.commands(Configure, since)] == [10.0]
    assert len(world.commands(StartStream, since)) == 1


@pytest.mark.parametrize("op", ["focus.run", "stage.move", "camera.snap", "camera.set", "camera.start", "acquire.run"])
def test_who_has_no_lease_is_told_who_has_the_stage_and_the_camera(op: str) -> None:
    world = AcquireWorld()
    task = world.acquire()
    params: dict[str, Any] = {
        "stage.move": {"z_um": 1.0},
        "camera.set": {"exposure_ms": 3.0},
        "acquire.run": {"sequence": STACK},
    }
    refused = world.ask(op, **params.get(op, {}))
    assert world.code(refused) == "busy"
    assert refused["error"]["data"] == {"holder": "acquire.run", "task": task}
    assert not world.did(to_do.CancelAcquisition)


def _stop(world: AcquireWorld) -> None:
    world.ask("stop")


def _move(world: AcquireWorld) -> None:
    token = world.ask("stage.lease", name="Ada")["result"]["token"]
    assert world.ask("stage.move", lease=token, z_um=2.0)["ok"]


def _shut_down(world: AcquireWorld) -> None:
    world.ask("shutdown")


def _lose(world: AcquireWorld) -> None:
    world.hear(heard_of.HardwareLost(ErrorBody.of(ErrorCode.FAULT, "the cable is out")))


INTERRUPTIONS: dict[str, tuple[Callable[[AcquireWorld], None], str, str, bool]] = {
    # what happens, the task's state, a word of the reason, and whether the stream begins again
    "stop": (_stop, "cancelled", "stop was asked for", True),
    "an operator with a lease": (_move, "preempted", "took the stage", True),
    "shutdown": (_shut_down, "cancelled", "shutdown", False),
    "the hardware is gone": (_lose, "failed", "cable", False),
}


@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_what_ends_the_task_ends_the_runner_once_and_another_may_begin_after_it(name: str) -> None:
    happens, state, word, streams = INTERRUPTIONS[name]
    world = AcquireWorld()
    world.state = replace(world.state, camera=replace(world.state.camera, streaming=True))
    task = world.acquire()
    world.hear(heard_of.CommandEnded(world.commands(StopStream)[0].id))
    happens(world)
    world.wait(0.1)
    assert world.state.tasks[task].state == state
    (cancelled,) = world.did(to_do.CancelAcquisition)
    assert cancelled.task == task
    assert word in cancelled.reason
    if name == "stop":
        world.ask("resume")
        assert world.code(world.ask("acquire.run", sequence=STACK)) == "busy"  # the runner has not ended yet
    assert world.state.tasks[task].result is None
    since = world.ends(task, 3, error=ErrorBody.of(ErrorCode.CANCELLED, word))
    assert world.state.tasks[task].state == state
    told = [event["data"] for event in world.events if event["topic"] == f"v1.task.{task}."][-1]
    assert (told["state"], told["result"]["frames"]) == (state, 3)  # what had been taken is told afterwards
    assert bool(world.commands(StartStream, since)) == streams
    assert world.state.acquisition is None
    if name == "stop":
        world.acquire()


def test_a_cancelled_task_ends_when_its_runner_has_and_reports() -> None:
    world = AcquireWorld()
    task = world.acquire()
    for _ in range(2):
        answer = world.ask("task.cancel", task=task)["result"]["task"]
        assert (answer["state"], answer["progress"]["phase"]) == ("running", "cancelling")
    assert [one.task for one in world.did(to_do.CancelAcquisition)] == [task]
    world.ends(task, error=ErrorBody.of(ErrorCode.CANCELLED, "the task was cancelled"))
    ended = world.state.tasks[task]
    assert ended.state == "cancelled"
    assert ended.result == {"frames": 0, "skipped": 0, "z_um": 0.0, "recording": None}


def _leave_out(world: AcquireWorld) -> None:
    world.hear(heard_of.FramesLeftOut("frame-1", "the disk is too slow"))


def _nothing(_world: AcquireWorld) -> None:
    return


ENDS: dict[str, tuple[int, ErrorBody | None, Callable[[AcquireWorld], None], str, str | None]] = {
    # frames that the runner took (one comes), its error, what else happens, the state and the code
    "complete": (1, None, _nothing, "done", None),
    "a frame did not come": (2, None, _nothing, "failed", "fault.frames_missing"),
    "a frame is not recorded": (1, None, _leave_out, "failed", "fault.frames_missing"),
    "no light": (1, ErrorBody.of(ErrorCode.LIMIT_LIGHT, "no more"), _nothing, "failed", "limit.light"),
    "a bad sequence": (1, ErrorBody.of(ErrorCode.INVALID, "bad"), _nothing, "failed", "invalid"),
    "silent": (
        1,
        ErrorBody.of(ErrorCode.FAULT_HARDWARE_SILENT, "no answer"),
        _nothing,
        "failed",
        "fault.hardware_silent",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_is_judged_by_what_came_and_was_stored(name: str) -> None:
    frames, error, happens, state, code = ENDS[name]
    world = AcquireWorld()
    task = world.acquire()
    world.frame(task)
    happens(world)
    world.ends(task, frames, error)
    ended = world.state.tasks[task]
    assert ended.state == state
    assert (ended.error.code if ended.error else None) == code
    assert (world.state.mode is Mode.FAULT) == (name == "silent")


def test_frames_name_their_task_and_progress_is_published() -> None:
    world = AcquireWorld()
    task = world.acquire()
    world.frame(task)
    (told,) = [event for event in world.events if event["topic"] == "v1.frame.Camera." and event["data"]["acquired"]]
    assert told["causes"][0] == task
    assert told["data"]["acquired"]["index"] == {"z": 0}
    world.hear(heard_of.AcquisitionProgressed(task, {"phase": "running", "frames": 1}))
    assert world.events[-1]["topic"] == f"v1.task.{task}."
    assert world.events[-1]["data"]["progress"] == {"phase": "running", "frames": 1}
    world.ends(task, 1)
    count = len(world.events)
    world.hear(heard_of.AcquisitionProgressed(task, {"phase": "ended"}))
    assert len(world.events) == count  # what comes late changes nothing


FOCUS: dict[str, tuple[dict[str, Any], float | None, bool, str]] = {
    # the world, the light that is left, whether it is found, and why not
    "found": ({"focus_um": 3.0}, None, True, ""),
    "out of reach": ({"focus_um": 300.0}, None, False, "the stage returns to"),
    "too little light": ({"focus_um": 3.0}, 60.0, False, "too little for a search"),
    "no limits": ({"config": {"stage": {"limits_um": None}}}, None, False, "no z limits are configured"),
}


@pytest.mark.parametrize("name", FOCUS)
def test_a_focus_event_is_a_focus_run_under_the_same_claim(name: str) -> None:
    made, light_ms, found, why = FOCUS[name]
    world = AcquireWorld(pair=None, **made)
    task = world.acquire()
    world.hear(heard_of.FocusWanted(task, "focus-1", light_ms))
    world.run()
    (answer,) = world.did(to_do.AnswerFocus)
    assert (answer.task, answer.request, answer.found) == (task, "focus-1", found)
    assert why in answer.reason
    assert answer.light_ms == 10.0 * answer.images
    if found:
        assert answer.z_um == pytest.approx(3.0, abs=0.5)
        assert answer.images > 5
    assert world.state.claim is not None
    assert world.state.claim.task == task
    assert world.state.tasks[task].state == "running"
    assert not world.state.pending


def test_light_that_is_left_bounds_the_images_of_focusing() -> None:
    world = AcquireWorld(pair=None, focus_um=300.0)
    task = world.acquire()
    world.hear(heard_of.FocusWanted(task, "focus-1", 95.0))
    world.run()
    (answer,) = world.did(to_do.AnswerFocus)
    assert not answer.found
    assert 0 < answer.light_ms <= 95.0


def test_focusing_under_way_ends_with_its_acquisition() -> None:
    world = AcquireWorld(pair=None)
    task = world.acquire()
    world.hear(heard_of.FocusWanted(task, "focus-1"))
    world.run(3)
    world.ask("task.cancel", task=task)
    assert [one.found for one in world.did(to_do.AnswerFocus)] == [False]
    assert not world.state.pending
    world.hear(heard_of.FocusWanted(task, "focus-2"))  # a second attempt is not made
    assert world.did(to_do.AnswerFocus)[-1] == to_do.AnswerFocus(
        task, "focus-2", False, world.state.stage.z_um or 0.0, "the task was cancelled", 0.0, 0
    )
    world.ends(task, error=ErrorBody.of(ErrorCode.CANCELLED, "cancelled"))
    count = len(world.life)
    world.hear(heard_of.FocusWanted(task, "focus-3"))
    assert not world.did(to_do.AnswerFocus, count)


@pytest.mark.parametrize("how", ["pause", "resume", "finish"])
def test_an_acquisition_is_steered_while_it_runs(how: str) -> None:
    world = AcquireWorld()
    assert world.code(world.ask(f"acquire.{how}", task="none")) == "not_found"
    task = world.acquire()
    assert world.ask(f"acquire.{how}", task=task)["result"]["task"]["task"] == task
    assert world.did(to_do.SteerAcquisition) == [to_do.SteerAcquisition(task, how)]  # type: ignore[arg-type] # one of them
    world.ends(task)
    assert world.code(world.ask(f"acquire.{how}", task=task)) == "gone"


def test_checks_and_injections_are_answered_when_they_are_read() -> None:
    world = AcquireWorld()
    task = world.acquire()
    assert world.ask("acquire.check", sequence=STACK) == {}
    assert world.ask("acquire.inject", task=task, events=[{"z_pos": 1}], after="now") == {}
    (check,), (inject,) = world.did(to_do.CheckSequence), world.did(to_do.InjectEvents)
    assert (inject.task, inject.events, inject.after) == (task, [{"z_pos": 1}], "now")
    before = len(world.replies)
    world.hear(heard_of.InjectionEnded(inject.request, "injection-1", frames=1))
    bad = ErrorBody.of(ErrorCode.INVALID, "z_plan.range = 60: too far", {"problems": []})
    world.hear(heard_of.SequenceChecked(check.request, error=bad))
    accepted, refused = world.replies[before:]
    assert accepted["result"] == {"batch": "injection-1", "frames": 1}
    assert refused["error"]["detail"] == "z_plan.range = 60: too far"
    world.hear(heard_of.InjectionEnded(inject.request, "injection-1", frames=1))
    assert len(world.replies) == before + 2


def test_only_so_many_sequences_wait_to_be_read() -> None:
    world = AcquireWorld()
    for _ in range(16):
        assert world.ask("acquire.check", sequence=STACK) == {}
    assert world.code(world.ask("acquire.check", sequence=STACK)) == "busy"


def test_a_hold_stands_back_and_goes_on_after_it() -> None:
    world = AcquireWorld(pair=None)
    held = world.begin("focus.hold", every_s=1000)
    world.run(3)  # in the midst of an excursion
    task = world.acquire()
    world.run()
    assert world.state.claim is not None
    assert world.state.claim.task == task
    assert world.state.tasks[held].progress["rounds"] == 0
    world.ends(task)
    world.run()
    assert world.state.tasks[held].state == "running"
    assert world.state.tasks[held].progress["rounds"] == 1


def test_a_rule_acquires_at_its_rank_and_within_its_light() -> None:
    action = {"do": "acquire", "sequence": STACK, "dose_ms_most": 50}
    rule = {"name": "burst", "when": "sharpness.score > 0.5", "action": action, "budget": {"dose_ms_per_h": 500}}
    world = AcquireWorld(pair=None)
    assert world.ask("rules.set", rules=[rule])["ok"]
    world.stream(1, score=0.9)
    (start,) = world.did(to_do.StartAcquisition)
    assert start.light_ms == 50
    assert world.state.claim is not None
    assert world.state.claim.rank is Rank.RULE
    world.frame(start.task)
    world.frame(start.task, 1)
    world.ends(start.task, 2)
    assert world.light_of("burst") == 20.0


NEAR: dict[str, Any] = {
    "name": "near",
    "when": "sharpness.score > 0.5",
    "action": {"do": "inject", "sequence": STACK, "dose_ms_most": 50},
    "budget": {"dose_ms_per_h": 500},
}


def test_a_rule_adds_to_the_acquisition_under_way_where_its_frame_was_taken() -> None:
    world = AcquireWorld(pair=None)
    task = world.acquire()
    assert world.ask("rules.set", rules=[NEAR])["ok"]
    world.frame(task, xy_um=(3.0, 4.0), score=0.9)
    (wanted,) = world.did(to_do.InjectSequence)
    assert (wanted.task, wanted.name) == (task, "near")
    batch = wanted.request
    assert (wanted.sequence, wanted.light_ms) == (STACK, 50.0)
    assert (wanted.xy_um, wanted.z_um) == ((3.0, 4.0), world.state.stage.z_um)
    assert world.light_of("near") == 50.0  # set aside
    world.frame(task, 1, batch)  # a frame may come before it is told how many there are
    assert decode_state(parse_json(b"".join(encode_state(world.state)))) == world.state
    world.hear(heard_of.InjectionEnded(batch, batch, frames=3))
    world.frame(task, 2)  # one of the plan is not the rule's
    world.hear(heard_of.AcquisitionProgressed(task, {"new_skips": [{"batch": "plan"}, {"batch": batch}]}))
    assert world.state.rules.acting
    world.frame(task, 3, batch)
    assert world.state.rules.acting == ()
    assert world.light_of("near") == 20.0
    assert world.state.acquisition is not None


def test_what_a_rule_has_added_is_over_with_the_acquisition() -> None:
    world = AcquireWorld(pair=None)
    task = world.acquire()
    world.ask("rules.set", rules=[NEAR])
    world.frame(task, score=0.9)
    batch = world.did(to_do.InjectSequence)[0].request
    world.hear(heard_of.InjectionEnded(batch, batch, frames=5))
    world.frame(task, 1, batch)
    world.ends(task, 2, ErrorBody.of(ErrorCode.CANCELLED, "the operator wanted the stage"))
    assert world.state.rules.acting == ()
    assert world.light_of("near") == 20.0  # one came, and another may have been exposed


def _runner_refuses(world: AcquireWorld) -> None:
    world.frame(world.acquire(), score=0.9)
    (wanted,) = world.did(to_do.InjectSequence)
    too_much = ErrorBody.of(ErrorCode.LIMIT_LIGHT, "30 ms of light are left")
    world.hear(heard_of.InjectionEnded(wanted.request, error=too_much))


def _nothing_runs(world: AcquireWorld) -> None:
    world.stream(1, score=0.9)


def _another_frame(world: AcquireWorld) -> None:
    world.frame(world.acquire())
    world._admit("step-2", streamed=False)
    world.measure(0.9)


NOT_ADDED: dict[str, tuple[Callable[[AcquireWorld], None], str]] = {
    "the runner refuses": (_runner_refuses, "30 ms of light are left"),
    "no acquisition": (_nothing_runs, "no acquisition is under way"),
    "not its frame": (_another_frame, "no frame of the acquisition"),
}


@pytest.mark.parametrize("name", NOT_ADDED)
def test_what_a_rule_cannot_add_is_refused_and_costs_no_light(name: str) -> None:
    happens, why = NOT_ADDED[name]
    world = AcquireWorld(pair=None)
    world.ask("rules.set", rules=[NEAR])
    happens(world)
    told = [event["data"] for event in world.events if event["topic"] == "v1.decision.near."]
    assert [one["kind"] for one in told] == ["unknown", "fired", "refused"]
    assert why in told[-1]["why"]
    assert world.state.rules.acting == ()
    assert world.light_of("near") == 0.0


def test_every_error_of_an_acquisition_has_a_code_of_the_protocol() -> None:
    errors = [one for one in vars(acquire).values() if isinstance(one, type) and issubclass(one, acquire.AcquireError)]
    assert len(errors) > 8
    assert {error.code for error in errors} <= {str(code) for code in ErrorCode}


def test_the_state_of_an_acquisition_comes_back_from_the_journal() -> None:
    world = AcquireWorld(pair=None)
    task = world.acquire()
    world.hear(heard_of.FocusWanted(task, "focus-1"))
    world.run(3)
    assert decode_state(parse_json(b"".join(encode_state(world.state)))) == world.state
