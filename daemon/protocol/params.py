"""The parameters of the ops. Schema and documents are made from the docstrings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, StrictBool, StrictFloat, StrictInt, model_validator

from microscoped.daemon.protocol.envelope import Message

# JSON knows numbers from text and from truth values; so do we. An integer is a float, too.
Number = StrictFloat | StrictInt
WaitMs = Annotated[Number, Field(ge=0, le=60_000)]
Region = tuple[StrictInt, StrictInt, StrictInt, StrictInt]
TaskId = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(max_length=128)]


class Empty(Message):
    """No parameters."""


class SnapshotParams(Message):
    """Parameters of ``snapshot``.

    Parameters
    ----------
    topics
        Prefixes of the topics wanted; none for all.
    """

    topics: Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=64)] = []


class MoveParams(Message):
    """Parameters of ``stage.move``.

    Parameters
    ----------
    z_um
        Where to, in the stage's own coordinate.
    relative
        Whether `z_um` is added to where the stage is.
    """

    z_um: Number
    relative: StrictBool = False


class CameraSetParams(Message):
    """Parameters of ``camera.set``: what is given is changed, and nothing else.

    Parameters
    ----------
    exposure_ms
        Exposure time.
    binning
        Pixels binned along each axis.
    roi
        Region of the sensor: x, y, width, height in unbinned pixels.
    gain
        In the driver's own unit.
    auto_exposure, auto_gain, auto_white_balance
        Whether the camera adjusts itself: then measurements of unlike frames hardly compare.
    fps
        Exposures of a stream per second, each made by itself: no light between two. A stream goes on at the new rate.
        ``free``: as many as the camera makes, one right after the other. More than fit into a second are refused.
    """

    exposure_ms: Annotated[Number, Field(gt=0, le=3_600_000)] | None = None
    binning: Annotated[StrictInt, Field(ge=1, le=16)] | None = None
    roi: Region | None = None
    gain: Number | None = None
    auto_exposure: StrictBool | None = None
    auto_gain: StrictBool | None = None
    auto_white_balance: StrictBool | None = None
    fps: Annotated[Number, Field(gt=0, le=10_000)] | Literal["free"] | None = None


class FrameGetParams(Message):
    """Parameters of ``frame.get``.

    Parameters
    ----------
    frame
        Id of the frame wanted; the newest where neither this nor `newer_than` is given.
    newer_than
        Id of a frame: the newest frame after it is wanted.
    wait_ms
        How long to wait for a newer frame where there is none yet.
    """

    frame: Name | None = None
    newer_than: Name | None = None
    wait_ms: WaitMs = 0


class FocusRunParams(Message):
    """Parameters of ``focus.run``; what is not given comes from the configuration.

    Parameters
    ----------
    method
        ``search``: Brent's method on a sharpness score. ``pair``: two images tell where the focus is, and another pair
        confirms it; where none does, the search takes over. ``auto``: pairs with an accepted calibration that holds
        for this channel and binning, else the search.
    range_um
        Half width of the search around the present position; pairs do not lead beyond it either.
    tolerance_um
        How exactly the focus is wanted.
    extremum
        Whether focus is the maximum of contrast, its minimum, or to be found out.
    metric, roi
        The sharpness score, and the region (x, y, width, height) in pixels that it looks at.
    channel
        The channel that will be imaged next: its configured offset is added at the end.
    """

    method: Literal["auto", "pair", "search"] = "auto"
    range_um: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    tolerance_um: Annotated[Number, Field(gt=0, le=1_000)] | None = None
    extremum: Literal["max", "min", "auto"] | None = None
    metric: Name | None = None
    roi: Region | None = None
    channel: Name | None = None


class FocusHoldParams(Message):
    """Parameters of ``focus.hold``.

    By ``images`` at least one of ``every_frames``, ``every_s`` and ``score_drop`` is needed, and any of them starts an
    excursion. By ``hologram`` none is: each measured hologram says how far off the specimen is.

    Parameters
    ----------
    source
        What tells where the focus is: ``images`` that are taken for it, as ``focus.run`` does; or the distance that the
        engine ``hologram`` reads of every frame.
    distance_um
        By ``hologram``: the distance of the specimen from the plane in focus that is kept, in the medium, positive
        along the light; by default what it is at the beginning. Where ``engines.hologram.refocus`` is ``numerical`` the
        stage does not move, and each hologram is refocused to its own distance instead.
    every_frames
        After so many frames of the stream, exposed in the plane.
    every_s
        After so many seconds.
    score_drop
        When the sharpness score has fallen by this part since the last excursion (risen, where focus is the minimum of
        contrast). Needs the sharpness engine on every frame.
    method
        As in ``focus.run``, but pairs that settle nothing are not followed by a search: the stage returns to the plane.
        Only by ``images``.
    channel
        The channel that is imaged: its configured offset is added. Only by ``images``.
    """

    source: Literal["images", "hologram"] = "images"
    distance_um: Annotated[Number, Field(ge=-10_000, le=10_000)] | None = None
    every_frames: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    every_s: Annotated[Number, Field(ge=0.1, le=86_400)] | None = None
    score_drop: Annotated[Number, Field(ge=0.01, le=0.9)] | None = None
    method: Literal["auto", "pair", "search"] = "auto"
    channel: Name | None = None


FOCUS_ONLY = frozenset({"fields", "extremum", "channel", "delta_dof", "deep"})
"""Parameters of ``calibrate.run`` that say something to a calibration of focus only."""
HOLOGRAM_ONLY = frozenset({"steps", "visits", "background", "background_file"})
"""And those that say something to a calibration of holograms only."""


class CalibrateRunParams(Message):
    """Parameters of ``calibrate.run``. Those that say something to the other kind of calibration only are refused.

    Parameters
    ----------
    what
        ``focus``: focus from pairs of images. ``hologram``: how distances of holograms follow the stage.
    fields
        Of focus: fields of the specimen with a focus that are wanted, two thirds to fit to, the others to judge by.
        After each the task waits for ``calibrate.next``.
    range_um
        Of focus: of the search in each field, as in ``focus.run``. Of holograms: how far the stage goes to either side
        of where it is; by default four depths of field.
    extremum
        Of focus: of the search in each field, as in ``focus.run``.
    channel
        Of focus: name of the light that is on; the calibration holds for it alone.
    delta_dof
        Of focus: distance between the two images in depths of field; by default the configured one.
    dose_budget_ms
        Most exposure in all: where the calibration could take more it is refused.
    deep
        Of focus: whether the network itself is fine-tuned on the pairs where nothing cheaper passes. Needs the extra
        ``train``; takes minutes of one processor after the fitted fields.
    steps, visits
        Of holograms: at how many places of the range, and how often at each.
    background
        Of holograms: ``keep`` the background hologram of the calibration in force, if there is one; ``ask`` for a new
        one: the task waits for ``calibrate.next`` twice, at an empty place and back at the specimen; ``none``: it is
        fitted.
    background_file
        Of holograms: name of an image in the folder of the calibrations that is taken as the background hologram.
    """

    what: Literal["focus", "hologram"] = "focus"
    fields: Annotated[StrictInt, Field(ge=3, le=50)] = 6
    range_um: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    extremum: Literal["max", "min", "auto"] | None = None
    channel: Name | None = None
    delta_dof: Annotated[Number, Field(ge=0.6, le=3.8)] | None = None
    dose_budget_ms: Annotated[Number, Field(gt=0)] | None = None
    deep: StrictBool = False
    steps: Annotated[StrictInt, Field(ge=5, le=51)] = 11
    visits: Annotated[StrictInt, Field(ge=2, le=5)] = 2
    background: Literal["keep", "ask", "none"] = "keep"
    background_file: Name | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        others = HOLOGRAM_ONLY if self.what == "focus" else FOCUS_ONLY
        given = sorted(others & self.model_fields_set)
        if given:
            raise ValueError(f"{', '.join(given)}: says nothing to a calibration of {self.what}; leave it out")
        if self.background_file is not None and self.background != "keep":
            raise ValueError("background_file and background: give one of them")
        return self


class CalibrateNextParams(Message):
    """Parameters of ``calibrate.next``.

    Parameters
    ----------
    task
        The calibration that waits for another field.
    """

    task: TaskId


class AcquireCheckParams(Message):
    """Parameters of ``acquire.check``.

    Parameters
    ----------
    sequence
        A ``useq.MDASequence`` as JSON (``docs/acquisition.md``).
    light_ms
        Exposure time that it may spend; by default without limit.
    """

    sequence: dict[str, JsonValue]
    light_ms: Annotated[Number, Field(gt=0)] | None = None


class AcquireRunParams(AcquireCheckParams):
    """Parameters of ``acquire.run``.

    Parameters
    ----------
    sequence, light_ms
        As in ``acquire.check``. An exposure beyond `light_ms` is not made, and the acquisition ends as failed.
    focus_failure
        What happens where a focus event finds no focus: the frames of this position are skipped until the next focus
        event (``skip``), taken all the same (``keep``), or the acquisition ends as failed (``end``).
    hold_open
        Whether it waits for injected events after its last one, until ``acquire.finish``.
    """

    focus_failure: Literal["skip", "keep", "end"] = "skip"
    hold_open: StrictBool = False


class AcquireTaskParams(Message):
    """Parameters of ``acquire.pause``, ``acquire.resume`` and ``acquire.finish``.

    Parameters
    ----------
    task
        The acquisition.
    """

    task: TaskId


class AcquireInjectParams(Message):
    """Parameters of ``acquire.inject``.

    Parameters
    ----------
    task
        The acquisition.
    events
        Events, each with the fields of a ``useq.MDAEvent``; their places are absolute.
    after
        ``now``: right after the event under way, before all that waits. ``end``: after all else.
    """

    task: TaskId
    events: Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=10_000)]
    after: Literal["now", "end"] = "end"


class EventsSinceParams(Message):
    """Parameters of ``events.since``.

    Parameters
    ----------
    topic
        The topic, in full.
    seq
        The last number seen there; 0 for none.
    """

    topic: Annotated[str, Field(max_length=128)]
    seq: Annotated[StrictInt, Field(ge=0)]


class LeaseParams(Message):
    """Parameters of ``stage.lease``.

    Parameters
    ----------
    name
        Who asks, for those who will be told ``busy``.
    ttl_s
        The lease ends so long after this request, unless it is renewed.
    token
        The token of a lease that is to be renewed.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    ttl_s: Annotated[Number, Field(ge=0.1, le=3_600)] = 30.0
    token: Name | None = None


