"""The acquisition under way: its runner's thread, and the desk where sequences are read, off the loop's thread."""

from __future__ import annotations

import logging
import math
import queue
import shutil
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from microscoped.daemon.acquire import (
    AcquireError,
    Acquisition,
    CountingSink,
    Deadlines,
    EngineSettings,
    FocusDesk,
    FocusFailure,
    FocusOutcome,
    HardwareSteps,
    Instrument,
    LightAllowance,
    Limits,
    SequenceInvalidError,
    around,
    read_sequence,
)
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core.inputs import (
    AcquisitionEnded,
    FocusWanted,
    InjectionEnded,
    SequenceChecked,
)
from microscoped.daemon.core.turn import plain
from microscoped.daemon.protocol import ErrorBody, ErrorCode
from microscoped.daemon.protocol.events import AcquiredData
from microscoped.daemon.runtime.acquisition_reports import Reporter, progress_data
from microscoped.drivers.commands import FrameTaken

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue

    from microscoped.daemon.acquire import AcquireOutcome, FocusRequest, Injected, Plan, SkipRecord
    from microscoped.daemon.acquire.steps import Hardware
    from microscoped.daemon.core import Input, State
    from microscoped.drivers.commands import HardwareEvent
    from microscoped.drivers.protocols import Clock

    Job: TypeAlias = Callable[[], None]

log = logging.getLogger("microscoped.acquire")

PROBLEMS_TOLD = 50
"""Problems of a sequence that are told; the others are counted."""
FOCUS_S = 600.0
"""How long one focus run may take; each of its steps has a deadline of its own."""


@dataclass(frozen=True, slots=True)
class AcquiredFrame:
    """A frame that was exposed for an acquisition."""

    taken: FrameTaken
    acquired: AcquiredData


