"""Makes the schema document from the registry of ops, the models of events, and the lists of codes.

JSON Schema draft 2020-12. What the daemon reads is closed (``additionalProperties: false``); what it sends is open,
because a client tolerates fields that a later minor version adds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from microscoped.daemon.protocol.alarms import GUIDE, AlarmCode
from microscoped.daemon.protocol.envelope import VERSION, Event, Reply, Request
from microscoped.daemon.protocol.errors import RETRYABLE, TITLES, ErrorBody, ErrorCode
from microscoped.daemon.protocol.events import (
    AcquiredData,
    AlarmData,
    CauseData,
    DecisionData,
    FrameData,
    HeartbeatData,
    LogData,
    MeasureData,
    PartData,
    StateData,
    TaskData,
)
from microscoped.daemon.protocol.instrument import (
    CameraFacts,
    CameraInfoData,
    CameraSettingsData,
    CameraStatus,
    CellsFacts,
    EngineStatus,
    FocusFacts,
    HologramFacts,
    OpticsFacts,
    PairFacts,
    RecordingStatus,
    RuleStatus,
    StageFacts,
    StageStatus,
)
from microscoped.daemon.protocol.ops import OPS, DryRun, OpClass, Scope, TopicValue
from microscoped.daemon.protocol.outcomes import HologramOutcome, PairData
from microscoped.daemon.protocol.schema.docstrings import meanings, summary
from microscoped.daemon.protocol.strict_json import MAX_BYTES, MAX_DEPTH

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model: TypeAlias = type[BaseModel]

Node: TypeAlias = "dict[str, Any]"

TOPICS: dict[str, tuple[Model, str]] = {
    "v1.state.": (StateData, "Whenever the daemon's state, the resting stage, stream, lease or recording changes"),
    "v1.frame.<camera>.": (FrameData, "Each frame's header; its pixels go over the socket `frames`"),
    "v1.measure.<engine>.": (
        MeasureData,
        "Each measurement, and each frame that an engine skipped; with its binary parts, if any, over `frames`, too",
    ),
    "v1.decision.<rule>.": (DecisionData, "What a rule concludes, and what becomes of its action"),
    "v1.task.<task>.": (TaskData, "Beginning, progress and end of a task"),
    "v1.alarm.": (AlarmData, "Something needs a person, or no longer does"),
    "v1.log.": (LogData, "Warnings and errors as they are written to the log"),
    "v1.heartbeat.": (HeartbeatData, "Once a second"),
}
"""Every topic: the model of its data, and when it is published."""

PARTS: tuple[Model, ...] = (
    AcquiredData,
    CameraFacts,
    CameraInfoData,
    CameraSettingsData,
    CameraStatus,
    CauseData,
    CellsFacts,
    EngineStatus,
    FocusFacts,
    HologramFacts,
    HologramOutcome,
    OpticsFacts,
    PairData,
    PairFacts,
    PartData,
    RecordingStatus,
    RuleStatus,
    StageFacts,
    StageStatus,
)
"""Models that only others contain."""

REF = "#/$defs/"
_CODES = {"ErrorCode": [code.value for code in ErrorCode], "AlarmCode": [code.value for code in AlarmCode]}
_NUMERIC = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def build() -> Node:
    """Return the document: messages under ``oneOf`` and ``$defs``, the registry under ``x-microscoped``."""
    inbound: set[Model] = {Request, *(op.params for op in OPS.values())}
    outbound: list[Model] = [Reply, Event, ErrorBody, TopicValue, DryRun]
    outbound += [model for op in OPS.values() for model in (op.result, *op.outcomes)]
    outbound += [model for model, _ in TOPICS.values()]
    outbound += PARTS
    defs: Node = {}
    for model in inbound:
        defs[model.__name__] = _model(model, closed=True)
    for model in outbound:
        defs[_sent(model)] = _model(model, closed=False)
    defs["Request"]["properties"]["op"] = {**defs["Request"]["properties"]["op"], "enum": sorted(OPS)}
    defs["Request"]["allOf"] = [_when("op", name, "params", op.params.__name__) for name, op in sorted(OPS.items())]
    defs["Event"]["allOf"] = [
        _when("topic", topic, "data", model.__name__) for topic, (model, _) in sorted(TOPICS.items())
    ]
    defs["Reply"]["required"] = [name for name in defs["Reply"]["required"] if name not in ("result", "error")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:microscoped:protocol:{VERSION}",
        "title": f"microscoped protocol {VERSION}",
        "description": "Every message between a client and the daemon; x-microscoped lists ops, topics and codes.",
        "oneOf": [{"$ref": REF + name} for name in ("Request", "Reply", "Event")],
        "$defs": dict(sorted(defs.items())),
        "x-microscoped": _registry(),
    }


def to_text(document: Node) -> str:
    """Write a document as it is committed: the same for the same content."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _registry() -> Node:
    return {
        "version": VERSION,
        "scopes": list(Scope),
        "op_classes": list(OpClass),
        "ops": {
            name: {
                "summary": op.summary,
                "class": op.op_class,
                "scope": op.scope,
                "scope_with_keys": op.scope_with_keys,
                "dry_run": op.dry_run,
                "params": {"$ref": REF + op.params.__name__},
                "result": {"$ref": REF + _sent(op.result)},
                **({"outcome": {"$ref": REF + op.outcome.__name__}} if op.outcome else {}),
                **(
                    {"other_outcomes": {when: {"$ref": REF + model.__name__} for when, model in op.other_outcomes}}
                    if op.other_outcomes
                    else {}
                ),
            }
            for name, op in OPS.items()
        },
        "topics": {
            topic: {"summary": when, "data": {"$ref": REF + model.__name__}} for topic, (model, when) in TOPICS.items()
        },
        "errors": {code: {"title": TITLES[code], "retryable": code in RETRYABLE} for code in ErrorCode},
        "alarms": {code: {"cause": GUIDE[code].cause, "remedy": GUIDE[code].remedy} for code in AlarmCode},
        "limits": {"json_bytes": MAX_BYTES, "json_depth": MAX_DEPTH},
    }


