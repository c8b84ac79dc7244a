"""What tasks are doing, and how they end: a part of the state."""
# ruff: noqa: TC001, TC002, TC003 - the journal reads these types at run time

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from pydantic import JsonValue

from microscoped.daemon.focus import (
    CalibrationPlan,
    DistancePolicy,
    DistanceReading,
    Leg,
    PairEvent,
    PairPolicy,
    Sample,
    SearchSettings,
    StepLeg,
    StepPlan,
)
from microscoped.daemon.protocol import ErrorBody
from microscoped.daemon.protocol.params import FocusHoldParams

TaskState: TypeAlias = Literal["accepted", "running", "done", "failed", "cancelled", "preempted"]
Method: TypeAlias = Literal["search", "pair"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ends."""

    state: TaskState
    result: Mapping[str, JsonValue] | None = None
    error: ErrorBody | None = None


@dataclass(frozen=True, slots=True)
class MoveWork:
    """A move under way."""

    target_um: float


@dataclass(frozen=True, slots=True)
class SnapWork:
    """A snap under way."""


@dataclass(frozen=True, slots=True)
class PairWork:
    """The part of a focus run that reads pairs.

    Parameters
    ----------
    policy, history
        The run, and what came of each of its steps: all the state there is.
    frames
        Ids of the images, in the order of exposure.
    options
        What the engine is told of every pair.
    error
        Why the engine could not read one.
    """

    policy: PairPolicy
    options: Mapping[str, JsonValue]
    history: tuple[PairEvent, ...] = ()
    frames: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class FocusWork:
    """A focus run under way.

    Parameters
    ----------
    search, options
        How it searches, and what the sharpness engine is told.
    method, why
        What it does now, and why that.
    pair
        What it read, where it began with pairs.
    fallback
        Whether it may search where pairs do not settle it.
    start_um, offset_um, began_ns
        Where it began; what is added at the end; when it began.
    warnings
        What a reader of the report must know.
    samples
        What was measured so far: the whole state of the search.
    phase
        What it waits for; ``ended`` where it belongs to a ``focus.hold`` and its outcome was not looked at yet.
    images, targets, moves, travel_um
        What it has cost.
    frame
        The frame being measured.
    outcome
        How the task will end once the stage has come home.
    """

    search: SearchSettings
    options: Mapping[str, JsonValue]
    start_um: float
    offset_um: float
    began_ns: int
    method: Method = "search"
    why: str = ""
    pair: PairWork | None = None
    fallback: bool = True
    warnings: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    phase: Literal["moving", "snapping", "measuring", "homing", "ended"] = "moving"
    images: int = 0
    targets: int = 0
    moves: int = 0
    travel_um: float = 0.0
    frame: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class DistanceWork:
    """An excursion of a ``focus.hold`` by holograms under way.

    Parameters
    ----------
    policy, readings
        What bounds it, and what was read so far: all the state there is.
    start_um, began_ns
        Where and when it began.
    phase
        What it waits for; ``ended`` where its outcome was not looked at yet.
    images, targets, moves, travel_um
        What it has cost.
    frame
        The hologram being measured.
    outcome
        How it will end once the stage has come home.
    """

    policy: DistancePolicy
    start_um: float
    began_ns: int
    readings: tuple[DistanceReading, ...] = ()
    phase: Literal["moving", "snapping", "measuring", "homing", "ended"] = "snapping"
    images: int = 0
    targets: int = 0
    moves: int = 0
    travel_um: float = 0.0
    frame: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class HoldWork:
    """A ``focus.hold`` under way.

    Parameters
    ----------
    params
        What was asked for.
    lease
        Token of the lease that it was begun with.
    began_ns, since_ns
        When it began; since when the stage has been at rest in the plane.
    due
        Why an excursion should be made; empty where none should.
    blocked
        Why that cannot be just now.
    run
        The excursion under way.
    plane_um
        The plane that is kept; ``None`` where somebody else has moved the stage since.
    frames, reference, scores
        Frames seen since `since_ns`; the score right after it; the latest scores, of holograms the latest distances.
    numerical, distance_um
        Of holograms: whether they are refocused numerically, so that no excursion is made; and the distance that is
        kept, or in which they were refocused last, ``None`` before the first.
    excursions_ns
        When the excursions of the last minute began.
    rounds, failed, failed_in_row
        Excursions that ended, those without focus, and those without focus since the last one with it.
    images, moves, travel_um
        What it has cost.
    last
        What the last excursion reported.
    ending
        How the task will end once the stage has come home.
    """

    params: FocusHoldParams
    lease: str | None
    began_ns: int
    since_ns: int
    due: str
    blocked: str = ""
    run: FocusWork | DistanceWork | None = None
    plane_um: float | None = None
    frames: int = 0
    reference: float | None = None
    scores: tuple[float, ...] = ()
    numerical: bool = False
    distance_um: float | None = None
    excursions_ns: tuple[int, ...] = ()
    rounds: int = 0
    failed: int = 0
    failed_in_row: int = 0
    images: int = 0
    moves: int = 0
    travel_um: float = 0.0
    last: Mapping[str, JsonValue] | None = None
    ending: Outcome | None = None

    def without_run(self) -> HoldWork:
        """The same after its excursion, whose costs are counted."""
        run = self.run
        if run is None:
            return self
        return replace(
            self,
            run=None,
            images=self.images + run.images,
            moves=self.moves + run.moves,
            travel_um=self.travel_um + run.travel_um,
        )


CalibratePhase: TypeAlias = Literal[
    "searching",
    "sweeping",
    "stage",
    "fitting",
    "moving",
    "correcting",
    "parking",
    "waiting",
    "stepping",
    "judging",
    "homing",
]
CalibrateAction: TypeAlias = Literal["score", "sweep", "field", "visit", "stage", "fit", "pair", "finish"]
"""What an engine was last asked for."""


@dataclass(frozen=True, slots=True)
class CalibrateWork:
    """A calibration of focus from pairs under way.

    Parameters
    ----------
    plan
        Where it goes.
    start_um, began_ns
        Where and when it began.
    pixel_size_um, binning, channel, sign
        What it is for: size of an unbinned pixel in the specimen, the camera's binning, the light, and what the stage's
        direction means for the sign of the defocus.
    range_um, extremum
        As in `FocusRunParams`.
    own_delta
        Whether the distance of the two images is another one than the configured.
    deep
        Whether the network may be fine-tuned.
    phase, awaits
        What it does, and what the engine was asked for last.
    field, accepted, rejected
        Number of the present field, how many have a focus, and which have none and why.
    swept, known, fitted
        Whether the engine has begun; fields of which it knows; whether the fit is there.
    search, options, samples, found
        The search of this field, what the sharpness engine is told, what was measured, and which kind of focus it was.
    focus_um
        Focus of the last field that has one.
    legs
        Where the stage still goes in this field.
    frames
        Newest frame; in front of it the one that it makes a pair with.
    move, residuals_um
        Number of the present closed-loop move; how far from the focus they ended, ``None`` without an answer.
    reasons
        What speaks against it before the end.
    doing
        The last thing worth telling.
    images, moves, travel_um
        What it has cost.
    outcome
        How the task will end once the stage has come home.
    """

    plan: CalibrationPlan
    start_um: float
    began_ns: int
    pixel_size_um: float
    binning: int
    channel: str | None
    range_um: float | None
    extremum: Literal["max", "min", "auto"] | None
    sign: int
    own_delta: bool = False
    deep: bool = False
    phase: CalibratePhase = "searching"
    awaits: CalibrateAction = "score"
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    field: int = 1
    accepted: int = 0
    rejected: tuple[tuple[int, str], ...] = ()
    swept: bool = False
    known: tuple[int, ...] = ()
    fitted: bool = False
    search: SearchSettings | None = None
    samples: tuple[Sample, ...] = ()
    found: Literal["max", "min"] | None = None
    focus_um: float | None = None
    legs: tuple[Leg, ...] = ()
    frames: tuple[str, ...] = ()
    move: int = 0
    residuals_um: tuple[float | None, ...] = ()
    reasons: tuple[str, ...] = ()
    doing: str = ""
    images: int = 0
    moves: int = 0
    travel_um: float = 0.0
    outcome: Outcome | None = None


CalibrateHologramPhase: TypeAlias = Literal["waiting", "changing", "background", "stepping", "judging", "homing"]


@dataclass(frozen=True, slots=True)
class CalibrateHologramWork:
    """A calibration of holograms under way.

    Parameters
    ----------
    plan
        Where it goes.
    began_ns
        When it began.
    pixel_size_um, binning
        What it is for: size of a pixel of the frames in the specimen, binning included, and the binning.
    sign
        What the stage's direction means: see `microscoped.daemon.focus.light_sign`.
    background, background_file
        Which background the engine takes: the one in force (``keep``), the one that is ``taken`` in this calibration,
        or ``none``; and the name of the file that it comes from.
    phase, field, wanted
        What it does; how often it has waited for a person; and for which place of the slide it waits.
    legs
        Where the stage still goes.
    begun, done
        Whether the engine has begun, and how many visits were measured.
    frame
        The newest frame.
    reasons
        What speaks against it before the end.
    doing, distance_um
        The last thing worth telling, and the last distance.
    images, moves, travel_um
        What it has cost.
    outcome
        How the task will end once the stage has come home.
    """

    plan: StepPlan
    began_ns: int
    pixel_size_um: float
    binning: int
    sign: Literal[-1, 0, 1]
    background: Literal["keep", "taken", "none"] = "keep"
    background_file: str | None = None
    phase: CalibrateHologramPhase = "stepping"
    field: int = 0
    wanted: Literal["empty", "specimen"] | None = None
    legs: tuple[StepLeg, ...] = ()
    begun: bool = False
    done: int = 0
    frame: str | None = None
    reasons: tuple[str, ...] = ()
    doing: str = ""
    distance_um: float | None = None
    images: int = 0
    moves: int = 0
    travel_um: float = 0.0
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class AcquireWork:
    """An acquisition under way.

    Parameters
    ----------
    frames
        Its frames that are in hand.
    run, request
        The focus run that it waits for, and what the answer is returned with.
    ending
        Why it is being cancelled; empty where it is not.
    not_stored
        Why frames of it are not in the recording; empty where they are, or where nothing is recorded.
    """

    frames: int = 0
    run: FocusWork | None = None
    request: str = ""
    ending: str = ""
    not_stored: str = ""


Work: TypeAlias = MoveWork | SnapWork | FocusWork | HoldWork | CalibrateWork | CalibrateHologramWork | AcquireWork

__all__ = [
    "AcquireWork",
    "CalibrateAction",
    "CalibrateHologramPhase",
    "CalibrateHologramWork",
    "CalibratePhase",
    "CalibrateWork",
    "DistanceWork",
    "FocusWork",
    "HoldWork",
    "Method",
    "MoveWork",
    "Outcome",
    "PairWork",
    "SnapWork",
    "TaskState",
    "Work",
]
