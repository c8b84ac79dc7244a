"""What an acquisition says of itself: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.acquire.sink import EndState, EventRecord

Phase: TypeAlias = Literal["preparing", "running", "pausing", "paused", "cancelling", "ended"]


@dataclass(frozen=True, slots=True)
class FocusReport:
    """How one focus event ended.

    Parameters
    ----------
    index
        Its place in the sequence.
    found, z_um, reason
        As in `FocusOutcome`.
    attempts, images, light_ms
        What it has cost, retries included.
    correction_um
        What is added to the planned z of this position from now on.
    """

    index: Mapping[str, int]
    found: bool
    z_um: float
    reason: str
    attempts: int
    images: int
    light_ms: float
    correction_um: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an acquisition is.

    Parameters
    ----------
    phase
        What it does: ``pausing`` and ``cancelling`` last until the event under way has ended.
    frames_done, frames_skipped, frames_expected
        Frames taken over by the sink, and skipped with a reason; how many there will be with all that was injected.
    event
        The event under way.
    focus
        How the last focus event ended.
    focus_found, focus_failed
        How many did, and did not.
    skips
        How many frames were skipped for which reason.
    light_ms
        Exposure time spent, focusing included.
    late_s
        Greatest lateness of an event so far.
    injected_waiting
        How many injected events wait.
    elapsed_s
        Since it began.
    """

    phase: Phase
    frames_done: int
    frames_skipped: int
    frames_expected: int
    event: EventRecord | None = None
    focus: FocusReport | None = None
    focus_found: int = 0
    focus_failed: int = 0
    skips: Mapping[str, int] = field(default_factory=dict)
    light_ms: float = 0.0
    late_s: float = 0.0
    injected_waiting: int = 0
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AcquireOutcome:
    """How an acquisition ended.

    Parameters
    ----------
    state
        ``completed``: every frame was taken, or skipped with its reason. ``cancelled``: somebody wanted so. ``failed``:
        it could not go on.
    reason, code
        Why, in words and as an error code; empty where it is completed.
    progress
        How far it came.
    z_um, xy_um
        Where it left the stages, as far as it moved them.
    """

    state: EndState
    reason: str
    code: str
    progress: Progress
    z_um: float | None = None
    xy_um: tuple[float, float] | None = None


__all__ = ["AcquireOutcome", "FocusReport", "Phase", "Progress"]
