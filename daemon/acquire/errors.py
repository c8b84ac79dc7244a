"""What can be wrong with a sequence, and what can go wrong while it is acquired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class AcquireError(Exception):
    """An acquisition cannot begin, go on or take what it was given; the base of all errors here."""

    code: ClassVar[str] = "fault"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field of a sequence.

    Parameters
    ----------
    place
        The field, with its way from the top: ``z_plan.range``, ``channels.1.exposure``; empty for the whole.
    value
        What stands there, as it would be printed; empty where nothing does.
    detail
        What is wrong with it, and what to do about it.
    """

    place: str
    value: str
    detail: str

    def __str__(self) -> str:
        where = self.place or "the sequence"
        return f"{where}{f' = {self.value}' if self.value else ''}: {self.detail}"


class SequenceInvalidError(AcquireError):
    """A sequence was refused before anything moved; `problems` names each field, its value and the remedy."""

    code = "invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class InjectionRefusedError(AcquireError):
    """Events were not taken over: the acquisition has ended, or too many wait already."""

    code = "busy"


class LightRefusedError(AcquireError):
    """The exposure would exceed the light that the acquisition may give; it was not made."""

    code = "limit.light"


class StepTimeoutError(AcquireError):
    """The hardware did not answer a step within its deadline."""

    code = "fault.hardware_silent"


class StepCancelledError(AcquireError):
    """The acquisition was cancelled during this step."""

    code = "cancelled"


class StaleFrameError(AcquireError):
    """A frame came that was exposed before its step, or that belongs to another one; it was not used."""

    code = "fault.camera"


class CameraStreamsError(AcquireError):
    """The camera streams: its frames are not exposed for the acquisition, and their light is not counted."""

    code = "not_ready"


class FocusFailedError(AcquireError):
    """No focus was found, and the acquisition was told to end then."""

    code = "not_focused"


class FramesMissingError(AcquireError):
    """The numbers of frames that were wanted, taken and stored do not agree."""

    code = "fault.frames_missing"


__all__ = [
    "AcquireError",
    "CameraStreamsError",
    "FocusFailedError",
    "FramesMissingError",
    "InjectionRefusedError",
    "LightRefusedError",
    "Problem",
    "SequenceInvalidError",
    "StaleFrameError",
    "StepCancelledError",
    "StepTimeoutError",
]
