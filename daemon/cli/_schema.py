"""``microscoped schema``: the protocol, for programs."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, fail


def schema(
    op: Annotated[str | None, typer.Option("--op", help="Only what belongs to one op.", show_default=False)] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Make it anew from the models, beside the source; for developers.")
    ] = False,
) -> None:
    """Print the protocol as one JSON Schema document: ops, results, events, errors, alarms.

    Exit code: 0, 1 if the protocol has changed more than its version says (--write), 2 if there is no such op.
    """
    from microscoped.daemon.protocol.schema import UnversionedChangeError, shipped
    from microscoped.daemon.protocol.schema import write as write_schema

    if write:
        try:
            for path in write_schema():
                typer.echo(f"wrote {path}")
        except UnversionedChangeError as error:
            fail(f"{error}; VERSION is in daemon/protocol/envelope.py", FAILED)
        except OSError as error:
            fail(f"the schema cannot be written beside the source: {error}", FAILED)
        return
    text = shipped()
    if op is not None:
        text = json.dumps(_of_one(json.loads(text), op), indent=1, ensure_ascii=False) + "\n"
    typer.echo(text, nl=False)


def _of_one(document: dict[str, Any], op: str) -> dict[str, Any]:
    """The part of a document that one op needs."""
    ops = document["x-microscoped"]["ops"]
    if op not in ops:
        near = get_close_matches(op, ops, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(ops)}"
        fail(f"there is no op {op!r}; {hint}", WRONG_USE)
    entry: dict[str, Any] = ops[op]
    return {
        "$schema": document["$schema"],
        "$id": f"{document['$id']}:{op}",
        "title": op,
        **entry,
        "$defs": _reachable(document["$defs"], entry),
    }


def _reachable(defs: dict[str, Any], node: object) -> dict[str, Any]:
    """What a part refers to, and what that refers to."""
    todo, found = [node], set[str]()
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo += part
        elif isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                todo.append(defs[name])
            todo += part.values()
    return {name: defs[name] for name in sorted(found)}


__all__ = ["schema"]
