"""A client for scripts: needs pyzmq, numpy and pydantic, and nothing of the microscope."""

from microscoped.daemon.client.asynchronous import AsyncScope
from microscoped.daemon.client.errors import ClientError, NoAnswerError, RequestFailedError, TaskFailedError
from microscoped.daemon.client.events import Events
from microscoped.daemon.client.scope import DEFAULT_ADDRESS, Scope
from microscoped.daemon.client.subscription import Subscription
from microscoped.daemon.client.tables import Tables

__all__ = [
    "DEFAULT_ADDRESS",
    "AsyncScope",
    "ClientError",
    "Events",
    "NoAnswerError",
    "RequestFailedError",
    "Scope",
    "Subscription",
    "Tables",
    "TaskFailedError",
]
