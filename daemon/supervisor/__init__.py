"""The parent of a daemon: starts it, listens to its heartbeat, and starts it again, motionless, when it has crashed.

It loads nothing but the standard library: a driver's fault, a full memory or a lock held in the daemon cannot reach it.
"""

from microscoped.daemon.supervisor.link import ParentLink
from microscoped.daemon.supervisor.messages import BEAT, CLOSING, OPEN, Limits, limits_line
from microscoped.daemon.supervisor.parent import Supervisor
from microscoped.daemon.supervisor.policy import CRASHED_TOO_OFTEN, End, Policy, Restart

__all__ = [
    "BEAT",
    "CLOSING",
    "CRASHED_TOO_OFTEN",
    "OPEN",
    "End",
    "Limits",
    "ParentLink",
    "Policy",
    "Restart",
    "Supervisor",
    "limits_line",
]
