"""What SAFE means to the reducer: a daemon that was started again after a crash."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.core import Mode, Now, Peer, State, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.protocol import Request
from microscoped.daemon.settings import core_settings
from microscoped.drivers import CameraInfo, CameraSettings, FocusDirection
from microscoped.drivers.commands import StartStream
from microscoped.simulators import SimulatedMicroscope, StageModel

if TYPE_CHECKING:
    from microscoped.daemon.core import Effect, Input
    from microscoped.simulators.brightfield import BrightfieldScene

REASON = "the daemon crashed at noon"
CONFIG: dict[str, Any] = {
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
    "camera": {"stream_at_start": True},
    "network": dict.fromkeys(("control", "events", "frames"), "tcp://127.0.0.1:*"),
}
OPENED = heard_of.HardwareOpened(
    CameraInfo("Camera", 64, 64, 1, "uint16", 12), CameraSettings(), "Z", 4.0, FocusDirection.TOWARD_SAMPLE, {}
)


def request(op: str, **params: Any) -> Input:  # noqa: ANN401 - whatever an op takes
    asked = Request(v="1.0", id=uuid.uuid4(), type="request", op=op, params=params)
    return heard_of.RequestReceived(Peer(b"client"), asked)


def live(*inputs: Input) -> tuple[State, list[Effect], list[list[Effect]]]:
    """Hear inputs in turn; return the last state, all effects, and the effects of each."""
    state = State(settings=core_settings(Config.model_validate(CONFIG), {}), session=str(uuid.UUID(int=1)), began_ns=0)
    each: list[list[Effect]] = []
    for number, heard in enumerate(inputs, 1):
        state, effects = step(state, heard, Now(number, number, "2026-01-01T00:00:00.000000+00:00"))
        each.append(list(effects))
    return state, [effect for effects in each for effect in effects], each


def streams(effects: list[Effect]) -> bool:
    return any(isinstance(effect, to_do.Submit) and isinstance(effect.command, StartStream) for effect in effects)


def test_a_daemon_that_was_restarted_says_so_and_stays_in_safe_when_the_microscope_is_open() -> None:
    state, effects, _ = live(heard_of.StartedSafe(REASON), OPENED)
    assert (state.mode, state.reason) == (Mode.SAFE, REASON)
    told = {effect.topic: effect.message["data"] for effect in effects if isinstance(effect, to_do.Publish)}
    assert told["v1.alarm."] == {**dict(told["v1.alarm."]), "code": "supervisor.restarted", "detail": REASON}  # type: ignore[arg-type] # JSON
    assert told["v1.state."] == {**dict(told["v1.state."]), "state": "SAFE", "reason": REASON, "z_um": 4.0}  # type: ignore[arg-type] # JSON


def test_a_stage_that_a_former_life_set_in_motion_is_halted_and_the_camera_stays_off() -> None:
    _, effects, _ = live(heard_of.StartedSafe(REASON), OPENED)
    assert to_do.HaltStage() in effects
    assert not streams(effects)


@pytest.mark.parametrize(("op", "params"), [("stage.move", {"z_um": 5.0}), ("focus.run", {})])
def test_nothing_moves_in_safe(op: str, params: dict[str, Any]) -> None:
    state, _, each = live(heard_of.StartedSafe(REASON), OPENED, request(op, **params))
    (reply,) = each[-1]
    assert isinstance(reply, to_do.SendReply)
    assert reply.message["ok"] is False
    assert REASON in str(reply.message["error"])
    assert state.mode is Mode.SAFE


def test_resume_allows_motion_and_begins_what_waited() -> None:
    state, _, each = live(heard_of.StartedSafe(REASON), OPENED, request("resume"))
    assert to_do.AllowMotion() in each[-1]
    assert streams(each[-1])
    assert state.mode is Mode.IDLE


def test_resume_before_the_microscope_is_open_makes_it_an_ordinary_start() -> None:
    state, _, each = live(heard_of.StartedSafe(REASON), request("resume"), OPENED)
    assert streams(each[-1])
    assert to_do.HaltStage() not in each[-1]
    assert state.mode is Mode.IDLE


def test_a_client_may_look_in_safe() -> None:
    _, _, each = live(heard_of.StartedSafe(REASON), OPENED, request("camera.start"))
    assert streams(each[-1])


def test_the_reason_is_the_first_thing_that_the_loop_hears(small_scene: BrightfieldScene) -> None:
    heard: list[Input] = []
    microscope = SimulatedMicroscope(small_scene, StageModel(start_um=4.0))

    def note(item: Input, _now: Now, _effects: tuple[Effect, ...]) -> None:
        heard.append(item)

    daemon = Daemon(Config.model_validate(CONFIG), microscope=microscope, watch=note, safe_reason=REASON)
    daemon.shut_down("the test is over")
    assert daemon.run() == 0
    assert heard[0] == heard_of.StartedSafe(REASON)
