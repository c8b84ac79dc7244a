"""What can go wrong for a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microscoped.daemon.protocol import ErrorBody


class ClientError(Exception):
    """The base of all errors of the client."""


class NoAnswerError(ClientError):
    """The daemon did not answer in time: it is not running, listens elsewhere, or is hung."""


class RequestFailedError(ClientError):
    """The daemon refused a request, or a task failed; `error` says why."""

    def __init__(self, op: str, error: ErrorBody) -> None:
        super().__init__(f"{op}: {error.code}: {error.detail}")
        self.op = op
        self.error = error


class TaskFailedError(RequestFailedError):
    """A task did not end as ``done``; `result` is what it reports all the same."""

    def __init__(self, op: str, error: ErrorBody, result: dict[str, object] | None) -> None:
        super().__init__(op, error)
        self.result = result


__all__ = ["ClientError", "NoAnswerError", "RequestFailedError", "TaskFailedError"]
