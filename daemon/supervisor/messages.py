"""What child and parent say to each other: one line of ASCII each.

The child says ``limits {…}`` once, as its configuration has them, then ``beat`` on every heartbeat of its loop,
``open`` when the microscope is open, and ``closing`` when it begins to close. The parent says ``stop REASON``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

BEAT = "beat"
OPEN = "open"
CLOSING = "closing"
LIMITS = "limits"
STOP = "stop"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the supervisor tolerates.

    Parameters
    ----------
    enabled
        Whether it kills a silent daemon and restarts a crashed one. If not, it only passes on signals and exit code.
    silence_s
        A daemon whose loop is silent for longer is killed.
    crashes, window_s
        With more crashes than this within the window it stays down.
    """

    enabled: bool = True
    silence_s: float = 10.0
    crashes: int = 3
    window_s: float = 600.0


def limits_line(limits: Limits) -> str:
    """Return the line with which a child tells its limits."""
    return f"{LIMITS} {json.dumps(asdict(limits))}"


def read_limits(line: str) -> Limits | None:
    """Return the limits that a line tells; ``None`` if it tells anything else, or is garbled."""
    word, _, rest = line.partition(" ")
    if word != LIMITS:
        return None
    try:
        return Limits(**json.loads(rest))
    except (ValueError, TypeError):
        return None


__all__ = ["BEAT", "CLOSING", "LIMITS", "OPEN", "STOP", "Limits", "limits_line", "read_limits"]
