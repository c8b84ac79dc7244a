"""The protocol's schema: made, committed, complete; and the rule by which a change must raise the version."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ConfigDict

from microscoped.daemon.core.effects import Publish, SendReply
from microscoped.daemon.protocol import OPS, VERSION, AlarmCode, ErrorCode, Event, Reply
from microscoped.daemon.protocol.schema import Level, build, compare, digest, problems, shipped, to_text
from microscoped.daemon.protocol.schema import versions as guard
from microscoped.daemon.protocol.schema.build import REF, TOPICS
from microscoped.daemon.protocol.schema.docstrings import UndocumentedFieldError, meanings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from microscoped.daemon.client import Scope
    from microscoped.daemon.core import Effect, Input, Now
    from tests.conftest import Rig

    Node = dict[str, Any]
    Edit = Callable[[Node], object]

REMEDY = "run `python -m microscoped.daemon schema --write`"


# --- the document ----------------------------------------------------------------------------------------------------


def test_the_committed_schema_is_that_of_the_models() -> None:
    assert shipped() == to_text(build()), REMEDY


def test_the_version_of_the_protocol_covers_its_schema() -> None:
    assert problems(VERSION, build(), guard.read_lock(), guard.read_released()) == []


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for part in node.values():
            yield from references(part)
    elif isinstance(node, list):
        for part in node:
            yield from references(part)


def test_every_reference_leads_somewhere_and_every_definition_is_used() -> None:
    document = build()
    used = {name.removeprefix(REF) for name in references(document)}
    assert used - set(document["$defs"]) == set()
    assert set(document["$defs"]) - used <= {"DryRun", "TopicValue"}


def test_ops_topics_and_codes_are_all_there() -> None:
    registry = build()["x-microscoped"]
    assert set(registry["ops"]) == set(OPS)
    assert set(registry["errors"]) == set(ErrorCode)
    assert set(registry["alarms"]) == set(AlarmCode)
    assert all(words for entry in registry["alarms"].values() for words in entry.values())


def test_what_is_read_is_closed_and_what_is_sent_is_open() -> None:
    document = build()
    read = {"Request", *(op.params.__name__ for op in OPS.values())}
    for name, node in document["$defs"].items():
        assert (node.get("additionalProperties") is False) == (name in read), name


def test_only_words_of_json_schema_are_used() -> None:
    """Pydantic writes bounds of unions as gt and le, which no validator knows."""
    words = {
        "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "description", "enum", "exclusiveMinimum",
        "format", "if", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "pattern",
        "prefixItems", "properties", "required", "then", "type",
    }  # fmt: skip

    def check(node: Any) -> None:  # noqa: ANN401 - any part of a schema
        if isinstance(node, list):
            for part in node:
                check(part)
        elif isinstance(node, dict):
            assert set(node) <= words, set(node) - words
            for key, part in node.items():
                if key == "properties":
                    check(list(part.values()))
                elif key not in ("default", "const", "enum", "required"):
                    check(part)

    check(list(build()["$defs"].values()))


def test_a_field_without_a_meaning_is_not_let_through() -> None:
    class Silent(BaseModel):
        """A model.

        Parameters
        ----------
        known
            What it is.
        """

        known: int
        unknown: int

    with pytest.raises(UndocumentedFieldError, match="Silent: unknown"):
        meanings(Silent)


def hold_once(scope: Scope) -> dict[str, Any]:
    """Hold the focus until it was found once; return what is reported at the end."""
    task = scope.request("focus.hold", every_s=3600, method="search")["task"]
    while not scope.request("task.get", task=task)["task"]["progress"].get("rounds"):
        pass
    scope.request("focus.release")
    return scope.wait(task)


def test_what_a_daemon_says_is_what_the_schema_promises(start_rig: Callable[..., Rig]) -> None:
    """Every reply, event and outcome of a life with moves, snaps and a search, against the closed models."""
    said: list[Effect] = []

    def watch(_heard: Input, _now: Now, effects: tuple[Effect, ...]) -> None:
        said.extend(effects)

    running = start_rig(watch=watch)
    scope = running.scope
    outcomes = {
        "stage.move": scope.run("stage.move", z_um=2.0),
        "camera.snap": scope.run("camera.snap"),
        "focus.run": scope.run("focus.run"),
        "focus.hold": hold_once(scope),
        "acquire.run": scope.run("acquire.run", sequence={"z_plan": {"relative": [0, 1]}}),
    }
    # A calibration takes larger frames and longer: tests/daemon/test_calibrate_wire.py compares its outcome.
    assert {*outcomes, "calibrate.run"} == {name for name, op in OPS.items() if op.outcome}
    for name, outcome in outcomes.items():
        model = OPS[name].outcome
        assert model is not None
        model.model_validate(outcome)
    token = scope.request("stage.lease", name="Ada")["token"]
    scope.request("stage.release", token=token)
    answers: dict[str, dict[str, Any]] = {"stage.lease": {"token": token, "ttl_s": 30.0}}
    for name in ("camera.start", "camera.set", "hello", "ping", "status", "describe", "snapshot", "stage.position"):
        answers[name] = scope.request(name, **({"exposure_ms": 5.0} if name == "camera.set" else {}))
    answers["frame.get"] = scope.request("frame.get", wait_ms=2000)
    answers["events.since"] = scope.request("events.since", topic="v1.state.", seq=0)
    answers["task.list"] = scope.request("task.list")
    answers["task.get"] = scope.request("task.get", task=answers["task.list"]["tasks"][0]["task"])
    for name in ("camera.stop", "stop", "resume"):
        answers[name] = scope.request(name)
    for name, answer in answers.items():
        OPS[name].result.model_validate(answer)
        assert set(answer) == set(OPS[name].result.model_fields), name
    seen = set()
    for effect in said:
        if isinstance(effect, SendReply):
            Reply.model_validate(effect.message)
        elif isinstance(effect, Publish):
            event = Event.model_validate(effect.message)
            (topic,) = (known for known in TOPICS if event.topic.startswith(known.partition("<")[0]))
            TOPICS[topic][0].model_validate(event.data)
            seen.add(topic)
    assert {"v1.state.", "v1.frame.<camera>.", "v1.measure.<engine>.", "v1.task.<task>."} <= seen


# --- what a change demands -------------------------------------------------------------------------------------------


def at(*path: str | int) -> Callable[[Node], Any]:
    def find(document: Node) -> Any:  # noqa: ANN401 - a part of the document
        for step in path:
            document = document[step]  # type: ignore[index]
        return document

    return find


def put(*path: str | int, value: object) -> Edit:
    return lambda document: at(*path[:-1])(document).__setitem__(path[-1], value)


def drop(*path: str | int) -> Edit:
    return lambda document: at(*path[:-1])(document).__delitem__(path[-1])


MOVE = ("$defs", "MoveParams")
PING = ("$defs", "PingResult")
OP = ("x-microscoped", "ops", "stage.move")
PING_OP = {"summary": "", "class": "read", "scope": "read", "scope_with_keys": "read", "dry_run": False}
PING_OP |= {"params": {"$ref": REF + "Empty"}, "result": {"$ref": REF + "PingResult"}}  # type: ignore[dict-item]

MORE_METHODS = {"enum": ["auto", "pair", "search", "guess"], "type": "string", "default": "auto"}
ONE_EXTREMUM = {"anyOf": [{"enum": ["max"], "type": "string"}, {"type": "null"}], "default": None}

CHANGES: dict[str, tuple[Edit, Level]] = {
    "nothing": (lambda _: None, Level.NONE),
    "another description": (put(*MOVE, "properties", "z_um", "description", value="x"), Level.NONE),
    "another summary": (put(*OP, "summary", value="x"), Level.NONE),
    "another remedy": (put("x-microscoped", "alarms", "fault", "remedy", value="x"), Level.NONE),
    # ops
    "an op more": (put("x-microscoped", "ops", "rule.list", value=PING_OP), Level.MINOR),
    "an op less": (drop("x-microscoped", "ops", "ping"), Level.MAJOR),
    "an op for fewer": (put(*OP, "scope", value="admin"), Level.MAJOR),
    "an op for fewer with keys": (put(*OP, "scope_with_keys", value="admin"), Level.MAJOR),
    "an op for more": (put(*OP, "scope", value="read"), Level.MINOR),
    "an op of another class": (put(*OP, "class", value="camera"), Level.MAJOR),
    "dry_run where there was none": (put("x-microscoped", "ops", "ping", "dry_run", value=True), Level.MINOR),
    "dry_run no more": (put(*OP, "dry_run", value=False), Level.MAJOR),
    "an outcome no more": (drop(*OP, "outcome"), Level.MAJOR),
    "an outcome of another kind no more": (
        drop("x-microscoped", "ops", "calibrate.run", "other_outcomes", "what: hologram"),
        Level.MAJOR,
    ),
    "an outcome of another kind more": (
        put(*OP, "other_outcomes", value={"relative: true": {"$ref": "#/$defs/MoveOutcome"}}),
        Level.MINOR,
    ),
    # parameters
    "an optional parameter more": (put(*MOVE, "properties", "speed", value={"type": "number"}), Level.MINOR),
    "a parameter less": (drop(*MOVE, "properties", "relative"), Level.MAJOR),
    "a parameter required that was not": (put(*MOVE, "required", value=["z_um", "relative"]), Level.MAJOR),
    "a parameter optional that was required": (put(*MOVE, "required", value=[]), Level.MINOR),
    "a required parameter more": (
        lambda d: (
            put(*MOVE, "properties", "speed", value={"type": "number"})(d),
            put(*MOVE, "required", value=["z_um", "speed"])(d),
        ),
        Level.MAJOR,
    ),
    "a number that must be an integer": (put(*MOVE, "properties", "z_um", "type", value="integer"), Level.MAJOR),
    "an integer that may be any number": (
        put("$defs", "EventsSinceParams", "properties", "seq", "type", value="number"),
        Level.MINOR,
    ),
    "a number that must be text": (put(*MOVE, "properties", "z_um", "type", value="string"), Level.MAJOR),
    "a lower bound more": (put(*MOVE, "properties", "z_um", "minimum", value=0), Level.MAJOR),
    "an upper bound lower": (
        put("$defs", "TaskGetParams", "properties", "wait_ms", "maximum", value=1000),
        Level.MAJOR,
    ),
    "an upper bound higher": (
        put("$defs", "TaskGetParams", "properties", "wait_ms", "maximum", value=100_000),
        Level.MINOR,
    ),
    "text that must be shorter": (put("$defs", "LeaseParams", "properties", "name", "maxLength", value=8), Level.MAJOR),
    "a list that may be longer": (
        put("$defs", "SnapshotParams", "properties", "topics", "maxItems", value=128),
        Level.MINOR,
    ),
    "another default": (put("$defs", "LeaseParams", "properties", "ttl_s", "default", value=5.0), Level.MAJOR),
    "null no more": (
        put("$defs", "FocusRunParams", "properties", "metric", value={"type": "string", "maxLength": 128}),
        Level.MAJOR,
    ),
    "a choice more": (
        put("$defs", "FocusRunParams", "properties", "method", value=MORE_METHODS),
        Level.MINOR,
    ),
    "a choice less": (
        put("$defs", "FocusRunParams", "properties", "extremum", value=ONE_EXTREMUM),
        Level.MAJOR,
    ),
    "a field of requests more": (put("$defs", "Request", "properties", "trace", value={"type": "string"}), Level.MINOR),
    "a field of requests less": (drop("$defs", "Request", "properties", "lease"), Level.MAJOR),
    # what is sent
    "a field of a result more": (put(*PING, "properties", "load", value={"type": "number"}), Level.MINOR),
    "a field of a result less": (drop(*PING, "properties", "state"), Level.MAJOR),
    "a field of a result not always there": (put(*PING, "required", value=["session"]), Level.MAJOR),
    "a result that may be null": (
        put(*PING, "properties", "uptime_s", value={"anyOf": [{"type": "number"}, {"type": "null"}]}),
        Level.MAJOR,
    ),
    "a result that is null no more": (
        put("$defs", "StopResult", "properties", "issue_ms", value={"type": "number"}),
        Level.MINOR,
    ),
    "a state of tasks more": (
        lambda d: d["$defs"]["TaskData"]["properties"]["state"]["enum"].append("paused"),
        Level.MAJOR,
    ),
    "a field of events less": (drop("$defs", "Event", "properties", "causes"), Level.MAJOR),
    "a field deep in a result less": (drop("$defs", "FrameData", "properties", "moving"), Level.MAJOR),
    "a field of a topic more": (put("$defs", "StateData", "properties", "x", value={"type": "string"}), Level.MINOR),
    # codes, topics, limits
    "an error code more": (
        lambda d: (
            put("x-microscoped", "errors", "quota", value={"title": "", "retryable": False})(d),
            d["$defs"]["ErrorBody"]["properties"]["code"]["enum"].append("quota"),
        ),
        Level.MINOR,
    ),
    "an error code less": (drop("x-microscoped", "errors", "busy"), Level.MAJOR),
    "an error that is not retryable any more": (
        put("x-microscoped", "errors", "busy", "retryable", value=False),
        Level.MAJOR,
    ),
    "an alarm more": (put("x-microscoped", "alarms", "disk.low", value={"cause": "", "remedy": ""}), Level.MINOR),
    "an alarm less": (drop("x-microscoped", "alarms", "fault"), Level.MAJOR),
    "a topic less": (drop("x-microscoped", "topics", "v1.alarm."), Level.MAJOR),
    "a lower limit": (put("x-microscoped", "limits", "json_bytes", value=10), Level.MAJOR),
    "a higher limit": (put("x-microscoped", "limits", "json_bytes", value=10**9), Level.MINOR),
}


@pytest.fixture(scope="module")
def document() -> Node:
    return build()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_as_much_as_it_breaks(name: str, document: Node) -> None:
    edit, level = CHANGES[name]
    changed = copy.deepcopy(document)
    edit(changed)
    found = compare(document, changed)
    assert max((change.level for change in found), default=Level.NONE) == level, found
    assert (digest(changed) == digest(document)) == (level is Level.NONE)


def lock(released: Node, now: Node, version: str) -> Node:
    entries = {"1.0": {"released": True, "sha256": digest(released)}}
    return {**entries, version: {"released": version == "1.0", "sha256": digest(released if version == "1.0" else now)}}


RULES = [
    # what changes, the version that it is given, whether that will do
    ("nothing", "1.0", True),
    ("another description", "1.0", True),
    ("an op more", "1.0", False),
    ("an op less", "1.0", False),
    ("an op more", "1.1", True),
    ("an error code more", "1.1", True),
    ("an op less", "1.1", False),
    ("a field of a result less", "1.1", False),
    ("a required parameter more", "1.1", False),
    ("an op less", "2.0", True),
    ("a required parameter more", "2.0", True),
]


@pytest.mark.parametrize(("change", "version", "allowed"), RULES)
def test_a_released_version_never_changes_and_a_number_rises_as_the_change_demands(
    change: str, version: str, allowed: bool, document: Node
) -> None:
    changed = copy.deepcopy(document)
    CHANGES[change][0](changed)
    found = problems(version, changed, lock(document, changed, version), {"1.0": document})
    assert (found == []) == allowed, found


def test_a_released_document_that_was_touched_or_lost_is_noticed(document: Node) -> None:
    touched = copy.deepcopy(document)
    drop("x-microscoped", "ops", "ping")(touched)
    entries = lock(document, document, "1.1")
    assert "missing or was changed" in problems("1.1", document, entries, {"1.0": touched})[0]
    assert "missing or was changed" in problems("1.1", document, entries, {})[0]


def test_a_version_that_is_not_released_is_written_anew_and_a_released_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: Node
) -> None:
    monkeypatch.setattr(guard, "FOLDER", tmp_path)
    (tmp_path / guard.LOCK).write_text(json.dumps({VERSION: {"released": False, "sha256": "old"}}))
    guard.write()
    assert (tmp_path / guard.FILE).read_text(encoding="utf-8") == shipped()
    assert guard.read_lock()[VERSION]["sha256"] == digest(document)
    (tmp_path / guard.LOCK).write_text(json.dumps({VERSION: {"released": True, "sha256": "old"}}))
    (tmp_path / guard.FILE).write_text("untouched")
    with pytest.raises(guard.UnversionedChangeError, match="raise VERSION"):
        guard.write()
    assert (tmp_path / guard.FILE).read_text() == "untouched"


def test_models_that_cross_the_border_are_frozen_and_closed() -> None:
    models = {model for op in OPS.values() for model in (op.params, op.result, *op.outcomes)}
    for model in models | {model for model, _ in TOPICS.values()}:
        config: ConfigDict = model.model_config
        assert config.get("frozen"), model
        assert config.get("extra") == "forbid", model
