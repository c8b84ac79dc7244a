"""JSON as the protocol allows it: UTF-8, no half surrogates, NaN, infinity, duplicate keys, no absurd depth."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from pydantic_core import PydanticSerializationError, to_json

from microscoped.daemon.protocol.errors import ErrorCode, RefusedError

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_BYTES = 131_072
"""Longest JSON document that is read: it bounds the time that a hostile message costs the loop (a few milliseconds)."""
MAX_DEPTH = 32
"""Deepest nesting of arrays and objects that is read."""

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = re.compile(rb"[^][{}]+")


def loads(data: bytes) -> JsonValue:
    """Parse one JSON document.

    Raises
    ------
    RefusedError
        Code ``invalid``, naming what is wrong.
    """
    if len(data) > MAX_BYTES:
        raise RefusedError(ErrorCode.INVALID, f"the message has {len(data)} bytes of JSON; {MAX_BYTES} are allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(ErrorCode.INVALID, f"the message is not UTF-8 (byte {error.start})") from None
    _check_depth(data)
    try:
        value: JsonValue = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
        )
    except json.JSONDecodeError as error:
        detail = f"the message is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise RefusedError(ErrorCode.INVALID, detail) from None
    except ValueError:
        # Python refuses to read integers of thousands of digits.
        raise RefusedError(ErrorCode.INVALID, "the message has an integer with absurdly many digits") from None
    if b"\\u" in data:
        _check_surrogates(value)
    return value


def dumps(value: object) -> bytes:
    """Serialise to compact UTF-8.

    Raises
    ------
    ValueError
        For NaN or infinity: a bug on our side, never sent.
    """
    try:
        data = to_json(value, inf_nan_mode="constants")
        if b"NaN" not in data and b"Infinity" not in data:
            return data
    except PydanticSerializationError:
        pass
    # Six times slower: for what stands so in a text, for half of a surrogate pair, and to say what is wrong.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8",
        "backslashreplace",  # half of a surrogate pair, echoed from a client: its JSON escape
    )


def _check_depth(data: bytes) -> None:
    brackets = _NOT_BRACKETS.sub(b"", _STRINGS.sub(b"", data))
    if len(brackets) <= MAX_DEPTH:
        return
    codes = np.frombuffer(brackets, np.uint8)
    steps = np.where((codes == ord("[")) | (codes == ord("{")), 1, -1)
    if int(np.cumsum(steps).max()) > MAX_DEPTH:
        raise RefusedError(ErrorCode.INVALID, f"the message is nested deeper than {MAX_DEPTH} levels")


def _check_surrogates(value: JsonValue) -> None:
    """Refuse half of a surrogate pair, which only an escape can bring in: it is no Unicode, and no UTF-8 has it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RefusedError(ErrorCode.INVALID, "the message has half of a surrogate pair, which is no text") from None


def _refuse_constant(name: str) -> NoReturn:
    raise RefusedError(ErrorCode.INVALID, f"{name} is not a number that JSON knows")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise RefusedError(ErrorCode.INVALID, f"{text[:40]} is out of the range of a number")
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in found:
            raise RefusedError(ErrorCode.INVALID, f"the key {key[:80]!r} appears twice in one object")
        found[key] = value
    return found


__all__ = ["MAX_DEPTH", "dumps", "loads"]
