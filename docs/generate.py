"""Fill the made parts of the documents from the protocol: ``python docs/generate.py``; a test compares them.

A made part stands between ``<!-- made: NAME -->`` and ``<!-- end -->``; all else is written by hand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microscoped.daemon.core.modes import TABLE
from microscoped.daemon.protocol import OPS, VERSION, AlarmCode, ErrorCode, OpClass
from microscoped.daemon.protocol.schema import build

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent
DOCUMENTS = ("protocol.md", "operations.md")
PART = re.compile(r"(<!-- made: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
UNITS = {"um": "µm", "nm": "nm", "ms": "ms", "s": "s", "ns": "ns", "mb": "MB", "px": "px"}
GROUPS = {
    "The session": ("hello", "ping", "status", "describe", "snapshot", "events.since"),
    "Stop, resume, shutdown": ("stop", "resume", "shutdown"),
    "The stage": ("stage.move", "stage.position", "stage.lease", "stage.release"),
    "The camera": ("camera.snap", "camera.set", "camera.start", "camera.stop", "frame.get"),
    "Focus": ("focus.run", "focus.hold", "focus.release", "calibrate.run", "calibrate.next"),
    "Acquisition": (
        "acquire.check",
        "acquire.run",
        "acquire.inject",
        "acquire.pause",
        "acquire.resume",
        "acquire.finish",
    ),
    "Recording": ("record.start", "record.stop"),
    "Rules": ("rules.set", "rules.list", "rules.clear"),
    "Tasks": ("task.get", "task.list", "task.cancel"),
}
MODELS = {"TaskData": "a task", "FrameData": "a frame's header", "Event": "an event", "ErrorBody": "an error"}
PARTS = (
    *("Stage", "Camera", "Cells", "Optics", "Pair", "Part", "Focus", "Hologram", "Engine", "Recording", "Rule"),
    *("Cause", "Acquired"),
)
"""Models whose fields are shown within the result that contains them, by the beginning of their names."""
CODES = {frozenset(OPS): "an op", frozenset(ErrorCode): "a code", frozenset(AlarmCode): "a code"}
WORDS = {"string": "text", "boolean": "true or false", "object": "object", "null": "null"}

Node = dict[str, Any]


def parts() -> dict[str, str]:
    """Return the made parts by name."""
    document = build()
    return {
        "version": f"This is version **{VERSION}** of the protocol.\n",
        "request fields": _inputs(document, document["$defs"]["Request"]),
        "reply fields": _outputs(document, document["$defs"]["Reply"]),
        "error fields": _outputs(document, document["$defs"]["ErrorBody"]),
        "event fields": _outputs(document, document["$defs"]["Event"]),
        "ops": _ops(document),
        "errors": _errors(document),
        "topics": _topics(document),
        "alarm codes": ", ".join(f"`{code}`" for code in document["x-microscoped"]["alarms"]) + ".\n",
        "alarms": _alarms(document),
        "states": _states(),
    }


def filled(text: str) -> str:
    """Return a document with its made parts made anew."""
    made = parts()
    return PART.sub(lambda found: f"{found[1]}\n{made[found['name']]}\n{found[3]}", text)


def _ops(document: Node) -> str:
    registry = document["x-microscoped"]["ops"]
    left = set(registry) - {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, **({"Others": tuple(sorted(left))} if left else {})}
    lines: list[str] = []
    for title, names in groups.items():
        lines += [f"### {title}", ""]
        for name in names:
            lines += _op(document, name, registry[name])
    return "\n".join(lines)


def _op(document: Node, name: str, entry: Node) -> list[str]:
    params, result = _followed(document, entry["params"]), _followed(document, entry["result"])
    needed = f"scope `{entry['scope']}`"
    if entry["scope_with_keys"] != entry["scope"]:
        needed += f", with keys `{entry['scope_with_keys']}`"
    facts = [needed, f"class `{entry['class']}`"]
    facts += ["`dry_run` allowed"] if entry["dry_run"] else []
    facts += ["begins a task"] if "outcome" in entry else []
    lines = [f"#### `{name}`", "", f"{entry['summary']}. <sub>{' · '.join(facts)}</sub>", ""]
    if params["properties"]:
        lines += [_inputs(document, params)]
    else:
        lines += ["No parameters.", ""]
    if "outcome" in entry:
        lines += ["At its end the task reports:", "", _outputs(document, _followed(document, entry["outcome"]))]
        for when, other in entry.get("other_outcomes", {}).items():
            lines += [f"With `{when}` it reports:", "", _outputs(document, _followed(document, other))]
    elif result["properties"]:
        lines += ["Result:", "", _outputs(document, result)]
    else:
        lines += ["The result is empty.", ""]
    return lines


def _inputs(document: Node, model: Node) -> str:
    rows = []
    for names, node in _grouped(model):
        required = names[0] in model.get("required", ())
        default = "*required*" if required else _value(node.get("default"))
        kind = _type(document, node).removesuffix(" or null")  # a parameter that is null is left out
        rows.append((_listed(names), kind, _unit(names[0]), default, _prose(node)))
    return _table(("name", "type", "unit", "default", "meaning"), rows)


def _outputs(document: Node, model: Node) -> str:
    return _table(("name", "type", "unit", "meaning"), _output_rows(document, model, ""))


def _output_rows(document: Node, model: Node, inside: str) -> list[tuple[str, str, str, str]]:
    """A row for each meaning; the fields of a part follow their whole, as ``whole.part``."""
    rows = []
    for names, node in _grouped(model):
        kinds = dict.fromkeys(_type(document, model["properties"][name]) for name in names)
        units = dict.fromkeys(unit for name in names if (unit := _unit(name)))
        rows.append((_listed([inside + name for name in names]), "; ".join(kinds), ", ".join(units), _prose(node)))
        for name in names:
            field = model["properties"][name]
            each = "additionalProperties" in field
            inner = field["additionalProperties"] if each else field
            for part in inner.get("anyOf", [inner]):
                if part.get("$ref", "").rpartition("/")[2].startswith(PARTS):
                    path = f"{inside}{name}.<name>." if each else f"{inside}{name}."
                    rows += _output_rows(document, _followed(document, part), path)
    return rows


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without its empty columns."""
    used = [number for number in range(len(titles)) if not rows or any(row[number] for row in rows)]
    lines = [[titles[number] for number in used], ["---"] * len(used)]
    lines += [[row[number] for number in used] for row in rows]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines]) + "\n"


