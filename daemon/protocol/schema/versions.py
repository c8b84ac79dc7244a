"""Which versions of the protocol there are, and the rule by which a change must raise the number.

``versions.json`` says of each version whether it is released, and the digest of its document. A version that is not
released may change freely, within what its number allows against the last release. A released one never changes again;
its document is kept as ``v<major>.<minor>.json``. To release: set ``released`` to true, and copy ``v1.json`` there.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microscoped.daemon.protocol.envelope import VERSION
from microscoped.daemon.protocol.schema.build import build, to_text
from microscoped.daemon.protocol.schema.compare import Level, compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.protocol.schema.build import Node

FOLDER = Path(__file__).parent
FILE = f"v{VERSION.partition('.')[0]}.json"
LOCK = "versions.json"
_WORDS = ("description", "summary", "title", "cause", "remedy")


class UnversionedChangeError(Exception):
    """The protocol has changed more than its version number says: raise ``VERSION`` in ``protocol/envelope.py``."""


def digest(document: Node) -> str:
    """Return the SHA-256 of what a document demands; words for people do not count."""
    text = json.dumps(_without_words(document), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def problems(version: str, document: Node, lock: Mapping[str, Any], released: Mapping[str, Node]) -> list[str]:
    """Say what is wrong with a version number; nothing where all is well.

    Parameters
    ----------
    version, document
        The version that is spoken, and its document.
    lock
        The content of ``versions.json``.
    released
        The documents of the released versions.
    """
    found = []
    for name, entry in lock.items():
        if entry["released"] and (name not in released or digest(released[name]) != entry["sha256"]):
            found.append(f"the document of the released version {name} is missing or was changed")
    entry = lock.get(version)
    if entry is None:
        found.append(f"version {version} is not in {LOCK}")
    elif entry["sha256"] != digest(document):
        remedy = "raise VERSION" if entry["released"] else "run `python -m microscoped.daemon schema --write`"
        found.append(f"the protocol has changed since version {version} was written down: {remedy}")
    earlier = [name for name in released if _number(name) < _number(version)]
    if earlier:
        last = max(earlier, key=_number)
        changes = compare(released[last], document)
        level = max((change.level for change in changes), default=Level.NONE)
        allowed = Level.MAJOR if _number(version)[0] > _number(last)[0] else Level.MINOR
        told = "; ".join(change.text for change in changes if change.level > allowed)
        if level > allowed:
            found.append(f"{version} breaks what {last} promised, and needs a new major number: {told}")
    return found


def shipped() -> str:
    """Return the document of the version that is spoken, as it was committed."""
    return (FOLDER / FILE).read_text(encoding="utf-8")


def read_lock() -> dict[str, Any]:
    """Return the content of ``versions.json``."""
    found: dict[str, Any] = json.loads((FOLDER / LOCK).read_text(encoding="utf-8"))
    return found


def read_released() -> dict[str, Node]:
    """Return the documents of the released versions."""
    return {
        name: json.loads((FOLDER / f"v{name}.json").read_text(encoding="utf-8"))
        for name, entry in read_lock().items()
        if entry["released"] and (FOLDER / f"v{name}.json").exists()
    }


def write() -> list[Path]:
    """Write document and digest of the version that is spoken; return the files.

    Raises
    ------
    UnversionedChangeError
        The version is released, or its number is too low for what has changed: nothing is written.
    """
    document, lock = build(), read_lock()
    entry = lock.get(VERSION, {"released": False})
    if not entry["released"]:
        lock[VERSION] = {"released": False, "sha256": digest(document)}
    wrong = problems(VERSION, document, lock, read_released())
    if wrong:
        raise UnversionedChangeError("; ".join(wrong))
    (FOLDER / FILE).write_text(to_text(document), encoding="utf-8", newline="\n")
    (FOLDER / LOCK).write_text(json.dumps(lock, indent=1) + "\n", encoding="utf-8", newline="\n")
    return [FOLDER / FILE, FOLDER / LOCK]


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _without_words(node: Any) -> Any:  # noqa: ANN401 - any part of a schema
    if isinstance(node, list):
        return [_without_words(part) for part in node]
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: _without_words(part) for name, part in value.items()}
        elif key not in _WORDS:
            found[key] = _without_words(value)
    return found


__all__ = ["FILE", "FOLDER", "LOCK", "UnversionedChangeError", "digest", "problems", "shipped", "write"]
