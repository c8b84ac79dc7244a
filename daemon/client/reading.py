"""Reading what the daemon sends: tolerant of what a later minor version may add.

The daemon refuses what it does not know; a client of the same major version leaves it out. An error code that is new is
read as its family, the part before the dot, or else as ``fault``; ``data["code"]`` then holds the original.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from microscoped.daemon.protocol import ErrorBody, ErrorCode, Event, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel


def read_reply(payload: bytes) -> Reply:
    """Read a reply.

    Raises
    ------
    ValueError
        It is not one.
    """
    message = _known(Reply, json.loads(payload))
    if isinstance(message.get("error"), dict):
        message["error"] = read_error(message["error"])
    return Reply.model_validate(message)


def read_event(payload: bytes | Mapping[str, Any]) -> Event:
    """Read an event.

    Raises
    ------
    ValueError
        It is not one.
    """
    return Event.model_validate(_known(Event, json.loads(payload) if isinstance(payload, bytes) else payload))


def read_error(body: Mapping[str, Any]) -> ErrorBody:
    """Read the error of a reply or of a task."""
    known = _known(ErrorBody, body)
    code = known.get("code")
    if isinstance(code, str) and code not in set(ErrorCode):
        family = code.partition(".")[0]
        known["code"] = family if family in set(ErrorCode) else ErrorCode.FAULT.value
        known["data"] = {**known.get("data", {}), "code": code}
    return ErrorBody.model_validate(known)


def _known(model: type[BaseModel], message: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever came
    if not isinstance(message, dict):
        return {}
    return {name: value for name, value in message.items() if name in model.model_fields}


__all__ = ["read_error", "read_event", "read_reply"]
