"""The reducer by itself: the same inputs give the same outputs, and its tables are complete."""

from __future__ import annotations

import uuid
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscoped.daemon.config import Config
from microscoped.daemon.core import Mode, Now, Peer, State, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.arbiter import Claim, Rank, contend
from microscoped.daemon.core.handlers import HANDLERS
from microscoped.daemon.core.modes import TABLE
from microscoped.daemon.protocol import OPS, ErrorBody, ErrorCode, OpClass, RefusedError, Request
from microscoped.daemon.protocol.errors import TITLES
from microscoped.daemon.settings import core_settings
from microscoped.drivers import errors as driver_errors
from microscoped.simulators import StageModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microscoped.daemon.core import Effect, Input
    from tests.conftest import Rig

PEER = Peer(b"client")


class World:
    """A state, and a clock that ticks a millisecond an input."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        settings = core_settings(Config.model_validate(config or CONFIG), {})
        self.state = State(settings=settings, session=str(uuid.UUID(int=1)), began_ns=0)
        self.number = 0

    def hear(self, heard: Input) -> tuple[Effect, ...]:
        self.number += 1
        now = Now(self.number, self.number * 1_000_000, "2026-01-01T00:00:00.000000+00:00")
        self.state, effects = step(self.state, heard, now)
        return effects

    def ask(self, op: str, **params: Any) -> tuple[Effect, ...]:  # noqa: ANN401 - whatever an op takes
        request = Request(v="1.0", id=uuid.UUID(int=self.number), type="request", op=op, params=params)
        return self.hear(heard_of.RequestReceived(PEER, request))

    def open(self) -> World:
        from microscoped.drivers import CameraInfo, CameraSettings, FocusDirection

        info = CameraInfo("Camera", 64, 64, 1, "uint16", 12)
        direction = FocusDirection.TOWARD_SAMPLE
        self.hear(heard_of.HardwareOpened(info, CameraSettings(exposure_ms=10.0), "Z", 0.0, direction, {}))
        return self


CONFIG = {
    "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.325},
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
}


def answer(effects: Sequence[Effect]) -> dict[str, Any]:
    replies = [effect.message for effect in effects if isinstance(effect, to_do.SendReply)]
    assert len(replies) == 1
    return dict(replies[0])


def code(effects: Sequence[Effect]) -> str | None:
    message = answer(effects)
    return None if message["ok"] else message["error"]["code"]


def test_a_life_of_the_daemon_replays_to_the_same_outputs(start_rig: Callable[..., Rig]) -> None:
    life: list[tuple[Input, Now, tuple[Effect, ...]]] = []
    rig = start_rig(
        {"camera": {"stream_at_start": True}},
        stage=StageModel(start_um=4.0, speed_um_s=50.0),
        watch=lambda heard, now, effects: life.append((heard, now, effects)),
    )
    rig.scope.focus()
    rig.scope.request("stage.move", z_um=6.0)
    rig.scope.stop()
    rig.scope.resume()
    rig.scope.snap()
    with pytest.raises(Exception, match="invalid"):
        rig.scope.request("camera.set", binning=7)
    rig.faults.take_failures = 1
    # A busy computer may raise alarms of its own.
    for event in rig.scope.events("v1.alarm.", timeout_s=5):
        if event.data["code"] == "fault.camera":
            break
    rig.end()
    assert len(life) > 60
    first, second = rig.daemon.state, rig.daemon.state
    for heard, now, effects in life:
        first, again = step(first, heard, now)
        second, once_more = step(second, heard, now)
        assert again == once_more == effects
        assert first == second
    assert first.mode is Mode.CLOSING
    numbers = [now.number for _, now, _ in life]
    assert numbers == list(range(1, len(life) + 1))


def test_every_op_has_its_handler_and_every_mode_its_row() -> None:
    assert set(HANDLERS) == set(OPS)
    assert set(TABLE) == set(Mode)
    for mode, row in TABLE.items():
        assert set(row) == set(OpClass), mode
        assert row[OpClass.READ] is None
        assert row[OpClass.STOP] is None  # stop is open in every state
    assert set(TITLES) == set(ErrorCode)


def test_every_driver_error_has_a_code_that_the_protocol_knows() -> None:
    names = [getattr(driver_errors, name) for name in driver_errors.__all__]
    assert {error.code for error in names} <= {str(code) for code in ErrorCode}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("op", sorted(OPS))
def test_the_state_table_is_obeyed(mode: Mode, op: str) -> None:
    world = World().open()
    world.state = replace(world.state, mode=mode, reason="a test")
    params: dict[str, Any] = {
        "stage.move": {"z_um": 1.0},
        "task.get": {"task": "none"},
        "task.cancel": {"task": "none"},
        "camera.set": {"exposure_ms": 5.0},
        "events.since": {"topic": "v1.state.", "seq": 0},
        "stage.lease": {"name": "a test"},
        "stage.release": {"token": "none"},
        "focus.hold": {"every_s": 10},
        "calibrate.next": {"task": "none"},
        "rules.set": {"rules": []},
        "acquire.check": {"sequence": {}},
        "acquire.run": {"sequence": {}},
        "acquire.inject": {"task": "none", "events": [{}]},
        "acquire.pause": {"task": "none"},
        "acquire.resume": {"task": "none"},
        "acquire.finish": {"task": "none"},
    }.get(op, {})
    verdict = TABLE[mode][OPS[op].op_class]
    effects = world.ask(op, **params)
    refused = [effect for effect in effects if isinstance(effect, to_do.SendReply) and not effect.message["ok"]]
    if verdict is not None:
        assert code(effects) == verdict[0]
        assert not any(isinstance(effect, to_do.Submit) for effect in effects)
    elif refused:
        assert code(effects) in ("not_found", "not_ready", "gone")


@pytest.mark.parametrize("mode", [Mode.STARTING, Mode.STOPPED, Mode.FAULT, Mode.SAFE, Mode.CLOSING])
def test_nothing_moves_outside_idle_active_and_degraded(mode: Mode) -> None:
    assert TABLE[mode][OpClass.MOVE] is not None


ranks = st.sampled_from(list(Rank))


@given(held=ranks, wanted=ranks)
def test_a_higher_rank_preempts_and_any_other_is_told_who_holds_the_stage(held: Rank, wanted: Rank) -> None:
    holder, comer = Claim("a", "focus.run", held), Claim("b", "stage.move", wanted)
    assert contend(None, comer) is None
    if wanted > held:
        assert contend(holder, comer) is holder
    else:
        with pytest.raises(RefusedError) as busy:
            contend(holder, comer)
        assert busy.value.body.code is ErrorCode.BUSY
        assert busy.value.body.data == {"holder": "focus.run", "task": "a"}


def test_stop_halts_first_and_tells_afterwards() -> None:
    world = World().open()
    task = answer(world.ask("stage.move", z_um=3.0))["result"]["task"]
    effects = world.ask("stop")
    assert isinstance(effects[0], to_do.HaltStage)
    assert world.state.tasks[task].state == "cancelled"
    assert world.state.claim is None
    assert world.state.mode is Mode.STOPPED
    effects = world.hear(heard_of.StopReturned(world.number * 1_000_000 + 500_000, 10**9, None))
    assert answer(effects)["result"]["state"] == "stopped"
    assert answer(effects)["result"]["issue_ms"] == pytest.approx(0.5)


def test_a_stop_that_the_driver_does_not_return_from_is_told_and_becomes_an_alarm() -> None:
    world = World().open()
    world.ask("stop")
    assert answer(world.hear(heard_of.TimerFired("stop.reply")))["result"]["state"] == "stopping"
    alarms = world.hear(heard_of.TimerFired("stop.alarm"))
    assert any(isinstance(effect, to_do.Publish) and effect.topic == "v1.alarm." for effect in alarms)


def test_a_stop_before_the_microscope_is_open_holds_after_it() -> None:
    world = World()
    world.ask("stop")
    world.open()
    assert world.state.mode is Mode.STOPPED
    assert code(world.ask("stage.move", z_um=1.0)) == "stopped"


def test_an_answer_that_comes_too_late_is_nobodys() -> None:
    world = World().open()
    effects = world.ask("stage.move", z_um=3.0)
    command = next(effect.command.id for effect in effects if isinstance(effect, to_do.Submit))
    world.ask("stop")
    before = world.state.tasks
    world.hear(heard_of.CommandEnded(command, error=ErrorBody.of("stopped", "stopped")))
    assert world.state.tasks == before


@pytest.mark.parametrize(
    ("error", "mode"),
    [
        ("fault.stage", Mode.FAULT),
        ("fault.stage_not_arrived", Mode.FAULT),
        ("fault.camera", Mode.DEGRADED),
        ("fault.frame_timeout", Mode.DEGRADED),
        ("limit.z_high", Mode.IDLE),
        ("timeout", Mode.IDLE),
    ],
)
def test_faults_lead_to_their_modes_with_an_alarm(error: str, mode: Mode) -> None:
    world = World().open()
    effects = world.ask("stage.move", z_um=3.0)
    command = next(effect.command.id for effect in effects if isinstance(effect, to_do.Submit))
    effects = world.hear(heard_of.CommandEnded(command, error=ErrorBody.of(error, "a test")))
    assert world.state.mode is mode
    alarms = [effect for effect in effects if isinstance(effect, to_do.Publish) and effect.topic == "v1.alarm."]
    assert bool(alarms) == (mode is not Mode.IDLE)


def test_a_silent_driver_becomes_a_fault_and_its_task_an_error() -> None:
    world = World().open()
    effects = world.ask("stage.move", z_um=3.0)
    timer = next(effect for effect in effects if isinstance(effect, to_do.SetTimer) and "silent" in effect.timer)
    task = answer(effects)["result"]["task"]
    world.hear(heard_of.TimerFired(timer.timer))
    assert world.state.mode is Mode.FAULT
    assert world.state.tasks[task].error is not None
    assert world.state.tasks[task].error.code == "fault.hardware_silent"


def test_resume_from_a_fault_waits_for_the_stage_to_answer() -> None:
    world = World().open()
    world.state = replace(world.state, mode=Mode.FAULT, reason="a test")
    effects = world.ask("resume")
    command = next(effect.command.id for effect in effects if isinstance(effect, to_do.Submit))
    assert world.state.mode is Mode.FAULT
    answered = world.hear(heard_of.CommandEnded(command, value=1.0))
    assert answer(answered)["result"] == {"state": "IDLE"}
    assert world.state.mode is Mode.IDLE


def test_numbers_on_a_topic_have_no_gap_and_ids_do_not_repeat() -> None:
    world = World().open()
    effects = [effect for k in range(50) for effect in world.ask("stop" if k % 2 else "resume")]
    seqs = [e.message["seq"] for e in effects if isinstance(e, to_do.Publish) and e.topic == "v1.state."]
    assert all(b == a + 1 for a, b in pairwise(seqs))  # type: ignore[operator]
    ids = [e.message["id"] for e in effects if isinstance(e, to_do.Publish | to_do.SendReply)]
    assert len(set(ids)) == len(ids)


def test_old_tasks_are_forgotten_with_their_topics() -> None:
    world = World().open()
    for _ in range(100):
        effects = world.ask("camera.snap")
        command = next(effect.command.id for effect in effects if isinstance(effect, to_do.Submit))
        world.hear(heard_of.CommandEnded(command, value="frame-1"))
    kept = world.state.settings.kept_tasks
    assert len(world.state.tasks) == kept
    assert sum(topic.startswith("v1.task.") for topic in world.state.topics) == kept
    assert world.state.pending == {}


@given(
    st.lists(st.sampled_from(["stop", "resume", "stage.move", "focus.run", "camera.snap", "task.list"]), max_size=30)
)
def test_no_order_of_requests_leaves_two_movers(ops: list[str]) -> None:
    world = World().open()
    for op in ops:
        params: dict[str, Any] = {"z_um": 1.0} if op == "stage.move" else {}
        world.ask(op, **params)
        movers = [
            task for task in world.state.tasks.values() if not task.ended and task.op in ("stage.move", "focus.run")
        ]
        assert len(movers) <= 1
        assert (world.state.claim is None) == (not movers)
        if world.state.mode is Mode.STOPPED:
            assert not movers
