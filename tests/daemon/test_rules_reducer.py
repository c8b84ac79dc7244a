"""Rules in the reducer: what they hear, what they say, what they have done, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscoped.daemon.config import ConfigError, parse_config
from microscoped.daemon.core import RulesView
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.protocol import ErrorBody
from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.record.codec import decode_state, encode_state, parse_json
from microscoped.daemon.rules import RuleSet
from microscoped.drivers import CameraSettings
from microscoped.drivers.commands import Configure, MoveTo, Snap
from microscoped.drivers.motion import Arrival
from tests.daemon.rules_world import Watch
from tests.daemon.test_reducer import World, answer, code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microscoped.daemon.core import Effect

EXPOSURE_MS = 10.0


class Watched(World):
    """A world with rules and frames."""

    def __init__(self, *rules: Mapping[str, Any], **more: Any) -> None:  # noqa: ANN401 - of a set of rules
        super().__init__()
        self.open()
        told = [{"name": f"rule_{at}", "action": {"do": "publish"}} | dict(rule) for at, rule in enumerate(rules)]
        assert code(self.ask("rules.set", rules=told, **more)) is None
        self.frames = 0

    def frame(self, command: str | None = None, exposure_ms: float = EXPOSURE_MS) -> tuple[Effect, ...]:
        """A frame comes."""
        self.frames += 1
        data = FrameData(
            frame=f"frame-{self.frames}",
            camera="Camera",
            shape=[64, 64],
            dtype="uint16",
            bit_depth=12,
            exposure_start_ns=self.number * 1_000_000,
            exposure_start_error_ns=0,
            exposure_ms=exposure_ms,
            z_um=0.0,
            z_source="readback",
            moving=False,
            number=self.frames,
            lost_before=0,
            streamed=command is None,
        )
        return self.hear(heard_of.FrameAdmitted(data, command))

    def score(self, score: float, request: str | None = None, frame: int | None = None) -> tuple[Effect, ...]:
        """The sharpness of the newest frame, or of another one."""
        name = f"frame-{frame or self.frames}"
        return self.hear(heard_of.MeasureEnded("sharpness", name, request, {"score": score, "error": 0.01}, 1.0))

    def see(self, score: float) -> tuple[Effect, ...]:
        """A frame comes and is measured."""
        return (*self.frame(), *self.score(score))


SHARP = {"name": "sharp", "when": "sharpness.score > 0.5"}


def events(effects: Sequence[Effect], topic: str = "v1.decision.") -> list[dict[str, Any]]:
    found = [one.message for one in effects if isinstance(one, to_do.Publish) and one.topic.startswith(topic)]
    return [dict(message) for message in found]


def kinds(effects: Sequence[Effect]) -> list[str]:
    return [event["data"]["kind"] for event in events(effects)]


def commands(effects: Sequence[Effect], kind: type) -> list[Any]:
    return [one.command for one in effects if isinstance(one, to_do.Submit) and isinstance(one.command, kind)]


def test_a_decision_names_the_measurement_and_the_frame_that_led_to_it() -> None:
    world = Watched(SHARP)
    assert kinds(world.see(0.4)) == []
    world.frame()
    effects = world.score(0.6)
    (measured,) = events(effects, "v1.measure.")
    (decision,) = events(effects)
    assert decision["topic"] == "v1.decision.sharp."
    assert decision["causes"] == [measured["id"], "frame-2"]
    assert decision["data"]["kind"] == "fired"
    assert decision["data"]["action"] == {"do": "publish", "note": ""}
    (value,) = decision["data"]["values"]
    assert (value["what"], value["low"], value["measurement"]) == ("sharpness.score", 0.6, measured["id"])
    assert kinds(world.see(0.7)) == []  # once
    assert kinds(world.see(0.3)) == ["released"]
    assert kinds(world.see(0.9)) == ["fired"]


def test_only_what_was_merely_offered_is_heard_also_where_the_frame_is_forgotten() -> None:
    world = Watched(SHARP)
    world.frame()
    assert kinds(world.score(0.9, request="for a search")) == []
    for _ in range(2 * world.state.settings.ring):
        world.frame()
        world.hear(heard_of.FrameSkipped("sharpness", f"frame-{world.frames}"))
    assert world.state.frame("frame-1") is None
    assert kinds(world.score(0.9, frame=1)) == ["fired"]  # it waited for the engine all the time
    assert world.state.engines["sharpness"].offered == ()


def test_a_hold_ends_by_its_timer() -> None:
    world = Watched({**SHARP, "hold_s": 0.003})
    effects = world.see(0.9)
    assert kinds(effects) == []
    (timer,) = (one for one in effects if isinstance(one, to_do.SetTimer) and one.timer == "rules")
    while world.number * 1_000_000 < timer.due_ns - 1_000_000:
        world.ask("ping")
    assert kinds(world.hear(heard_of.TimerFired("rules"))) == ["fired"]


def test_camera_and_move_and_focus_and_recording_are_done() -> None:
    world = Watched({**SHARP, "action": {"do": "camera", "exposure_ms": 4}})
    (change,) = commands(world.see(0.9), Configure)
    assert change.change == CameraSettings(exposure_ms=4.0)

    world = Watched({**SHARP, "action": {"do": "move", "z_um": 3, "relative": True}})
    effects = world.see(0.9)
    (decision,) = events(effects)
    (move,) = commands(effects, MoveTo)
    assert move.z_um == 3.0
    (task,) = events(effects, "v1.task.")
    assert (task["data"]["op"], task["causes"]) == ("stage.move", [decision["id"]])
    world.hear(heard_of.CommandEnded(move.id, Arrival(3.0, 3, True, 1, 3.0, 10.0, 5)))
    assert world.state.rules.acting == ()
    assert world.state.claim is None

    world = Watched({**SHARP, "action": {"do": "focus", "method": "search"}})
    (task,) = events(world.see(0.9), "v1.task.")
    assert task["data"]["op"] == "focus.run"

    world = Watched({**SHARP, "action": {"do": "record", "recording": "start"}})
    assert [one for one in world.see(0.9) if isinstance(one, to_do.StartRecording)]
    world.hear(heard_of.RecordingBegan("/x"))
    world.ask("rules.set", rules=[{**SHARP, "name": "other", "action": {"do": "record", "recording": "stop"}}])
    assert [one for one in world.see(0.9) if isinstance(one, to_do.StopRecording)]


MOVE = {**SHARP, "action": {"do": "move", "z_um": 3}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # a rule, and with which code it is refused
    "above the limits": ({**SHARP, "action": {"do": "move", "z_um": 21}}, "limit.z_high"),
    "nothing to stop": ({**SHARP, "action": {"do": "record", "recording": "stop"}}, "not_found"),
    "stopped": (MOVE, "stopped"),
    "camera while stopped": ({**SHARP, "action": {"do": "camera", "exposure_ms": 4}}, "stopped"),
    "leased": (MOVE, "busy"),
    "focus while leased": ({**SHARP, "action": {"do": "focus"}}, "busy"),
    "an operator moves": (MOVE, "busy"),
    "camera while focusing": ({**SHARP, "action": {"do": "camera", "exposure_ms": 4}}, "busy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_action_that_may_not_be_is_refused_and_said(name: str) -> None:
    rule, refused_with = REFUSED[name]
    world = Watched(rule)
    if "stopped" in name:
        world.ask("stop")
    elif "leased" in name:
        world.ask("stage.lease", name="Ada")
    elif "operator" in name:
        world.ask("stage.move", z_um=1)
    elif "focusing" in name:
        world.ask("focus.run", method="search")
    effects = world.see(0.9)
    fired, refused = events(effects)
    assert (fired["data"]["kind"], refused["data"]["kind"]) == ("fired", "refused")
    assert refused["data"]["error"]["code"] == refused_with
    assert refused["causes"] == [fired["id"]]
    assert not commands(effects, MoveTo)
    assert not commands(effects, Configure)
    assert world.state.rules.acting == ()


def test_an_operator_takes_the_stage_from_a_rule() -> None:
    world = Watched(MOVE)
    effects = world.see(0.9)
    (task,) = events(effects, "v1.task.")
    assert answer(world.ask("stage.move", z_um=-2))["ok"]
    assert world.state.tasks[task["data"]["task"]].state == "preempted"
    assert world.state.rules.acting == ()


def test_stop_ends_what_a_rule_has_begun() -> None:
    world = Watched(MOVE)
    world.see(0.9)
    world.ask("stop")
    assert all(task.ended for task in world.state.tasks.values())
    assert world.state.rules.acting == ()


def test_light_is_charged_to_the_action_that_it_is_for() -> None:
    action = {"do": "focus", "method": "search", "dose_ms_most": 100}
    rule = {**SHARP, "repeat": True, "cool_down_s": 0.001, "budget": {"dose_ms_per_h": 110}, "action": action}
    world = Watched(rule, {"name": "quiet", "when": "sharpness.score < 0"}, dose_ms_per_h=1000)
    effects = world.see(0.9)
    (charge,) = world.state.rules.known.rules["sharp"].charges  # type: ignore[union-attr] # it watches
    assert charge.dose_ms == 100.0  # set aside
    (move,) = commands(effects, MoveTo)
    (snap,) = commands(world.hear(heard_of.CommandEnded(move.id, Arrival(-8.0, -8, True, 1, 8.0, 10.0, 5))), Snap)
    world.frame(snap.id)
    world.hear(heard_of.CommandEnded(snap.id, None, ErrorBody.of("fault.camera", "it failed")))
    (charge,) = world.state.rules.known.rules["sharp"].charges  # type: ignore[union-attr] # as above
    assert charge.dose_ms == 2 * EXPOSURE_MS  # one came, another one may have been exposed
    light = world.state.rules.known.light  # type: ignore[union-attr] # as above
    assert sum(slot.total for slot in light.slots) == EXPOSURE_MS  # the streamed frame before
    listed = answer(world.ask("rules.list"))["result"]["rules"]
    assert {rule["rule"]["name"]: rule["dose_ms_h"] for rule in listed} == {"sharp": 20.0, "quiet": 0.0}


def test_a_camera_that_a_rule_has_changed_goes_back_when_its_light_is_used_up() -> None:
    action = {"do": "camera", "exposure_ms": 40, "dose_ms_most": 100}
    world = Watched({**SHARP, "budget": {"dose_ms_per_h": 150}, "action": action})
    (change,) = commands(world.see(0.9), Configure)
    world.hear(heard_of.CommandEnded(change.id, CameraSettings(exposure_ms=40.0)))
    assert not commands(world.frame(exposure_ms=40.0), Configure)
    (back,) = commands(world.frame(exposure_ms=40.0), Configure)  # a third one would be beyond
    assert back.change == CameraSettings(exposure_ms=10.0)
    (charge,) = world.state.rules.known.rules["sharp"].charges  # type: ignore[union-attr] # it watches
    assert charge.dose_ms == 80.0
    assert charge.ended_ns is not None


def test_a_frame_rate_goes_back_with_the_exposure_when_the_light_is_used_up() -> None:
    action = {"do": "camera", "fps": 25, "exposure_ms": 40, "dose_ms_most": 100}
    world = Watched({**SHARP, "action": action})
    world.hear(heard_of.CommandEnded(commands(world.ask("camera.set", fps=2), Configure)[0].id, CameraSettings()))
    world.hear(heard_of.CommandEnded(commands(world.ask("camera.set", fps="free"), Configure)[0].id, CameraSettings()))
    (change,) = commands(world.see(0.9), Configure)
    assert (change.change, change.fps) == (CameraSettings(exposure_ms=40.0), 25)
    # What waits for the camera, and what it goes back to, is in the journal, too.
    assert decode_state(parse_json(b"".join(encode_state(world.state)))) == world.state
    world.hear(heard_of.CommandEnded(change.id, CameraSettings(exposure_ms=40.0)))
    assert world.state.camera.fps == 25
    world.frame(exposure_ms=40.0)
    world.ask("focus.run", method="search")  # somebody focuses meanwhile: the light ends all the same
    (back,) = commands(world.frame(exposure_ms=40.0), Configure)
    assert back.fps == "free"


def test_a_frame_rate_is_set_while_the_focus_is_looked_for() -> None:
    world = Watched({**SHARP, "action": {"do": "camera", "fps": 25}})
    world.ask("focus.run", method="search")
    effects = world.see(0.9)
    assert kinds(effects) == ["fired"]
    (change,) = commands(effects, Configure)
    assert (change.change, change.fps) == (CameraSettings(), 25)


def test_a_change_that_the_camera_does_not_take_is_said() -> None:
    world = Watched({**SHARP, "action": {"do": "camera", "exposure_ms": 4}})
    (change,) = commands(world.see(0.9), Configure)
    error = ErrorBody.of("invalid", "exposure_ms 4: this camera has 10 ms at least")
    (decision,) = events(world.hear(heard_of.CommandEnded(change.id, None, error)))
    assert (decision["data"]["kind"], decision["data"]["error"]["detail"]) == ("refused", error.detail)
    assert world.state.rules.acting == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=20, max_size=60))
def test_limits_cool_downs_and_budgets_hold_whatever_is_measured(measured: list[tuple[float, bool]]) -> None:
    move = {"do": "move", "z_um": 3, "relative": True}
    shine = {"do": "camera", "exposure_ms": 20, "dose_ms_most": 50}
    world = Watched(
        {**SHARP, "repeat": True, "cool_down_s": 0.005, "budget": {"per_h": 12}, "action": move},
        {"name": "bright", "when": "sharpness.score < 0.3", "budget": {"dose_ms_per_h": 120}, "action": shine},
    )
    fired_ns: dict[str, list[int]] = {"sharp": [], "bright": []}
    exposure_ms, bright_ms = EXPOSURE_MS, 0.0
    for score, late in measured:
        bright_ms += exposure_ms if any(one.rule == "bright" for one in world.state.rules.acting) else 0.0
        effects = (*world.frame(exposure_ms=exposure_ms), *world.score(score))
        for event in events(effects):
            if event["data"]["kind"] == "fired":
                fired_ns[event["data"]["rule"]].append(event["mono_ns"])
        for change in commands(effects, Configure):
            exposure_ms = change.change.exposure_ms
            world.hear(heard_of.CommandEnded(change.id, CameraSettings(exposure_ms=exposure_ms)))
        for command in commands(effects, MoveTo):
            assert -20 <= command.z_um <= 20
            if late:
                world.ask("ping")
            arrival = Arrival(command.z_um, command.z_um, True, 1, 3.0, 10.0, 5)
            world.hear(heard_of.CommandEnded(command.id, arrival))
    assert len(fired_ns["sharp"]) <= 12
    assert all(later - one >= 5_000_000 for one, later in pairwise(fired_ns["sharp"]))
    assert bright_ms <= 120


def test_a_release_ends_the_account_of_a_changed_camera() -> None:
    world = Watched({**SHARP, "budget": {"per_h": 1}, "action": {"do": "camera", "exposure_ms": 4}})
    world.see(0.9)
    assert len(world.state.rules.acting) == 1
    assert kinds(world.see(0.1)) == ["released"]
    assert world.state.rules.acting == ()
    (decision,) = events(world.see(0.9))
    assert (decision["data"]["kind"], decision["data"]["by"]) == ("suppressed", "budget")


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    # a rule, where it is wrong, and a word of what is said
    "a name that there is not": ({**SHARP, "when": "cells.cuont > 3"}, "rules.sharp.when", "did you mean"),
    "no condition": ({"name": "x", "action": {"do": "publish"}}, "rules.x.when", "is required"),
    "too many exposures a second": (
        {**SHARP, "action": {"do": "camera", "fps": 101, "exposure_ms": 10}},
        "rules.sharp.action",
        "do not fit",
    ),
    "an unknown key": ({**SHARP, "cooldown": 3}, "rules.sharp.cooldown", "no such key"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_rule_is_refused_with_its_place_and_the_others_stay(name: str) -> None:
    rule, place, word = BAD[name]
    world = Watched(SHARP)
    effects = world.ask("rules.set", rules=[{"action": {"do": "publish"}, **rule}])
    error = answer(effects)["error"]
    assert error["code"] == "invalid"
    (problem,) = error["data"]["problems"]
    assert problem["place"] == place
    assert word in problem["detail"]
    if name == "a name that there is not":
        assert problem["picture"] == "cells.cuont > 3\n^"
        assert problem["picture"].split("\n")[0] in error["detail"]
    assert [rule["rule"]["name"] for rule in answer(world.ask("rules.list"))["result"]["rules"]] == ["sharp"]


def test_rules_that_are_cleared_decide_no_more_and_new_ones_keep_what_was_spent() -> None:
    world = Watched({**SHARP, "cool_down_s": 60})
    world.see(0.9)
    world.ask("rules.set", rules=[{**SHARP, "cool_down_s": 60, "action": {"do": "publish", "note": "again"}}])
    (decision,) = events(world.see(0.9))
    assert (decision["data"]["kind"], decision["data"]["by"]) == ("suppressed", "cool_down")
    (told,) = answer(world.ask("rules.list"))["result"]["rules"]
    assert (told["phase"], told["blocked"]) == ("due", "cool_down")
    assert told["fired_ago_s"] > 0
    assert answer(world.ask("rules.clear"))["result"]["rules"] == []
    assert kinds(world.see(0.9)) == []


def test_new_rules_are_looked_at_at_once_whatever_is_silent() -> None:
    world = Watched(SHARP)
    world.see(0.4)
    world.number += 60_000  # milliseconds
    rule = {"name": "silent", "when": "age(sharpness) > 30 s", "action": {"do": "publish"}}
    assert kinds(world.ask("rules.set", rules=[rule])) == ["fired"]


def test_cells_are_told_with_the_columns_that_rules_read() -> None:
    world = Watched({**SHARP, "when": "any(cells, rate(area_um2, over 60 s) < -1 um2/s and max_opd_nm > 100)"})
    from microscoped.daemon.core.handlers import cells
    from microscoped.daemon.core.turn import Turn

    world.frame()
    frame = world.state.newest_frame()
    assert frame is not None
    turn = Turn(world.state, heard_of.Now(1, 1, ""))
    assert cells.options_of(turn, frame)["columns"] == ["area_um2", "max_opd_nm", "track"]
    world.ask("rules.clear")
    assert "columns" not in cells.options_of(Turn(world.state, heard_of.Now(1, 1, "")), frame)


def test_a_state_that_was_written_down_decides_the_same() -> None:
    action = {"do": "focus", "method": "search", "dose_ms_most": 100}
    window = "sharpness.score < 0.8 * quantile(sharpness.score, 0.9, over 0.02 s)"
    world = Watched(
        {"name": "blurred", "when": window, "cool_down_s": 0.01, "budget": {"per_h": 3}, "action": action},
        {"name": "often", "when": "count(sharpness.score > 0.5, over 0.02 s) >= 3", "band": 1},
        dose_ms_per_h=2000,
    )
    decided: list[str] = []
    again = Watched()
    for at in range(120):
        score = 0.9 if at % 9 else 0.2
        again.state = decode_state(parse_json(b"".join(encode_state(world.state))))
        again.number, again.frames = world.number, world.frames
        assert again.state == world.state
        effects = world.see(score)
        assert again.see(score) == effects
        assert again.state == world.state
        decided += kinds(effects)
    assert decided.count("fired") >= 3
    assert "suppressed" in decided


def test_the_past_of_cells_is_written_down_as_it_is() -> None:
    rule = {"name": "thin", "when": "any(cells, rate(area_um2, over 60 s) < -1 um2/s)", "action": {"do": "publish"}}
    watch = Watch(rule)
    for at_s in range(0, 60, 5):
        watch.measure(at_s, cells=[{"track": 1, "area_um2": 400.0 - at_s}, {"track": 2, "area_um2": None}])
    world = World()
    view = RulesView(RuleSet.model_validate({"rules": [rule]}), watch.state)
    state = replace(world.state, rules=view)
    assert watch.state.tracks
    assert decode_state(parse_json(b"".join(encode_state(state)))) == state


CONFIG = """\
optics: {na: 0.5, wavelength_nm: 550, pixel_size_um: 0.325}
dose_ms_per_h: 1000
rules:
  - name: fine
    when: sharpness.score > 0.5
    action: {do: publish}
  - name: wrong
    when: sharpness.scor > 0.5
    action: {do: publish}
"""


def test_a_bad_rule_in_the_configuration_is_shown_where_it_stands() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(CONFIG, "scope.yaml")
    first, picture, caret = str(refused.value).split("\n")
    assert first.startswith("scope.yaml:8: rules.1.when: rules.wrong.when, line 1, column 1: ")
    assert "did you mean sharpness.score" in first
    assert (picture.strip(), caret.strip()) == ("sharpness.scor > 0.5", "^")
    good = parse_config(CONFIG.replace("scor >", "score >"))
    assert [rule.name for rule in good.rule_set.rules] == ["fine", "wrong"]
    assert good.rule_set.dose_ms_per_h == 1000
    assert parse_config("rules:\ndose_ms_per_h:\n").rules == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: [{name: a, when: 'frame.moving'}]", "rules.0.action: is required"),
        ("rules: 3", "rules = 3"),
        ("dose_ms_per_h: -1", "dose_ms_per_h = -1"),
        (
            "rules: [{name: a, when: frame.moving, action: {do: publish}}, {name: a, when: frame.moving, "
            "action: {do: publish}}]",
            "two rules have the name a",
        ),
    ],
)
def test_a_configuration_says_what_is_wrong_with_its_rules(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config(text)
