"""What a rule can have done: a closed list, as data."""

from __future__ import annotations

import json
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, JsonValue, StrictBool, field_validator, model_validator

from microscoped.daemon.protocol.envelope import Message
from microscoped.daemon.protocol.params import Name, Number

MOST_SEQUENCE_BYTES = 65_536
"""Of a sequence as JSON."""
Resource: TypeAlias = Literal["stage", "camera", "recording"]
"""What an action acts on; of two rules that act on the same the one of higher priority goes first."""


class _Exposing(Message):
    """An action that exposes the specimen.

    Parameters
    ----------
    dose_ms_most
        Most light that one firing may give, in milliseconds of exposure: as much of a dose budget is set aside when it
        fires, until it is known how much was given.
    """

    dose_ms_most: Annotated[Number, Field(gt=0, le=86_400_000)] | None = None


class CameraAction(_Exposing):
    """Another frame rate or exposure, until something changes it again.

    Parameters
    ----------
    do
        Which action.
    fps
        Frames per second of the stream.
    exposure_ms
        Exposure time.
    """

    resource: ClassVar[Resource | None] = "camera"

    do: Literal["camera"]
    fps: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    exposure_ms: Annotated[Number, Field(gt=0, le=3_600_000)] | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.fps is None and self.exposure_ms is None:
            raise ValueError("a camera action changes nothing without fps or exposure_ms; give one of them")
        if self.fps is not None and self.exposure_ms is not None and self.fps * self.exposure_ms > 1000:
            raise ValueError(
                f"fps {self.fps:g} and exposure_ms {self.exposure_ms:g}: so many exposures do not fit into a second; "
                "lower one of them"
            )
        return self


class FocusAction(_Exposing):
    """Focus, as ``focus.run`` does; parameters as there.

    Parameters
    ----------
    do
        Which action.
    method, range_um, tolerance_um, channel
        As in ``focus.run``.
    """

    resource: ClassVar[Resource | None] = "stage"

    do: Literal["focus"]
    method: Literal["auto", "pair", "search"] = "auto"
    range_um: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    tolerance_um: Annotated[Number, Field(gt=0, le=1_000)] | None = None
    channel: Name | None = None


class MoveAction(Message):
    """A move of the stage, as ``stage.move`` does: within the limits, else it is refused.

    Parameters
    ----------
    do
        Which action.
    z_um
        Where to, in the stage's own coordinate.
    relative
        Whether `z_um` is added to where the stage is.
    """

    resource: ClassVar[Resource | None] = "stage"

    do: Literal["move"]
    z_um: Annotated[Number, Field(ge=-1_000_000, le=1_000_000)]
    relative: StrictBool = False


class RecordAction(Message):
    """Recording of frames.

    Parameters
    ----------
    do
        Which action.
    recording
        Whether it is started or stopped.
    """

    resource: ClassVar[Resource | None] = "recording"

    do: Literal["record"]
    recording: Literal["start", "stop"]


class _Sequencing(_Exposing):
    """An action that takes images by a plan.

    Parameters
    ----------
    sequence
        An MDASequence of useq-schema, as JSON.
    """

    resource: ClassVar[Resource | None] = "stage"

    sequence: Annotated[dict[str, JsonValue], Field(min_length=1)]

    @field_validator("sequence")
    @classmethod
    def _bounded(cls, sequence: dict[str, JsonValue]) -> dict[str, JsonValue]:
        size = len(json.dumps(sequence))
        if size > MOST_SEQUENCE_BYTES:
            raise ValueError(f"the sequence has {size} bytes as JSON, more than {MOST_SEQUENCE_BYTES}; shorten it")
        return sequence


class AcquireAction(_Sequencing):
    """An acquisition: a z-stack, a burst, channels, positions.

    Parameters
    ----------
    do
        Which action.
    """

    do: Literal["acquire"]


class InjectAction(_Sequencing):
    """A part of the acquisition under way, at once: right after the event that is being carried out.

    Where the sequence names no positions, it is taken where the frame was that the rule has fired for; a relative stack
    or grid lies round that place.

    Parameters
    ----------
    do
        Which action.
    """

    do: Literal["inject"]


class PublishAction(Message):
    """Nothing but the decision itself, for those who subscribe to it.

    Parameters
    ----------
    do
        Which action.
    note
        Words that go with it.
    """

    resource: ClassVar[Resource | None] = None

    do: Literal["publish"]
    note: Annotated[str, Field(max_length=200)] = ""


Action: TypeAlias = Annotated[
    CameraAction | FocusAction | MoveAction | RecordAction | AcquireAction | InjectAction | PublishAction,
    Field(discriminator="do"),
]


def dose_ms(action: Action) -> float | None:
    """Return the most light that an action may give; ``None`` where that is not said."""
    if isinstance(action, _Exposing):
        return None if action.dose_ms_most is None else float(action.dose_ms_most)
    return 0.0


__all__ = [
    "AcquireAction",
    "Action",
    "CameraAction",
    "FocusAction",
    "InjectAction",
    "MoveAction",
    "PublishAction",
    "RecordAction",
    "Resource",
    "dose_ms",
]
