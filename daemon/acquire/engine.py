"""The engine that carries out the events of an acquisition: pymmcore-plus's ``PMDAEngine``, without a core.

The stock ``MDAEngine`` owns a core, logs a failing camera and goes on, and ends such a run as completed. This one owns
nothing: each step goes to the hardware thread with a deadline, through the one path that knows the limits, and whatever
fails is raised. What becomes of it is the runner's business (`microscoped.daemon.acquire.runner`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import useq
from pymmcore_plus.mda import SkipEvent

from microscoped.daemon.acquire._answers import Ids
from microscoped.daemon.acquire._queue import PLAN
from microscoped.daemon.acquire.errors import FocusFailedError
from microscoped.daemon.acquire.focus import FocusFailure, FocusOutcome, FocusRequest
from microscoped.daemon.acquire.progress import FocusReport
from microscoped.daemon.acquire.sink import EventRecord, Exposure, FrameRecord, SkipRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymmcore_plus.metadata.schema import FrameMetaV1, SummaryMetaV1

    from microscoped.daemon.acquire._queue import EventQueue
    from microscoped.daemon.acquire._tally import Tally
    from microscoped.daemon.acquire.focus import Focus
    from microscoped.daemon.acquire.light import LightBudget
    from microscoped.daemon.acquire.sink import FrameSink
    from microscoped.daemon.acquire.steps import HardwareSteps
    from microscoped.drivers.commands import StampedFrame
    from microscoped.drivers.protocols import Pixels

SAME_PLACE_UM = 1e-6
"""A stage that was sent here already is not sent again."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine works.

    Parameters
    ----------
    on_focus_failure
        What it does where no focus is found.
    focus_attempts
        How often focusing is tried at one event: useq's plans cannot say it.
    """

    on_focus_failure: FocusFailure = FocusFailure.SKIP
    focus_attempts: int = 2


_Position: TypeAlias = tuple[str, int | None]
"""Batch and position number."""


@dataclass(frozen=True, slots=True)
class _Stages:
    """Where the stages were: read back, ``None`` where that is not known."""

    xy_um: tuple[float, float] | None
    z_um: float | None


class PlanEngine:
    """Carries out events; satisfies ``pymmcore_plus.mda.PMDAEngine``. Used by the acquisition's thread only.

    Parameters
    ----------
    steps
        The way to the hardware.
    queue
        Where the events come from: it knows what was planned.
    focus, light, sink, tally
        Focuses; is charged for each exposure before it is made; takes the frames; counts.
    settings
        See `EngineSettings`.
    """

    def __init__(
        self,
        steps: HardwareSteps,
        queue: EventQueue,
        *,
        focus: Focus,
        light: LightBudget,
        sink: FrameSink,
        tally: Tally,
        settings: EngineSettings | None = None,
    ) -> None:
        self._steps = steps
        self._queue = queue
        self._focus = focus
        self._light = light
        self._sink = sink
        self._tally = tally
        self._settings = settings or EngineSettings()
        self._ids = Ids("focus")
        self._exposure_ms = self._wanted_ms = 0.0
        self._channel: tuple[str, str] | None = None
        self._base_exposure_ms = 0.0
        self._corrections_um: dict[_Position, float] = {}
        self._unfocused: dict[_Position, str] = {}  # why not; empty where it is focused
        self.z_um: float | None = None
        self.xy_um: tuple[float, float] | None = None
        self.exposing: Exposure | None = None
        self._z_target_um: float | None = None
        self._xy_target_um: tuple[float, float] | None = None
        self._batch = PLAN
        self._left: _Stages | None = None  # where the plan was when an injection came

    def start_at(self, z_um: float, xy_um: tuple[float, float] | None) -> None:
        """Say where the stages are before the first event."""
        self.z_um, self.xy_um = z_um, xy_um

    # --- pymmcore_plus.mda.PMDAEngine ---------------------------------------------------------------------------

    def setup_sequence(self, sequence: useq.MDASequence) -> SummaryMetaV1 | None:
        """Read the exposure: an event without one means this. The light stays until an event names a channel."""
        del sequence  # a placeholder: the events come from the queue
        self._exposure_ms = self._base_exposure_ms = self._wanted_ms = self._steps.exposure_ms()
        return None

    def setup_event(self, event: useq.MDAEvent) -> None:
        """Bring stages, light and camera where the event wants them.

        Raises
        ------
        DriverError, AcquireError
            A step was refused or failed, or the acquisition was cancelled.
        SkipEvent
            The frame depends on a focus that was not found; the skip was recorded.
        """
        record = self._record(event)
        image = isinstance(event.action, useq.AcquireImage)
        current = self._queue.current
        self._tally.begin(record, current.late_s if current else 0.0, image=image)
        self._enter_batch(record.batch)
        why = self._unfocused.get(self._position(event))
        if image and why and self._settings.on_focus_failure is FocusFailure.SKIP:
            self._sink.skip(SkipRecord(record, why))
            self._tally.skip(why)
            raise SkipEvent(1, why)
        back = self._left if record.batch == PLAN else None
        self._go_xy(event, back)
        self._set_light(event)
        if record.z_um is not None:
            self._go_z(record.z_um)
        elif back is not None and back.z_um is not None and back.z_um != self.z_um:
            self._go_z(back.z_um)
        if record.batch == PLAN:
            self._left = None

    def exec_event(self, event: useq.MDAEvent) -> Iterator[tuple[Pixels, useq.MDAEvent, FrameMetaV1]]:
        """Take the frame, hand it to the sink, and yield it; or focus, and yield nothing.

        Raises
        ------
        DriverError, AcquireError
            As above; the light is spent, the frame is stale, no focus was found and that ends the acquisition.
        """
        if isinstance(event.action, useq.HardwareAutofocus):
            self._find_focus(event)
            return
        record = self._record(event)
        exposure_ms = self._exposure_ms
        self._light.charge(exposure_ms, _place(record))
        exposure = self._exposure(record)
        self.exposing = exposure
        stamped = self._steps.snap(exposure_ms)
        self.exposing = None
        frame = _frame(exposure, stamped)
        self._sink.frame(stamped.frame.pixels, frame)
        self._tally.frame()
        yield stamped.frame.pixels, event, self._metadata(event, frame)

    def event_iterator(self, events: Iterable[useq.MDAEvent]) -> Iterator[useq.MDAEvent]:
        """Return the events as they are: nothing is merged."""
        return iter(events)

    def teardown_event(self, event: useq.MDAEvent) -> None:
        """Nothing: each step was ended before the next began."""

    def teardown_sequence(self, sequence: useq.MDASequence) -> None:
        """Nothing: what is raised here would only be logged. The end is judged by the runner."""

    # --- steps --------------------------------------------------------------------------------------------------

    def _enter_batch(self, batch: str) -> None:
        """Note where the plan is when an injection begins."""
        if batch != self._batch:
            if self._batch == PLAN:
                self._left = _Stages(self.xy_um, self.z_um)
            self._batch = batch

    def _go_xy(self, event: useq.MDAEvent, back: _Stages | None) -> None:
        """Go where an event wants to be; `back` to where the plan was, as far as it names no place."""
        away = back is not None and back.xy_um is not None and back.xy_um != self.xy_um
        if event.x_pos is None and event.y_pos is None and not away:
            return
        here = (back.xy_um if back is not None and away else None) or self._xy_target_um or self.xy_um or (0.0, 0.0)
        target = (
            here[0] if event.x_pos is None else float(event.x_pos),
            here[1] if event.y_pos is None else float(event.y_pos),
        )
        at = self._xy_target_um
        if at is None or max(abs(a - b) for a, b in zip(at, target, strict=True)) > SAME_PLACE_UM:
            self._xy_target_um = None  # unknown until it has arrived
            self.xy_um = self._steps.move_xy(*target).xy_um
            self._xy_target_um = target

    def _go_z(self, z_um: float) -> None:
        at = self._z_target_um
        if at is None or abs(at - z_um) > SAME_PLACE_UM:
            self._z_target_um = None
            self.z_um = self._steps.move_z(z_um).z_um
            self._z_target_um = z_um

    def _set_light(self, event: useq.MDAEvent) -> None:
        wanted_ms = self._base_exposure_ms if event.exposure is None else float(event.exposure)
        known = True
        if event.channel is not None and (event.channel.group, event.channel.config) != self._channel:
            self._channel, known = None, False  # a preset may change the exposure, too
            self._steps.select(event.channel.group, event.channel.config)
            self._channel = (event.channel.group, event.channel.config)
        if not known or wanted_ms != self._wanted_ms:
            self._exposure_ms = self._steps.expose_for(wanted_ms)
            self._wanted_ms = wanted_ms

    def _find_focus(self, event: useq.MDAEvent) -> None:
        """Focus, again after a failure, and remember what it means for this position."""
        outcomes: list[FocusOutcome] = []
        for attempt in range(1, self._settings.focus_attempts + 1):
            request = FocusRequest(
                self._ids(), attempt, self.z_um or 0.0, tuple(event.index.items()), self._light.left_ms
            )
            outcomes.append(self._focus(request))
            self._light.note(outcomes[-1].light_ms)
            self._z_target_um, self.z_um = None, outcomes[-1].z_um
            if outcomes[-1].found:
                break
        last = outcomes[-1]
        position = self._position(event)
        if last.found and event.z_pos is not None:
            self._corrections_um[position] = last.z_um - event.z_pos
        why = "" if last.found else f"no focus: {last.reason}"
        self._unfocused[position] = why
        self._tally.focused(
            FocusReport(
                index=dict(event.index),
                found=last.found,
                z_um=last.z_um,
                reason=last.reason,
                attempts=len(outcomes),
                images=sum(outcome.images for outcome in outcomes),
                light_ms=sum(outcome.light_ms for outcome in outcomes),
                correction_um=self._corrections_um.get(position, 0.0),
            )
        )
        if why and self._settings.on_focus_failure is FocusFailure.END:
            raise FocusFailedError(
                f"{_place(self._record(event))}: {why}, after {len(outcomes)} attempts; such an end was asked for"
            )

    # --- records ------------------------------------------------------------------------------------------------

    def _position(self, event: useq.MDAEvent) -> _Position:
        """Which position an event belongs to: each batch has its own."""
        current = self._queue.current
        return (current.batch if current else PLAN, event.index.get("p"))

    def _record(self, event: useq.MDAEvent) -> EventRecord:
        """What is wanted, with the correction that focusing found for this position."""
        current = self._queue.current
        z_um = event.z_pos
        if z_um is not None:
            z_um = float(z_um) + self._corrections_um.get(self._position(event), 0.0)
        channel = event.channel
        return EventRecord(
            batch=current.batch if current else PLAN,
            index={str(axis): int(number) for axis, number in event.index.items()},
            channel=None if channel is None else (channel.group, channel.config),
            position=event.pos_name or "",
            x_um=event.x_pos,
            y_um=event.y_pos,
            z_um=z_um,
            exposure_ms=event.exposure,
            planned_s=current.planned_s if current else None,
            notes={key: value for key, value in event.metadata.items() if key != "runner_t0"},
        )

    def _exposure(self, record: EventRecord) -> Exposure:
        current = self._queue.current
        unfocused = self._unfocused.get((record.batch, record.index.get("p")))
        return Exposure(
            number=self._tally.done,
            event=replace(record, channel=record.channel or self._channel),
            xy_um=self.xy_um,
            late_s=current.late_s if current else 0.0,
            focused=None if unfocused is None else not unfocused,
        )

    def _metadata(self, event: useq.MDAEvent, frame: FrameRecord) -> FrameMetaV1:
        """The same in the words of pymmcore-plus, for whoever listens to its signals."""
        meta: FrameMetaV1 = {
            "format": "frame-dict",
            "version": "1.0",
            "pixel_size_um": 0.0,
            "camera_device": frame.metadata.get("Camera"),
            "exposure_ms": frame.exposure_ms,
            "property_values": (),
            "runner_time_ms": self._tally.now().elapsed_s * 1e3,
            "position": {"z": frame.z_um},
            "mda_event": event,
        }
        return meta


def _frame(exposure: Exposure, stamped: StampedFrame) -> FrameRecord:
    frame = stamped.frame
    return FrameRecord(
        number=exposure.number,
        event=exposure.event,
        frame=f"frame-{stamped.serial}",
        exposure_start_ns=frame.exposure_start_ns,
        exposure_start_error_ns=frame.exposure_start_error_ns,
        exposure_ms=frame.exposure_ms,
        xy_um=exposure.xy_um,
        z_um=stamped.z_um,
        late_s=exposure.late_s,
        focused=exposure.focused,
        metadata=dict(frame.metadata),
    )


def _place(record: EventRecord) -> str:
    """An event in words."""
    index = ", ".join(f"{axis} {number}" for axis, number in record.index.items())
    return f"event ({index})" if record.batch == PLAN else f"event ({index}) of {record.batch}"


__all__ = ["EngineSettings", "PlanEngine"]
