"""Who may move the stage: one claim at a time, by rank."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from microscoped.daemon.protocol import ErrorCode, RefusedError


class Rank(IntEnum):
    """Ranks of those who move the stage; ``stop`` stands above them all and claims nothing."""

    FOCUS_HOLD = 1
    RULE = 2
    FOCUS_RUN = 3
    OPERATOR = 3
    """An operator without lease is told ``busy`` during a focus run, and need not fear one either."""
    ACQUISITION = 4
    LEASED_OPERATOR = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """The stage belongs to a task."""

    task: str
    op: str
    rank: Rank


def contend(held: Claim | None, wanted: Claim) -> Claim | None:
    """Decide a claim: return the holder that it preempts, or ``None`` where the stage is free.

    Raises
    ------
    RefusedError
        Code ``busy``, naming the holder: it is of the same rank or a higher one.
    """
    if held is None:
        return None
    if held.rank >= wanted.rank:
        raise RefusedError(
            ErrorCode.BUSY,
            f"the stage belongs to {held.op} (task {held.task}); wait for its end or cancel it",
            {"holder": held.op, "task": held.task},
        )
    return held


__all__ = ["Claim", "Rank", "contend"]