class ReleaseParams(Message):
    """Parameters of ``stage.release``.

    Parameters
    ----------
    token
        The token of the lease.
    """

    token: Name


FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_. -]{0,98}[A-Za-z0-9_-])?$")]


class RecordStartParams(Message):
    """Parameters of ``record.start``.

    Parameters
    ----------
    folder
        Name of the recording's own folder below the configured one (``record.folder``): letters, digits, ``_``, ``-``,
        ``.`` and spaces. It must not exist yet. By default made of the time.
    pixels
        Whether frames are recorded, or inputs and decisions alone; by default as configured (``record.pixels``).
    """

    folder: FolderName | None = None
    pixels: StrictBool | None = None


class RulesSetParams(Message):
    """Parameters of ``rules.set``: all rules from now on; those that there were are replaced.

    A rule that keeps its name keeps its cool-down and what it has spent of its budgets.

    Parameters
    ----------
    rules
        The rules, as in the configuration (``docs/rules.md``).
    dose_ms_per_h
        How much light the specimen may get within any hour, in milliseconds of exposure, before rules stop adding to
        it; by default that is not bounded.
    """

    rules: Annotated[list[dict[str, JsonValue]], Field(max_length=64)]
    dose_ms_per_h: Annotated[Number, Field(gt=0, le=86_400_000)] | None = None


class TaskGetParams(Message):
    """Parameters of ``task.get``.

    Parameters
    ----------
    task
        Id of the task.
    wait_ms
        Delay the answer until it has ended, at most so long.
    """

    task: TaskId
    wait_ms: WaitMs = 0


class TaskCancelParams(Message):
    """Parameters of ``task.cancel``.

    Parameters
    ----------
    task
        Id of the task.
    """

    task: TaskId


__all__ = [
    "AcquireCheckParams",
    "AcquireInjectParams",
    "AcquireRunParams",
    "AcquireTaskParams",
    "CalibrateNextParams",
    "CalibrateRunParams",
    "CameraSetParams",
    "Empty",
    "EventsSinceParams",
    "FocusHoldParams",
    "FocusRunParams",
    "FrameGetParams",
    "LeaseParams",
    "MoveParams",
    "RecordStartParams",
    "ReleaseParams",
    "RulesSetParams",
    "SnapshotParams",
    "TaskCancelParams",
    "TaskGetParams",
]