class _Sink(CountingSink):
    """Counts frames, which go the way of all frames, and tells of those that will not come."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def skip(self, record: SkipRecord) -> None:
        super().skip(record)
        self._reporter.skipped(record)


class _Desk:
    """A thread that does one thing after another."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def put(self, job: Job) -> None:
        self._jobs.put(job)

    def close(self, timeout_s: float) -> bool:
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class Acquisitions:
    """Reads sequences, and runs one acquisition at a time. Its methods return at once and may be called by any thread.

    Parameters
    ----------
    hardware
        The hardware thread; what it says must be told to `hear`.
    post
        Hears what becomes of it, on one of its threads.
    frame_allowance_s
        How long after its exposure a frame may take to arrive.
    clock
        Monotonic nanoseconds, the hardware thread's.
    """

    def __init__(
        self, hardware: Hardware, post: Callable[[Input], None], frame_allowance_s: float, clock: Clock
    ) -> None:
        self._hardware = hardware
        self._post = post
        self._frame_allowance_s = frame_allowance_s
        self._clock = clock
        # Apart, for a long sequence takes seconds to read: whoever only asks what it costs holds up no acquisition.
        self._checks = _Desk("sequences")
        self._jobs = _Desk("acquisitions")
        self._lock = threading.Lock()
        self._closing = False
        self._task = ""
        self._cancelled: str | None = None
        self._steps: HardwareSteps | None = None
        self._focus: FocusDesk | None = None
        self._running: Acquisition | None = None
        self._reporter: Reporter | None = None

    def begin(self) -> None:
        """Start the threads of the desks."""
        self._checks.begin()
        self._jobs.begin()

    def close(self, timeout_s: float) -> bool:
        """Cancel what runs and end the threads; return whether they ended in time."""
        reason = "the daemon ends"
        with self._lock:
            self._cancelled = self._cancelled or reason
        self._closing = True
        # A sequence that is being read for a check harms nothing: its thread ends with the process.
        self._checks.close(0.0)
        ended = self._jobs.close(timeout_s)
        running = self._running
        if running is not None:
            running.cancel(reason)
        return ended and (running is None or running.join(timeout_s))

    # --- what the hardware says, on its thread ------------------------------------------------------------------

    def acquired(self, event: HardwareEvent) -> AcquiredFrame | None:
        """Return a frame with its place in the plan, where it was exposed for the acquisition."""
        running = self._running
        if running is None or not isinstance(event, FrameTaken) or event.command is None:
            return None
        exposure = running.exposing(event.command)
        if exposure is None:
            return None
        wanted = exposure.event
        group, channel = wanted.channel or (None, None)
        data = AcquiredData(
            task=self._task,
            number=exposure.number,
            batch=wanted.batch,
            index=dict(wanted.index),
            group=group,
            channel=channel,
            position=wanted.position,
            xy_um=exposure.xy_um,
            late_s=exposure.late_s,
            focused=exposure.focused,
            notes=dict(wanted.notes),
        )
        return AcquiredFrame(event, data)

    def hear(self, event: HardwareEvent) -> None:
        """Hear what the hardware thread posts: it may be the end of a step."""
        steps = self._steps
        if steps is not None:
            steps.hear(event)

    # --- what the loop wants ------------------------------------------------------------------------------------

    def perform(
        self,
        effect: to_do.CheckSequence
        | to_do.StartAcquisition
        | to_do.SteerAcquisition
        | to_do.InjectEvents
        | to_do.InjectSequence
        | to_do.AnswerFocus
        | to_do.CancelAcquisition,
        state: State,
    ) -> None:
        """Carry out an effect; what takes longer goes to the desk's thread, in order."""
        match effect:
            case to_do.CheckSequence():
                instrument = _instrument(effect, state)
                self._checks.put(lambda: self._check(effect, instrument, _limits(effect, state)))
            case to_do.StartAcquisition():
                with self._lock:
                    self._task, self._cancelled = effect.task, None
                instrument = _instrument(effect, state)
                self._jobs.put(lambda: self._start(effect, instrument, _limits(effect, state)))
            case to_do.SteerAcquisition() if self._running is not None:
                self._steer(effect)  # at once, whatever is read meanwhile
            case to_do.SteerAcquisition():
                self._jobs.put(lambda: self._steer(effect))
            case to_do.InjectEvents():
                self._jobs.put(
                    lambda: self._inject(effect, lambda running: running.inject(effect.events, effect.after))
                )
            case to_do.InjectSequence():
                self._jobs.put(lambda: self._inject(effect, lambda running: _inject_sequence(running, effect)))
            case to_do.AnswerFocus():
                if self._focus is not None and self._task == effect.task:
                    outcome = FocusOutcome(effect.found, effect.z_um, effect.reason, effect.light_ms, effect.images)
                    self._focus.answer(effect.request, outcome)
            case to_do.CancelAcquisition():
                with self._lock:
                    running = self._running if self._task == effect.task else None
                    if self._task == effect.task:
                        self._cancelled = effect.reason
                if running is not None:
                    running.cancel(effect.reason)

    def beat(self) -> None:
        """Tell the progress that was not told yet. Now and then."""
        if self._reporter is not None:
            self._reporter.flush()

    # --- on the desks' threads -------------------------------------------------------------------------------------

    def _check(self, wanted: to_do.CheckSequence, instrument: Instrument, limits: Limits) -> None:
        if self._closing:
            return
        try:
            plan = read_sequence(wanted.sequence, instrument, limits)
        except Exception as error:  # noqa: BLE001 - whatever it was is the answer
            self._post(SequenceChecked(wanted.request, error=_error_body(error)))
        else:
            self._post(SequenceChecked(wanted.request, plain(plan.estimate)))

    def _start(self, wanted: to_do.StartAcquisition, instrument: Instrument, limits: Limits) -> None:
        try:
            acquisition = self._made(wanted, read_sequence(wanted.sequence, instrument, limits))
        except Exception as error:  # noqa: BLE001 - as above
            self._post(AcquisitionEnded(wanted.task, {"phase": "ended"}, error=_error_body(error)))
            return
        with self._lock:
            self._running, cancelled = acquisition, self._cancelled
        if cancelled is not None:
            acquisition.cancel(cancelled)
        acquisition.start()

    def _made(self, wanted: to_do.StartAcquisition, plan: Plan) -> Acquisition:
        """Return an acquisition that has not begun yet."""
        reporter = Reporter(wanted.task, plain(plan.estimate), self._post, self._clock)
        steps = HardwareSteps(
            self._hardware,
            f"{wanted.task}.step",
            _deadlines(plan.instrument, self._frame_allowance_s),
            self._clock,
        )

        def ask(request: FocusRequest) -> None:
            left_ms = request.light_ms if math.isfinite(request.light_ms) else None
            self._post(FocusWanted(wanted.task, request.id, left_ms))

        focus = FocusDesk(ask, FOCUS_S, clock=self._clock)
        self._steps, self._focus, self._reporter = steps, focus, reporter
        return Acquisition(
            plan,
            steps,
            _Sink(reporter),
            focus=focus,
            light=LightAllowance(wanted.light_ms),
            settings=EngineSettings(FocusFailure(wanted.focus_failure)),
            report=reporter.report,
            ended=lambda outcome: self._ended(wanted.task, reporter, outcome),
            hold_open=wanted.hold_open,
            clock=self._clock,
        )

    def _ended(self, task: str, reporter: Reporter, outcome: AcquireOutcome) -> None:
        """On the acquisition's thread, as its last deed."""
        with self._lock:
            self._running = self._steps = self._focus = self._reporter = None
        progress = outcome.progress
        result: dict[str, JsonValue] = {
            "frames": progress.frames_done,
            "skipped": progress.frames_skipped,
            "expected": progress.frames_expected,
            "skips": dict(progress.skips),
            "focus_found": progress.focus_found,
            "focus_failed": progress.focus_failed,
            "light_ms": progress.light_ms,
            "late_s": progress.late_s,
            "duration_s": progress.elapsed_s,
            "z_um": outcome.z_um,
            "xy_um": None if outcome.xy_um is None else list(outcome.xy_um),
        }
        error = None if outcome.state == "completed" else ErrorBody.of(outcome.code, outcome.reason)
        last = {**progress_data(progress), **reporter.close()}
        self._post(AcquisitionEnded(task, last, result, error))

    def _steer(self, wanted: to_do.SteerAcquisition) -> None:
        running = self._running
        if running is None or self._task != wanted.task:
            return
        match wanted.how:
            case "pause":
                running.pause()
            case "resume":
                running.resume()
            case "finish":
                running.finish()

    def _inject(
        self, wanted: to_do.InjectEvents | to_do.InjectSequence, add: Callable[[Acquisition], Injected]
    ) -> None:
        running = self._running
        if running is None or self._task != wanted.task:
            detail = f"the acquisition {wanted.task} has ended; begin another one"
            self._post(InjectionEnded(wanted.request, error=ErrorBody.of(ErrorCode.GONE, detail)))
            return
        try:
            added = add(running)
        except Exception as error:  # noqa: BLE001 - as above
            self._post(InjectionEnded(wanted.request, error=_error_body(error)))
        else:
            self._post(InjectionEnded(wanted.request, added.batch, frames=added.frames))


