"""The daemon's reducer before a simulated microscope, in simulated time.

The reducer with its rules, its hold of the focus and its search, the driver layer's moves and the engines are the
daemon's own. Sockets, threads and the journal are left out: what they would hand over is handed over here, in order,
by a clock that jumps from one event to the next.
"""

from __future__ import annotations

import datetime
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from microscoped.daemon.core import Now, Peer, RulesView, State, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.engines import cells_defaults
from microscoped.daemon.protocol import Request
from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.settings import camera_settings, core_settings, motion_settings
from microscoped.drivers.commands import Configure, MoveTo, ReadPosition, Snap, StartStream, StopStream
from microscoped.drivers.motion import move
from microscoped.simulators import ManualClock, SimulatedMicroscope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.daemon.config import Config
    from microscoped.daemon.core import Input
    from microscoped.drivers.commands import Command
    from microscoped.models import Engine
    from microscoped.simulators import StageModel
    from microscoped.simulators.protocols import Scene

ENGINE_MS = 50.0
"""Simulated time from a frame to what an engine says of it."""
DAY_ONE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Notes:
    """What was seen from outside.

    Parameters
    ----------
    exposures_s
        When each frame of the stream was exposed.
    focus_exposures
        How many more there were, for focusing.
    defocus_um
        How far the specimen was from the focus in each frame of the stream.
    decisions
        When each decision was made, the rule, and its kind.
    """

    exposures_s: list[float] = field(default_factory=list)
    focus_exposures: int = 0
    defocus_um: list[float] = field(default_factory=list)
    decisions: list[tuple[float, str, str]] = field(default_factory=list)


