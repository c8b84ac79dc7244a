"""The wire protocol, version 1: envelopes, ops, events, errors. Imports pydantic and numpy only."""

from microscoped.daemon.protocol.alarms import AlarmCode
from microscoped.daemon.protocol.envelope import VERSION, BadRequestError, Event, Message, Reply, Request, read_request
from microscoped.daemon.protocol.errors import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import OPS, Op, OpClass, Scope
from microscoped.daemon.protocol.strict_json import dumps, loads

__all__ = [
    "OPS",
    "VERSION",
    "AlarmCode",
    "BadRequestError",
    "ErrorBody",
    "ErrorCode",
    "Event",
    "Message",
    "Op",
    "OpClass",
    "RefusedError",
    "Reply",
    "Request",
    "Scope",
    "dumps",
    "loads",
    "read_request",
]
