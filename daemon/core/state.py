"""What the daemon knows: one frozen value, replaced at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from microscoped.daemon.core.arbiter import Claim
from microscoped.daemon.core.inputs import Peer
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.core.views import (
    AcquisitionView,
    CameraView,
    EngineView,
    PairWatch,
    RecordingView,
    ReplyTo,
    RulesView,
    StageView,
    TopicView,
    WatchView,
)
from microscoped.daemon.core.works import (
    AcquireWork,
    CalibrateHologramWork,
    CalibrateWork,
    DistanceWork,
    FocusWork,
    HoldWork,
    Method,
    MoveWork,
    Outcome,
    PairWork,
    SnapWork,
    TaskState,
    Work,
)
from microscoped.daemon.focus import Approach
from microscoped.daemon.protocol import AlarmCode, ErrorBody
from microscoped.daemon.protocol.events import FrameData
from microscoped.drivers.commands import FrameRate
from microscoped.drivers.optics import Optics
from microscoped.drivers.safety import MotionSettings, XYMotionSettings


@dataclass(frozen=True, slots=True)
class PairDefaults:
    """What focus from a pair of images works with.

    Parameters
    ----------
    dof_um, delta_um
        Depth of field, and the distance between the two images.
    pixel_size_um
        Size of an unbinned camera pixel in the specimen; ``None``: what the driver says.
    model, model_sha256, tuned_sha256
        The network; and the one that the calibration has fine-tuned from it, if it has.
    no_deep
        Why networks cannot be fine-tuned here; empty where they can.
    calibrated, why_not
        Whether an accepted calibration of this microscope is there, or why not: ``auto`` uses pairs only with one.
    channel, binning, approach, sign
        What the calibration holds for: ``None`` for whatever there is. `sign` is +1 where the plane in focus moves
        along the light as ``z_um`` rises.
    """

    dof_um: float
    delta_um: float
    pixel_size_um: float | None
    model: str
    model_sha256: str
    calibrated: bool = False
    why_not: str = ""
    channel: str | None = None
    binning: int | None = None
    approach: Approach | None = None
    sign: Literal[-1, 1] | None = None
    tuned_sha256: str | None = None
    no_deep: str = ""


@dataclass(frozen=True, slots=True)
class HologramDefaults:
    """What the reducer knows of the engine ``hologram``.

    Parameters
    ----------
    dof_um
        Depth of field n·λ/NA² in the medium.
    medium_index
        Refractive index of the medium round the specimen.
    pixel_size_um
        Size of an unbinned camera pixel in the specimen; ``None``: what the driver says.
    side
        Which sideband is read: +1 or −1.
    calibrated, why_not
        Whether an accepted calibration of this microscope is there, or why not.
    binning
        What the calibration holds for; ``None`` for whatever there is.
    sign, stage_per_focus
        What it found: +1 where the distance rises as ``z_um`` rises, and stage µm per µm of distance; ``None`` without.
    offset_um, repeatability_um
        Distance of its specimen at ``z_um`` 0, and how well distances repeat; ``None`` without.
    scale_known
        Whether the wavelength is: without it distances are no micrometres.
    tolerance_um
        How exactly ``focus.hold`` keeps a distance.
    refocus
        What it does: moves the stage, or lets each frame be refocused numerically.
    """

    dof_um: float
    medium_index: float
    pixel_size_um: float | None
    scale_known: bool = True
    tolerance_um: float = 0.4
    refocus: Literal["stage", "numerical"] = "stage"
    side: Literal[-1, 1] = 1
    calibrated: bool = False
    why_not: str = "this microscope was not calibrated for holograms"
    binning: int | None = None
    sign: Literal[-1, 1] | None = None
    stage_per_focus: float | None = None
    offset_um: float | None = None
    repeatability_um: float | None = None


@dataclass(frozen=True, slots=True)
class CellsDefaults:
    """What the reducer knows of the engine ``cells``.

    Parameters
    ----------
    source
        What the frames are: ``opd``, ``hologram`` or ``lensfree``.
    network, network_sha256
        What reads them; the second is empty without a network.
    accelerator, unwrapper
        Networks between the iterations of a lens-free reconstruction; empty without.
    pixel_size_um
        Size of an unbinned camera pixel in the specimen; ``None``: what the driver says.
    every
        Of a stream, each how manieth frame is measured.
    links
        Whether cells are followed from frame to frame.
    """

    source: Literal["opd", "hologram", "lensfree"]
    network: str
    network_sha256: str = ""
    accelerator: str = ""
    unwrapper: str = ""
    pixel_size_um: float | None = None
    every: int = 1
    links: bool = True


@dataclass(frozen=True, slots=True)
class FocusDefaults:
    """What ``focus.run`` uses where the request does not say (see `FocusRunParams`).

    `no_pair` says why there is no focus from pairs where `pair` is ``None``; `hold_per_min` bounds the excursions of
    ``focus.hold``.
    """

    range_um: float
    tolerance_um: float
    coarse_step_um: float
    extremum: Literal["max", "min", "auto"]
    metric: str
    roi: tuple[int, int, int, int] | None
    max_images: int
    offsets_um: Mapping[str, float]
    pair: PairDefaults | None = None
    no_pair: str = "it is switched off in the configuration (focus.pair.enabled)"
    hold_per_min: int = 6


@dataclass(frozen=True, slots=True)
class Settings:
    """Facts that do not change within a session.

    Parameters
    ----------
    software, endpoints, size_limits
        For ``hello``.
    motion, xy
        The rules of motion, as the configuration says them, of the focus stage and of the stage in the plane.
    optics
        What is known of the optics; ``None`` where a figure is missing.
    objective
        Its name, for calibrations.
    focus
        Defaults of ``focus.run``.
    hologram, no_hologram
        What is known of the engine ``hologram``, or why there is none.
    cells, no_cells
        What is known of the engine ``cells``, or why there is none.
    engines
        Engines that every frame is offered to.
    engine_late_s
        How long frames may wait for an engine that needs more than seconds for one, by its name.
    frame_allowance_s
        As in `HardwareSettings`: how long a frame may take to arrive.
    ring, snaps
        How many frames of a stream, and how many single ones, are kept.
    kept_tasks
        How many ended tasks are remembered.
    pixel_size_um
        Size of an unbinned camera pixel in the specimen; ``None``: what the driver says.
    record_folder, record_pixels
        Where recordings go, and whether frames are in them where nobody says.
    stream_at_start, fps
        Whether the camera streams as soon as it is open, and how many exposures a second a stream makes at first;
        ``None``: as many as the camera makes by itself.
    expected_z_um
        Where the stage was when the daemon last ran; ``None`` where that is not known or means nothing.
    """

    software: str
    endpoints: Mapping[str, str]
    size_limits: Mapping[str, int]
    motion: MotionSettings
    focus: FocusDefaults
    optics: Optics | None = None
    objective: str | None = None
    hologram: HologramDefaults | None = None
    no_hologram: str = "it is switched off in the configuration (engines.hologram.enabled)"
    cells: CellsDefaults | None = None
    no_cells: str = "it is switched off in the configuration (engines.cells.enabled)"
    engines: tuple[str, ...] = ()
    engine_late_s: Mapping[str, float] = field(default_factory=dict)
    frame_allowance_s: float = 2.0
    ring: int = 16
    snaps: int = 8
    kept_tasks: int = 64
    pixel_size_um: float | None = None
    record_folder: str = ""
    record_pixels: bool = True
    stream_at_start: bool = False
    fps: float | None = None
    expected_z_um: float | None = None
    xy: XYMotionSettings = field(default_factory=XYMotionSettings)


@dataclass(frozen=True, slots=True)
class StopWait:
    """A ``stop`` that waits for the driver, and the tasks that ended because of it."""

    reply: ReplyTo
    cancelled: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that was seen, so that it is not done twice.

    Parameters
    ----------
    at_ns, body
        When it came first, and a digest of what it asked for.
    answer
        The reply, once there is one.
    also
        Where else it came from meanwhile: a client that reconnected waits there.
    """

    at_ns: int
    body: str
    answer: Mapping[str, JsonValue] | None = None
    also: tuple[Peer, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """The stage kept for one client until `expires_ns`; `user` is whose key took it, nobody where no keys are used."""

    token: str
    holder: str
    expires_ns: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """Anything that takes longer than a reply.

    `work` is ``None`` once it has ended. `user` is whose key began it, nobody where no keys are used.
    """

    id: str
    op: str
    cause: str
    state: TaskState
    work: Work | None
    progress: Mapping[str, JsonValue] = field(default_factory=dict)
    result: Mapping[str, JsonValue] | None = None
    error: ErrorBody | None = None
    user: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.work is None


@dataclass(frozen=True, slots=True)
class Pending:
    """A hardware command or a measurement that somebody waits for: a task, or a request not yet answered.

    `fps` is the frame rate that it sets, where it sets one.
    """

    op: str
    due_ns: int
    task: str | None = None
    reply: ReplyTo | None = None
    fps: FrameRate | None = None


@dataclass(frozen=True, slots=True)
class TaskWait:
    """A ``task.get`` that waits for the task's end."""

    task: str
    reply: ReplyTo


@dataclass(frozen=True, slots=True)
class FrameWait:
    """A ``frame.get`` that waits for the next frame."""

    timer: str
    reply: ReplyTo


@dataclass(frozen=True)
class State:
    """Everything.

    Parameters
    ----------
    session, secret, began_ns, ids
        The session's id; what its lease tokens are made of; when it began; how many ids were handed out.
    """

    settings: Settings
    session: str
    began_ns: int
    secret: str = ""
    ids: int = 0
    mode: Mode = Mode.STARTING
    reason: str = "the microscope is being opened"
    hardware_open: bool = False
    description: Mapping[str, str] = field(default_factory=dict)
    stage: StageView = field(default_factory=StageView)
    presets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    camera: CameraView = field(default_factory=CameraView)
    engines: Mapping[str, EngineView] = field(default_factory=dict)
    claim: Claim | None = None
    tasks: Mapping[str, Task] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)
    topics: Mapping[str, TopicView] = field(default_factory=dict)
    ring: tuple[FrameData, ...] = ()
    snaps: tuple[FrameData, ...] = ()
    task_waits: Mapping[str, TaskWait] = field(default_factory=dict)
    frame_waits: tuple[FrameWait, ...] = ()
    stop_waits: tuple[StopWait, ...] = ()
    lease: Lease | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    history: tuple[Mapping[str, JsonValue], ...] = ()
    alarms: frozenset[AlarmCode] = frozenset()
    watches: WatchView = field(default_factory=WatchView)
    pair_watch: PairWatch = field(default_factory=PairWatch)
    recording: RecordingView | None = None
    acquisition: AcquisitionView | None = None
    rules: RulesView = field(default_factory=RulesView)

    def changed(self, changes: Mapping[str, Any]) -> State:
        """Return this with other values of some fields: as `dataclasses.replace`, without the constructor, and faster.

        Raises
        ------
        TypeError
            There is no such field.
        """
        if not changes.keys() <= self.__dict__.keys():
            raise TypeError(f"the state has no field {', '.join(sorted(changes.keys() - self.__dict__.keys()))}")
        new = object.__new__(State)
        new.__dict__.update(self.__dict__, **changes)
        return new

    def frame(self, frame: str) -> FrameData | None:
        """The header of a frame that is still kept."""
        return next((kept for kept in (*self.snaps, *self.ring) if kept.frame == frame), None)

    def newest_frame(self) -> FrameData | None:
        """The header of the newest frame."""
        kept = [frames[-1] for frames in (self.ring, self.snaps) if frames]
        return max(kept, key=lambda frame: frame.exposure_start_ns) if kept else None


__all__ = [
    "AcquireWork",
    "AcquisitionView",
    "CalibrateHologramWork",
    "CalibrateWork",
    "CameraView",
    "CellsDefaults",
    "DistanceWork",
    "EngineView",
    "FocusDefaults",
    "FocusWork",
    "FrameWait",
    "HoldWork",
    "HologramDefaults",
    "Lease",
    "Method",
    "MoveWork",
    "Outcome",
    "PairDefaults",
    "PairWatch",
    "PairWork",
    "Pending",
    "RecordingView",
    "ReplyTo",
    "RulesView",
    "Seen",
    "Settings",
    "SnapWork",
    "StageView",
    "State",
    "StopWait",
    "Task",
    "TaskState",
    "TaskWait",
    "TopicView",
    "WatchView",
    "Work",
]
