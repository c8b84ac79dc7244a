"""One acquisition: pymmcore-plus's ``MDARunner`` with our engine, on a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymmcore_plus.mda import MDARunner

from microscoped.daemon.acquire._answers import Ids
from microscoped.daemon.acquire._queue import After, EventQueue
from microscoped.daemon.acquire._tally import Tally
from microscoped.daemon.acquire._useq import forget_sequences
from microscoped.daemon.acquire.engine import EngineSettings, PlanEngine
from microscoped.daemon.acquire.errors import AcquireError, FramesMissingError, InjectionRefusedError
from microscoped.daemon.acquire.focus import NoFocus
from microscoped.daemon.acquire.light import LightAllowance
from microscoped.daemon.acquire.progress import AcquireOutcome, Progress
from microscoped.daemon.acquire.sequence import Plan, read_events
from microscoped.drivers.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import JsonValue

    from microscoped.daemon.acquire.focus import Focus
    from microscoped.daemon.acquire.instrument import Instrument, Limits
    from microscoped.daemon.acquire.light import LightBudget
    from microscoped.daemon.acquire.sink import EndState, Exposure, FrameSink
    from microscoped.daemon.acquire.steps import HardwareSteps
    from microscoped.drivers.protocols import Clock

log = logging.getLogger("microscoped.acquire")


@dataclass(frozen=True, slots=True)
class Injected:
    """What was added to an acquisition: the name of the batch, and how many frames it has."""

    batch: str
    frames: int


class Acquisition:
    """Carries out a plan. Used once; its methods may be called from any thread and never wait, but for `join`.

    Parameters
    ----------
    plan
        What `microscoped.daemon.acquire.sequence.read_sequence` accepted.
    steps
        The way to the hardware; whatever the hardware thread posts must be told to its ``hear``.
    sink
        Takes the frames.
    focus
        Brings into focus; without it every focus event fails.
    light
        Is charged for every exposure; without it light is only counted.
    settings
        See `EngineSettings`.
    report
        Hears of progress, on the acquisition's thread or on the caller's; must return at once.
    ended
        Hears the outcome, once, as the last thing, on the acquisition's thread.
    most_waiting
        How many injected events may wait.
    hold_open
        Whether it waits for injections after the last event of the plan, until `finish`.
    clock
        Monotonic nanoseconds, the hardware thread's.
    """

    def __init__(
        self,
        plan: Plan,
        steps: HardwareSteps,
        sink: FrameSink,
        *,
        focus: Focus | None = None,
        light: LightBudget | None = None,
        settings: EngineSettings | None = None,
        report: Callable[[Progress], None] = lambda _progress: None,
        ended: Callable[[AcquireOutcome], None] = lambda _outcome: None,
        most_waiting: int = 10_000,
        hold_open: bool = False,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self._plan = plan
        self._steps = steps
        self._sink = sink
        self._focus = focus or NoFocus()
        self._light = light or LightAllowance()
        self._ended = ended
        self._queue = EventQueue(plan.events(), clock, most_waiting=most_waiting, hold_open=hold_open)
        self._tally = Tally(plan.estimate.frames, self._queue, self._light, report, clock)
        self._engine = PlanEngine(
            steps,
            self._queue,
            focus=self._focus,
            light=self._light,
            sink=sink,
            tally=self._tally,
            settings=settings,
        )
        self._engine.start_at(plan.instrument.z_um, plan.instrument.xy_um)
        self._queue.on_hold(lambda: self._tally.enter("paused", unless=("cancelling",)))
        self._runner = MDARunner()
        self._runner.set_engine(self._engine)
        self._injections = Ids("injection")
        self._lock = threading.RLock()
        self._cancelled: str | None = None
        self._outcome: AcquireOutcome | None = None
        self._thread = threading.Thread(target=self._run, name="acquisition", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def progress(self) -> Progress:
        """Return how far it is."""
        return self._tally.now()

    def exposing(self, command: str) -> Exposure | None:
        """Return what a command of the hardware exposes for it; ``None``: nothing. From any thread."""
        return self._engine.exposing if self._steps.owns(command) else None

    @property
    def instrument(self) -> Instrument:
        """The microscope as it was when the plan was read."""
        return self._plan.instrument

    @property
    def limits(self) -> Limits:
        """What it may be."""
        return self._plan.limits

    @property
    def outcome(self) -> AcquireOutcome | None:
        """How it ended; ``None`` while it runs."""
        return self._outcome

    def pause(self) -> None:
        """Begin no further event until `resume`; the one under way ends. Planned times move back by the pause."""
        with self._lock:
            self._tally.enter("pausing", unless=("cancelling", "paused"))
            self._queue.pause()
            self._runner.set_paused(True)

    def resume(self) -> None:
        """Go on."""
        with self._lock:
            self._runner.set_paused(False)
            self._queue.resume()
            self._tally.enter("running", unless=("cancelling",))

    def cancel(self, reason: str = "cancelled") -> None:
        """End soon: a move under way halts, an exposure is awaited for the grace of `Deadlines` only.

        The reason of the first call is the one that is told.
        """
        with self._lock:
            if self._cancelled is None:
                self._cancelled = reason
        self._tally.enter("cancelling")
        self._queue.cancel()
        self._runner.cancel()
        self._steps.interrupt()
        self._focus.interrupt()

    def finish(self) -> None:
        """End after what waits now; for an acquisition that is held open."""
        self._queue.finish()

    def inject(
        self, events: Sequence[Mapping[str, JsonValue]] | Plan, after: After = "end", name: str | None = None
    ) -> Injected:
        """Add events while it runs.

        The plan goes on where it was: an event of it that names no place is taken where its last one was.

        Parameters
        ----------
        events
            Events as plain data (the fields of ``useq.MDAEvent``), or a plan that was accepted. Their
            ``min_start_time`` counts from the first of them.
        after
            ``now``: before all that waits, right after the event under way. ``end``: after all else.
        name
            Of the batch, unique within the acquisition; without it, one is made up.

        Returns
        -------
        injected
            The batch, which the records of its frames bear.

        Raises
        ------
        SequenceInvalidError
            An event is not valid; none was taken.
        InjectionRefusedError
            It has ended, too many wait, the light left does not suffice for them, or they would change the light of a
            plan without channels; none was taken.
        """
        if self._outcome is not None or self._cancelled is not None:
            raise InjectionRefusedError("the acquisition has ended; begin another one")
        plan = self._plan
        checked = (
            read_events(events, plan.instrument, plan.limits, channels_known=plan.has_channels)
            if not isinstance(events, Plan)
            else tuple(events.events())
        )
        channel = next((event.channel for event in checked if event.channel is not None), None)
        if channel is not None and not plan.has_channels:
            raise InjectionRefusedError(
                f"the plan leaves the light as it is, so it could not come back after the channel {channel.config}; "
                "give the plan channels, or leave them out here"
            )
        frames, light_ms = plan.cost(checked)
        if light_ms > self._light.left_ms + 1e-9:
            raise InjectionRefusedError(
                f"{frames} injected frames need {light_ms:g} ms of light, and {self._light.left_ms:g} ms are left; "
                "inject fewer or shorter exposures, or grant more light"
            )
        batch = name or self._injections()
        self._queue.inject(batch, checked, after, accepted=lambda: self._tally.expect(frames))
        return Injected(batch, frames)

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it has ended."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # --- on the acquisition's thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            self._tally.enter("running", unless=("cancelling", "pausing", "paused"))
            self._runner.run(self._queue)
        except Exception as error:  # noqa: BLE001 - whatever it was is told in the outcome
            failure = error
        try:
            stored = self._sink.close()
            if failure is None:
                self._check_counts(stored)
        except Exception as error:  # noqa: BLE001 - as above; the first failure is the one that matters
            failure = failure or error
        forget_sequences()
        self._tally.enter("ended")
        outcome = self._judge(failure)
        self._outcome = outcome
        self._ended(outcome)

    def _check_counts(self, stored: int) -> None:
        """Compare what was wanted, taken and stored.

        Raises
        ------
        FramesMissingError
            They do not agree.
        """
        tally = self._tally
        if tally.done + tally.skipped != tally.wanted or stored != tally.done:
            raise FramesMissingError(
                f"{tally.wanted} frames were wanted, {tally.done} taken, {tally.skipped} skipped with a reason, and "
                f"{stored} stored; do not trust the places of the stored frames"
            )
        if self._cancelled is None and tally.wanted != tally.expected:
            raise FramesMissingError(
                f"{tally.expected} frames were planned and {tally.wanted} begun; the plan ended early"
            )

    def _judge(self, failure: Exception | None) -> AcquireOutcome:
        state: EndState = "completed"
        reason = code = ""
        match failure:
            case None if self._cancelled is None:
                pass
            case None:
                state, reason, code = "cancelled", self._cancelled or "", "cancelled"
            case AcquireError() | DriverError() if self._cancelled is not None:
                state, reason, code = "cancelled", f"{self._cancelled} ({failure})", "cancelled"
            case AcquireError() | DriverError():
                state, reason, code = "failed", str(failure), failure.code
            case _:
                log.error("an acquisition failed:\n%s", "".join(traceback.format_exception(failure)))
                state, reason, code = "failed", f"{type(failure).__name__}: {failure}", "fault"
        return AcquireOutcome(state, reason, code, self._tally.now(), self._engine.z_um, self._engine.xy_um)


__all__ = ["Acquisition", "Injected"]