class Laboratory:
    """See the module's docstring. Use it in a ``with`` statement.

    Parameters
    ----------
    config
        As of a daemon; its ``microscope`` is not looked at.
    scene, clock
        What stands before the camera, by the same clock.
    stage
        What the stage can do, drift included.
    engines
        By name.
    """

    def __init__(
        self, config: Config, scene: Scene, clock: ManualClock, stage: StageModel, engines: Mapping[str, Engine]
    ) -> None:
        self.notes = Notes()
        self._config = config
        self._clock = clock
        self._engines = engines
        self._microscope = SimulatedMicroscope(scene, stage, clock=clock, sleep=clock.sleep)
        cells: Any = cells_defaults(config) if "cells" in engines else "it is not wanted"
        settings = core_settings(config, {}, cells=cells)
        self._began_ns = clock()
        self.state = State(settings, str(uuid.UUID(int=1)), self._began_ns, rules=RulesView(config.rule_set))
        self._number = 0
        self._frames = 0
        self._streamed = 0
        self._due_ns = 0
        self._commands: deque[Command] = deque()
        self._work: deque[to_do.Offer | to_do.Measure] = deque()
        self._timers: dict[str, int] = {}
        self._pixels: dict[str, NDArray[Any]] = {}

    def __enter__(self) -> Laboratory:
        microscope = self._microscope.__enter__()
        camera = microscope.camera
        settings = camera.configure(camera_settings(self._config.model_copy(update={"camera": _plain(self._config)})))
        direction = microscope.stage.focus_direction()
        self._hear(heard_of.HardwareOpened(camera.info(), settings, "Z", microscope.stage.position_um(), direction, {}))
        return self

    def __exit__(self, *_: object) -> None:
        self._microscope.__exit__(None, None, None)

    @property
    def now_s(self) -> float:
        """Since the beginning."""
        return (self._clock() - self._began_ns) / 1e9

    def ask(self, op: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 (whatever an op takes)
        """Send a request; return its result, if it comes at once.

        Raises
        ------
        RuntimeError
            It was refused.
        """
        name = uuid.UUID(int=10**9 + self._number)
        request = Request.model_validate({"v": "1.0", "id": name, "type": "request", "op": op, "params": params})
        for effect in self._hear(heard_of.RequestReceived(Peer(b"script"), request)):
            if isinstance(effect, to_do.SendReply):
                if not effect.message["ok"]:
                    raise RuntimeError(f"{op}: {effect.message['error']}")
                return dict(effect.message["result"])  # type: ignore[arg-type] # of a reply
        return {}

    def run(self, until_s: float) -> None:
        """Let time pass, with all that is due meanwhile."""
        end_ns = self._began_ns + round(until_s * 1e9)
        while self._clock() < end_ns:
            if self._commands:
                self._do(self._commands.popleft())
            elif self._work:
                self._measure(self._work.popleft())
            else:
                self._wait(end_ns)

    def _wait(self, end_ns: int) -> None:
        """Jump to what is due next: a timer or an exposure of the stream."""
        timer = min(self._timers, key=lambda name: self._timers[name], default=None)
        timer_ns = end_ns if timer is None else self._timers[timer]
        due_ns = self._due_ns if self.state.camera.streaming else end_ns
        next_ns = min(timer_ns, due_ns, end_ns)
        self._clock.sleep(max(0, next_ns - self._clock()) / 1e9)
        if timer is not None and timer_ns == next_ns < end_ns:
            del self._timers[timer]
            self._hear(heard_of.TimerFired(timer))
        elif due_ns == next_ns < end_ns:
            self._due_ns = max(self._due_ns + self._interval_ns(), self._clock())
            self._expose(None)

    def _interval_ns(self) -> int:
        fps = self.state.camera.fps
        if fps is None:
            raise RuntimeError("the stream has no frame rate: set camera.fps")
        return round(1e9 / fps)

    def _expose(self, command: str | None) -> str:
        """Take a frame: of the stream, or for a command."""
        stage = self._microscope.stage
        frame = self._microscope.camera.snap()
        z_um = stage.optical_z_um(frame.exposure_start_ns)
        if command is None:
            self.notes.exposures_s.append((frame.exposure_start_ns - self._began_ns) / 1e9)
            self.notes.defocus_um.append(z_um)
        else:
            self.notes.focus_exposures += 1
        self._frames += 1
        data = FrameData(
            frame=f"f-{self._frames}",
            camera="Camera",
            shape=list(frame.pixels.shape),
            dtype="uint16",
            bit_depth=16,
            exposure_start_ns=frame.exposure_start_ns,
            exposure_start_error_ns=0,
            exposure_ms=frame.exposure_ms,
            z_um=stage.position_um(),
            z_source="readback",
            moving=False,
            number=self._streamed if command is None else 0,
            lost_before=0,
            streamed=command is None,
        )
        self._streamed += command is None
        self._pixels[data.frame] = frame.pixels
        self._hear(heard_of.FrameAdmitted(data, command))
        return data.frame

    def _do(self, command: Command) -> None:
        """Carry out a command of the reducer."""
        value: Any = None
        match command:
            case MoveTo():
                motion = motion_settings(self._config)
                steps = move(
                    self._microscope.stage,
                    motion,
                    command.z_um,
                    command.origin,
                    clock=self._clock,
                    stopped=lambda: False,
                )
                while True:
                    try:
                        self._clock.sleep(next(steps) / 1e9)
                    except StopIteration as end:
                        value = end.value
                        break
            case Snap():
                value = self._expose(command.id)
            case Configure():
                value = self._microscope.camera.configure(command.change)
            case StartStream():
                self._due_ns = self._clock()
            case StopStream():
                pass
            case ReadPosition():
                value = self._microscope.stage.position_um()
            case _:
                raise RuntimeError(f"{type(command).__name__}: this microscope does not do that")
        before_ns = None if self.state.camera.fps is None else self._interval_ns()
        self._hear(heard_of.CommandEnded(command.id, value))
        if isinstance(command, Configure) and command.fps is not None and before_ns is not None:
            self._due_ns = max(self._due_ns - before_ns + self._interval_ns(), self._clock())

    def _measure(self, wanted: to_do.Offer | to_do.Measure) -> None:
        """Have an engine measure what it was offered or asked for."""
        asked = isinstance(wanted, to_do.Measure)
        pixels = self._pixels.get(wanted.frame)
        if wanted.engine not in self._engines or pixels is None:
            self._hear(heard_of.FrameSkipped(wanted.engine, wanted.frame))
            return
        found = self._engines[wanted.engine].measure([pixels], wanted.options)
        values = getattr(found, "values", found)
        values = values if isinstance(values, dict) else dict(found)  # type: ignore[call-overload] # of an engine
        self._clock.advance_ms(ENGINE_MS)
        request = wanted.request if asked else None
        self._hear(heard_of.MeasureEnded(wanted.engine, wanted.frame, request, values, ENGINE_MS))

    def _hear(self, heard: Input) -> tuple[to_do.Effect, ...]:
        self._number += 1
        now_ns = self._clock()
        at = DAY_ONE + datetime.timedelta(microseconds=now_ns // 1000)
        now = Now(self._number, now_ns, at.isoformat(timespec="microseconds"))
        self.state, effects = step(self.state, heard, now)
        for effect in effects:
            match effect:
                case to_do.Submit():
                    self._commands.append(effect.command)
                case to_do.Offer() | to_do.Measure():
                    self._work.append(effect)
                case to_do.SetTimer():
                    self._timers[effect.timer] = effect.due_ns
                case to_do.ClearTimer():
                    self._timers.pop(effect.timer, None)
                case to_do.Forget():
                    self._pixels.pop(effect.frame, None)
                case to_do.Publish() if effect.topic.startswith("v1.decision."):
                    data: Any = effect.message["data"]
                    self.notes.decisions.append((self.now_s, data["rule"], data["kind"]))
        return effects


def _plain(config: Config) -> Any:  # noqa: ANN401 (a section of the configuration)
    """The camera's section for a camera that has no automatic settings."""
    return config.camera.model_copy(update={"auto_exposure": None, "auto_gain": None, "auto_white_balance": None})