def _inject_sequence(running: Acquisition, wanted: to_do.InjectSequence) -> Injected:
    """Add a sequence at its place.

    Raises
    ------
    SequenceInvalidError, InjectionRefusedError
        As `read_sequence` and `Acquisition.inject` do.
    """
    content = around(wanted.sequence, wanted.name, wanted.xy_um, wanted.z_um)
    limits = running.limits
    if wanted.light_ms is not None:
        limits = replace(limits, light_ms=min(limits.light_ms, wanted.light_ms))
    return running.inject(read_sequence(content, running.instrument, limits), "now", wanted.request)


def _instrument(wanted: to_do.CheckSequence | to_do.StartAcquisition, state: State) -> Instrument:
    """The microscope as it is now."""
    camera, settings = state.camera, state.settings
    info = camera.info
    if info is None:
        raise RuntimeError("an acquisition was begun before the camera was open")
    binning = camera.settings.binning or 1
    height, width = (round(size * camera.info_binning / binning) for size in (info.height_px, info.width_px))
    if camera.settings.roi is not None:
        _, _, width, height = (size // binning for size in camera.settings.roi)
    return Instrument(
        motion=settings.motion,
        z_um=wanted.z_um,
        frame_shape_px=(height, width),
        bytes_per_pixel=np.dtype(info.dtype).itemsize * info.channels,
        exposure_ms=camera.settings.exposure_ms or 0.0,
        pixel_size_um=wanted.pixel_size_um,
        xy=settings.xy,
        xy_um=state.stage.xy_um,
        presets=state.presets,
    )


def _limits(wanted: to_do.CheckSequence | to_do.StartAcquisition, state: State) -> Limits:
    """What it may be; on the desk's thread, for it asks the disk."""
    recording = state.recording
    disk_bytes = math.inf
    if recording is not None and recording.pixels and recording.state == "recording":
        try:
            disk_bytes = shutil.disk_usage(recording.folder).free
        except OSError:
            log.warning("it cannot be told how much room there is in %s", recording.folder)
    return Limits(light_ms=math.inf if wanted.light_ms is None else wanted.light_ms, disk_bytes=disk_bytes)


def _deadlines(instrument: Instrument, frame_allowance_s: float) -> Deadlines:
    """Longer than those of the driver layer, so that the better error comes first."""
    longest = Deadlines()
    return Deadlines(
        # The stream's end, which comes first, waits for the exposure in progress.
        begin_s=longest.begin_s + 2e-3 * instrument.exposure_ms,
        move_s=max(longest.move_s, 5 * instrument.motion.timeout_s),
        move_xy_s=max(longest.move_xy_s, 2 * instrument.xy.timeout_s),
        frame_s=longest.frame_s + 2 * frame_allowance_s,
    )


def _error_body(error: Exception) -> ErrorBody:
    match error:
        case SequenceInvalidError(problems=problems):
            told = problems[:PROBLEMS_TOLD]
            more = len(problems) - len(told)
            detail = "; ".join(str(problem) for problem in told) + (f"; and {more} more" if more else "")
            return ErrorBody.of(error.code, detail, {"problems": [plain(problem) for problem in told]})
        case AcquireError():
            return ErrorBody.of(error.code, str(error))
        case _:
            log.error("a sequence could not be read", exc_info=error)
            return ErrorBody.of(ErrorCode.FAULT, f"the sequence could not be read: {type(error).__name__}: {error}")


__all__ = ["AcquiredFrame", "Acquisitions"]
