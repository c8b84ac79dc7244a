"""What has changed between two schema documents, and how much: nothing, minor (additive), or major (breaking).

For what the daemon **reads**, whoever wrote valid messages must go on writing valid ones: to accept more is minor, to
accept less is major. For what it **sends**, whoever reads it must go on understanding it: to add a field, or to promise
more, is minor; to drop a field, or to send what was never sent there, is major. Codes of errors and alarms are the
exception: a new one is minor, for a client must treat an unknown code by its family (the part before the dot).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from microscoped.daemon.protocol.schema.build import Node

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_EXACT = ("pattern", "format", "multipleOf")
_OPEN_CODES = "code"
"""Name of the fields that hold codes."""


class Level(IntEnum):
    """How much a change is."""

    NONE = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: how much it is, and what it is."""

    level: Level
    text: str


def compare(old: Node, new: Node) -> list[Change]:
    """Return what has changed from one document to another; words for people do not count."""
    return [*_Comparison(old, new).changes()]


class _Comparison:
    def __init__(self, old: Node, new: Node) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, bool]] = set()

    def changes(self) -> Iterator[Change]:
        was, now = self._old["x-microscoped"], self._new["x-microscoped"]
        for kind in ("ops", "topics", "errors", "alarms"):
            for name in was[kind].keys() - now[kind].keys():
                yield Change(Level.MAJOR, f"{kind}: {name} was removed")
            for name in now[kind].keys() - was[kind].keys():
                yield Change(Level.MINOR, f"{kind}: {name} was added")
        for name in sorted(was["ops"].keys() & now["ops"].keys()):
            yield from self._op(name, was["ops"][name], now["ops"][name], was["scopes"])
        for name in sorted(was["topics"].keys() & now["topics"].keys()):
            yield from self._node(name, was["topics"][name]["data"], now["topics"][name]["data"], inbound=False)
        for name in sorted(was["errors"].keys() & now["errors"].keys()):
            if was["errors"][name]["retryable"] != now["errors"][name]["retryable"]:
                yield Change(Level.MAJOR, f"errors: {name}: retryable changed")
        yield from _limits(was["limits"], now["limits"])
        for name, inbound in (("Request", True), ("Reply", False), ("Event", False)):
            yield from self._node(name, {"$ref": f"#/$defs/{name}"}, {"$ref": f"#/$defs/{name}"}, inbound=inbound)

    def _op(self, name: str, was: Node, now: Node, scopes: list[str]) -> Iterator[Change]:
        for part in ("scope", "scope_with_keys"):
            if was[part] != now[part]:
                wider = now[part] in scopes and scopes.index(now[part]) < scopes.index(was[part])
                yield Change(Level.MINOR if wider else Level.MAJOR, f"{name}: its {part} became {now[part]}")
        if was["class"] != now["class"]:
            yield Change(Level.MAJOR, f"{name}: its class became {now['class']}")
        if was["dry_run"] != now["dry_run"]:
            yield Change(Level.MINOR if now["dry_run"] else Level.MAJOR, f"{name}: dry_run became {now['dry_run']}")
        yield from self._node(f"{name}.params", was["params"], now["params"], inbound=True)
        for part in ("result", "outcome"):
            if part in was and part in now:
                yield from self._node(f"{name}.{part}", was[part], now[part], inbound=False)
            elif part in was or part in now:
                yield Change(Level.MINOR if part in now else Level.MAJOR, f"{name}: {part} came or went")
        others = was.get("other_outcomes", {}), now.get("other_outcomes", {})
        for when in sorted(others[0].keys() | others[1].keys()):
            if when in others[0] and when in others[1]:
                yield from self._node(f"{name}.outcome ({when})", others[0][when], others[1][when], inbound=False)
            else:
                level = Level.MINOR if when in others[1] else Level.MAJOR
                yield Change(level, f"{name}: the outcome for {when} came or went")

    def _node(self, path: str, was: Node, now: Node, *, inbound: bool) -> Iterator[Change]:
        """Compare two places of the documents."""
        if "$ref" in was and "$ref" in now:
            key = (was["$ref"], now["$ref"], inbound)
            if key in self._seen:
                return
            self._seen.add(key)
        was, now = _resolved(self._old, was), _resolved(self._new, now)
        old_kinds, new_kinds = _kinds(self._old, was), _kinds(self._new, now)
        if "any" in old_kinds or "any" in new_kinds:
            if "any" not in new_kinds:
                yield _narrower(path, "not everything is allowed any more", inbound=inbound)
            elif "any" not in old_kinds:
                yield _wider(path, "everything is allowed", inbound=inbound)
            return
        for kind in old_kinds.keys() - new_kinds.keys():
            if kind == "integer" and "number" in new_kinds:
                yield _wider(path, "an integer became any number", inbound=inbound)
            else:
                yield _narrower(path, f"{kind} went", inbound=inbound)
        for kind in new_kinds.keys() - old_kinds.keys():
            if kind == "integer" and "number" in old_kinds:
                continue  # told above: number went
            if not (kind == "number" and "integer" in old_kinds):
                yield _wider(path, f"{kind} came", inbound=inbound)
        for kind in sorted(old_kinds.keys() & new_kinds.keys()):
            yield from self._values(path, old_kinds[kind], new_kinds[kind], inbound=inbound)
        if inbound and was.get("default") != now.get("default"):
            yield Change(Level.MAJOR, f"{path}: its default changed")

    def _values(self, path: str, was: Node, now: Node, *, inbound: bool) -> Iterator[Change]:
        """Compare the bounds and parts of one kind of value."""
        yield from _bounds(path, was, now, inbound=inbound)
        yield from _choices(path, was, now, inbound=inbound)
        if was.get("type") == "object":
            yield from self._object(path, was, now, inbound=inbound)
        for part in ("items", "additionalProperties"):
            old, new = was.get(part, {}), now.get(part, {})
            if isinstance(old, dict) and isinstance(new, dict) and (old or new):
                yield from self._node(f"{path}[]", old, new, inbound=inbound)
        for number, (old, new) in enumerate(zip(was.get("prefixItems", ()), now.get("prefixItems", ()), strict=False)):
            yield from self._node(f"{path}[{number}]", old, new, inbound=inbound)

    def _object(self, path: str, was: Node, now: Node, *, inbound: bool) -> Iterator[Change]:
        old, new = was.get("properties", {}), now.get("properties", {})
        had_to, has_to = set(was.get("required", ())), set(now.get("required", ()))
        for name in sorted(old.keys() - new.keys()):
            yield Change(Level.MAJOR, f"{path}.{name} was removed")
        for name in sorted(new.keys() - old.keys()):
            demanded = inbound and name in has_to
            yield Change(Level.MAJOR if demanded else Level.MINOR, f"{path}.{name} was added")
        for name in sorted(old.keys() & new.keys()):
            if name in has_to - had_to:
                yield _narrower(f"{path}.{name}", "is required now", inbound=inbound)
            elif name in had_to - has_to:
                yield _wider(f"{path}.{name}", "is optional now", inbound=inbound)
            if not (path == "Request" and name == "op"):  # told among the ops
                yield from self._node(f"{path}.{name}", old[name], new[name], inbound=inbound)
        if was.get("additionalProperties") is not False and now.get("additionalProperties") is False:
            yield _narrower(path, "unknown fields are refused now", inbound=inbound)