def _sent(model: Model) -> str:
    """The name of a model among what the daemon sends; an empty result is open, where empty parameters are closed."""
    return "EmptyResult" if model.__name__ == "Empty" else model.__name__


def _when(key: str, value: str, other: str, model: str) -> Node:
    """If `key` is `value` (``<name>`` standing for anything), then `other` is a `model`."""
    head, placeholder, _ = value.partition("<")
    test = {"pattern": "^" + head.replace(".", r"\.")} if placeholder else {"const": value}
    return {
        "if": {"properties": {key: test}, "required": [key]},
        "then": {"properties": {other: {"$ref": REF + model}}},
    }


def _model(model: Model, *, closed: bool) -> Node:
    """The schema of one model, with what its docstring says; models that it contains by reference."""
    raw = model.model_json_schema(mode="validation", ref_template=REF + "{model}")
    node: Node = _plain(raw)
    said = meanings(model)
    properties: Node = {
        name: {"description": said[name], **part} for name, part in (node.get("properties") or {}).items()
    }
    found: Node = {"description": summary(model), "type": "object", "properties": properties}
    # The daemon sends every field, those that have a default too.
    required = node.get("required", []) if closed else list(properties)
    if required:
        found["required"] = list(required)
    if closed:
        found["additionalProperties"] = False
    return found


def _plain(node: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Leave out what only pydantic means, write numbers as JSON Schema does, and put keys in one order."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, dict):
        return node
    if set(node) <= {"$ref", "description", "default"} and str(node.get("$ref", "")).endswith("/JsonValue"):
        return {}
    found: Node = {}
    for key, value in node.items():
        if key in ("title", "$defs"):
            continue
        if key == "properties":
            found[key] = {name: _plain(part) for name, part in value.items()}
        elif key == "$ref" and (codes := _CODES.get(value.removeprefix(REF))):
            found |= {"type": "string", "enum": codes}
        else:
            found[_NUMERIC.get(key) or key] = _plain(value)
    if found.get("additionalProperties") in ({}, True):
        del found["additionalProperties"]  # which is what JSON Schema assumes
    if "const" in found:
        found.pop("enum", None)
    return dict(sorted(_union(found).items()))


def _union(node: Node) -> Node:
    """One number instead of number or integer; unions in unions made flat; bounds where they bind."""
    if "anyOf" not in node:
        return node
    parts: list[Node] = []
    for part in node["anyOf"]:
        inner = part["anyOf"] if set(part) == {"anyOf"} else [part]
        parts += [each for each in inner if each not in parts]
    if {"type": "number"} in parts and {"type": "integer"} in parts:
        parts.remove({"type": "integer"})
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**parts[0], **rest} if len(parts) == 1 else {"anyOf": parts, **rest}


__all__ = ["REF", "TOPICS", "Node", "build", "to_text"]
