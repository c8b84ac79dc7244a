"""Inputs and states go to JSON and come back as they were."""

from __future__ import annotations

import types
import typing
import uuid
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue

from microscoped.daemon.core import Input, inputs
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core.state import Seen
from microscoped.daemon.protocol import ErrorBody, ErrorCode, Request, loads
from microscoped.daemon.record.codec import (
    AT_ONCE,
    INPUTS,
    decode_input,
    decode_state,
    digest,
    encode_input,
    encode_state,
    parse_json,
)

if TYPE_CHECKING:
    from tests.daemon.record.conftest import World

FLOATS = st.floats(allow_nan=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    float: FLOATS,
    int: st.integers(),
    bool: st.booleans(),
    str: TEXT,
    bytes: st.binary(max_size=8),
    type(None): st.none(),
    uuid.UUID: st.uuids(),
    JsonValue: JSON,
    Request: st.builds(
        Request,
        v=st.just("1.0"),
        id=st.uuids(),
        type=st.just("request"),
        op=TEXT,
        params=st.dictionaries(TEXT, JSON, max_size=3),
        deadline_ms=st.none() | st.integers(1, 10**6) | st.floats(1, 1e6),
        dry_run=st.booleans(),
    ),
    ErrorBody: st.builds(ErrorBody.of, st.sampled_from(ErrorCode), TEXT, st.dictionaries(TEXT, JSON, max_size=2)),
}


FINITE: dict[Any, st.SearchStrategy[Any]] = {**SIMPLE, float: st.floats(allow_nan=False, allow_infinity=False)}
"""Within messages there is nothing else."""


def values_of(kind: Any, simple: dict[Any, st.SearchStrategy[Any]] = SIMPLE) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any annotation
    """Values of a type, down to its leaves."""
    if kind in simple:
        return simple[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values_of(part, simple) for part in parts])
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is Mapping or origin is dict:
        return st.dictionaries(values_of(parts[0], simple), values_of(parts[1], simple), max_size=3)
    if origin is tuple:
        if parts[1:] == (...,):
            return st.lists(values_of(parts[0], simple), max_size=3).map(tuple)
        return st.tuples(*(values_of(part, simple) for part in parts))
    if origin is list:
        return st.lists(values_of(parts[0], simple), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: values_of(hints[field.name], simple) for field in fields(kind)})
    assert issubclass(kind, BaseModel), f"say in SIMPLE how values of {kind} are made"
    return st.builds(kind, **{name: values_of(field.annotation, FINITE) for name, field in kind.model_fields.items()})


def test_the_journal_knows_every_input() -> None:
    assert set(INPUTS.values()) == set(get_args(Input))
    exported = {getattr(inputs, name) for name in inputs.__all__} - {
        Input,
        inputs.Now,
        inputs.Peer,
        inputs.RecordingProgress,
    }
    assert set(INPUTS.values()) == exported


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_every_input_comes_back_as_it_was(name: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(values_of(INPUTS[name]))
    def round_trip(heard: Input) -> None:
        found = decode_input(name, parse_json(encode_input(heard)))
        assert found == heard
        assert type(found) is type(heard)
        assert encode_input(found) == encode_input(heard)

    round_trip()


def test_numbers_keep_their_kind_where_both_may_stand() -> None:
    for value in (3, 3.0):
        heard = inputs.CommandEnded("c", value)
        assert decode_input("CommandEnded", parse_json(encode_input(heard))) == heard
    request = Request(v="1.0", id=uuid.UUID(int=1), type="request", op="x", params={"a": [1, 1.0, 10**40]})
    found = decode_input("RequestReceived", parse_json(encode_input(inputs.RequestReceived(inputs.Peer(b""), request))))
    assert isinstance(found, inputs.RequestReceived)
    assert [type(value) for value in found.request.params["a"]] == [int, float, int]  # type: ignore[union-attr]


def test_every_state_of_a_life_comes_back_as_it_was(world: World) -> None:
    for _, _, _, state in world.life:
        text = b"".join(encode_state(state))
        found = decode_state(parse_json(text))
        assert b"".join(encode_state(found)) == text
        assert (found.tasks, found.pending, found.lease, found.mode) == (
            state.tasks,
            state.pending,
            state.lease,
            state.mode,
        )


@pytest.mark.parametrize("count", [AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE, 3 * AT_ONCE + 7])
def test_long_collections_are_written_in_parts_and_come_back_whole(world: World, count: int) -> None:
    history = tuple({"n": number} for number in range(count))
    seen = {f"user/{number}": Seen(number, "b") for number in range(count)}
    state = replace(world.start, history=history, seen=seen)
    assert decode_state(parse_json(b"".join(encode_state(state)))) == state


def test_effects_of_one_shape_have_digests_of_their_own() -> None:
    from microscoped.drivers.commands import Snap, StartStream

    alike = [
        [],
        [to_do.HaltStage()],
        [to_do.AllowMotion()],
        [to_do.Submit(Snap(id="1"))],
        [to_do.Submit(StartStream(id="1"))],
        [to_do.HaltStage(), to_do.AllowMotion()],
        [to_do.AllowMotion(), to_do.HaltStage()],
    ]
    assert len({digest(effects) for effects in alike}) == len(alike)
    whole, broken = (to_do.Publish("t", {"z_um": z, "of": [z, z]}) for z in (3, 3.0))
    assert digest([whole]) == digest([broken])


def test_half_of_a_surrogate_pair_neither_comes_in_nor_ends_the_journal() -> None:
    with pytest.raises(Exception, match="surrogate"):
        loads(b'{"a": "\\ud800"}')
    assert loads(b'{"a": "\\ud83d\\ude00 \\\\ud800"}') == {"a": "\U0001f600 \\ud800"}
    heard = inputs.HardwareLost(ErrorBody.of("fault", "file \udc80"))
    found = decode_input("HardwareLost", parse_json(encode_input(heard)))
    assert isinstance(found, inputs.HardwareLost)
    assert found.error.detail == "file ?"
    effects = [[to_do.Publish("t", {"detail": text, "x": 1e16})] for text in ("file \udc80", "file ?")]
    assert digest(effects[0]) == digest(effects[1])
