"""What tests of acquisition need: an instrument, hardware that does as it is told, and a sink that keeps everything."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.daemon.acquire import Acquisition, Deadlines, FocusOutcome, HardwareSteps, Instrument, read_sequence
from microscoped.drivers import CameraFrame, CameraSettings, FocusDirection
from microscoped.drivers import commands as c
from microscoped.drivers.errors import MotionStoppedError
from microscoped.drivers.motion import Arrival, XYArrival
from microscoped.drivers.safety import MotionSettings, XYMotionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microscoped.daemon.acquire import AcquireOutcome, FocusRequest, FrameRecord, Progress, SkipRecord
    from microscoped.drivers.errors import DriverError
    from microscoped.drivers.protocols import Pixels

INSTRUMENT = Instrument(
    motion=MotionSettings((-20.0, 20.0), focus_direction=FocusDirection.TOWARD_SAMPLE, timeout_s=2.0),
    z_um=4.0,
    frame_shape_px=(64, 64),
    bytes_per_pixel=2,
    exposure_ms=5.0,
    pixel_size_um=0.5,
    xy=XYMotionSettings((-100.0, 100.0), (-100.0, 100.0)),
    xy_um=(1.0, 2.0),
    presets={"Channel": ("DAPI", "FITC"), "Path": ("left",)},
)
QUICK = Deadlines(begin_s=0.5, move_s=0.5, move_xy_s=0.5, preset_s=0.5, configure_s=0.5, frame_s=0.5, grace_s=0.1)


class KeepingSink:
    """Keeps what it is given; `loses` frames are given away before they are counted."""

    def __init__(self, loses: int = 0) -> None:
        self.images: list[Pixels] = []
        self.frames: list[FrameRecord] = []
        self.skips: list[SkipRecord] = []
        self.closed = 0
        self.loses = loses
        self.full_after: int | None = None

    def frame(self, image: Pixels, record: FrameRecord) -> None:
        if self.full_after is not None and len(self.frames) >= self.full_after:
            raise OSError("no space left on device")
        self.images.append(image)
        self.frames.append(record)

    def skip(self, record: SkipRecord) -> None:
        self.skips.append(record)

    def close(self) -> int:
        self.closed += 1
        return len(self.frames) - self.loses


class Told:
    """Hardware that obeys at once, on the caller's thread, and writes down what it was told.

    ``fails`` maps a kind of command to the error that its n-th gets; commands of a kind in ``held`` are answered only
    by `release`.
    """

    def __init__(self) -> None:
        self.steps: HardwareSteps | None = None
        self.log: list[tuple[Any, ...]] = []
        self.fails: dict[tuple[type[c.Command], int], DriverError] = {}
        self.held: set[type[c.Command]] = set()
        self.holding = threading.Event()
        self.waiting: list[c.Command] = []
        self.before: Callable[[c.Command], None] = lambda _command: None
        self.counts: dict[type[c.Command], int] = {}
        self.exposure_ms = 5.0
        self.z_um = 4.0
        self.serial = 0
        self.repeat_frame = False
        self.streams = False
        self.now_ns = 0

    def submit(self, command: c.Command) -> None:
        self.before(command)
        self.counts[type(command)] = self.counts.get(type(command), 0) + 1
        if type(command) in self.held:
            self.waiting.append(command)
            self.holding.set()
            return
        self.answer(command)

    def cancel(self, command_id: str) -> None:
        for command in [command for command in self.waiting if command.id == command_id]:
            self.waiting.remove(command)
            if isinstance(command, c.MoveTo):
                self.hear(c.Result(command, error=MotionStoppedError("cancelled")))

    def release(self) -> None:
        self.held.clear()
        while self.waiting:
            self.answer(self.waiting.pop(0))

    def hear(self, event: c.HardwareEvent) -> None:
        assert self.steps is not None
        self.steps.hear(event)

    def answer(self, command: c.Command) -> None:
        self.now_ns = time.perf_counter_ns()
        error = self.fails.get((type(command), self.counts[type(command)]))
        if error is not None:
            self.hear(c.Result(command, error=error))
            return
        self.hear(c.Result(command, value=self._value(command)))

    def _value(self, command: c.Command) -> Any:  # noqa: ANN401
        match command:
            case c.MoveTo():
                self.z_um = command.z_um
                self.log.append(("z", round(command.z_um, 6)))
                return Arrival(command.z_um, command.z_um, True, 1, 0.0, 1.0, self.now_ns)
            case c.MoveXY():
                self.log.append(("xy", command.x_um, command.y_um))
                return XYArrival((command.x_um, command.y_um), (command.x_um, command.y_um), 1.0, self.now_ns)
            case c.SelectPreset():
                self.log.append(("preset", command.preset))
                return None
            case c.Configure():
                if command.change.exposure_ms is not None:
                    self.exposure_ms = command.change.exposure_ms
                    self.log.append(("exposure", self.exposure_ms))
                return CameraSettings(exposure_ms=self.exposure_ms)
            case c.Snap():
                self.serial += not self.repeat_frame or self.serial == 0
                self.log.append(("snap",))
                pixels = np.full((64, 64), self.serial, np.uint16)
                frame = CameraFrame(pixels, 0, self.now_ns, 0, self.exposure_ms, {"Camera": "told"})
                return c.StampedFrame(
                    self.serial, frame, self.z_um, "readback", False, 0, self.streams, self.now_ns + 5_000_000
                )
        raise AssertionError(command)


class Stand:
    """An acquisition on hardware that does as it is told."""

    def __init__(
        self,
        content: Mapping[str, Any],
        *,
        hardware: Told | None = None,
        sink: KeepingSink | None = None,
        instrument: Instrument = INSTRUMENT,
        deadlines: Deadlines = QUICK,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.hardware = hardware or Told()
        self.sink = sink or KeepingSink()
        self.steps = HardwareSteps(self.hardware, "test", deadlines)
        self.hardware.steps = self.steps
        self.reports: queue.Queue[Progress] = queue.Queue()
        self.outcomes: list[AcquireOutcome] = []
        self.plan = read_sequence(content, instrument)
        self.acquisition = Acquisition(
            self.plan, self.steps, self.sink, report=self.reports.put, ended=self.outcomes.append, **options
        )

    def until(self, wanted: Callable[[Progress], bool]) -> Progress:
        """The next progress that is so."""
        while not wanted(progress := self.reports.get(timeout=20)):
            pass
        return progress

    def end(self) -> AcquireOutcome:
        """Wait for the end."""
        assert self.acquisition.join(50), f"it did not end: {self.acquisition.progress()}"
        assert len(self.outcomes) == 1
        assert self.outcomes[0] is self.acquisition.outcome
        assert self.sink.closed == 1
        return self.outcomes[0]

    def run(self) -> AcquireOutcome:
        self.acquisition.start()
        return self.end()


class Finds:
    """Finds the focus at these places, one after another; ``None`` finds none."""

    def __init__(self, places: list[float | None], light_ms: float = 0.0) -> None:
        self.places = list(places)
        self.light_ms = light_ms
        self.requests: list[FocusRequest] = []

    def __call__(self, request: FocusRequest) -> FocusOutcome:
        self.requests.append(request)
        place = self.places.pop(0)
        if place is None:
            return FocusOutcome(False, request.z_um, "the image has no contrast", self.light_ms, 3)
        return FocusOutcome(True, place, "", self.light_ms, 3)

    def interrupt(self) -> None:
        return
