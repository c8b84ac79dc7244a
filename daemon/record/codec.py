"""Inputs, states and effects as JSON, by their types: a field that is added to one of them needs nothing here.

Bytes become base64. Numbers come back exactly; NaN and infinities, which no other JSON of ours has, are written as
Python writes them. Half of a surrogate pair, which is no Unicode, becomes ``?`` (a driver's path may hold one; from the
network none comes).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

from microscoped.daemon.core import Input, State
from microscoped.daemon.core.effects import Publish

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue

    from microscoped.daemon.core import Effect

INPUTS: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(Input)}
"""Every type of input, by its name in the journal."""
DECISIONS = ("v1.decision.", "v1.task.", "v1.alarm.", "v1.state.")
"""Topics whose events stand in the journal in full; all other effects are there as a digest."""
DIGEST_BYTES = 8
AT_ONCE = 64
"""Members of a collection that are serialised in one call: the interpreter can change threads between calls."""

_CONFIG = ConfigDict(
    ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants", extra="forbid", frozen=True
)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any annotation
    # Pydantic takes a configuration for a plain dataclass only where it is a part of something: hence "or None".
    return TypeAdapter(kind | None, config=_CONFIG)


def prepare() -> None:
    """Build what the first use of each type would build: some 30 ms, better spent before there is work."""
    for kind in (*INPUTS.values(), *_state_types().values()):
        _adapter(kind)


def encode_input(heard: Input) -> bytes:
    """Return an input as JSON, without its type's name."""
    kind: Any = type(heard)
    return _encode(_adapter(kind), heard)


def decode_input(name: str, data: JsonValue) -> Input:
    """Return the input of a name and its parsed JSON.

    Raises
    ------
    ValueError
        The name or the content is unknown here: another version wrote it.
    """
    kind = INPUTS.get(name)
    if kind is None:
        raise ValueError(f"there is no input {name!r} in this version")
    found: Input = _adapter(kind).validate_json(plain_json(data))
    return found


def encode_state(state: State) -> Iterator[bytes]:
    """Yield a state as JSON in small pieces, so that no other thread waits long for the interpreter."""
    for at, field in enumerate(fields(state)):
        yield b'%s"%s":' % (b"," if at else b"{", field.name.encode())
        yield from _pieces(getattr(state, field.name), _adapter(_state_types()[field.name]))
    yield b"}"


def decode_state(data: JsonValue) -> State:
    """Return the state of its parsed JSON.

    Raises
    ------
    ValueError
        It is that of another version.
    """
    found: State = _adapter(State).validate_json(plain_json(data))
    return found


def digest(effects: Sequence[Effect]) -> str:
    """Return what stands for effects in the journal: 16 hexadecimal digits of BLAKE2b over their names and JSON.

    A number that is whole has one digest as an integer and as a float: a driver's 3 that was read back as 3.0 is the
    same 3.
    """
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for effect in effects:
        hasher.update(" ".join(_names(effect)).encode())
        text = plain_json(effect)
        hasher.update(text.replace(b".0,", b",").replace(b".0}", b"}").replace(b".0]", b"]"))
    return hasher.hexdigest()


def decisions(effects: Sequence[Effect]) -> list[Mapping[str, JsonValue]]:
    """Return the events among effects that stand in the journal in full."""
    return [effect.message for effect in effects if isinstance(effect, Publish) and effect.topic.startswith(DECISIONS)]


def plain_json(value: object) -> bytes:
    """Return plain data as JSON (dataclasses without their names)."""
    try:
        return to_json(value, bytes_mode="base64", inf_nan_mode="constants", fallback=_other)
    except PydanticSerializationError:
        plain = to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants", fallback=_other)
        return to_json(_without_surrogates(plain), inf_nan_mode="constants")


def parse_json(data: bytes) -> JsonValue:
    """Parse what `plain_json` wrote.

    Raises
    ------
    ValueError
        It is no JSON.
    """
    found: JsonValue = from_json(data, allow_inf_nan=True)
    return found


def _encode(adapter: TypeAdapter[Any], value: object) -> bytes:
    try:
        return adapter.dump_json(value, warnings=False)
    except PydanticSerializationError:
        return plain_json(adapter.dump_python(value, mode="json", warnings=False))


@functools.cache
def _state_types() -> dict[str, Any]:
    return get_type_hints(State)


def _pieces(value: object, adapter: TypeAdapter[Any]) -> Iterator[bytes]:
    """Yield a value as JSON; a long tuple or mapping in parts."""
    parts: list[Any]
    match value:
        case tuple() if len(value) > AT_ONCE:
            parts = [value[at : at + AT_ONCE] for at in range(0, len(value), AT_ONCE)]
        case Mapping() if len(value) > AT_ONCE:
            keys = list(value)
            parts = [{key: value[key] for key in keys[at : at + AT_ONCE]} for at in range(0, len(keys), AT_ONCE)]
        case _:
            yield _encode(adapter, value)
            return
    for at, part in enumerate(parts):
        text = _encode(adapter, part)  # with its own brackets: the first one's opens, the last one's closes
        yield (b"," + text[1:] if at else text)[: None if at == len(parts) - 1 else -1]


def _names(effect: object) -> Iterator[str]:
    """The name of an effect's type, and of those of its fields that are records themselves."""
    yield type(effect).__name__
    kind: Any = type(effect)
    for name in _field_names(kind):
        part = getattr(effect, name)
        if is_dataclass(part):
            yield type(part).__name__


@functools.cache
def _field_names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - an effect's type
    return tuple(field.name for field in fields(kind))


def _other(value: object) -> object:
    """What `to_json` does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be recorded")


def _without_surrogates(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(part) for part in value]
    return value


__all__ = [
    "DECISIONS",
    "INPUTS",
    "decisions",
    "decode_input",
    "decode_state",
    "digest",
    "encode_input",
    "encode_state",
    "parse_json",
    "plain_json",
    "prepare",
]
