"""The parameters of the ops. Schema and documents are made from the docstrings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

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
    """

    exposure_ms: Annotated[Number, Field(gt=0, le=3_600_000)] | None = None
    binning: Annotated[StrictInt, Field(ge=1, le=16)] | None = None
    roi: Region | None = None
    gain: Number | None = None
    auto_exposure: StrictBool | None = None
    auto_gain: StrictBool | None = None
    auto_white_balance: StrictBool | None = None


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
        ``search``: Brent's method on a sharpness score.
    range_um
        Half width of the search around the present position.
    tolerance_um
        How exactly the focus is wanted.
    extremum
        Whether focus is the maximum of contrast, its minimum, or to be found out.
    metric, roi
        The sharpness score, and the region (x, y, width, height) in pixels that it looks at.
    channel
        The channel that will be imaged next: its configured offset is added at the end.
    """

    method: Literal["search"] = "search"
    range_um: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    tolerance_um: Annotated[Number, Field(gt=0, le=1_000)] | None = None
    extremum: Literal["max", "min", "auto"] | None = None
    metric: Name | None = None
    roi: Region | None = None
    channel: Name | None = None


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
    "CameraSetParams",
    "Empty",
    "EventsSinceParams",
    "FocusRunParams",
    "FrameGetParams",
    "LeaseParams",
    "MoveParams",
    "ReleaseParams",
    "SnapshotParams",
    "TaskCancelParams",
    "TaskGetParams",
]
