"""Acquisition of a plan: a ``useq.MDASequence``, read and checked, then carried out on a thread of its own.

Of Micro-Manager only the order of events is used here (useq-schema, and the runner of pymmcore-plus): no core is owned,
every step goes to the hardware thread. `docs/acquisition.md` says how it is wired.
"""

from __future__ import annotations

from microscoped.daemon.acquire.engine import EngineSettings, PlanEngine
from microscoped.daemon.acquire.errors import (
    AcquireError,
    CameraStreamsError,
    FocusFailedError,
    FramesMissingError,
    InjectionRefusedError,
    LightRefusedError,
    Problem,
    SequenceInvalidError,
    StaleFrameError,
    StepCancelledError,
    StepTimeoutError,
)
from microscoped.daemon.acquire.focus import Focus, FocusDesk, FocusFailure, FocusOutcome, FocusRequest, NoFocus
from microscoped.daemon.acquire.instrument import Estimate, Instrument, Limits
from microscoped.daemon.acquire.light import LightAllowance, LightBudget
from microscoped.daemon.acquire.progress import AcquireOutcome, FocusReport, Progress
from microscoped.daemon.acquire.runner import Acquisition, Injected
from microscoped.daemon.acquire.sequence import Plan, around, read_events, read_sequence
from microscoped.daemon.acquire.sink import CountingSink, EventRecord, Exposure, FrameRecord, FrameSink, SkipRecord
from microscoped.daemon.acquire.steps import Deadlines, Hardware, HardwareSteps

__all__ = [
    "AcquireError",
    "AcquireOutcome",
    "Acquisition",
    "CameraStreamsError",
    "CountingSink",
    "Deadlines",
    "EngineSettings",
    "Estimate",
    "EventRecord",
    "Exposure",
    "Focus",
    "FocusDesk",
    "FocusFailedError",
    "FocusFailure",
    "FocusOutcome",
    "FocusReport",
    "FocusRequest",
    "FrameRecord",
    "FrameSink",
    "FramesMissingError",
    "Hardware",
    "HardwareSteps",
    "Injected",
    "InjectionRefusedError",
    "Instrument",
    "LightAllowance",
    "LightBudget",
    "LightRefusedError",
    "Limits",
    "NoFocus",
    "Plan",
    "PlanEngine",
    "Problem",
    "Progress",
    "SequenceInvalidError",
    "SkipRecord",
    "StaleFrameError",
    "StepCancelledError",
    "StepTimeoutError",
    "around",
    "read_events",
    "read_sequence",
]
