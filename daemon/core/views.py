"""What is known of the parts of the microscope and of the daemon: a part of the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from microscoped.daemon.core.inputs import Peer
from microscoped.daemon.focus import PairCheck
from microscoped.daemon.rules import RuleSet, RulesState
from microscoped.drivers.commands import FrameRate
from microscoped.drivers.protocols import CameraInfo, CameraSettings, FocusDirection


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """A request that has not been answered yet."""

    peer: Peer
    cause: str
    op: str
    received_ns: int


@dataclass(frozen=True, slots=True)
class StageView:
    """What is known of the stage; `xy_um` of the one in the plane, ``None`` where there is none."""

    name: str = ""
    z_um: float | None = None
    moving: bool = False
    focus_direction: FocusDirection = FocusDirection.UNKNOWN
    xy_um: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class CameraView:
    """What is known of the camera.

    Parameters
    ----------
    info, info_binning
        From when it was opened, with this binning.
    settings
        How it is set.
    streaming, streaming_since_ns
        Whether it streams; since when, or since when at this rate.
    fps
        Exposures of a stream per second; ``None``: as many as the camera makes by itself.
    frames, lost
        How many there were.
    newest_ns
        When the newest one's exposure began.
    """

    info: CameraInfo | None = None
    info_binning: int = 1
    settings: CameraSettings = field(default_factory=CameraSettings)
    streaming: bool = False
    frames: int = 0
    lost: int = 0
    newest_ns: int | None = None
    streaming_since_ns: int = 0
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class EngineView:
    """What an engine has done: frames measured and skipped, latencies since the last heartbeat in ms.

    `failing`: whether it could not measure the last frame that it was offered. `offered`: frames that it has not
    measured or skipped yet, and when their exposures began.
    """

    measured: int = 0
    skipped: int = 0
    latencies_ms: tuple[float, ...] = ()
    failing: bool = False
    offered: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class WatchView:
    """What the watchdogs remember: for each engine, measured frames at the last heartbeat and since when none came."""

    engines: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordingView:
    """What is known of a recording, or of the last one.

    Parameters
    ----------
    state, folder, pixels, recorded_seq, waiting, frames, skipped, detail
        As in `RecordingStatus`.
    waits
        The requests that wait for its beginning or its end.
    """

    state: Literal["starting", "recording", "ending", "ended"]
    folder: str
    pixels: bool
    recorded_seq: int = 0
    waiting: int = 0
    frames: int = 0
    skipped: int = 0
    detail: str = ""
    waits: tuple[ReplyTo, ...] = ()


@dataclass(frozen=True, slots=True)
class AcquisitionView:
    """An acquisition that has not ended: it may outlast its task for a moment.

    Parameters
    ----------
    task
        Its task.
    streamed, exposure_ms
        Whether the camera streamed before, and its exposure then: both come back.
    cancelled
        Whether it was told to end.
    """

    task: str
    streamed: bool
    exposure_ms: float | None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class PairWatch:
    """What the checks of the last pairs said, and why ``auto`` does not use pairs any more; empty where it may."""

    checks: tuple[PairCheck, ...] = ()
    suspended: str = ""


@dataclass(frozen=True, slots=True)
class TopicView:
    """The last event of a topic."""

    seq: int
    data: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Acting:
    """An action of a rule that goes on.

    Parameters
    ----------
    number, rule
        Of the decision, and which rule.
    task
        The task that it is, or that its frames are a part of; ``None``: a change of the camera, which goes on until the
        rule is released.
    batch, frames_left, accepted
        Of what it has injected into the acquisition `task`: its name; how many of its frames are to come, less than 0
        where some came before it was `accepted`, when their number is told.
    dose_ms, most_ms
        Light that it has given, and most that it may give; ``None`` where that is not bounded.
    before_ms, before_fps, command
        The camera's exposure and frame rate before they were changed, ``None`` where they were not; and the hardware
        command that changes them.
    """

    number: int
    rule: str
    task: str | None = None
    batch: str | None = None
    frames_left: int = 0
    accepted: bool = False
    dose_ms: float = 0.0
    most_ms: float | None = None
    before_ms: float | None = None
    before_fps: FrameRate | None = None
    command: str | None = None


@dataclass(frozen=True, slots=True)
class RulesView:
    """The rules, and what they know.

    Parameters
    ----------
    rules
        As they were given.
    known
        ``None`` until the microscope is open: then they begin to watch.
    acting
        Actions that go on.
    wake_ns
        When they want to be looked at again.
    """

    rules: RuleSet = field(default_factory=RuleSet)
    known: RulesState | None = None
    acting: tuple[Acting, ...] = ()
    wake_ns: int | None = None


__all__ = [
    "AcquisitionView",
    "Acting",
    "CameraView",
    "EngineView",
    "PairWatch",
    "RecordingView",
    "ReplyTo",
    "RulesView",
    "StageView",
    "TopicView",
    "WatchView",
]