def _grouped(model: Node) -> list[tuple[list[str], Node]]:
    """Fields that share a meaning share a row; parameters do so only where all else is the same, too."""
    rows: list[tuple[list[str], Node]] = []
    closed = model.get("additionalProperties") is False
    for name, node in model["properties"].items():
        for names, first in rows:
            same = first["description"] == node["description"]
            if same and (not closed or first == node):
                names.append(name)
                break
        else:
            rows.append(([name], node))
    return rows


def _type(document: Node, node: Node) -> str:
    """A type in words."""
    if "anyOf" in node:
        return " or ".join(_type(document, part) for part in node["anyOf"])
    if "$ref" in node:
        return MODELS.get(node["$ref"].rpartition("/")[2], "object")
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return CODES.get(frozenset(node["enum"]), ", ".join(f"`{value}`" for value in node["enum"]))
    kind = node.get("type")
    if kind == "array":
        if "prefixItems" in node:
            inner = {_type(document, part) for part in node["prefixItems"]}
            return f"{len(node['prefixItems'])} {' or '.join(sorted(inner))}s"
        inner_type = _type(document, node.get("items", {}))
        return f"list of {inner_type.removeprefix('a ').removeprefix('an ')}"
    if node.get("format") == "uuid":
        return "UUID"
    words = WORDS.get(str(kind), str(kind) if kind else "anything")
    return words + _range(node)


def _range(node: Node) -> str:
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    bounds = [f"{sign} {node[key]:,}".replace(",", " ") for key, sign in signs if key in node]
    if "maxLength" in node:
        bounds.append(f"≤ {node['maxLength']} characters")
    return f", {', '.join(bounds)}" if bounds else ""


def _unit(name: str) -> str:
    return UNITS.get(name.rpartition("_")[2], "") if "_" in name else ""


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _prose(node: Node) -> str:
    return node["description"].replace("``", "`").replace("|", "\\|")


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _followed(document: Node, node: Node) -> Node:
    found: Node = document["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _errors(document: Node) -> str:
    errors = document["x-microscoped"]["errors"].items()
    rows = [(f"`{code}`", entry["title"], "yes" if entry["retryable"] else "") for code, entry in errors]
    return _table(("code", "what it means", "retry"), rows)


def _topics(document: Node) -> str:
    lines: list[str] = []
    for topic, entry in document["x-microscoped"]["topics"].items():
        table = _outputs(document, _followed(document, entry["data"]))
        lines += [f"### `{topic}`", "", f"{entry['summary']}.", "", table]
    return "\n".join(lines)


def _alarms(document: Node) -> str:
    alarms = document["x-microscoped"]["alarms"].items()
    rows = [(f"`{code}`", entry["cause"], entry["remedy"]) for code, entry in alarms]
    return _table(("code", "what has happened", "what to do"), rows)


def _states() -> str:
    classes = [each for each in OpClass if any(row[each] is not None for row in TABLE.values())]
    rows = [
        [mode, *(f"`{verdict[0]}`" if (verdict := row[each]) else "yes" for each in classes)]
        for mode, row in TABLE.items()
    ]
    always = ", ".join(f"`{each}`" for each in OpClass if each not in classes)
    ops = {each: [f"`{op.name}`" for op in OPS.values() if op.op_class is each] for each in classes}
    legend = "; ".join(f"`{each}`: {', '.join(names)}" for each, names in ops.items())
    table = _table(("state", *(f"`{each}`" for each in classes)), rows)
    return f"{table}\nOps of the classes {always} are answered in every state. {legend}.\n"


if __name__ == "__main__":
    for document_name in DOCUMENTS:
        path = FOLDER / document_name
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
