"""The outside of every message: what is common to requests, replies and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, StrictFloat, StrictInt, ValidationError

from microscoped.daemon.protocol.errors import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.strict_json import loads

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "1.0"
"""Version of the protocol that is spoken here: major.minor."""


class Message(BaseModel):
    """A model that crosses the border: frozen, and refusing what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Request(Message):
    """What a client sends on ``control``.

    Parameters
    ----------
    v
        Protocol version, ``"1.0"``.
    id
        A fresh UUID; the reply names it as its ``cause``.
    type
        What kind of message this is.
    op, params
        The op and its parameters.
    deadline_ms
        Milliseconds from receipt after which the op must not begin any more.
    dry_run
        Check everything, do nothing.
    lease
        The token of ``stage.lease``, where the request moves the stage.
    ts
        The client's own time, for its logs.
    """

    v: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
    id: UUID
    type: Literal["request"]
    op: Annotated[str, Field(max_length=64)]
    params: dict[str, JsonValue] = {}
    deadline_ms: Annotated[StrictFloat | StrictInt, Field(gt=0, le=86_400_000)] | None = None
    dry_run: StrictBool = False
    lease: Annotated[str, Field(max_length=128)] | None = None
    ts: Annotated[str, Field(max_length=64)] | None = None


class Reply(Message):
    """What the daemon answers, once for each request.

    Parameters
    ----------
    v, id, ts
        Protocol version, a fresh UUID, and UTC in ISO 8601.
    type
        What kind of message this is.
    mono_ns
        The daemon's monotonic clock: comparable within one session.
    session
        Changes when the daemon restarts: what was asked of another session may have been done there.
    cause
        The request's `id`; ``null`` where it could not be read.
    ok
        Whether `result` follows, or `error`.
    result
        The op's result.
    error
        What went wrong.
    """

    v: str
    id: UUID
    type: Literal["reply"]
    ts: str
    mono_ns: int
    session: UUID
    cause: UUID | None
    ok: bool
    result: dict[str, JsonValue] | None = None
    error: ErrorBody | None = None


class Event(Message):
    """What the daemon publishes on ``events``.

    Parameters
    ----------
    v, id, ts
        Protocol version, a fresh UUID, and UTC in ISO 8601.
    type
        What kind of message this is.
    mono_ns
        The daemon's monotonic clock: comparable within one session.
    topic, seq
        Where it was published, and its number there: 1, 2, 3 … without gaps within a session.
    session
        Changes when the daemon restarts; then each ``seq`` begins again at 1.
    causes
        Ids of the messages, frames or measurements that led to it.
    data
        The topic's own content.
    """

    v: str
    id: UUID
    type: Literal["event"]
    ts: str
    mono_ns: int
    topic: str
    seq: int
    session: UUID
    causes: list[str]
    data: dict[str, JsonValue]


class BadRequestError(RefusedError):
    """A request that cannot be read; `cause` is its id where one could be found."""

    def __init__(self, code: ErrorCode, detail: str, cause: str | None = None) -> None:
        super().__init__(code, detail)
        self.cause = cause


def read_request(frames: Sequence[bytes]) -> Request:
    """Parse the frames of a control message (without its routing frames).

    Raises
    ------
    BadRequestError
        Naming what is wrong, and the request's id where it has one.
    """
    if len(frames) != 1:
        found = "no frame" if not frames else f"{len(frames)} frames"
        raise BadRequestError(ErrorCode.INVALID, f"a request is one JSON frame; this message has {found}")
    try:
        value = loads(frames[0])
    except RefusedError as error:
        raise BadRequestError(error.body.code, error.body.detail) from None
    if not isinstance(value, dict):
        raise BadRequestError(ErrorCode.INVALID, "a request is a JSON object")
    cause = _id_of(value)
    version = value.get("v")
    if isinstance(version, str) and version.partition(".")[0] != VERSION.partition(".")[0]:
        detail = f"the request is of version {version[:20]!r}; this daemon speaks {VERSION}"
        raise BadRequestError(ErrorCode.UNSUPPORTED_VERSION, detail, cause)
    try:
        return Request.model_validate(value)
    except ValidationError as error:
        detail = explain(error)
        if isinstance(version, str) and version != VERSION:
            detail += f" (the request is of version {version[:20]!r}, this daemon speaks {VERSION})"
        raise BadRequestError(ErrorCode.INVALID, detail, cause) from None


def explain(error: ValidationError, prefix: str = "") -> str:
    """Say in one line what a validation found: each field, its value and what it should be."""
    parts = []
    for item in error.errors(include_url=False, include_context=False)[:5]:
        name = ".".join([prefix, *map(str, item["loc"])] if prefix else map(str, item["loc"])) or "message"
        if item["type"] == "extra_forbidden":
            parts.append(f"{name}: no such field")
        elif item["type"] == "missing":
            parts.append(f"{name}: is required")
        else:
            parts.append(f"{name} = {str(item['input'])[:80]!r}: {item['msg']}")
    return "; ".join(parts)


def _id_of(value: dict[str, JsonValue]) -> str | None:
    try:
        return str(UUID(str(value.get("id"))))
    except ValueError:
        return None


__all__ = ["VERSION", "BadRequestError", "Event", "Message", "Reply", "Request", "explain", "read_request"]