def _narrower(path: str, text: str, *, inbound: bool) -> Change:
    return Change(Level.MAJOR if inbound else Level.MINOR, f"{path}: {text}")


def _wider(path: str, text: str, *, inbound: bool) -> Change:
    return Change(Level.MINOR if inbound else Level.MAJOR, f"{path}: {text}")


def _resolved(document: Node, node: Node) -> Node:
    while "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        node = {**document["$defs"][node["$ref"].rpartition("/")[2]], **rest}
    return node


def _kinds(document: Node, node: Node) -> dict[str, Node]:
    """The kinds of value that a place may hold, each with its own rules; ``any`` where there is no rule."""
    found: dict[str, Node] = {}
    for part in node.get("anyOf", [node]):
        whole = _resolved(document, part)
        types = whole.get("type", "any")
        for kind in [types] if isinstance(types, str) else types:
            found[kind] = whole
    return found


def _bounds(path: str, was: Node, now: Node, *, inbound: bool) -> Iterator[Change]:
    for keys, sign in ((_LOWER, 1), (_UPPER, -1)):
        for key in keys:
            old, new = was.get(key), now.get(key)
            if old == new:
                continue
            tighter = old is None or (new is not None and sign * (new - old) > 0)
            tell = _narrower if tighter else _wider
            yield tell(path, f"{key} went from {old} to {new}", inbound=inbound)
    for key in _EXACT:
        if was.get(key) != now.get(key):
            yield Change(Level.MAJOR, f"{path}: {key} changed")


def _choices(path: str, was: Node, now: Node, *, inbound: bool) -> Iterator[Change]:
    old, new = _allowed(was), _allowed(now)
    if old == new:
        return
    if new is not None and (old is None or old - new):
        yield _narrower(path, f"fewer values: {_listed(old, new)} went", inbound=inbound)
    if old is not None and (new is None or new - old):
        if path.rpartition(".")[2] == _OPEN_CODES and new is not None:
            yield Change(Level.MINOR, f"{path}: {_listed(new, old)} came")
        else:
            yield _wider(path, f"more values: {_listed(new, old)} came", inbound=inbound)


def _allowed(node: Mapping[str, Any]) -> set[str] | None:
    if "const" in node:
        return {repr(node["const"])}
    return {repr(value) for value in node["enum"]} if "enum" in node else None


def _listed(these: set[str] | None, without: set[str] | None) -> str:
    return "others" if these is None else ", ".join(sorted(these - (without or set())))


def _limits(was: Mapping[str, int], now: Mapping[str, int]) -> Iterator[Change]:
    for name in sorted({*was, *now}):
        old, new = was.get(name), now.get(name)
        if old != new:
            smaller = new is not None and (old is None or new < old)
            yield Change(Level.MAJOR if smaller else Level.MINOR, f"limits: {name} went from {old} to {new}")


__all__ = ["Change", "Level", "compare"]
