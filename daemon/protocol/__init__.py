"""The wire protocol, version 1: envelopes, ops, events, errors. Imports pydantic and numpy only."""

from microscoped.daemon.protocol.envelope import VERSION, BadRequestError, Event, Message, Reply, Request, read_request
from microscoped.daemon.protocol.errors import ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import OPS, Op, OpClass
from microscoped.daemon.protocol.strict_json import dumps, loads

__all__ = [
    "OPS",
    "VERSION",
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
    "dumps",
    "loads",
    "read_request",
]
